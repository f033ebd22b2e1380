//! A batch with another codec, for topics whose `compression.type` names one (LogValidator).

use super::header::{ATTRIBUTES_AT, Attributes, HEADER_BYTES, MAX_TIMESTAMP_AT, put, write_crc};
use super::kept::with_body;
use super::{BatchHeader, Compression, RecordError, codec};
use crate::ids::Timestamp;
use bytes::Bytes;

/// The batch with another codec, at `level` (`None`: the codec's default), and `max_timestamp` as the largest of its records. Decompresses to
/// at most `limit` bytes.
///
/// # Errors
/// [`RecordError`] when the batch does not read, or a codec gives up.
pub fn recompress(
    batch: &Bytes,
    limit: usize,
    codec: Compression,
    level: Option<i32>,
    max_timestamp: Timestamp,
) -> Result<Bytes, RecordError> {
    let header = BatchHeader::parse(batch)?;
    let payload = codec::decompress(header.attributes.compression()?, &batch.slice(HEADER_BYTES..header.batch_bytes), limit)?;
    let body = codec::compress(codec, &payload, level)?;
    let mut rewritten = with_body(batch, &body, header.record_count)?;
    let attributes = header.attributes.0 & !Attributes::COMPRESSION | codec.bits();
    put(&mut rewritten, ATTRIBUTES_AT, attributes.to_be_bytes());
    put(&mut rewritten, MAX_TIMESTAMP_AT, max_timestamp.0.to_be_bytes());
    write_crc(&mut rewritten);
    Ok(Bytes::from(rewritten))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ProducerEpoch, ProducerId};
    use crate::records::BatchBuilder;
    use crate::records::header::verify_crc;
    use crate::records::iterate::records;

    const LIMIT: usize = 1 << 20;

    #[test]
    fn another_codec_changes_nothing_but_the_bytes() {
        let codecs = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
        for (from, to) in codecs.into_iter().flat_map(|from| codecs.map(|to| (from, to))) {
            let batch = BatchBuilder::new(Timestamp(1_000)).producer(ProducerId(7), ProducerEpoch(2), 5).compression(from);
            let whole = batch.record(Some(b"a"), Some(b"1")).record(Some(b"b"), None).build();
            let other = recompress(&whole, LIMIT, to, None, Timestamp(1_000)).expect("recompresses");
            let header = BatchHeader::parse(&other).expect("a batch");
            verify_crc(&other, &header).expect("its CRC is right");
            assert_eq!((header.attributes.compression(), header.record_count, header.base_sequence), (Ok(to), 2, 5));
            let all = |batch: &Bytes| records(batch, LIMIT).expect("reads").collect::<Result<Vec<_>, _>>().expect("reads");
            assert_eq!(all(&other), all(&whole), "{from} to {to}");
        }
    }
}
