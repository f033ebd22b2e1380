//! Produce to a topic whose `compression.type` names a codec: batches that come with another one are compressed anew (LogValidator).

use super::Context;
use crate::config::topic::Codec;
use crate::log::{AppendError, DECOMPRESSED_BYTES_MAX, Partition};
use crate::records::Compression;
use crate::records::recompress::recompress;
use bytes::Bytes;

/// The batch as the topic keeps it. What is wrong with the producer's own batch is said first.
///
/// # Errors
/// [`AppendError`].
pub(super) async fn recompressed(
    context: &Context,
    partition: &Partition,
    codec: &Codec,
    records: Bytes,
) -> Result<Bytes, AppendError> {
    let checked = partition.check(&records)?;
    let sent = checked.header().attributes.compression().map_err(AppendError::Corrupt)?;
    let Some(wanted) = Compression::named(&codec.name).filter(|wanted| *wanted != sent) else { return Ok(records) };
    let (level, max_timestamp) = (codec.level, checked.header().max_timestamp);
    let work = move || recompress(&records, DECOMPRESSED_BYTES_MAX, wanted, level, max_timestamp);
    context.broker.opening(sent, "recompress", work).await.map_err(AppendError::Corrupt)
}
