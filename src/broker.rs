//! One of everything: the handles that a request needs, opened and closed in order. No behaviour of its own beyond the glue between
//! catalog (what exists) and logs (what it holds), which are peers and do not know each other.

mod streams_topics;

use crate::catalog::dynamic::{Change, Owner};
use crate::catalog::{Catalog, CatalogError, Deleted, NewTopic, Topic};
use crate::config::{Config, Sync};
use crate::coordinator::group::Groups;
use crate::coordinator::producer_ids::ProducerIds;
use crate::coordinator::share::SharePartitions;
use crate::coordinator::txn::Transactions;
use crate::env::Env;
use crate::ids::{LogId, TopicId};
use crate::log::{LogOptions, Logs, Partition, compaction, retention};
use crate::records::Compression;
use crate::schema::counts::Counts;
use crate::schema::{Level, Registry, Settings};
use crate::store::local::{LocalOptions, LocalStore, Meters, OnDamage, SyncPolicy};
use crate::store::memory::MemoryStore;
use crate::store::{LogStore, MetaStore, StoreError};
use crate::tasks;
use crate::telemetry::metrics::Metrics;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use streams_topics::StreamsTopics;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tracing::warn;

/// One permit of [`Broker::fetch_memory`].
pub const FETCH_PERMIT_BYTES: usize = 1024;
/// How often logs that grew enough save what recovery would otherwise read.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(10);
/// How often it is looked at whether all logs together grew by too much before that.
const SNAPSHOT_LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// From the start to the first look at what is too old or too much.
const FIRST_RETENTION: Duration = Duration::from_secs(30);
/// Between two looks at what is to be compacted, whatever `log.cleaner.backoff.ms` says.
const COMPACTION_REST_MIN: Duration = Duration::from_millis(10);
/// Logs of one topic that are opened at once.
const OPENED_AT_ONCE: usize = 16;
/// Compressed batches that are unpacked at a time, for validation or another codec: each may take 100 MiB.
const UNPACKED_MAX: usize = 4;

/// Everything that a handler may use.
pub struct Broker {
    pub env: Env,
    pub config: Arc<Config>,
    pub metrics: Arc<Metrics>,
    pub logs: Arc<Logs>,
    pub catalog: Arc<Catalog>,
    pub groups: Arc<Groups>,
    pub transactions: Arc<Transactions>,
    pub share_partitions: Arc<SharePartitions>,
    pub producer_ids: Arc<ProducerIds>,
    pub schemas: Arc<Registry>,
    /// What exists beside the catalog and the registry: the owners of other keys.
    pub meta: Arc<dyn MetaStore>,
    /// Records that did not fit their schema.
    pub invalid_records: Counts,
    /// Topics that are made for streams applications.
    pub streams_topics: StreamsTopics,
    /// Leave to unpack a compressed batch: to hold its records against a schema, or to compress them otherwise.
    pub unpacked: Arc<Semaphore>,
    /// Room for fetched batches on their way to sockets, in KiB: when it is used up, fetches wait for slower readers to drain.
    pub fetch_memory: Arc<Semaphore>,
    opening: Opening,
    background: Vec<JoinHandle<()>>,
}

/// Opens logs, and sees to it that they have their topics' newest settings.
#[derive(Clone)]
struct Opening {
    logs: Arc<Logs>,
    catalog: Arc<Catalog>,
    /// Held while settings are read and handed to logs, so that older ones never follow newer ones.
    turn: Arc<Mutex<()>>,
}

impl Opening {
    async fn open(&self, topic: &Topic, log: LogId) -> Result<Arc<Partition>, StoreError> {
        let partition = self.logs.open(log, topic.settings.clone()).await?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // They may have changed while the log was being opened.
        if let Some(newest) = self.catalog.topic_by_id(topic.id)
            && !Arc::ptr_eq(&newest.settings, &partition.settings())
        {
            partition.set_settings(newest.settings.clone());
        }
        Ok(partition)
    }

    /// Opens every partition of `topic`, some at once: one after the other, the hand-overs to the blocking threads would cost ten times what
    /// is done there.
    fn open_all<'a>(&'a self, topic: &'a Topic) -> impl Stream<Item = Result<Arc<Partition>, (LogId, StoreError)>> + 'a {
        let one = move |log: LogId| async move { self.open(topic, log).await.map_err(|error| (log, error)) };
        stream::iter(topic.logs.iter().copied()).map(one).buffer_unordered(OPENED_AT_ONCE)
    }

    fn settings_changed(&self, topic: &Topic) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Not those of one change: a later one may have come in between.
        let Some(newest) = self.catalog.topic_by_id(topic.id) else { return };
        for partition in newest.logs.iter().filter_map(|log| self.logs.get(*log)) {
            partition.set_settings(newest.settings.clone());
        }
    }

    /// After a change of the brokers' properties, which has changed the settings of `topics`.
    fn brokers_changed(&self, topics: &[Arc<Topic>]) {
        for topic in topics {
            self.settings_changed(topic);
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.logs.set_producer_expiration_ms(self.catalog.effective_kafka().producer_id_expiration_ms);
    }
}

impl Broker {
    /// Opens store, catalog, logs and coordinators, in this order, and starts the background tasks.
    ///
    /// # Errors
    /// When the data directory cannot be used; the message says why and what to do.
    pub async fn open(config: Arc<Config>, env: Env) -> anyhow::Result<Arc<Broker>> {
        let metrics = Arc::new(Metrics::default());
        metrics.build_info.of([env!("CARGO_PKG_VERSION")]).set(1);
        metrics.start_time.set(env.now().0 / 1000);
        let (log_store, meta_store) = open_store(&config, &metrics).await?;
        let kafka = Arc::new(config.kafka.clone());
        let schemas = Registry::open(meta_store.clone(), registry_settings(&config)).await?;
        let catalog = Arc::new(Catalog::open(meta_store.clone(), env.clone(), kafka, config.server.cluster_id.clone()).await?);
        let producer_expiration_ms = catalog.effective_kafka().producer_id_expiration_ms;
        let options = LogOptions { tail_bytes: config.limits.tail_bytes, producer_expiration_ms };
        let logs = Logs::new(log_store, env.clone(), options);
        let groups = Groups::new(logs.clone(), catalog.clone(), env.clone(), config.clone());
        groups.start();
        let producer_ids = Arc::new(ProducerIds::new(catalog.clone()));
        let transactions =
            Transactions::new(logs.clone(), catalog.clone(), env.clone(), &config, groups.clone(), producer_ids.clone());
        transactions.start();
        let share_partitions = SharePartitions::new(logs.clone(), catalog.clone(), env.clone(), config.clone());
        share_partitions.start();
        let opening = Opening { logs: logs.clone(), catalog: catalog.clone(), turn: Arc::default() };
        let background = vec![
            tasks::spawn("finish deletions", finish_deletions(logs.clone(), catalog.clone())),
            tasks::spawn("open logs", open_all(opening.clone())),
            tasks::spawn("retention", sweep_retention(logs.clone(), config.kafka.log_retention_check_interval_ms)),
            tasks::spawn("compaction", compact(logs.clone(), catalog.clone())),
            tasks::spawn("producer snapshots", save_snapshots(logs.clone())),
        ];
        Ok(Arc::new(Broker {
            producer_ids,
            schemas,
            meta: meta_store,
            invalid_records: Counts::default(),
            streams_topics: StreamsTopics::default(),
            unpacked: Arc::new(Semaphore::new(UNPACKED_MAX)),
            opening,
            fetch_memory: Arc::new(Semaphore::new(config.limits.memory_bytes / FETCH_PERMIT_BYTES)),
            env,
            config,
            metrics,
            logs,
            catalog,
            groups,
            transactions,
            share_partitions,
            background,
        }))
    }

    /// Whether more than half of what answers to Fetch may take is in use.
    #[must_use]
    pub fn is_fetch_memory_scarce(&self) -> bool {
        self.fetch_memory.available_permits() < self.config.limits.memory_bytes / FETCH_PERMIT_BYTES / 2
    }

    /// The log behind `index` of `topic`, opened at its first use; `None` when the topic has no such partition.
    ///
    /// # Errors
    /// What opening it answers.
    pub async fn partition(&self, topic: &Topic, index: i32) -> Result<Option<Arc<Partition>>, StoreError> {
        let Some(log) = usize::try_from(index).ok().and_then(|index| topic.logs.get(index)) else { return Ok(None) };
        if let Some(partition) = self.logs.get(*log) {
            return Ok(Some(partition));
        }
        // In a box, so that the many who find it open carry nothing of it.
        Box::pin(self.opening.open(topic, *log)).await.map(Some)
    }

    /// Creates a topic and opens its partitions: what is answered as created can be used at once.
    ///
    /// # Errors
    /// See [`Catalog::create_topic`].
    pub async fn create_topic(self: &Arc<Broker>, new: NewTopic) -> Result<Arc<Topic>, CatalogError> {
        let broker = self.clone();
        tasks::to_the_end("create topic", async move {
            let topic = broker.catalog.create_topic(new).await?;
            broker.open_partitions(&topic).await?;
            Ok(topic)
        })
        .await
    }

    /// Creates `name` with the defaults (`num.partitions`), unless someone else created it meanwhile.
    ///
    /// # Errors
    /// See [`Catalog::create_topic`].
    pub async fn auto_create(self: &Arc<Broker>, name: &str) -> Result<(), CatalogError> {
        match self.create_topic(NewTopic::with_defaults(name, &self.config.kafka)).await {
            Ok(_) | Err(CatalogError::TopicExists(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Does `work` on compressed batches off the runtime, a few at a time: what each unpacks to is known only when it is there. The leave ends with the work,
    /// also when whoever asked goes away, and nobody holds it who waits for something else.
    pub async fn unpacking<T: Send + 'static>(&self, name: &'static str, work: impl FnOnce() -> T + Send + 'static) -> T {
        // Never closed.
        let leave = self.unpacked.clone().acquire_owned().await;
        let work = move || {
            let _leave = leave;
            work()
        };
        tasks::blocking(name, work).await
    }

    /// As [`Broker::unpacking`], of a batch that may be as it is: then nothing is unpacked, and nobody waits for leave.
    pub async fn opening<T: Send + 'static>(
        &self,
        compression: Compression,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        match compression {
            Compression::None => tasks::blocking(name, work).await,
            _ => self.unpacking(name, work).await,
        }
    }

    /// Deletes topics and their logs, and then has the coordinators forget what they keep of them: offsets that groups committed, positions of share
    /// groups. `only`: not another topic of the same name. Answers for each topic, in order.
    ///
    /// The coordinators write to the disk, and on a full one wait for the room that these very topics make: so the logs of all go first, and what is not
    /// forgotten within `patience` (of the whole) is so later. Until then the topic's id tells that it is stale.
    ///
    /// # Errors
    /// See [`Catalog::delete_topic`].
    pub async fn delete_topics(
        self: &Arc<Broker>,
        topics: Vec<(String, Option<TopicId>)>,
        patience: Duration,
    ) -> Vec<Result<Arc<Topic>, CatalogError>> {
        let broker = self.clone();
        tasks::to_the_end("delete topics", async move {
            let deadline = tokio::time::Instant::now() + patience;
            let mut answers = Vec::with_capacity(topics.len());
            for (name, only) in topics {
                answers.push(broker.delete_topic(&name, only).await);
            }
            let deleted: Vec<Arc<Topic>> = answers.iter().flatten().cloned().collect();
            // A task of its own: it goes on when it is not waited for any more.
            let forgotten = tasks::spawn("forget deleted topics", async move { broker.forget_deleted(&deleted).await });
            if tokio::time::timeout_at(deadline, forgotten).await.is_err() {
                warn!("coordinators have not forgotten deleted topics yet; they do so when they can write");
            }
            answers
        })
        .await
    }

    async fn delete_topic(&self, name: &str, only: Option<TopicId>) -> Result<Arc<Topic>, CatalogError> {
        let topic = self.catalog.delete_topic(name, only).await?;
        purge(&self.logs, &self.catalog, &Deleted { id: topic.id, logs: topic.logs.clone() }).await?;
        self.invalid_records.forget(topic.id);
        Ok(topic)
    }

    async fn forget_deleted(&self, topics: &[Arc<Topic>]) {
        for topic in topics {
            self.groups.topic_deleted(&topic.name, topic.id).await;
            self.share_partitions.topic_deleted(topic.id).await;
        }
    }

    /// Changes a topic's settings, all or none; appends and retention follow them when it returns.
    ///
    /// # Errors
    /// See [`Catalog::alter_topic`].
    pub async fn alter_topic(self: &Arc<Broker>, name: &str, changes: Vec<Change>) -> Result<Arc<Topic>, CatalogError> {
        let (broker, name) = (self.clone(), name.to_owned());
        tasks::to_the_end("alter topic", async move {
            let topic = broker.catalog.alter_topic(&name, changes).await?;
            broker.opening.settings_changed(&topic);
            Ok(topic)
        })
        .await
    }

    /// Changes the settings of a group or of brokers, all or none; what follows them does so when it returns.
    ///
    /// # Errors
    /// See [`Catalog::alter`].
    pub async fn alter_settings(self: &Arc<Broker>, owner: Owner, changes: Vec<Change>) -> Result<(), CatalogError> {
        let broker = self.clone();
        tasks::to_the_end("alter settings", async move {
            let is_of_brokers = matches!(owner, Owner::Broker(_));
            let topics = broker.catalog.alter(owner, changes).await?;
            if is_of_brokers {
                let opening = broker.opening.clone();
                // It may be every open log.
                tasks::blocking("hand out settings", move || opening.brokers_changed(&topics)).await;
            }
            Ok(())
        })
        .await
    }

    /// Grows a topic to `total` partitions.
    ///
    /// # Errors
    /// See [`Catalog::add_partitions`].
    pub async fn add_partitions(self: &Arc<Broker>, name: &str, total: i32) -> Result<Arc<Topic>, CatalogError> {
        let (broker, name) = (self.clone(), name.to_owned());
        tasks::to_the_end("add partitions", async move {
            let topic = broker.catalog.add_partitions(&name, total).await?;
            broker.open_partitions(&topic).await?;
            Ok(topic)
        })
        .await
    }

    async fn open_partitions(&self, topic: &Topic) -> Result<(), CatalogError> {
        self.opening
            .open_all(topic)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await
            .map_err(|(_, error)| CatalogError::Store(error))
    }

    /// Stops the coordinators and background tasks, then closes logs and store. After it, the directory may be opened again.
    ///
    /// # Errors
    /// What closing the store answers.
    pub async fn close(&self) -> Result<(), StoreError> {
        for task in &self.background {
            task.abort();
        }
        self.logs.stopping();
        // They write to logs of groups.
        self.transactions.close().await;
        self.share_partitions.close().await;
        self.groups.close().await;
        self.logs.close().await
    }
}

fn registry_settings(config: &Config) -> Settings {
    let schema = &config.schema;
    Settings {
        level: schema.compatibility.parse::<Level>().unwrap_or_default(),
        memory_bytes: schema.memory_bytes,
        cache_bytes: schema.cache_bytes,
    }
}

/// The store that the configuration asks for, as its two halves.
async fn open_store(config: &Config, metrics: &Metrics) -> anyhow::Result<(Arc<dyn LogStore>, Arc<dyn MetaStore>)> {
    if config.storage.ephemeral {
        let store = MemoryStore::new();
        return Ok((store.clone(), store));
    }
    let storage = &config.storage;
    let options = LocalOptions {
        dir: storage.path.clone(),
        segment_bytes: storage.segment_bytes,
        queue_bytes: storage.queue_bytes,
        sync: match storage.sync {
            Sync::Commit => SyncPolicy::Commit,
            Sync::Interval => SyncPolicy::Interval(Duration::from_millis(storage.sync_interval_ms)),
            Sync::Os => SyncPolicy::Os,
        },
        zero_ahead: true,
        on_damage: OnDamage::Refuse,
        meters: Meters::new(metrics),
    };
    let store = tasks::blocking("open the store", move || LocalStore::open(options)).await?;
    Ok((store.clone(), store))
}

/// Removes what a deleted topic left in the store, and then the note about it.
async fn purge(logs: &Logs, catalog: &Catalog, deleted: &Deleted) -> Result<(), CatalogError> {
    logs.delete(&deleted.logs).await.map_err(CatalogError::Store)?;
    catalog.forget_deleted(deleted.id).await
}

/// Finishes deletions that a crash cut short.
async fn finish_deletions(logs: Arc<Logs>, catalog: Arc<Catalog>) {
    for deleted in catalog.unfinished_deletions() {
        if let Err(error) = purge(&logs, &catalog, deleted).await {
            warn!(topic_id = %deleted.id, %error, "a deleted topic's logs are still there; the next start tries again");
        }
    }
}

/// Opens every log once, so that first requests find them open and retention reaches them.
async fn open_all(opening: Opening) {
    for topic in opening.catalog.snapshot().topics.values() {
        let mut opened = pin!(opening.open_all(topic));
        while let Some(opened) = opened.next().await {
            if let Err((log, error)) = opened {
                warn!(topic = topic.name, %log, %error, "a log could not be opened; it is tried again when it is asked for");
            }
        }
    }
}

async fn sweep_retention(logs: Arc<Logs>, interval_ms: i64) {
    let interval = Duration::from_millis(u64::try_from(interval_ms).unwrap_or(1).max(1));
    // A disk that was full needs room soon (LogManager.InitialTaskDelayMs).
    tokio::time::sleep(interval.min(FIRST_RETENTION)).await;
    loop {
        retention::sweep(&logs).await;
        tokio::time::sleep(interval).await;
    }
}

/// Compacts the topics that ask for it. Not the coordinators' own: they write their state anew instead, which their shards read back by order of
/// the log, not by key.
async fn compact(logs: Arc<Logs>, catalog: Arc<Catalog>) {
    let limits = || {
        let kafka = catalog.effective_kafka();
        compaction::Limits {
            keys_bytes: kafka.log_cleaner_dedupe_buffer_size,
            bytes_per_second: kafka.log_cleaner_io_max_bytes_per_second,
        }
    };
    loop {
        rest_from_compaction(&catalog).await;
        if !catalog.effective_kafka().log_cleaner_enable {
            continue;
        }
        let snapshot = catalog.snapshot();
        let compacted = snapshot.topics.values().filter(|topic| topic.settings.cleanup.compact && !topic.internal);
        let partitions = compacted.flat_map(|topic| &topic.logs).filter_map(|log| logs.get(*log)).collect();
        compaction::sweep(partitions, &limits).await;
    }
}

/// Waits for as long as `log.cleaner.backoff.ms` says, which may change meanwhile.
async fn rest_from_compaction(catalog: &Catalog) {
    let since = tokio::time::Instant::now();
    loop {
        let backoff_ms = u64::try_from(catalog.effective_kafka().log_cleaner_backoff_ms).unwrap_or(0);
        let left = Duration::from_millis(backoff_ms).max(COMPACTION_REST_MIN).saturating_sub(since.elapsed());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(Duration::from_secs(1))).await;
    }
}

async fn save_snapshots(logs: Arc<Logs>) {
    let mut last = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(SNAPSHOT_LOOK_INTERVAL).await;
        if last.elapsed() >= SNAPSHOT_INTERVAL || logs.is_much_unsaved() {
            retention::save_snapshots(&logs).await;
            last = tokio::time::Instant::now();
        }
    }
}
