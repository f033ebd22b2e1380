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

/// Partitions that are told why in words: those are many times as long as the question. The others have their code.
const EXPLAINED_MAX: usize = 1_000;
/// The longest name of a topic that may exist.
const NAME_CHARS_MAX: usize = 249;

pub struct ElectLeaders;

impl Handler for ElectLeaders {
    type Request = ElectLeadersRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(context: Context, request: ElectLeadersRequest) -> Answer<ElectLeadersResponse> {
        let mut explained = 0;
        let results = request.topic_partitions.unwrap_or_default().into_iter().map(|asked| {
            let topic = context.broker.catalog.topic(&asked.topic);
            let name: String = asked.topic.chars().take(NAME_CHARS_MAX).collect();
            let answer = |index: &i32| {
                explained += 1;
                let (error, why) = result(&name, topic.as_deref(), *index);
                let why = (explained <= EXPLAINED_MAX).then(|| message(&why()));
                PartitionResult::default().with_partition_id(*index).with_error_code(error.code()).with_error_message(why)
            };
            let results = asked.partitions.iter().map(answer).collect();
            ReplicaElectionResult::default().with_topic(asked.topic).with_partition_result(results)
        });
        Answer::Now(ElectLeadersResponse::default().with_error_code(NONE).with_replica_election_results(results.collect()))
    }

    fn unsupported() -> ElectLeadersResponse {
        ElectLeadersResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

/// The error, and Kafka's words for it (ReplicationControlManager.electLeader).
fn result(name: &str, topic: Option<&Topic>, index: i32) -> (ResponseError, impl Fn() -> String) {
    let exists = topic.is_some();
    let error = match topic {
        Some(topic) if topic.has(index) => ResponseError::ElectionNotNeeded,
        _ => ResponseError::UnknownTopicOrPartition,
    };
    let why = move || match (exists, error) {
        (false, _) => format!("No such topic as {name}"),
        (true, ResponseError::ElectionNotNeeded) => "Leader election not needed for topic partition.".to_owned(),
        (true, _) => format!("No such partition as {name}-{index}"),
    };
    (error, why)
}
