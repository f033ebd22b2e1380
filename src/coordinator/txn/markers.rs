//! Tells the partitions of a transaction how it ended.
//!
//! Every marker is on its way to the disk when [`Markers::write`] returns, behind the coordinator's decision and before its completion.
//! A partition of `__consumer_offsets` is written by its group shard, which lets the offsets count; all others are written here.

use super::messages::Ending;
use super::records::Partitions;
use crate::catalog::Catalog;
use crate::coordinator::group::{Groups, MarkerError, OFFSETS_TOPIC};
use crate::ids::ProducerId;
use crate::log::{AppendError, Logs};
use crate::records::control::EndTransaction;
use std::sync::Arc;
use tracing::{debug, warn};

/// One node: the leadership of a coordinator's partition never changes hands.
pub const COORDINATOR_EPOCH: i32 = 0;

/// The way to the partitions.
#[derive(Clone)]
pub struct Markers {
    pub catalog: Arc<Catalog>,
    pub logs: Arc<Logs>,
    pub groups: Arc<Groups>,
}

/// Why a partition has no marker.
enum Missing {
    /// It does not exist, or has heard of a newer epoch: there is nothing to end.
    ForGood,
    ForNow,
}

impl Markers {
    /// Writes the marker to every partition of `ending`, and says which could not be written and have to be tried again.
    pub async fn write(&self, ending: &Ending) -> Partitions {
        let end = EndTransaction { marker: ending.marker, coordinator_epoch: COORDINATOR_EPOCH };
        let mut left = Partitions::new();
        for (topic, indexes) in &ending.partitions {
            for index in indexes {
                if matches!(self.write_one(ending, end, topic, *index).await, Err(Missing::ForNow)) {
                    left.entry(topic.clone()).or_default().insert(*index);
                }
            }
        }
        left
    }

    async fn write_one(&self, ending: &Ending, end: EndTransaction, topic: &str, index: i32) -> Result<(), Missing> {
        let producer = ending.producer;
        let Ok(position) = usize::try_from(index) else { return Err(Missing::ForGood) };
        if topic == OFFSETS_TOPIC {
            let written = self.groups.end_transaction(position, producer, end, ending.is_epoch_raised).await;
            return written.map_err(|error| match error {
                MarkerError::Shard(error) => {
                    debug!(id = ending.id, topic, index, %error, "a marker could not be written; it is tried again");
                    Missing::ForNow
                }
                MarkerError::Producer(error) => stale(ending.producer.id, topic, index, &error),
                MarkerError::NoPartition => Missing::ForGood,
            });
        }
        // The topic was deleted, and its records with it.
        let Some(existing) = self.catalog.topic(topic) else { return Err(Missing::ForGood) };
        let Some(log) = existing.logs.get(position) else { return Err(Missing::ForGood) };
        let partition = self.logs.open(*log, existing.settings.clone()).await.map_err(|error| {
            warn!(topic, index, %error, "a log could not be opened for a marker; it is tried again");
            Missing::ForNow
        })?;
        match partition.append_marker(producer.id, producer.epoch, end, ending.is_epoch_raised).await {
            Ok(_) => Ok(()),
            Err(AppendError::Stopped(_)) => Err(Missing::ForGood),
            Err(AppendError::Producer(error)) => Err(stale(producer.id, topic, index, &error)),
            Err(error) => {
                warn!(topic, index, %error, "a marker could not be written; it is tried again");
                Err(Missing::ForNow)
            }
        }
    }
}

/// As Kafka, which drops a marker that is refused for its epoch (TransactionMarkerRequestCompletionHandler).
fn stale(producer: ProducerId, topic: &str, index: i32, error: &crate::log::ProducerError) -> Missing {
    warn!(%producer, topic, index, %error, "a marker is older than what the partition knows; it is not written");
    Missing::ForGood
}
