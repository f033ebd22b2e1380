//! StreamsGroupDescribe, version 0 (KIP-1071). The protocol library does not have it.

use super::compact::{self, Writer};
use super::requests::unknown;
use super::streams::{self, Endpoint, KeyValue, TaskIds, TopicInfo, write_strings};
use anyhow::Result;
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, VersionRange};

const KEY: i16 = 89;
const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

#[derive(Debug, Clone, PartialEq)]
pub struct StreamsGroupDescribeRequest {
    pub group_ids: Vec<String>,
    pub include_authorized_operations: bool,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct StreamsGroupDescribeResponse {
    pub groups: Vec<DescribedGroup>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DescribedGroup {
    pub error_code: i16,
    pub error_message: Option<String>,
    pub group_id: String,
    pub group_state: String,
    pub group_epoch: i32,
    pub assignment_epoch: i32,
    pub topology: Option<Topology>,
    pub members: Vec<Member>,
    pub authorized_operations: i32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Topology {
    pub epoch: i32,
    pub subtopologies: Vec<Subtopology>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Subtopology {
    pub subtopology_id: String,
    pub source_topics: Vec<String>,
    pub repartition_sink_topics: Vec<String>,
    pub state_changelog_topics: Vec<TopicInfo>,
    pub repartition_source_topics: Vec<TopicInfo>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub member_id: String,
    pub member_epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub topology_epoch: i32,
    pub process_id: String,
    pub user_endpoint: Option<Endpoint>,
    pub client_tags: Vec<KeyValue>,
    pub assignment: Assignment,
    pub target_assignment: Assignment,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    pub active_tasks: Vec<TaskIds>,
    pub standby_tasks: Vec<TaskIds>,
    pub warmup_tasks: Vec<TaskIds>,
}

impl Decodable for StreamsGroupDescribeRequest {
    fn decode<B: ByteBuf>(buf: &mut B, _version: i16) -> Result<Self> {
        let (group_ids, include_authorized_operations) = (streams::strings(buf)?, compact::boolean(buf)?);
        compact::skip_tagged_fields(buf)?;
        Ok(StreamsGroupDescribeRequest { group_ids, include_authorized_operations })
    }
}

impl StreamsGroupDescribeResponse {
    fn body(&self) -> Vec<u8> {
        let mut out = Writer::default();
        // Throttling is told by delays, not by this.
        out.i32(0);
        out.array(&self.groups, |out, group| group.write(out));
        out.end();
        out.into_bytes()
    }
}

impl DescribedGroup {
    fn write(&self, out: &mut Writer) {
        out.number(self.error_code.to_be_bytes());
        out.nullable_string(self.error_message.as_deref());
        out.string(&self.group_id);
        out.string(&self.group_state);
        out.i32(self.group_epoch);
        out.i32(self.assignment_epoch);
        out.nullable_struct(self.topology.as_ref(), |out, topology| {
            out.i32(topology.epoch);
            out.array(&topology.subtopologies, |out, one| one.write(out));
            out.end();
        });
        out.array(&self.members, |out, member| member.write(out));
        out.i32(self.authorized_operations);
        out.end();
    }
}

impl Subtopology {
    fn write(&self, out: &mut Writer) {
        out.string(&self.subtopology_id);
        write_strings(out, &self.source_topics);
        write_strings(out, &self.repartition_sink_topics);
        out.array(&self.state_changelog_topics, |out, one| one.write(out));
        out.array(&self.repartition_source_topics, |out, one| one.write(out));
        out.end();
    }
}

impl Member {
    fn write(&self, out: &mut Writer) {
        out.string(&self.member_id);
        out.i32(self.member_epoch);
        out.nullable_string(self.instance_id.as_deref());
        out.nullable_string(self.rack_id.as_deref());
        out.string(&self.client_id);
        out.string(&self.client_host);
        out.i32(self.topology_epoch);
        out.string(&self.process_id);
        out.nullable_struct(self.user_endpoint.as_ref(), |out, endpoint| endpoint.write(out));
        out.array(&self.client_tags, |out, tag| tag.write(out));
        // Task offsets and end offsets: members do not send them.
        out.array::<()>(&[], |_, ()| {});
        out.array::<()>(&[], |_, ()| {});
        for assignment in [&self.assignment, &self.target_assignment] {
            for tasks in [&assignment.active_tasks, &assignment.standby_tasks, &assignment.warmup_tasks] {
                out.array(tasks, |out, one| one.write(out));
            }
            out.end();
        }
        // No member is of the classic protocol: groups do not change their kind while they have any.
        out.number([0]);
        out.end();
    }
}

unknown!(StreamsGroupDescribeRequest, key KEY, versions VERSIONS, answered by StreamsGroupDescribeResponse);

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn every_cut_of_a_request_is_an_error() {
        let bytes = [2, 2, b'g', 1, 0];
        let request = StreamsGroupDescribeRequest::decode(&mut Bytes::copy_from_slice(&bytes), 0).expect("decodes");
        assert_eq!((request.group_ids, request.include_authorized_operations), (vec!["g".to_owned()], true));
        for length in 0..bytes.len() {
            let cut = StreamsGroupDescribeRequest::decode(&mut Bytes::copy_from_slice(&bytes[..length]), 0);
            assert!(cut.is_err(), "{length} bytes decode");
        }
    }

    #[test]
    fn an_answer_is_what_kafka_reads() {
        let tasks = |partitions: &[i32]| vec![TaskIds { subtopology_id: "0".to_owned(), partitions: partitions.to_vec() }];
        let none = Assignment { active_tasks: Vec::new(), standby_tasks: Vec::new(), warmup_tasks: Vec::new() };
        let member = Member {
            member_id: "m".to_owned(),
            member_epoch: 2,
            instance_id: None,
            rack_id: None,
            client_id: "c".to_owned(),
            client_host: "/h".to_owned(),
            topology_epoch: 7,
            process_id: "p".to_owned(),
            user_endpoint: None,
            client_tags: Vec::new(),
            assignment: Assignment { active_tasks: tasks(&[1]), ..none.clone() },
            target_assignment: none,
        };
        let info = TopicInfo { name: "l".to_owned(), partitions: 3, replication_factor: 1, configs: Vec::new() };
        let subtopology = Subtopology {
            subtopology_id: "0".to_owned(),
            source_topics: vec!["t".to_owned()],
            repartition_sink_topics: Vec::new(),
            state_changelog_topics: vec![info],
            repartition_source_topics: Vec::new(),
        };
        let group = DescribedGroup {
            error_code: 0,
            error_message: None,
            group_id: "g".to_owned(),
            group_state: "S".to_owned(),
            group_epoch: 3,
            assignment_epoch: 2,
            topology: Some(Topology { epoch: 7, subtopologies: vec![subtopology] }),
            members: vec![member],
            authorized_operations: i32::MIN,
        };
        let mut bytes = vec![0, 0, 0, 0, 2, 0, 0, 0, 2, b'g', 2, b'S', 0, 0, 0, 3, 0, 0, 0, 2];
        bytes.extend([1, 0, 0, 0, 7, 2, 2, b'0', 2, 2, b't', 1, 2, 2, b'l', 0, 0, 0, 3, 0, 1, 1, 0, 1, 0, 0]);
        bytes.extend([2, 2, b'm', 0, 0, 0, 2, 0, 0, 2, b'c', 3, b'/', b'h', 0, 0, 0, 7, 2, b'p', 0xff, 1, 1, 1]);
        bytes.extend([2, 2, b'0', 2, 0, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 0, 0, 0]);
        bytes.extend([0x80, 0, 0, 0, 0, 0]);
        assert_eq!(StreamsGroupDescribeResponse { groups: vec![group] }.body(), bytes);
    }
}
