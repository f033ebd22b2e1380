//! Goal: membership of share groups (KIP-932) over the wire: refusals with the codes that clients act on, partitions that several members
//! read from, what other requests say of such a group, and a group that is there again after a crash.
//! Method: raw heartbeats, error paths first. What happens inside of a group has its tests in the server's own tree.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::share_group_describe_response::DescribedGroup;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, ListGroupsRequest,
    ShareGroupDescribeRequest, ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse,
};
use protocol_tests::client::Client;
use protocol_tests::frame::{group_id, text, topic_name};
use protocol_tests::groups::{self, Member};
use protocol_tests::server::{Launch, Server};
use protocol_tests::topics::{Topic, unique};
use std::collections::BTreeSet;
use std::time::Duration;

const VERSION: i16 = 1;

/// A member, as it knows itself.
struct Sharer {
    group: String,
    id: String,
    epoch: i32,
    reads: BTreeSet<i32>,
}

impl Sharer {
    fn of(group: &str) -> Sharer {
        Sharer { group: group.to_owned(), id: unique("m"), epoch: 0, reads: BTreeSet::new() }
    }

    fn living(&self) -> ShareGroupHeartbeatRequest {
        ShareGroupHeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_member_id(text(&self.id))
            .with_member_epoch(self.epoch)
    }

    fn joining(&self, topic: &str) -> ShareGroupHeartbeatRequest {
        self.living().with_member_epoch(0).with_subscribed_topic_names(Some(vec![topic_name(topic)]))
    }

    fn beat(&mut self, client: &mut Client, request: &ShareGroupHeartbeatRequest) -> i32 {
        let response = client.call(VERSION, request);
        assert_eq!(response.error_code.err(), None, "{}: {:?}", self.id, response.error_message);
        self.epoch = response.member_epoch;
        if let Some(assignment) = response.assignment {
            self.reads = assignment.topic_partitions.into_iter().flat_map(|topic| topic.partitions).collect();
        }
        response.heartbeat_interval_ms
    }

    fn join(&mut self, client: &mut Client, topic: &Topic) {
        let request = self.joining(&topic.name);
        self.beat(client, &request);
    }

    fn live(&mut self, client: &mut Client) -> i32 {
        let request = self.living();
        self.beat(client, &request)
    }

    /// Heartbeats, when it was told to, until it reads from so many partitions.
    fn wait_for(&mut self, client: &mut Client, count: usize) {
        for _ in 0..20 {
            if self.reads.len() == count {
                return;
            }
            let interval_ms = self.live(client);
            std::thread::sleep(Duration::from_millis(u64::try_from(interval_ms).expect("an interval").min(1_000)));
        }
        panic!("{} reads {:?}, not {count} partitions", self.id, self.reads);
    }
}

fn error(client: &mut Client, request: &ShareGroupHeartbeatRequest) -> (Option<ResponseError>, String) {
    let ShareGroupHeartbeatResponse { error_code, error_message, .. } = client.call(VERSION, request);
    (error_code.err(), error_message.map(|message| message.to_string()).unwrap_or_default())
}

fn describe(client: &mut Client, group: &str) -> DescribedGroup {
    let request =
        ShareGroupDescribeRequest::default().with_group_ids(vec![group_id(group)]).with_include_authorized_operations(true);
    client.call(VERSION, &request).groups.remove(0)
}

fn delete(client: &mut Client, group: &str) -> Option<ResponseError> {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(group)]);
    client.call(2, &request).results[0].error_code.err()
}

#[test]
fn what_a_heartbeat_gets_wrong_is_named() {
    let server = Server::shared();
    let mut client = server.connect();
    let member = Sharer::of(&unique("group"));
    let joining = member.joining("t");
    let invalid = Some(ResponseError::InvalidRequest);
    for (request, why) in [
        (joining.clone().with_member_id(text("")), "Invalid member id in the request."),
        (joining.clone().with_member_id(text("seven-and-thirty-characters-are-too-l")), "Invalid member id in the request."),
        (joining.clone().with_group_id(group_id("")), "GroupId can't be empty."),
        (joining.clone().with_rack_id(Some(text(""))), "RackId can't be empty."),
        (joining.clone().with_subscribed_topic_names(None), "SubscribedTopicNames must be set in first request."),
        (joining.clone().with_subscribed_topic_names(Some(Vec::new())), "SubscribedTopicNames must be set in first request."),
        (joining.with_member_epoch(-2), "MemberEpoch is invalid."),
    ] {
        assert_eq!(error(&mut client, &request), (invalid, why.to_owned()));
    }
    let not_found = Some(ResponseError::GroupIdNotFound);
    let why = format!("Share group {} not found.", member.group);
    assert_eq!(error(&mut client, &member.living().with_member_epoch(3)), (not_found, why));
    let why = format!("Group {} not found.", member.group);
    assert_eq!(error(&mut client, &member.living().with_member_epoch(-1)), (not_found, why.clone()));
    let described = describe(&mut client, &member.group);
    assert_eq!((described.error_code.err(), described.error_message.map(|why| why.to_string())), (not_found, Some(why)));
    assert_eq!(describe(&mut client, "").error_code.err(), Some(ResponseError::InvalidGroupId));
}

#[test]
fn strangers_wrong_epochs_and_groups_of_other_kinds_are_refused() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("shared", 2, &[]);
    let mut member = Sharer::of(&unique("group"));
    member.join(&mut client, &topic);
    let stranger = Sharer { epoch: 1, ..Sharer::of(&member.group) };
    assert_eq!(error(&mut client, &stranger.living()).0, Some(ResponseError::UnknownMemberId));
    assert_eq!(error(&mut client, &stranger.living().with_member_epoch(-1)).0, Some(ResponseError::UnknownMemberId));
    assert_eq!(error(&mut client, &member.living().with_member_epoch(99)).0, Some(ResponseError::FencedMemberEpoch));
    assert_eq!(delete(&mut client, &member.group), Some(ResponseError::NonEmptyGroup));

    // Members and commits of consumers.
    let mut classic = Member::of(&server, &member.group);
    let refused = classic.client.call(groups::JOIN, &classic.join_request());
    assert_eq!(refused.error_code.err(), Some(ResponseError::InconsistentGroupProtocol));
    let commit = groups::commit_request(&member.group, &topic.name, &[(0, 1)]);
    for version in [8, 9] {
        let response = client.call(version, &commit);
        assert_eq!(response.topics[0].partitions[0].error_code.err(), Some(ResponseError::GroupIdNotFound), "version {version}");
    }
    let classic_view = client.describe_group(&member.group);
    assert_eq!(classic_view.group_state.as_str(), "Dead");
    let consumers = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(&member.group)]);
    let described = client.call(1, &consumers).groups.remove(0);
    assert_eq!(described.error_message.as_deref(), Some(format!("Group {} is not a consumer group.", member.group).as_str()));

    // And the other way round.
    let other = unique("group");
    Member::of(&server, &other).join_alone("all");
    let (code, why) = error(&mut client, &Sharer::of(&other).joining(&topic.name));
    assert_eq!((code, why), (Some(ResponseError::GroupIdNotFound), format!("Group {other} is not a share group.")));
    assert_eq!(describe(&mut client, &other).error_code.err(), Some(ResponseError::GroupIdNotFound));
}

#[test]
fn a_server_without_share_groups_refuses_them() {
    let server = Launch::new().set("kafka.feature.share.version", "0").start();
    let mut client = server.connect();
    let member = Sharer::of("group");
    assert_eq!(error(&mut client, &member.joining("t")), (Some(ResponseError::UnsupportedVersion), String::new()));
    let described = describe(&mut client, "group");
    assert_eq!((described.error_code.err(), described.group_id.as_str()), (Some(ResponseError::UnsupportedVersion), "group"));
}

#[test]
fn a_full_group_takes_nobody() {
    let server = Launch::new().set("kafka.group.share.max.size", "1").start();
    let mut client = server.connect();
    let topic = client.create_topic("shared", 1, &[]);
    let mut member = Sharer::of("group");
    member.join(&mut client, &topic);
    let (code, why) = error(&mut client, &Sharer::of("group").joining(&topic.name));
    assert_eq!(code, Some(ResponseError::GroupMaxSizeReached));
    assert_eq!(why, "The share group has reached its maximum capacity of 1 members.");
    member.live(&mut client);
}

#[test]
fn members_read_from_partitions_together_and_a_crash_changes_nothing() {
    let mut server = Server::start();
    let mut client = server.connect();
    let topic = client.create_topic("shared", 1, &[]);
    let group = unique("group");
    let (mut first, mut second) = (Sharer::of(&group), Sharer::of(&group));
    first.join(&mut client, &topic);
    assert_eq!(first.reads, BTreeSet::from([0]), "nobody waits for the first assignment");
    second.join(&mut client, &topic);
    second.wait_for(&mut client, 1);
    first.live(&mut client);
    assert_eq!((&first.reads, &second.reads), (&BTreeSet::from([0]), &BTreeSet::from([0])));
    let described = describe(&mut client, &group);
    assert_eq!((described.group_state.as_str(), described.assignor_name.as_str()), ("Stable", "simple"));
    assert_eq!(described.group_epoch, described.assignment_epoch);
    assert!(described.authorized_operations > 0);
    assert_eq!(described.members.len(), 2);
    for member in &described.members {
        let assigned = &member.assignment.topic_partitions[0];
        assert_eq!((assigned.topic_name.as_str(), assigned.topic_id), (topic.name.as_str(), topic.id));
        assert_eq!((assigned.partitions.as_slice(), member.subscribed_topic_names[0].as_str()), (&[0][..], topic.name.as_str()));
    }
    let of_type = |client: &mut Client, kind: &str| {
        let listed = client.call(5, &ListGroupsRequest::default().with_types_filter(vec![text(kind)])).groups;
        let own = listed.into_iter().find(|one| one.group_id.as_str() == group);
        own.map(|one| (one.group_state.to_string(), one.protocol_type.to_string(), one.group_type.to_string()))
    };
    let as_listed = ("Stable".to_owned(), "share".to_owned(), "share".to_owned());
    assert_eq!((of_type(&mut client, "Share"), of_type(&mut client, "classic")), (Some(as_listed), None));

    server.kill9();
    server.restart();
    let mut client = server.connect();
    for member in [&mut first, &mut second] {
        let before = (member.epoch, member.reads.clone());
        member.live(&mut client);
        assert_eq!((member.epoch, member.reads.clone()), before);
    }
    client.add_partitions(&topic.name, 2);
    first.live(&mut client);
    second.live(&mut client);
    std::thread::sleep(Duration::from_millis(1_000));
    first.live(&mut client);
    second.live(&mut client);
    assert_eq!(first.reads.union(&second.reads).copied().collect::<Vec<_>>(), [0, 1]);
    assert_eq!((first.reads.len(), second.reads.len()), (1, 1), "with as many partitions as members, each has its own");
    for member in [&first, &second] {
        assert_eq!(client.call(VERSION, &member.living().with_member_epoch(-1)).member_epoch, -1);
    }
    assert_eq!(describe(&mut client, &group).group_state.as_str(), "Empty");
    assert_eq!(delete(&mut client, &group), None);
    assert_eq!(describe(&mut client, &group).error_code.err(), Some(ResponseError::GroupIdNotFound));
    let dead = client.call(6, &DescribeGroupsRequest::default().with_groups(vec![group_id(&group)])).groups.remove(0);
    assert_eq!(dead.error_code.err(), Some(ResponseError::GroupIdNotFound));
}

#[test]
fn this_node_coordinates_share_partitions() {
    let server = Server::shared();
    let mut client = server.connect();
    let keys = ["g:AAAAAAAAAAAAAAAAAAAAAQ:0", "g:no-id:0", "g"].map(text).to_vec();
    let request = FindCoordinatorRequest::default().with_key_type(2).with_coordinator_keys(keys);
    let found = client.call(6, &request).coordinators;
    let invalid = Some(ResponseError::InvalidRequest);
    assert_eq!(found.iter().map(|one| one.error_code.err()).collect::<Vec<_>>(), [None, invalid, invalid]);
    assert_eq!((found[0].port, found[1].node_id.0), (i32::from(server.address().port()), -1));
    let found = client.call(5, &request).coordinators;
    assert!(found.iter().all(|one| one.error_code.err() == invalid), "share coordinators came with version 6");
}
