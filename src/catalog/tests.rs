//! Goal: what the catalog answers is what its store holds, across reopening and under concurrent changes, and only legal topics get in.
//! Method: a catalog on the memory store, a seeded environment; reopening is a second catalog on the same store.

use super::*;
use crate::ids::{LogId, NodeId, PartitionIndex, Timestamp};
use crate::store::memory::MemoryStore;
use std::collections::BTreeMap;
use std::collections::HashSet;
use uuid::Uuid;

async fn open(store: &Arc<MemoryStore>, seed: u64) -> Catalog {
    open_with(store, seed, KafkaSettings::default()).await
}

async fn open_with(store: &Arc<MemoryStore>, seed: u64, kafka: KafkaSettings) -> Catalog {
    let env = Env::manual(Timestamp(1_000), seed);
    Catalog::open(store.clone(), env, Arc::new(kafka), None).await.expect("the catalog opens")
}

fn new(name: &str, partitions: i32) -> NewTopic {
    NewTopic { name: name.to_owned(), partitions, replication_factor: 1, overrides: BTreeMap::new() }
}

fn with_config(name: &str, key: &str, value: &str) -> NewTopic {
    NewTopic { overrides: BTreeMap::from([(key.to_owned(), value.to_owned())]), ..new(name, 1) }
}

/// Kafka's text for why this name cannot be used; empty when it can.
fn refused(name: &str) -> String {
    check_name(name).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn names_follow_kafkas_rules() {
    assert_eq!(refused(""), "Topic name is invalid: the empty string is not allowed");
    assert_eq!(refused("."), "Topic name is invalid: '.' is not allowed");
    assert_eq!(refused(".."), "Topic name is invalid: '..' is not allowed");
    assert_eq!(
        refused("a b"),
        "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    );
    assert!(refused("grün").contains("ASCII alphanumerics"));
    let long = "x".repeat(250);
    let why = format!("Topic name is invalid: the length of '{long}' is longer than the max allowed length 249");
    assert_eq!(refused(&long), why);
    for good in ["a", "...", "A-Z_0.9", &"x".repeat(249)] {
        assert_eq!(refused(good), "", "{good} is a legal name");
    }
}

#[test]
fn only_kafkas_internal_topics_are_internal() {
    assert!(is_internal("__consumer_offsets") && is_internal("__transaction_state") && is_internal("__share_group_state"));
    assert!(!is_internal("__schemas") && !is_internal("_consumer_offsets"));
}

#[test]
fn uuids_are_written_as_kafka_writes_them() {
    assert_eq!(cluster::base64(Uuid::nil()), "AAAAAAAAAAAAAAAAAAAAAA");
    // Kafka's id of the cluster metadata topic (Uuid.METADATA_TOPIC_ID).
    assert_eq!(cluster::base64(Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
    assert_eq!(cluster::base64(Uuid::max()), "_____________________w");
}

#[test]
fn random_ids_never_start_with_a_dash() {
    let env = Env::manual(Timestamp(0), 7);
    assert!((0..2_000).all(|_| !cluster::base64(cluster::new_uuid(&env)).starts_with('-')));
}

#[tokio::test]
async fn refusals_carry_kafkas_texts_and_change_nothing() {
    let store = MemoryStore::new();
    let catalog = open(&store, 1).await;
    catalog.create_topic(new("a_b", 1)).await.expect("the first topic");
    let refused = [
        (new("a_b", 1), "Topic 'a_b' already exists."),
        (new("a.b", 1), "Topic 'a.b' collides with existing topic: a_b"),
        (new("p", 0), "Number of partitions was set to an invalid non-positive value."),
        (new("p", -2), "Number of partitions was set to an invalid non-positive value."),
        (new("p", 100_001), "Number of partitions was set to 100001; the most is 100000."),
        (
            NewTopic { replication_factor: 0, ..new("r", 1) },
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ),
        (
            NewTopic { replication_factor: 3, ..new("r", 1) },
            "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because only 1 \
             broker(s) are registered.",
        ),
        (with_config("c", "no.such.config", "1"), "Unknown topic config name: no.such.config"),
    ];
    for (topic, why) in refused {
        // Behind "Unknown topic config name: x" may follow a name that was perhaps meant.
        let starts_so = |error: CatalogError| assert!(error.to_string().starts_with(why), "{error} instead of {why}");
        starts_so(catalog.validate(&topic).expect_err("refused"));
        starts_so(catalog.create_topic(topic).await.expect_err("refused"));
    }
    let bad_value = catalog.create_topic(with_config("c", "retention.ms", "soon")).await;
    assert!(matches!(bad_value, Err(CatalogError::InvalidConfig(_))), "{bad_value:?}");
    assert_eq!(catalog.snapshot().topics.size(), 1);
    assert_eq!(open(&store, 2).await.snapshot().topics.size(), 1);
}

#[tokio::test]
async fn any_replication_factor_is_taken_where_the_operator_says_so() {
    let kafka = KafkaSettings { accept_any_replication_factor: true, ..KafkaSettings::default() };
    let catalog = open_with(&MemoryStore::new(), 1, kafka).await;
    let topic = catalog.create_topic(NewTopic { replication_factor: 3, ..new("t", 1) }).await.expect("created");
    assert_eq!(topic.replication_factor, 3);
}

#[tokio::test]
async fn minus_one_means_the_brokers_default() {
    let kafka = KafkaSettings { num_partitions: 4, ..KafkaSettings::default() };
    let catalog = open_with(&MemoryStore::new(), 1, kafka).await;
    let topic = catalog.create_topic(NewTopic { replication_factor: -1, ..new("t", -1) }).await.expect("created");
    assert_eq!((topic.logs.len(), topic.replication_factor), (4, 1));
}

#[tokio::test]
async fn a_created_topic_is_visible_at_once_and_after_reopening() {
    let store = MemoryStore::new();
    let catalog = open(&store, 1).await;
    let topic = catalog.create_topic(with_config("flights", "retention.ms", "60000")).await.expect("created");
    assert_eq!(catalog.topic("flights").expect("visible by name").id, topic.id);
    assert_eq!(catalog.topic_by_id(topic.id).expect("visible by id").name, "flights");
    assert_eq!(topic.settings.retention_ms, 60_000);

    let reopened = open(&store, 2).await;
    let again = reopened.topic("flights").expect("still there");
    assert_eq!((again.id, &again.logs, &again.overrides), (topic.id, &topic.logs, &topic.overrides));
    assert_eq!(again.settings, topic.settings);
    assert_eq!(reopened.cluster_id(), catalog.cluster_id());
}

#[tokio::test]
async fn ids_are_never_used_again() {
    let store = MemoryStore::new();
    let mut logs: HashSet<LogId> = HashSet::new();
    let mut ids = HashSet::new();
    for round in 0..5 {
        // Each round reopens the store: the counter must come from there, not from memory.
        let catalog = open(&store, round).await;
        let topic = catalog.create_topic(new("t", 3)).await.expect("created");
        assert!(topic.logs.iter().all(|log| logs.insert(*log)), "a log id came twice: {:?}", topic.logs);
        assert!(ids.insert(topic.id), "a topic id came twice: {}", topic.id);
        let grown = catalog.add_partitions("t", 5).await.expect("grown");
        assert_eq!(grown.logs.get(..3), topic.logs.get(..), "existing partitions keep their logs");
        assert!(grown.logs.iter().skip(3).all(|log| logs.insert(*log)), "a log id came twice: {:?}", grown.logs);
        catalog.delete_topic("t", None).await.expect("deleted");
        assert!(catalog.topic("t").is_none() && catalog.topic_by_id(topic.id).is_none());
    }
}

#[tokio::test]
async fn of_concurrent_creates_one_wins() {
    let catalog = Arc::new(open(&MemoryStore::new(), 1).await);
    let attempts = (0..16).map(|_| {
        let catalog = catalog.clone();
        tasks::spawn("test", async move { catalog.create_topic(new("t", 2)).await })
    });
    let mut created = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.expect("no panic") {
            Ok(_) => created += 1,
            Err(CatalogError::TopicExists(name)) => assert_eq!(name, "t"),
            Err(other) => panic!("unexpected: {other}"),
        }
    }
    assert_eq!(created, 1);
}

#[tokio::test]
async fn a_second_writer_of_the_same_store_is_noticed() {
    let store = MemoryStore::new();
    let (first, second) = (open(&store, 1).await, open(&store, 2).await);
    first.create_topic(new("t", 1)).await.expect("created");
    let lost = second.create_topic(new("u", 1)).await;
    assert!(matches!(lost, Err(CatalogError::Store(StoreError::Conflict))), "{lost:?}");
    assert!(second.topic("u").is_none(), "what is not committed is not visible");
}

#[tokio::test]
async fn a_dropped_request_leaves_snapshot_and_store_alike() {
    let store = MemoryStore::new();
    let catalog = open(&store, 1).await;
    {
        let request = catalog.create_topic(new("t", 1));
        tokio::pin!(request);
        // One poll starts the change; then the connection goes away.
        let _ = poll_once(request.as_mut()).await;
    }
    // The next change waits for the commit lock, so the first one is over when it answers.
    catalog.create_topic(new("u", 1)).await.expect("created");
    let both = |catalog: &Catalog| catalog.snapshot().topics.keys().cloned().collect::<Vec<_>>();
    assert_eq!(both(&catalog), ["t", "u"]);
    assert_eq!(both(&open(&store, 2).await), ["t", "u"]);
}

/// Polls `future` once.
async fn poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn partitions_only_grow() {
    let catalog = open(&MemoryStore::new(), 1).await;
    catalog.create_topic(new("t", 3)).await.expect("created");
    catalog.create_topic(new("__consumer_offsets", 3)).await.expect("created");
    let refused = [
        ("none", 4, "This server does not host this topic-partition."),
        ("t", 3, "Topic already has 3 partition(s)."),
        ("t", 2, "The topic t currently has 3 partition(s); 2 would not be an increase."),
        ("t", i32::MIN, "The topic t currently has 3 partition(s); -2147483648 would not be an increase."),
        ("t", i32::MAX, "Number of partitions was set to 2147483647; the most is 100000."),
        ("__consumer_offsets", 4, "The number of partitions of the internal topic __consumer_offsets cannot be changed."),
    ];
    for (name, total, why) in refused {
        assert_eq!(catalog.validate_partitions(name, total).expect_err("refused").to_string(), why);
        assert_eq!(catalog.add_partitions(name, total).await.expect_err("refused").to_string(), why);
    }
    assert_eq!(catalog.add_partitions("t", 4).await.expect("grown").logs.len(), 4);
    assert_eq!(catalog.topic("t").expect("there").logs.len(), 4);
}

#[tokio::test]
async fn internal_topics_can_be_deleted_as_in_kafka() {
    let catalog = open(&MemoryStore::new(), 1).await;
    catalog.create_topic(new("__consumer_offsets", 1)).await.expect("created");
    catalog.delete_topic("__consumer_offsets", None).await.expect("deleted");
    assert!(matches!(catalog.delete_topic("none", None).await, Err(CatalogError::UnknownTopic(_))));
}

#[tokio::test]
async fn producer_ids_are_handed_out_once() {
    let store = MemoryStore::new();
    let catalog = open(&store, 1).await;
    assert_eq!(catalog.allocate_producer_ids(1_000).await.expect("a block"), 0..1_000);
    assert_eq!(catalog.allocate_producer_ids(1_000).await.expect("a block"), 1_000..2_000);
    assert_eq!(open(&store, 2).await.allocate_producer_ids(10).await.expect("a block"), 2_000..2_010);
}

#[tokio::test]
async fn the_cluster_keeps_its_id() {
    let store = MemoryStore::new();
    let env = Env::manual(Timestamp(0), 1);
    let kafka = Arc::new(KafkaSettings::default());
    let open = |id: Option<&str>| Catalog::open(store.clone(), env.clone(), kafka.clone(), id.map(str::to_owned));
    assert_eq!(open(Some("mine")).await.expect("opens").cluster_id(), "mine");
    assert_eq!(open(None).await.expect("opens").cluster_id(), "mine");
    let other = open(Some("other")).await.err().expect("refused").to_string();
    assert!(other.contains("\"other\"") && other.contains("\"mine\""), "{other}");
    assert_eq!(self::open(&MemoryStore::new(), 1).await.cluster_id().len(), 22);
}

#[test]
fn manual_assignments_name_this_node_and_every_partition_once() {
    let node = NodeId(1);
    let on = |index: i32, nodes: &[i32]| (PartitionIndex(index), nodes.iter().copied().map(NodeId).collect::<Vec<_>>());
    let count = |list: &[(PartitionIndex, Vec<NodeId>)]| assignments::partitions(list, node).map_err(|error| error.to_string());
    let error = |list: &[(PartitionIndex, Vec<NodeId>)]| count(list).expect_err("refused");
    assert_eq!(error(&[on(0, &[])]), "The manual partition assignment includes an empty replica list.");
    assert_eq!(error(&[on(0, &[1, 2])]), "The manual partition assignment includes broker 2, but no such broker is registered.");
    assert_eq!(error(&[on(0, &[1, 1])]), "The manual partition assignment includes the broker 1 more than once.");
    assert_eq!(error(&[on(0, &[1]), on(0, &[1])]), "Found multiple manual partition assignments for partition 0");
    assert_eq!(error(&[on(0, &[1]), on(2, &[1])]), "partitions should be a consecutive 0-based integer sequence");
    assert_eq!(error(&[on(-1, &[1])]), "partitions should be a consecutive 0-based integer sequence");
    assert_eq!(count(&[on(1, &[1]), on(0, &[1])]), Ok(2));
}

#[tokio::test]
async fn another_topic_of_the_same_name_is_not_deleted() {
    let catalog = open(&MemoryStore::new(), 1).await;
    let first = catalog.create_topic(new("t", 1)).await.expect("created");
    catalog.delete_topic("t", Some(first.id)).await.expect("deleted");
    let second = catalog.create_topic(new("t", 1)).await.expect("created anew");
    assert!(matches!(catalog.delete_topic("t", Some(first.id)).await, Err(CatalogError::UnknownTopic(_))));
    assert_eq!(catalog.topic("t").map(|topic| topic.id), Some(second.id));
}

#[tokio::test]
async fn a_deletion_is_remembered_until_the_logs_are_gone() {
    let store = MemoryStore::new();
    let catalog = open(&store, 1).await;
    let topic = catalog.create_topic(new("t", 2)).await.expect("created");
    catalog.delete_topic("t", None).await.expect("deleted");
    let again = open(&store, 2).await;
    assert_eq!(again.unfinished_deletions(), [Deleted { id: topic.id, logs: topic.logs.clone() }]);
    again.forget_deleted(topic.id).await.expect("forgotten");
    assert_eq!(open(&store, 3).await.unfinished_deletions(), []);
}
