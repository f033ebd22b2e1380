//! CreateTopics, key 19, versions 2-7.
//!
//! Behaviour: each topic of the request succeeds or fails on its own. When the answer leaves, the topics are durable, visible and
//! open for use. A name that comes twice is refused, and so is what Kafka refuses, with Kafka's messages: names, collisions of '.' and
//! '_', partition counts, replication factors, manual assignments (only this node can be assigned), configurations.
//! `timeout_ms` is not looked at: nothing is waited for that could be left behind.
//!
//! Version notes: 4 (KIP-464) takes −1 for the broker's default count and factor; we take it always; 5 (KIP-525) echoes partitions,
//! factor and all configurations; 7 (KIP-516) answers the topic id, which is nil for validate-only requests, where Kafka invents one.
//! Not implemented: replication. With `accept.any.replication.factor` a factor above 1 is taken, and echoed as 1, which is what there is.

use super::creation_budget::CreationBudget;
use super::describe_configs::source_code;
use super::errors::catalog::{message, shown};
use super::errors::{NONE, ResponseError};
use super::repeated::repeated;
use super::{Answer, Context, Handler};
use crate::catalog::dynamic::check_length;
use crate::catalog::{Catalog, CatalogError, NewTopic, Shape, assignments};
use crate::config::describe::{self, Brokers};
use crate::config::properties;
use crate::ids::{NodeId, PartitionIndex};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{BrokerId, CreateTopicsRequest, CreateTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use uuid::Uuid;

/// The first version that shows partitions, factor and configurations.
const ECHO: i16 = 5;

pub struct CreateTopics;

impl Handler for CreateTopics {
    type Request = CreateTopicsRequest;
    const VERSIONS: RangeInclusive<i16> = 2..=7;

    async fn handle(context: Context, request: CreateTopicsRequest) -> Answer<CreateTopicsResponse> {
        let duplicates = repeated(request.topics.iter().map(|topic| topic.name.clone()));
        let is_duplicate: HashSet<&TopicName> = duplicates.iter().collect();
        let mut budget = CreationBudget::default();
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            if !is_duplicate.contains(&topic.name) {
                let result = create(&context, topic, request.validate_only, &mut budget).await;
                results.push(result.unwrap_or_else(|error| refused(&topic.name, shown(&error))));
                // What is refused waits for nothing, and a request may name a million.
                tokio::task::yield_now().await;
            }
        }
        let twice = (ResponseError::InvalidRequest.code(), Some(message("Duplicate topic name.")));
        results.extend(duplicates.iter().map(|name| refused(name, twice.clone())));
        Answer::Now(CreateTopicsResponse::default().with_topics(results))
    }

    fn unsupported() -> CreateTopicsResponse {
        CreateTopicsResponse::default()
    }
}

fn refused(name: &TopicName, (code, message): (i16, Option<StrBytes>)) -> CreatableTopicResult {
    CreatableTopicResult::default().with_name(name.clone()).with_error_code(code).with_error_message(message)
}

/// Creates one topic, or only checks that it could be created.
async fn create(
    context: &Context,
    topic: &CreatableTopic,
    validate_only: bool,
    budget: &mut CreationBudget,
) -> Result<CreatableTopicResult, CatalogError> {
    let broker = &context.broker;
    let new = new_topic(topic, NodeId(broker.config.server.node_id), &broker.catalog)?;
    let shape = broker.catalog.validate(&new)?;
    budget.take(shape.partitions)?;
    let overrides = new.overrides.clone();
    let id = if validate_only { Uuid::nil() } else { broker.create_topic(new).await?.id.0 };
    let result = CreatableTopicResult::default().with_name(topic.name.clone()).with_topic_id(id);
    let result = result.with_error_code(NONE).with_error_message(None);
    if context.version < ECHO {
        return Ok(result);
    }
    Ok(echoed(result, &shape, &overrides, broker.catalog.snapshot().brokers()))
}

fn echoed(
    result: CreatableTopicResult,
    shape: &Shape,
    overrides: &BTreeMap<String, String>,
    brokers: Brokers<'_>,
) -> CreatableTopicResult {
    let own = properties::TOPIC_OWN.iter().filter(|own| overrides.contains_key(own.property.name));
    let all = properties::TOPIC.iter().chain(own).filter_map(|topic| describe::topic(topic.property.name, overrides, brokers));
    let config = |described: describe::Described| {
        // What was asked for comes back as it was typed (KafkaConfigSchema.resolveEffectiveTopicConfig).
        let value = overrides.get(&described.name).cloned().or(described.value);
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_string(described.name))
            .with_value(value.map(StrBytes::from_string))
            .with_read_only(described.is_read_only)
            .with_config_source(source_code(described.source))
            .with_is_sensitive(described.is_sensitive)
    };
    result
        .with_num_partitions(i32::try_from(shape.partitions).unwrap_or(i32::MAX))
        .with_replication_factor(1)
        .with_configs(Some(all.map(config).collect()))
}

/// What the request says of a topic, checked as far as the catalog does not check it.
fn new_topic(topic: &CreatableTopic, node: NodeId, catalog: &Catalog) -> Result<NewTopic, CatalogError> {
    if topic.name.as_str() == "__cluster_metadata" {
        let why = "Creation of internal topic __cluster_metadata is prohibited.";
        return Err(CatalogError::InvalidRequest(why.to_owned()));
    }
    // First, so that a wrong name is what is complained of, whatever else is wrong.
    catalog.check_new_name(&topic.name)?;
    let overrides = overrides(topic)?;
    let (partitions, replication_factor) = counts(topic, node)?;
    Ok(NewTopic { name: topic.name.as_str().to_owned(), partitions, replication_factor, overrides })
}

fn overrides(topic: &CreatableTopic) -> Result<BTreeMap<String, String>, CatalogError> {
    let mut overrides = BTreeMap::new();
    let mut nulls = Vec::new();
    for config in &topic.configs {
        match &config.value {
            Some(value) => {
                check_length(&config.name, value).map_err(CatalogError::InvalidConfig)?;
                overrides.insert(config.name.as_str().to_owned(), value.as_str().to_owned());
            }
            None => nulls.push(config.name.as_str()),
        }
    }
    if nulls.is_empty() {
        return Ok(overrides);
    }
    Err(CatalogError::InvalidConfig(format!("Null value not supported for topic configs: {}", nulls.join(","))))
}

/// Partitions and replication factor: as numbers, or as a manual assignment, never both.
fn counts(topic: &CreatableTopic, node: NodeId) -> Result<(i32, i16), CatalogError> {
    if topic.assignments.is_empty() {
        return Ok((topic.num_partitions, topic.replication_factor));
    }
    let both = |what: &str| {
        Err(CatalogError::InvalidRequest(format!("A manual partition assignment was specified, but {what} was not set to -1.")))
    };
    if topic.replication_factor != -1 {
        return both("replication factor");
    }
    if topic.num_partitions != -1 {
        return both("numPartitions");
    }
    let nodes = |ids: &[BrokerId]| ids.iter().map(|id| NodeId(id.0)).collect::<Vec<_>>();
    let assigned: Vec<_> =
        topic.assignments.iter().map(|one| (PartitionIndex(one.partition_index), nodes(&one.broker_ids))).collect();
    Ok((assignments::partitions(&assigned, node)?, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopicConfig};

    const NODE: NodeId = NodeId(1);

    fn assigned(partitions: i32, factor: i16) -> CreatableTopic {
        let assignment = CreatableReplicaAssignment::default().with_partition_index(0).with_broker_ids(vec![BrokerId(NODE.0)]);
        CreatableTopic::default()
            .with_num_partitions(partitions)
            .with_replication_factor(factor)
            .with_assignments(vec![assignment])
    }

    fn why<T: std::fmt::Debug>(result: Result<T, CatalogError>) -> String {
        result.expect_err("refused").to_string()
    }

    #[test]
    fn counts_and_an_assignment_exclude_each_other() {
        let factor = "A manual partition assignment was specified, but replication factor was not set to -1.";
        assert_eq!(why(counts(&assigned(-1, 1), NODE)), factor);
        let count = "A manual partition assignment was specified, but numPartitions was not set to -1.";
        assert_eq!(why(counts(&assigned(1, -1), NODE)), count);
        assert_eq!(counts(&assigned(-1, -1), NODE).expect("taken"), (1, 1));
    }

    #[test]
    fn null_values_are_named() {
        let null =
            |name: &'static str| CreatableTopicConfig::default().with_name(StrBytes::from_static_str(name)).with_value(None);
        let topic = CreatableTopic::default().with_configs(vec![null("retention.ms"), null("segment.ms")]);
        assert_eq!(why(overrides(&topic)), "Null value not supported for topic configs: retention.ms,segment.ms");
    }

    #[test]
    fn every_configuration_is_echoed() {
        let kafka = crate::config::KafkaSettings::default();
        let overrides = [("retention.ms", "60000"), ("preallocate", "TRUE")];
        let overrides = BTreeMap::from(overrides.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let settings = crate::config::topic::TopicSettings::resolve(&overrides, &kafka).expect("valid");
        let shape = Shape { partitions: 3, replication_factor: 3, settings: settings.into() };
        let result = echoed(CreatableTopicResult::default(), &shape, &overrides, Brokers::unchanged(&kafka));
        assert_eq!((result.num_partitions, result.replication_factor), (3, 1));
        let configs = result.configs.expect("configurations");
        assert_eq!(configs.len(), properties::TOPIC.len());
        let of = |name: &str| configs.iter().find(|config| config.name.as_str() == name).expect("named");
        assert_eq!((of("retention.ms").value.as_deref(), of("retention.ms").config_source), (Some("60000"), 1));
        assert_eq!(of("preallocate").value.as_deref(), Some("TRUE"), "as it was typed");
        assert_eq!((of("cleanup.policy").value.as_deref(), of("cleanup.policy").config_source), (Some("delete"), 5));
    }
}
