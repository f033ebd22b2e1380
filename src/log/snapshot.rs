//! What a log's snapshot holds: what its partition knew before an offset, beyond what the store keeps.

use super::producers::Producers;
use super::segment::ActiveSegment;
use super::totals::Totals;
use crate::ids::{Offset, Timestamp};
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
