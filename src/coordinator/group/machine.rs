//! One shard of the group coordinator: the groups whose ids hash to one partition of `__consumer_offsets`.
//!
//! ```text
//!   durable: groups, offsets      changed only by apply(record): the same after a replay, and all that a checkpoint holds
//!   live: groups by id            changed by handle(event); rebuilt from `durable` by loaded()
//! ```
//! Invariants: every group with a durable record or offset is live; a live group without either is dropped as soon as it has no
//! member and expects none; a Stable or Empty live group (of generation 1 or later) is what its durable record says. A rebalance under
//! way is soft: after a crash the generation before it stands again, and its members go on or join anew.

use super::classic::ClassicGroup;
use super::messages::{
    CommitReply, CommitRequest, Event, FetchReply, FetchRequest, FetchedTopic, GroupError, JoinRequest, Listed,
};
use super::messages::{JoinReply, NAME_BYTES_MAX};
use super::offsets::{GroupOffsets, Offsets};
use super::records::{Committed, GroupValue, Record};
use super::{Context, GroupSettings, Timer};
use crate::coordinator::{Caller, Effects, StateMachine};
use crate::ids::{Timestamp, TopicId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use uuid::Uuid;

type Out = Effects<Record, Timer>;

/// A group of any kind.
#[derive(Debug)]
pub(super) enum Group {
    Classic(ClassicGroup),
}

/// What the log says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Durable {
    pub groups: BTreeMap<String, GroupValue>,
    pub offsets: Offsets,
}

/// See the file's header.
#[derive(Debug)]
pub struct GroupShard {
    settings: Arc<GroupSettings>,
    pub(super) durable: Durable,
    pub(super) live: HashMap<String, Group>,
}

impl GroupShard {
    #[must_use]
    pub fn new(settings: Arc<GroupSettings>) -> GroupShard {
        GroupShard { settings, durable: Durable::default(), live: HashMap::new() }
    }

    fn join(&mut self, request: JoinRequest, fresh: Uuid, caller: Caller<JoinReply>, now: Timestamp, out: &mut Out) {
        let settings = self.settings.clone();
        let mut ctx = Context { now, settings: &settings, out: &mut *out };
        if let Some(error) = check_join(&request, &settings) {
            ctx.refuse_join(caller, error, &request.member_id);
            return;
        }
        let group_id = request.group_id.clone();
        if !request.member_id.is_empty() && !self.live.contains_key(&group_id) {
            ctx.refuse_join(caller, GroupError::UnknownMember, &request.member_id);
            return;
        }
        let Group::Classic(group) = self.group_or_new(&group_id);
        group.join(request, fresh, caller, &mut ctx);
        self.drop_if_vacant(&group_id, out);
    }

    fn commit(&mut self, request: CommitRequest, now: Timestamp, out: &mut Out) -> CommitReply {
        if request.group_id.len() > NAME_BYTES_MAX {
            return Err(GroupError::InvalidGroupId);
        }
        if !self.live.contains_key(&request.group_id) && request.generation >= 0 {
            return Err(GroupError::UnknownGroup);
        }
        let settings = self.settings.clone();
        let Group::Classic(group) = self.group_or_new(&request.group_id);
        group.check_commit(&request, &mut Context { now, settings: &settings, out: &mut *out })?;
        let expire_time = request.retention_ms.map(|ms| now.plus_ms(ms));
        let mut results = Vec::with_capacity(request.offsets.len());
        for offset in request.offsets {
            if is_too_long(&offset.metadata, settings.metadata_max) {
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
            out.records.push(Record::Offset { group, topic, partition, value: Some(value) });
        }
        self.drop_if_vacant(&request.group_id, out);
        Ok(results)
    }

    fn fetch(&self, request: FetchRequest) -> FetchReply {
        let offsets = self.durable.offsets.of_group(&request.group_id);
        let Some(topics) = request.topics else {
            return offsets.into_iter().flatten().map(|(topic, partitions)| all_of(topic, partitions)).collect();
        };
        let topics = topics.into_iter().map(|asked| {
            let own = offsets.and_then(|offsets| offsets.get(&asked.topic));
            let partitions = asked.partitions.into_iter().map(|partition| {
                let committed = own.and_then(|own| own.get(&partition));
                // A re-created topic starts over (OffsetMetadataManager.isMismatchedTopicId).
                let is_of_topic = |committed: &&Committed| match (committed.topic_id, asked.topic_id) {
                    (Some(then), Some(now)) => then == now,
                    _ => true,
                };
                (partition, committed.filter(is_of_topic).cloned())
            });
            let partitions = partitions.collect();
            FetchedTopic { topic: asked.topic, partitions }
        });
        topics.collect()
    }

    fn delete(&mut self, group_id: &str, out: &mut Out) -> Result<(), GroupError> {
        match self.live.get(group_id) {
            None => return Err(GroupError::UnknownGroup),
            Some(Group::Classic(group)) if !group.is_empty() => return Err(GroupError::NonEmptyGroup),
            Some(Group::Classic(_)) => {}
        }
        self.live.remove(group_id);
        if let Some(topics) = self.durable.offsets.of_group(group_id) {
            for (topic, partitions) in topics {
                out.records.extend(partitions.keys().map(|partition| tombstone(group_id, topic, *partition)));
            }
        }
        if self.durable.groups.contains_key(group_id) {
            out.records.push(Record::Group { group: group_id.to_owned(), value: None });
        }
        Ok(())
    }

    fn topic_deleted(&self, topic: &str, id: TopicId, out: &mut Out) {
        for (group, topics) in self.durable.offsets.groups() {
            let partitions = topics.get(topic).into_iter().flatten();
            let stale = partitions.filter(|(_, committed)| committed.topic_id.is_none_or(|of| of == id));
            out.records.extend(stale.map(|(partition, _)| tombstone(group, topic, *partition)));
        }
    }

    /// Drops offsets that are past their retention, and groups that have nothing left (GroupCoordinatorShard.cleanupGroupMetadata).
    fn clean_up(&mut self, now: Timestamp, out: &mut Out) {
        let mut empty = Vec::new();
        for (id, Group::Classic(group)) in &self.live {
            let are_all_expired = match self.durable.offsets.of_group(id) {
                Some(topics) => self.expire(id, group, topics, now, out),
                None => true,
            };
            if are_all_expired && group.is_empty() && !group.is_expecting() {
                empty.push(id.clone());
            }
        }
        for id in empty {
            self.live.remove(&id);
            if self.durable.groups.contains_key(&id) {
                out.records.push(Record::Group { group: id, value: None });
            }
        }
        out.timers.push((Timer::Cleanup, Some(now.plus_ms(self.settings.cleanup_interval_ms))));
    }

    /// Whether no offset of the group is left.
    fn expire(&self, id: &str, group: &ClassicGroup, topics: &GroupOffsets, now: Timestamp, out: &mut Out) -> bool {
        let Some(start) = group.retention_start() else { return false };
        let mut are_all_expired = true;
        for (topic, partitions) in topics {
            let is_subscribed = group.is_subscribed(topic);
            for (partition, committed) in partitions {
                if !is_subscribed && committed.is_expired(start, self.settings.retention_ms, now) {
                    out.records.push(tombstone(id, topic, *partition));
                } else {
                    are_all_expired = false;
                }
            }
        }
        are_all_expired
    }

    fn list(&self) -> Vec<Listed> {
        self.live.values().map(|Group::Classic(group)| group.list()).collect()
    }

    fn group_or_new(&mut self, id: &str) -> &mut Group {
        self.live.entry(id.to_owned()).or_insert_with(|| Group::Classic(ClassicGroup::new(id)))
    }

    fn drop_if_vacant(&mut self, id: &str, out: &Out) {
        let is_durable = self.durable.groups.contains_key(id) || self.durable.offsets.of_group(id).is_some();
        if let Some(Group::Classic(group)) = self.live.get(id)
            && group.is_vacant()
            && !is_durable
            && out.records.is_empty()
        {
            self.live.remove(id);
        }
    }
}

impl StateMachine for GroupShard {
    type Event = Event;
    type Record = Record;
    type Timer = Timer;

    fn handle(&mut self, event: Event, now: Timestamp) -> Out {
        let settings = self.settings.clone();
        let mut out = Out::default();
        match event {
            Event::Join { request, fresh, caller } => self.join(request, fresh, caller, now, &mut out),
            Event::Sync { request, caller } => match self.live.get_mut(&request.group_id) {
                Some(Group::Classic(group)) => {
                    group.sync(request, caller, &mut Context { now, settings: &settings, out: &mut out });
                }
                None => out.reply(caller, Err(GroupError::UnknownMember)),
            },
            Event::Heartbeat { request, caller } => {
                let reply = match self.live.get(&request.group_id) {
                    Some(Group::Classic(group)) => {
                        group.heartbeat(&request, &mut Context { now, settings: &settings, out: &mut out })
                    }
                    None => Err(GroupError::UnknownMember),
                };
                out.reply(caller, reply);
            }
            Event::Leave { request, caller } => {
                let reply = match self.live.get_mut(&request.group_id) {
                    Some(Group::Classic(group)) => {
                        group.leave(&request.members, &mut Context { now, settings: &settings, out: &mut out })
                    }
                    None => vec![Err(GroupError::UnknownMember); request.members.len()],
                };
                out.reply(caller, reply);
                self.drop_if_vacant(&request.group_id, &out);
            }
            Event::Commit { request, caller } => {
                let reply = self.commit(request, now, &mut out);
                out.reply(caller, reply);
            }
            Event::Fetch { request, caller } => out.reply(caller, self.fetch(request)),
            Event::List { caller } => out.reply(caller, self.list()),
            Event::Describe { group_id, caller } => {
                let described = self.live.get(&group_id).map(|Group::Classic(group)| group.describe());
                out.reply(caller, described);
            }
            Event::Delete { group_id, caller } => {
                let reply = self.delete(&group_id, &mut out);
                out.reply(caller, reply);
            }
            Event::TopicDeleted { topic, id, caller } => {
                self.topic_deleted(&topic, id, &mut out);
                out.reply(caller, ());
            }
        }
        out
    }

    fn expired(&mut self, timer: Timer, now: Timestamp) -> Out {
        let settings = self.settings.clone();
        let mut out = Out::default();
        let (Timer::Session { group: id, .. } | Timer::Join { group: id } | Timer::Sync { group: id }) = &timer else {
            self.clean_up(now, &mut out);
            return out;
        };
        if let Some(Group::Classic(group)) = self.live.get_mut(&**id) {
            let mut ctx = Context { now, settings: &settings, out: &mut out };
            match &timer {
                Timer::Session { member, .. } => group.session_due(member, &mut ctx),
                Timer::Join { .. } => group.join_phase_due(&mut ctx),
                Timer::Sync { .. } => group.sync_phase_due(&mut ctx),
                Timer::Cleanup => {}
            }
        }
        self.drop_if_vacant(id, &out);
        out
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Offset { group, topic, partition, value } => self.durable.offsets.apply(group, topic, partition, value),
            Record::Group { group, value: Some(value) } => {
                self.durable.groups.insert(group, value);
            }
            Record::Group { group, value: None } => {
                self.durable.groups.remove(&group);
            }
        }
    }

    fn loaded(&mut self, now: Timestamp) -> Out {
        let settings = self.settings.clone();
        let mut out = Out::default();
        for (id, value) in &self.durable.groups {
            let mut group = ClassicGroup::restored(id, value);
            group.resume(&mut Context { now, settings: &settings, out: &mut out });
            self.live.insert(id.clone(), Group::Classic(group));
        }
        for (id, _) in self.durable.offsets.groups() {
            self.live.entry(id.clone()).or_insert_with(|| Group::Classic(ClassicGroup::new(id)));
        }
        out.timers.push((Timer::Cleanup, Some(now.plus_ms(settings.cleanup_interval_ms))));
        out
    }

    fn checkpoint(&self) -> Vec<Record> {
        let groups = self.durable.groups.iter();
        let mut records: Vec<_> =
            groups.map(|(id, value)| Record::Group { group: id.clone(), value: Some(value.clone()) }).collect();
        for (group, topics) in self.durable.offsets.groups() {
            for (topic, partitions) in topics {
                records.extend(partitions.iter().map(|(partition, value)| Record::Offset {
                    group: group.clone(),
                    topic: topic.clone(),
                    partition: *partition,
                    value: Some(value.clone()),
                }));
            }
        }
        records
    }
}

/// What can be said of a join without looking at the group.
fn check_join(request: &JoinRequest, settings: &GroupSettings) -> Option<GroupError> {
    if request.group_id.is_empty() || request.group_id.len() > NAME_BYTES_MAX {
        return Some(GroupError::InvalidGroupId);
    }
    let allowed = settings.session_timeout_min_ms..=settings.session_timeout_max_ms;
    if !allowed.contains(&request.session_timeout_ms) {
        return Some(GroupError::InvalidSessionTimeout);
    }
    let mut names = vec![&request.client_id, &request.client_host, &request.protocol_type];
    names.extend(&request.instance_id);
    names.extend(request.protocols.iter().map(|protocol| &protocol.name));
    names.iter().any(|name| name.len() > NAME_BYTES_MAX).then_some(GroupError::NameTooLong)
}

/// Kafka counts the UTF-16 units of a Java string; a record's string ends at 32,767 bytes whatever the setting says.
fn is_too_long(metadata: &str, max: usize) -> bool {
    metadata.len() > NAME_BYTES_MAX || (metadata.len() > max && metadata.encode_utf16().count() > max)
}

fn tombstone(group: &str, topic: &str, partition: i32) -> Record {
    Record::Offset { group: group.to_owned(), topic: topic.to_owned(), partition, value: None }
}

fn all_of(topic: &str, partitions: &BTreeMap<i32, Committed>) -> FetchedTopic {
    let partitions = partitions.iter().map(|(partition, committed)| (*partition, Some(committed.clone())));
    FetchedTopic { topic: topic.to_owned(), partitions: partitions.collect() }
}
