//! Steps with consumer groups that many tests take: a member on its own connection, commits, committed offsets.

use crate::client::{Client, Failure};
use crate::frame::{group_id, text, topic_name};
use crate::server::Server;
use bytes::Bytes;
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponsePartitions;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest, SyncGroupResponse,
};

/// The versions that [`Member`] speaks.
pub const JOIN: i16 = 9;
pub const SYNC: i16 = 5;
pub const HEARTBEAT: i16 = 4;
pub const LEAVE: i16 = 5;
pub const COMMIT: i16 = 9;
pub const OFFSETS: i16 = 9;

/// MEMBER_ID_REQUIRED: the first join of a dynamic member (KIP-394).
const MEMBER_ID_REQUIRED: i16 = 79;

/// A consumer in a group, on its own connection: JoinGroup and SyncGroup block.
#[derive(Debug)]
pub struct Member {
    pub client: Client,
    pub group: String,
    pub member_id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
}

impl Member {
    /// A dynamic member that has not joined yet.
    #[must_use]
    pub fn of(server: &Server, group: &str) -> Member {
        Member {
            client: server.connect(),
            group: group.to_owned(),
            member_id: String::new(),
            instance_id: None,
            generation: -1,
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 8_000,
        }
    }

    /// A static member (KIP-345).
    #[must_use]
    pub fn fixed(server: &Server, group: &str, instance_id: &str) -> Member {
        Member { instance_id: Some(instance_id.to_owned()), ..Member::of(server, group) }
    }

    /// Its JoinGroup request.
    #[must_use]
    pub fn join_request(&self) -> JoinGroupRequest {
        let protocol =
            JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from_static(b"subscription"));
        JoinGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_session_timeout_ms(self.session_timeout_ms)
            .with_rebalance_timeout_ms(self.rebalance_timeout_ms)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.instance_id.as_deref().map(text))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol])
    }

    /// Asks for a member id, if it has none (KIP-394).
    ///
    /// # Panics
    /// When the server does not give one.
    pub fn introduce(&mut self) {
        if self.member_id.is_empty() && self.instance_id.is_none() {
            let response = self.client.call(JOIN, &self.join_request());
            assert_eq!(response.error_code, MEMBER_ID_REQUIRED, "the first join of a dynamic member");
            self.member_id = response.member_id.to_string();
        }
    }

    /// Sends JoinGroup without waiting; [`Member::joined`] reads the answer.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn start_join(&mut self) -> i32 {
        self.introduce();
        let request = self.join_request();
        self.client.send(JOIN, &request).unwrap_or_else(|failure| panic!("joining {}: {failure}", self.group))
    }

    /// The answer to [`Member::start_join`]; takes over member id and generation when it is no error.
    ///
    /// # Panics
    /// When no answer comes.
    pub fn joined(&mut self, correlation_id: i32) -> JoinGroupResponse {
        let response = self.client.receive::<JoinGroupRequest>(JOIN, correlation_id);
        let response = response.unwrap_or_else(|failure| panic!("joining {}: {failure}", self.group));
        if response.error_code == 0 {
            self.member_id = response.member_id.to_string();
            self.generation = response.generation_id;
        }
        response
    }

    /// Joins and waits.
    ///
    /// # Panics
    /// When no answer comes.
    pub fn join(&mut self) -> JoinGroupResponse {
        let correlation_id = self.start_join();
        self.joined(correlation_id)
    }

    /// Its SyncGroup request; `assignments` (member id, assignment) are empty for all but the leader.
    #[must_use]
    pub fn sync_request(&self, assignments: &[(&str, &str)]) -> SyncGroupRequest {
        let assignments = assignments.iter().map(|(member, assignment)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(member))
                .with_assignment(Bytes::copy_from_slice(assignment.as_bytes()))
        });
        SyncGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.instance_id.as_deref().map(text))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(assignments.collect())
    }

    /// Syncs and waits.
    pub fn sync(&mut self, assignments: &[(&str, &str)]) -> SyncGroupResponse {
        let request = self.sync_request(assignments);
        self.client.call(SYNC, &request)
    }

    /// Joins a group in which it is alone, and assigns itself `assignment`.
    ///
    /// # Panics
    /// When that fails.
    pub fn join_alone(&mut self, assignment: &str) {
        let joined = self.join();
        assert_eq!(joined.error_code.err(), None, "joining {}", self.group);
        assert_eq!(joined.leader, joined.member_id, "a lone member leads");
        let id = self.member_id.clone();
        let synced = self.sync(&[(id.as_str(), assignment)]);
        assert_eq!(synced.error_code.err(), None, "syncing {}", self.group);
        assert_eq!(synced.assignment, assignment.as_bytes());
    }

    /// The error code of a heartbeat.
    pub fn heartbeat(&mut self) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.instance_id.as_deref().map(text));
        self.client.call(HEARTBEAT, &request).error_code
    }

    /// Leaves; answers the error code for this member.
    ///
    /// # Panics
    /// When the server refuses the request as a whole.
    pub fn leave(&mut self) -> i16 {
        let member = MemberIdentity::default()
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.instance_id.as_deref().map(text));
        let request = LeaveGroupRequest::default().with_group_id(group_id(&self.group)).with_members(vec![member]);
        let response = self.client.call(LEAVE, &request);
        assert_eq!(response.error_code.err(), None, "leaving {}", self.group);
        response.members[0].error_code
    }

    /// Commits one offset as this member; answers its error code.
    pub fn commit(&mut self, topic: &str, partition: i32, offset: i64) -> i16 {
        let request = commit_request(&self.group, topic, &[(partition, offset)])
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.instance_id.as_deref().map(text));
        self.client.call(COMMIT, &request).topics[0].partitions[0].error_code
    }
}

/// A commit without membership (generation −1).
#[must_use]
pub fn commit_request(group: &str, topic: &str, offsets: &[(i32, i64)]) -> OffsetCommitRequest {
    let partitions = offsets.iter().map(|(partition, offset)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(*partition)
            .with_committed_offset(*offset)
            .with_committed_metadata(Some(text("")))
    });
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(partitions.collect());
    OffsetCommitRequest::default().with_group_id(group_id(group)).with_topics(vec![topic])
}

/// An OffsetFetch request of version 8 or 9. `partitions: None` asks for all that the group has committed.
#[must_use]
pub fn offsets_request(group: &str, partitions: Option<(&str, &[i32])>) -> OffsetFetchRequest {
    let topics = partitions.map(|(topic, indexes)| {
        vec![OffsetFetchRequestTopics::default().with_name(topic_name(topic)).with_partition_indexes(indexes.to_vec())]
    });
    let group = OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(topics);
    OffsetFetchRequest::default().with_groups(vec![group])
}

impl Client {
    /// Asks who coordinates `group`, as every client does first: that makes the coordinator.
    ///
    /// # Panics
    /// When nobody does.
    pub fn find_coordinator(&mut self, group: &str) {
        let response = self.call(6, &FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]));
        assert_eq!(response.coordinators[0].error_code.err(), None, "the coordinator of {group}");
    }

    /// Commits without membership.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn committed(&mut self, group: &str, topic: &str, partition: i32, offset: i64) {
        let response = self.call(COMMIT, &commit_request(group, topic, &[(partition, offset)]));
        assert_eq!(response.topics[0].partitions[0].error_code.err(), None, "committing {offset} for {group}");
    }

    /// What a group has committed for one partition; offset −1 when nothing.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn committed_offset(&mut self, group: &str, topic: &str, partition: i32) -> OffsetFetchResponsePartitions {
        let mut response = self.call(OFFSETS, &offsets_request(group, Some((topic, &[partition]))));
        let mut group = response.groups.remove(0);
        assert_eq!(group.error_code.err(), None, "offsets of {:?}", group.group_id);
        group.topics.remove(0).partitions.remove(0)
    }

    /// The offsets that a group has committed for `partitions` of `topic`, in that order.
    ///
    /// # Errors
    /// See [`Failure`]; an error code is [`Failure::Malformed`].
    pub fn try_committed_offsets(&mut self, group: &str, topic: &str, partitions: &[i32]) -> Result<Vec<i64>, Failure> {
        let response = self.try_call(OFFSETS, &offsets_request(group, Some((topic, partitions))))?;
        let answer = response.groups.first().ok_or_else(|| Failure::Malformed("no group in the answer".to_owned()))?;
        if answer.error_code != 0 {
            return Err(Failure::Malformed(format!("offsets of {group}: {:?}", answer.error_code.err())));
        }
        let found: Vec<_> = answer.topics.iter().flat_map(|topic| &topic.partitions).collect();
        let offset_of = |index: &i32| {
            let partition = found.iter().find(|partition| partition.partition_index == *index && partition.error_code == 0);
            partition.map(|partition| partition.committed_offset)
        };
        let offsets: Option<Vec<i64>> = partitions.iter().map(offset_of).collect();
        offsets.ok_or_else(|| Failure::Malformed(format!("offsets of {group} lack partitions or have errors: {answer:?}")))
    }

    /// What the server says of a group.
    ///
    /// # Panics
    /// When it says nothing.
    pub fn describe_group(&mut self, group: &str) -> DescribedGroup {
        let mut response = self.call(5, &DescribeGroupsRequest::default().with_groups(vec![group_id(group)]));
        assert_eq!(response.groups.len(), 1, "one group was asked for");
        response.groups.remove(0)
    }
}
