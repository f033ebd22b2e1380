//! ElectLeaders, key 43, versions 0-2.
//!
//! Behaviour: one node leads everything, so no partition that exists needs an election: ELECTION_NOT_NEEDED for those that are named, and
//! nothing at all for a request that names none, as Kafka answers where all is well. Unclean elections are the same here.
//!
//! Version notes: 1 (KIP-460) brings the kind of election and an error of the whole; 2 is flexible.
//! Not implemented: nothing.

use super::errors::catalog::message;
use super::errors::{NONE, ResponseError};
use super::{Answer, Context, Handler};
use crate::catalog::Topic;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};
use std::ops::RangeInclusive;

pub struct ElectLeaders;

impl Handler for ElectLeaders {
    type Request = ElectLeadersRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(context: Context, request: ElectLeadersRequest) -> Answer<ElectLeadersResponse> {
        let results = request.topic_partitions.unwrap_or_default().into_iter().map(|asked| {
            let topic = context.broker.catalog.topic(&asked.topic);
            let results = asked.partitions.iter().map(|index| result(&asked.topic, topic.as_deref(), *index)).collect();
            ReplicaElectionResult::default().with_topic(asked.topic).with_partition_result(results)
        });
        Answer::Now(ElectLeadersResponse::default().with_error_code(NONE).with_replica_election_results(results.collect()))
    }

    fn unsupported() -> ElectLeadersResponse {
        ElectLeadersResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

fn result(name: &str, topic: Option<&Topic>, index: i32) -> PartitionResult {
    // Kafka's words (ReplicationControlManager.electLeader).
    let (error, why) = match topic {
        None => (ResponseError::UnknownTopicOrPartition, format!("No such topic as {name}")),
        Some(topic) if !topic.has(index) => {
            (ResponseError::UnknownTopicOrPartition, format!("No such partition as {name}-{index}"))
        }
        Some(_) => (ResponseError::ElectionNotNeeded, "Leader election not needed for topic partition.".to_owned()),
    };
    PartitionResult::default().with_partition_id(index).with_error_code(error.code()).with_error_message(Some(message(&why)))
}
