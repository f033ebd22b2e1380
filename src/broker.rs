//! One of everything: the handles that a request needs, opened and closed in order, and the glue between catalog (what exists) and logs (what it holds), which are
//! peers and do not know each other. What runs unasked is in `background.rs`.

mod background;
mod opening;
mod stores;
mod streams_topics;

use crate::catalog::dynamic::{Change, Owner};
use crate::catalog::{Catalog, CatalogError, Deleted, NewTopic, Topic};
use crate::config::Config;
use crate::coordinator::group::Groups;
use crate::coordinator::producer_ids::ProducerIds;
use crate::coordinator::share::SharePartitions;
use crate::coordinator::txn::Transactions;
use crate::env::Env;
use crate::ids::TopicId;
use crate::log::{LogOptions, Logs, Partition};
use crate::records::Compression;
use crate::schema::Registry;
use crate::schema::counts::Counts;
use crate::store::{MetaStore, StoreError};
use crate::tasks;
use crate::telemetry::metrics::Metrics;
use futures_util::stream::TryStreamExt;
use opening::Opening;
use std::sync::Arc;
use std::time::Duration;
use streams_topics::StreamsTopics;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tracing::warn;

/// One permit of [`Broker::fetch_memory`].
pub const FETCH_PERMIT_BYTES: usize = 1024;
/// Compressed batches that are unpacked at a time, for validation or another codec: each may take 100 MiB.
const UNPACKED_MAX: usize = 4;
/// The same work on batches as they are, at a time, on a machine of fewer cores: each takes a core, and some times its bytes.
const PLAIN_MIN: usize = 4;
/// Batches that were given another codec, until they are in the store's queue: what a batch unpacks to is no part of its request's memory.
const RECOMPRESSED_BYTES: usize = 128 << 20;
const RECOMPRESSED_PERMIT_BYTES: usize = 1024;

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
    /// Leave for such work on a batch that is not compressed.
    pub plain: Arc<Semaphore>,
    /// Room for what comes of giving batches another codec.
    pub recompressed: Arc<Semaphore>,
    /// Room for fetched batches on their way to sockets, in KiB: when it is used up, fetches wait for slower readers to drain.
    pub fetch_memory: Arc<Semaphore>,
    opening: Opening,
    background: Vec<JoinHandle<()>>,
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
        let (log_store, meta_store) = stores::open_store(&config, &metrics).await?;
        let kafka = Arc::new(config.kafka.clone());
        let schemas = Registry::open(meta_store.clone(), stores::registry_settings(&config)).await?;
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
        let opening = Opening::new(logs.clone(), catalog.clone());
        let background = background::start(&config, &logs, &catalog, &opening);
        Ok(Arc::new(Broker {
            producer_ids,
            schemas,
            meta: meta_store,
            invalid_records: Counts::default(),
            streams_topics: StreamsTopics::default(),
            unpacked: Arc::new(Semaphore::new(UNPACKED_MAX)),
            plain: Arc::new(Semaphore::new(
                std::thread::available_parallelism().map_or(PLAIN_MIN, |cores| cores.get().max(PLAIN_MIN)),
            )),
            recompressed: Arc::new(Semaphore::new(RECOMPRESSED_BYTES / RECOMPRESSED_PERMIT_BYTES)),
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
        with_leave(&self.unpacked, name, work).await
    }

    /// As [`Broker::unpacking`], of a batch that may be as it is: then nothing is unpacked, and there is leave for as many as there are cores. Without any,
    /// work whose request has given up would gather before the pool, and each keeps its batch.
    pub async fn opening<T: Send + 'static>(
        &self,
        compression: Compression,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let leaves = if compression == Compression::None { &self.plain } else { &self.unpacked };
        with_leave(leaves, name, work).await
    }

    /// Room for a batch that is about to be given another codec and may have so many bytes then: until it is in the store's queue.
    pub async fn room_for_recompressed(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = bytes.min(RECOMPRESSED_BYTES).div_ceil(RECOMPRESSED_PERMIT_BYTES);
        // Never closed, and never more than there is.
        self.recompressed.clone().acquire_many_owned(u32::try_from(permits).ok()?).await.ok()
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
        background::purge(&self.logs, &self.catalog, &Deleted { id: topic.id, logs: topic.logs.clone() }).await?;
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

/// Does `work` off the runtime once one of `leaves` (which are never closed) is free, and gives that back when the work is done.
async fn with_leave<T: Send + 'static>(
    leaves: &Arc<Semaphore>,
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let leave = leaves.clone().acquire_owned().await;
    let work = move || {
        let _leave = leave;
        work()
    };
    tasks::blocking(name, work).await
}
