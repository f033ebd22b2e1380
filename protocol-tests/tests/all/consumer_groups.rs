//! Goal: groups of the consumer protocol (KIP-848) over the wire: refusals with the codes that clients act on, one owner per partition,
//! and a group that is there again after a crash.
//! Method: raw heartbeats, error paths first. What happens inside of a group has its tests in the server's own tree.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, DeleteGroupsRequest,
    DescribeGroupsRequest, ListGroupsRequest,
};
use protocol_tests::client::Client;
use protocol_tests::frame::{group_id, text, topic_name};
use protocol_tests::groups::Member;
use protocol_tests::server::Server;
use protocol_tests::topics::{Topic, unique};
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

const HEARTBEAT: i16 = 1;
const DESCRIBE: i16 = 1;

/// A member, as it knows itself.
struct Consumer {
    group: String,
    id: String,
    epoch: i32,
    owned: BTreeSet<(Uuid, i32)>,
}

impl Consumer {
    fn of(group: &str) -> Consumer {
        Consumer { group: group.to_owned(), id: unique("member"), epoch: 0, owned: BTreeSet::new() }
    }

    fn joining(&self, topic: &str) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_member_id(text(&self.id))
            .with_rebalance_timeout_ms(30_000)
            .with_subscribed_topic_names(Some(vec![topic_name(topic)]))
            .with_topic_partitions(Some(Vec::new()))
    }

    fn living(&self) -> ConsumerGroupHeartbeatRequest {
        let owned =
            self.owned.iter().map(|(id, index)| TopicPartitions::default().with_topic_id(*id).with_partitions(vec![*index]));
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_member_id(text(&self.id))
            .with_member_epoch(self.epoch)
            .with_topic_partitions(Some(owned.collect()))
    }

    fn beat(&mut self, client: &mut Client, request: &ConsumerGroupHeartbeatRequest) {
        let response = client.call(HEARTBEAT, request);
        assert_eq!(response.error_code.err(), None, "{}: {:?}", self.id, response.error_message);
        self.epoch = response.member_epoch;
        if let Some(assignment) = response.assignment {
            let own = assignment.topic_partitions.into_iter();
            self.owned = own.flat_map(|topic| topic.partitions.into_iter().map(move |index| (topic.topic_id, index))).collect();
        }
    }

    fn join(&mut self, client: &mut Client, topic: &Topic) {
        let request = self.joining(&topic.name);
        self.beat(client, &request);
    }

    fn live(&mut self, client: &mut Client) {
        let request = self.living();
        self.beat(client, &request);
    }
}

fn error(client: &mut Client, version: i16, request: &ConsumerGroupHeartbeatRequest) -> (Option<ResponseError>, String) {
    let ConsumerGroupHeartbeatResponse { error_code, error_message, .. } = client.call(version, request);
    (error_code.err(), error_message.map(|message| message.to_string()).unwrap_or_default())
}

fn describe(client: &mut Client, group: &str) -> DescribedGroup {
    let request =
        ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(group)]).with_include_authorized_operations(true);
    client.call(DESCRIBE, &request).groups.remove(0)
}

#[test]
fn what_a_heartbeat_lacks_is_named() {
    let server = Server::shared();
    let mut client = server.connect();
    let member = Consumer::of(&unique("group"));
    let joining = member.joining("t");
    let invalid = Some(ResponseError::InvalidRequest);
    for (request, why) in [
        (joining.clone().with_member_id(text("")), "MemberId can't be empty."),
        (joining.clone().with_group_id(group_id("")), "GroupId can't be empty."),
        (joining.clone().with_instance_id(Some(text(""))), "InstanceId can't be empty."),
        (joining.clone().with_rebalance_timeout_ms(-1), "RebalanceTimeoutMs must be provided in first request."),
        (joining.clone().with_topic_partitions(None), "TopicPartitions must be empty when (re-)joining."),
        (joining.clone().with_member_epoch(-2), "InstanceId can't be null."),
        (joining.clone().with_member_epoch(-3), "MemberEpoch is invalid."),
    ] {
        assert_eq!(error(&mut client, HEARTBEAT, &request), (invalid, why.to_owned()));
    }
    let (code, why) = error(&mut client, HEARTBEAT, &joining.clone().with_server_assignor(Some(text("nobody"))));
    assert_eq!(code, Some(ResponseError::UnsupportedAssignor));
    assert_eq!(why, "ServerAssignor nobody is not supported. Supported assignors: uniform, range.");
    let regex = joining.with_subscribed_topic_names(None).with_subscribed_topic_regex(Some(text("(")));
    assert_eq!(error(&mut client, HEARTBEAT, &regex).0, Some(ResponseError::InvalidRegularExpression));
    let (code, why) = error(&mut client, HEARTBEAT, &Consumer { epoch: 3, ..member }.living());
    assert_eq!(code, Some(ResponseError::GroupIdNotFound), "{why}");
}

#[test]
fn strangers_and_wrong_epochs_are_fenced() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("consumed", 2, &[]);
    let mut member = Consumer::of(&unique("group"));
    member.join(&mut client, &topic);
    let stranger = Consumer { epoch: 1, ..Consumer::of(&member.group) };
    assert_eq!(error(&mut client, HEARTBEAT, &stranger.living()).0, Some(ResponseError::UnknownMemberId));
    let ahead = member.living().with_member_epoch(9);
    assert_eq!(error(&mut client, HEARTBEAT, &ahead).0, Some(ResponseError::FencedMemberEpoch));
    // A classic member without a protocol in common with consumers.
    let mut classic = Member::of(&server, &member.group);
    let request = classic.join_request().with_protocol_type(text("connect"));
    let refused = classic.client.call(protocol_tests::groups::JOIN, &request);
    assert_eq!(refused.error_code.err(), Some(ResponseError::InconsistentGroupProtocol));
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group_id(&member.group)]);
    assert_eq!(client.call(2, &delete).results[0].error_code.err(), Some(ResponseError::NonEmptyGroup));
}

#[test]
fn version_0_gives_a_member_its_id() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("consumed", 1, &[]);
    let request = Consumer::of(&unique("group")).joining(&topic.name).with_member_id(text(""));
    let response = client.call(0, &request);
    assert_eq!(response.error_code.err(), None, "{:?}", response.error_message);
    assert!(response.member_id.is_some_and(|id| !id.is_empty()));
}

#[test]
fn partitions_move_from_one_member_to_another_with_one_owner_at_a_time() {
    let mut server = Server::start();
    let mut client = server.connect();
    let topic = client.create_topic("consumed", 4, &[]);
    let group = unique("group");
    let (mut first, mut second) = (Consumer::of(&group), Consumer::of(&group));
    first.join(&mut client, &topic);
    assert_eq!((first.epoch, first.owned.len()), (2, 4));
    second.join(&mut client, &topic);
    for _ in 0..50 {
        first.live(&mut client);
        assert!(first.owned.is_disjoint(&second.owned));
        second.live(&mut client);
        assert!(first.owned.is_disjoint(&second.owned));
        if second.owned.len() == 2 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!((first.owned.len(), second.owned.len()), (2, 2));
    assert_eq!((first.epoch, second.epoch), (3, 3));
    let described = describe(&mut client, &group);
    assert_eq!((described.group_state.as_str(), described.group_epoch, described.assignment_epoch), ("Stable", 3, 3));
    assert_eq!(described.assignor_name.as_str(), "uniform");
    assert!(described.authorized_operations > 0);
    assert!(described.members.iter().all(|member| member.member_type == 1 && member.assignment == member.target_assignment));
    assert_eq!(described.members[0].assignment.topic_partitions[0].topic_name.as_str(), topic.name);

    // As classic groups are described and listed, it is not one.
    let classic = client.call(6, &DescribeGroupsRequest::default().with_groups(vec![group_id(&group)])).groups.remove(0);
    assert_eq!((classic.group_state.as_str(), classic.error_code.err()), ("Dead", Some(ResponseError::GroupIdNotFound)));
    let of_type = |client: &mut Client, kind: &str| {
        let listed = client.call(5, &ListGroupsRequest::default().with_types_filter(vec![text(kind)])).groups;
        listed.into_iter().find(|one| one.group_id.as_str() == group).map(|one| one.group_state.to_string())
    };
    assert_eq!((of_type(&mut client, "consumer").as_deref(), of_type(&mut client, "classic")), (Some("Stable"), None));

    // A crash: they go on with what they have.
    server.kill9();
    server.restart();
    let mut client = server.connect();
    for member in [&mut first, &mut second] {
        let before = (member.epoch, member.owned.clone());
        member.live(&mut client);
        assert_eq!((member.epoch, member.owned.clone()), before);
    }
    let leaving = second.living().with_member_epoch(-1);
    assert_eq!(client.call(HEARTBEAT, &leaving).member_epoch, -1);
    for _ in 0..50 {
        first.live(&mut client);
        if first.owned.len() == 4 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(first.owned.len(), 4);
}

#[test]
fn a_group_that_is_not_there_or_is_classic_is_not_described() {
    let server = Server::shared();
    let mut client = server.connect();
    let group = unique("group");
    client.find_coordinator(&group);
    let unknown = describe(&mut client, &group);
    assert_eq!(unknown.error_code.err(), Some(ResponseError::GroupIdNotFound));
    assert_eq!(unknown.error_message.as_deref(), Some(format!("Group {group} not found.").as_str()));
    let mut classic = Member::of(&server, &group);
    classic.join_alone("all");
    let described = describe(&mut client, &group);
    assert_eq!(described.error_message.as_deref(), Some(format!("Group {group} is not a consumer group.").as_str()));
}
