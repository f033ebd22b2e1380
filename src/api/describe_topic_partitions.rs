//! DescribeTopicPartitions, key 75, version 0 (KIP-966).
//!
//! Behaviour: the partitions of the named topics, or of all, sorted by name, in pages: at most `response_partition_limit` partitions,
//! and never more than `max.request.partition.size.limit`. `next_cursor` says where the next page starts. Unlike Metadata
//! it never creates a topic. A cursor outside the named topics, or with a negative partition: INVALID_REQUEST for every topic.
//!
//! Not implemented: eligible leader replicas; with one replica the lists are empty, as Kafka's are while the replica is in sync.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler, operations};
use crate::catalog::{Snapshot, Topic, check_name, is_internal};
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};

pub struct DescribeTopicPartitions;

impl Handler for DescribeTopicPartitions {
    type Request = DescribeTopicPartitionsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(context: Context, request: DescribeTopicPartitionsRequest) -> Answer<DescribeTopicPartitionsResponse> {
        let node = BrokerId(context.broker.config.server.node_id);
        let most = context.broker.config.kafka.max_request_partition_size_limit;
        let limit = usize::try_from(request.response_partition_limit.min(most)).unwrap_or(0);
        Answer::Now(page(&request, limit.max(1), &context.broker.catalog.snapshot(), node))
    }

    fn unsupported() -> DescribeTopicPartitionsResponse {
        DescribeTopicPartitionsResponse::default()
    }
}

/// At most `limit` partitions, and where the next page starts.
fn page(
    request: &DescribeTopicPartitionsRequest,
    limit: usize,
    snapshot: &Snapshot,
    node: BrokerId,
) -> DescribeTopicPartitionsResponse {
    let (cursor, start) = match &request.cursor {
        None => ("", Ok(0)),
        Some(cursor) => (cursor.topic_name.as_str(), usize::try_from(cursor.partition_index)),
    };
    let wants_all = request.topics.is_empty();
    let names: BTreeSet<&str> = if wants_all {
        snapshot.topics.keys().map(String::as_str).filter(|name| *name >= cursor).collect()
    } else {
        request.topics.iter().map(|topic| topic.name.as_str()).filter(|name| *name >= cursor).collect()
    };
    let cursor_is_missing = !wants_all && request.cursor.is_some() && !names.contains(cursor);
    let (Ok(start), false) = (start, cursor_is_missing) else { return refused(request) };

    let mut left = limit;
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        if left == 0 {
            response.next_cursor = Some(cursor_at(name, 0));
            break;
        }
        let Some(topic) = snapshot.topics.get(name) else {
            response.topics.push(missing(name));
            continue;
        };
        let first = if name == cursor { start } else { 0 };
        let end = topic.logs.len().min(first.saturating_add(left));
        response.topics.push(found(topic, first..end, node));
        if end < topic.logs.len() {
            response.next_cursor = Some(cursor_at(name, end));
            break;
        }
        left = left.saturating_sub(end.saturating_sub(first));
    }
    response
}

fn cursor_at(name: &str, partition: usize) -> Cursor {
    let partition = i32::try_from(partition).unwrap_or(i32::MAX);
    Cursor::default().with_topic_name(topic_name(name)).with_partition_index(partition)
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// The answer to a request with an impossible cursor (DescribeTopicPartitionsRequest.getErrorResponse).
fn refused(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topic = |name: &TopicName| {
        let answer = DescribeTopicPartitionsResponseTopic::default().with_name(Some(name.clone()));
        answer.with_error_code(ResponseError::InvalidRequest.code())
    };
    DescribeTopicPartitionsResponse::default().with_topics(request.topics.iter().map(|asked| topic(&asked.name)).collect())
}

fn missing(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let error = check_name(name).err().map_or(ResponseError::UnknownTopicOrPartition, |error| errors::catalog::code(&error));
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(topic_name(name)))
        .with_error_code(error.code())
        .with_is_internal(is_internal(name))
        .with_topic_authorized_operations(operations::TOPIC)
}

fn found(topic: &Topic, partitions: Range<usize>, node: BrokerId) -> DescribeTopicPartitionsResponseTopic {
    let partition = |index: i32| {
        DescribeTopicPartitionsResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(node)
            .with_leader_epoch(0)
            .with_replica_nodes(vec![node])
            .with_isr_nodes(vec![node])
            .with_eligible_leader_replicas(Some(Vec::new()))
            .with_last_known_elr(Some(Vec::new()))
    };
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(topic_name(&topic.name)))
        .with_topic_id(topic.id.0)
        .with_is_internal(topic.internal)
        .with_partitions(partitions.filter_map(|index| i32::try_from(index).ok()).map(partition).collect())
        .with_topic_authorized_operations(operations::TOPIC)
}

#[cfg(test)]
mod tests {
    //! Goal: pages cover every partition once. Method: a catalog in memory, pages followed by their cursors.
    use super::*;
    use crate::catalog::{Catalog, NewTopic};
    use crate::config::KafkaSettings;
    use crate::env::Env;
    use crate::ids::Timestamp;
    use crate::store::memory::MemoryStore;
    use kafka_protocol::messages::describe_topic_partitions_request::{Cursor as Start, TopicRequest};
    use std::sync::Arc;

    async fn topics(counts: &[(&str, i32)]) -> Arc<Snapshot> {
        let kafka = Arc::new(KafkaSettings::default());
        let env = Env::manual(Timestamp(0), 1);
        let catalog = Catalog::open(MemoryStore::new(), env, kafka.clone(), None).await.expect("opens");
        for (name, partitions) in counts {
            let new = NewTopic { partitions: *partitions, ..NewTopic::with_defaults(name, &kafka) };
            catalog.create_topic(new).await.expect("created");
        }
        catalog.snapshot()
    }

    fn request(names: &[&str], cursor: Option<(&str, i32)>) -> DescribeTopicPartitionsRequest {
        let start = |(name, index)| Start::default().with_topic_name(topic_name(name)).with_partition_index(index);
        DescribeTopicPartitionsRequest::default()
            .with_topics(names.iter().map(|name| TopicRequest::default().with_name(topic_name(name))).collect())
            .with_cursor(cursor.map(start))
    }

    /// Name, error code and partition indices of each topic in the answer, and its cursor.
    type Shown = (Vec<(String, i16, Vec<i32>)>, Option<(String, i32)>);

    fn shown(answer: DescribeTopicPartitionsResponse) -> Shown {
        let topic = |topic: DescribeTopicPartitionsResponseTopic| {
            let name = topic.name.expect("a name").as_str().to_owned();
            (name, topic.error_code, topic.partitions.iter().map(|partition| partition.partition_index).collect())
        };
        let cursor = answer.next_cursor.map(|cursor| (cursor.topic_name.as_str().to_owned(), cursor.partition_index));
        (answer.topics.into_iter().map(topic).collect(), cursor)
    }

    #[tokio::test]
    async fn an_impossible_cursor_is_refused() {
        let snapshot = topics(&[("a", 1)]).await;
        for cursor in [("b", 0), ("a", -1)] {
            let (topics, next) = shown(page(&request(&["a"], Some(cursor)), 10, &snapshot, BrokerId(1)));
            assert_eq!((topics, next), (vec![("a".to_owned(), 42, vec![])], None), "{cursor:?}");
        }
    }

    #[tokio::test]
    async fn missing_and_illegal_names_are_told_apart() {
        let snapshot = topics(&[]).await;
        let (topics, _) = shown(page(&request(&["none", "a b"], None), 10, &snapshot, BrokerId(1)));
        assert_eq!(topics, [("a b".to_owned(), 17, vec![]), ("none".to_owned(), 3, vec![])]);
    }

    #[tokio::test]
    async fn a_page_ends_inside_or_between_topics() {
        let snapshot = topics(&[("a", 2), ("b", 3)]).await;
        let a = ("a".to_owned(), 0, vec![0, 1]);
        let (topics, next) = shown(page(&request(&[], None), 2, &snapshot, BrokerId(1)));
        assert_eq!((topics, next), (vec![a.clone()], Some(("b".to_owned(), 0))));
        let (topics, next) = shown(page(&request(&["b", "a"], None), 3, &snapshot, BrokerId(1)));
        assert_eq!((topics, next), (vec![a, ("b".to_owned(), 0, vec![0])], Some(("b".to_owned(), 1))));
        let (topics, next) = shown(page(&request(&["b", "a"], Some(("b", 2))), 1, &snapshot, BrokerId(1)));
        assert_eq!((topics, next), (vec![("b".to_owned(), 0, vec![2])], None));
        let (topics, next) = shown(page(&request(&[], Some(("b", i32::MAX))), 9, &snapshot, BrokerId(1)));
        assert_eq!((topics, next), (vec![("b".to_owned(), 0, vec![])], None));
    }
}
