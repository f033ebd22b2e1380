//! Steps with topics that many tests take.

use crate::client::Client;
use crate::frame::{text, topic_name};
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponse, MetadataResponseTopic};
use kafka_protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest};
use std::sync::atomic::{AtomicU32, Ordering};
use uuid::Uuid;

/// A topic that exists: requests name it by the one or the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    pub id: Uuid,
}

/// A name that no other test uses: `topic` says what it is for.
#[must_use]
pub fn unique(topic: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{topic}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// One topic of a CreateTopics request, with the default replication factor.
#[must_use]
pub fn new_topic(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreatableTopic {
    let configs =
        configs.iter().map(|(key, value)| CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value))));
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(-1)
        .with_configs(configs.collect())
}

impl Client {
    /// Creates a topic with a unique name that starts with `purpose`.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn create_topic(&mut self, purpose: &str, partitions: i32, configs: &[(&str, &str)]) -> Topic {
        self.create_topic_named(&unique(purpose), partitions, configs)
    }

    /// Creates a topic with this name.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn create_topic_named(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Topic {
        let response = self.call(7, &CreateTopicsRequest::default().with_topics(vec![new_topic(name, partitions, configs)]));
        let topic = response.topics.first().expect("an answer for the topic");
        assert_eq!(topic.error_code.err(), None, "creating {name}: {:?}", topic.error_message);
        Topic { name: name.to_owned(), id: topic.topic_id }
    }

    /// Deletes a topic.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn delete_topic(&mut self, topic: &Topic) {
        let state = DeleteTopicState::default().with_name(Some(topic_name(&topic.name)));
        let response = self.call(6, &DeleteTopicsRequest::default().with_topics(vec![state]));
        assert_eq!(response.responses[0].error_code.err(), None, "deleting {}", topic.name);
    }

    /// Grows a topic to `total` partitions.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn add_partitions(&mut self, name: &str, total: i32) {
        let topic = CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(total).with_assignments(None);
        let response = self.call(3, &CreatePartitionsRequest::default().with_topics(vec![topic]));
        assert_eq!(response.results[0].error_code.err(), None, "growing {name}");
    }

    /// Metadata of the named topics, with or without leave to create them.
    pub fn metadata(&mut self, names: &[&str], create: bool) -> MetadataResponse {
        let topics = names.iter().map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name)))).collect();
        self.call(12, &MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(create))
    }

    /// Metadata of one topic, which is not created.
    ///
    /// # Panics
    /// When the answer has not exactly this one topic.
    pub fn topic_metadata(&mut self, name: &str) -> MetadataResponseTopic {
        let mut topics = self.metadata(&[name], false).topics;
        assert_eq!(topics.len(), 1, "one topic was asked for");
        topics.remove(0)
    }
}
