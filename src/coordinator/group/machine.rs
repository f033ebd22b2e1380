//! One shard of the group coordinator: the groups whose ids hash to one partition of `__consumer_offsets`.
//!
//! ```text
//!   durable: groups of every kind, offsets               the same after a replay, and all that a checkpoint holds
//!   live: what each group is, by id                      changed by handle(event); rebuilt from `durable` by loaded()
//! ```
//! Of a classic group `durable` holds the last generation that stood, changed only by apply(record); the group itself is live. A group
//! of another kind is durable as a whole: handle(event) applies each record the moment it decides on it, and the runtime's own apply(record) then
//! changes nothing.
//!
//! Invariants: every group with a durable record or offset is live; a live group without either is dropped as soon as it has no
//! member and expects none; a Stable or Empty live classic group (of generation 1 or later) is what its durable record says. A classic
//! rebalance under way is soft: after a crash the generation before it stands again, and its members go on or join anew.
//! No group is of two kinds.
//!
//! What is asked of offsets stands in [`commits`], of consumer groups and of changes between the kinds in [`consumers`], of share groups in
//! [`shares`], of streams groups in [`streams`].

use super::classic::ClassicGroup;
use super::consumer::{ConsumerGroup, Soft};
use super::messages::{
    Described, Event, GroupError, Input, JoinRefused, JoinReply, JoinRequest, LeaveReply, LeaveRequest, Listed, NAME_BYTES_MAX,
    PROTOCOLS_MAX, Refused,
};
use super::offsets::Offsets;
use super::records::consumer::ConsumerRecord;
use super::records::share::ShareRecord;
use super::records::streams::StreamsRecord;
use super::records::{GroupValue, Record};
use super::share::{self, ShareGroup};
use super::streams::{self as streams_groups, StreamsGroup};
use super::{Context, GroupSettings, Timer};
use crate::catalog::Snapshot;
use crate::coordinator::{Caller, Effects, StateMachine};
use crate::ids::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use uuid::Uuid;

mod commits;
mod consumers;
mod shares;
mod streams;

type Out = Effects<Record, Timer>;

/// A group of any kind; the durable part of one that is not classic stands elsewhere.
#[derive(Debug)]
pub(super) enum Group {
    Classic(ClassicGroup),
    Consumer(Soft),
    Streams(streams_groups::Soft),
    Share(share::Soft),
}

/// What the log says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Durable {
    pub groups: BTreeMap<String, GroupValue>,
    pub consumers: BTreeMap<String, ConsumerGroup>,
    pub streams: BTreeMap<String, StreamsGroup>,
    pub shares: BTreeMap<String, ShareGroup>,
    pub offsets: Offsets,
}

/// See the file's header.
#[derive(Debug)]
pub struct GroupShard {
    settings: Arc<GroupSettings>,
    /// The newest that the shard was told of.
    catalog: Arc<Snapshot>,
    pub(super) durable: Durable,
    pub(super) live: HashMap<String, Group>,
}

impl GroupShard {
    #[must_use]
    pub fn new(settings: Arc<GroupSettings>, catalog: Arc<Snapshot>) -> GroupShard {
        GroupShard { settings, catalog, durable: Durable::default(), live: HashMap::new() }
    }

    fn join(&mut self, request: JoinRequest, fresh: Uuid, caller: Caller<JoinReply>, now: Timestamp, out: &mut Out) {
        let settings = self.settings.clone();
        if let Some(error) = check_join(&request, &settings) {
            out.reply(caller, Err(JoinRefused { error, member_id: request.member_id }));
            return;
        }
        let group_id = request.group_id.clone();
        if self.durable.consumers.get(&group_id).is_some_and(|group| !group.is_empty()) {
            let reply = self.join_consumers(request, fresh, now, out);
            out.reply(caller, reply);
            return;
        }
        let is_streams = self.durable.streams.get(&group_id).is_some_and(|group| !group.is_empty());
        if is_streams || matches!(self.live.get(&group_id), Some(Group::Share(_))) {
            out.reply(caller, Err(JoinRefused { error: GroupError::InconsistentProtocol, member_id: String::new() }));
            return;
        }
        if !request.member_id.is_empty() && !matches!(self.live.get(&group_id), Some(Group::Classic(_))) {
            out.reply(caller, Err(JoinRefused { error: GroupError::UnknownMember, member_id: request.member_id }));
            return;
        }
        self.clear_consumers(&group_id, out);
        self.clear_streams(&group_id, now, out);
        let is_new = !self.live.contains_key(&group_id);
        let group = self.live.entry(group_id.clone()).or_insert_with(|| Group::Classic(ClassicGroup::new(&group_id)));
        if let Group::Classic(group) = group {
            group.join(request, fresh, caller, &mut Context { now, settings: &settings, out: &mut *out });
            // As Kafka, a group begins in the log when somebody is in it or is expected (classicGroupJoinToClassicGroup).
            if is_new && !group.is_vacant() && out.records.is_empty() {
                out.records.push(group.first_record(now));
            }
        }
        self.drop_if_vacant(&group_id, out);
    }

    fn leave(&mut self, request: &LeaveRequest, now: Timestamp, out: &mut Out) -> LeaveReply {
        let settings = self.settings.clone();
        match self.live.get_mut(&request.group_id) {
            Some(Group::Classic(group)) => {
                let results = group.leave(&request.members, &mut Context { now, settings: &settings, out: &mut *out });
                self.drop_if_vacant(&request.group_id, out);
                results
            }
            Some(Group::Consumer(_)) => self.leave_consumers(request, now, out),
            Some(Group::Streams(_) | Group::Share(_)) | None => vec![Err(GroupError::UnknownMember); request.members.len()],
        }
    }

    fn describe(&self, group_id: &str) -> Result<Described, Refused> {
        match self.live.get(group_id) {
            Some(Group::Classic(group)) => Ok(group.describe()),
            Some(Group::Consumer(_) | Group::Streams(_) | Group::Share(_)) => {
                Err(not_found(format!("Group {group_id} is not a classic group.")))
            }
            None => Err(not_found(format!("Group {group_id} not found."))),
        }
    }

    fn delete(&mut self, group_id: &str, now: Timestamp, out: &mut Out) -> Result<(), GroupError> {
        match self.live.get(group_id) {
            None => return Err(GroupError::UnknownGroup),
            Some(Group::Classic(group)) if !group.is_empty() => return Err(GroupError::NonEmptyGroup),
            Some(Group::Consumer(_)) if self.durable.consumers.get(group_id).is_some_and(|group| !group.is_empty()) => {
                return Err(GroupError::NonEmptyGroup);
            }
            Some(Group::Streams(_)) if self.durable.streams.get(group_id).is_some_and(|group| !group.is_empty()) => {
                return Err(GroupError::NonEmptyGroup);
            }
            Some(Group::Share(_)) if self.durable.shares.get(group_id).is_some_and(|group| !group.is_empty()) => {
                return Err(GroupError::NonEmptyGroup);
            }
            Some(_) => {}
        }
        self.delete_offsets_of(group_id, out);
        self.clear_consumers(group_id, out);
        self.clear_streams(group_id, now, out);
        self.clear_shares(group_id, out);
        self.live.remove(group_id);
        if self.durable.groups.contains_key(group_id) {
            out.records.push(Record::Group { group: group_id.to_owned(), value: None });
        }
        Ok(())
    }

    fn list(&self) -> Vec<Listed> {
        let listed = self.live.iter().filter_map(|(id, group)| match group {
            Group::Classic(group) => Some(group.list()),
            Group::Consumer(_) => self.durable.consumers.get(id).map(|group| group.list(id)),
            Group::Streams(_) => self.durable.streams.get(id).map(|group| group.list(id)),
            Group::Share(_) => self.durable.shares.get(id).map(|group| group.list(id)),
        });
        listed.collect()
    }

    /// Forgets a group that nobody is in, nobody is expected in, and that has never had a generation or an offset.
    fn drop_if_vacant(&mut self, id: &str, out: &mut Out) {
        if let Some(Group::Classic(group)) = self.live.get(id)
            && group.is_vacant()
            && self.durable.offsets.of_group(id).is_none()
            && !self.durable.offsets.is_pending(id)
            && out.records.is_empty()
        {
            self.live.remove(id);
            if self.durable.groups.contains_key(id) {
                out.records.push(Record::Group { group: id.to_owned(), value: None });
            }
        }
    }

    fn expired_classic(&mut self, id: &str, timer: &Timer, now: Timestamp, out: &mut Out) {
        let settings = self.settings.clone();
        if let Some(Group::Classic(group)) = self.live.get_mut(id) {
            let mut ctx = Context { now, settings: &settings, out: &mut *out };
            match timer {
                Timer::Session { member, .. } => group.session_due(member, &mut ctx),
                Timer::Join { .. } => group.join_phase_due(&mut ctx),
                Timer::Sync { .. } => group.sync_phase_due(&mut ctx),
                // Of the group of another kind that this one was.
                Timer::Rebalance { .. }
                | Timer::Rejoin { .. }
                | Timer::MemberSync { .. }
                | Timer::FirstRebalance { .. }
                | Timer::Cleanup => {}
            }
        }
        self.drop_if_vacant(id, out);
    }
}

impl StateMachine for GroupShard {
    type Event = Input;
    type Record = Record;
    type Timer = Timer;
    type Request = Infallible;

    fn handle(&mut self, Input { catalog, event }: Input, now: Timestamp) -> Out {
        // Connections look at the catalog before they queue up here: an event may be behind one that knew more.
        if catalog.version > self.catalog.version {
            self.catalog = catalog;
        }
        let settings = self.settings.clone();
        let mut out = Out::default();
        match event {
            Event::Join { request, fresh, caller } => self.join(request, fresh, caller, now, &mut out),
            Event::Sync { request, caller } => match self.live.get_mut(&request.group_id) {
                Some(Group::Classic(group)) => {
                    group.sync(request, caller, &mut Context { now, settings: &settings, out: &mut out });
                }
                Some(Group::Consumer(_)) => {
                    let reply = self.on_consumers(&request.group_id, now, &mut out, |change| change.sync(&request));
                    out.reply(caller, reply.unwrap_or(Err(GroupError::UnknownMember)));
                }
                Some(Group::Streams(_) | Group::Share(_)) | None => out.reply(caller, Err(GroupError::UnknownMember)),
            },
            Event::Heartbeat { request, caller } => {
                let reply = match self.live.get(&request.group_id) {
                    Some(Group::Classic(group)) => {
                        group.heartbeat(&request, &mut Context { now, settings: &settings, out: &mut out })
                    }
                    Some(Group::Consumer(_)) => self
                        .on_consumers(&request.group_id, now, &mut out, |change| change.classic_heartbeat(&request))
                        .unwrap_or(Err(GroupError::UnknownMember)),
                    Some(Group::Streams(_) | Group::Share(_)) | None => Err(GroupError::UnknownMember),
                };
                out.reply(caller, reply);
            }
            Event::Leave { request, caller } => {
                let reply = self.leave(&request, now, &mut out);
                out.reply(caller, reply);
            }
            Event::ConsumerHeartbeat { request, fresh, caller } => {
                let reply = self.consumer_heartbeat(request, fresh, now, &mut out);
                out.reply(caller, reply);
            }
            Event::StreamsHeartbeat { request, caller } => {
                let reply = self.streams_heartbeat(request, now, &mut out);
                out.reply(caller, reply);
            }
            Event::Commit { request, caller } => {
                let reply = self.commit(request, None, now, &mut out);
                out.reply(caller, reply);
            }
            Event::TransactionCommit { producer, request, caller } => {
                let reply = self.commit(request, Some(producer), now, &mut out);
                out.reply(caller, reply);
            }
            Event::EndTransaction { producer, end, caller } => {
                out.records.push(Record::Marker { producer, end });
                out.reply_early(caller, ());
            }
            Event::FetchOffsets { request, caller } => out.reply(caller, self.fetch_offsets(request)),
            Event::DeleteOffsets { request, caller } => {
                let reply = self.delete_offsets(&request, &mut out);
                out.reply(caller, reply);
            }
            Event::Share(event) => self.on_share_event(event, now, &mut out),
            Event::List { caller } => out.reply(caller, self.list()),
            Event::Describe { group_id, caller } => out.reply(caller, self.describe(&group_id)),
            Event::ConsumerDescribe { group_id, caller } => out.reply(caller, self.describe_consumers(&group_id)),
            Event::StreamsDescribe { group_id, caller } => out.reply(caller, self.describe_streams(&group_id)),
            Event::Delete { group_id, caller } => {
                let reply = self.delete(&group_id, now, &mut out);
                out.reply(caller, reply);
            }
            Event::TopicDeleted { topic, id, caller } => {
                self.topic_deleted(&topic, id, &mut out);
                self.drop_states(|topic| topic == id, &mut out);
                out.reply(caller, ());
            }
        }
        out
    }

    fn expired(&mut self, timer: Timer, now: Timestamp) -> Out {
        let mut out = Out::default();
        let Some(id) = timer.group().cloned() else {
            self.clean_up(now, &mut out);
            return out;
        };
        match self.live.get(&*id) {
            Some(Group::Classic(_)) => self.expired_classic(&id, &timer, now, &mut out),
            Some(Group::Consumer(_)) => self.expired_consumer(&id, &timer, now, &mut out),
            Some(Group::Streams(_)) => self.expired_streams(&id, &timer, now, &mut out),
            Some(Group::Share(_)) => {
                self.on_shares(&id, now, &mut out, |change| change.expired(&timer));
            }
            None => {}
        }
        out
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Offset { group, topic, partition, value } => self.durable.offsets.apply(group, topic, partition, value),
            Record::PendingOffset { producer, group, topic, partition, value } => {
                self.durable.offsets.stage(producer, group, topic, partition, value);
            }
            Record::Marker { producer, end } => self.durable.offsets.end(producer.id, end),
            Record::Group { group, value: Some(value) } => {
                self.durable.groups.insert(group, value);
            }
            Record::Group { group, value: None } => {
                self.durable.groups.remove(&group);
            }
            // The last of a group's tombstones, but for the topology of a streams group.
            Record::Consumer { group, change: ConsumerRecord::Epoch(None) } => {
                self.durable.consumers.remove(&group);
            }
            Record::Consumer { group, change } => self.apply_to_consumers(group, change),
            Record::Streams { group, change: StreamsRecord::Epoch(None) } => {
                self.durable.streams.remove(&group);
            }
            Record::Streams { group, change } => self.apply_to_streams(group, change),
            Record::Share { group, change: ShareRecord::Epoch(None) } => {
                self.durable.shares.remove(&group);
            }
            Record::Share { group, change } => self.apply_to_shares(group, change),
        }
    }

    fn loaded(&mut self, now: Timestamp) -> Out {
        let settings = self.settings.clone();
        let mut out = Out::default();
        for (id, value) in &self.durable.groups {
            let mut group = ClassicGroup::restored(id, value);
            let mut ctx = Context { now, settings: &settings, out: &mut out };
            group.resume(&mut ctx);
            if value.leader.is_none() && !value.members.is_empty() {
                // It had just been one of the consumer protocol: what its members own is not all that there is.
                group.rebalance(&mut ctx);
            }
            self.live.insert(id.clone(), Group::Classic(group));
        }
        let consumers: Vec<String> = self.durable.consumers.keys().cloned().collect();
        for id in consumers {
            self.live.insert(id.clone(), Group::Consumer(Soft::default()));
            self.on_consumers(&id, now, &mut out, |change| change.resume());
        }
        let streams: Vec<String> = self.durable.streams.keys().cloned().collect();
        for id in streams {
            self.live.insert(id.clone(), Group::Streams(streams_groups::Soft::default()));
            self.on_streams(&id, now, &mut out, |change| change.resume());
        }
        self.resume_shares(now, &mut out);
        for id in self.durable.offsets.groups().map(|(id, _)| id).chain(self.durable.offsets.pending_groups()) {
            self.live.entry(id.clone()).or_insert_with(|| Group::Classic(ClassicGroup::new(id)));
        }
        self.drop_stale_offsets(&mut out);
        out.timers.push((Timer::Cleanup, Some(now.plus_ms(settings.cleanup_interval_ms))));
        out
    }

    fn checkpoint(&self) -> Vec<Record> {
        let groups = self.durable.groups.iter();
        let mut records: Vec<_> =
            groups.map(|(id, value)| Record::Group { group: id.clone(), value: Some(value.clone()) }).collect();
        for (id, group) in &self.durable.consumers {
            records.extend(group.records().map(|change| Record::Consumer { group: id.clone(), change }));
        }
        for (id, group) in &self.durable.streams {
            records.extend(group.records().map(|change| Record::Streams { group: id.clone(), change }));
        }
        for (id, group) in &self.durable.shares {
            records.extend(group.records().map(|change| Record::Share { group: id.clone(), change }));
        }
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
        // Behind what counts: the order of records decides what is newer.
        records.extend(self.durable.offsets.pending_records());
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
    if request.protocols.len() > PROTOCOLS_MAX {
        return Some(GroupError::InconsistentProtocol);
    }
    let mut names = vec![&request.member_id, &request.client_id, &request.client_host, &request.protocol_type];
    names.extend(&request.instance_id);
    names.extend(request.protocols.iter().map(|protocol| &protocol.name));
    names.iter().any(|name| name.len() > NAME_BYTES_MAX).then_some(GroupError::NameTooLong)
}

/// Names that go into keys of records.
fn check_lengths<'a>(mut names: impl Iterator<Item = &'a String>) -> Result<(), Refused> {
    if names.any(|name| name.len() > NAME_BYTES_MAX) {
        return Err(GroupError::NameTooLong.into());
    }
    Ok(())
}

fn not_found(message: String) -> Refused {
    Refused { error: GroupError::UnknownGroup, message }
}
