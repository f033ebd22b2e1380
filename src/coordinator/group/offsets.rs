//! Committed offsets of one shard: group → topic → partition. Changed only by applying records.
//!
//! **Transactions** (KIP-98, KIP-447): what a transaction commits is pending until its marker: then it counts. When something newer is
//! committed meanwhile, or the transaction is aborted, it is forgotten. What is newer is decided by the order of the commits' records, not of the markers
//! (OffsetMetadataManager.completeTransaction). Pending offsets never expire.
//!
//! **Expiry** (KIP-211): `offsets.retention.minutes` count from the moment when a group became empty, or from the commit if that came later;
//! for groups that were never rebalanced (partitions assigned by hand) from each commit; for topics that a stable consumer group no longer subscribes to, from the
//! commit as well. Groups of the consumer protocol and of Streams have no record of when they became empty: what is known is forgotten with the shard, and then
//! their offsets' retention counts from the commit, too (in Apache Kafka it always does). An offset that was committed with its own retention time expires at that time instead.

use super::records::{Committed, Record};
use crate::coordinator::ProducerIdAndEpoch;
use crate::ids::{ProducerEpoch, ProducerId, Timestamp};
use crate::records::control::{EndTransaction, Marker};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Included, Unbounded};

/// Topic → partition → offset.
pub type GroupOffsets = BTreeMap<String, BTreeMap<i32, Committed>>;

/// The offsets of all groups of a shard; groups and topics without any do not appear.
#[derive(Debug, Default, Clone)]
pub struct Offsets {
    groups: HashMap<String, GroupOffsets>,
    pending: BTreeMap<ProducerId, PendingOffsets>,
    /// How many transactions have offsets pending for a partition; by group, topic and partition. Derived from `pending`.
    unstable: HashMap<String, BTreeMap<(String, i32), usize>>,
    /// How many offsets were ever staged: gives them their order.
    staged: u64,
}

/// What one producer's open transaction commits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PendingOffsets {
    epoch: ProducerEpoch,
    offsets: BTreeMap<(String, String, i32), Staged>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Staged {
    value: Committed,
    /// Among all staged offsets of the shard.
    order: u64,
}

/// The same offsets count and will count; the numbers that give staged ones their order may differ.
impl PartialEq for Offsets {
    fn eq(&self, other: &Offsets) -> bool {
        self.groups == other.groups && self.pending_records() == other.pending_records()
    }
}

impl Eq for Offsets {}

impl Offsets {
    /// Takes over one record: an offset, or a tombstone. What counts already, time and all, is its copy in a checkpoint, which is not newer than
    /// what is pending.
    pub fn apply(&mut self, group: String, topic: String, partition: i32, value: Option<Committed>) {
        if value.is_some() && self.committed(&group, &topic, partition) == value.as_ref() {
            return;
        }
        if self.is_unstable(&group, &topic, partition) {
            self.overtake(&group, &topic, partition, u64::MAX);
        }
        match value {
            Some(value) => self.insert(group, topic, partition, value),
            None => self.remove(&group, &topic, partition),
        }
    }

    /// Takes over an offset of an open transaction. The same one again, time and all, is its copy in a checkpoint (which a crash may have
    /// cut short), and changes nothing.
    pub fn stage(&mut self, producer: ProducerIdAndEpoch, group: String, topic: String, partition: i32, value: Committed) {
        let new = || PendingOffsets { epoch: producer.epoch, offsets: BTreeMap::new() };
        let pending = self.pending.entry(producer.id).or_insert_with(new);
        pending.epoch = producer.epoch;
        let key = (group.clone(), topic.clone(), partition);
        if pending.offsets.get(&key).is_some_and(|before| before.value == value) {
            return;
        }
        let order = self.staged;
        self.staged += 1;
        if pending.offsets.insert(key, Staged { value, order }).is_none() {
            *self.unstable.entry(group).or_default().entry((topic, partition)).or_default() += 1;
        }
    }

    /// Takes over the marker that ends a producer's transaction.
    pub fn end(&mut self, producer: ProducerId, end: EndTransaction) {
        let Some(pending) = self.pending.remove(&producer) else { return };
        for ((group, topic, partition), staged) in pending.offsets {
            self.unstage(&group, &topic, partition);
            if end.marker == Marker::Commit {
                self.overtake(&group, &topic, partition, staged.order);
                self.insert(group, topic, partition, staged.value);
            }
        }
    }

    /// Whether an open transaction is about to change the partition's offset.
    #[must_use]
    pub fn is_unstable(&self, group: &str, topic: &str, partition: i32) -> bool {
        // Asked for every partition of every fetch: no transaction, no cost.
        !self.unstable.is_empty()
            && self.unstable_of(group).is_some_and(|partitions| partitions.contains_key(&(topic.to_owned(), partition)))
    }

    /// The partitions of the group that open transactions are about to change, with how many of them.
    #[must_use]
    pub fn unstable_of(&self, group: &str) -> Option<&BTreeMap<(String, i32), usize>> {
        self.unstable.get(group)
    }

    /// Whether any open transaction has committed for the group.
    #[must_use]
    pub fn is_pending(&self, group: &str) -> bool {
        self.unstable.contains_key(group)
    }

    /// The partitions for which open transactions have committed offsets of the group.
    pub fn pending_partitions(&self, group: &str) -> impl Iterator<Item = (&str, i32)> {
        self.unstable.get(group).into_iter().flatten().map(|((topic, partition), _)| (topic.as_str(), *partition))
    }

    /// The groups for which open transactions have committed.
    pub fn pending_groups(&self) -> impl Iterator<Item = &String> {
        self.unstable.keys()
    }

    /// All that is pending, as records in the order of staging: to be applied after the offsets that count.
    #[must_use]
    pub fn pending_records(&self) -> Vec<Record> {
        let of_producer = |(id, pending): (&ProducerId, &PendingOffsets)| {
            let producer = ProducerIdAndEpoch { id: *id, epoch: pending.epoch };
            pending
                .offsets
                .iter()
                .map(move |((group, topic, partition), staged)| {
                    let (group, topic, value) = (group.clone(), topic.clone(), staged.value.clone());
                    (staged.order, Record::PendingOffset { producer, group, topic, partition: *partition, value })
                })
                .collect::<Vec<_>>()
        };
        let mut records: Vec<_> = self.pending.iter().flat_map(of_producer).collect();
        records.sort_unstable_by_key(|(order, _)| *order);
        records.into_iter().map(|(_, record)| record).collect()
    }

    /// Group, topic and partition of what is stale, whether it counts already or is pending; of `topic` only, if one is named. Left out is what has
    /// something pending that is not stale: its tombstone would overtake that.
    #[must_use]
    pub fn stale(&self, topic: Option<&str>, is_stale: impl Fn(&Committed) -> bool) -> BTreeSet<(&str, &str, i32)> {
        let is_asked = |name: &str| topic.is_none_or(|topic| topic == name);
        let mut stale = BTreeSet::new();
        for (group, topics) in &self.groups {
            let range = topic.map_or((Unbounded, Unbounded), |topic| (Included(topic), Included(topic)));
            for (name, partitions) in topics.range::<str, _>(range) {
                let own = partitions.iter().filter(|(_, committed)| is_stale(committed));
                stale.extend(own.map(|(partition, _)| (group.as_str(), name.as_str(), *partition)));
            }
        }
        let mut living = Vec::new();
        for ((group, name, partition), staged) in self.pending.values().flat_map(|pending| &pending.offsets) {
            let key = (group.as_str(), name.as_str(), *partition);
            match is_asked(name) {
                true if is_stale(&staged.value) => {
                    stale.insert(key);
                }
                true => living.push(key),
                false => {}
            }
        }
        for key in living {
            stale.remove(&key);
        }
        stale
    }

    fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<&Committed> {
        self.groups.get(group)?.get(topic)?.get(&partition)
    }

    fn insert(&mut self, group: String, topic: String, partition: i32, value: Committed) {
        self.groups.entry(group).or_default().entry(topic).or_default().insert(partition, value);
    }

    /// What open transactions have staged for the partition before `order` is older than what counts now, or than its deletion: it will never
    /// count, and is forgotten.
    fn overtake(&mut self, group: &str, topic: &str, partition: i32, order: u64) {
        let key = (group.to_owned(), topic.to_owned(), partition);
        let mut forgotten = 0;
        for pending in self.pending.values_mut() {
            if pending.offsets.get(&key).is_some_and(|staged| staged.order < order) {
                pending.offsets.remove(&key);
                forgotten += 1;
            }
        }
        (0..forgotten).for_each(|_| self.unstage(group, topic, partition));
    }

    fn unstage(&mut self, group: &str, topic: &str, partition: i32) {
        let Some(partitions) = self.unstable.get_mut(group) else { return };
        let key = (topic.to_owned(), partition);
        if let Some(count) = partitions.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                partitions.remove(&key);
            }
        }
        if partitions.is_empty() {
            self.unstable.remove(group);
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
    /// Each from its commit, and none from before this moment.
    NotBefore(Timestamp),
    Commit,
}

impl RetentionStart {
    /// Of a group without members that had some at `occupied_at`. `None`: it has members, which keep what they subscribe to, or it is not known when it had any.
    #[must_use]
    pub fn of(occupied_at: Option<Timestamp>) -> RetentionStart {
        occupied_at.map_or(RetentionStart::Commit, RetentionStart::NotBefore)
    }
}

impl Committed {
    /// Whether the offset is past its retention (OffsetExpirationConditionImpl.isOffsetExpired).
    #[must_use]
    pub fn is_expired(&self, start: RetentionStart, retention_ms: i64, now: Timestamp) -> bool {
        if let Some(at) = self.expire_time {
            return now >= at;
        }
        let start = match start {
            RetentionStart::NotBefore(at) => at.max(self.commit_time),
            RetentionStart::Commit => self.commit_time,
        };
        now.ms_since(start) >= retention_ms
    }
}
