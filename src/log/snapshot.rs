//! What a log's snapshot holds: the counts and the producers, as they were before an offset.

use super::producers::Producers;
use super::totals::Totals;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// 3: with counts, before what [`Producers::encode`] wrote.
const VERSION: u8 = 3;

/// The snapshot's bytes.
#[must_use]
pub fn encode(totals: Totals, producers: &Producers) -> Bytes {
    let producers = producers.encode();
    let mut out = BytesMut::with_capacity(17 + producers.len());
    out.put_u8(VERSION);
    out.put_u64(totals.records);
    out.put_u64(totals.bytes);
    out.put(producers);
    out.freeze()
}

/// What [`encode`] wrote; `None` when the bytes are something else (then recovery reads the log instead).
#[must_use]
pub fn decode(mut bytes: Bytes) -> Option<(Totals, Producers)> {
    if bytes.try_get_u8().ok()? != VERSION {
        return None;
    }
    let totals = Totals { records: bytes.try_get_u64().ok()?, bytes: bytes.try_get_u64().ok()? };
    Some((totals, Producers::decode(bytes)?))
}
