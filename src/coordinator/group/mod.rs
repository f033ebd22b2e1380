//! The group coordinator: who is in which consumer group, and how far each group has read.
//!
//! ```text
//!   api ──▶ Groups ──(group id's hash)──▶ shard actor ──▶ GroupShard (machine) ──▶ groups of four kinds, Offsets
//!                                              └─▶ one partition of __consumer_offsets
//! ```
//! `__consumer_offsets` is made at the first need; see [`shards`]. Requests that only read it are [`GroupError::NotCoordinator`] before, as
//! in Kafka, where FindCoordinator makes it. Every method is **stage one**:
//! it returns when the event is in the shard's mailbox, so that the order of a connection's requests is the order of events;
//! [`Pending::wait`] is **stage two**, and waits for durability, and where the protocol says so for a rebalance.

use crate::catalog::Catalog;
use crate::config::Config;
use crate::coordinator::runtime::Setting;
use crate::coordinator::shards::{self, InternalTopic, ShardError, Shards, partition_of};
use crate::coordinator::{Caller, ProducerIdAndEpoch};
use crate::env::Env;
use crate::ids::TopicId;
use crate::log::{Logs, MarkerVerdict, ProducerError};
use crate::records::control::EndTransaction;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use thiserror::Error;
use tracing::{debug, warn};

mod assignment_interval;
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
pub mod share;
pub mod streams;
#[cfg(test)]
mod tests;

pub use consumer::subscriptions::compile_within;
pub use messages::GroupError;

use context::{Context, GroupSettings, Timer};
use machine::GroupShard;
use messages::{
    CommitReply, CommitRequest, ConsumerDescribed, ConsumerHeartbeat, ConsumerReply, DeleteOffsetsReply, DeleteOffsetsRequest,
    Described, Event, FetchOffsetsReply, FetchOffsetsRequest, HeartbeatRequest, Input, JoinReply, JoinRequest, LeaveReply,
    LeaveRequest, Listed, Partitions, Refused, SyncReply, SyncRequest,
};
use share::messages::{Forgotten, ShareDescribed, ShareEvent, ShareHeartbeat, ShareReply};
use streams::messages::{StreamsDescribed, StreamsHeartbeat, StreamsReply};

/// The topic that holds groups and offsets; one shard per partition (Topic.GROUP_METADATA_TOPIC_NAME).
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The whole group coordinator of this node.
pub struct Groups {
    catalog: Arc<Catalog>,
    logs: Arc<Logs>,
    env: Env,
    shards: Arc<Shards<GroupShard>>,
}

/// An answer under way. Dropping it does not take the request back.
#[derive(Debug)]
pub struct Pending<T>(shards::Pending<T>);

impl<T> Pending<T> {
    /// Stage two: waits for the answer. Cancel-safe.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`] when the shard was dropped meanwhile.
    pub async fn wait(self) -> Result<T, GroupError> {
        Ok(self.0.wait().await?)
    }
}

impl Groups {
    #[must_use]
    pub fn new(logs: Arc<Logs>, catalog: Arc<Catalog>, env: Env, config: Arc<Config>) -> Arc<Groups> {
        let settings = Arc::new(GroupSettings::new(&config.kafka, config.server.node_id));
        let topic = InternalTopic {
            name: OFFSETS_TOPIC,
            partitions: config.kafka.offsets_topic_num_partitions,
            segment_bytes: 104_857_600,
            compression: "producer",
            cleanup_policy: "compact",
        };
        let (own_catalog, own_env) = (catalog.clone(), env.clone());
        let make = move |partition| {
            let (settings, catalog) = (settings.clone(), own_catalog.clone());
            Setting {
                name: "group coordinator shard",
                partition,
                env: own_env.clone(),
                machine: Box::new(move || GroupShard::new(settings.clone(), catalog.snapshot())),
                outside: Arc::new(|request: Infallible| match request {}),
            }
        };
        let shards = Arc::new(Shards::new(logs.clone(), catalog.clone(), topic, Box::new(make)));
        Arc::new(Groups { catalog, logs, env, shards })
    }

    /// Begins to load the shards, if their topic exists already.
    pub fn start(&self) {
        self.shards.start();
    }

    /// Lets the shards answer what they have in hand, and stops them. Members that wait for a rebalance are told to look for their
    /// coordinator again.
    pub async fn close(&self) {
        self.shards.close().await;
    }

    /// Makes sure that the coordinator exists and takes requests soon: what FindCoordinator promises.
    ///
    /// # Errors
    /// [`GroupError::NotAvailable`] when its topic cannot be created or opened.
    pub async fn prepare(&self) -> Result<(), GroupError> {
        Ok(self.shards.all().await.map(|_| ())?)
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
    pub async fn fetch_offsets(&self, request: FetchOffsetsRequest) -> Result<Pending<FetchOffsetsReply>, GroupError> {
        let group_id = request.group_id.clone();
        self.ask(&group_id, |caller| Event::FetchOffsets { request, caller }).await
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

    /// A member of a share group joins, lives or leaves (KIP-932).
    pub async fn share_heartbeat(&self, request: ShareHeartbeat) -> Result<Pending<ShareReply>, GroupError> {
        let group_id = request.group_id.clone();
        self.send(&group_id, |caller| Event::Share(ShareEvent::Heartbeat { request, caller })).await
    }

    /// `Err`: there is no such group, or it is not a share group.
    pub async fn share_describe(&self, group_id: String) -> Result<Pending<Result<ShareDescribed, Refused>>, GroupError> {
        let key = group_id.clone();
        self.ask(&key, |caller| Event::Share(ShareEvent::Describe { group_id, caller })).await
    }

    /// The partitions in which a share group has a position; none where there is no such group.
    pub async fn share_initialized(&self, group_id: String) -> Result<Pending<Partitions>, GroupError> {
        let key = group_id.clone();
        self.ask(&key, |caller| Event::Share(ShareEvent::Initialized { group_id, caller })).await
    }

    /// An administrator is about to set a share group's positions in existing partitions: the group is made if it is not there, and must
    /// be empty. Answers its epoch.
    pub async fn share_alter(
        &self,
        group_id: String,
        partitions: Partitions,
    ) -> Result<Pending<Result<i32, Refused>>, GroupError> {
        let key = group_id.clone();
        self.send(&key, |caller| Event::Share(ShareEvent::Alter { group_id, partitions, caller })).await
    }

    /// An administrator has a share group's positions in topics forgotten; the group must be empty. Answers what there was to forget.
    pub async fn share_forget(
        &self,
        group_id: String,
        topics: BTreeSet<TopicId>,
    ) -> Result<Pending<Result<Forgotten, Refused>>, GroupError> {
        let key = group_id.clone();
        self.ask(&key, |caller| Event::Share(ShareEvent::Forget { group_id, topics, caller })).await
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

    /// A member of a streams group joins, lives or leaves (KIP-1071). Unlike members of other groups, none of these makes the coordinator:
    /// clients ask for it first.
    pub async fn streams_heartbeat(&self, request: StreamsHeartbeat) -> Result<Pending<StreamsReply>, GroupError> {
        let group_id = request.group_id.clone();
        self.ask(&group_id, |caller| Event::StreamsHeartbeat { request, caller }).await
    }

    /// `Err`: there is no such group, or it is not a streams group.
    pub async fn streams_describe(&self, group_id: String) -> Result<Pending<Result<StreamsDescribed, Refused>>, GroupError> {
        let key = group_id.clone();
        self.ask(&key, |caller| Event::StreamsDescribe { group_id, caller }).await
    }

    /// Deletes an empty group with its offsets.
    pub async fn delete(&self, group_id: String) -> Result<Pending<Result<(), GroupError>>, GroupError> {
        let key = group_id.clone();
        self.ask(&key, |caller| Event::Delete { group_id, caller }).await
    }

    /// All groups of all shards: those of the newer protocols first, each kind by id. The protocol promises no order, but who reads a
    /// list wants the same one each time.
    pub async fn list(&self) -> Result<Vec<Listed>, GroupError> {
        let mut all = self.shards.ask_all(|caller| self.input(Event::List { caller })).await?;
        all.sort_unstable_by(|one, other| (other.kind, &one.group_id).cmp(&(one.kind, &other.group_id)));
        Ok(all)
    }

    /// Drops the offsets that groups have committed for `topic`, which no longer exists. Waits for shards that are loading.
    pub async fn topic_deleted(&self, topic: &str, id: TopicId) {
        let event = |caller| self.input(Event::TopicDeleted { topic: topic.to_owned(), id, caller });
        let answers = match self.shards.send_loaded(event).await {
            Ok(answers) => answers,
            Err(error) => return warn!(topic, %error, "offsets committed for a deleted topic stay until they expire"),
        };
        for (partition, answer) in answers.into_iter().enumerate() {
            match answer {
                // A shard that is dropped meanwhile keeps the offsets; the topic's id in them tells fetches that they are stale.
                Ok(answer) => drop(answer.wait().await),
                Err(error) => warn!(topic, partition, %error, "offsets committed for a deleted topic stay until they expire"),
            }
        }
    }

    /// The partition of `__consumer_offsets` that holds a group: what a transaction with its offsets is written to.
    #[must_use]
    pub fn partition_of(&self, group_id: &str) -> usize {
        partition_of(group_id, self.shards.partitions())
    }

    /// Commits offsets in a producer's transaction, of which the group's partition is known to be part. In order with
    /// [`Groups::end_transaction`], for callers that are. When the shard does not take it, the caller sees a closed channel.
    pub async fn commit_in_transaction(&self, producer: ProducerIdAndEpoch, request: CommitRequest, caller: Caller<CommitReply>) {
        let group_id = request.group_id.clone();
        let event = self.input(Event::TransactionCommit { producer, request, caller });
        if let Err(error) = self.shards.hand_over(&group_id, event).await {
            debug!(group_id, %error, "offsets of a transaction were not taken");
        }
    }

    /// Writes the marker that ends a producer's transaction to a partition of `__consumer_offsets`, and lets its offsets count, or forgets
    /// them. Returns when the marker is on its way to the disk, before it is durable.
    ///
    /// # Errors
    /// [`MarkerError`]; nothing was written then.
    pub async fn end_transaction(
        &self,
        partition: usize,
        producer: ProducerIdAndEpoch,
        end: EndTransaction,
        is_epoch_raised: bool,
    ) -> Result<(), MarkerError> {
        let topic = self.catalog.topic(OFFSETS_TOPIC).ok_or(MarkerError::NoPartition)?;
        let log = topic.logs.get(partition).ok_or(MarkerError::NoPartition)?;
        let opened = self.logs.open(*log, topic.settings.clone()).await.map_err(|_| ShardError::NotAvailable)?;
        match opened.check_marker(producer.id, producer.epoch, end, is_epoch_raised)? {
            MarkerVerdict::Repeated => return Ok(()),
            MarkerVerdict::New => {}
        }
        let event = |caller| self.input(Event::EndTransaction { producer, end, caller });
        let pending = self.shards.send_at(partition, event).await?;
        Ok(pending.wait().await?)
    }

    /// As [`Groups::send`], for requests that find nothing where nothing is: they create no coordinator.
    async fn ask<T>(&self, group_id: &str, event: impl FnOnce(Caller<T>) -> Event) -> Result<Pending<T>, GroupError> {
        if !self.shards.exist() {
            return Err(GroupError::NotCoordinator);
        }
        self.send(group_id, event).await
    }

    async fn send<T>(&self, group_id: &str, event: impl FnOnce(Caller<T>) -> Event) -> Result<Pending<T>, GroupError> {
        Ok(Pending(self.shards.send(group_id, |caller| self.input(event(caller))).await?))
    }

    fn input(&self, event: Event) -> Input {
        Input { catalog: self.catalog.snapshot(), event }
    }
}

/// Why a marker was not written.
#[derive(Debug, Error)]
pub enum MarkerError {
    #[error(transparent)]
    Shard(#[from] ShardError),
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// Never made, or deleted with all that it held: there is nothing to end.
    #[error("the partition of {OFFSETS_TOPIC} does not exist")]
    NoPartition,
}

/// Group membership needs a name (GroupCoordinatorService.isGroupIdNotEmpty).
fn checked(group_id: &str) -> Result<String, GroupError> {
    if group_id.is_empty() { Err(GroupError::InvalidGroupId) } else { Ok(group_id.to_owned()) }
}
