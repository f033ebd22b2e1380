//! The records of share groups (KIP-932), byte for byte as Kafka writes them. As for groups of the consumer protocol, a group is many keys.
//!
//! ```text
//! key    i16 kind, group string, then:  10  ShareGroupMemberMetadata                member string
//!                                       11  ShareGroupMetadata                      the group's epoch
//!                                       12  ShareGroupTargetAssignmentMetadata      the target's epoch
//!                                       13  ShareGroupTargetAssignmentMember        member string
//!                                       14  ShareGroupCurrentMemberAssignment       member string
//!                                       15  ShareGroupStatePartitionMetadata        where the group has state
//! value  i16 version 0, then compact fields (KIP-482):
//!   10   rack string? | client id string | host string | topics []string
//!   11   epoch i32 | metadata hash i64
//!   12   epoch i32 | tag 0: time i64
//!   13   [](topic uuid, partitions []i32)
//!   14   epoch i32 | previous epoch i32 | state i8 (0) | assigned [](topic uuid, partitions []i32)
//!   15   initializing [](topic uuid, name string, partitions []i32) | initialized, the same | deleting [](topic uuid, name string)
//! ```
//! Source: group-coordinator/src/main/resources/common/message/ShareGroup*.json.

use super::consumer::{self, EpochValue, TargetEpochValue};
use super::fields::{self, read, value};
use crate::coordinator::MalformedRecord;
use crate::coordinator::group::messages::Partitions;
use crate::coordinator::wire::{Reader, Writer};
use crate::ids::TopicId;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

const MEMBER: i16 = 10;
const EPOCH: i16 = 11;
const TARGET_EPOCH: i16 = 12;
const TARGET: i16 = 13;
const CURRENT: i16 = 14;
const STATES: i16 = 15;

/// The kinds of keys in this file.
pub const KINDS: [i16; 6] = [MEMBER, EPOCH, TARGET_EPOCH, TARGET, CURRENT, STATES];

/// One change of a group; `None` is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareRecord {
    Epoch(Option<EpochValue>),
    Member { id: String, value: Option<ShareMetadata> },
    TargetEpoch(Option<TargetEpochValue>),
    Target { id: String, value: Option<Partitions> },
    Current { id: String, value: Option<ShareCurrent> },
    States(Option<States>),
}

/// What a member is and wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShareMetadata {
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub topics: BTreeSet<String>,
}

/// What a member reads. Nothing is ever waited for before a partition is given to somebody else, too, so a member has no states.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShareCurrent {
    /// 0: has just joined.
    pub epoch: i32,
    /// A member whose last answer was lost comes with this one.
    pub previous_epoch: i32,
    pub assigned: Partitions,
}

/// In which partitions the group has a position: those that it may assign, and tells administrators of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct States {
    /// Kafka's brokers write here while they wait for another one.
    pub initializing: BTreeMap<TopicId, Named>,
    pub initialized: BTreeMap<TopicId, Named>,
    /// Topics whose positions are being deleted, with their names.
    pub deleting: BTreeMap<TopicId, String>,
}

/// Partitions of one topic, and what it was called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    pub partitions: BTreeSet<i32>,
}

impl ShareRecord {
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        match self {
            ShareRecord::Epoch(value) => value.is_none(),
            ShareRecord::Member { value, .. } => value.is_none(),
            ShareRecord::TargetEpoch(value) => value.is_none(),
            ShareRecord::Target { value, .. } => value.is_none(),
            ShareRecord::Current { value, .. } => value.is_none(),
            ShareRecord::States(value) => value.is_none(),
        }
    }

    /// Key and value, of the group `group`.
    #[must_use]
    pub fn encode(&self, group: &str) -> (Vec<u8>, Option<Vec<u8>>) {
        let key = |kind, member| fields::key(kind, group, member);
        match self {
            ShareRecord::Epoch(value) => (key(EPOCH, None), value.as_ref().map(encode_epoch)),
            ShareRecord::Member { id, value } => (key(MEMBER, Some(id)), value.as_ref().map(encode_member)),
            ShareRecord::TargetEpoch(value) => (key(TARGET_EPOCH, None), value.as_ref().map(consumer::encode_target_epoch)),
            ShareRecord::Target { id, value } => (key(TARGET, Some(id)), value.as_ref().map(consumer::encode_target)),
            ShareRecord::Current { id, value } => (key(CURRENT, Some(id)), value.as_ref().map(encode_current)),
            ShareRecord::States(value) => (key(STATES, None), value.as_ref().map(encode_states)),
        }
    }

    /// The group, and what changes in it. `key` stands behind the kind, which is one of [`KINDS`].
    ///
    /// # Errors
    /// [`MalformedRecord`].
    pub fn decode(kind: i16, key: &mut Reader, value: Option<&Bytes>) -> Result<(String, ShareRecord), MalformedRecord> {
        let group = key.string()?;
        let record = match kind {
            EPOCH => ShareRecord::Epoch(read(value, decode_epoch)?),
            MEMBER => ShareRecord::Member { id: key.string()?, value: read(value, decode_member)? },
            TARGET_EPOCH => ShareRecord::TargetEpoch(read(value, consumer::decode_target_epoch)?),
            TARGET => ShareRecord::Target { id: key.string()?, value: read(value, consumer::decode_target)? },
            CURRENT => ShareRecord::Current { id: key.string()?, value: read(value, decode_current)? },
            STATES => ShareRecord::States(read(value, decode_states)?),
            other => return Err(MalformedRecord(format!("kind {other} is not of a share group"))),
        };
        Ok((group, record))
    }
}

fn encode_epoch(epoch: &EpochValue) -> Vec<u8> {
    let mut out = value();
    out.i32(epoch.epoch);
    out.i64(epoch.metadata_hash);
    out.tagged(&[]);
    out.into_bytes()
}

fn decode_epoch(fields: &mut Reader) -> Result<EpochValue, MalformedRecord> {
    let epoch = EpochValue { epoch: fields.i32()?, metadata_hash: fields.i64()? };
    fields.tagged()?;
    Ok(epoch)
}

fn encode_member(member: &ShareMetadata) -> Vec<u8> {
    let mut out = value();
    out.nullable_string(member.rack_id.as_deref());
    out.string(&member.client_id);
    out.string(&member.client_host);
    consumer::write_strings(&mut out, &member.topics);
    out.tagged(&[]);
    out.into_bytes()
}

fn decode_member(fields: &mut Reader) -> Result<ShareMetadata, MalformedRecord> {
    let member = ShareMetadata {
        rack_id: fields.nullable_string()?,
        client_id: fields.string()?,
        client_host: fields.string()?,
        topics: consumer::read_strings(fields)?,
    };
    fields.tagged()?;
    Ok(member)
}

fn encode_current(current: &ShareCurrent) -> Vec<u8> {
    let mut out = value();
    out.i32(current.epoch);
    out.i32(current.previous_epoch);
    // MemberState.STABLE: the only one that members of share groups have.
    out.u8(0);
    consumer::write_partitions(&mut out, &current.assigned);
    out.tagged(&[]);
    out.into_bytes()
}

fn decode_current(fields: &mut Reader) -> Result<ShareCurrent, MalformedRecord> {
    let (epoch, previous_epoch, _state) = (fields.i32()?, fields.i32()?, fields.u8()?);
    let assigned = consumer::read_partitions(fields)?;
    fields.tagged()?;
    Ok(ShareCurrent { epoch, previous_epoch, assigned })
}

fn encode_states(states: &States) -> Vec<u8> {
    let mut out = value();
    write_named(&mut out, &states.initializing);
    write_named(&mut out, &states.initialized);
    out.array_length(states.deleting.len());
    for (topic, name) in &states.deleting {
        out.raw(topic.0.as_bytes());
        out.string(name);
        out.tagged(&[]);
    }
    out.tagged(&[]);
    out.into_bytes()
}

fn decode_states(fields: &mut Reader) -> Result<States, MalformedRecord> {
    let (initializing, initialized) = (read_named(fields)?, read_named(fields)?);
    let mut deleting = BTreeMap::new();
    for _ in 0..fields.array_length()? {
        let topic = consumer::read_topic_id(fields)?;
        deleting.insert(topic, fields.string()?);
        fields.tagged()?;
    }
    fields.tagged()?;
    Ok(States { initializing, initialized, deleting })
}

fn write_named(out: &mut Writer, topics: &BTreeMap<TopicId, Named>) {
    out.array_length(topics.len());
    for (topic, Named { name, partitions }) in topics {
        out.raw(topic.0.as_bytes());
        out.string(name);
        out.array_length(partitions.len());
        partitions.iter().for_each(|partition| out.i32(*partition));
        out.tagged(&[]);
    }
}

fn read_named(fields: &mut Reader) -> Result<BTreeMap<TopicId, Named>, MalformedRecord> {
    let mut topics = BTreeMap::new();
    for _ in 0..fields.array_length()? {
        let topic = consumer::read_topic_id(fields)?;
        let (name, partitions) = (fields.string()?, fields::read_numbers(fields)?.into_iter().collect());
        topics.insert(topic, Named { name, partitions });
        fields.tagged()?;
    }
    Ok(topics)
}
