//! Record batches (magic 2, KIP-98) as bytes: read, check, stamp, decompress, build. Pure: no I/O, no clock, no state.
//!
//! Everything here may be handed bytes from a peer or a damaged disk: it answers a [`RecordError`], never panics, and never
//! allocates by a claimed count or size. Layout: <https://kafka.apache.org/documentation/#recordbatch>.

pub mod aborted;
pub mod builder;
pub mod codec;
pub mod control;
pub mod header;
pub mod iterate;
pub mod json;
pub mod kept;
pub mod recompress;
#[cfg(test)]
mod tests;
mod varint;

pub use builder::BatchBuilder;
pub use codec::Compression;
pub use header::{Attributes, BatchHeader, TimestampType};
pub use iterate::{Headers, Record, RecordIter};

/// What is wrong with the bytes of a record batch; one variant per reaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes end before the batch does.
    #[error("record batch is cut short: needs {needed} bytes, {left} are there")]
    Truncated { needed: usize, left: usize },
    /// A message format before Kafka 0.11 (magic 0 or 1), or none that exists.
    #[error("message format {0} is not supported, only 2 is; produce with a client of Kafka 0.11 or newer")]
    UnsupportedMagic(i8),
    /// The length field is smaller than a batch header.
    #[error("record batch claims a length of {0} bytes; the smallest is 49")]
    BadLength(i32),
    /// The bytes changed after the producer wrote them.
    #[error("record batch has crc {found:#010x}, expected {expected:#010x}; the producer, the network or the disk damaged it")]
    BadCrc { found: u32, expected: u32 },
    /// The record count is negative, more than the bytes can hold, or not the number of records that are there.
    #[error("record batch claims {0} records, which its bytes do not hold")]
    BadCount(i32),
    /// A record's fields do not add up.
    #[error("bad record: {0}")]
    BadRecord(String),
    /// A compression codec that Kafka does not define.
    #[error("compression codec {0} does not exist; 0 to 4 do (none, gzip, snappy, lz4, zstd)")]
    UnsupportedCompression(u8),
    /// The records are larger after decompression than is allowed.
    #[error("records are larger than {limit} bytes after decompression")]
    TooLarge { limit: usize },
    /// The compressed bytes are not what their codec writes.
    #[error("records do not decompress: {0}")]
    Decompression(String),
    /// A codec gave up while we compressed.
    #[error("records do not compress: {0}")]
    Compression(String),
}
