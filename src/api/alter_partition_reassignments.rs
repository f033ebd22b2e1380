//! AlterPartitionReassignments, key 45, versions 0-1.
//!
//! Behaviour: every partition is on this broker, and can only be there. Asking for that is taken, and done; any other list of replicas is
//! INVALID_REPLICA_ASSIGNMENT, and there is never a reassignment to cancel: NO_REASSIGNMENT_IN_PROGRESS. The first thousand are
//! told why.
//!
//! Version notes: 1 can forbid that the number of replicas changes, which it never does here.
//! Not implemented: nothing.

use super::errors::catalog::message;
use super::errors::{NONE, ResponseError};
use super::explained::{Explained, quoted};
use super::{Answer, Context, Handler};
use crate::catalog::Topic;
use kafka_protocol::messages::alter_partition_reassignments_request::ReassignablePartition;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};
use std::ops::RangeInclusive;

pub struct AlterPartitionReassignments;

impl Handler for AlterPartitionReassignments {
    type Request = AlterPartitionReassignmentsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(
        context: Context,
        request: AlterPartitionReassignmentsRequest,
    ) -> Answer<AlterPartitionReassignmentsResponse> {
        let node = context.broker.config.server.node_id;
        let mut explained = Explained::default();
        let responses = request.topics.into_iter().map(|asked| {
            let topic = context.broker.catalog.topic(&asked.name);
            let name = quoted(&asked.name);
            let told = |partition| response((&name, topic.as_deref()), partition, node, explained.one_more());
            let partitions = asked.partitions.iter().map(told).collect();
            ReassignableTopicResponse::default().with_name(asked.name).with_partitions(partitions)
        });
        let response =
            AlterPartitionReassignmentsResponse::default().with_error_message(None).with_responses(responses.collect());
        Answer::Now(match context.version {
            0 => response,
            _ => response.with_allow_replication_factor_change(request.allow_replication_factor_change),
        })
    }

    fn unsupported() -> AlterPartitionReassignmentsResponse {
        AlterPartitionReassignmentsResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

/// `is_explained`: in Kafka's words (ReplicationControlManager.alterPartitionReassignment).
fn response(
    topic: (&str, Option<&Topic>),
    asked: &ReassignablePartition,
    node: i32,
    is_explained: bool,
) -> ReassignablePartitionResponse {
    let answer = ReassignablePartitionResponse::default().with_partition_index(asked.partition_index);
    match refusal(topic, asked, node) {
        None => answer.with_error_code(NONE).with_error_message(None),
        Some((error, why)) => answer.with_error_code(error.code()).with_error_message(is_explained.then(|| message(&why))),
    }
}

fn refusal((name, topic): (&str, Option<&Topic>), asked: &ReassignablePartition, node: i32) -> Option<(ResponseError, String)> {
    let index = asked.partition_index;
    let Some(topic) = topic else {
        return Some((ResponseError::UnknownTopicOrPartition, format!("Unable to find a topic named {name}.")));
    };
    if !topic.has(index) {
        return Some((ResponseError::UnknownTopicOrPartition, format!("Unable to find partition {name}:{index}.")));
    }
    let Some(replicas) = &asked.replicas else {
        return Some((ResponseError::NoReassignmentInProgress, "No partition reassignment is in progress.".to_owned()));
    };
    let replicas: Vec<i32> = replicas.iter().map(|replica| replica.0).collect();
    let why = match replicas.as_slice() {
        [only] if *only == node => return None,
        [] => "The manual partition assignment includes an empty replica list.".to_owned(),
        [first, rest @ ..] if rest.contains(first) => {
            format!("The manual partition assignment includes the broker {first} more than once.")
        }
        _ => {
            let other = replicas.iter().find(|replica| **replica != node).unwrap_or(&node);
            format!("The manual partition assignment includes broker {other}, but no such broker is registered.")
        }
    };
    Some((ResponseError::InvalidReplicaAssignment, why))
}
