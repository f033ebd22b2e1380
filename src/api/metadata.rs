//! Metadata, key 3, versions 0-13.
//!
//! Behaviour: one broker, at the address that this client can reach (see [`super::advertised`]), which leads every partition. Topics
//! by name, by id, or all of them; each is answered once, in the request's order. A topic that does not exist is created when the
//! request asks for it and `auto.create.topics.enable` allows it. That request is told UNKNOWN_TOPIC_OR_PARTITION all the same, as in
//! Kafka (AutoTopicCreationManager), and the next one finds the topic: it is there before the answer is. Names that Kafka forbids:
//! INVALID_TOPIC_EXCEPTION. One request creates at most [`super::creation_budget`]; what is beyond the next one makes.
//!
//! Version notes: 0 asks for all topics with an empty list, 1 and later with null; below 4 auto-creation is always asked for; 8
//! (KIP-430) brings authorized operations, those of the cluster until 10 only (then DescribeCluster, KIP-700); 10 (KIP-516) answers
//! topic ids, 12 takes them in requests; 13 (KIP-1102) has a top-level error code.
//! Not implemented: replication. Every partition shows one replica whatever factor its topic was created with. Internal topics are
//! created by their coordinators only, so `__transaction_state` and `__share_group_state` stay unknown.

use super::creation_budget::CreationBudget;
use super::errors::{self, ResponseError};
use super::repeated::once_each;
use super::{Answer, Context, Handler, advertised, operations};
use crate::catalog::{Topic, check_name, is_internal};
use crate::ids::TopicId;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;
use std::sync::Arc;
use tracing::debug;
use uuid::Uuid;

/// The first version whose requests may name topics by id, and then leave the name out.
const IDS_IN_REQUESTS: i16 = 12;

pub struct Metadata;

impl Handler for Metadata {
    type Request = MetadataRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=13;

    async fn handle(context: Context, request: MetadataRequest) -> Answer<MetadataResponse> {
        let node = BrokerId(context.broker.config.server.node_id);
        let may_create = request.allow_auto_topic_creation && context.broker.config.kafka.auto_create_topics_enable;
        let wanted = request.topics.filter(|topics| context.version > 0 || !topics.is_empty());
        let mut topics: Vec<MetadataResponseTopic> = match wanted {
            None => context.broker.catalog.snapshot().topics.values().map(|topic| found(topic, node)).collect(),
            Some(wanted) if context.version < IDS_IN_REQUESTS && wanted.iter().any(needs_ids) => {
                wanted.into_iter().map(refused).collect()
            }
            Some(wanted) => {
                let mut topics = Vec::new();
                let mut budget = may_create.then(CreationBudget::default);
                for topic in once_each(wanted, asked_by) {
                    topics.push(answer(&context, topic, &mut budget, node).await);
                }
                topics
            }
        };
        if request.include_topic_authorized_operations {
            topics.iter_mut().for_each(|topic| topic.topic_authorized_operations = operations::TOPIC);
        }
        let cluster_operations = operations::if_asked(request.include_cluster_authorized_operations, operations::CLUSTER);
        let response = MetadataResponse::default()
            .with_brokers(vec![this_broker(&context, node)])
            .with_cluster_id(Some(StrBytes::from_string(context.broker.catalog.cluster_id().to_owned())))
            .with_controller_id(node)
            .with_topics(topics)
            .with_cluster_authorized_operations(cluster_operations);
        Answer::Now(response)
    }

    fn unsupported() -> MetadataResponse {
        MetadataResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

fn this_broker(context: &Context, node: BrokerId) -> MetadataResponseBroker {
    let (host, port) = advertised::endpoint(context);
    let rack = context.broker.config.server.rack.clone();
    MetadataResponseBroker::default()
        .with_node_id(node)
        .with_host(StrBytes::from_string(host))
        .with_port(port)
        .with_rack(rack.map(StrBytes::from_string))
}

/// A topic that only a version with ids in its requests can ask for.
fn needs_ids(topic: &MetadataRequestTopic) -> bool {
    topic.name.is_none() || !topic.topic_id.is_nil()
}

/// The answer to each topic of a request that asks for what its version does not have (MetadataRequest.getErrorResponse).
fn refused(topic: MetadataRequestTopic) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_name(Some(topic.name.unwrap_or_default()))
        .with_topic_id(topic.topic_id)
        .with_error_code(ResponseError::InvalidRequest.code())
}

/// What a topic is asked for by. An id goes before a name: with it, the name says nothing.
fn asked_by(topic: &MetadataRequestTopic) -> (Option<TopicName>, Uuid) {
    if topic.topic_id.is_nil() { (topic.name.clone(), Uuid::nil()) } else { (None, topic.topic_id) }
}

/// `budget`: what may be created; `None`: nothing may.
async fn answer(
    context: &Context,
    wanted: MetadataRequestTopic,
    budget: &mut Option<CreationBudget>,
    node: BrokerId,
) -> MetadataResponseTopic {
    if !wanted.topic_id.is_nil() {
        return match context.broker.catalog.topic_by_id(TopicId(wanted.topic_id)) {
            Some(topic) => found(&topic, node),
            None => MetadataResponseTopic::default()
                .with_name(None)
                .with_topic_id(wanted.topic_id)
                .with_error_code(ResponseError::UnknownTopicId.code()),
        };
    }
    let Some(name) = wanted.name.clone() else { return refused(wanted) };
    match existing(context, &name, budget).await {
        Ok(topic) => found(&topic, node),
        Err(error) => MetadataResponseTopic::default()
            .with_is_internal(is_internal(&name))
            .with_name(Some(name))
            .with_error_code(error.code()),
    }
}

/// The topic, or why there is none; it may be there when this returns, and is told of to whoever asks next.
async fn existing(context: &Context, name: &str, budget: &mut Option<CreationBudget>) -> Result<Arc<Topic>, ResponseError> {
    if let Some(topic) = context.broker.catalog.topic(name) {
        return Ok(topic);
    }
    check_name(name).map_err(|error| errors::catalog::code(&error))?;
    if let Some(budget) = budget {
        create(context, name, budget).await?;
    }
    Err(ResponseError::UnknownTopicOrPartition)
}

/// Creates the topic, if the request may create as much still.
async fn create(context: &Context, name: &str, budget: &mut CreationBudget) -> Result<(), ResponseError> {
    if name == "__consumer_offsets" {
        // Its coordinator decides its partitions; whatever stops it now, the client may ask again.
        return context.broker.groups.prepare().await.map_err(|_| ResponseError::LeaderNotAvailable);
    }
    let partitions = u32::try_from(context.broker.config.kafka.num_partitions).unwrap_or(u32::MAX);
    if is_internal(name) || budget.take(partitions).is_err() {
        return Ok(());
    }
    if let Err(error) = context.broker.auto_create(name).await {
        // Clients ask again; of an error of its own they would give up (DefaultAutoTopicCreationManager).
        debug!(topic = name, %error, "a topic was not created for a client that asked for it");
    }
    Ok(())
}

fn found(topic: &Topic, node: BrokerId) -> MetadataResponseTopic {
    let partition = |index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(node)
            .with_leader_epoch(0)
            .with_replica_nodes(vec![node])
            .with_isr_nodes(vec![node])
    };
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(topic.name.clone()))))
        .with_topic_id(topic.id.0)
        .with_is_internal(topic.internal)
        .with_partitions((0..).zip(&topic.logs).map(|(index, _)| partition(index)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> MetadataRequestTopic {
        MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_string(name.to_owned()))))
    }

    fn with_id(id: u128) -> MetadataRequestTopic {
        MetadataRequestTopic::default().with_name(None).with_topic_id(Uuid::from_u128(id))
    }

    #[test]
    fn a_topic_asked_for_twice_is_answered_once() {
        let wanted = vec![named("b"), with_id(7), named("a"), named("b"), with_id(7), with_id(8)];
        assert_eq!(once_each(wanted, asked_by), [named("b"), with_id(7), named("a"), with_id(8)]);
    }

    #[test]
    fn ids_and_missing_names_are_for_newer_versions() {
        assert!(needs_ids(&with_id(1)));
        assert!(needs_ids(&MetadataRequestTopic::default().with_name(None)));
        assert!(!needs_ids(&named("a")));
        let answer = refused(MetadataRequestTopic::default().with_name(None));
        assert_eq!(answer.name, Some(TopicName::default()), "versions below 12 cannot say null");
        assert_eq!(answer.error_code, 42);
    }

    #[test]
    fn operations_add_up_to_kafkas_numbers() {
        assert_eq!(operations::TOPIC, 3_576);
        assert_eq!(operations::CLUSTER, 8_096);
        assert_eq!(operations::if_asked(false, operations::TOPIC), MetadataResponseTopic::default().topic_authorized_operations);
    }
}
