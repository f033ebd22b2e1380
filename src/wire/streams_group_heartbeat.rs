//! StreamsGroupHeartbeat, version 0 (KIP-1071). The protocol library does not have it.

use super::compact::{self, Writer};
use super::requests::unknown;
use super::streams::{self, Endpoint, KeyValue, TaskIds, TaskOffset, TopicInfo};
use anyhow::Result;
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, VersionRange};

const KEY: i16 = 88;
const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

/// `None`: as before.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamsGroupHeartbeatRequest {
    pub group_id: String,
    pub member_id: String,
    pub member_epoch: i32,
    pub endpoint_information_epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    /// −1: as before.
    pub rebalance_timeout_ms: i32,
    pub topology: Option<Topology>,
    pub active_tasks: Option<Vec<TaskIds>>,
    pub standby_tasks: Option<Vec<TaskIds>>,
    pub warmup_tasks: Option<Vec<TaskIds>>,
    pub process_id: Option<String>,
    pub user_endpoint: Option<Endpoint>,
    pub client_tags: Option<Vec<KeyValue>>,
    pub task_offsets: Option<Vec<TaskOffset>>,
    pub task_end_offsets: Option<Vec<TaskOffset>>,
    pub shutdown_application: bool,
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
    pub source_topic_regex: Vec<String>,
    pub state_changelog_topics: Vec<TopicInfo>,
    pub repartition_sink_topics: Vec<String>,
    pub repartition_source_topics: Vec<TopicInfo>,
    pub copartition_groups: Vec<CopartitionGroup>,
}

/// Places in the lists of the subtopology.
#[derive(Debug, Clone, PartialEq)]
pub struct CopartitionGroup {
    pub source_topics: Vec<i16>,
    pub source_topic_regex: Vec<i16>,
    pub repartition_source_topics: Vec<i16>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct StreamsGroupHeartbeatResponse {
    pub error_code: i16,
    pub error_message: Option<String>,
    pub member_id: String,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    pub status: Vec<Status>,
    pub active_tasks: Option<Vec<TaskIds>>,
    pub standby_tasks: Option<Vec<TaskIds>>,
    pub warmup_tasks: Option<Vec<TaskIds>>,
    pub endpoint_information_epoch: i32,
    pub partitions_by_user_endpoint: Option<Vec<EndpointToPartitions>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    pub status_code: i8,
    pub status_detail: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct EndpointToPartitions {
    pub user_endpoint: Endpoint,
    /// Topics with partitions.
    pub active_partitions: Vec<(String, Vec<i32>)>,
    pub standby_partitions: Vec<(String, Vec<i32>)>,
}

impl Decodable for StreamsGroupHeartbeatRequest {
    fn decode<B: ByteBuf>(buf: &mut B, _version: i16) -> Result<Self> {
        let tasks = |buf: &mut B| compact::nullable_array(buf, TaskIds::read);
        let offsets = |buf: &mut B| compact::nullable_array(buf, TaskOffset::read);
        let request = StreamsGroupHeartbeatRequest {
            group_id: streams::string(buf)?,
            member_id: streams::string(buf)?,
            member_epoch: compact::i32(buf)?,
            endpoint_information_epoch: compact::i32(buf)?,
            instance_id: streams::nullable_string(buf)?,
            rack_id: streams::nullable_string(buf)?,
            rebalance_timeout_ms: compact::i32(buf)?,
            topology: compact::nullable_struct(buf, Topology::read)?,
            active_tasks: tasks(buf)?,
            standby_tasks: tasks(buf)?,
            warmup_tasks: tasks(buf)?,
            process_id: streams::nullable_string(buf)?,
            user_endpoint: compact::nullable_struct(buf, Endpoint::read)?,
            client_tags: compact::nullable_array(buf, KeyValue::read)?,
            task_offsets: offsets(buf)?,
            task_end_offsets: offsets(buf)?,
            shutdown_application: compact::boolean(buf)?,
        };
        compact::skip_tagged_fields(buf)?;
        Ok(request)
    }
}

impl Topology {
    fn read<B: ByteBuf>(buf: &mut B) -> Result<Topology> {
        let (epoch, subtopologies) = (compact::i32(buf)?, compact::array(buf, Subtopology::read)?);
        compact::skip_tagged_fields(buf)?;
        Ok(Topology { epoch, subtopologies })
    }
}

impl Subtopology {
    fn read<B: ByteBuf>(buf: &mut B) -> Result<Subtopology> {
        let subtopology = Subtopology {
            subtopology_id: streams::string(buf)?,
            source_topics: streams::strings(buf)?,
            source_topic_regex: streams::strings(buf)?,
            state_changelog_topics: compact::array(buf, TopicInfo::read)?,
            repartition_sink_topics: streams::strings(buf)?,
            repartition_source_topics: compact::array(buf, TopicInfo::read)?,
            copartition_groups: compact::array(buf, CopartitionGroup::read)?,
        };
        compact::skip_tagged_fields(buf)?;
        Ok(subtopology)
    }
}

impl CopartitionGroup {
    fn read<B: ByteBuf>(buf: &mut B) -> Result<CopartitionGroup> {
        let places = |buf: &mut B| compact::array(buf, compact::i16);
        let group = CopartitionGroup {
            source_topics: places(buf)?,
            source_topic_regex: places(buf)?,
            repartition_source_topics: places(buf)?,
        };
        compact::skip_tagged_fields(buf)?;
        Ok(group)
    }
}

impl StreamsGroupHeartbeatResponse {
    fn body(&self) -> Vec<u8> {
        let mut out = Writer::default();
        // Throttling is told by delays, not by this.
        out.i32(0);
        out.number(self.error_code.to_be_bytes());
        out.nullable_string(self.error_message.as_deref());
        out.string(&self.member_id);
        out.i32(self.member_epoch);
        out.i32(self.heartbeat_interval_ms);
        // Acceptable recovery lag and task offset interval: nothing is warmed up.
        out.i32(0);
        out.i32(0);
        out.array(&self.status, |out, status| {
            out.number(status.status_code.to_be_bytes());
            out.string(&status.status_detail);
            out.end();
        });
        for tasks in [&self.active_tasks, &self.standby_tasks, &self.warmup_tasks] {
            out.nullable_array(tasks.as_deref(), |out, one| one.write(out));
        }
        out.i32(self.endpoint_information_epoch);
        out.nullable_array(self.partitions_by_user_endpoint.as_deref(), |out, one| one.write(out));
        out.end();
        out.into_bytes()
    }
}

impl EndpointToPartitions {
    fn write(&self, out: &mut Writer) {
        self.user_endpoint.write(out);
        for topics in [&self.active_partitions, &self.standby_partitions] {
            out.array(topics, |out, (topic, partitions)| {
                out.string(topic);
                out.array(partitions, |out, partition| out.i32(*partition));
                out.end();
            });
        }
        out.end();
    }
}

unknown!(StreamsGroupHeartbeatRequest, key KEY, versions VERSIONS, answered by StreamsGroupHeartbeatResponse);

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// Group "g", member "m", joining; a topology with one subtopology "0" of topic "t" that has one changelog, and one copartition group.
    fn joining() -> Vec<u8> {
        let mut bytes = vec![2, b'g', 2, b'm', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x03, 0xe8];
        bytes.extend([1, 0, 0, 0, 7, 2, 2, b'0', 2, 2, b't', 1]);
        bytes.extend([2, 2, b'c', 0, 0, 0, 0, 0, 1, 2, 2, b'k', 2, b'v', 0, 0]);
        bytes.extend([1, 1, 2, 2, 0, 0, 1, 1, 0, 0, 0]);
        bytes.extend([1, 1, 1, 2, b'p', 1, 2, b'h', 0x1f, 0x90, 0, 2, 2, b'a', 2, b'b', 0, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn a_joining_member_brings_its_topology() {
        let request = StreamsGroupHeartbeatRequest::decode(&mut Bytes::from(joining()), 0).expect("decodes");
        assert_eq!((request.group_id.as_str(), request.member_id.as_str(), request.rebalance_timeout_ms), ("g", "m", 1000));
        let topology = request.topology.expect("a topology");
        let subtopology = &topology.subtopologies[0];
        assert_eq!((topology.epoch, subtopology.source_topics.as_slice()), (7, &["t".to_owned()][..]));
        assert_eq!(subtopology.state_changelog_topics[0].configs[0], KeyValue { key: "k".to_owned(), value: "v".to_owned() });
        assert_eq!(subtopology.copartition_groups[0].source_topics, [0]);
        assert_eq!(request.user_endpoint, Some(Endpoint { host: "h".to_owned(), port: 8080 }));
        assert_eq!((request.active_tasks, request.task_offsets), (Some(Vec::new()), None));
    }

    #[test]
    fn every_cut_is_an_error() {
        let bytes = joining();
        for length in 0..bytes.len() {
            let cut = StreamsGroupHeartbeatRequest::decode(&mut Bytes::copy_from_slice(&bytes[..length]), 0);
            assert!(cut.is_err(), "{length} bytes decode");
        }
    }

    #[test]
    fn an_answer_is_what_kafka_reads() {
        let tasks = TaskIds { subtopology_id: "0".to_owned(), partitions: vec![2] };
        let endpoint = EndpointToPartitions {
            user_endpoint: Endpoint { host: "h".to_owned(), port: 8080 },
            active_partitions: vec![("t".to_owned(), vec![2])],
            standby_partitions: Vec::new(),
        };
        let response = StreamsGroupHeartbeatResponse {
            member_id: "m".to_owned(),
            member_epoch: 3,
            heartbeat_interval_ms: 5000,
            status: vec![Status { status_code: 5, status_detail: "d".to_owned() }],
            active_tasks: Some(vec![tasks]),
            endpoint_information_epoch: 4,
            partitions_by_user_endpoint: Some(vec![endpoint]),
            ..StreamsGroupHeartbeatResponse::default()
        };
        let mut bytes = vec![0, 0, 0, 0, 0, 0, 0, 2, b'm', 0, 0, 0, 3, 0, 0, 0x13, 0x88, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend([2, 5, 2, b'd', 0, 2, 2, b'0', 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 4]);
        bytes.extend([2, 2, b'h', 0x1f, 0x90, 0, 2, 2, b't', 2, 0, 0, 0, 2, 0, 1, 0, 0]);
        assert_eq!(response.body(), bytes);
    }
}
