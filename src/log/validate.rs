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
use crate::records::iterate::{Summary, validate_records};
use crate::records::{BatchHeader, Compression, RecordError};
use bytes::Bytes;

/// The records that made a batch unacceptable, by their index in the batch; a client drops these and may send the rest (KIP-467).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRecords {
    pub message: String,
    pub records: Vec<(i32, String)>,
}

/// The largest output of decompressing one batch; a larger one is refused rather than trusted (trap 37). As large as the largest request.
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
        return Err(AppendError::InvalidTimestamp("producers should not set the timestamp type to LogAppendTime".to_owned()));
    }
    check_producer(&header)?;
    let is_believable = header.max_timestamp >= header.base_timestamp;
    let mut bounds = [header.base_timestamp, header.max_timestamp];
    let summary = if settings.cleanup.compact || compression == Compression::None {
        Some(check_records(&header, batch, settings.cleanup.compact)?)
    } else if !is_believable {
        dated(&header, batch)?
    } else {
        None
    };
    if let Some(summary) = summary {
        bounds = [summary.min_timestamp, summary.max_timestamp];
        header.max_timestamp = summary.max_timestamp;
    }
    if settings.timestamp_type == TimestampType::CreateTime {
        check_timestamps(bounds, settings, now)?;
    }
    Ok(header)
}

/// Exactly one whole batch: Produce 3 and later carry one per partition (ProduceRequest.validateRecords).
fn whole_batch(batch: &Bytes) -> Result<BatchHeader, AppendError> {
    let header = BatchHeader::parse(batch).map_err(AppendError::Corrupt)?;
    if header.batch_bytes != batch.len() {
        return Err(AppendError::Invalid("produce requests must carry exactly one record batch per partition".to_owned()));
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

/// `bounds`: the smallest and the largest timestamp of the records; of records that were not read, the first one's and what the header says.
fn check_timestamps(bounds: [Timestamp; 2], settings: &TopicSettings, now: Timestamp) -> Result<(), AppendError> {
    for timestamp in bounds {
        if timestamp == Timestamp::NONE {
            continue;
        }
        let too_old = now.ms_since(timestamp) > settings.timestamp_before_max_ms;
        let too_new = timestamp.ms_since(now) > settings.timestamp_after_max_ms;
        if too_old || too_new {
            return Err(AppendError::InvalidTimestamp(format!(
                "timestamp {timestamp} is out of range: the timestamp should be within [{}, {}]",
                now.plus_ms(settings.timestamp_before_max_ms.saturating_neg()),
                now.plus_ms(settings.timestamp_after_max_ms)
            )));
        }
    }
    Ok(())
}

/// What the timestamps of a compressed batch are; `None` where it takes too long to see.
fn dated(header: &BatchHeader, batch: &Bytes) -> Result<Option<Summary>, AppendError> {
    match validate_records(header, batch, DATED_BYTES_MAX, false) {
        Ok(summary) => Ok(Some(summary)),
        Err(RecordError::TooLarge { .. }) => Ok(None),
        Err(error) => Err(AppendError::Corrupt(error)),
    }
}

fn check_records(header: &BatchHeader, batch: &Bytes, requires_key: bool) -> Result<Summary, AppendError> {
    let summary = validate_records(header, batch, DECOMPRESSED_BYTES_MAX, requires_key).map_err(AppendError::Corrupt)?;
    if summary.keyless.is_empty() {
        return Ok(summary);
    }
    let reason = "Compacted topic cannot accept message without key.";
    Err(AppendError::InvalidRecords(InvalidRecords {
        message: "One or more records have been rejected due to missing keys on a compacted topic.".to_owned(),
        records: summary.keyless.into_iter().map(|index| (index, reason.to_owned())).collect(),
    }))
}
