//! The share coordinator: how far each share group is in each partition, and which member has which records (KIP-932).
//!
//! ```text
//!   api ──▶ SharePartitions ──(hash of "group:topic id:partition")──▶ shard actor ──▶ ShareShard (machine)
//!                                                                        └─▶ one partition of __share_group_state
//! ```
//! Every method is **stage one**, as in [`super::group`]: it returns when the event is in the shard's mailbox; what it answers is waited
//! for in **stage two**. A share-partition exists from the moment somebody begins to read it, or an administrator sets its start.

use crate::catalog::Catalog;
use crate::catalog::dynamic::Owner;
use crate::config::Config;
use crate::config::group::{self, ShareGroupSettings};
use crate::coordinator::Caller;
use crate::coordinator::runtime::Setting;
use crate::coordinator::shards::{InternalTopic, Pending, Shards};
use crate::env::Env;
use crate::ids::{Offset, TopicId};
use crate::log::{Logs, Waiter};
use std::convert::Infallible;
use std::sync::Arc;
use tracing::warn;

mod acquiring;
mod machine;
pub mod messages;
mod partition;
pub mod ranges;
pub mod records;
mod settling;
#[cfg(test)]
mod tests;

pub use messages::ShareError;

use machine::{ShareSettings, ShareShard};
use messages::{Acknowledgement, AcquireReply, AcquireRequest, Event, GROUP_BYTES_MAX, NextReply, Policy, Summary};
use records::Key;

/// The topic that holds share groups' state; one shard per partition (Topic.SHARE_GROUP_STATE_TOPIC_NAME).
pub const STATE_TOPIC: &str = "__share_group_state";

/// The whole share coordinator of this node.
pub struct SharePartitions {
    catalog: Arc<Catalog>,
    config: Arc<Config>,
    shards: Arc<Shards<ShareShard>>,
}

impl SharePartitions {
    #[must_use]
    pub fn new(logs: Arc<Logs>, catalog: Arc<Catalog>, env: Env, config: Arc<Config>) -> Arc<SharePartitions> {
        let settings = ShareSettings { updates_per_snapshot: config.kafka.share.snapshot_update_records_per_snapshot };
        let topic = InternalTopic {
            name: STATE_TOPIC,
            partitions: config.kafka.share.state_topic_num_partitions,
            segment_bytes: 104_857_600,
            compression: "uncompressed",
            cleanup_policy: "delete",
        };
        let make = move |partition| Setting {
            name: "share coordinator shard",
            partition,
            env: env.clone(),
            machine: Box::new(move || ShareShard::new(settings)),
            outside: Arc::new(|request: Infallible| match request {}),
        };
        let shards = Arc::new(Shards::new(logs, catalog.clone(), topic, Box::new(make)));
        Arc::new(SharePartitions { catalog, config, shards })
    }

    /// The settings of a share group, as they are now.
    #[must_use]
    pub fn settings_of(&self, group: &str) -> ShareGroupSettings {
        let catalog = self.catalog.snapshot();
        let own = catalog.overrides(&Owner::Group(group.to_owned()));
        let [broker, all] = catalog.broker_overrides_in_force(self.config.server.node_id);
        let brokers: Vec<_> = broker.into_iter().chain(all).collect();
        group::share(own, &brokers, &self.config.kafka)
    }

    /// Whether any share group has ever read anything.
    #[must_use]
    pub fn exist(&self) -> bool {
        self.shards.exist()
    }

    /// Begins to load the shards, if their topic exists already.
    pub fn start(&self) {
        self.shards.start();
    }

    /// Lets the shards answer what they have in hand, and stops them.
    pub async fn close(&self) {
        self.shards.close().await;
    }

    /// Makes sure that the coordinator exists and takes requests soon: what FindCoordinator promises.
    ///
    /// # Errors
    /// When its topic cannot be created or opened.
    pub async fn prepare(&self) -> Result<(), ShareError> {
        Ok(self.shards.all().await.map(|_| ())?)
    }

    /// Where to read for a group. `waiter` is woken from now on, as long as it lives, whenever that may have changed.
    ///
    /// # Errors
    /// As for every method here: why the shard does not take the request.
    pub async fn next(&self, key: &Key, policy: Policy, waiter: &Arc<Waiter>) -> Result<Pending<NextReply>, ShareError> {
        let waiter = Arc::downgrade(waiter);
        self.send(key, |key, caller| Event::Next { key, policy, waiter, caller }).await
    }

    /// A group reads the partition for the first time, from `start`. Changes nothing where that is known already.
    pub async fn begin(&self, key: &Key, start: Offset) -> Result<Pending<()>, ShareError> {
        self.send(key, |key, caller| Event::Begin { key, start, caller }).await
    }

    /// Which of the records that were read a member gets.
    pub async fn acquire(&self, key: &Key, policy: Policy, request: AcquireRequest) -> Result<Pending<AcquireReply>, ShareError> {
        self.send(key, |key, caller| Event::Acquire { key, policy, request, caller }).await
    }

    /// A member settles records: all that is said, or nothing. The answer comes when that is durable.
    pub async fn acknowledge(
        &self,
        key: &Key,
        policy: Policy,
        member: Arc<str>,
        acknowledgements: Vec<Acknowledgement>,
    ) -> Result<Pending<Result<(), ShareError>>, ShareError> {
        self.ask(key, |key, caller| Event::Acknowledge { key, policy, member, acknowledgements, caller }).await
    }

    /// A member gives back all that it has of a partition.
    pub async fn release(&self, key: &Key, member: Arc<str>) -> Result<Pending<()>, ShareError> {
        self.ask(key, |key, caller| Event::Release { key, member, caller }).await
    }

    /// The partition's log begins at `start` now.
    pub async fn trimmed(&self, key: &Key, start: Offset) -> Result<Pending<()>, ShareError> {
        self.ask(key, |key, caller| Event::Trimmed { key, start, caller }).await
    }

    /// How far a group is; `None`: it has no state for the partition.
    pub async fn describe(&self, key: &Key) -> Result<Option<Summary>, ShareError> {
        if !self.shards.exist() {
            return Ok(None);
        }
        Ok(self.send(key, |key, caller| Event::Describe { key, caller }).await?.wait().await?)
    }

    /// A group begins anew at `start`; `None`: where its settings say when it reads next. For groups without members.
    /// `state_epoch`: the group's, which is greater than it was when it had members.
    pub async fn reset(&self, key: &Key, start: Option<Offset>, state_epoch: i32) -> Result<Pending<()>, ShareError> {
        self.send(key, |key, caller| Event::Reset { key, start, state_epoch, caller }).await
    }

    /// Forgets how far a group is in a partition.
    pub async fn delete(&self, key: &Key) -> Result<Pending<()>, ShareError> {
        self.ask(key, |key, caller| Event::Delete { key, caller }).await
    }

    /// Forgets a group.
    pub async fn delete_group(&self, group: &str) -> Result<(), ShareError> {
        self.everywhere(|caller| Event::DeleteGroup { group: Arc::from(group), caller }).await
    }

    /// Forgets how far groups are in a topic that no longer exists. Waits for shards that are loading.
    pub async fn topic_deleted(&self, topic: TopicId) {
        if let Err(error) = self.everywhere(|caller| Event::TopicDeleted { topic, caller }).await {
            warn!(%topic, %error, "share groups keep some state of a deleted topic");
        }
    }

    /// Asks every shard, each when it has loaded; answers when all have done it.
    async fn everywhere(&self, event: impl Fn(Caller<()>) -> Event) -> Result<(), ShareError> {
        for answer in self.shards.send_loaded(event).await? {
            answer?.wait().await?;
        }
        Ok(())
    }

    /// As [`SharePartitions::send`], for requests that find nothing where nothing is: they create no coordinator.
    async fn ask<T>(&self, key: &Key, event: impl FnOnce(Key, Caller<T>) -> Event) -> Result<Pending<T>, ShareError> {
        if !self.shards.exist() {
            return Err(ShareError::NotInitialised);
        }
        self.send(key, event).await
    }

    async fn send<T>(&self, key: &Key, event: impl FnOnce(Key, Caller<T>) -> Event) -> Result<Pending<T>, ShareError> {
        if key.group.len() > GROUP_BYTES_MAX {
            return Err(ShareError::GroupIdTooLong);
        }
        Ok(self.shards.send(&key.to_string(), |caller| event(key.clone(), caller)).await?)
    }
}
