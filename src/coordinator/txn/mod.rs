//! The transaction coordinator: which producer has which transactional id, what its transaction has written to, and how it ends.
//!
//! ```text
//!   api ──▶ Transactions ──(transactional id's hash)──▶ shard actor ──▶ TransactionShard (machine)
//!                                                           ├─▶ one partition of __transaction_state
//!                                                           └─▶ Markers ──▶ partitions of the transaction
//!                                                                      └──▶ Groups (offsets of the transaction)
//! ```
//! Every method is **stage one**, as in [`super::group`]: it returns when the event is in the shard's mailbox; what it answers is waited
//! for in **stage two**.

use crate::catalog::Catalog;
use crate::config::Config;
use crate::coordinator::Caller;
use crate::coordinator::group::Groups;
use crate::coordinator::group::messages::{CommitReply, CommitRequest};
use crate::coordinator::producer_ids::ProducerIds;
use crate::coordinator::runtime::Setting;
use crate::coordinator::shards::{InternalTopic, Pending, ShardError, Shards};
use crate::env::Env;
use crate::ids::ProducerId;
use crate::log::Logs;
use crate::store::BoxFuture;
use std::sync::Arc;
use tokio::sync::oneshot;
use tracing::warn;

mod machine;
mod markers;
pub mod messages;
pub mod records;
#[cfg(test)]
mod tests;

pub use markers::COORDINATOR_EPOCH;
pub use messages::TransactionError;

use machine::{TransactionSettings, TransactionShard};
use markers::Markers;
use messages::{
    EndReply, EndRequest, Event, ID_BYTES_MAX, InitReply, InitRequest, Listed, Outside, PartitionsReply, PartitionsRequest, When,
};
use records::Transaction;

/// The topic that holds transactional ids; one shard per partition (Topic.TRANSACTION_STATE_TOPIC_NAME).
pub const STATE_TOPIC: &str = "__transaction_state";

/// The whole transaction coordinator of this node.
pub struct Transactions {
    producer_ids: Arc<ProducerIds>,
    shards: Arc<Shards<TransactionShard>>,
}

impl Transactions {
    #[must_use]
    pub fn new(
        logs: Arc<Logs>,
        catalog: Arc<Catalog>,
        env: Env,
        config: &Config,
        groups: Arc<Groups>,
        producer_ids: Arc<ProducerIds>,
    ) -> Arc<Transactions> {
        let kafka = &config.kafka;
        let settings = Arc::new(TransactionSettings {
            timeout_max_ms: kafka.transaction_max_timeout_ms,
            expiration_ms: i64::from(kafka.transactional_id_expiration_ms),
            cleanup_interval_ms: i64::from(kafka.transaction_remove_expired_interval_ms),
        });
        let topic = InternalTopic {
            name: STATE_TOPIC,
            partitions: kafka.transaction_state_log_num_partitions,
            segment_bytes: kafka.transaction_state_log_segment_bytes,
            compression: "uncompressed",
            cleanup_policy: "compact",
        };
        let markers = Markers { catalog: catalog.clone(), logs: logs.clone(), groups };
        let make = move |partition| {
            let (settings, markers) = (settings.clone(), markers.clone());
            Setting {
                name: "transaction coordinator shard",
                partition,
                env: env.clone(),
                machine: Box::new(move || TransactionShard::new(settings.clone())),
                outside: Arc::new(move |request| carry_out(markers.clone(), request)),
            }
        };
        let shards = Arc::new(Shards::new(logs, catalog, topic, Box::new(make)));
        Arc::new(Transactions { producer_ids, shards })
    }

    /// Begins to load the shards, if their topic exists already: transactions that a crash cut short are brought to their end.
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
    /// [`ShardError::NotAvailable`] when its topic cannot be created or opened.
    pub async fn prepare(&self) -> Result<(), TransactionError> {
        Ok(self.shards.all().await.map(|_| ())?)
    }

    /// A producer begins to use a transactional id, or goes on with it. Whoever had it before is shut out, and its open transaction
    /// aborted.
    pub async fn init(&self, request: InitRequest) -> InitReply {
        checked(&request.id)?;
        let ask = |fresh| {
            let (id, request) = (request.id.clone(), request.clone());
            async move { self.shards.send(&id, |caller| Event::Init { request, fresh, caller }).await?.wait().await? }
        };
        match ask(None).await {
            Err(TransactionError::NeedsProducerId) => ask(Some(self.fresh().await?)).await,
            reply => reply,
        }
    }

    /// Adds partitions to a transaction, or verifies that they are part of it.
    pub async fn partitions(&self, request: PartitionsRequest, when: When) -> Result<Pending<PartitionsReply>, TransactionError> {
        checked(&request.id)?;
        let id = request.id.clone();
        Ok(self.shards.send(&id, |caller| Event::Partitions { request, when, caller }).await?)
    }

    /// Commits offsets as part of a transaction, of which `request` makes or verifies the group's partition to be part.
    pub async fn commit_offsets(
        &self,
        request: PartitionsRequest,
        commit: CommitRequest,
    ) -> Result<Committing, TransactionError> {
        checked(&request.id)?;
        let id = request.id.clone();
        let (committed, offsets) = Caller::pair();
        let pending = self.shards.send(&id, |caller| Event::CommitOffsets { request, commit, committed, caller }).await?;
        Ok(Committing { pending, offsets })
    }

    /// Ends a transaction; [`Transactions::ended`] waits for it.
    pub async fn end(&self, request: EndRequest) -> Result<Pending<EndReply>, TransactionError> {
        checked(&request.id)?;
        self.send_end(request, None).await
    }

    /// Stage two of [`Transactions::end`]: when this returns, the end is decided for good, and the markers are durable in every partition
    /// that could be written; in the others they are written as soon as that is possible.
    pub async fn ended(&self, request: EndRequest, pending: Pending<EndReply>) -> EndReply {
        match pending.wait().await? {
            Err(TransactionError::NeedsProducerId) => {
                let fresh = self.fresh().await?;
                self.send_end(request, Some(fresh)).await?.wait().await?
            }
            reply => reply,
        }
    }

    /// All transactional ids of all shards, in no order.
    pub async fn list(&self) -> Result<Vec<Listed>, TransactionError> {
        Ok(self.shards.ask_all(|caller| Event::List { caller }).await?)
    }

    /// One transactional id; `None` when it is not known.
    pub async fn describe(&self, id: &str) -> Result<Option<Transaction>, TransactionError> {
        checked(id)?;
        if !self.shards.exist() {
            return Ok(None);
        }
        Ok(self.shards.send(id, |caller| Event::Describe { id: id.to_owned(), caller }).await?.wait().await?)
    }

    async fn send_end(&self, request: EndRequest, fresh: Option<ProducerId>) -> Result<Pending<EndReply>, TransactionError> {
        let id = request.id.clone();
        Ok(self.shards.send(&id, |caller| Event::End { request, fresh, caller }).await?)
    }

    async fn fresh(&self) -> Result<ProducerId, TransactionError> {
        self.producer_ids.next().await.map_err(|error| {
            warn!(%error, "no producer id could be allocated");
            ShardError::NotAvailable.into()
        })
    }
}

/// Offsets on their way into a transaction.
#[derive(Debug)]
pub struct Committing {
    pending: Pending<PartitionsReply>,
    offsets: oneshot::Receiver<CommitReply>,
}

impl Committing {
    /// Stage two: waits until the offsets are durable.
    ///
    /// # Errors
    /// Why the transaction does not take them; the group's own refusal is in the answer.
    pub async fn wait(self) -> Result<CommitReply, TransactionError> {
        self.pending.wait().await??;
        self.offsets.await.map_err(|_| ShardError::NotCoordinator.into())
    }
}

/// Empty ids are refused, as in Kafka, and those that no record could hold.
fn checked(id: &str) -> Result<(), TransactionError> {
    if id.is_empty() || id.len() > ID_BYTES_MAX { Err(TransactionError::InvalidId) } else { Ok(()) }
}

/// Does what a shard asks for.
fn carry_out(markers: Markers, request: Outside) -> BoxFuture<'static, Option<Event>> {
    Box::pin(async move {
        match request {
            Outside::WriteMarkers(ending) => {
                let left = markers.write(&ending).await;
                Some(Event::MarkersWritten { id: ending.id, left })
            }
            Outside::CommitOffsets { producer, commit, committed } => {
                markers.groups.commit_in_transaction(producer, commit, committed).await;
                None
            }
        }
    })
}
