//! Produce to a topic whose `compression.type` names a codec: batches that come with another one are compressed anew (LogValidator).

use super::Context;
use crate::config::topic::Codec;
use crate::log::{AppendError, DECOMPRESSED_BYTES_MAX, Partition};
use crate::records::Compression;
use crate::records::recompress::recompress;
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

/// The batch as the topic keeps it, and its room in memory where it is another one: to be kept until it is in the store's queue. What is wrong with the
/// producer's own batch is said first.
///
/// # Errors
/// [`AppendError`].
pub(super) async fn recompressed(
    context: &Context,
    partition: &Partition,
    codec: &Codec,
    records: Bytes,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), AppendError> {
    let checked = partition.check(&records)?;
    let sent = checked.header().attributes.compression().map_err(AppendError::Corrupt)?;
    let Some(wanted) = Compression::named(&codec.name).filter(|wanted| *wanted != sent) else { return Ok((records, None)) };
    let (level, max_timestamp) = (codec.level, checked.header().max_timestamp);
    let largest = partition.settings().max_message_bytes;
    // What is to stay unpacked need not be unpacked beyond what the topic takes.
    let limit = if wanted == Compression::None { largest.min(DECOMPRESSED_BYTES_MAX) } else { DECOMPRESSED_BYTES_MAX };
    // What came plain hardly grows: snappy may add a sixth.
    let most = if sent == Compression::None { largest.min(records.len() + records.len() / 4 + 1024) } else { largest };
    // Before the leave: who has that waits for nothing.
    let room = context.broker.room_for_recompressed(most).await;
    let work = move || recompress(&records, limit, wanted, level, max_timestamp);
    let batch = context.broker.opening(sent, "recompress", work).await.map_err(AppendError::Corrupt)?;
    if batch.len() > largest {
        return Err(AppendError::TooLarge { bytes: batch.len(), limit: largest });
    }
    Ok((batch, room))
}
