//! Opening a log: bounds from the store, counts, producers and transactions from the newest snapshot plus the headers of the batches after it.
//!
//! Bound: `unsaved.rs` says how much is read before a snapshot is due, of one log and of all; a clean stop leaves nothing to read.

use super::Logs;
use super::partition::{Partition, Recovered};
use super::producers::Producers;
use super::segment::ActiveSegment;
use super::snapshot::Snapshot;
use super::totals::Totals;
use super::transactions::Aborted;
use super::unsaved::Unsaved;
use crate::config::topic::TopicSettings;
use crate::ids::{Fence, LogId, Offset, ProducerEpoch, Timestamp};
use crate::records::BatchHeader;
use crate::records::control::EndTransaction;
use crate::store::{Batch, LogBounds, LogStore, StoreError};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const READ_BYTES: usize = 1 << 20;

/// Opens `log`, and works out what its producers may do next.
///
/// # Errors
/// What the store answers; [`StoreError::Damaged`] when a stored batch has no readable header.
pub(super) async fn open(logs: &Logs, log: LogId, fence: Fence, settings: Arc<TopicSettings>) -> Result<Partition, StoreError> {
    let (store, env, tail) = (logs.store.clone(), logs.env.clone(), logs.tail.clone());
    let producer_expiration_ms = logs.producer_expiration_ms.clone();
    let bounds = store.open(log, fence).await?;
    let found = snapshot(store.as_ref(), log, bounds).await?;
    let (mut from, mut known) = found.unwrap_or_else(|| (bounds.start, nothing_before(bounds.start)));
    from = from.max(bounds.start);
    let mut unsaved = Unsaved::of(logs.unsaved.clone());
    while from < bounds.next {
        let batches = store.read(log, from, bounds.next, READ_BYTES).await?;
        let Some(newest) = batches.last() else { break };
        from = newest.last.next();
        for batch in &batches {
            unsaved.add(batch.bytes.len());
            learn(&mut known, &settings, log, batch, env.now())?;
        }
    }
    let Snapshot { totals, segment, cleaned, mut producers } = known;
    // What was read is durable, the markers included.
    producers.transactions.committed(bounds.next);
    producers.transactions.trimmed(bounds.start);
    if bounds.is_replaced {
        let gone = without_marker(store.as_ref(), log, &producers).await?;
        producers.transactions.emptied(&gone);
    }
    producers.expire(env.now(), producer_expiration_ms.load(Ordering::Relaxed));
    // No pass goes into the active segment. A snapshot says less than was changed: that may be from a pass that did not come to its end.
    let compacted = if bounds.is_replaced { segment.base } else { cleaned };
    let recovered = Recovered { start: bounds.start, next: bounds.next, producers, totals, segment, cleaned, compacted, unsaved };
    Ok(Partition::new(store, env, tail, (log, fence), settings, producer_expiration_ms, recovered))
}

/// What is known of a log that begins at `start` and was not read yet.
fn nothing_before(start: Offset) -> Snapshot {
    Snapshot {
        totals: Totals::before(start),
        segment: ActiveSegment::empty(start),
        cleaned: start,
        producers: Producers::default(),
    }
}

/// The aborted transactions of a snapshot whose markers were compacted away since: readers would take what their producers wrote later
/// for aborted.
async fn without_marker(store: &dyn LogStore, log: LogId, producers: &Producers) -> Result<Vec<Aborted>, StoreError> {
    let mut gone = Vec::new();
    for aborted in producers.transactions.all_aborted() {
        let found = store.read(log, aborted.last, aborted.last.next(), 1).await?;
        let has_marker = found.iter().any(|batch| BatchHeader::parse(&batch.bytes).is_ok_and(|header| header.record_count > 0));
        if !has_marker {
            gone.push(*aborted);
        }
    }
    Ok(gone)
}

/// The newest snapshot, if it fits the log: it describes nothing beyond the end, and nothing between it and the first batch was deleted.
/// A deleted batch may have been the marker of a transaction that the snapshot shows open; what such a snapshot describes is deleted as well.
async fn snapshot(store: &dyn LogStore, log: LogId, bounds: LogBounds) -> Result<Option<(Offset, Snapshot)>, StoreError> {
    let Some((at, value)) = store.get_snapshot(log).await? else { return Ok(None) };
    if at > bounds.next || at < bounds.start {
        return Ok(None);
    }
    Ok(super::snapshot::decode(value).map(|snapshot| (at, snapshot)))
}

/// Its producer counts as seen `now`, whatever time its records have: it may be about to send again what was not answered.
fn learn(known: &mut Snapshot, settings: &TopicSettings, log: LogId, batch: &Batch, now: Timestamp) -> Result<(), StoreError> {
    let damaged = |error| StoreError::Damaged(format!("batch at offset {} of log {log}: {error}", batch.first));
    let header = BatchHeader::parse(&batch.bytes).map_err(damaged)?;
    let Snapshot { totals, segment, producers, .. } = known;
    totals.add(&header);
    segment.add(batch.first, &header, settings, batch.max_timestamp);
    let Some(id) = header.producer() else { return Ok(()) };
    let epoch = ProducerEpoch(header.producer_epoch);
    if header.attributes.is_control() {
        if let Some(end) = EndTransaction::read(&batch.bytes).map_err(damaged)? {
            producers.end_transaction(id, epoch, end, batch.first, now);
        }
    } else if header.base_sequence >= 0 {
        producers.remember(id, &header, batch.first, batch.last, header.max_timestamp, now);
    } else {
        // A coordinator's batch of a transaction has no sequence.
        producers.open_transaction(id, epoch, batch.first, now);
    }
    Ok(())
}
