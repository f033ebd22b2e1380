//! The records of `__share_group_state`, byte for byte as Kafka writes them, so that its tools read ours and we read its.
//!
//! ```text
//! key    i16 0 (snapshot) or 1 (update) | group string | topic id uuid | partition i32
//! value  i16 0 | snapshot epoch i32 | snapshot: state epoch i32 | leader epoch i32 | start offset i64
//!        | snapshot: created i64, written i64
//!        | state batches []: first i64, last i64, state i8, delivery count i16 | tagged fields: 0 delivery complete count i32
//! ```
//! Values are compact. A snapshot without a value is a tombstone; an update changes the snapshot before it.
//! Source: share-coordinator/src/main/resources/common/message; ShareCoordinatorRecordHelpers.

use super::ranges::Span;
use crate::coordinator::wire::{Reader, Writer};
use crate::coordinator::{LogRecord, MalformedRecord};
use crate::ids::{Offset, Timestamp, TopicId};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Buf, Bytes};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

const SNAPSHOT: i16 = 0;
const UPDATE: i16 = 1;
const VERSION: i16 = 0;
const COMPLETE_COUNT_TAG: u32 = 0;
const UNKNOWN_COUNT: i32 = -1;
const UUID_BYTES: usize = 16;

/// A partition as one share group reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub group: Arc<str>,
    pub topic: TopicId,
    pub partition: i32,
}

/// As Kafka names it, and hashes it to a partition of the topic (SharePartitionKey.asCoordinatorKey).
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.group, URL_SAFE_NO_PAD.encode(self.topic.0.as_bytes()), self.partition)
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// All that is known of a share-partition; `None`: nothing any more.
    Snapshot { key: Key, value: Option<Snapshot> },
    /// What changed since.
    Update { key: Key, value: Update },
}

/// See [`Record::Snapshot`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub snapshot_epoch: i32,
    pub state_epoch: i32,
    pub leader_epoch: i32,
    /// `None`: nobody has read there yet.
    pub start: Option<Offset>,
    /// How many offsets at or behind the start are settled.
    pub complete_count: Option<i32>,
    pub created: Timestamp,
    pub written: Timestamp,
    pub batches: Vec<StateBatch>,
}

/// See [`Record::Update`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    pub snapshot_epoch: i32,
    pub leader_epoch: i32,
    /// `None`: as before.
    pub start: Option<Offset>,
    pub complete_count: Option<i32>,
    pub batches: Vec<StateBatch>,
}

/// What became of some records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateBatch {
    pub span: Span,
    pub delivery: Delivery,
}

/// What became of a record that was delivered, so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    pub state: State,
    /// How often it was delivered.
    pub count: i16,
}

/// The states that are durable (RecordState).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// To be delivered again.
    Available,
    Acknowledged,
    /// Given up: rejected, delivered too often, aborted, or not there.
    Archived,
}

impl State {
    /// Whether it is never delivered again.
    #[must_use]
    pub fn is_settled(self) -> bool {
        self != State::Available
    }

    fn code(self) -> u8 {
        match self {
            State::Available => 0,
            State::Acknowledged => 2,
            State::Archived => 4,
        }
    }

    fn from_code(code: u8) -> Result<State, MalformedRecord> {
        Ok(match code {
            0 => State::Available,
            2 => State::Acknowledged,
            4 => State::Archived,
            other => return Err(MalformedRecord(format!("delivery state {other}; there are 0, 2 and 4"))),
        })
    }
}

impl LogRecord for Record {
    fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let (kind, key, value) = match self {
            Record::Snapshot { key, value } => (SNAPSHOT, key, value.as_ref().map(Snapshot::encode)),
            Record::Update { key, value } => (UPDATE, key, Some(value.encode())),
        };
        let mut out = Writer::new(kind, false);
        out.string(&key.group);
        out.raw(key.topic.0.as_bytes());
        out.i32(key.partition);
        (out.into_bytes(), value)
    }

    fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<Record>, MalformedRecord> {
        let mut fields = Reader::new(key)?;
        let kind = fields.version();
        if ![SNAPSHOT, UPDATE].contains(&kind) {
            return Ok(None);
        }
        let group = Arc::from(fields.string()?);
        let topic = Uuid::from_slice(&fields.raw(UUID_BYTES)?).map_err(|error| MalformedRecord(error.to_string()))?;
        let key = Key { group, topic: TopicId(topic), partition: fields.i32()? };
        Ok(match (kind, value) {
            (SNAPSHOT, value) => Some(Record::Snapshot { key, value: value.map(Snapshot::decode).transpose()? }),
            (_, Some(value)) => Some(Record::Update { key, value: Update::decode(value)? }),
            // Nobody writes that.
            (_, None) => None,
        })
    }
}

impl Snapshot {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(VERSION, true);
        out.i32(self.snapshot_epoch);
        out.i32(self.state_epoch);
        out.i32(self.leader_epoch);
        put_start(&mut out, self.start);
        out.i64(self.created.0);
        out.i64(self.written.0);
        put_batches(&mut out, &self.batches);
        put_count(&mut out, self.complete_count);
        out.into_bytes()
    }

    fn decode(value: &Bytes) -> Result<Snapshot, MalformedRecord> {
        let mut fields = opened(value)?;
        let (snapshot_epoch, state_epoch, leader_epoch) = (fields.i32()?, fields.i32()?, fields.i32()?);
        let start = read_start(&mut fields)?;
        let (created, written) = (Timestamp(fields.i64()?), Timestamp(fields.i64()?));
        let batches = read_batches(&mut fields)?;
        let complete_count = read_count(&mut fields)?;
        Ok(Snapshot { snapshot_epoch, state_epoch, leader_epoch, start, complete_count, created, written, batches })
    }
}

impl Update {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(VERSION, true);
        out.i32(self.snapshot_epoch);
        out.i32(self.leader_epoch);
        put_start(&mut out, self.start);
        put_batches(&mut out, &self.batches);
        put_count(&mut out, self.complete_count);
        out.into_bytes()
    }

    fn decode(value: &Bytes) -> Result<Update, MalformedRecord> {
        let mut fields = opened(value)?;
        let (snapshot_epoch, leader_epoch) = (fields.i32()?, fields.i32()?);
        let start = read_start(&mut fields)?;
        let batches = read_batches(&mut fields)?;
        let complete_count = read_count(&mut fields)?;
        Ok(Update { snapshot_epoch, leader_epoch, start, complete_count, batches })
    }
}

fn opened(value: &Bytes) -> Result<Reader, MalformedRecord> {
    let mut fields = Reader::new(value)?;
    if fields.version() != VERSION {
        return Err(MalformedRecord(format!("a share-partition's state of version {}; there is 0", fields.version())));
    }
    fields.set_flexible(true);
    Ok(fields)
}

fn put_start(out: &mut Writer, start: Option<Offset>) {
    out.i64(start.map_or(-1, |start| start.0));
}

fn read_start(fields: &mut Reader) -> Result<Option<Offset>, MalformedRecord> {
    Ok(Some(Offset(fields.i64()?)).filter(|start| start.0 >= 0))
}

fn put_batches(out: &mut Writer, batches: &[StateBatch]) {
    out.array_length(batches.len());
    for StateBatch { span, delivery } in batches {
        out.i64(span.first.0);
        out.i64(span.last.0);
        out.u8(delivery.state.code());
        out.i16(delivery.count);
        out.tagged(&[]);
    }
}

fn read_batches(fields: &mut Reader) -> Result<Vec<StateBatch>, MalformedRecord> {
    let mut batches = Vec::new();
    for _ in 0..fields.array_length()? {
        let span = Span::new(Offset(fields.i64()?), Offset(fields.i64()?));
        let delivery = Delivery { state: State::from_code(fields.u8()?)?, count: fields.i16()? };
        fields.tagged()?;
        batches.push(StateBatch { span, delivery });
    }
    Ok(batches)
}

fn put_count(out: &mut Writer, count: Option<i32>) {
    let bytes = count.map(i32::to_be_bytes);
    let fields: Vec<(u32, &[u8])> = bytes.iter().map(|bytes| (COMPLETE_COUNT_TAG, bytes.as_slice())).collect();
    out.tagged(&fields);
}

fn read_count(fields: &mut Reader) -> Result<Option<i32>, MalformedRecord> {
    let mut count = None;
    for (tag, mut field) in fields.tagged()? {
        if tag == COMPLETE_COUNT_TAG {
            count = Some(field.try_get_i32().map_err(|_| MalformedRecord("the count is cut short".to_owned()))?);
        }
    }
    Ok(count.filter(|count| *count != UNKNOWN_COUNT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key { group: "g".into(), topic: TopicId(Uuid::from_u128(7)), partition: 3 }
    }

    fn batches() -> Vec<StateBatch> {
        let batch = |first, last, state, count| StateBatch {
            span: Span::new(Offset(first), Offset(last)),
            delivery: Delivery { state, count },
        };
        vec![batch(5, 6, State::Available, 2), batch(7, 7, State::Acknowledged, 1), batch(8, 20, State::Archived, 5)]
    }

    fn records() -> Vec<Record> {
        let update = |start, complete_count, batches| Record::Update {
            key: key(),
            value: Update { snapshot_epoch: 1, leader_epoch: 0, start, complete_count, batches },
        };
        let snapshot = Snapshot {
            snapshot_epoch: 2,
            state_epoch: 1,
            leader_epoch: 0,
            start: Some(Offset(5)),
            complete_count: Some(14),
            created: Timestamp(10),
            written: Timestamp(20),
            batches: batches(),
        };
        let fresh = Snapshot { start: None, complete_count: None, batches: Vec::new(), ..snapshot.clone() };
        let of = |value| Record::Snapshot { key: key(), value };
        vec![
            of(None),
            of(Some(fresh)),
            of(Some(snapshot)),
            update(None, None, Vec::new()),
            update(Some(Offset(5)), Some(14), batches()),
        ]
    }

    fn encoded(record: &Record) -> (Bytes, Option<Bytes>) {
        let (key, value) = record.encode();
        (Bytes::from(key), value.map(Bytes::from))
    }

    #[test]
    fn every_cut_is_an_error() {
        for record in records() {
            let (key, value) = encoded(&record);
            for end in 0..key.len() {
                assert!(Record::decode(&key.slice(..end), value.as_ref()).is_err(), "{record:?}: key cut at {end}");
            }
            for end in 0..value.as_ref().map_or(0, Bytes::len) {
                let cut = value.as_ref().map(|value| value.slice(..end));
                assert!(Record::decode(&key, cut.as_ref()).is_err(), "{record:?}: value cut at {end}");
            }
        }
    }

    #[test]
    fn states_that_nobody_writes_are_refused() {
        let (key, value) = encoded(&records()[2]);
        let mut value = value.expect("a value").to_vec();
        // Version, three epochs, three times eight bytes, the count of batches, and the first batch's offsets.
        value[2 + 12 + 24 + 1 + 16] = 1;
        assert!(Record::decode(&key, Some(&Bytes::from(value))).is_err());
    }

    #[test]
    fn records_survive_their_bytes() {
        for record in records() {
            let (key, value) = encoded(&record);
            assert_eq!(Record::decode(&key, value.as_ref()), Ok(Some(record)));
        }
    }

    #[test]
    fn an_update_is_laid_out_as_kafka_does() {
        let value = Update {
            snapshot_epoch: 1,
            leader_epoch: 2,
            start: Some(Offset(3)),
            complete_count: Some(1),
            batches: vec![StateBatch {
                span: Span::new(Offset(4), Offset(4)),
                delivery: Delivery { state: State::Acknowledged, count: 1 },
            }],
        };
        let (key, value) = encoded(&Record::Update { key: key(), value });
        let mut expected = vec![0, 1, 0, 1, b'g'];
        expected.extend(Uuid::from_u128(7).as_bytes());
        expected.extend([0, 0, 0, 3]);
        assert_eq!(key, expected);
        let mut expected = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 2];
        expected.extend([0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 4, 2, 0, 1, 0]);
        expected.extend([1, 0, 4, 0, 0, 0, 1]);
        assert_eq!(value.expect("a value"), expected);
    }

    #[test]
    fn keys_are_named_as_kafka_names_them() {
        let topic = TopicId(Uuid::from_u128(0xfb01_23ff_0000_1111_2222_3333_4444_5557));
        // new Uuid(0xfb0123ff00001111L, 0x2222333344445557L).toString()
        assert_eq!(Key { topic, ..key() }.to_string(), "g:-wEj_wAAEREiIjMzRERVVw:3");
    }
}
