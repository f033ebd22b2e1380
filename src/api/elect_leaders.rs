//! ElectLeaders, key 43, versions 0-2.
//!
//! Behaviour: one node leads everything, so no partition that exists needs an election: ELECTION_NOT_NEEDED for those that are named, and
//! nothing at all for a request that names none, as Kafka answers where all is well. Unclean elections are the same here; other
//! kinds are INVALID_REQUEST.
//!
//! Version notes: 1 (KIP-460) brings the kind of election and an error of the whole; 2 is flexible.
//! Not implemented: nothing.

use super::errors::catalog::message;
use super::errors::{NONE, ResponseError};
use super::explained::{Explained, quoted};
use super::{Answer, Context, Handler};
use crate::catalog::Topic;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};
use std::ops::RangeInclusive;

/// ElectionType.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

pub struct ElectLeaders;

impl Handler for ElectLeaders {
    type Request = ElectLeadersRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(context: Context, request: ElectLeadersRequest) -> Answer<ElectLeadersResponse> {
        let mut explained = Explained::default();
        let kind = request.election_type;
        let is_known = (PREFERRED..=UNCLEAN).contains(&kind);
        let results = request.topic_partitions.unwrap_or_default().into_iter().map(|asked| {
            let topic = context.broker.catalog.topic(&asked.topic);
            let name = quoted(&asked.topic);
            let results = asked.partitions.iter().map(|index| {
                let is_explained = explained.one_more();
                match is_known {
                    true => result(&name, topic.as_deref(), *index, is_explained),
                    false => unknown_election(kind, *index, is_explained),
                }
            });
            let results = results.collect();
            ReplicaElectionResult::default().with_topic(asked.topic).with_partition_result(results)
        });
        let code = if is_known { NONE } else { ResponseError::InvalidRequest.code() };
        Answer::Now(ElectLeadersResponse::default().with_error_code(code).with_replica_election_results(results.collect()))
    }

    fn unsupported() -> ElectLeadersResponse {
        ElectLeadersResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

/// ReplicationControlManager.electionType.
fn unknown_election(kind: i8, index: i32, is_explained: bool) -> PartitionResult {
    let why = is_explained.then(|| message(&format!("Unknown election type {kind}")));
    let answer = PartitionResult::default().with_partition_id(index);
    answer.with_error_code(ResponseError::InvalidRequest.code()).with_error_message(why)
}

/// `is_explained`: in Kafka's words (ReplicationControlManager.electLeader).
fn result(name: &str, topic: Option<&Topic>, index: i32, is_explained: bool) -> PartitionResult {
    let error = match topic {
        Some(topic) if topic.has(index) => ResponseError::ElectionNotNeeded,
        _ => ResponseError::UnknownTopicOrPartition,
    };
    let why = is_explained.then(|| match topic {
        None => format!("No such topic as {name}"),
        Some(topic) if !topic.has(index) => format!("No such partition as {name}-{index}"),
        Some(_) => "Leader election not needed for topic partition.".to_owned(),
    });
    let answer = PartitionResult::default().with_partition_id(index).with_error_code(error.code());
    answer.with_error_message(why.map(|why| message(&why)))
}
