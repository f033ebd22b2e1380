//! Goal: records of a share group are with one member at a time, are delivered again until somebody settles them, and what was settled stays
//! so over any crash. Method: ShareFetch and ShareAcknowledge by hand, error paths first.

use crate::compaction::{EAGER, compacted};
use crate::configs::{SET, alter};
use crate::transactions::{Producer, V1};
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use kafka_protocol::messages::{
    AlterShareGroupOffsetsRequest, DeleteGroupsRequest, DeleteShareGroupOffsetsRequest, ShareGroupHeartbeatRequest,
};
use protocol_tests::batch::Batch as Records;
use protocol_tests::client::Client;
use protocol_tests::frame::{group_id, text, topic_name};
use protocol_tests::now_ms;
use protocol_tests::server::{Launch, Server};
use protocol_tests::shares::{
    ACCEPT, DescribeWithLag, REJECT, RELEASE, RENEW, ShareAcknowledge2, ShareFetch2, ShareMember, acquired, partitions,
};
use protocol_tests::topics::{Topic, unique};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

const GROUP: i8 = 32;

/// A share group that begins at the start of its topics.
fn earliest(client: &mut Client) -> String {
    let group = unique("share");
    let set = alter(client, GROUP, &group, &[("share.auto.offset.reset", SET, Some("earliest"))]);
    assert_eq!(set.0, None, "{}", set.1);
    group
}

fn produce(client: &mut Client, topic: &Topic, values: &[&str]) {
    client.produced(topic, 0, Records::of(values).build());
}

/// A topic with one batch of `count` records, and a group that begins before it.
fn prepared(client: &mut Client, count: usize) -> (Topic, String) {
    let topic = client.create_topic("shared", 1, &[]);
    let values: Vec<String> = (0..count).map(|index| index.to_string()).collect();
    produce(client, &topic, &values.iter().map(String::as_str).collect::<Vec<_>>());
    (topic, earliest(client))
}

#[test]
fn what_lies_behind_a_wide_hole_is_delivered() {
    // More offsets than a read looks ahead: as many as may be under way, and as many as are wanted.
    let server = Launch::new().set("log.cleaner.backoff.ms", "10").start();
    let mut client = server.connect();
    let topic = client.create_topic("compacted", 1, &EAGER);
    let put = |client: &mut Client, key: &str, count: usize| {
        let batch = (0..count).fold(Records::of(&[]), |batch, _| batch.record(now_ms(), Some(key.as_bytes()), Some(b"v")));
        client.produced(&topic, 0, batch.build());
    };
    for _ in 0..10 {
        put(&mut client, "a", 1000);
    }
    put(&mut client, "a", 1);
    put(&mut client, "b", 1);
    let left = compacted(&mut client, &topic, 2);
    assert_eq!(left[0].0, 10_000);
    let group = earliest(&mut client);
    let mut member = ShareMember::of(&server, &group, &topic.name);
    assert_eq!(member.acquire(topic.id), [(10_000, 10_001, 1)]);
}

#[test]
fn requests_that_do_not_fit_a_session_are_refused() {
    let server = Server::shared();
    let mut client = server.connect();
    let (topic, group) = prepared(&mut client, 3);
    let mut member = ShareMember::of(&server, &group, &topic.name);
    let refused = |epoch, member: &mut ShareMember| {
        member.epoch = epoch;
        member.fetch(&[]).error_code.err()
    };
    assert_eq!(refused(1, &mut member), Some(ResponseError::ShareSessionNotFound));
    assert_eq!(refused(-1, &mut member), Some(ResponseError::ShareSessionNotFound));
    assert_eq!(member.acknowledge_at(0, topic.id, &[]).0.err(), Some(ResponseError::InvalidShareSessionEpoch));
    assert_eq!(member.acknowledge_at(1, topic.id, &[]).0.err(), Some(ResponseError::ShareSessionNotFound));
    member.epoch = 0;
    let early = member.fetch(&[(topic.id, 0, vec![(0, 0, vec![ACCEPT])])]);
    assert_eq!(early.error_code.err(), Some(ResponseError::InvalidRequest), "nothing was delivered yet");
    assert_eq!(member.acquire(topic.id), [(0, 2, 1)]);
    assert_eq!(refused(5, &mut member), Some(ResponseError::InvalidShareSessionEpoch));
    assert_eq!(member.acknowledge_at(7, topic.id, &[]).0.err(), Some(ResponseError::InvalidShareSessionEpoch));
    member.epoch = 1;
    assert_eq!(member.fetch(&[]).error_code, 0, "refused requests change nothing");
    for id in [String::new(), "x".repeat(37)] {
        member.id = id;
        assert_eq!(member.fetch(&[]).error_code.err(), Some(ResponseError::InvalidRequest));
        assert_eq!(member.acknowledge(topic.id, &[]).0.err(), Some(ResponseError::InvalidRequest));
    }
}

#[test]
fn acknowledgements_that_make_no_sense_are_refused_and_change_nothing() {
    let server = Server::shared();
    let mut client = server.connect();
    let (topic, group) = prepared(&mut client, 5);
    let mut member = ShareMember::of(&server, &group, &topic.name);
    let mut other = ShareMember::of(&server, &group, &topic.name);
    assert_eq!(member.acquire(topic.id), [(0, 4, 1)]);
    assert_eq!(other.acquire(topic.id), [], "each record is with one member");
    let nonsense: [&[(i64, i64, Vec<i8>)]; 6] = [
        &[(3, 2, vec![ACCEPT])],
        &[(0, 1, vec![])],
        &[(0, 4, vec![ACCEPT, ACCEPT])],
        &[(0, 1, vec![RENEW])],
        &[(0, 1, vec![-1])],
        &[(2, 3, vec![ACCEPT]), (0, 1, vec![ACCEPT])],
    ];
    for batches in nonsense {
        let (code, partition) = member.acknowledge(topic.id, batches);
        assert_eq!((code, partition.and_then(|code| code.err())), (0, Some(ResponseError::InvalidRequest)), "{batches:?}");
    }
    let invalid = |answer: (i16, Option<i16>)| answer.1.and_then(|code| code.err());
    assert_eq!(invalid(other.acknowledge(topic.id, &[(0, 4, vec![ACCEPT])])), Some(ResponseError::InvalidRecordState));
    assert_eq!(invalid(member.acknowledge(topic.id, &[(0, 9, vec![ACCEPT])])), Some(ResponseError::InvalidRequest));
    let nowhere = Uuid::from_u128(7);
    assert_eq!(invalid(member.acknowledge(nowhere, &[(0, 0, vec![ACCEPT])])), Some(ResponseError::UnknownTopicId));
    assert_eq!(member.acknowledge(topic.id, &[(0, 4, vec![ACCEPT])]), (0, Some(0)));
    assert_eq!(invalid(member.acknowledge(topic.id, &[(0, 4, vec![ACCEPT])])), None, "what lies before the start is done");
}

#[test]
fn unknown_topics_and_partitions_are_told_in_a_session() {
    let server = Server::shared();
    let mut client = server.connect();
    let (topic, group) = prepared(&mut client, 1);
    let mut member = ShareMember::of(&server, &group, &topic.name);
    let nowhere = Uuid::from_u128(7);
    let response = member.fetch(&[(topic.id, 0, vec![]), (topic.id, 9, vec![]), (nowhere, 0, vec![])]);
    let mut codes: Vec<_> = partitions(&response).iter().map(|one| one.error_code.err()).collect();
    codes.sort_by_key(|code| format!("{code:?}"));
    assert_eq!(codes, [None, Some(ResponseError::UnknownTopicId), Some(ResponseError::UnknownTopicOrPartition)]);
    assert_eq!(acquired(&response), [(0, 0, 1)]);
    member.forget(topic.id, 9);
    let response = member.forget(nowhere, 0);
    assert_eq!(partitions(&response).len(), 0, "nothing is new");
    let piggybacked = member.fetch(&[(nowhere, 0, vec![(0, 0, vec![ACCEPT])]), (topic.id, 0, vec![(0, 0, vec![ACCEPT])])]);
    let codes = partitions(&piggybacked).into_iter().map(|one| (one.partition_index, one.acknowledge_error_code.err()));
    let mut codes: Vec<_> = codes.collect();
    codes.sort_by_key(|code| format!("{code:?}"));
    assert_eq!(codes, [(0, None), (0, Some(ResponseError::UnknownTopicId))]);
}

#[test]
fn released_records_are_delivered_again_and_given_up_in_the_end() {
    let server = Server::shared();
    let mut client = server.connect();
    let (topic, group) = prepared(&mut client, 3);
    let mut one = ShareMember::of(&server, &group, &topic.name);
    let mut two = ShareMember::of(&server, &group, &topic.name);
    let first = one.fetch(&[(topic.id, 0, vec![])]);
    assert_eq!((acquired(&first), first.acquisition_lock_timeout_ms), (vec![(0, 2, 1)], 30_000));
    assert!(partitions(&first)[0].records.as_ref().is_some_and(|records| !records.is_empty()));
    let again = one.fetch(&[(topic.id, 0, vec![(0, 2, vec![ACCEPT, RELEASE, REJECT])])]);
    assert_eq!(partitions(&again)[0].acknowledge_error_code, 0);
    assert_eq!(acquired(&again), [(1, 1, 2)], "an acknowledgement comes before the fetch that carries it");
    for count in 3..=5 {
        assert_eq!(one.acknowledge(topic.id, &[(1, 1, vec![RELEASE])]), (0, Some(0)));
        std::mem::swap(&mut one, &mut two);
        assert_eq!(one.acquire(topic.id), [(1, 1, count)]);
    }
    assert_eq!(one.acknowledge(topic.id, &[(1, 1, vec![RELEASE])]), (0, Some(0)));
    produce(&mut client, &topic, &["new"]);
    assert_eq!(two.acquire(topic.id), [(3, 3, 1)], "five deliveries are enough");
}

#[test]
fn a_session_that_ends_gives_back_what_it_has() {
    let server = Server::shared();
    let mut client = server.connect();
    let (topic, group) = prepared(&mut client, 2);
    let mut one = ShareMember::of(&server, &group, &topic.name);
    let mut two = ShareMember::of(&server, &group, &topic.name);
    assert_eq!(one.acquire(topic.id), [(0, 1, 1)]);
    one.epoch = -1;
    let last = one.fetch(&[(topic.id, 0, vec![(0, 0, vec![ACCEPT])])]);
    assert_eq!((last.error_code, acquired(&last).len()), (0, 0));
    assert_eq!(two.acquire(topic.id), [(1, 1, 2)], "a fetch with the final epoch ends it");
    assert_eq!(two.acknowledge_at(-1, topic.id, &[]), (0, Some(0)));
    one.epoch = 0;
    assert_eq!(one.acquire(topic.id), [(1, 1, 3)], "and so does an acknowledgement");
    let mut three = ShareMember::of(&server, &group, &topic.name);
    assert_eq!(three.acquire(topic.id), []);
    drop(one);
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match three.acquire(topic.id)[..] {
            [(1, 1, 4)] => break,
            [] if Instant::now() < until => {}
            ref other => panic!("a connection that is gone keeps its records: {other:?}"),
        }
    }
}

/// Goal: a member that comes back need not wait for its next try. Method: as many sessions as there may be, and one more that waits; a connection goes.
#[test]
fn who_finds_no_room_for_a_session_gets_it_when_another_ends() {
    let launch = Launch::new().set("kafka.group.share.max.share.sessions", "2").set("kafka.group.share.max.size", "2");
    let server = launch.start();
    let mut client = server.connect();
    let (topic, group) = prepared(&mut client, 2);
    let member = || ShareMember::of(&server, &group, &topic.name);
    let (mut one, mut two) = (member(), member());
    assert_eq!(one.acquire(topic.id), [(0, 1, 1)]);
    assert_eq!(two.acquire(topic.id), []);
    // Of a member that has not joined, since the group is full: nobody asks for that here.
    let mut three = server.connect();
    let mut request = one.fetch_request(&[(topic.id, 0, vec![])]);
    (request.share_session_epoch, request.member_id) = (0, Some(text(&unique("member"))));
    request.max_wait_ms = 200;
    let asked = Instant::now();
    let refused = three.call(1, &request);
    assert_eq!(refused.error_code, ResponseError::ShareSessionLimitReached.code());
    assert!(asked.elapsed() >= Duration::from_millis(200), "or it would ask again and again");
    request.max_wait_ms = 60_000;
    three.set_patience(Duration::from_secs(20));
    let sent = three.send(1, &request).expect("sent");
    drop(one);
    let opened = three.receive::<kafka_protocol::messages::ShareFetchRequest>(1, sent).expect("long before its time");
    assert_eq!((opened.error_code, acquired(&opened)), (0, vec![(0, 1, 2)]));
}

#[test]
fn a_long_poll_ends_with_records_or_with_time() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("shared", 1, &[]);
    let group = earliest(&mut client);
    let mut waiting = ShareMember::of(&server, &group, &topic.name);
    waiting.max_wait_ms = 200;
    let asked = Instant::now();
    assert_eq!(waiting.acquire(topic.id), []);
    assert!(asked.elapsed() >= Duration::from_millis(200));
    waiting.max_wait_ms = 30_000;
    let request = waiting.fetch_request(&[]);
    let sent = waiting.client.send(1, &request).expect("sent");
    produce(&mut client, &topic, &["a"]);
    let response = waiting.client.receive::<kafka_protocol::messages::ShareFetchRequest>(1, sent).expect("woken by a record");
    waiting.epoch += 1;
    assert_eq!(acquired(&response), [(0, 0, 1)]);
    let mut other = ShareMember::of(&server, &group, &topic.name);
    other.max_wait_ms = 30_000;
    let sent = other.client.send(1, &other.fetch_request(&[(topic.id, 0, vec![])])).expect("sent");
    assert_eq!(waiting.acknowledge(topic.id, &[(0, 0, vec![RELEASE])]), (0, Some(0)));
    let response = other.client.receive::<kafka_protocol::messages::ShareFetchRequest>(1, sent).expect("woken by a release");
    assert_eq!(acquired(&response), [(0, 0, 2)]);
}

#[test]
fn version_2_keeps_to_the_number_of_records_and_renews_locks() {
    let server = Server::shared();
    let mut client = server.connect();
    let (topic, group) = prepared(&mut client, 10);
    let mut member = ShareMember::of(&server, &group, &topic.name);
    let ask = |epoch| ShareFetch2 {
        group: group.clone(),
        member: member.id.clone(),
        epoch,
        max_records: 3,
        acquire_mode: 1,
        topic: topic.id,
        ..ShareFetch2::default()
    };
    let renewal = |epoch| ShareFetch2 {
        max_records: 0,
        is_renewal: true,
        acknowledgements: vec![(0, 1, vec![RENEW]), (2, 2, vec![ACCEPT])],
        ..ask(epoch)
    };
    let first = member.client.call(2, &ask(0)).0;
    assert_eq!(acquired(&first), [(0, 2, 1)]);
    let greedy = ShareFetch2 { max_records: 3, ..renewal(1) };
    assert_eq!(member.client.call(2, &greedy).0.error_code.err(), Some(ResponseError::InvalidRequest));
    let renewed = member.client.call(2, &renewal(1)).0;
    assert_eq!((renewed.error_code, partitions(&renewed)[0].acknowledge_error_code, acquired(&renewed).len()), (0, 0, 0));
    let acknowledge = ShareAcknowledge2 {
        group: group.clone(),
        member: member.id.clone(),
        epoch: 2,
        is_renewal: true,
        topic: topic.id,
        acknowledgements: vec![(0, 1, vec![ACCEPT, RENEW])],
    };
    let answer = member.client.call(2, &acknowledge);
    assert_eq!((answer.response.responses[0].partitions[0].error_code, answer.lock_timeout_ms), (0, 30_000));
    let second = member.client.call(2, &ask(3)).0;
    assert_eq!(acquired(&second), [(3, 5, 1)]);
}

#[test]
fn a_group_reads_committed_records_only_when_told_to() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("shared", 1, &[]);
    let (all, committed) = (earliest(&mut client), earliest(&mut client));
    assert_eq!(alter(&mut client, GROUP, &committed, &[("share.isolation.level", SET, Some("read_committed"))]).0, None);
    let mut producer = Producer::new(&server, &unique("txn"));
    assert_eq!(producer.add(&[(&topic.name, 0)]), [None]);
    for value in ["void", "void"] {
        producer.send(&topic, V1.1, value).expect("written");
    }
    producer.end(V1.0, false).expect("aborted");
    produce(&mut client, &topic, &["kept"]);
    let mut one = ShareMember::of(&server, &all, &topic.name);
    assert_eq!(one.acquire(topic.id), [(0, 3, 1)], "two records, their marker, and another record");
    let mut two = ShareMember::of(&server, &committed, &topic.name);
    assert_eq!(two.acquire(topic.id), [(2, 3, 1)], "the marker is skipped by the member");
}

/// The values that a member got, with their offsets.
fn delivered(member: &mut ShareMember, topic: Uuid) -> Vec<i64> {
    let ranges = member.acquire(topic);
    ranges.into_iter().flat_map(|(first, last, _)| first..=last).collect()
}

#[test]
fn what_was_acknowledged_before_a_kill_is_not_delivered_after_it() {
    let mut server = Launch::new().set("share.coordinator.state.topic.num.partitions", "3").start();
    let mut client = server.connect();
    let topic = client.create_topic("shared", 1, &[]);
    let group = earliest(&mut client);
    let mut acknowledged: BTreeMap<i64, usize> = BTreeMap::new();
    let mut next = 0;
    for round in 0..6 {
        for _ in 0..20 {
            produce(&mut client, &topic, &["a", "b", "c"]);
            next += 3;
        }
        let mut member = ShareMember::of(&server, &group, &topic.name);
        member.max_records = 20;
        for step in 0..4 {
            let got = delivered(&mut member, topic.id);
            for offset in &got {
                assert_eq!(acknowledged.get(offset), None, "{offset} was acknowledged before");
            }
            // Some are acknowledged, some released, and some are still with the member when the server is killed.
            for (at, offset) in got.iter().enumerate().filter(|(at, _)| (at + step + round) % 3 != 0) {
                let kind = if (at + step) % 5 == 0 { RELEASE } else { ACCEPT };
                assert_eq!(member.acknowledge(topic.id, &[(*offset, *offset, vec![kind])]), (0, Some(0)));
                if kind == ACCEPT {
                    acknowledged.insert(*offset, round);
                }
            }
        }
        server.kill9();
        server.restart();
        client = server.connect();
    }
    let mut member = ShareMember::of(&server, &group, &topic.name);
    loop {
        let got = delivered(&mut member, topic.id);
        if got.is_empty() {
            break;
        }
        for offset in got {
            assert_eq!(acknowledged.insert(offset, 9), None, "{offset} was acknowledged before");
            assert_eq!(member.acknowledge(topic.id, &[(offset, offset, vec![ACCEPT])]), (0, Some(0)));
        }
    }
    assert_eq!(i64::try_from(acknowledged.len()).expect("few"), next, "each record was delivered until it was acknowledged");
}

fn altered(
    client: &mut Client,
    group: &str,
    topic: &str,
    parts: &[(i32, i64)],
) -> (Option<ResponseError>, Vec<Option<ResponseError>>) {
    let partitions = parts.iter().map(|(index, start)| {
        AlterShareGroupOffsetsRequestPartition::default().with_partition_index(*index).with_start_offset(*start)
    });
    let topic =
        AlterShareGroupOffsetsRequestTopic::default().with_topic_name(topic_name(topic)).with_partitions(partitions.collect());
    let request = AlterShareGroupOffsetsRequest::default().with_group_id(group_id(group)).with_topics(vec![topic]);
    let response = client.call(0, &request);
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    (response.error_code.err(), partitions.map(|partition| partition.error_code.err()).collect())
}

fn deleted(client: &mut Client, group: &str, topic: &str) -> (Option<ResponseError>, Vec<Option<ResponseError>>) {
    let topic = DeleteShareGroupOffsetsRequestTopic::default().with_topic_name(topic_name(topic));
    let response =
        client.call(0, &DeleteShareGroupOffsetsRequest::default().with_group_id(group_id(group)).with_topics(vec![topic]));
    (response.error_code.err(), response.responses.iter().map(|topic| topic.error_code.err()).collect())
}

fn described(client: &mut Client, group: &str, topics: Option<&[&str]>) -> Vec<(String, i32, i64, i64)> {
    let topics = topics.map(|topics| topics.iter().map(|topic| (*topic).to_owned()).collect());
    let answer = client.call(1, &DescribeWithLag { group: group.to_owned(), topics });
    assert_eq!(answer.error_code, 0);
    answer.partitions
}

#[test]
fn offsets_of_a_share_group_are_shown_altered_and_forgotten() {
    let server = Server::shared();
    let mut client = server.connect();
    let (topic, group) = prepared(&mut client, 10);
    let unknown = Some(ResponseError::UnknownTopicOrPartition);
    // The first member of any group makes the coordinator.
    let _first = ShareMember::of(&server, &unique("share"), &topic.name);
    assert_eq!(described(&mut client, &group, None), []);
    let nothing = described(&mut client, &group, Some(&[&topic.name, "no-such-topic"]));
    assert_eq!(nothing, [(topic.name.clone(), 0, -1, -1), ("no-such-topic".to_owned(), 0, -1, -1)]);
    assert_eq!(deleted(&mut client, &group, &topic.name).0, Some(ResponseError::GroupIdNotFound));
    let mut member = ShareMember::of(&server, &group, &topic.name);
    assert_eq!(member.acquire(topic.id), [(0, 9, 1)]);
    assert_eq!(member.acknowledge(topic.id, &[(0, 2, vec![ACCEPT]), (5, 6, vec![ACCEPT])]), (0, Some(0)));
    assert_eq!(
        described(&mut client, &group, None),
        [(topic.name.clone(), 0, 3, 5)],
        "two of seven behind the start are settled"
    );
    assert_eq!(altered(&mut client, &group, &topic.name, &[(0, 1)]).0, Some(ResponseError::NonEmptyGroup));
    assert_eq!(
        altered(&mut client, &group, "no-such-topic", &[(0, 1)]).0,
        Some(ResponseError::NonEmptyGroup),
        "before what its topics are"
    );
    assert_eq!(deleted(&mut client, &group, &topic.name).0, Some(ResponseError::NonEmptyGroup));
    member.leave();
    assert_eq!(altered(&mut client, &group, &topic.name, &[(0, 4), (7, 0)]), (None, vec![None, unknown]));
    assert_eq!(altered(&mut client, &group, "no-such-topic", &[(0, 4)]), (None, vec![unknown]));
    assert_eq!(described(&mut client, &group, None), [(topic.name.clone(), 0, 4, 6)]);
    let mut member = ShareMember::of(&server, &group, &topic.name);
    assert_eq!(member.acquire(topic.id), [(4, 9, 1)], "what was settled before counts no more");
    member.leave();
    assert_eq!(deleted(&mut client, &group, "no-such-topic"), (None, vec![unknown]));
    assert_eq!(deleted(&mut client, &group, &topic.name), (None, vec![None]));
    assert_eq!(deleted(&mut client, &group, &topic.name), (None, vec![unknown]), "there is nothing left to forget");
    assert_eq!(described(&mut client, &group, None), []);
    let mut member = ShareMember::of(&server, &group, &topic.name);
    assert_eq!(member.acquire(topic.id), [(0, 9, 1)]);
    assert_eq!(member.acknowledge(topic.id, &[(0, 4, vec![ACCEPT])]), (0, Some(0)));
    member.leave();
    let groups = DeleteGroupsRequest::default().with_groups_names(vec![group_id(&group)]);
    assert_eq!(client.call(2, &groups).results[0].error_code.err(), None);
    assert_eq!(described(&mut client, &group, Some(&[&topic.name])), [(topic.name.clone(), 0, -1, -1)]);
    let mut again = ShareMember::of(&server, &group, &topic.name);
    assert_eq!(again.acquire(topic.id), [(0, 9, 1)], "a group of the same name is another one");
}

/// Requests of one connection that are under way at once take effect in their order: a member that joins behind an alteration is not in its way.
#[test]
fn who_joins_behind_an_alteration_finds_it_done() {
    let server = Server::shared();
    let mut client = server.connect();
    let (topic, group) = prepared(&mut client, 10);
    ShareMember::of(&server, &group, &topic.name).leave();
    let partition = AlterShareGroupOffsetsRequestPartition::default().with_partition_index(0).with_start_offset(4);
    let alter =
        AlterShareGroupOffsetsRequestTopic::default().with_topic_name(topic_name(&topic.name)).with_partitions(vec![partition]);
    let alter = AlterShareGroupOffsetsRequest::default().with_group_id(group_id(&group)).with_topics(vec![alter]);
    let delete = DeleteShareGroupOffsetsRequestTopic::default().with_topic_name(topic_name(&topic.name));
    let delete = DeleteShareGroupOffsetsRequest::default().with_group_id(group_id(&group)).with_topics(vec![delete]);
    for round in 0..20 {
        let member = format!("joins-behind-{round}");
        let mut beat = ShareGroupHeartbeatRequest::default().with_group_id(group_id(&group)).with_member_id(text(&member));
        beat = beat.with_subscribed_topic_names(Some(vec![topic_name(&topic.name)]));
        let altered = client.send(0, &alter).expect("sent");
        let deleted = client.send(0, &delete).expect("sent");
        let joined = client.send(1, &beat).expect("sent");
        let altered = client.receive::<AlterShareGroupOffsetsRequest>(0, altered).expect("answered");
        assert_eq!((altered.error_code.err(), altered.responses[0].partitions[0].error_code.err()), (None, None), "{round}");
        let deleted = client.receive::<DeleteShareGroupOffsetsRequest>(0, deleted).expect("answered");
        assert_eq!((deleted.error_code.err(), deleted.responses[0].error_code.err()), (None, None), "{round}");
        let joined = client.receive::<ShareGroupHeartbeatRequest>(1, joined).expect("answered");
        assert_eq!(joined.error_code.err(), None, "{round}");
        assert_eq!(client.call(1, &beat.with_member_epoch(-1)).error_code.err(), None, "{round}");
    }
}

#[test]
fn nobody_reads_for_a_group_that_nobody_has_joined() {
    let server = Server::shared();
    let mut client = server.connect();
    let (topic, group) = prepared(&mut client, 1);
    let other = client.create_topic("other", 1, &[]);
    let mut member = ShareMember::of(&server, &group, &topic.name);
    let response = member.fetch(&[(other.id, 0, vec![])]);
    assert_eq!(partitions(&response)[0].error_code.err(), Some(ResponseError::UnknownServerError));
    member.group = unique("nobody");
    member.epoch = 0;
    let response = member.fetch(&[(topic.id, 0, vec![])]);
    assert_eq!(partitions(&response)[0].error_code.err(), Some(ResponseError::UnknownServerError));
    assert_eq!(described(&mut client, &member.group, None), []);
}
