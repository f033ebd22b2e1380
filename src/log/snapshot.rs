//! A log's snapshot: what its partition knew before an offset, beyond what the store keeps; and when it is saved.

use super::partition::Partition;
use super::producers::Producers;
use super::segment::ActiveSegment;
use super::totals::Totals;
use crate::ids::{Offset, Timestamp};
use crate::store::StoreError;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// 4: with the active segment and what is compacted, before what [`Producers::encode`] wrote.
const VERSION: u8 = 4;
const FIXED_BYTES: usize = 49;

/// What a partition knows.
#[derive(Debug)]
pub struct Snapshot {
    pub totals: Totals,
    pub segment: ActiveSegment,
    /// Up to here the log is compacted.
    pub cleaned: Offset,
    pub producers: Producers,
}

/// The snapshot's bytes.
#[must_use]
pub fn encode(totals: Totals, segment: ActiveSegment, cleaned: Offset, producers: &Producers) -> Bytes {
    let producers = producers.encode();
    let mut out = BytesMut::with_capacity(FIXED_BYTES + producers.len());
    out.put_u8(VERSION);
    out.put_u64(totals.records);
    out.put_u64(totals.bytes);
    out.put_i64(segment.base.0);
    out.put_u64(segment.bytes);
    out.put_i64(segment.begun.0);
    out.put_i64(cleaned.0);
    out.put(producers);
    out.freeze()
}

/// What [`encode`] wrote; `None` when the bytes are something else (then recovery reads the log instead).
#[must_use]
pub fn decode(mut bytes: Bytes) -> Option<Snapshot> {
    if bytes.try_get_u8().ok()? != VERSION {
        return None;
    }
    Some(Snapshot {
        totals: Totals { records: bytes.try_get_u64().ok()?, bytes: bytes.try_get_u64().ok()? },
        segment: ActiveSegment {
            base: Offset(bytes.try_get_i64().ok()?),
            bytes: bytes.try_get_u64().ok()?,
            begun: Timestamp(bytes.try_get_i64().ok()?),
        },
        cleaned: Offset(bytes.try_get_i64().ok()?),
        producers: Producers::decode(bytes)?,
    })
}

impl Partition {
    /// Saves what recovery would work out from the batches, if there is something since the last time, and that costs `least` or more (see [`super::unsaved::Unsaved`]).
    /// Waits until what it describes is durable.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn save_snapshot(&self, least: u64) -> Result<(), StoreError> {
        // One at a time: an older one must not be put last, and whoever finds nothing to save may rely on what was saved before.
        let _turn = self.saving.lock().await;
        let (at, value, cost) = {
            let state = self.lock();
            let cost = state.unsaved.cost();
            if cost < least.max(1) {
                return Ok(());
            }
            let cleaned = state.uncleaned.map_or(state.cleaned, |at| at.min(state.cleaned));
            (state.next, encode(state.totals, state.segment, cleaned, &state.producers), cost)
        };
        if self.wait_committed(at.previous()).await.is_err() {
            return Ok(());
        }
        self.store().put_snapshot(self.log(), at, value).await?;
        // Only now: one that fails, or whose caller goes away, is tried again.
        self.lock().unsaved.saved(cost);
        Ok(())
    }

    /// What recovery would read of it, see [`super::unsaved::Unsaved`].
    pub fn unsaved_cost(&self) -> u64 {
        self.lock().unsaved.cost()
    }
}
