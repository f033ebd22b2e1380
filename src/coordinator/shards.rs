//! The shards of one coordinator: one per partition of its internal topic, which is made at the first need.
//!
//! Owner of the shards: [`Shards`], behind one lock for microseconds. Where the topic exists, its shards load in the background from the
//! start, and answer [`NotActive`] until they have.

use super::runtime::{self, NotActive, Setting, Shard, Status};
use super::{Caller, StateMachine};
use crate::catalog::{Catalog, CatalogError, NewTopic, Topic};
use crate::ids::TopicId;
use crate::log::{Logs, Partition};
use crate::tasks;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

/// How long the first request waits for the shards to load. Not long: it holds up its connection.
const LOADING_PATIENCE: Duration = Duration::from_secs(1);

/// Why a shard does not take an event; one variant per reaction of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ShardError {
    #[error("the coordinator's shard is being loaded, or cannot keep up; ask again")]
    Loading,
    #[error("the coordinator is not available; look it up again")]
    NotAvailable,
    /// The shard lost its state, or is closing: whatever was asked may or may not have happened.
    #[error("this is no longer the coordinator; look it up again")]
    NotCoordinator,
}

impl From<NotActive> for ShardError {
    fn from(NotActive(status): NotActive) -> ShardError {
        match status {
            Status::Loading => ShardError::Loading,
            Status::Failed => ShardError::NotAvailable,
            // Active cannot be: it takes events.
            Status::Stopped | Status::Active => ShardError::NotCoordinator,
        }
    }
}

/// An answer under way. Dropping it does not take the request back.
#[derive(Debug)]
pub struct Pending<T>(oneshot::Receiver<T>);

impl<T> Pending<T> {
    /// Stage two: waits for the answer. Cancel-safe.
    ///
    /// # Errors
    /// [`ShardError::NotCoordinator`] when the shard was dropped meanwhile.
    pub async fn wait(self) -> Result<T, ShardError> {
        self.0.await.map_err(|_| ShardError::NotCoordinator)
    }
}

/// The internal topic of a coordinator.
#[derive(Debug, Clone, Copy)]
pub struct InternalTopic {
    pub name: &'static str,
    pub partitions: i32,
    pub segment_bytes: i32,
    /// `compression.type`
    pub compression: &'static str,
    /// `cleanup.policy`, as Kafka sets it for its tools. Here shards keep their own logs short, by checkpoints.
    pub cleanup_policy: &'static str,
}

/// How a shard is made over a partition of the topic.
pub type Make<M> = Box<dyn Fn(Arc<Partition>) -> Setting<M> + Send + Sync>;

/// All shards of one coordinator on this node.
pub struct Shards<M: StateMachine> {
    logs: Arc<Logs>,
    catalog: Arc<Catalog>,
    topic: InternalTopic,
    make: Make<M>,
    is_closed: AtomicBool,
    /// By partition; `None` until the topic exists. The lock is never held across an await.
    running: Mutex<Option<Running<M::Event>>>,
    /// Held by whoever creates the topic or starts the shards, so that this happens once.
    starting: tokio::sync::Mutex<()>,
    /// Where the shards run, whoever needs them first: where this was made.
    home: Option<Handle>,
}

struct Running<E> {
    /// The topic that they are over: one that was created anew has another id.
    topic: TopicId,
    shards: Arc<[Shard<E>]>,
    tasks: Vec<JoinHandle<()>>,
}

impl<M: StateMachine> Shards<M> {
    #[must_use]
    pub fn new(logs: Arc<Logs>, catalog: Arc<Catalog>, topic: InternalTopic, make: Make<M>) -> Shards<M> {
        let (is_closed, running, starting) = (AtomicBool::new(false), Mutex::new(None), tokio::sync::Mutex::new(()));
        Shards { logs, catalog, topic, make, is_closed, running, starting, home: Handle::try_current().ok() }
    }

    /// Begins to load the shards, if their topic exists already.
    pub fn start(self: &Arc<Self>) {
        if !self.exist() {
            return;
        }
        let shards = self.clone();
        tasks::spawn("start a coordinator", async move {
            // An error was logged, and the first request tries again.
            let _ = shards.all().await;
        });
    }

    /// Whether the topic exists.
    #[must_use]
    pub fn exist(&self) -> bool {
        self.catalog.topic(self.topic.name).is_some()
    }

    /// Lets the shards answer what they have in hand, and stops them. Whoever waits for something else sees a closed channel.
    pub async fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // Whoever is starting shards now sees the flag, or is waited for here. Whoever waits for this lock later may have a shard in hand, which does not
        // end before that is dropped: so not while they are waited for.
        let starting = self.starting.lock().await;
        let running = self.lock().take();
        drop(starting);
        let Some(Running { shards, tasks, .. }) = running else { return };
        drop(shards);
        for task in tasks {
            // A panic in a shard has stopped the process already.
            let _ = task.await;
        }
    }

    /// Queues an event for the shard that `key` belongs to. The order of calls of one task is the order of handling.
    ///
    /// # Errors
    /// [`ShardError`]; nothing was queued then.
    pub async fn send<T>(&self, key: &str, event: impl FnOnce(Caller<T>) -> M::Event) -> Result<Pending<T>, ShardError> {
        let shards = self.all().await?;
        self.send_to(&shards, partition_of(key, shards.len()), event).await
    }

    /// As [`Shards::send`], to the shard of a partition of the topic.
    ///
    /// # Errors
    /// As there; [`ShardError::NotAvailable`] when there is no such partition.
    pub async fn send_at<T>(
        &self,
        partition: usize,
        event: impl FnOnce(Caller<T>) -> M::Event,
    ) -> Result<Pending<T>, ShardError> {
        let shards = self.all().await?;
        self.send_to(&shards, partition, event).await
    }

    /// What every shard answers to the same question, one after the other; nothing while the topic does not exist.
    ///
    /// # Errors
    /// As [`Shards::send`].
    pub async fn ask_all<T>(&self, event: impl Fn(Caller<Vec<T>>) -> M::Event) -> Result<Vec<T>, ShardError> {
        if !self.exist() {
            return Ok(Vec::new());
        }
        let mut pending = Vec::new();
        let shards = self.all().await?;
        for partition in 0..shards.len() {
            pending.push(self.send_to(&shards, partition, &event).await?);
        }
        let mut answers = Vec::new();
        for answer in pending {
            answers.extend(answer.wait().await?);
        }
        Ok(answers)
    }

    /// Queues an event whose caller waits already, for the shard that `key` belongs to; when it cannot be queued, the caller is told by
    /// its closed channel.
    ///
    /// # Errors
    /// As [`Shards::send`].
    pub async fn hand_over(&self, key: &str, event: M::Event) -> Result<(), ShardError> {
        let shards = self.all().await?;
        let shard = shards.get(partition_of(key, shards.len())).ok_or(ShardError::NotAvailable)?;
        Ok(shard.send(event).await?)
    }

    /// Queues an event for every shard, each when it has loaded and has room for it; what came of that, by partition. Nothing while the topic does
    /// not exist.
    ///
    /// # Errors
    /// As [`Shards::all`].
    pub async fn send_loaded<T>(
        &self,
        event: impl Fn(Caller<T>) -> M::Event,
    ) -> Result<Vec<Result<Pending<T>, ShardError>>, ShardError> {
        if !self.exist() {
            return Ok(Vec::new());
        }
        let shards = self.all().await?;
        let mut pending = Vec::with_capacity(shards.len());
        for shard in shards.iter() {
            shard.loaded().await;
            // Not through [`Shards::all`] again, which a close makes wait for those that are held here.
            let (caller, answer) = Caller::pair();
            let sent = shard.send_patiently(event(caller)).await;
            pending.push(sent.map(|()| Pending(answer)).map_err(ShardError::from));
        }
        Ok(pending)
    }

    async fn send_to<T>(
        &self,
        shards: &[Shard<M::Event>],
        partition: usize,
        event: impl FnOnce(Caller<T>) -> M::Event,
    ) -> Result<Pending<T>, ShardError> {
        let shard = shards.get(partition).ok_or(ShardError::NotAvailable)?;
        let (caller, answer) = Caller::pair();
        shard.send(event(caller)).await?;
        Ok(Pending(answer))
    }

    /// The shards; created and started at the first need. Waits for their loading, at most [`LOADING_PATIENCE`].
    ///
    /// # Errors
    /// [`ShardError::NotAvailable`] when the topic cannot be created or opened.
    pub async fn all(&self) -> Result<Arc<[Shard<M::Event>]>, ShardError> {
        if let Some(shards) = self.started() {
            return Ok(shards);
        }
        let _starting = self.starting.lock().await;
        if let Some(shards) = self.started() {
            return Ok(shards);
        }
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(ShardError::NotAvailable);
        }
        let started = match self.topic().await {
            Ok(topic) => self.spawn(&topic).await,
            Err(error) => Err(error),
        };
        let running = started.map_err(|error| {
            warn!(topic = self.topic.name, %error, "a coordinator cannot start; the next request tries again");
            ShardError::NotAvailable
        })?;
        let shards = running.shards.clone();
        let loading = async {
            for shard in shards.iter() {
                shard.loaded().await;
            }
        };
        // Short logs load in milliseconds: whoever asks first waits instead of being told to ask again.
        if tokio::time::timeout(LOADING_PATIENCE, loading).await.is_err() {
            debug!(topic = self.topic.name, "the coordinator is still loading; until it is done, clients are told so");
        }
        *self.lock() = Some(running);
        Ok(shards)
    }

    /// The shards, if they run: not before the first need, and not after their topic was deleted. That stops each of them only when it
    /// next appends, so whether they are over the topic that there is now is asked of the catalog.
    fn started(&self) -> Option<Arc<[Shard<M::Event>]>> {
        let topic = self.catalog.topic(self.topic.name)?.id;
        let running = self.lock();
        running.as_ref().filter(|running| running.topic == topic).map(|running| running.shards.clone())
    }

    /// How many partitions the topic has, or will have.
    #[must_use]
    pub fn partitions(&self) -> usize {
        let existing = self.catalog.topic(self.topic.name).map(|topic| topic.logs.len());
        existing.unwrap_or_else(|| usize::try_from(self.topic.partitions).unwrap_or(1))
    }

    async fn topic(&self) -> Result<Arc<Topic>, CatalogError> {
        if let Some(topic) = self.catalog.topic(self.topic.name) {
            return Ok(topic);
        }
        let mut overrides = vec![
            ("cleanup.policy", self.topic.cleanup_policy.to_owned()),
            ("segment.bytes", self.topic.segment_bytes.to_string()),
            ("compression.type", self.topic.compression.to_owned()),
        ];
        if self.topic.cleanup_policy == "delete" {
            // Nothing goes but what a checkpoint has replaced.
            overrides.extend([("retention.ms", "-1".to_owned()), ("retention.bytes", "-1".to_owned())]);
        }
        let new = NewTopic {
            name: self.topic.name.to_owned(),
            partitions: self.topic.partitions,
            // One node: the replication factors of internal topics have no meaning yet.
            replication_factor: 1,
            overrides: overrides.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>(),
        };
        match self.catalog.create_topic(new).await {
            Err(CatalogError::TopicExists(name)) => self.catalog.topic(&name).ok_or(CatalogError::UnknownTopic(name)),
            other => other,
        }
    }

    async fn spawn(&self, topic: &Topic) -> Result<Running<M::Event>, CatalogError> {
        let mut shards = Vec::new();
        let mut tasks = Vec::new();
        for log in &topic.logs {
            let partition = self.logs.open(*log, topic.settings.clone()).await?;
            let (shard, task) = {
                let _home = self.home.as_ref().map(Handle::enter);
                runtime::spawn((self.make)(partition))
            };
            shards.push(shard);
            tasks.push(task);
        }
        info!(topic = self.topic.name, shards = shards.len(), "a coordinator has started");
        Ok(Running { topic: topic.id, shards: shards.into(), tasks })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Running<M::Event>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The partition of a coordinator's topic that holds `key`: Java's `Utils.abs(key.hashCode()) % partitions`.
#[must_use]
pub fn partition_of(key: &str, partitions: usize) -> usize {
    let hash = key.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Utils.abs is Math.abs, and 0 for the one number that has no opposite.
    usize::try_from(hash.checked_abs().unwrap_or(0)).unwrap_or(0) % partitions.max(1)
}
