//! A request's bytes with a meter on them: what decoding may allocate is bounded by what the peer sent.
//!
//! The generated decoder turns two wire bytes into a struct of eighty. It reads through [`ByteBuf`], and every field costs it at
//! least one read, so counting reads counts what it builds: a read of a number is charged [`NUMBER_BYTES`], one of a string or of bytes
//! [`SLICE_BYTES`] (structs of kafka-protocol 0.18 stay below the sum of their fields' charges; the hostile-frame tests watch the
//! process). When the charges pass [`GROWTH`] times the frame, at most [`GROWTH_BYTES_MAX`], plus [`SLACK_BYTES`], the bytes seem to end, and
//! decoding fails cleanly.

use bytes::{Buf, Bytes};
use kafka_protocol::protocol::buf::ByteBuf;
use std::ops::Range;

/// How much larger than its frame a decoded request may become.
pub const GROWTH: usize = 16;
/// However large the frame: what makes frames large are records, which are not copied.
pub const GROWTH_BYTES_MAX: usize = 256 << 20;
/// What any request may need beside: short names make small frames of honest requests grow by more than [`GROWTH`].
pub const SLACK_BYTES: usize = 4 << 20;
const NUMBER_BYTES: usize = 32;
const SLICE_BYTES: usize = 64;

/// The body of a request, while it is decoded.
pub struct Metered {
    bytes: Bytes,
    left: usize,
}

impl Metered {
    /// Meters `body`.
    #[must_use]
    pub fn new(body: Bytes) -> Metered {
        let left = body.len().saturating_mul(GROWTH).min(GROWTH_BYTES_MAX) + SLACK_BYTES;
        Metered { bytes: body, left }
    }

    /// Whether decoding was stopped by the meter.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.left == 0
    }

    fn charge(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }
}

impl Buf for Metered {
    fn remaining(&self) -> usize {
        if self.is_exhausted() { 0 } else { self.bytes.remaining() }
    }

    fn chunk(&self) -> &[u8] {
        if self.is_exhausted() { &[] } else { self.bytes.chunk() }
    }

    fn advance(&mut self, count: usize) {
        self.charge(NUMBER_BYTES);
        self.bytes.advance(count);
    }
}

impl ByteBuf for Metered {
    fn peek_bytes(&mut self, range: Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.charge(SLICE_BYTES);
        self.bytes.split_to(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{MetadataRequest, ProduceRequest};
    use kafka_protocol::protocol::Decodable;

    #[test]
    fn a_frame_of_tiny_structs_is_refused_before_it_grows_large() {
        // Metadata 9: one compact array of (empty name, no tags), two wire bytes each.
        let count = 4 << 20;
        let mut body = Vec::from([0x81, 0x80, 0x80, 0x02]);
        body.extend(std::iter::repeat_n([1u8, 0u8], count).flatten());
        body.extend([1, 0, 0, 0]);
        let mut metered = Metered::new(Bytes::from(body));
        assert!(MetadataRequest::decode(&mut metered, 9).is_err());
        assert!(metered.is_exhausted());
    }

    #[test]
    fn an_announced_count_without_elements_is_an_error() {
        // Produce 3: no transactional id, acks, timeout, and 2^31 − 1 topics.
        let body = Bytes::from_static(&[0xff, 0xff, 0, 1, 0, 0, 0, 9, 0x7f, 0xff, 0xff, 0xff]);
        assert!(ProduceRequest::decode(&mut Metered::new(body), 3).is_err());
    }
}
