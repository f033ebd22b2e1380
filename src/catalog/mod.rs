//! What exists: the cluster's id, its topics with their ids, logs and configurations, and the counters that ids come from.
//!
//! Owner: [`Catalog`]. Readers take an immutable [`Snapshot`], which is swapped whole. A change is committed to the `MetaStore` first
//! (compare-and-commit, durable), and only then becomes visible; one async mutex orders the changes. A change that has begun runs to
//! its end even if whoever asked goes away, so that the snapshot never falls behind the store.
//!
//! Keys, all values JSON: `cluster/id`, `topics/{name}`, `groups/{id}`, `brokers/{id}`, `quotas/{entity}`, `ids/next_log`,
//! `ids/next_producer`.

use crate::config::KafkaSettings;
use crate::env::Env;
use crate::ids::{LogId, TopicId};
use crate::store::{MetaStore, StoreError, json};
use crate::tasks;
use arc_swap::ArcSwap;
use commits::Commits;
use rpds::{HashTrieMapSync, RedBlackTreeMapSync};
use std::ops::Range;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::Mutex;
use tracing::info;

mod alter;
pub mod assignments;
mod brokers;
pub mod cluster;
mod commits;
pub mod dynamic;
mod feed;
pub mod patterns;
pub mod quotas;
#[cfg(test)]
mod tests;
pub mod topics;

pub use feed::Feed;
pub use topics::{NewTopic, Shape, Topic, check_name, is_internal};

/// Why a change was refused; one variant per reaction. The texts are Kafka's own, because clients' suites and people's eyes look
/// for them (ReplicationControlManager, Topic, LogConfig).
#[derive(Debug, Clone, Error)]
pub enum CatalogError {
    /// A topic of this name exists.
    #[error("Topic '{0}' already exists.")]
    TopicExists(String),
    /// No topic of this name exists.
    #[error("This server does not host this topic-partition.")]
    UnknownTopic(String),
    /// The name breaks Kafka's rules, or collides with another one.
    #[error("{0}")]
    InvalidName(String),
    #[error("{0}")]
    InvalidPartitions(String),
    #[error("{0}")]
    InvalidReplicationFactor(String),
    #[error("{0}")]
    InvalidReplicaAssignment(String),
    /// A configuration has an unknown name, or a value that it cannot have.
    #[error("{0}")]
    InvalidConfig(String),
    /// The request contradicts itself, or asks for what must not happen to an internal topic.
    #[error("{0}")]
    InvalidRequest(String),
    /// There are as many of these as are kept.
    #[error("{0}")]
    LimitReached(String),
    /// The metadata store refused; nothing changed as far as readers can see.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a catalog cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error(
        "server.cluster_id is {configured:?}, but this data directory belongs to cluster {stored:?}; \
         remove the setting or use another storage.path"
    )]
    OtherCluster { configured: String, stored: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All topics, and all settings and quotas that change while the broker runs, at one moment.
///
/// The maps share structure: the next snapshot costs what changes, not what there is, or creating 100,000 topics would copy 10^10 entries.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Grows with every change; counts from the opening.
    pub version: u64,
    /// By name.
    pub topics: RedBlackTreeMapSync<String, Arc<Topic>>,
    ids: HashTrieMapSync<TopicId, Arc<Topic>>,
    /// The name of the topic that metrics call so ([`topics::unified`]).
    unified: HashTrieMapSync<String, String>,
    dynamic: dynamic::Dynamic,
    quotas: quotas::Quotas,
    /// The broker's properties as it was started.
    given: Arc<KafkaSettings>,
    /// Together with what was set for brokers since.
    kafka: Arc<KafkaSettings>,
    /// What was set for brokers before this start does not fit `given`, and counts for nothing until it is changed.
    are_brokers_ignored: bool,
}

impl Snapshot {
    /// These topics and nothing else.
    #[cfg(test)]
    #[must_use]
    pub fn of(version: u64, topics: Vec<Topic>) -> Snapshot {
        let mut snapshot = Snapshot { version, ..Snapshot::default() };
        for topic in topics {
            snapshot.insert(Arc::new(topic));
        }
        snapshot
    }

    /// With these settings of a group.
    #[cfg(test)]
    #[must_use]
    pub fn with_group(mut self, id: &str, overrides: dynamic::Overrides) -> Snapshot {
        self.dynamic.insert(&dynamic::Owner::Group(id.to_owned()), overrides);
        self
    }

    /// The topic called `name`.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.get(name).cloned()
    }

    /// The topic with this id; a re-created topic has another one.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<Arc<Topic>> {
        self.ids.get(&id).cloned()
    }

    /// Adds a topic, or replaces the one with its name.
    fn insert(&mut self, topic: Arc<Topic>) {
        self.ids.insert_mut(topic.id, topic.clone());
        self.unified.insert_mut(topics::unified(&topic.name), topic.name.clone());
        self.topics.insert_mut(topic.name.clone(), topic);
    }

    fn remove(&mut self, name: &str) {
        if let Some(topic) = self.topic(name) {
            self.topics.remove_mut(name);
            self.ids.remove_mut(&topic.id);
            self.unified.remove_mut(&topics::unified(name));
        }
    }
}

/// What exists, and the only way to change it.
pub struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    snapshot: ArcSwap<Snapshot>,
    feed: Feed,
    /// Held from the check of a change until its snapshot is visible.
    commits: Mutex<Commits>,
    env: Env,
    cluster_id: String,
    /// Found at the opening: topics whose deletion a crash cut short.
    unfinished: Vec<Deleted>,
}

/// A topic that is gone, and its logs, which the store may still hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    pub id: TopicId,
    pub logs: Vec<LogId>,
}

impl Catalog {
    /// Reads everything from `meta`; the first time, also gives the cluster its id (`cluster_id`, or a random one).
    ///
    /// # Errors
    /// [`OpenError::OtherCluster`] when `cluster_id` is not the stored one; [`StoreError::Damaged`] when a value does not read back.
    pub async fn open(
        meta: Arc<dyn MetaStore>,
        env: Env,
        kafka: Arc<KafkaSettings>,
        cluster_id: Option<String>,
    ) -> Result<Catalog, OpenError> {
        let (mut commits, values) = Commits::load(meta).await?;
        let mut snapshot = Snapshot { given: kafka.clone(), kafka, ..Snapshot::default() };
        for (key, value) in &values {
            snapshot.dynamic.read(key, value)?;
        }
        snapshot.load_brokers();
        let mut unfinished = Vec::new();
        for (key, value) in &values {
            if let Some(name) = key.strip_prefix(topics::PREFIX) {
                let topic = Topic::read(name, value, &snapshot.kafka)?;
                commits.check_log_ids(&topic)?;
                snapshot.insert(Arc::new(topic));
            }
            snapshot.quotas.read(key, value)?;
            if let Some(id) = key.strip_prefix(commits::DELETED) {
                let id = id.parse().map_err(|error| StoreError::Damaged(format!("metadata key {key}: {error}")))?;
                unfinished.push(Deleted { id: TopicId(id), logs: json::read(key, value)? });
            }
        }
        let cluster_id = cluster::establish(&mut commits, values.get(cluster::KEY), cluster_id, &env).await?;
        info!(cluster_id, topics = snapshot.topics.size(), "catalog opened");
        let feed = Feed::new(snapshot.version);
        let (snapshot, commits) = (ArcSwap::from_pointee(snapshot), Mutex::new(commits));
        let inner = Inner { snapshot, feed, commits, env, cluster_id, unfinished };
        Ok(Catalog { inner: Arc::new(inner) })
    }

    /// Everything that exists now; does not change while it is held.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.snapshot.load_full()
    }

    /// What changed: see [`Feed`].
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.inner.feed
    }

    /// The topic called `name`.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.inner.snapshot.load().topic(name)
    }

    /// The topic with this id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<Arc<Topic>> {
        self.inner.snapshot.load().topic_by_id(id)
    }

    /// The cluster's id: usually 22 characters.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.inner.cluster_id
    }

    /// Whether a topic could be created under `name` now.
    ///
    /// # Errors
    /// [`CatalogError::InvalidName`], [`CatalogError::TopicExists`].
    pub fn check_new_name(&self, name: &str) -> Result<(), CatalogError> {
        topics::check_new_name(name, &self.snapshot())
    }

    /// What `new` would become if it were created now (validate-only requests).
    ///
    /// # Errors
    /// Those of [`Catalog::create_topic`], without the store's.
    pub fn validate(&self, new: &NewTopic) -> Result<Shape, CatalogError> {
        topics::shape(new, &self.snapshot())
    }

    /// Creates a topic: its id, and one log id per partition, committed together. Durable and visible when it returns.
    /// The logs are not opened here.
    ///
    /// # Errors
    /// One of the `Invalid…` variants, [`CatalogError::TopicExists`], [`CatalogError::Store`].
    pub async fn create_topic(&self, new: NewTopic) -> Result<Arc<Topic>, CatalogError> {
        let inner = self.inner.clone();
        tasks::to_the_end("catalog change", async move { inner.create_topic(new).await }).await
    }

    /// Removes a topic and answers what it was, so that the caller can delete its logs. Durable and visible when it returns. `only`: not another
    /// topic that has the name by now.
    ///
    /// # Errors
    /// [`CatalogError::UnknownTopic`], [`CatalogError::Store`].
    pub async fn delete_topic(&self, name: &str, only: Option<TopicId>) -> Result<Arc<Topic>, CatalogError> {
        let (inner, name) = (self.inner.clone(), name.to_owned());
        tasks::to_the_end("catalog change", async move { inner.delete_topic(&name, only).await }).await
    }

    /// Topics whose deletion was cut short before this opening: their logs are to be deleted, then [`Catalog::forget_deleted`].
    #[must_use]
    pub fn unfinished_deletions(&self) -> &[Deleted] {
        &self.inner.unfinished
    }

    /// The logs of a deleted topic are gone from the store.
    ///
    /// # Errors
    /// [`CatalogError::Store`].
    pub async fn forget_deleted(&self, id: TopicId) -> Result<(), CatalogError> {
        let inner = self.inner.clone();
        tasks::to_the_end("catalog change", async move { Ok(inner.commits.lock().await.forget_deleted(id).await?) }).await
    }

    /// Whether [`Catalog::add_partitions`] would be taken now; answers the topic as it is.
    ///
    /// # Errors
    /// Those of [`Catalog::add_partitions`], without the store's.
    pub fn validate_partitions(&self, name: &str, total: i32) -> Result<Arc<Topic>, CatalogError> {
        topics::check_total(&self.snapshot(), name, total).map(|(topic, _)| topic)
    }

    /// Grows a topic to `total` partitions. Durable and visible when it returns.
    ///
    /// # Errors
    /// [`CatalogError::UnknownTopic`]; [`CatalogError::InvalidPartitions`] when `total` is no increase or too large;
    /// [`CatalogError::InvalidRequest`] for an internal topic; [`CatalogError::Store`].
    pub async fn add_partitions(&self, name: &str, total: i32) -> Result<Arc<Topic>, CatalogError> {
        let (inner, name) = (self.inner.clone(), name.to_owned());
        tasks::to_the_end("catalog change", async move { inner.add_partitions(&name, total).await }).await
    }

    /// Whether [`Catalog::alter`] would take these changes now.
    ///
    /// # Errors
    /// Those of [`Catalog::alter`], without the store's.
    pub fn validate_overrides(&self, owner: &dynamic::Owner, changes: &[dynamic::Change]) -> Result<(), CatalogError> {
        self.inner.validate_overrides(owner, changes)
    }

    /// Changes the settings of a group, which need not exist, or of brokers. Durable and visible when it returns. Answers the
    /// topics whose settings are others now, because they default to the brokers'; their logs are told by the caller.
    ///
    /// # Errors
    /// [`CatalogError::InvalidConfig`] for a group, [`CatalogError::InvalidRequest`] for brokers, [`CatalogError::LimitReached`],
    /// [`CatalogError::Store`].
    pub async fn alter(&self, owner: dynamic::Owner, changes: Vec<dynamic::Change>) -> Result<Vec<Arc<Topic>>, CatalogError> {
        let inner = self.inner.clone();
        tasks::to_the_end("catalog change", async move { inner.alter(&owner, &changes).await }).await
    }

    /// What [`Catalog::alter_quotas`] would answer now.
    #[must_use]
    pub fn validate_quotas(&self, alterations: &[quotas::Alteration]) -> Vec<Result<(), CatalogError>> {
        self.inner.validate_quotas(alterations)
    }

    /// Changes quotas, each entity's all or none; no entity may come twice. Answers for each what became of it: nothing,
    /// [`CatalogError::InvalidRequest`] or [`CatalogError::LimitReached`]. What was taken is durable and visible when it returns.
    ///
    /// # Errors
    /// [`CatalogError::Store`]: no quota has changed.
    pub async fn alter_quotas(
        &self,
        alterations: Vec<quotas::Alteration>,
    ) -> Result<Vec<Result<(), CatalogError>>, CatalogError> {
        let inner = self.inner.clone();
        tasks::to_the_end("catalog change", async move { inner.alter_quotas(&alterations).await }).await
    }

    /// What a topic would become by these changes of its settings, if they were made now.
    ///
    /// # Errors
    /// Those of [`Catalog::alter_topic`], without the store's.
    pub fn validate_topic(&self, name: &str, changes: &[dynamic::Change]) -> Result<Topic, CatalogError> {
        alter::altered(&self.snapshot(), name, changes)
    }

    /// Changes a topic's settings, all or none. Durable and visible when it returns; the logs are told by the caller.
    ///
    /// # Errors
    /// [`CatalogError::UnknownTopic`], [`CatalogError::InvalidConfig`], [`CatalogError::Store`].
    pub async fn alter_topic(&self, name: &str, changes: Vec<dynamic::Change>) -> Result<Arc<Topic>, CatalogError> {
        let (inner, name) = (self.inner.clone(), name.to_owned());
        tasks::to_the_end("catalog change", async move { inner.alter_topic(&name, &changes).await }).await
    }

    /// Sets `count` producer ids aside that nobody gets again, not even after a crash.
    ///
    /// # Errors
    /// [`CatalogError::Store`].
    pub async fn allocate_producer_ids(&self, count: u32) -> Result<Range<i64>, CatalogError> {
        let inner = self.inner.clone();
        tasks::to_the_end("catalog change", async move { Ok(inner.commits.lock().await.allocate_producer_ids(count).await?) })
            .await
    }
}

impl Inner {
    async fn create_topic(&self, new: NewTopic) -> Result<Arc<Topic>, CatalogError> {
        let mut commits = self.commits.lock().await;
        let snapshot = self.snapshot.load_full();
        let shape = topics::shape(&new, &snapshot)?;
        let topic = Topic {
            id: topics::new_id(&self.env, &snapshot),
            created: self.env.now(),
            logs: commits.next_logs(shape.partitions)?,
            replication_factor: shape.replication_factor,
            internal: is_internal(&new.name),
            settings: shape.settings,
            overrides: new.overrides,
            name: new.name,
        };
        commits.put_topic(&topic).await?;
        let topic = Arc::new(topic);
        self.publish(&snapshot, &topic.name, |next| next.insert(topic.clone()));
        info!(topic = topic.name, id = %topic.id, partitions = topic.logs.len(), "topic created");
        Ok(topic)
    }

    async fn delete_topic(&self, name: &str, only: Option<TopicId>) -> Result<Arc<Topic>, CatalogError> {
        let mut commits = self.commits.lock().await;
        let snapshot = self.snapshot.load_full();
        let topic = snapshot.topic(name).filter(|topic| only.is_none_or(|id| id == topic.id));
        let topic = topic.ok_or_else(|| CatalogError::UnknownTopic(name.to_owned()))?;
        commits.delete_topic(&topic).await?;
        self.publish(&snapshot, name, |next| next.remove(name));
        info!(topic = name, id = %topic.id, "topic deleted");
        Ok(topic)
    }

    async fn add_partitions(&self, name: &str, total: i32) -> Result<Arc<Topic>, CatalogError> {
        let mut commits = self.commits.lock().await;
        let snapshot = self.snapshot.load_full();
        let (old, additional) = topics::check_total(&snapshot, name, total)?;
        let mut topic = Topic::clone(&old);
        topic.logs.extend(commits.next_logs(additional)?);
        commits.put_topic(&topic).await?;
        let topic = Arc::new(topic);
        self.publish(&snapshot, name, |next| next.insert(topic.clone()));
        info!(topic = name, partitions = topic.logs.len(), "partitions added");
        Ok(topic)
    }

    /// Makes a change, of the topic `name` when it is one, visible. The caller holds the commit lock, so `current` is still the newest
    /// snapshot.
    fn publish(&self, current: &Snapshot, name: &str, change: impl FnOnce(&mut Snapshot)) {
        let mut next = current.clone();
        next.version += 1;
        let version = next.version;
        change(&mut next);
        self.snapshot.store(Arc::new(next));
        self.feed.changed(version, name);
    }
}
