//! Builds one batch (magic 2) from records: for coordinators' own logs, for markers, and for tests.

use super::codec::{self, Compression};
use super::header::{Attributes, HEADER_BYTES, LOG_OVERHEAD, MAGIC, write_crc};
use super::varint::put_varint;
use crate::ids::{ProducerEpoch, ProducerId, Timestamp};
use bytes::Bytes;

/// A batch in the making: base offset 0, leader epoch 0, no producer, CreateTime, uncompressed, unless told otherwise.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    /// The time of records that are given none.
    now: Timestamp,
    attributes: i16,
    compression: Compression,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    /// The first record's timestamp; the others are written as differences from it.
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    count: i32,
    /// The encoded records.
    body: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch whose records get the time `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> BatchBuilder {
        BatchBuilder {
            now,
            attributes: 0,
            compression: Compression::None,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            base_timestamp: now,
            max_timestamp: now,
            count: 0,
            body: Vec::new(),
        }
    }

    /// Adds a record without headers.
    #[must_use]
    pub fn record(self, key: Option<&[u8]>, value: Option<&[u8]>) -> BatchBuilder {
        let now = self.now;
        self.record_at(now, key, value, &[])
    }

    /// Adds a record with its own time and headers. Panics when a field or the record reaches 2 GiB.
    #[must_use]
    pub fn record_at(
        self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> BatchBuilder {
        let headers: Vec<(&[u8], Option<&[u8]>)> = headers.iter().map(|(name, value)| (name.as_bytes(), *value)).collect();
        self.record_with(timestamp, key, value, &headers)
    }

    /// As [`BatchBuilder::record_at`], with names of headers as another record has them.
    #[must_use]
    pub fn record_with(
        mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) -> BatchBuilder {
        if self.count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let mut fields = vec![0]; // Record attributes: none are defined.
        put_varint(&mut fields, timestamp.ms_since(self.base_timestamp));
        put_varint(&mut fields, i64::from(self.count));
        put_nullable(&mut fields, key);
        put_nullable(&mut fields, value);
        put_length(&mut fields, headers.len());
        for (name, value) in headers {
            put_nullable(&mut fields, Some(name));
            put_nullable(&mut fields, *value);
        }
        put_length(&mut self.body, fields.len());
        self.body.extend_from_slice(&fields);
        self.count = self.count.checked_add(1).expect("two billion records do not fit into memory");
        self
    }

    /// The batch comes from an idempotent producer; `sequence` is that of its first record, −1 for markers.
    #[must_use]
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, sequence: i32) -> BatchBuilder {
        self.producer_id = id.0;
        self.producer_epoch = epoch.0;
        self.base_sequence = sequence;
        self
    }

    /// The batch belongs to its producer's open transaction.
    #[must_use]
    pub fn transactional(mut self) -> BatchBuilder {
        self.attributes |= Attributes::TRANSACTIONAL;
        self
    }

    /// The records are control records.
    #[must_use]
    pub fn control(mut self) -> BatchBuilder {
        self.attributes |= Attributes::CONTROL;
        self
    }

    /// The codec for the records, at its default level.
    #[must_use]
    pub fn compression(mut self, codec: Compression) -> BatchBuilder {
        self.compression = codec;
        self
    }

    /// Records so far.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.count).expect("a count only grows from 0")
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch if it were built now, before compression.
    #[must_use]
    pub fn estimated_bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// The finished batch, with its CRC. An empty builder makes a batch of no records, which producers may not send.
    ///
    /// Panics when the batch reaches 2 GiB: callers split long before, by [`BatchBuilder::estimated_bytes`].
    #[must_use]
    pub fn build(self) -> Bytes {
        let payload = match self.compression {
            Compression::None => Bytes::from(self.body),
            codec => codec::compress(codec, &self.body, None).expect("memory takes whatever the codec writes"),
        };
        let batch_bytes = HEADER_BYTES + payload.len();
        let length = i32::try_from(batch_bytes - LOG_OVERHEAD).expect("callers keep a batch below 2 GiB");
        let mut batch = Vec::with_capacity(batch_bytes);
        batch.extend_from_slice(&0_i64.to_be_bytes()); // Base offset.
        batch.extend_from_slice(&length.to_be_bytes());
        batch.extend_from_slice(&0_i32.to_be_bytes()); // Leader epoch.
        batch.extend_from_slice(&MAGIC.to_be_bytes());
        batch.extend_from_slice(&0_u32.to_be_bytes()); // CRC: below, when the rest is there.
        batch.extend_from_slice(&(self.attributes | self.compression.bits()).to_be_bytes());
        batch.extend_from_slice(&self.count.saturating_sub(1).max(0).to_be_bytes());
        batch.extend_from_slice(&self.base_timestamp.0.to_be_bytes());
        batch.extend_from_slice(&self.max_timestamp.0.to_be_bytes());
        batch.extend_from_slice(&self.producer_id.to_be_bytes());
        batch.extend_from_slice(&self.producer_epoch.to_be_bytes());
        batch.extend_from_slice(&self.base_sequence.to_be_bytes());
        batch.extend_from_slice(&self.count.to_be_bytes());
        batch.extend_from_slice(&payload);
        write_crc(&mut batch);
        Bytes::from(batch)
    }
}

fn put_nullable(output: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => put_varint(output, -1),
        Some(bytes) => {
            put_length(output, bytes.len());
            output.extend_from_slice(bytes);
        }
    }
}

fn put_length(output: &mut Vec<u8>, length: usize) {
    let length = i32::try_from(length).expect("callers keep every field below 2 GiB");
    put_varint(output, i64::from(length));
}
