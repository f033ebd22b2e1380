//! The group coordinator: who is in which consumer group, and how far each group has read.
//!
//! ```text
//!   api ──▶ Groups ──(group id's hash)──▶ shard actor ──▶ GroupShard (machine) ──▶ ClassicGroup, ConsumerGroup, Offsets
//!                                              └─▶ one partition of __consumer_offsets
//! ```
//! Owner of the shards: [`Groups`], behind one lock for microseconds. `__consumer_offsets` is made at the first need; where it exists,
//! its shards load in the background from the start, and answer [`GroupError::Loading`] until they have. Requests that only read it are
//! [`GroupError::NotCoordinator`] before, as in Kafka, where FindCoordinator makes it. Every method is **stage one**:
//! it returns when the event is in the shard's mailbox, so that the order of a connection's requests is the order of events;
//! [`Pending::wait`] is **stage two**, and waits for durability, and where the protocol says so for a rebalance.

use crate::catalog::{Catalog, CatalogError, NewTopic, Topic};
use crate::config::Config;
use crate::coordinator::Caller;
use crate::coordinator::runtime::{self, Shard, Status};
use crate::env::Env;
use crate::ids::TopicId;
use crate::log::Logs;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

pub mod assignors;
mod classic;
mod consumer;
mod context;
mod embedded;
mod machine;
pub mod messages;
mod migration;
mod offsets;
pub mod records;
#[cfg(test)]
mod tests;
mod wire;

pub use messages::GroupError;

use context::{Context, GroupSettings, Timer};
use machine::GroupShard;
use messages::{
    CommitReply, CommitRequest, ConsumerDescribed, ConsumerHeartbeat, ConsumerReply, DeleteOffsetsReply, DeleteOffsetsRequest,
    Described, Event, FetchReply, FetchRequest, HeartbeatRequest, Input, JoinReply, JoinRequest, LeaveReply, LeaveRequest,
    Listed, Refused, SyncReply, SyncRequest,
};

/// The topic that holds groups and offsets; one shard per partition (Topic.GROUP_METADATA_TOPIC_NAME).
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// How long the first request waits for the shards to load. Not long: it holds up its connection.
const LOADING_PATIENCE: Duration = Duration::from_secs(1);

/// All shards of this node: the whole coordinator.
pub struct Groups {
    logs: Arc<Logs>,
    catalog: Arc<Catalog>,
    env: Env,
    config: Arc<Config>,
    settings: Arc<GroupSettings>,
    is_closed: AtomicBool,
    /// By partition; `None` until the topic exists. The lock is never held across an await.
    running: Mutex<Option<Running>>,
    /// Held by whoever creates the topic or starts the shards, so that this happens once.
    starting: tokio::sync::Mutex<()>,
}

struct Running {
    shards: Arc<[Shard<Input>]>,
    tasks: Vec<JoinHandle<()>>,
}

/// An answer under way. Dropping it does not take the request back.
#[derive(Debug)]
pub struct Pending<T>(oneshot::Receiver<T>);

impl<T> Pending<T> {
    /// Stage two: waits for the answer. Cancel-safe.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`] when the shard was dropped meanwhile.
    pub async fn wait(self) -> Result<T, GroupError> {
        self.0.await.map_err(|_| GroupError::NotCoordinator)
    }
}

impl Groups {
    #[must_use]
    pub fn new(logs: Arc<Logs>, catalog: Arc<Catalog>, env: Env, config: Arc<Config>) -> Arc<Groups> {
        let settings = Arc::new(GroupSettings::new(&config.kafka, config.server.node_id));
        let (is_closed, running, starting) = (AtomicBool::new(false), Mutex::new(None), tokio::sync::Mutex::new(()));
        Arc::new(Groups { logs, catalog, env, config, settings, is_closed, running, starting })
    }

    /// Begins to load the shards, if their topic exists already.
    pub fn start(self: &Arc<Groups>) {
        if self.catalog.topic(OFFSETS_TOPIC).is_none() {
            return;
        }
        let groups = self.clone();
        crate::tasks::spawn("start the group coordinator", async move {
            // An error was logged, and the first request tries again.
            let _ = groups.shards().await;
        });
    }

    /// Lets the shards answer what they have in hand, and stops them. Members that wait for a rebalance are told to look for their
    /// coordinator again.
    pub async fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // Whoever is starting shards now sees the flag, or is waited for here.
        let _starting = self.starting.lock().await;
        let running = self.lock().take();
        let Some(Running { shards, tasks }) = running else { return };
        drop(shards);
        for task in tasks {
            // A panic in a shard has stopped the process already.
            let _ = task.await;
        }
    }

    /// Makes sure that the coordinator exists and takes requests soon: what FindCoordinator promises.
    ///
    /// # Errors
    /// [`GroupError::NotAvailable`] when its topic cannot be created or opened.
    pub async fn prepare(&self) -> Result<(), GroupError> {
        self.shards().await.map(|_| ())
    }

    /// A member joins; the answer comes when the next generation starts.
    ///
    /// # Errors
    /// As for every method here: why the group's shard does not take the request.
    pub async fn join(&self, request: JoinRequest) -> Result<Pending<JoinReply>, GroupError> {
        let (group_id, fresh) = (request.group_id.clone(), self.env.uuid());
        self.send(&group_id, |caller| Event::Join { request, fresh, caller }).await
    }

    /// A member asks for its assignment; the answer comes when the leader has assigned.
    pub async fn sync(&self, request: SyncRequest) -> Result<Pending<SyncReply>, GroupError> {
        let group_id = checked(&request.group_id)?;
        self.send(&group_id, |caller| Event::Sync { request, caller }).await
    }

    pub async fn heartbeat(&self, request: HeartbeatRequest) -> Result<Pending<Result<(), GroupError>>, GroupError> {
        let group_id = checked(&request.group_id)?;
        self.send(&group_id, |caller| Event::Heartbeat { request, caller }).await
    }

    pub async fn leave(&self, request: LeaveRequest) -> Result<Pending<LeaveReply>, GroupError> {
        let group_id = checked(&request.group_id)?;
        self.send(&group_id, |caller| Event::Leave { request, caller }).await
    }

    /// Commits offsets of existing partitions. The empty group id is a group like any other here and below, as in Kafka.
    pub async fn commit(&self, request: CommitRequest) -> Result<Pending<CommitReply>, GroupError> {
        let group_id = request.group_id.clone();
        self.send(&group_id, |caller| Event::Commit { request, caller }).await
    }

    /// What a group has committed, every commit before this call included.
    pub async fn fetch(&self, request: FetchRequest) -> Result<Pending<FetchReply>, GroupError> {
        let group_id = request.group_id.clone();
        self.ask(&group_id, |caller| Event::Fetch { request, caller }).await
    }

    /// Forgets single offsets. The empty group id is none that could have been consumed by, and is refused as Kafka refuses it.
    pub async fn delete_offsets(&self, request: DeleteOffsetsRequest) -> Result<Pending<DeleteOffsetsReply>, GroupError> {
        let group_id = checked(&request.group_id)?;
        self.ask(&group_id, |caller| Event::DeleteOffsets { request, caller }).await
    }

    /// A member of the consumer protocol joins, lives or leaves (KIP-848).
    pub async fn consumer_heartbeat(&self, request: ConsumerHeartbeat) -> Result<Pending<ConsumerReply>, GroupError> {
        let (group_id, fresh) = (request.group_id.clone(), self.env.uuid());
        self.send(&group_id, |caller| Event::ConsumerHeartbeat { request, fresh, caller }).await
    }

    /// `Err`: there is no such group, or it is not a classic one.
    pub async fn describe(&self, group_id: String) -> Result<Pending<Result<Described, Refused>>, GroupError> {
        let key = group_id.clone();
        self.ask(&key, |caller| Event::Describe { group_id, caller }).await
    }

    /// `Err`: there is no such group, or it is not one of the consumer protocol.
    pub async fn consumer_describe(&self, group_id: String) -> Result<Pending<Result<ConsumerDescribed, Refused>>, GroupError> {
        let key = group_id.clone();
        self.ask(&key, |caller| Event::ConsumerDescribe { group_id, caller }).await
    }

    /// Deletes an empty group with its offsets.
    pub async fn delete(&self, group_id: String) -> Result<Pending<Result<(), GroupError>>, GroupError> {
        let key = group_id.clone();
        self.ask(&key, |caller| Event::Delete { group_id, caller }).await
    }

    /// All groups of all shards, in no order.
    pub async fn list(&self) -> Result<Vec<Listed>, GroupError> {
        if self.catalog.topic(OFFSETS_TOPIC).is_none() {
            return Ok(Vec::new());
        }
        let mut pending = Vec::new();
        for shard in self.shards().await?.iter() {
            let (caller, answer) = Caller::pair();
            shard.send(self.input(Event::List { caller })).await?;
            pending.push(Pending(answer));
        }
        let mut listed = Vec::new();
        for answer in pending {
            listed.extend(answer.wait().await?);
        }
        Ok(listed)
    }

    /// Drops the offsets that groups have committed for `topic`, which no longer exists. Waits for shards that are loading.
    pub async fn topic_deleted(&self, topic: &str, id: TopicId) {
        let shards = match self.lock().as_ref() {
            Some(running) => running.shards.clone(),
            None => return,
        };
        let mut pending = Vec::new();
        for (partition, shard) in shards.iter().enumerate() {
            let (caller, answer) = Caller::pair();
            shard.loaded().await;
            match shard.send(self.input(Event::TopicDeleted { topic: topic.to_owned(), id, caller })).await {
                Ok(()) => pending.push(Pending(answer)),
                Err(error) => warn!(topic, partition, %error, "offsets committed for a deleted topic stay until they expire"),
            }
        }
        for answer in pending {
            // A shard that is dropped meanwhile keeps the offsets; the topic's id in them tells fetches that they are stale.
            let _ = answer.wait().await;
        }
    }

    /// As [`Groups::send`], for requests that find nothing where nothing is: they create no coordinator.
    async fn ask<T>(&self, group_id: &str, event: impl FnOnce(Caller<T>) -> Event) -> Result<Pending<T>, GroupError> {
        if self.catalog.topic(OFFSETS_TOPIC).is_none() {
            return Err(GroupError::NotCoordinator);
        }
        self.send(group_id, event).await
    }

    async fn send<T>(&self, group_id: &str, event: impl FnOnce(Caller<T>) -> Event) -> Result<Pending<T>, GroupError> {
        let shards = self.shards().await?;
        let shard = shards.get(shard_of(group_id, shards.len())).ok_or(GroupError::NotAvailable)?;
        let (caller, answer) = Caller::pair();
        shard.send(self.input(event(caller))).await?;
        Ok(Pending(answer))
    }

    fn input(&self, event: Event) -> Input {
        Input { catalog: self.catalog.snapshot(), event }
    }

    /// The shards; created and started at the first need. Waits for their loading, at most [`LOADING_PATIENCE`].
    async fn shards(&self) -> Result<Arc<[Shard<Input>]>, GroupError> {
        if let Some(shards) = self.started() {
            return Ok(shards);
        }
        let _starting = self.starting.lock().await;
        if let Some(shards) = self.started() {
            return Ok(shards);
        }
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(GroupError::NotAvailable);
        }
        let started = match self.topic().await {
            Ok(topic) => self.spawn_shards(&topic).await,
            Err(error) => Err(error),
        };
        let running = started.map_err(|error| {
            warn!(%error, "the group coordinator cannot start; the next request tries again");
            GroupError::NotAvailable
        })?;
        let shards = running.shards.clone();
        let loading = async {
            for shard in shards.iter() {
                shard.loaded().await;
            }
        };
        // Short logs load in milliseconds: whoever asks first waits instead of being told to ask again.
        if tokio::time::timeout(LOADING_PATIENCE, loading).await.is_err() {
            debug!("the group coordinator is still loading; until it is done, clients are told so");
        }
        *self.lock() = Some(running);
        Ok(shards)
    }

    /// The shards, unless their topic was deleted, which stops them.
    fn started(&self) -> Option<Arc<[Shard<Input>]>> {
        let running = self.lock();
        let shards = &running.as_ref()?.shards;
        let is_stopped = shards.first().is_some_and(|shard| shard.status() == Status::Stopped);
        (!is_stopped).then(|| shards.clone())
    }

    async fn topic(&self) -> Result<Arc<Topic>, CatalogError> {
        if let Some(topic) = self.catalog.topic(OFFSETS_TOPIC) {
            return Ok(topic);
        }
        let overrides = [("cleanup.policy", "compact"), ("segment.bytes", "104857600"), ("compression.type", "producer")];
        let new = NewTopic {
            name: OFFSETS_TOPIC.to_owned(),
            partitions: self.config.kafka.offsets_topic_num_partitions,
            // One node: offsets.topic.replication.factor has no meaning yet.
            replication_factor: 1,
            overrides: overrides
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
        };
        match self.catalog.create_topic(new).await {
            Err(CatalogError::TopicExists(name)) => self.catalog.topic(&name).ok_or(CatalogError::UnknownTopic(name)),
            other => other,
        }
    }

    async fn spawn_shards(&self, topic: &Topic) -> Result<Running, CatalogError> {
        let mut shards = Vec::new();
        let mut tasks = Vec::new();
        for log in &topic.logs {
            let partition = self.logs.open(*log, topic.settings.clone()).await?;
            let (settings, catalog) = (self.settings.clone(), self.catalog.clone());
            let machine = move || GroupShard::new(settings.clone(), catalog.snapshot());
            let (shard, task) = runtime::spawn("group coordinator shard", partition, self.env.clone(), machine);
            shards.push(shard);
            tasks.push(task);
        }
        info!(shards = shards.len(), "the group coordinator has started");
        Ok(Running { shards: shards.into(), tasks })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Group membership needs a name (GroupCoordinatorService.isGroupIdNotEmpty).
fn checked(group_id: &str) -> Result<String, GroupError> {
    if group_id.is_empty() { Err(GroupError::InvalidGroupId) } else { Ok(group_id.to_owned()) }
}

/// The partition of `__consumer_offsets` that holds a group: Java's `Utils.abs(groupId.hashCode()) % partitions`.
fn shard_of(group_id: &str, shards: usize) -> usize {
    let hash = group_id.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Utils.abs clears the sign bit, so the conversion always succeeds.
    usize::try_from(hash & i32::MAX).unwrap_or(0) % shards.max(1)
}
