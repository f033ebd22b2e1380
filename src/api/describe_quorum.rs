//! DescribeQuorum, key 55, versions 0-2.
//!
//! Behaviour: `__cluster_metadata` partition 0 as it is where one node is broker and controller: this node leads, votes, and is
//! caught up; nobody observes. There is no such log behind it: the high watermark counts the changes of the catalog since this
//! server started, the leader epoch is the first one. Anything else that is asked for is UNKNOWN_TOPIC_OR_PARTITION
//! (KafkaRaftClient.handleDescribeQuorumRequest).
//!
//! Version notes: 1 (KIP-836) tells when replicas were caught up; 2 (KIP-853) has directory ids, which are zero as with
//! kraft.version 0, and the nodes' addresses, which are those for clients.
//! Not implemented: nothing.

use super::errors::ResponseError;
use super::{Answer, Context, Handler, advertised};
use kafka_protocol::messages::describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData};
use kafka_protocol::messages::{BrokerId, DescribeQuorumRequest, DescribeQuorumResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

const TOPIC: &str = "__cluster_metadata";
const PARTITION: i32 = 0;
/// A node that is alone elects itself once.
const LEADER_EPOCH: i32 = 1;
/// The first version with addresses of nodes.
const NODES: i16 = 2;
/// The only listener's name, as Kafka names one without encryption.
const LISTENER: &str = "PLAINTEXT";
/// Unknown partitions that are answered: an answer is many times as large as its question, and no tool asks for more than one.
const UNKNOWN_MAX: usize = 10_000;

pub struct DescribeQuorum;

impl Handler for DescribeQuorum {
    type Request = DescribeQuorumRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(context: Context, request: DescribeQuorumRequest) -> Answer<DescribeQuorumResponse> {
        if !is_of_the_quorum(&request) {
            return Answer::Now(unknown(request));
        }
        let topic = TopicData::default()
            .with_topic_name(TopicName(StrBytes::from_static_str(TOPIC)))
            .with_partitions(vec![partition(&context)]);
        let response = DescribeQuorumResponse::default().with_topics(vec![topic]);
        Answer::Now(match context.version {
            NODES.. => response.with_nodes(vec![node(&context)]),
            _ => response,
        })
    }

    fn unsupported() -> DescribeQuorumResponse {
        DescribeQuorumResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

/// Whether the one partition of the quorum is asked for, and nothing else (RaftUtil.hasValidTopicPartition).
fn is_of_the_quorum(request: &DescribeQuorumRequest) -> bool {
    match &request.topics[..] {
        [topic] => {
            topic.topic_name.as_str() == TOPIC
                && matches!(&topic.partitions[..], [partition] if partition.partition_index == PARTITION)
        }
        _ => false,
    }
}

fn unknown(request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    let mut left = UNKNOWN_MAX;
    let topics = request.topics.into_iter().take(UNKNOWN_MAX).map(|topic| {
        let asked = topic.partitions.iter().take(left);
        let partitions: Vec<PartitionData> = asked
            .map(|asked| {
                PartitionData::default()
                    .with_partition_index(asked.partition_index)
                    .with_error_code(ResponseError::UnknownTopicOrPartition.code())
                    .with_error_message(Some(StrBytes::from_static_str("This server does not host this topic-partition.")))
            })
            .collect();
        left = left.saturating_sub(partitions.len());
        TopicData::default().with_topic_name(topic.topic_name).with_partitions(partitions)
    });
    DescribeQuorumResponse::default().with_topics(topics.collect())
}

fn partition(context: &Context) -> PartitionData {
    let node = BrokerId(context.broker.config.server.node_id);
    // The cluster's id is there before the first change.
    let changes = context.broker.catalog.snapshot().version.saturating_add(1);
    let end = i64::try_from(changes).unwrap_or(i64::MAX);
    let now = context.broker.env.now().0;
    let leader = ReplicaState::default()
        .with_replica_id(node)
        .with_log_end_offset(end)
        .with_last_fetch_timestamp(now)
        .with_last_caught_up_timestamp(now);
    PartitionData::default()
        .with_partition_index(PARTITION)
        .with_leader_id(node)
        .with_leader_epoch(LEADER_EPOCH)
        .with_high_watermark(end)
        .with_current_voters(vec![leader])
}

fn node(context: &Context) -> Node {
    let (host, port) = advertised::endpoint(context);
    let listener = Listener::default()
        .with_name(StrBytes::from_static_str(LISTENER))
        .with_host(StrBytes::from_string(host))
        .with_port(u16::try_from(port).unwrap_or_default());
    Node::default().with_node_id(BrokerId(context.broker.config.server.node_id)).with_listeners(vec![listener])
}
