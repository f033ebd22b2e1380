//! The records of `__consumer_offsets`, byte for byte as Kafka writes them, so that its tools read ours and we read its.
//!
//! ```text
//! key    i16 kind, then:  0, 1 OffsetCommitKey     group string | topic string | partition i32
//!                         2    GroupMetadataKey    group string
//! value  i16 version, then:
//!   OffsetCommitValue   offset i64 | leader epoch i32 (3+) | metadata string | commit time i64 | expire time i64 (only 1)
//!                       | tagged fields (4): 0 topic id uuid
//!   GroupMetadataValue  protocol type string | generation i32 | protocol string? | leader string? | state since i64 (2+) | members []
//!     member            id string | instance id string? (3+) | client id string | client host string | rebalance timeout i32 (1+)
//!                       | session timeout i32 | subscription bytes | assignment bytes
//! ```
//! string: i16 length (−1: null) and UTF-8; bytes and []: i32 length. From version 4 all three are compact (unsigned varint of
//! length + 1; 0: null), and structs end with tagged fields. A null value is a tombstone.
//!
//! We write OffsetCommitValue 4 (with the topic id, so that a re-created topic does not inherit offsets), 1 for a commit with its own
//! retention time, else 3; and GroupMetadataValue 3. We read every version. The kinds of the consumer protocol stand in [`consumer`],
//! those of share groups in [`share`], those of streams groups in [`streams`]; others are ignored.
//! Source: group-coordinator/src/main/resources/common/message; GroupCoordinatorRecordHelpers.

pub mod consumer;
mod fields;
pub mod share;
pub mod streams;

use crate::coordinator::wire::{Reader, Writer};
use crate::coordinator::{Envelope, LogRecord, MalformedRecord, ProducerIdAndEpoch};
use crate::ids::{Timestamp, TopicId};
use crate::records::control::EndTransaction;
use bytes::Bytes;
use consumer::ConsumerRecord;
use share::ShareRecord;
use streams::StreamsRecord;
use uuid::Uuid;

const OFFSET_COMMIT_KEYS: [i16; 2] = [0, 1];
const GROUP_METADATA_KEY: i16 = 2;
/// The first version with compact strings and tagged fields.
const FLEXIBLE: i16 = 4;
const TOPIC_ID_TAG: u32 = 0;

/// One record; `value: None` is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    Offset {
        group: String,
        topic: String,
        partition: i32,
        value: Option<Committed>,
    },
    Group {
        group: String,
        value: Option<GroupValue>,
    },
    /// A group of the consumer protocol.
    Consumer {
        group: String,
        change: ConsumerRecord,
    },
    /// A streams group.
    Streams {
        group: String,
        change: StreamsRecord,
    },
    /// A share group.
    Share {
        group: String,
        change: ShareRecord,
    },
    /// An offset that counts when the producer's transaction commits. Its bytes are those of [`Record::Offset`], in a transactional batch.
    PendingOffset {
        producer: ProducerIdAndEpoch,
        group: String,
        topic: String,
        partition: i32,
        value: Committed,
    },
    /// The marker that ends a producer's transaction.
    Marker {
        producer: ProducerIdAndEpoch,
        end: EndTransaction,
    },
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub offset: i64,
    pub leader_epoch: Option<i32>,
    pub metadata: String,
    pub commit_time: Timestamp,
    /// Only from clients that send a retention time (OffsetCommit 2 to 4).
    pub expire_time: Option<Timestamp>,
    /// The topic that was committed for; `None` in records of older Kafkas.
    pub topic_id: Option<TopicId>,
}

/// A classic group, as it was when it last became stable or empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupValue {
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// When the group entered the state it is in; `None` in records of older Kafkas.
    pub state_since: Option<Timestamp>,
    pub members: Vec<MemberValue>,
}

/// One member of a [`GroupValue`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberValue {
    pub id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// The metadata that the member sent for the group's protocol.
    pub subscription: Bytes,
    pub assignment: Bytes,
}

impl LogRecord for Record {
    fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        match self {
            Record::Offset { group, topic, partition, value } => {
                (offset_key(group, topic, *partition), value.as_ref().map(encode_committed))
            }
            Record::PendingOffset { group, topic, partition, value, .. } => {
                (offset_key(group, topic, *partition), Some(encode_committed(value)))
            }
            Record::Marker { .. } => (Vec::new(), None),
            Record::Group { group, value } => {
                let mut key = Writer::new(GROUP_METADATA_KEY, false);
                key.string(group);
                (key.into_bytes(), value.as_ref().map(encode_group))
            }
            Record::Consumer { group, change } => change.encode(group),
            Record::Streams { group, change } => change.encode(group),
            Record::Share { group, change } => change.encode(group),
        }
    }

    fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<Record>, MalformedRecord> {
        let mut fields = Reader::new(key)?;
        match fields.version() {
            kind if OFFSET_COMMIT_KEYS.contains(&kind) => {
                let (group, topic, partition) = (fields.string()?, fields.string()?, fields.i32()?);
                let value = value.map(decode_committed).transpose()?;
                Ok(Some(Record::Offset { group, topic, partition, value }))
            }
            GROUP_METADATA_KEY => {
                let group = fields.string()?;
                let value = value.map(decode_group).transpose()?;
                Ok(Some(Record::Group { group, value }))
            }
            kind if consumer::KINDS.contains(&kind) => {
                let (group, change) = ConsumerRecord::decode(kind, &mut fields, value)?;
                Ok(Some(Record::Consumer { group, change }))
            }
            kind if streams::KINDS.contains(&kind) => {
                let (group, change) = StreamsRecord::decode(kind, &mut fields, value)?;
                Ok(Some(Record::Streams { group, change }))
            }
            kind if share::KINDS.contains(&kind) => {
                let (group, change) = ShareRecord::decode(kind, &mut fields, value)?;
                Ok(Some(Record::Share { group, change }))
            }
            _ => Ok(None),
        }
    }

    fn envelope(&self) -> Envelope {
        match self {
            Record::PendingOffset { producer, .. } => Envelope::Transactional(*producer),
            Record::Marker { producer, end } => Envelope::Marker(*producer, *end),
            Record::Offset { .. }
            | Record::Group { .. }
            | Record::Consumer { .. }
            | Record::Share { .. }
            | Record::Streams { .. } => Envelope::Plain,
        }
    }

    fn in_transaction(self, producer: ProducerIdAndEpoch) -> Option<Record> {
        match self {
            Record::Offset { group, topic, partition, value: Some(value) } => {
                Some(Record::PendingOffset { producer, group, topic, partition, value })
            }
            _ => None,
        }
    }

    fn marker(producer: ProducerIdAndEpoch, end: EndTransaction) -> Option<Record> {
        Some(Record::Marker { producer, end })
    }
}

fn offset_key(group: &str, topic: &str, partition: i32) -> Vec<u8> {
    let mut key = Writer::new(OFFSET_COMMIT_KEYS[1], false);
    key.string(group);
    key.string(topic);
    key.i32(partition);
    key.into_bytes()
}

fn encode_committed(value: &Committed) -> Vec<u8> {
    // Only version 1 has room for an expire time, and only version 4 for a topic id; the first keeps what the client asked for.
    let version = match (value.expire_time, value.topic_id) {
        (Some(_), _) => 1,
        (None, Some(_)) => FLEXIBLE,
        (None, None) => 3,
    };
    let mut out = Writer::new(version, version >= FLEXIBLE);
    out.i64(value.offset);
    if version >= 3 {
        out.i32(value.leader_epoch.unwrap_or(-1));
    }
    out.string(&value.metadata);
    out.i64(value.commit_time.0);
    match (value.expire_time, value.topic_id) {
        (Some(at), _) => out.i64(at.0),
        (None, Some(TopicId(id))) => out.tagged(&[(TOPIC_ID_TAG, id.as_bytes().as_slice())]),
        (None, None) => {}
    }
    out.into_bytes()
}

fn decode_committed(value: &Bytes) -> Result<Committed, MalformedRecord> {
    let mut fields = Reader::new(value)?;
    let version = fields.version();
    if !(0..=4).contains(&version) {
        return Err(MalformedRecord(format!("OffsetCommitValue of version {version}; 0 to 4 exist")));
    }
    fields.set_flexible(version >= FLEXIBLE);
    let offset = fields.i64()?;
    let leader_epoch = if version >= 3 { Some(fields.i32()?).filter(|epoch| *epoch >= 0) } else { None };
    let metadata = fields.string()?;
    let commit_time = Timestamp(fields.i64()?);
    let expire_time = if version == 1 { Some(fields.i64()?).filter(|at| *at >= 0).map(Timestamp) } else { None };
    let mut topic_id = None;
    for (tag, field) in fields.tagged()? {
        if tag == TOPIC_ID_TAG {
            let id = Uuid::from_slice(&field).map_err(|error| MalformedRecord(format!("topic id: {error}")))?;
            topic_id = Some(TopicId(id)).filter(|id| !id.0.is_nil());
        }
    }
    Ok(Committed { offset, leader_epoch, metadata, commit_time, expire_time, topic_id })
}

fn encode_group(value: &GroupValue) -> Vec<u8> {
    let mut out = Writer::new(3, false);
    out.string(&value.protocol_type);
    out.i32(value.generation);
    out.nullable_string(value.protocol.as_deref());
    out.nullable_string(value.leader.as_deref());
    out.i64(value.state_since.map_or(-1, |at| at.0));
    out.array_length(value.members.len());
    for member in &value.members {
        out.string(&member.id);
        out.nullable_string(member.instance_id.as_deref());
        out.string(&member.client_id);
        out.string(&member.client_host);
        out.i32(member.rebalance_timeout_ms);
        out.i32(member.session_timeout_ms);
        out.bytes(&member.subscription);
        out.bytes(&member.assignment);
    }
    out.into_bytes()
}

fn decode_group(value: &Bytes) -> Result<GroupValue, MalformedRecord> {
    let mut fields = Reader::new(value)?;
    let version = fields.version();
    if !(0..=4).contains(&version) {
        return Err(MalformedRecord(format!("GroupMetadataValue of version {version}; 0 to 4 exist")));
    }
    fields.set_flexible(version >= FLEXIBLE);
    let protocol_type = fields.string()?;
    let generation = fields.i32()?;
    let protocol = fields.nullable_string()?;
    let leader = fields.nullable_string()?;
    let state_since = if version >= 2 { Some(fields.i64()?).filter(|at| *at >= 0).map(Timestamp) } else { None };
    let count = fields.array_length()?;
    let mut members = Vec::new();
    for _ in 0..count {
        members.push(decode_member(&mut fields, version)?);
    }
    fields.tagged()?;
    Ok(GroupValue { protocol_type, generation, protocol, leader, state_since, members })
}

fn decode_member(fields: &mut Reader, version: i16) -> Result<MemberValue, MalformedRecord> {
    let id = fields.string()?;
    let instance_id = if version >= 3 { fields.nullable_string()? } else { None };
    let client_id = fields.string()?;
    let client_host = fields.string()?;
    let rebalance = if version >= 1 { fields.i32()? } else { -1 };
    let session_timeout_ms = fields.i32()?;
    // Groups written before there was a rebalance timeout use the session's (GroupMetadataManager.replay).
    let rebalance_timeout_ms = if rebalance == -1 { session_timeout_ms } else { rebalance };
    let (subscription, assignment) = (fields.bytes()?, fields.bytes()?);
    fields.tagged()?;
    Ok(MemberValue {
        id,
        instance_id,
        client_id,
        client_host,
        rebalance_timeout_ms,
        session_timeout_ms,
        subscription,
        assignment,
    })
}

#[cfg(test)]
mod tests;
