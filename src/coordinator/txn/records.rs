//! The records of `__transaction_state`, byte for byte as Kafka writes them, so that its tools read ours and we read its.
//!
//! ```text
//! key    i16 0 | transactional id string
//! value  i16 version | producer id i64 | producer epoch i16 | timeout i32 | status i8
//!        | partitions []: topic string | indexes [] i32 | (1: tagged fields)
//!        | last update i64 | start i64 | (1: tagged fields: 0 previous producer id i64, 1 next producer id i64, 2 client's version i16)
//! ```
//! Strings and arrays are compact in version 1, which we write; we read both. A null value is a tombstone.
//! Source: transaction-coordinator/src/main/resources/common/message; TransactionLog.

use crate::coordinator::wire::{Reader, Writer};
use crate::coordinator::{LogRecord, MalformedRecord, ProducerIdAndEpoch};
use crate::ids::{ProducerEpoch, ProducerId, Timestamp};
use crate::records::control::Marker;
use bytes::{Buf, Bytes};
use std::collections::{BTreeMap, BTreeSet};

const KEY_VERSION: i16 = 0;
/// The first version with compact strings and tagged fields.
const FLEXIBLE: i16 = 1;
const PREVIOUS_PRODUCER_TAG: u32 = 0;
const NEXT_PRODUCER_TAG: u32 = 1;
const CLIENT_VERSION_TAG: u32 = 2;
const NONE: i64 = -1;

/// One record: what a transactional id is from now on; `None`: nothing any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub id: String,
    pub value: Option<Transaction>,
}

/// Partitions by topic.
pub type Partitions = BTreeMap<String, BTreeSet<i32>>;

/// A transactional id, and its newest transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub producer: ProducerIdAndEpoch,
    /// The id that it had before its epochs were used up.
    pub previous_producer: Option<ProducerId>,
    /// The id that it gets when the transaction has ended, because its epochs are used up (KIP-890).
    pub next_producer: Option<ProducerId>,
    /// Which protocol the client spoke last.
    pub protocol: Protocol,
    pub timeout_ms: i32,
    pub status: Status,
    /// What the open or ending transaction has written to, or may have.
    pub partitions: Partitions,
    pub last_update: Timestamp,
    /// When the transaction began; `None` while there was none.
    pub start: Option<Timestamp>,
}

/// The protocol of transactions that a client speaks (`transaction.version`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// KIP-98: partitions are announced, and the epoch stays over many transactions.
    V1,
    /// KIP-890: partitions are added by what is written, and each end raises the epoch.
    V2,
}

/// Where a transactional id stands (TransactionState).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Empty,
    Ongoing,
    /// The end is decided; markers are being written.
    Prepare(Marker),
    Complete(Marker),
}

impl Status {
    /// Kafka's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::Empty => "Empty",
            Status::Ongoing => "Ongoing",
            Status::Prepare(Marker::Commit) => "PrepareCommit",
            Status::Prepare(Marker::Abort) => "PrepareAbort",
            Status::Complete(Marker::Commit) => "CompleteCommit",
            Status::Complete(Marker::Abort) => "CompleteAbort",
        }
    }

    fn code(self) -> u8 {
        match self {
            Status::Empty => 0,
            Status::Ongoing => 1,
            Status::Prepare(Marker::Commit) => 2,
            Status::Prepare(Marker::Abort) => 3,
            Status::Complete(Marker::Commit) => 4,
            Status::Complete(Marker::Abort) => 5,
        }
    }

    fn from_code(code: u8) -> Option<Status> {
        Some(match code {
            0 => Status::Empty,
            1 => Status::Ongoing,
            2 => Status::Prepare(Marker::Commit),
            3 => Status::Prepare(Marker::Abort),
            4 => Status::Complete(Marker::Commit),
            5 => Status::Complete(Marker::Abort),
            _ => return None,
        })
    }
}

impl LogRecord for Record {
    fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut key = Writer::new(KEY_VERSION, false);
        key.string(&self.id);
        (key.into_bytes(), self.value.as_ref().map(Transaction::encode))
    }

    fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<Record>, MalformedRecord> {
        let mut fields = Reader::new(key)?;
        if fields.version() != KEY_VERSION {
            return Ok(None);
        }
        let id = fields.string()?;
        match value.map(Transaction::decode).transpose()? {
            // Dead and PrepareEpochFence are never written.
            Some(None) => Ok(None),
            Some(value) => Ok(Some(Record { id, value })),
            None => Ok(Some(Record { id, value: None })),
        }
    }
}

impl Transaction {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(FLEXIBLE, true);
        out.i64(self.producer.id.0);
        out.i16(self.producer.epoch.0);
        out.i32(self.timeout_ms);
        out.u8(self.status.code());
        out.array_length(self.partitions.len());
        for (topic, indexes) in &self.partitions {
            out.string(topic);
            out.array_length(indexes.len());
            indexes.iter().for_each(|index| out.i32(*index));
            out.tagged(&[]);
        }
        out.i64(self.last_update.0);
        out.i64(self.start.map_or(NONE, |start| start.0));
        let previous = self.previous_producer.map(|id| id.0.to_be_bytes());
        let next = self.next_producer.map(|id| id.0.to_be_bytes());
        let version = (self.protocol == Protocol::V2).then(|| 2_i16.to_be_bytes());
        let mut tagged: Vec<(u32, &[u8])> = Vec::new();
        tagged.extend(previous.as_ref().map(|id| (PREVIOUS_PRODUCER_TAG, id.as_slice())));
        tagged.extend(next.as_ref().map(|id| (NEXT_PRODUCER_TAG, id.as_slice())));
        tagged.extend(version.as_ref().map(|version| (CLIENT_VERSION_TAG, version.as_slice())));
        out.tagged(&tagged);
        out.into_bytes()
    }

    fn decode(value: &Bytes) -> Result<Option<Transaction>, MalformedRecord> {
        let mut fields = Reader::new(value)?;
        let version = fields.version();
        if !(0..=FLEXIBLE).contains(&version) {
            return Err(MalformedRecord(format!("TransactionLogValue of version {version}; 0 and 1 exist")));
        }
        fields.set_flexible(version >= FLEXIBLE);
        let producer = ProducerIdAndEpoch { id: ProducerId(fields.i64()?), epoch: ProducerEpoch(fields.i16()?) };
        let timeout_ms = fields.i32()?;
        let Some(status) = Status::from_code(fields.u8()?) else { return Ok(None) };
        let mut partitions = Partitions::new();
        for _ in 0..fields.array_length()? {
            let topic = fields.string()?;
            let indexes: &mut BTreeSet<i32> = partitions.entry(topic).or_default();
            for _ in 0..fields.array_length()? {
                indexes.insert(fields.i32()?);
            }
            fields.tagged()?;
        }
        let last_update = Timestamp(fields.i64()?);
        let start = Some(Timestamp(fields.i64()?)).filter(|start| start.0 != NONE);
        let (mut previous_producer, mut next_producer, mut protocol) = (None, None, Protocol::V1);
        for (tag, mut field) in fields.tagged()? {
            let cut = |_| MalformedRecord(format!("tagged field {tag} is cut short"));
            match tag {
                PREVIOUS_PRODUCER_TAG => previous_producer = Some(field.try_get_i64().map_err(cut)?),
                NEXT_PRODUCER_TAG => next_producer = Some(field.try_get_i64().map_err(cut)?),
                CLIENT_VERSION_TAG if field.try_get_i16().map_err(cut)? >= 2 => protocol = Protocol::V2,
                _ => {}
            }
        }
        let real = |id: Option<i64>| id.filter(|id| *id != NONE).map(ProducerId);
        Ok(Some(Transaction {
            producer,
            previous_producer: real(previous_producer),
            next_producer: real(next_producer),
            protocol,
            timeout_ms,
            status,
            partitions,
            last_update,
            start,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction() -> Transaction {
        Transaction {
            producer: ProducerIdAndEpoch { id: ProducerId(7), epoch: ProducerEpoch(3) },
            previous_producer: None,
            next_producer: None,
            protocol: Protocol::V1,
            timeout_ms: 60_000,
            status: Status::Empty,
            partitions: Partitions::new(),
            last_update: Timestamp(1_700_000_000_000),
            start: None,
        }
    }

    fn reread(value: Option<Transaction>) -> Option<Record> {
        let (key, value) = Record { id: "id".to_owned(), value }.encode();
        Record::decode(&Bytes::from(key), value.map(Bytes::from).as_ref()).expect("well formed")
    }

    #[test]
    fn records_survive_their_bytes() {
        let partitions = Partitions::from([("a".to_owned(), BTreeSet::from([0, 3])), ("b".to_owned(), BTreeSet::from([1]))]);
        let full = Transaction {
            previous_producer: Some(ProducerId(1)),
            next_producer: Some(ProducerId(9)),
            protocol: Protocol::V2,
            status: Status::Prepare(Marker::Abort),
            partitions,
            start: Some(Timestamp(5)),
            ..transaction()
        };
        for value in [None, Some(transaction()), Some(full)] {
            assert_eq!(reread(value.clone()), Some(Record { id: "id".to_owned(), value }));
        }
    }

    #[test]
    fn version_0_of_older_kafkas_is_read() {
        // TransactionLogValue 0: not compact, no tagged fields; partitions may be null.
        let mut value = Writer::new(0, false);
        value.i64(7);
        value.i16(3);
        value.i32(60_000);
        value.u8(0);
        value.i32(-1);
        value.i64(1_700_000_000_000);
        value.i64(-1);
        let mut key = Writer::new(0, false);
        key.string("id");
        let record = Record::decode(&Bytes::from(key.into_bytes()), Some(&Bytes::from(value.into_bytes())));
        assert_eq!(record, Ok(Some(Record { id: "id".to_owned(), value: Some(transaction()) })));
    }

    #[test]
    fn every_cut_is_an_error_or_nothing() {
        let (key, value) = Record { id: "id".to_owned(), value: Some(transaction()) }.encode();
        let (key, value) = (Bytes::from(key), Bytes::from(value.expect("a value")));
        for end in 0..value.len() {
            assert!(Record::decode(&key, Some(&value.slice(..end))).is_err(), "cut at {end}");
        }
    }
}
