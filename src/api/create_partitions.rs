//! CreatePartitions, key 37, versions 0-3 (KIP-195).
//!
//! Behaviour: each topic of the request succeeds or fails on its own. When the answer leaves, the new partitions are durable, visible and
//! open for use. `count` is the new total and must be an increase. A manual assignment lists the new partitions only, and can only
//! assign this node. A name that comes twice is refused. `timeout_ms` is not looked at: nothing is waited for that could be left behind.
//!
//! Version notes: 2 is flexible; 3 (KIP-599) may throttle, which we never do.
//! Unlike Kafka, internal topics cannot grow (INVALID_REQUEST): which partition a group belongs to follows from their number.

use super::creation_budget::CreationBudget;
use super::errors::catalog::{message, shown};
use super::errors::{NONE, ResponseError};
use super::repeated::repeated;
use super::{Answer, Context, Handler};
use crate::catalog::{CatalogError, assignments};
use crate::ids::NodeId;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::HashSet;
use std::ops::RangeInclusive;

pub struct CreatePartitions;

impl Handler for CreatePartitions {
    type Request = CreatePartitionsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=3;

    async fn handle(context: Context, request: CreatePartitionsRequest) -> Answer<CreatePartitionsResponse> {
        let duplicates = repeated(request.topics.iter().map(|topic| topic.name.clone()));
        let is_duplicate: HashSet<&TopicName> = duplicates.iter().collect();
        let mut budget = CreationBudget::default();
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            if !is_duplicate.contains(&topic.name) {
                let outcome = grow(&context, topic, request.validate_only, &mut budget).await;
                results.push(result(&topic.name, outcome.map_or_else(|error| shown(&error), |()| (NONE, None))));
                // What is refused waits for nothing, and a request may name a million.
                tokio::task::yield_now().await;
            }
        }
        let twice = (ResponseError::InvalidRequest.code(), Some(message("Duplicate topic name.")));
        results.extend(duplicates.iter().map(|name| result(name, twice.clone())));
        Answer::Now(CreatePartitionsResponse::default().with_results(results))
    }

    fn unsupported() -> CreatePartitionsResponse {
        CreatePartitionsResponse::default()
    }
}

fn result(name: &TopicName, (code, message): (i16, Option<StrBytes>)) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult::default().with_name(name.clone()).with_error_code(code).with_error_message(message)
}

async fn grow(
    context: &Context,
    topic: &CreatePartitionsTopic,
    validate_only: bool,
    budget: &mut CreationBudget,
) -> Result<(), CatalogError> {
    let current = context.broker.catalog.validate_partitions(&topic.name, topic.count)?;
    check_assignments(topic, current.logs.len(), NodeId(context.broker.config.server.node_id))?;
    let total = usize::try_from(topic.count).unwrap_or_default();
    budget.take(u32::try_from(total.saturating_sub(current.logs.len())).unwrap_or(u32::MAX))?;
    if !validate_only {
        context.broker.add_partitions(&topic.name, topic.count).await?;
    }
    Ok(())
}

/// One list of replicas per new partition (ReplicationControlManager.createPartitions). `current`: how many partitions there are.
fn check_assignments(topic: &CreatePartitionsTopic, current: usize, node: NodeId) -> Result<(), CatalogError> {
    let Some(assigned) = &topic.assignments else { return Ok(()) };
    let additional = usize::try_from(topic.count).unwrap_or(0).saturating_sub(current);
    if assigned.len() != additional {
        return Err(CatalogError::InvalidReplicaAssignment(format!(
            "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
            assigned.len()
        )));
    }
    for partition in assigned {
        let replicas: Vec<NodeId> = partition.broker_ids.iter().map(|id| NodeId(id.0)).collect();
        assignments::check_replicas(&replicas, node)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::BrokerId;
    use kafka_protocol::messages::create_partitions_request::CreatePartitionsAssignment;

    #[test]
    fn an_assignment_covers_the_new_partitions_exactly() {
        let on = |node| CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(node)]);
        let topic = |assigned| CreatePartitionsTopic::default().with_count(4).with_assignments(Some(assigned));
        let check = |assigned| check_assignments(&topic(assigned), 2, NodeId(1)).map_err(|error| error.to_string());
        let short = "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.";
        assert_eq!(check(vec![on(1)]), Err(short.to_owned()));
        let unknown = "The manual partition assignment includes broker 9, but no such broker is registered.";
        assert_eq!(check(vec![on(1), on(9)]), Err(unknown.to_owned()));
        assert_eq!(check(vec![on(1), on(1)]), Ok(()));
    }
}
