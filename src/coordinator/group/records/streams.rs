//! The records of streams groups (KIP-1071), byte for byte as Kafka writes them. As with consumer groups, a group is many keys.
//!
//! ```text
//! key    i16 kind, group string, then:   17  StreamsGroupMetadata                    the group's epoch
//!                                        19  StreamsGroupMemberMetadata              member string
//!                                        20  StreamsGroupTargetAssignmentMetadata    the target's epoch
//!                                        21  StreamsGroupTargetAssignmentMember      member string
//!                                        22  StreamsGroupCurrentMemberAssignment     member string
//!                                        23  StreamsGroupTopology
//! value  i16 version 0, then compact fields (KIP-482):
//!   17   epoch i32 | metadata hash i64 | tag 0: validated topology epoch i32 | tag 1: configs [](key string, value string)
//!   19   instance string? | rack string? | client id string | host string | rebalance timeout i32 | topology epoch i32 | process string
//!        | endpoint?: i8 1 or −1, host string, port u16 | tags [](key string, value string)
//!   20   epoch i32 | tag 0: time i64
//!   21   active tasks, standby tasks, warm-up tasks: each [](subtopology string, partitions []i32)
//!   22   epoch i32 | previous epoch i32 | state i8 | as 21 assigned | as 21 pending revocation; tag 0 of active tasks: epochs []i32
//!   23   see [`topology`]
//! ```
//! Source: group-coordinator/src/main/resources/common/message/StreamsGroup*.json.

mod topology;

pub use topology::{CopartitionGroup, Subtopology, TopicInfo, Topology};

use super::consumer::{self, MemberState, TargetEpochValue};
use super::fields::{self, read, read_with_epochs, value, write_with_epochs};
use crate::coordinator::MalformedRecord;
use crate::coordinator::wire::{Reader, Writer};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

const EPOCH: i16 = 17;
const MEMBER: i16 = 19;
const TARGET_EPOCH: i16 = 20;
const TARGET: i16 = 21;
const CURRENT: i16 = 22;
const TOPOLOGY: i16 = 23;

/// The kinds of keys in this file.
pub const KINDS: [i16; 6] = [EPOCH, MEMBER, TARGET_EPOCH, TARGET, CURRENT, TOPOLOGY];

/// "No topology": what [`StreamsEpoch::validated_topology_epoch`] is while topics are missing or wrong.
pub const NOT_VALIDATED: i32 = -1;

/// One change of a group; `None` is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamsRecord {
    Epoch(Option<StreamsEpoch>),
    Member { id: String, value: Option<StreamsMetadata> },
    TargetEpoch(Option<TargetEpochValue>),
    Target { id: String, value: Option<Tasks> },
    Current { id: String, value: Option<CurrentTasks> },
    Topology(Option<Topology>),
}

/// How often what assignments depend on has changed, and what it was at that epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamsEpoch {
    pub epoch: i32,
    /// What the topology's topics looked like; 0: not known.
    pub metadata_hash: i64,
    /// The epoch of the topology whose topics were all there, and right; [`NOT_VALIDATED`]: they were not.
    pub validated_topology_epoch: i32,
    /// The settings that the assignor looks at, by Kafka's names.
    pub configs: BTreeMap<String, String>,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamsMetadata {
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub topology_epoch: i32,
    /// The process that it is a thread of: tasks of one process share state directories.
    pub process_id: String,
    /// Where its process answers interactive queries.
    pub endpoint: Option<Endpoint>,
    pub tags: BTreeMap<String, String>,
}

impl Default for StreamsMetadata {
    /// A member that has not said anything yet (StreamsGroupMember.Builder.withDefaults).
    fn default() -> StreamsMetadata {
        StreamsMetadata {
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout_ms: -1,
            topology_epoch: -1,
            process_id: String::new(),
            endpoint: None,
            tags: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

/// Partitions by subtopology; a subtopology without any does not appear.
pub type TaskSet = BTreeMap<String, BTreeSet<i32>>;
/// The same, each with the member epoch at which it was assigned.
pub type TasksWithEpochs = BTreeMap<String, BTreeMap<i32, i32>>;

/// Tasks by what is done with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tasks {
    pub active: TaskSet,
    pub standby: TaskSet,
    pub warmup: TaskSet,
}

/// The same, with epochs for the active ones, whose commits have to be told from those of their former owners.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnedTasks {
    pub active: TasksWithEpochs,
    pub standby: TaskSet,
    pub warmup: TaskSet,
}

/// What a member owns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CurrentTasks {
    /// 0: has just joined.
    pub epoch: i32,
    /// A member whose last answer was lost comes with this one.
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: OwnedTasks,
    /// No longer assigned, and not given up yet.
    pub revoking: OwnedTasks,
}

impl OwnedTasks {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.active.is_empty() && self.standby.is_empty() && self.warmup.is_empty()
    }

    /// Without the epochs.
    #[must_use]
    pub fn tasks(&self) -> Tasks {
        let active = self.active.iter().map(|(id, partitions)| (id.clone(), partitions.keys().copied().collect())).collect();
        Tasks { active, standby: self.standby.clone(), warmup: self.warmup.clone() }
    }
}

impl StreamsRecord {
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        match self {
            StreamsRecord::Epoch(value) => value.is_none(),
            StreamsRecord::Member { value, .. } => value.is_none(),
            StreamsRecord::TargetEpoch(value) => value.is_none(),
            StreamsRecord::Target { value, .. } => value.is_none(),
            StreamsRecord::Current { value, .. } => value.is_none(),
            StreamsRecord::Topology(value) => value.is_none(),
        }
    }

    /// Key and value, of the group `group`.
    #[must_use]
    pub fn encode(&self, group: &str) -> (Vec<u8>, Option<Vec<u8>>) {
        let key = |kind, member: Option<&str>| fields::key(kind, group, member);
        match self {
            StreamsRecord::Epoch(value) => (key(EPOCH, None), value.as_ref().map(encode_epoch)),
            StreamsRecord::Member { id, value } => (key(MEMBER, Some(id)), value.as_ref().map(encode_member)),
            StreamsRecord::TargetEpoch(value) => (key(TARGET_EPOCH, None), value.as_ref().map(consumer::encode_target_epoch)),
            StreamsRecord::Target { id, value } => (key(TARGET, Some(id)), value.as_ref().map(encode_target)),
            StreamsRecord::Current { id, value } => (key(CURRENT, Some(id)), value.as_ref().map(encode_current)),
            StreamsRecord::Topology(value) => (key(TOPOLOGY, None), value.as_ref().map(Topology::encode)),
        }
    }

    /// The group, and what changes in it. `key` stands behind the kind, which is one of [`KINDS`].
    ///
    /// # Errors
    /// [`MalformedRecord`].
    pub fn decode(kind: i16, key: &mut Reader, value: Option<&Bytes>) -> Result<(String, StreamsRecord), MalformedRecord> {
        let group = key.string()?;
        let record = match kind {
            EPOCH => StreamsRecord::Epoch(read(value, decode_epoch)?),
            TARGET_EPOCH => StreamsRecord::TargetEpoch(read(value, consumer::decode_target_epoch)?),
            MEMBER => StreamsRecord::Member { id: key.string()?, value: read(value, decode_member)? },
            TARGET => StreamsRecord::Target { id: key.string()?, value: read(value, decode_target)? },
            CURRENT => StreamsRecord::Current { id: key.string()?, value: read(value, decode_current)? },
            TOPOLOGY => StreamsRecord::Topology(read(value, Topology::decode)?),
            other => return Err(MalformedRecord(format!("kind {other} is not of a streams group"))),
        };
        Ok((group, record))
    }
}

fn encode_epoch(epoch: &StreamsEpoch) -> Vec<u8> {
    let mut out = value();
    out.i32(epoch.epoch);
    out.i64(epoch.metadata_hash);
    let validated = epoch.validated_topology_epoch.to_be_bytes();
    let mut configs = Writer::headless();
    write_pairs(&mut configs, epoch.configs.iter());
    let configs = configs.into_bytes();
    let mut tagged: Vec<(u32, &[u8])> = Vec::new();
    // Kafka leaves defaults out.
    if epoch.validated_topology_epoch != NOT_VALIDATED {
        tagged.push((0, &validated));
    }
    if !epoch.configs.is_empty() {
        tagged.push((1, &configs));
    }
    out.tagged(&tagged);
    out.into_bytes()
}

fn decode_epoch(fields: &mut Reader) -> Result<StreamsEpoch, MalformedRecord> {
    let (epoch, metadata_hash) = (fields.i32()?, fields.i64()?);
    let mut value = StreamsEpoch { epoch, metadata_hash, validated_topology_epoch: NOT_VALIDATED, configs: BTreeMap::new() };
    for (tag, field) in fields.tagged()? {
        match tag {
            0 => value.validated_topology_epoch = Reader::headless(field).i32()?,
            1 => value.configs = read_pairs(&mut Reader::headless(field))?.into_iter().collect(),
            _ => {}
        }
    }
    Ok(value)
}

fn encode_member(member: &StreamsMetadata) -> Vec<u8> {
    let mut out = value();
    out.nullable_string(member.instance_id.as_deref());
    out.nullable_string(member.rack_id.as_deref());
    out.string(&member.client_id);
    out.string(&member.client_host);
    out.i32(member.rebalance_timeout_ms);
    out.i32(member.topology_epoch);
    out.string(&member.process_id);
    match &member.endpoint {
        None => out.u8(NULL),
        Some(endpoint) => {
            out.u8(1);
            out.string(&endpoint.host);
            out.raw(&endpoint.port.to_be_bytes());
            out.tagged(&[]);
        }
    }
    write_pairs(&mut out, member.tags.iter());
    out.tagged(&[]);
    out.into_bytes()
}

/// A structure that is not there: −1 (KIP-893).
const NULL: u8 = 0xff;

fn decode_member(fields: &mut Reader) -> Result<StreamsMetadata, MalformedRecord> {
    let mut member = StreamsMetadata {
        instance_id: fields.nullable_string()?,
        rack_id: fields.nullable_string()?,
        client_id: fields.string()?,
        client_host: fields.string()?,
        rebalance_timeout_ms: fields.i32()?,
        topology_epoch: fields.i32()?,
        process_id: fields.string()?,
        endpoint: None,
        tags: BTreeMap::new(),
    };
    if fields.u8()? != NULL {
        let (host, port) = (fields.string()?, fields.i16()?.cast_unsigned());
        fields.tagged()?;
        member.endpoint = Some(Endpoint { host, port });
    }
    member.tags = read_pairs(fields)?.into_iter().collect();
    fields.tagged()?;
    Ok(member)
}

fn encode_target(target: &Tasks) -> Vec<u8> {
    let mut out = value();
    write_tasks(&mut out, &target.active);
    write_tasks(&mut out, &target.standby);
    write_tasks(&mut out, &target.warmup);
    out.tagged(&[]);
    out.into_bytes()
}

fn decode_target(fields: &mut Reader) -> Result<Tasks, MalformedRecord> {
    let target = Tasks { active: read_tasks(fields)?, standby: read_tasks(fields)?, warmup: read_tasks(fields)? };
    fields.tagged()?;
    Ok(target)
}

fn encode_current(current: &CurrentTasks) -> Vec<u8> {
    let mut out = value();
    out.i32(current.epoch);
    out.i32(current.previous_epoch);
    out.u8(match current.state {
        MemberState::Stable => 1,
        MemberState::Unrevoked => 2,
        MemberState::Unreleased => 3,
        MemberState::Unknown => 127,
    });
    for tasks in [&current.assigned, &current.revoking] {
        write_tasks_with_epochs(&mut out, &tasks.active);
        write_tasks(&mut out, &tasks.standby);
        write_tasks(&mut out, &tasks.warmup);
    }
    out.tagged(&[]);
    out.into_bytes()
}

fn decode_current(fields: &mut Reader) -> Result<CurrentTasks, MalformedRecord> {
    let (epoch, previous_epoch) = (fields.i32()?, fields.i32()?);
    let state = match fields.u8()? {
        1 => MemberState::Stable,
        2 => MemberState::Unrevoked,
        3 => MemberState::Unreleased,
        _ => MemberState::Unknown,
    };
    let mut owned = || -> Result<OwnedTasks, MalformedRecord> {
        // Where tasks have no epochs of their own, the member's counts for each (TasksTupleWithEpochs).
        let active = read_tasks_with_epochs(fields, epoch)?;
        Ok(OwnedTasks { active, standby: read_tasks(fields)?, warmup: read_tasks(fields)? })
    };
    let (assigned, revoking) = (owned()?, owned()?);
    fields.tagged()?;
    Ok(CurrentTasks { epoch, previous_epoch, state, assigned, revoking })
}

fn write_tasks(out: &mut Writer, tasks: &TaskSet) {
    out.array_length(tasks.len());
    for (subtopology, partitions) in tasks {
        out.string(subtopology);
        out.array_length(partitions.len());
        partitions.iter().for_each(|partition| out.i32(*partition));
        out.tagged(&[]);
    }
}

fn write_tasks_with_epochs(out: &mut Writer, tasks: &TasksWithEpochs) {
    out.array_length(tasks.len());
    for (subtopology, partitions) in tasks {
        out.string(subtopology);
        write_with_epochs(out, partitions);
    }
}

fn read_tasks(fields: &mut Reader) -> Result<TaskSet, MalformedRecord> {
    let tasks = read_tasks_with_epochs(fields, 0)?.into_iter();
    Ok(tasks.map(|(subtopology, partitions)| (subtopology, partitions.into_keys().collect())).collect())
}

fn read_tasks_with_epochs(fields: &mut Reader, default_epoch: i32) -> Result<TasksWithEpochs, MalformedRecord> {
    let mut tasks = TasksWithEpochs::new();
    for _ in 0..fields.array_length()? {
        let subtopology = fields.string()?;
        let partitions = read_with_epochs(fields, default_epoch)?;
        if !partitions.is_empty() {
            tasks.insert(subtopology, partitions);
        }
    }
    Ok(tasks)
}

fn write_pairs<'a>(out: &mut Writer, pairs: impl ExactSizeIterator<Item = (&'a String, &'a String)>) {
    out.array_length(pairs.len());
    for (key, value) in pairs {
        out.string(key);
        out.string(value);
        out.tagged(&[]);
    }
}

fn read_pairs(fields: &mut Reader) -> Result<Vec<(String, String)>, MalformedRecord> {
    let mut pairs = Vec::new();
    for _ in 0..fields.array_length()? {
        pairs.push((fields.string()?, fields.string()?));
        fields.tagged()?;
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests;
