//! Goal: committed offsets are kept and read back as committed; groups are described, listed and deleted; errors are those that
//! clients act on.
//! Method: raw requests, error paths first. Rebalances have their own module.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteTopicsRequest, DescribeGroupsRequest, ListGroupsRequest, OffsetFetchRequest,
};
use protocol_tests::client::Client;
use protocol_tests::frame::{group_id, text, topic_name};
use protocol_tests::groups::{COMMIT, Member, OFFSETS, commit_request, offsets_request};
use protocol_tests::server::{Launch, Server};
use protocol_tests::topics::unique;
use std::time::Duration;

/// The error code of the only partition of a commit.
fn commit(client: &mut Client, version: i16, request: &kafka_protocol::messages::OffsetCommitRequest) -> Option<ResponseError> {
    client.call(version, request).topics[0].partitions[0].error_code.err()
}

#[test]
fn a_commit_of_what_does_not_exist_is_refused() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("commits", 1, &[]).name;
    let group = unique("group");
    let no = Some(ResponseError::UnknownTopicOrPartition);
    assert_eq!(commit(&mut client, COMMIT, &commit_request(&group, &unique("unknown"), &[(0, 1)])), no);
    assert_eq!(commit(&mut client, COMMIT, &commit_request(&group, &topic, &[(1, 1)])), no);
    assert_eq!(commit(&mut client, COMMIT, &commit_request(&group, &topic, &[(-1, 1)])), no);
}

#[test]
fn a_commit_with_much_metadata_is_refused() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("commits", 1, &[]).name;
    let group = unique("group");
    let mut request = commit_request(&group, &topic, &[(0, 1)]);
    // offset.metadata.max.bytes is 4096 by default.
    for (bytes, wanted) in [(4097, Some(ResponseError::OffsetMetadataTooLarge)), (4096, None)] {
        request.topics[0].partitions[0].committed_metadata = Some(text(&"m".repeat(bytes)));
        assert_eq!(commit(&mut client, COMMIT, &request), wanted, "{bytes} bytes");
    }
}

#[test]
fn commits_of_strangers_are_refused() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("commits", 1, &[]).name;
    let group = unique("group");
    let request = commit_request(&group, &topic, &[(0, 1)]);
    let stranger = request.clone().with_generation_id_or_member_epoch(3).with_member_id(text("stranger"));
    assert_eq!(
        commit(&mut client, COMMIT, &stranger),
        Some(ResponseError::GroupIdNotFound),
        "a group that is not there, from version 9"
    );
    assert_eq!(commit(&mut client, 8, &stranger), Some(ResponseError::IllegalGeneration), "the same, before version 9");
    let mut member = Member::of(&server, &group);
    member.join_alone("all");
    assert_eq!(commit(&mut client, COMMIT, &request), Some(ResponseError::UnknownMemberId), "no member of a group with members");
    let stranger = request.clone().with_generation_id_or_member_epoch(member.generation).with_member_id(text("stranger"));
    assert_eq!(commit(&mut client, COMMIT, &stranger), Some(ResponseError::UnknownMemberId));
    let late = request.with_generation_id_or_member_epoch(member.generation - 1).with_member_id(text(&member.member_id));
    assert_eq!(commit(&mut client, COMMIT, &late), Some(ResponseError::IllegalGeneration));
    assert_eq!(client.committed_offset(&group, &topic, 0).committed_offset, -1, "none of these was kept");
    assert_eq!(member.commit(&topic, 0, 7).err(), None);
    assert_eq!(client.committed_offset(&group, &topic, 0).committed_offset, 7);
}

#[test]
fn what_was_committed_is_read_back_with_all_that_belongs_to_it() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("commits", 3, &[]).name;
    let group = unique("group");
    for version in 2..=COMMIT {
        let offset = i64::from(version) * 100;
        let mut request = commit_request(&group, &topic, &[]);
        request.topics[0].partitions = vec![
            OffsetCommitRequestPartition::default()
                .with_partition_index(1)
                .with_committed_offset(offset)
                .with_committed_leader_epoch(if version >= 6 { 0 } else { -1 })
                .with_committed_metadata(Some(text("why: ü"))),
        ];
        assert_eq!(commit(&mut client, version, &request), None, "version {version}");
        let read = client.committed_offset(&group, &topic, 1);
        assert_eq!((read.error_code.err(), read.committed_offset), (None, offset), "version {version}");
        assert_eq!(read.metadata.as_deref(), Some("why: ü"), "version {version}");
        assert_eq!(read.committed_leader_epoch, if version >= 6 { 0 } else { -1 }, "version {version}");
    }
    let none = client.committed_offset(&group, &topic, 0);
    assert_eq!((none.error_code.err(), none.committed_offset), (None, -1), "nothing was committed there");
}

#[test]
fn every_version_of_offset_fetch_answers_one_and_all() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("offsets", 2, &[]).name;
    let group = unique("group");
    client.committed(&group, &topic, 0, 11);
    client.committed(&group, &topic, 1, 22);
    for version in 1..=7 {
        let asked = OffsetFetchRequestTopic::default().with_name(topic_name(&topic)).with_partition_indexes(vec![1]);
        let request = OffsetFetchRequest::default().with_group_id(group_id(&group));
        let response = client.call(version, &request.clone().with_topics(Some(vec![asked])));
        assert_eq!(response.error_code.err(), None, "version {version}");
        assert_eq!(response.topics[0].partitions[0].committed_offset, 22, "version {version}");
        if version >= 2 {
            let response = client.call(version, &request.with_topics(None));
            let mut offsets: Vec<i64> =
                response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.committed_offset).collect();
            offsets.sort_unstable();
            assert_eq!(offsets, [11, 22], "version {version}: all that was committed");
        }
    }
    for version in 8..=OFFSETS {
        let response = client.call(version, &offsets_request(&group, None).with_require_stable(true));
        assert_eq!(response.groups[0].error_code.err(), None, "version {version}");
        let partitions = response.groups[0].topics.iter().flat_map(|topic| &topic.partitions);
        let mut offsets: Vec<i64> = partitions.map(|partition| partition.committed_offset).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, [11, 22], "version {version}");
    }
}

#[test]
fn offsets_of_several_groups_come_in_one_answer() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("offsets", 1, &[]).name;
    let (one, two, unknown) = (unique("group"), unique("group"), unique("group"));
    client.committed(&one, &topic, 0, 1);
    client.committed(&two, &topic, 0, 2);
    let of = |group: &str| {
        let topic = OffsetFetchRequestTopics::default().with_name(topic_name(&topic)).with_partition_indexes(vec![0]);
        OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(Some(vec![topic]))
    };
    let response = client.call(OFFSETS, &OffsetFetchRequest::default().with_groups(vec![of(&one), of(&two), of(&unknown)]));
    for (group, wanted) in [(&one, 1), (&two, 2), (&unknown, -1)] {
        let found = response.groups.iter().find(|answer| answer.group_id.as_str() == group).expect("each group is answered");
        assert_eq!(found.error_code.err(), None, "{group}");
        assert_eq!(found.topics[0].partitions[0].committed_offset, wanted, "{group}");
    }
}

/// Metadata of offsets and members may be long: a request of some kilobytes that names them often would be answered with gigabytes.
#[test]
fn what_is_asked_for_often_is_answered_once() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("offsets", 2, &[]).name;
    let group = unique("group");
    client.committed(&group, &topic, 0, 11);
    let of =
        |indexes: Vec<i32>| OffsetFetchRequestTopics::default().with_name(topic_name(&topic)).with_partition_indexes(indexes);
    let asked = vec![of(vec![0, 0, 1, 0]), of(vec![1, 0])];
    let one = OffsetFetchRequestGroup::default().with_group_id(group_id(&group)).with_topics(Some(asked));
    let request = OffsetFetchRequest::default().with_groups(vec![one.clone(), one]);
    let response = client.call(OFFSETS, &request);
    assert_eq!(response.groups.len(), 1);
    let answered = response.groups[0].topics.iter().flat_map(|topic| &topic.partitions);
    let answered: Vec<(i32, i64)> = answered.map(|one| (one.partition_index, one.committed_offset)).collect();
    assert_eq!(answered, [(0, 11), (1, -1)]);
    let twice = DescribeGroupsRequest::default().with_groups(vec![group_id(&group), group_id("other"), group_id(&group)]);
    let described = client.call(5, &twice).groups;
    assert_eq!(described.iter().map(|one| one.group_id.as_str()).collect::<Vec<_>>(), [group.as_str(), "other"]);
}

#[test]
fn offsets_of_a_deleted_topic_are_forgotten() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("deleted", 1, &[]);
    let group = unique("group");
    client.committed(&group, &topic.name, 0, 5);
    client.delete_topic(&topic);
    client.create_topic_named(&topic.name, 1, &[]);
    assert_eq!(client.committed_offset(&group, &topic.name, 0).committed_offset, -1, "the new topic has other offsets");
}

#[test]
fn commits_are_read_as_written_from_any_connection() {
    let server = Server::shared();
    let (mut writer, mut reader) = (server.connect(), server.connect());
    let topic = writer.create_topic("commits", 1, &[]).name;
    let group = unique("group");
    for offset in 0..200 {
        writer.committed(&group, &topic, 0, offset);
        assert_eq!(reader.committed_offset(&group, &topic, 0).committed_offset, offset);
    }
}

#[test]
fn committed_offsets_survive_clean_and_sudden_restarts() {
    let mut server = Server::start();
    let topic = server.connect().create_topic("commits", 1, &[]).name;
    let groups: Vec<String> = (0..20).map(|_| unique("group")).collect();
    for round in 1..=4 {
        let mut client = server.connect();
        for group in &groups {
            client.committed(group, &topic, 0, round);
        }
        if round % 2 == 0 {
            server.terminate();
        } else {
            server.kill9();
        }
        server.restart();
        let mut client = server.connect();
        for group in &groups {
            // At once, and while the coordinator may still be loading: never −1, of which a client starts all over.
            assert_eq!(offset_when_loaded(&mut client, group, &topic), round, "{group} in round {round}");
        }
    }
}

/// A committed offset, asked for until the coordinator has loaded.
fn offset_when_loaded(client: &mut Client, group: &str, topic: &str) -> i64 {
    for _ in 0..500 {
        let mut response = client.call(OFFSETS, &offsets_request(group, Some((topic, &[0]))));
        let mut answer = response.groups.remove(0);
        match answer.error_code.err() {
            None => return answer.topics.remove(0).partitions.remove(0).committed_offset,
            Some(ResponseError::CoordinatorLoadInProgress | ResponseError::NotCoordinator) => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Some(error) => panic!("offsets of {group}: {error:?}"),
        }
    }
    panic!("the coordinator of {group} does not finish loading");
}

#[test]
fn an_unknown_group_is_dead_or_not_found() {
    let server = Server::shared();
    let mut client = server.connect();
    let group = unique("unknown");
    client.find_coordinator(&group);
    for version in 0..=6 {
        let response = client.call(version, &DescribeGroupsRequest::default().with_groups(vec![group_id(&group)]));
        let answer = &response.groups[0];
        // Since version 6 the error says so; before, the state did (KIP-1043).
        let wanted = (version >= 6).then_some(ResponseError::GroupIdNotFound);
        assert_eq!((answer.error_code.err(), answer.group_state.as_str()), (wanted, "Dead"), "version {version}");
    }
}

#[test]
fn groups_are_listed_by_state() {
    let server = Server::shared();
    let mut client = server.connect();
    let (idle, busy) = (unique("idle"), unique("busy"));
    let topic = client.create_topic("listed", 1, &[]).name;
    client.committed(&idle, &topic, 0, 1);
    let mut member = Member::of(&server, &busy);
    member.join_alone("all");
    let listed = |client: &mut Client, states: &[&str]| -> Vec<(String, String)> {
        let filter = states.iter().map(|state| text(state)).collect();
        let response = client.call(5, &ListGroupsRequest::default().with_states_filter(filter));
        assert_eq!(response.error_code.err(), None);
        response.groups.iter().map(|group| (group.group_id.to_string(), group.group_state.to_string())).collect()
    };
    let idle = (idle, "Empty".to_owned());
    let busy = (busy, "Stable".to_owned());
    let all = listed(&mut client, &[]);
    assert!(all.contains(&idle) && all.contains(&busy), "{all:?}");
    let stable = listed(&mut client, &["Stable"]);
    assert!(!stable.contains(&idle) && stable.contains(&busy), "{stable:?}");
    let empty = listed(&mut client, &["Empty"]);
    assert!(empty.contains(&idle) && !empty.contains(&busy), "{empty:?}");
    for version in 0..=5 {
        let response = client.call(version, &ListGroupsRequest::default());
        let found = response.groups.iter().find(|group| group.group_id.as_str() == busy.0).expect("listed at every version");
        assert_eq!(found.protocol_type.as_str(), "consumer", "version {version}");
    }
}

#[test]
fn only_empty_groups_are_deleted() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("groups", 1, &[]).name;
    let (busy, idle, unknown) = (unique("busy"), unique("idle"), unique("unknown"));
    let mut member = Member::of(&server, &busy);
    member.join_alone("all");
    for version in 0..=2 {
        client.committed(&idle, &topic, 0, 9);
        let names = [&busy, &idle, &unknown].map(|name| group_id(name)).to_vec();
        let response = client.call(version, &DeleteGroupsRequest::default().with_groups_names(names));
        let of = |group: &str| {
            let found = response.results.iter().find(|result| result.group_id.as_str() == group).expect("each group is answered");
            found.error_code.err()
        };
        assert_eq!(of(&busy), Some(ResponseError::NonEmptyGroup), "version {version}");
        assert_eq!(of(&idle), None, "version {version}");
        assert_eq!(of(&unknown), Some(ResponseError::GroupIdNotFound), "version {version}");
        assert_eq!(client.committed_offset(&idle, &topic, 0).committed_offset, -1, "its offsets went with it");
    }
    assert_eq!(member.heartbeat().err(), None);
    assert_eq!(member.leave().err(), None);
    let response = client.call(2, &DeleteGroupsRequest::default().with_groups_names(vec![group_id(&busy)]));
    assert_eq!(response.results[0].error_code.err(), None, "empty now");
}

#[test]
fn a_deleted_offsets_topic_comes_back_for_every_group() {
    let server = Launch::new().set("offsets.topic.num.partitions", "5").start();
    let mut client = server.connect();
    let topic = client.create_topic("commits", 1, &[]).name;
    // Enough that each partition has one.
    let groups: Vec<String> = (0..20).map(|_| unique("group")).collect();
    for group in &groups {
        client.find_coordinator(group);
        client.committed(group, &topic, 0, 1);
    }
    let offsets = DeleteTopicState::default().with_name(Some(topic_name("__consumer_offsets")));
    let deleted = client.call(6, &DeleteTopicsRequest::default().with_topics(vec![offsets]).with_timeout_ms(10_000));
    assert_eq!(deleted.responses[0].error_code.err(), None);
    for group in &groups {
        let again = commit_request(group, &topic, &[(0, 2)]);
        let is_committed = (0..50).any(|_| {
            client.find_coordinator(group);
            let refused = commit(&mut client, COMMIT, &again);
            if refused.is_some() {
                std::thread::sleep(Duration::from_millis(20));
            }
            refused.is_none()
        });
        assert!(is_committed, "{group} has no coordinator any more");
    }
}
