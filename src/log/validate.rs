//! What a batch from a client must be before a partition takes it; pure, no lock. Source: LogValidator, ProduceRequest.validateRecords,
//! UnifiedLog.analyzeAndValidateRecords.
//!
//! Batches stay opaque: they are stored as they came, but for a largest timestamp that is not that of their records. Uncompressed records are
//! walked once, which costs next to nothing and keeps a malformed one from reaching every consumer; compressed ones are decompressed only
//! where a topic's settings ask for something that no header says (keys on compacted topics), or the header's largest timestamp cannot be true.

use super::AppendError;
use crate::config::topic::{TimestampType, TopicSettings};
use crate::ids::Timestamp;
use crate::records::header::{self, verify_crc};
use crate::records::iterate::{Demands, NAMED_MAX, Summary, validate_records};
use crate::records::{BatchHeader, Compression, RecordError};
use bytes::Bytes;

/// The records that made a batch unacceptable, by their index in the batch; a client drops these and may send the rest (KIP-467). None where
/// the batch was judged without reading them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRecords {
    pub message: String,
    pub records: Vec<(i32, String)>,
}

/// The largest output of decompressing one batch; a larger one is refused rather than trusted, as a batch of a few bytes may unpack to gigabytes. As large as the largest request.
pub const DECOMPRESSED_BYTES_MAX: usize = 100 << 20;

/// How much of a batch is unpacked for its timestamps alone, by the thread that serves connections: some milliseconds.
const DATED_BYTES_MAX: usize = 16 << 20;

/// Checks the one batch of a client's produce request for one partition, and answers its header, with the largest timestamp of its records
/// where these were read: some producers write another one (Sarama until 1.45: −1), and retention and look-ups by time go by it.
///
/// # Errors
/// The [`AppendError`] that says why the topic does not take it.
pub fn client_batch(batch: &Bytes, settings: &TopicSettings, now: Timestamp) -> Result<BatchHeader, AppendError> {
    let mut header = whole_batch(batch)?;
    if batch.len() > settings.max_message_bytes {
        return Err(AppendError::TooLarge { bytes: batch.len(), limit: settings.max_message_bytes });
    }
    verify_crc(batch, &header).map_err(AppendError::Corrupt)?;
    // An unknown codec would be stored as bytes that no consumer can read.
    let compression = header.attributes.compression().map_err(AppendError::Corrupt)?;
    if header.attributes.is_control() {
        return Err(AppendError::Invalid("clients are not allowed to write control records".to_owned()));
    }
    if header.attributes.is_transactional() && header.producer().is_none() {
        return Err(AppendError::Invalid("transactional messages are not allowed without a producer id".to_owned()));
    }
    if header.record_count < 1 || header.last_offset_delta != header.record_count - 1 {
        return Err(AppendError::Invalid(format!(
            "the batch says {} records and last offset delta {}",
            header.record_count, header.last_offset_delta
        )));
    }
    if header.attributes.timestamp_type() == header::TimestampType::LogAppendTime {
        return Err(invalid_timestamp("producers should not set the timestamp type to LogAppendTime".to_owned()));
    }
    check_producer(&header)?;
    let is_believable = header.max_timestamp >= header.base_timestamp;
    let demands = demands(settings, now);
    let summary = if settings.cleanup.compact || compression == Compression::None {
        Some(validate_records(&header, batch, DECOMPRESSED_BYTES_MAX, &demands).map_err(AppendError::Corrupt)?)
    } else if !is_believable {
        dated(&header, batch, &demands)?
    } else {
        None
    };
    match summary {
        Some(summary) => {
            header.max_timestamp = summary.max_timestamp;
            check_records(&header, summary, &demands)?;
        }
        None => check_header_timestamps(&header, &demands)?,
    }
    Ok(header)
}

/// Exactly one whole batch: Produce 3 and later carry one per partition (ProduceRequest.validateRecords).
fn whole_batch(batch: &Bytes) -> Result<BatchHeader, AppendError> {
    let header = BatchHeader::parse(batch).map_err(AppendError::Corrupt)?;
    if header.batch_bytes != batch.len() {
        return Err(AppendError::Invalid("produce requests must carry exactly one record batch per partition".to_owned()));
    }
    // UnifiedLog.analyzeAndValidateRecords.
    if header.base_offset.0 != 0 {
        return Err(AppendError::Invalid(format!(
            "the base offset of the record batch should be 0, but it is {}",
            header.base_offset
        )));
    }
    Ok(header)
}

fn check_producer(header: &BatchHeader) -> Result<(), AppendError> {
    let Some(producer) = header.producer() else { return Ok(()) };
    if header.base_sequence < 0 || header.producer_epoch < 0 {
        return Err(AppendError::Invalid(format!(
            "producer id {producer} comes with epoch {} and sequence {}; both must be at least 0",
            header.producer_epoch, header.base_sequence
        )));
    }
    Ok(())
}

/// What the topic demands of each record. One that stamps its records does not look at the producers' timestamps.
fn demands(settings: &TopicSettings, now: Timestamp) -> Demands {
    let timestamps = match settings.timestamp_type {
        TimestampType::CreateTime => {
            [now.plus_ms(settings.timestamp_before_max_ms.saturating_neg()), now.plus_ms(settings.timestamp_after_max_ms)]
        }
        TimestampType::LogAppendTime => Demands::NONE.timestamps,
    };
    Demands { key: settings.cleanup.compact, timestamps }
}

/// Of records that were not read: the first one's timestamp, and what the header says is the largest.
fn check_header_timestamps(header: &BatchHeader, demands: &Demands) -> Result<(), AppendError> {
    let stamps = [header.base_timestamp, header.max_timestamp];
    let Some(timestamp) = stamps.into_iter().find(|timestamp| !demands.allows(*timestamp)) else { return Ok(()) };
    let [earliest, latest] = demands.timestamps;
    let within = format!("the timestamp should be within [{earliest}, {latest}]");
    Err(invalid_timestamp(format!("timestamp {timestamp} is out of range: {within}")))
}

fn invalid_timestamp(message: String) -> AppendError {
    AppendError::InvalidTimestamp(InvalidRecords { message, records: Vec::new() })
}

/// What the timestamps of a compressed batch are; `None` where it takes too long to see.
fn dated(header: &BatchHeader, batch: &Bytes, demands: &Demands) -> Result<Option<Summary>, AppendError> {
    match validate_records(header, batch, DATED_BYTES_MAX, demands) {
        Ok(summary) => Ok(Some(summary)),
        Err(RecordError::TooLarge { .. }) => Ok(None),
        Err(error) => Err(AppendError::Corrupt(error)),
    }
}

/// One timestamp that is not allowed makes it INVALID_TIMESTAMP, whatever else there is. Source: LogValidator.processRecordErrors, whose words
/// those about timestamps are.
fn check_records(header: &BatchHeader, summary: Summary, demands: &Demands) -> Result<(), AppendError> {
    let Summary { keyless, misdated, .. } = summary;
    if keyless.is_empty() && misdated.is_empty() {
        return Ok(());
    }
    let is_misdated = !misdated.is_empty();
    let reason = "Compacted topic cannot accept message without key.";
    let mut records: Vec<(i32, String)> = keyless.into_iter().map(|index| (index, reason.to_owned())).collect();
    let [earliest, latest] = demands.timestamps;
    records.extend(misdated.into_iter().map(|(index, timestamp)| {
        // The offset that the producer gave it.
        let offset = header.base_offset.0.saturating_add(i64::from(index));
        let found = format!("Timestamp {timestamp} of message with offset {offset} is out of range.");
        (index, format!("{found} The timestamp should be within [{earliest}, {latest}]"))
    }));
    records.sort_unstable_by_key(|record| record.0);
    records.truncate(NAMED_MAX);
    if is_misdated {
        let message = "One or more records have been rejected due to invalid timestamp".to_owned();
        return Err(AppendError::InvalidTimestamp(InvalidRecords { message, records }));
    }
    let message = "One or more records have been rejected due to missing keys on a compacted topic.".to_owned();
    Err(AppendError::InvalidRecords(InvalidRecords { message, records }))
}

#[cfg(test)]
mod tests;
