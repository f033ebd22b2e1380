//! Committed offsets of one shard: group → topic → partition. Changed only by applying records.
//!
//! **Expiry** (KIP-211): `offsets.retention.minutes` count from the moment when a group became empty; for groups that were never
//! rebalanced (partitions assigned by hand) from each commit; for topics that a stable consumer group no longer subscribes to, from the
//! commit as well. An offset that was committed with its own retention time expires at that time instead.

use super::records::Committed;
use crate::ids::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// Topic → partition → offset.
pub type GroupOffsets = BTreeMap<String, BTreeMap<i32, Committed>>;

/// The offsets of all groups of a shard; groups and topics without any do not appear.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Offsets {
    groups: HashMap<String, GroupOffsets>,
}

impl Offsets {
    /// Takes over one record: an offset, or a tombstone.
    pub fn apply(&mut self, group: String, topic: String, partition: i32, value: Option<Committed>) {
        match value {
            Some(value) => {
                self.groups.entry(group).or_default().entry(topic).or_default().insert(partition, value);
            }
            None => self.remove(&group, &topic, partition),
        }
    }

    fn remove(&mut self, group: &str, topic: &str, partition: i32) {
        let Some(topics) = self.groups.get_mut(group) else { return };
        if let Some(partitions) = topics.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                topics.remove(topic);
            }
        }
        if topics.is_empty() {
            self.groups.remove(group);
        }
    }

    /// What `group` has committed.
    #[must_use]
    pub fn of_group(&self, group: &str) -> Option<&GroupOffsets> {
        self.groups.get(group)
    }

    /// Every group that has committed something.
    pub fn groups(&self) -> impl Iterator<Item = (&String, &GroupOffsets)> {
        self.groups.iter()
    }
}

/// From when an offset's retention counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionStart {
    At(Timestamp),
    Commit,
}

impl Committed {
    /// Whether the offset is past its retention (OffsetExpirationConditionImpl.isOffsetExpired).
    #[must_use]
    pub fn is_expired(&self, start: RetentionStart, retention_ms: i64, now: Timestamp) -> bool {
        if let Some(at) = self.expire_time {
            return now >= at;
        }
        let start = match start {
            RetentionStart::At(at) => at,
            RetentionStart::Commit => self.commit_time,
        };
        now.ms_since(start) >= retention_ms
    }
}
