//! Goal: streams groups (KIP-1071) over the wire: refusals with the codes that clients act on, topics that the broker makes for them, and a group
//! that is there again after a crash.
//! Method: raw heartbeats, error paths first. What happens inside of a group has its tests in the server's own tree.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::{DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest};
use protocol_tests::client::Client;
use protocol_tests::frame::{group_id, text};
use protocol_tests::groups::Member;
use protocol_tests::server::{Launch, Server};
use protocol_tests::streams::{DescribeStreams, DescribedGroup, StreamsAnswer, StreamsBeat, Tasks, Topology};
use protocol_tests::topics::{Topic, unique};
use std::time::Duration;

/// A thread of an application, as it knows itself.
struct Thread {
    group: String,
    id: String,
    epoch: i32,
    active: Tasks,
}

impl Thread {
    fn of(group: &str) -> Thread {
        Thread { group: group.to_owned(), id: unique("member"), epoch: 0, active: Vec::new() }
    }

    fn joining(&self, source: &str) -> StreamsBeat {
        StreamsBeat {
            group: self.group.clone(),
            member_id: self.id.clone(),
            rebalance_timeout_ms: 30_000,
            topology: Some(Topology { source: source.to_owned(), ..Topology::default() }),
            active: Some(Vec::new()),
            standby: Some(Vec::new()),
            warmup: Some(Vec::new()),
            process: Some(format!("process-{}", self.id)),
            ..StreamsBeat::default()
        }
    }

    fn living(&self) -> StreamsBeat {
        StreamsBeat {
            group: self.group.clone(),
            member_id: self.id.clone(),
            epoch: self.epoch,
            rebalance_timeout_ms: -1,
            active: Some(self.active.clone()),
            standby: Some(Vec::new()),
            warmup: Some(Vec::new()),
            ..StreamsBeat::default()
        }
    }

    fn beat(&mut self, client: &mut Client, request: &StreamsBeat) -> StreamsAnswer {
        let answer = client.call(0, request);
        assert_eq!(answer.error_code.err(), None, "{}: {:?}", self.id, answer.error_message);
        self.epoch = answer.epoch;
        if let Some(active) = &answer.active {
            self.active = active.clone();
        }
        answer
    }

    fn tasks(&self) -> usize {
        self.active.iter().map(|(_, partitions)| partitions.len()).sum()
    }
}

/// A server whose first rebalances do not wait.
fn quick() -> Launch {
    Launch::new().set("group.streams.initial.rebalance.delay.ms", "0").set("group.streams.assignment.interval.ms", "0")
}

fn refusal(client: &mut Client, request: &StreamsBeat) -> (Option<ResponseError>, String) {
    let answer = client.call(0, request);
    (answer.error_code.err(), answer.error_message.unwrap_or_default())
}

fn describe(client: &mut Client, group: &str) -> DescribedGroup {
    client.call(0, &DescribeStreams { groups: vec![group.to_owned()] }).groups.remove(0)
}

#[test]
fn what_a_heartbeat_lacks_is_named() {
    let server = Server::shared();
    let mut client = server.connect();
    let joining = Thread::of(&unique("group")).joining("t");
    let invalid = Some(ResponseError::InvalidRequest);
    let topology = || Topology { source: "t".to_owned(), ..Topology::default() };
    let tasks = || Some(vec![("0".to_owned(), vec![0])]);
    for (request, why) in [
        (StreamsBeat { member_id: String::new(), ..joining.clone() }, "MemberId can't be empty."),
        (StreamsBeat { group: String::new(), ..joining.clone() }, "GroupId can't be empty."),
        (StreamsBeat { instance_id: Some("i".to_owned()), ..joining.clone() }, "Static membership is not yet supported."),
        (StreamsBeat { rebalance_timeout_ms: -1, ..joining.clone() }, "RebalanceTimeoutMs must be provided in first request."),
        (StreamsBeat { active: tasks(), ..joining.clone() }, "ActiveTasks must be empty when (re-)joining."),
        (StreamsBeat { standby: None, ..joining.clone() }, "StandbyTasks must be empty when (re-)joining."),
        (StreamsBeat { warmup: tasks(), ..joining.clone() }, "WarmupTasks are not supported yet."),
        (StreamsBeat { topology: None, ..joining.clone() }, "Topology must be non-null when (re-)joining."),
        (
            StreamsBeat { topology: Some(Topology { source_regex: Some("x".to_owned()), ..topology() }), ..joining.clone() },
            "Regular expressions for source topics are not supported yet.",
        ),
        (StreamsBeat { epoch: -2, ..joining.clone() }, "InstanceId can't be null."),
        (StreamsBeat { epoch: -3, ..joining.clone() }, "MemberEpoch is -3, but must be greater than or equal to -2."),
        (
            StreamsBeat { epoch: 1, topology: None, warmup: None, ..joining.clone() },
            "If one task-type is non-null, all must be non-null.",
        ),
        (StreamsBeat { epoch: 1, ..joining.clone() }, "Topology can only be provided when (re-)joining."),
    ] {
        assert_eq!(refusal(&mut client, &request), (invalid, why.to_owned()));
    }
    let wrong = Some(ResponseError::StreamsInvalidTopology);
    for (topology, why) in [
        (
            Topology { source: "__consumer_offsets".to_owned(), ..topology() },
            "Use of Kafka internal topics __consumer_offsets in a Kafka Streams topology is prohibited.",
        ),
        (Topology { source: "a b".to_owned(), ..topology() }, "Topic names a b are not valid topic names."),
        (
            Topology { changelog: Some(("c".to_owned(), 3)), ..topology() },
            "Changelog topic c must have an undefined partition count, but it is set to 3.",
        ),
    ] {
        assert_eq!(refusal(&mut client, &StreamsBeat { topology: Some(topology), ..joining.clone() }), (wrong, why.to_owned()));
    }
}

#[test]
fn who_is_not_there_is_told_so() {
    let server = Server::shared();
    let mut client = server.connect();
    let group = unique("group");
    client.find_coordinator(&group);
    let stranger = Thread { epoch: 1, ..Thread::of(&group) };
    let (error, why) = refusal(&mut client, &stranger.living());
    assert_eq!((error, why), (Some(ResponseError::GroupIdNotFound), format!("Streams group {group} not found.")));
    let described = describe(&mut client, &group);
    assert_eq!(described.error_code.err(), Some(ResponseError::GroupIdNotFound));
    assert_eq!(described.error_message.as_deref(), Some(format!("Group {group} not found.").as_str()));
    let mut classic = Member::of(&server, &group);
    classic.join_alone("all");
    let (error, why) = refusal(&mut client, &Thread::of(&group).joining("t"));
    assert_eq!((error, why), (Some(ResponseError::GroupIdNotFound), format!("Group {group} is not a streams group.")));
}

#[test]
fn a_server_that_does_not_offer_streams_groups_says_so() {
    let server = Launch::new().set("feature.streams.version", "0").start();
    let mut client = server.connect();
    let answer = client.call(0, &Thread::of("g").joining("t"));
    assert_eq!((answer.error_code.err(), answer.error_message), (Some(ResponseError::UnsupportedVersion), None));
    assert_eq!(describe(&mut client, "g").error_code.err(), Some(ResponseError::UnsupportedVersion));
}

#[test]
fn without_a_coordinator_there_is_none() {
    let server = Server::start();
    let mut client = server.connect();
    let answer = client.call(0, &Thread::of("g").joining("t"));
    assert_eq!((answer.error_code.err(), answer.error_message), (Some(ResponseError::NotCoordinator), None));
}

#[test]
fn tasks_move_from_one_member_to_another_and_outlive_a_crash() {
    let mut server = quick().start();
    let mut client = server.connect();
    let topic = client.create_topic("streamed", 4, &[]);
    let group = unique("group");
    client.find_coordinator(&group);
    let (mut first, mut second) = (Thread::of(&group), Thread::of(&group));
    let joining = first.joining(&topic.name);
    first.beat(&mut client, &joining);
    assert_eq!((first.epoch, first.tasks()), (2, 4));
    let joining = second.joining(&topic.name);
    second.beat(&mut client, &joining);
    for _ in 0..50 {
        let living = first.living();
        first.beat(&mut client, &living);
        let living = second.living();
        second.beat(&mut client, &living);
        if second.tasks() == 2 {
            break;
        }
    }
    assert_eq!((first.tasks(), second.tasks(), first.epoch, second.epoch), (2, 2, 3, 3));
    let described = describe(&mut client, &group);
    assert_eq!((described.state.as_str(), described.epoch, described.assignment_epoch), ("Stable", 3, 3));
    assert!(described.operations > 0);
    assert!(described.members.iter().all(|(_, epoch, active, target)| *epoch == 3 && active == target));

    // As groups of other kinds are described and listed, it is none of them.
    let classic = client.call(6, &DescribeGroupsRequest::default().with_groups(vec![group_id(&group)])).groups.remove(0);
    assert_eq!((classic.group_state.as_str(), classic.error_code.err()), ("Dead", Some(ResponseError::GroupIdNotFound)));
    let listed = client.call(5, &ListGroupsRequest::default().with_types_filter(vec![text("streams")])).groups;
    let listed: Vec<_> =
        listed.iter().map(|one| (one.group_id.as_str(), one.group_state.as_str(), one.protocol_type.as_str())).collect();
    assert_eq!(listed, [(group.as_str(), "Stable", "streams")]);
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group_id(&group)]);
    assert_eq!(client.call(2, &delete).results[0].error_code.err(), Some(ResponseError::NonEmptyGroup));

    server.kill9();
    server.restart();
    let mut client = server.connect();
    client.find_coordinator(&group);
    for thread in [&mut first, &mut second] {
        let (epoch, living) = (thread.epoch, thread.living());
        let answer = thread.beat(&mut client, &living);
        assert_eq!((answer.epoch, answer.active), (epoch, None));
    }
    for thread in [&first, &second] {
        let leaving = StreamsBeat { epoch: -1, ..thread.living() };
        assert_eq!(client.call(0, &leaving).epoch, -1);
    }
    assert_eq!(describe(&mut client, &group).state, "Empty");
    assert_eq!(client.call(2, &delete).results[0].error_code.err(), None);
}

/// Heartbeats until `is_done`.
fn until(thread: &mut Thread, client: &mut Client, is_done: impl Fn(&StreamsAnswer) -> bool) -> StreamsAnswer {
    for _ in 0..100 {
        let living = thread.living();
        let answer = thread.beat(client, &living);
        if is_done(&answer) {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{}: it does not come to that", thread.id);
}

#[test]
fn the_broker_makes_the_topics_that_an_application_needs() {
    let server = quick().start();
    let mut client = server.connect();
    let topic: Topic = client.create_topic("streamed", 3, &[]);
    let group = unique("group");
    client.find_coordinator(&group);
    let mut thread = Thread::of(&group);
    let (changelog, repartition) = (format!("{group}-changelog"), format!("{group}-repartition"));
    let topology = Topology {
        source: topic.name.clone(),
        changelog: Some((changelog.clone(), 0)),
        repartition: Some((repartition.clone(), 0)),
        ..Topology::default()
    };
    let joining = StreamsBeat { topology: Some(topology), ..thread.joining("") };
    let answer = thread.beat(&mut client, &joining);
    assert_eq!(answer.statuses, [(3, format!("Internal topics are missing: {changelog}, {repartition}"))]);
    let answer = until(&mut thread, &mut client, |answer| answer.statuses.is_empty());
    assert_eq!(answer.error_code, 0);
    until(&mut thread, &mut client, |answer| answer.active.is_none());
    assert_eq!(thread.tasks(), 3);
    for name in [&changelog, &repartition] {
        assert_eq!(client.topic_metadata(name).partitions.len(), 3, "{name}");
    }
    assert_eq!(describe(&mut client, &group).changelogs, [(changelog, 3)]);
    // It grows: so does the group's need, which its changelog does not meet.
    client.add_partitions(&topic.name, 4);
    let answer = until(&mut thread, &mut client, |answer| !answer.statuses.is_empty());
    assert_eq!(answer.statuses[0].0, 2);
}

#[test]
fn why_a_topic_cannot_be_made_is_told() {
    let server = quick().start();
    let mut client = server.connect();
    let topic = client.create_topic("streamed", 1, &[]);
    let group = unique("group");
    client.find_coordinator(&group);
    let mut thread = Thread::of(&group);
    let repartition = format!("{group}-repartition");
    let topology = Topology {
        source: topic.name.clone(),
        repartition: Some((repartition.clone(), 1)),
        policy: Some("nonsense".to_owned()),
        ..Topology::default()
    };
    let joining = StreamsBeat { topology: Some(topology), ..thread.joining("") };
    thread.beat(&mut client, &joining);
    let failed = format!("; Creation failed: {repartition} (");
    let answer = until(&mut thread, &mut client, |answer| answer.statuses.iter().any(|(_, why)| why.contains(&failed)));
    assert_eq!(answer.statuses[0].0, 3);
    assert!(answer.statuses[0].1.contains("cleanup.policy"), "{:?}", answer.statuses);

    // More tasks than a group may have are refused before there is one.
    let huge = Topology { source: topic.name, repartition: Some((format!("{group}-huge"), i32::MAX)), ..Topology::default() };
    let request = StreamsBeat { topology: Some(huge), ..Thread::of(&unique("group")).joining("") };
    let (error, why) = refusal(&mut client, &request);
    assert_eq!(error, Some(ResponseError::StreamsInvalidTopology), "{why}");
    client.assert_alive("a topology of very many tasks");
}
