//! What consumers of the classic protocol tell each other through the group: their subscription and their assignment, of which the
//! server needs to know when a group changes its protocol (KIP-848's migration) and for the expiry of offsets.
//!
//! ```text
//! i16 version, then (not flexible; newer versions only append)
//!   subscription   topics []string | user data bytes? | 1+: owned [](topic string, partitions []i32) | 2+: generation i32 | 3+: rack string?
//!   assignment     [](topic string, partitions []i32) | user data bytes?
//! ```
//! Source: ConsumerProtocolSubscription.json, ConsumerProtocolAssignment.json.

use super::messages::Partitions;
use crate::catalog::Snapshot;
use crate::coordinator::MalformedRecord;
use crate::coordinator::wire::{Reader, Writer};
use crate::ids::TopicId;
use bytes::Bytes;
use std::collections::BTreeSet;

/// What a consumer wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription {
    pub topics: BTreeSet<String>,
    /// By topic name; may name topics that no longer exist.
    pub owned: Vec<(String, Vec<i32>)>,
    pub rack_id: Option<String>,
}

/// What a consumer was given, by topic name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    pub partitions: Vec<(String, Vec<i32>)>,
    /// Whether an assignor of the client keeps something of its own in it.
    pub has_user_data: bool,
}

impl Subscription {
    /// # Errors
    /// [`MalformedRecord`] when these bytes are not a subscription.
    pub fn read(metadata: &Bytes) -> Result<Subscription, MalformedRecord> {
        let mut fields = Reader::new(metadata)?;
        let mut subscription = Subscription { topics: read_topics(&mut fields)?, ..Subscription::default() };
        fields.bytes()?;
        if fields.version() >= 1 {
            subscription.owned = read_partitions(&mut fields)?;
        }
        if fields.version() >= 2 {
            fields.i32()?;
        }
        if fields.version() >= 3 {
            subscription.rack_id = fields.nullable_string()?;
        }
        Ok(subscription)
    }

    /// Only its topics: all versions begin with them, so this reads what nothing else can.
    ///
    /// # Errors
    /// As [`Subscription::read`].
    pub fn topics(metadata: &Bytes) -> Result<BTreeSet<String>, MalformedRecord> {
        read_topics(&mut Reader::new(metadata)?)
    }
}

impl Assignment {
    /// # Errors
    /// [`MalformedRecord`] when these bytes are not an assignment. None at all are an empty one.
    pub fn read(assignment: &Bytes) -> Result<Assignment, MalformedRecord> {
        if assignment.is_empty() {
            return Ok(Assignment::default());
        }
        let mut fields = Reader::new(assignment)?;
        let partitions = read_partitions(&mut fields)?;
        Ok(Assignment { partitions, has_user_data: !fields.bytes()?.is_empty() })
    }
}

/// `partitions` as the assignment of a member whose `subscription` is of some version: its client reads that version back.
#[must_use]
pub fn assignment(partitions: impl Iterator<Item = (TopicId, Vec<i32>)>, subscription: &Bytes, catalog: &Snapshot) -> Bytes {
    let version = Reader::new(subscription).map_or(0, |fields| fields.version().clamp(0, 3));
    let named: Vec<_> = partitions.filter_map(|(id, partitions)| Some((catalog.topic_by_id(id)?, partitions))).collect();
    let mut out = Writer::new(version, false);
    out.array_length(named.len());
    for (topic, partitions) in named {
        out.string(&topic.name);
        out.array_length(partitions.len());
        partitions.iter().for_each(|partition| out.i32(*partition));
    }
    out.i32(-1);
    out.into_bytes().into()
}

/// Named partitions of topics that exist.
#[must_use]
pub fn by_id(partitions: &[(String, Vec<i32>)], catalog: &Snapshot) -> Partitions {
    let mut known = Partitions::new();
    for (name, partitions) in partitions {
        if let Some(topic) = catalog.topic(name) {
            known.entry(topic.id).or_default().extend(partitions);
        }
    }
    known
}

fn read_topics(fields: &mut Reader) -> Result<BTreeSet<String>, MalformedRecord> {
    (0..fields.array_length()?).map(|_| fields.string()).collect()
}

fn read_partitions(fields: &mut Reader) -> Result<Vec<(String, Vec<i32>)>, MalformedRecord> {
    let mut topics = Vec::new();
    for _ in 0..fields.array_length()? {
        let topic = fields.string()?;
        let mut partitions = Vec::new();
        for _ in 0..fields.array_length()? {
            partitions.push(fields.i32()?);
        }
        topics.push((topic, partitions));
    }
    Ok(topics)
}
