//! What a shard does with committed offsets: takes, answers and forgets them, of groups of any kind.

use super::{ClassicGroup, Group, GroupShard, Out};
use crate::coordinator::ProducerIdAndEpoch;
use crate::coordinator::group::consumer::Member;
use crate::coordinator::group::messages::{
    COMMIT_BYTES_MAX, CommitOffset, CommitReply, CommitRequest, DeleteOffsetsReply, DeleteOffsetsRequest, FetchOffsetsReply,
    FetchOffsetsRequest, FetchedOffsets, GroupError, NAME_BYTES_MAX,
};
use crate::coordinator::group::offsets::{GroupOffsets, RetentionStart};
use crate::coordinator::group::records::{Committed, Record};
use crate::coordinator::group::streams::StreamsGroup;
use crate::coordinator::group::{Context, Timer};
use crate::ids::{Timestamp, TopicId};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

impl GroupShard {
    /// `producer`: whose transaction the offsets are part of.
    pub(super) fn commit(
        &mut self,
        request: CommitRequest,
        producer: Option<ProducerIdAndEpoch>,
        now: Timestamp,
        out: &mut Out,
    ) -> CommitReply {
        if request.group_id.len() > NAME_BYTES_MAX {
            return Err(GroupError::InvalidGroupId);
        }
        if record_bytes(&request) > COMMIT_BYTES_MAX {
            return Err(GroupError::CommitTooLarge);
        }
        self.check_commit(&request, now, out)?;
        let metadata_max = self.settings.metadata_max;
        let expire_time = request.retention_ms.map(|ms| now.plus_ms(ms));
        let mut results = Vec::with_capacity(request.offsets.len());
        for offset in request.offsets {
            if is_too_long(&offset.metadata, metadata_max) {
                results.push(Err(GroupError::MetadataTooLarge));
                continue;
            }
            results.push(Ok(()));
            let value = Committed {
                offset: offset.offset,
                leader_epoch: offset.leader_epoch,
                metadata: offset.metadata,
                commit_time: now,
                expire_time,
                topic_id: offset.topic_id,
            };
            let (group, topic, partition) = (request.group_id.clone(), offset.topic, offset.partition);
            out.records.push(match producer {
                None => Record::Offset { group, topic, partition, value: Some(value) },
                Some(producer) => Record::PendingOffset { producer, group, topic, partition, value },
            });
        }
        self.drop_if_vacant(&request.group_id, out);
        Ok(results)
    }

    /// Whether the group takes the commit; a group that is not there yet comes to be, for an administrator or a lone consumer.
    fn check_commit(&mut self, request: &CommitRequest, now: Timestamp, out: &mut Out) -> Result<(), GroupError> {
        let id = &request.group_id;
        match self.live.get_mut(id) {
            None if request.generation >= 0 => Err(GroupError::UnknownGroup),
            None => {
                let group = ClassicGroup::new(id);
                group.check_commit(request, &mut Context { now, settings: &self.settings.clone(), out })?;
                self.live.insert(id.clone(), Group::Classic(group));
                Ok(())
            }
            Some(Group::Classic(group)) => {
                group.check_commit(request, &mut Context { now, settings: &self.settings.clone(), out })
            }
            Some(Group::Share(_)) => Err(GroupError::NoOffsets),
            Some(Group::Consumer(_)) => {
                let group = self.durable.consumers.get(id).ok_or(GroupError::UnknownGroup)?;
                if request.is_transactional && request.generation < 0 && request.member_id.is_empty() {
                    // As in a classic group.
                    return Ok(());
                }
                match group.check_commit(&request.member_id, request.generation, request.knows_epochs)? {
                    None => Ok(()),
                    Some(member) => {
                        request.offsets.iter().try_for_each(|offset| check_earlier(member, request.generation, offset))
                    }
                }
            }
            Some(Group::Streams(_)) => {
                let group = self.durable.streams.get(id).ok_or(GroupError::UnknownGroup)?;
                check_streams(group, request)
            }
        }
    }

    pub(super) fn fetch_offsets(&self, request: FetchOffsetsRequest) -> FetchOffsetsReply {
        if request.group_id.len() > NAME_BYTES_MAX {
            // Nothing can be committed under it.
            return Err(GroupError::InvalidGroupId);
        }
        if let (Some(group), Some((member_id, epoch))) = (self.durable.consumers.get(&request.group_id), &request.member) {
            group.check_fetch(member_id, *epoch)?;
        }
        if let (Some(group), Some((member_id, epoch))) = (self.durable.streams.get(&request.group_id), &request.member) {
            group.check_fetch(member_id, *epoch)?;
        }
        let offsets = self.durable.offsets.of_group(&request.group_id);
        // OffsetMetadataManager.fetchOffsets.
        let unstable = self.durable.offsets.unstable_of(&request.group_id).filter(|_| request.require_stable);
        let is_unstable =
            |topic: &str, partition: i32| unstable.is_some_and(|unstable| unstable.contains_key(&(topic.to_owned(), partition)));
        let Some(topics) = request.topics else {
            let all = offsets.into_iter().flatten().map(|(topic, partitions)| {
                let partitions = partitions.iter().map(|(partition, committed)| match is_unstable(topic, *partition) {
                    true => (*partition, Err(GroupError::UnstableOffset)),
                    false => (*partition, Ok(Some(committed.clone()))),
                });
                FetchedOffsets { topic: topic.clone(), partitions: partitions.collect() }
            });
            return Ok(all.collect());
        };
        // Metadata may be long: what is asked for often is answered once.
        let mut answered: HashMap<String, HashSet<i32>> = HashMap::new();
        let topics = topics.into_iter().map(|mut asked| {
            let answered = answered.entry(asked.topic.clone()).or_default();
            asked.partitions.retain(|partition| answered.insert(*partition));
            let own = offsets.and_then(|offsets| offsets.get(&asked.topic));
            let partitions = asked.partitions.into_iter().map(|partition| {
                let committed = own.and_then(|own| own.get(&partition));
                // A re-created topic starts over (OffsetMetadataManager.isMismatchedTopicId).
                let is_of_topic = |committed: &&Committed| match (committed.topic_id, asked.topic_id) {
                    (Some(then), Some(now)) => then == now,
                    _ => true,
                };
                match is_unstable(&asked.topic, partition) {
                    true => (partition, Err(GroupError::UnstableOffset)),
                    false => (partition, Ok(committed.filter(is_of_topic).cloned())),
                }
            });
            let partitions = partitions.collect();
            FetchedOffsets { topic: asked.topic, partitions }
        });
        Ok(topics.collect())
    }

    /// Forgets single offsets, but none that a member is about to use.
    pub(super) fn delete_offsets(&self, request: &DeleteOffsetsRequest, out: &mut Out) -> DeleteOffsetsReply {
        let is_subscribed: Box<dyn Fn(&str) -> bool> = match self.live.get(&request.group_id) {
            Some(Group::Share(_)) | None => return Err(GroupError::UnknownGroup),
            Some(Group::Classic(group)) => {
                group.check_delete_offsets()?;
                Box::new(|topic| group.is_subscribed(topic))
            }
            Some(Group::Consumer(_)) => {
                let group = self.durable.consumers.get(&request.group_id).ok_or(GroupError::UnknownGroup)?;
                Box::new(|topic| group.is_subscribed(topic))
            }
            Some(Group::Streams(_)) => {
                let group = self.durable.streams.get(&request.group_id).ok_or(GroupError::UnknownGroup)?;
                Box::new(|topic| group.is_subscribed(topic))
            }
        };
        let offsets = self.durable.offsets.of_group(&request.group_id);
        let results = request.partitions.iter().map(|(topic, partition)| {
            if is_subscribed(topic) {
                return Err(GroupError::SubscribedTopic);
            }
            let is_committed = offsets.and_then(|offsets| offsets.get(topic)).is_some_and(|own| own.contains_key(partition));
            // What is pending goes too: a tombstone overtakes it.
            if is_committed || self.durable.offsets.is_unstable(&request.group_id, topic, *partition) {
                out.records.push(tombstone(&request.group_id, topic, *partition));
            }
            Ok(())
        });
        Ok(results.collect())
    }

    pub(super) fn delete_offsets_of(&self, group_id: &str, out: &mut Out) {
        let topics = self.durable.offsets.of_group(group_id).into_iter().flatten();
        for (topic, partitions) in topics {
            out.records.extend(partitions.keys().map(|partition| tombstone(group_id, topic, *partition)));
        }
        // What is pending goes too: a tombstone overtakes it.
        let pending = self.durable.offsets.pending_partitions(group_id);
        out.records.extend(pending.map(|(topic, partition)| tombstone(group_id, topic, partition)));
    }

    /// Fetches that name topics by id know that what is left is stale; others see it until the transaction on the topic that is there now has
    /// committed, or the shard is loaded.
    pub(super) fn topic_deleted(&self, topic: &str, id: TopicId, out: &mut Out) {
        let stale = self.durable.offsets.stale(Some(topic), |committed| committed.topic_id.is_none_or(|of| of == id));
        out.records.extend(stale.into_iter().map(|(group, topic, partition)| tombstone(group, topic, partition)));
    }

    /// Drops what was committed for topics that were deleted while the shard was not there, as by a deletion that a crash cut short.
    pub(super) fn drop_stale_offsets(&self, out: &mut Out) {
        let is_gone = |committed: &Committed| committed.topic_id.is_some_and(|id| self.catalog.topic_by_id(id).is_none());
        let stale = self.durable.offsets.stale(None, is_gone);
        out.records.extend(stale.into_iter().map(|(group, topic, partition)| tombstone(group, topic, partition)));
    }

    /// Drops offsets that are past their retention, and groups that have nothing left (GroupCoordinatorShard.cleanupGroupMetadata).
    pub(super) fn clean_up(&mut self, now: Timestamp, out: &mut Out) {
        let mut vacant = Vec::new();
        for (id, group) in &self.live {
            let (start, is_idle) = match group {
                Group::Classic(group) => (group.retention_start(), group.is_empty() && !group.is_expecting()),
                Group::Consumer(soft) => {
                    let is_empty = self.durable.consumers.get(id).is_none_or(|group| group.is_empty());
                    (Some(RetentionStart::of(soft.occupied_at.filter(|_| is_empty))), is_empty)
                }
                Group::Streams(soft) => {
                    let is_empty = self.durable.streams.get(id).is_none_or(|group| group.is_empty());
                    (Some(RetentionStart::of(soft.occupied_at.filter(|_| is_empty))), is_empty)
                }
                // It has no offsets here, and stays until it is deleted.
                Group::Share(_) => (None, false),
            };
            let are_all_expired = match (self.durable.offsets.of_group(id), start) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(topics), Some(start)) => self.expire(id, group, start, topics, now, out),
            };
            if are_all_expired && is_idle && !self.durable.offsets.is_pending(id) {
                vacant.push(id.clone());
            }
        }
        for id in vacant {
            self.clear_consumers(&id, out);
            self.clear_streams(&id, now, out);
            self.live.remove(&id);
            if self.durable.groups.contains_key(&id) {
                out.records.push(Record::Group { group: id, value: None });
            }
        }
        out.timers.push((Timer::Cleanup, Some(now.plus_ms(self.settings.cleanup_interval_ms))));
    }

    /// Whether no offset of the group is left.
    fn expire(
        &self,
        id: &str,
        group: &Group,
        start: RetentionStart,
        topics: &GroupOffsets,
        now: Timestamp,
        out: &mut Out,
    ) -> bool {
        let mut are_all_expired = true;
        for (topic, partitions) in topics {
            let is_subscribed = match group {
                Group::Classic(group) => group.is_subscribed(topic),
                Group::Consumer(_) => self.durable.consumers.get(id).is_some_and(|group| group.is_subscribed(topic)),
                Group::Streams(_) => self.durable.streams.get(id).is_some_and(|group| group.is_subscribed(topic)),
                Group::Share(_) => false,
            };
            for (partition, committed) in partitions {
                let is_expired = committed.is_expired(start, self.settings.retention_ms, now);
                // Its tombstone would overtake what a transaction has for the partition.
                let is_pending = || self.durable.offsets.is_unstable(id, topic, *partition);
                if !is_subscribed && is_expired && !is_pending() {
                    out.records.push(tombstone(id, topic, *partition));
                } else {
                    are_all_expired = false;
                }
            }
        }
        are_all_expired
    }
}

/// About what the records of a commit will take.
fn record_bytes(request: &CommitRequest) -> usize {
    let each = |offset: &CommitOffset| request.group_id.len() + offset.topic.len() + offset.metadata.len() + size_of::<Record>();
    request.offsets.iter().map(each).sum()
}

/// A partition of a topic whose id is not known was never assigned.
fn check_earlier(member: &Member, epoch: i32, offset: &CommitOffset) -> Result<(), GroupError> {
    member.check_earlier_commit(epoch, offset.topic_id.unwrap_or(TopicId(Uuid::nil())), offset.partition)
}

/// As members of consumer groups (StreamsGroup.validateOffsetCommit).
fn check_streams(group: &StreamsGroup, request: &CommitRequest) -> Result<(), GroupError> {
    let epoch = request.generation;
    if request.is_transactional && epoch < 0 && request.member_id.is_empty() && request.instance_id.is_none() {
        return Ok(());
    }
    match group.check_commit(&request.member_id, epoch, request.knows_epochs)? {
        None => Ok(()),
        Some(member) => request
            .offsets
            .iter()
            .try_for_each(|offset| group.check_earlier_commit(member, epoch, &offset.topic, offset.partition)),
    }
}

/// Kafka counts the UTF-16 units of a Java string; a record's string ends at 32,767 bytes whatever the setting says.
fn is_too_long(metadata: &str, max: usize) -> bool {
    metadata.len() > NAME_BYTES_MAX || (metadata.len() > max && metadata.encode_utf16().count() > max)
}

fn tombstone(group: &str, topic: &str, partition: i32) -> Record {
    Record::Offset { group: group.to_owned(), topic: topic.to_owned(), partition, value: None }
}
