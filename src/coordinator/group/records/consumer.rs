//! The records of groups of the consumer protocol (KIP-848), byte for byte as Kafka writes them. A group is many keys, so that a
//! heartbeat that changes one member writes one small record.
//!
//! ```text
//! key    i16 kind, group string, then:   3  ConsumerGroupMetadata                    the group's epoch
//!                                        4  ConsumerGroupPartitionMetadata           of Kafka 4.0 and older: ignored
//!                                        5  ConsumerGroupMemberMetadata              member string
//!                                        6  ConsumerGroupTargetAssignmentMetadata    the target's epoch
//!                                        7  ConsumerGroupTargetAssignmentMember      member string
//!                                        8  ConsumerGroupCurrentMemberAssignment     member string
//!                                       16  ConsumerGroupRegularExpression           expression string
//! value  i16 version 0, then compact fields (KIP-482):
//!   3    epoch i32 | tag 0: metadata hash i64
//!   5    instance string? | rack string? | client id string | host string | topics []string | regex string? | rebalance timeout i32
//!        | assignor string? | tag 0: classic member?: varint 1, session timeout i32, protocols [](name string, metadata bytes)
//!   6    epoch i32 | tag 0: time i64
//!   7    [](topic uuid, partitions []i32)
//!   8    epoch i32 | previous epoch i32 | state i8 | assigned [] | pending revocation [](topic uuid, partitions []i32, tag 0: epochs []i32)
//!   16   topics []string | version i64 | time i64
//! ```
//! A field that is null by default in our structs, but not in Kafka's, is written as an explicit null, as Kafka does (tag 0 of 5).
//! Source: group-coordinator/src/main/resources/common/message/ConsumerGroup*.json.

use super::fields::{self, read, read_numbers, read_with_epochs, tag_number, tagged_number, value, write_with_epochs};
use crate::coordinator::MalformedRecord;
use crate::coordinator::group::messages::{Partitions, Protocol};
use crate::coordinator::wire::{Reader, Writer};
use crate::ids::{Timestamp, TopicId};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const EPOCH: i16 = 3;
const MEMBER: i16 = 5;
const TARGET_EPOCH: i16 = 6;
const TARGET: i16 = 7;
const CURRENT: i16 = 8;
const REGEX: i16 = 16;

/// The kinds of keys in this file that we read.
pub const KINDS: [i16; 6] = [EPOCH, MEMBER, TARGET_EPOCH, TARGET, CURRENT, REGEX];

/// One change of a group; `None` is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerRecord {
    Epoch(Option<EpochValue>),
    Member { id: String, value: Option<MemberMetadata> },
    TargetEpoch(Option<TargetEpochValue>),
    Target { id: String, value: Option<Partitions> },
    Current { id: String, value: Option<Current> },
    Regex { regex: String, value: Option<ResolvedRegex> },
}

/// How often the group's members, their subscriptions, or the topics behind these have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochValue {
    pub epoch: i32,
    /// What the subscribed topics looked like at that epoch; 0: not known.
    pub metadata_hash: i64,
}

/// The group's epoch that the target assignment was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetEpochValue {
    pub epoch: i32,
    /// When it was made; 0: not known.
    pub time: Timestamp,
}

/// What a member is and wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberMetadata {
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub topics: BTreeSet<String>,
    pub regex: Option<String>,
    pub rebalance_timeout_ms: i32,
    pub assignor: Option<String>,
    /// Only members that speak the classic protocol (KIP-848's migration).
    pub classic: Option<ClassicMetadata>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassicMetadata {
    pub session_timeout_ms: i32,
    /// By preference.
    pub protocols: Vec<Protocol>,
}

/// Partitions by topic, each with the member epoch at which it was assigned.
pub type Owned = BTreeMap<TopicId, BTreeMap<i32, i32>>;

/// Where a member is on its way to its target assignment (MemberState).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemberState {
    #[default]
    Stable,
    /// It was told to give partitions up, and has not said that it did.
    Unrevoked,
    /// Partitions of its target are still somebody else's.
    Unreleased,
    /// Written by a version that has more states than we know.
    Unknown,
}

/// What a member owns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Current {
    /// 0: has just joined. −2: a static member that left for a while.
    pub epoch: i32,
    /// A member whose last answer was lost comes with this one.
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: Owned,
    /// No longer assigned, and not given up yet.
    pub revoking: Owned,
}

/// The topics that a regular expression matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvedRegex {
    pub topics: BTreeSet<String>,
    /// Of the catalog's snapshot; counts from the process's start.
    pub version: i64,
    pub time: Timestamp,
}

impl ConsumerRecord {
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        match self {
            ConsumerRecord::Epoch(value) => value.is_none(),
            ConsumerRecord::Member { value, .. } => value.is_none(),
            ConsumerRecord::TargetEpoch(value) => value.is_none(),
            ConsumerRecord::Target { value, .. } => value.is_none(),
            ConsumerRecord::Current { value, .. } => value.is_none(),
            ConsumerRecord::Regex { value, .. } => value.is_none(),
        }
    }

    /// Key and value, of the group `group`.
    #[must_use]
    pub fn encode(&self, group: &str) -> (Vec<u8>, Option<Vec<u8>>) {
        let key = |kind, rest: Option<&str>| fields::key(kind, group, rest);
        match self {
            ConsumerRecord::Epoch(value) => (key(EPOCH, None), value.as_ref().map(encode_epoch)),
            ConsumerRecord::Member { id, value } => (key(MEMBER, Some(id)), value.as_ref().map(encode_member)),
            ConsumerRecord::TargetEpoch(value) => (key(TARGET_EPOCH, None), value.as_ref().map(encode_target_epoch)),
            ConsumerRecord::Target { id, value } => (key(TARGET, Some(id)), value.as_ref().map(encode_target)),
            ConsumerRecord::Current { id, value } => (key(CURRENT, Some(id)), value.as_ref().map(encode_current)),
            ConsumerRecord::Regex { regex, value } => (key(REGEX, Some(regex)), value.as_ref().map(encode_regex)),
        }
    }

    /// The group, and what changes in it. `key` stands behind the kind, which is one of [`KINDS`].
    ///
    /// # Errors
    /// [`MalformedRecord`].
    pub fn decode(kind: i16, key: &mut Reader, value: Option<&Bytes>) -> Result<(String, ConsumerRecord), MalformedRecord> {
        let group = key.string()?;
        let record = match kind {
            EPOCH => ConsumerRecord::Epoch(read(value, decode_epoch)?),
            TARGET_EPOCH => ConsumerRecord::TargetEpoch(read(value, decode_target_epoch)?),
            MEMBER => ConsumerRecord::Member { id: key.string()?, value: read(value, decode_member)? },
            TARGET => ConsumerRecord::Target { id: key.string()?, value: read(value, decode_target)? },
            CURRENT => ConsumerRecord::Current { id: key.string()?, value: read(value, decode_current)? },
            REGEX => ConsumerRecord::Regex { regex: key.string()?, value: read(value, decode_regex)? },
            other => return Err(MalformedRecord(format!("kind {other} is not of a consumer group"))),
        };
        Ok((group, record))
    }
}

fn encode_epoch(epoch: &EpochValue) -> Vec<u8> {
    let mut out = value();
    out.i32(epoch.epoch);
    tag_number(&mut out, epoch.metadata_hash);
    out.into_bytes()
}

fn decode_epoch(fields: &mut Reader) -> Result<EpochValue, MalformedRecord> {
    Ok(EpochValue { epoch: fields.i32()?, metadata_hash: tagged_number(fields)? })
}

pub(super) fn encode_target_epoch(target: &TargetEpochValue) -> Vec<u8> {
    let mut out = value();
    out.i32(target.epoch);
    tag_number(&mut out, target.time.0);
    out.into_bytes()
}

pub(super) fn decode_target_epoch(fields: &mut Reader) -> Result<TargetEpochValue, MalformedRecord> {
    Ok(TargetEpochValue { epoch: fields.i32()?, time: Timestamp(tagged_number(fields)?) })
}

fn encode_member(member: &MemberMetadata) -> Vec<u8> {
    let mut out = value();
    out.nullable_string(member.instance_id.as_deref());
    out.nullable_string(member.rack_id.as_deref());
    out.string(&member.client_id);
    out.string(&member.client_host);
    write_strings(&mut out, &member.topics);
    out.nullable_string(member.regex.as_deref());
    out.i32(member.rebalance_timeout_ms);
    out.nullable_string(member.assignor.as_deref());
    out.tagged(&[(0, encode_classic(member.classic.as_ref()).as_slice())]);
    out.into_bytes()
}

/// A nullable structure: 0, or 1 and its fields.
fn encode_classic(classic: Option<&ClassicMetadata>) -> Vec<u8> {
    let Some(classic) = classic else { return vec![0] };
    let mut out = Writer::headless();
    out.u8(1);
    out.i32(classic.session_timeout_ms);
    out.array_length(classic.protocols.len());
    for protocol in &classic.protocols {
        out.string(&protocol.name);
        out.bytes(&protocol.metadata);
        out.tagged(&[]);
    }
    out.tagged(&[]);
    out.into_bytes()
}

fn decode_member(fields: &mut Reader) -> Result<MemberMetadata, MalformedRecord> {
    let mut member = MemberMetadata {
        instance_id: fields.nullable_string()?,
        rack_id: fields.nullable_string()?,
        client_id: fields.string()?,
        client_host: fields.string()?,
        topics: read_strings(fields)?,
        regex: fields.nullable_string()?,
        rebalance_timeout_ms: fields.i32()?,
        assignor: fields.nullable_string()?,
        classic: None,
    };
    for (tag, field) in fields.tagged()? {
        if tag == 0 {
            member.classic = decode_classic(field)?;
        }
    }
    Ok(member)
}

fn decode_classic(field: Bytes) -> Result<Option<ClassicMetadata>, MalformedRecord> {
    let mut fields = Reader::headless(field);
    if fields.u8()? == 0 {
        return Ok(None);
    }
    let session_timeout_ms = fields.i32()?;
    let mut protocols = Vec::new();
    for _ in 0..fields.array_length()? {
        protocols.push(Protocol { name: fields.string()?, metadata: fields.bytes()? });
        fields.tagged()?;
    }
    Ok(Some(ClassicMetadata { session_timeout_ms, protocols }))
}

pub(super) fn encode_target(target: &Partitions) -> Vec<u8> {
    let mut out = value();
    write_partitions(&mut out, target);
    out.tagged(&[]);
    out.into_bytes()
}

pub(super) fn write_partitions(out: &mut Writer, topics: &Partitions) {
    out.array_length(topics.len());
    for (topic, partitions) in topics {
        out.raw(topic.0.as_bytes());
        out.array_length(partitions.len());
        partitions.iter().for_each(|partition| out.i32(*partition));
        out.tagged(&[]);
    }
}

pub(super) fn decode_target(fields: &mut Reader) -> Result<Partitions, MalformedRecord> {
    let target = read_partitions(fields)?;
    fields.tagged()?;
    Ok(target)
}

pub(super) fn read_partitions(fields: &mut Reader) -> Result<Partitions, MalformedRecord> {
    let mut topics = Partitions::new();
    for _ in 0..fields.array_length()? {
        let topic = read_topic_id(fields)?;
        topics.insert(topic, read_numbers(fields)?.into_iter().collect());
        fields.tagged()?;
    }
    Ok(topics)
}

fn encode_current(current: &Current) -> Vec<u8> {
    let mut out = value();
    out.i32(current.epoch);
    out.i32(current.previous_epoch);
    out.u8(match current.state {
        MemberState::Stable => 0,
        MemberState::Unrevoked => 1,
        MemberState::Unreleased => 2,
        MemberState::Unknown => 127,
    });
    write_owned(&mut out, &current.assigned);
    write_owned(&mut out, &current.revoking);
    out.tagged(&[]);
    out.into_bytes()
}

fn decode_current(fields: &mut Reader) -> Result<Current, MalformedRecord> {
    let (epoch, previous_epoch) = (fields.i32()?, fields.i32()?);
    let state = match fields.u8()? {
        0 => MemberState::Stable,
        1 => MemberState::Unrevoked,
        2 => MemberState::Unreleased,
        _ => MemberState::Unknown,
    };
    // Before Kafka 4.2 (KIP-1251) partitions had no epochs of their own: the member's then counts for each.
    let assigned = read_owned(fields, epoch.max(0))?;
    let revoking = read_owned(fields, epoch.max(0))?;
    fields.tagged()?;
    Ok(Current { epoch, previous_epoch, state, assigned, revoking })
}

fn write_owned(out: &mut Writer, owned: &Owned) {
    out.array_length(owned.len());
    for (topic, partitions) in owned {
        out.raw(topic.0.as_bytes());
        if partitions.is_empty() {
            out.array_length(0);
            out.tagged(&[]);
        } else {
            write_with_epochs(out, partitions);
        }
    }
}

fn read_owned(fields: &mut Reader, default_epoch: i32) -> Result<Owned, MalformedRecord> {
    let mut owned = Owned::new();
    for _ in 0..fields.array_length()? {
        let topic = read_topic_id(fields)?;
        owned.insert(topic, read_with_epochs(fields, default_epoch)?);
    }
    Ok(owned)
}

fn encode_regex(resolved: &ResolvedRegex) -> Vec<u8> {
    let mut out = value();
    write_strings(&mut out, &resolved.topics);
    out.i64(resolved.version);
    out.i64(resolved.time.0);
    out.tagged(&[]);
    out.into_bytes()
}

fn decode_regex(fields: &mut Reader) -> Result<ResolvedRegex, MalformedRecord> {
    let resolved = ResolvedRegex { topics: read_strings(fields)?, version: fields.i64()?, time: Timestamp(fields.i64()?) };
    fields.tagged()?;
    Ok(resolved)
}

pub(super) fn write_strings(out: &mut Writer, strings: &BTreeSet<String>) {
    out.array_length(strings.len());
    strings.iter().for_each(|string| out.string(string));
}

pub(super) fn read_strings(fields: &mut Reader) -> Result<BTreeSet<String>, MalformedRecord> {
    (0..fields.array_length()?).map(|_| fields.string()).collect()
}

pub(super) fn read_topic_id(fields: &mut Reader) -> Result<TopicId, MalformedRecord> {
    let bytes = fields.raw(16)?;
    Uuid::from_slice(&bytes).map(TopicId).map_err(|error| MalformedRecord(format!("topic id: {error}")))
}
