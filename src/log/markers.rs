//! Transactions in one partition: leave to begin them, and the markers that end them (KIP-98, KIP-890).

use super::append::{AppendError, Origin};
use super::partition::{LogStopped, Partition, State};
use super::producers::{MarkerVerdict, ProducerError};
use super::transactions::Verification;
use crate::ids::{Offset, ProducerEpoch, ProducerId};
use crate::records::BatchHeader;
use crate::records::control::EndTransaction;
use bytes::BytesMut;

impl Partition {
    /// Appends the marker that ends the transaction of `producer`, and says at which offset; `None` when it was written before.
    /// `is_epoch_raised`: the transaction is of KIP-890's protocol. Durable as [`Partition::append`] is.
    ///
    /// # Errors
    /// [`AppendError::Producer`] for a stale epoch, of the producer or of the coordinator.
    pub async fn append_marker(
        &self,
        producer: ProducerId,
        epoch: ProducerEpoch,
        end: EndTransaction,
        is_epoch_raised: bool,
    ) -> Result<Option<Offset>, AppendError> {
        let now = self.now();
        let batch = end.batch(now, producer, epoch);
        let header = BatchHeader::parse(&batch).map_err(AppendError::Corrupt)?;
        let permit = self.store().reserve(batch.len()).await?;
        let mut state = self.lock();
        if self.is_stopped() {
            return Err(LogStopped.into());
        }
        match state.producers.judge_marker(producer, epoch, end.coordinator_epoch, is_epoch_raised)? {
            MarkerVerdict::Repeated => return Ok(None),
            MarkerVerdict::New => {}
        }
        let (first, last) = state.place(&header, &self.settings(), now);
        state.producers.end_transaction(producer, epoch, end, first, now);
        self.transactions_changed(&state);
        self.queue(permit, &header, BytesMut::from(&batch[..]), (first, last), now, None);
        Ok(Some(first))
    }

    /// Whether a marker may be written; see [`Partition::append_marker`].
    ///
    /// # Errors
    /// The stale epoch.
    pub fn check_marker(
        &self,
        producer: ProducerId,
        epoch: ProducerEpoch,
        end: EndTransaction,
        is_epoch_raised: bool,
    ) -> Result<MarkerVerdict, ProducerError> {
        self.lock().producers.judge_marker(producer, epoch, end.coordinator_epoch, is_epoch_raised)
    }

    /// Whether the coordinator has to be asked before a batch of `producer` with this first sequence may be part of its transaction, and if so,
    /// what [`Origin::Verified`] proves then.
    #[must_use]
    pub fn verification(&self, producer: ProducerId, epoch: ProducerEpoch, sequence: i32) -> Option<Verification> {
        let mut state = self.lock();
        if state.producers.is_open(producer, epoch) {
            return None;
        }
        Some(state.producers.transactions.verify(producer, epoch, sequence, self.now()))
    }

    /// The coordinator refused what [`Partition::verification`] was begun for.
    pub fn refused(&self, producer: ProducerId) {
        self.lock().producers.transactions.forget_verification(producer);
    }
}

/// A batch that begins a transaction here needs leave of the coordinator, and no marker since (KIP-890; UnifiedLog.analyzeAndValidateProducerState).
pub(super) fn check_verified(state: &State, id: ProducerId, header: &BatchHeader, origin: Origin) -> Result<(), ProducerError> {
    let producers = &state.producers;
    if !header.attributes.is_transactional() || producers.is_open(id, ProducerEpoch(header.producer_epoch)) {
        return Ok(());
    }
    match origin {
        Origin::Verified(verification) if producers.transactions.is_verified(id, verification) => {
            producers.check_first(id, header)
        }
        _ => Err(ProducerError::NotVerified(id)),
    }
}
