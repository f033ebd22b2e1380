//! End-transaction markers: the control records that commit or abort a producer's records in one partition (KIP-98).
//!
//! ```text
//! key: version i16 (0) | type i16 (0 abort, 1 commit)      value: version i16 (0) | coordinator epoch i32
//! ```

use super::builder::BatchBuilder;
use super::header::BatchHeader;
use super::{RecordError, iterate};
use crate::ids::{ProducerEpoch, ProducerId, Timestamp};
use bytes::{Buf, Bytes, TryGetError};

/// Control batches hold one record of a few bytes and are never compressed by a broker; this bounds one that is.
const CONTROL_BYTES_MAX: usize = 64 * 1024;
const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    Abort,
    Commit,
}

/// The one record of a marker batch; the producer is in the batch's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTransaction {
    pub marker: Marker,
    pub coordinator_epoch: i32,
}

impl EndTransaction {
    /// The marker batch for `producer`, without a sequence, base offset 0.
    #[must_use]
    pub fn batch(self, now: Timestamp, producer: ProducerId, epoch: ProducerEpoch) -> Bytes {
        let kind = match self.marker {
            Marker::Abort => ABORT,
            Marker::Commit => COMMIT,
        };
        let mut key = 0_i16.to_be_bytes().to_vec();
        key.extend_from_slice(&kind.to_be_bytes());
        let mut value = 0_i16.to_be_bytes().to_vec();
        value.extend_from_slice(&self.coordinator_epoch.to_be_bytes());
        BatchBuilder::new(now).producer(producer, epoch, -1).transactional().control().record(Some(&key), Some(&value)).build()
    }

    /// Reads a batch as a marker; `None` for batches of data and for control records of other types, which readers skip.
    ///
    /// Answers [`RecordError::BadRecord`] for a marker without its fields, and the errors of [`iterate::records`].
    pub fn read(batch: &Bytes) -> Result<Option<EndTransaction>, RecordError> {
        if !BatchHeader::parse(batch)?.attributes.is_control() {
            return Ok(None);
        }
        let Some(record) = iterate::records(batch, CONTROL_BYTES_MAX)?.next().transpose()? else {
            return Ok(None);
        };
        let marker = match control_type(record.key.as_deref().unwrap_or_default()) {
            Ok(ABORT) => Marker::Abort,
            Ok(COMMIT) => Marker::Commit,
            Ok(_) => return Ok(None),
            Err(_) => return Err(RecordError::BadRecord("the key of a control record is cut short".into())),
        };
        let coordinator_epoch = coordinator_epoch(record.value.as_deref().unwrap_or_default())
            .map_err(|_| RecordError::BadRecord("the value of a transaction marker is cut short".into()))?;
        Ok(Some(EndTransaction { marker, coordinator_epoch }))
    }
}

// Later versions only add fields behind these, so the versions are read over (ControlRecordType.parse).
fn control_type(mut key: &[u8]) -> Result<i16, TryGetError> {
    let _version = key.try_get_i16()?;
    key.try_get_i16()
}

fn coordinator_epoch(mut value: &[u8]) -> Result<i32, TryGetError> {
    let _version = value.try_get_i16()?;
    value.try_get_i32()
}
