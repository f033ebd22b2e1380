//! One shard of the share coordinator: the share-partitions whose keys hash to one partition of `__share_group_state`.
//!
//! Kafka has two parties: the leader of a partition, which knows who has which records, and the share coordinator, which keeps what became
//! of them. Here they are one: `durable` is what the log says, `soft` what the leader would know (see [`super::partition`]).
//!
//! `handle` applies each record the moment it decides on it, and the runtime's own application then changes nothing. Who acknowledges is
//! answered when the record is durable; who acquires, at once: what it is given may rest on an acknowledgement that a crash takes back,
//! and then the same crash has taken back what it was given.

use super::acquiring;
use super::messages::{Acknowledgement, AcquireReply, AcquireRequest, Event, Next, NextReply, Policy, ShareError};
use super::partition::{Durable, Held, LEADER_EPOCH, Soft, end, next_available};
use super::ranges::{Ranges, Span};
use super::records::{Key, Record, Snapshot, State, StateBatch, Update};
use super::settling;
use crate::coordinator::{Effects, StateMachine};
use crate::ids::{Offset, Timestamp, TopicId};
use crate::log::Waiter;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Weak};

type Out = Effects<Record, Key>;

/// The settings of all shards.
#[derive(Debug, Clone, Copy)]
pub struct ShareSettings {
    /// `share.coordinator.snapshot.update.records.per.snapshot`
    pub updates_per_snapshot: i32,
}

/// See the file's header. Timers: when it is looked at which locks of a share-partition have ended.
#[derive(Debug)]
pub struct ShareShard {
    settings: ShareSettings,
    pub(super) durable: BTreeMap<Key, Durable>,
    pub(super) soft: HashMap<Key, Soft>,
}

impl ShareShard {
    #[must_use]
    pub fn new(settings: ShareSettings) -> ShareShard {
        ShareShard { settings, durable: BTreeMap::new(), soft: HashMap::new() }
    }

    fn next(&mut self, key: &Key, policy: Policy, waiter: Weak<Waiter>) -> NextReply {
        let durable = self.durable.get(key).ok_or(ShareError::NotInitialised)?;
        let start = durable.start.ok_or(ShareError::NotInitialised)?;
        let soft = self.soft.entry(key.clone()).or_default();
        soft.policy = Some(policy);
        soft.watch(waiter);
        let at = next_available(durable, soft);
        let end = end(durable, soft);
        let is_full = at == end && end.0.saturating_sub(start.0) >= policy.locks_max;
        Ok(if is_full { Next::Full } else { Next::At(at) })
    }

    fn begin(&mut self, key: &Key, start: Offset, now: Timestamp, out: &mut Out) {
        if self.durable.get(key).is_none_or(|durable| durable.start.is_none()) {
            let epoch = self.durable.get(key).map_or(0, |durable| durable.state_epoch);
            self.reset(key, Some(start), epoch, now, out);
        }
    }

    fn acquire(&mut self, key: &Key, policy: Policy, request: &AcquireRequest, now: Timestamp, out: &mut Out) -> AcquireReply {
        let durable = self.durable.get(key).filter(|durable| durable.start.is_some()).ok_or(ShareError::NotInitialised)?;
        let soft = self.soft.entry(key.clone()).or_default();
        soft.policy = Some(policy);
        let mut plan = acquiring::plan(durable, soft, request, &policy);
        let until = now.plus_ms(policy.lock_ms);
        acquiring::hold(soft, &plan, request, until);
        if !plan.acquired.is_empty() {
            lock_ends(soft, key, until, out);
        }
        self.settle(key, std::mem::take(&mut plan.changes), now, out);
        Ok(plan.acquired)
    }

    fn acknowledge(
        &mut self,
        key: &Key,
        policy: Policy,
        member: &str,
        acknowledgements: &[Acknowledgement],
        now: Timestamp,
        out: &mut Out,
    ) -> Result<(), ShareError> {
        let durable = self.durable.get(key).ok_or(ShareError::NotInitialised)?;
        let soft = self.soft.entry(key.clone()).or_default();
        soft.policy = Some(policy);
        let plan = settling::plan(durable, soft, member, acknowledgements, &policy)?;
        let until = now.plus_ms(policy.lock_ms);
        for (span, held) in plan.renewed {
            soft.held.set(span, Held { until, ..held });
            lock_ends(soft, key, until, out);
        }
        self.settle(key, plan.changes, now, out);
        Ok(())
    }

    /// Releases what `which` holds for.
    fn release(&mut self, key: &Key, which: impl Fn(&Held) -> bool, now: Timestamp, out: &mut Out) {
        let Some(soft) = self.soft.get(key) else { return };
        // Who was given records was told of the partition's policy.
        let Some(policy) = soft.policy else { return };
        let changes = settling::release(soft, policy.deliveries_max, which);
        self.settle(key, changes, now, out);
    }

    /// Makes `changes`, which are in order, moves the start behind what is settled, and wakes who waits for either.
    fn settle(&mut self, key: &Key, changes: Vec<StateBatch>, now: Timestamp, out: &mut Out) {
        let Some(durable) = self.durable.get(key) else { return };
        let Some(start) = durable.start.filter(|_| !changes.is_empty()) else { return };
        let next = durable.first_unsettled(start, &changes);
        let soft = self.soft.entry(key.clone()).or_default();
        for change in &changes {
            soft.held.clear(change.span);
            if change.delivery.state == State::Available {
                soft.available_at(change.span.first);
            }
        }
        let is_news = next > start || changes.iter().any(|change| change.delivery.state == State::Available);
        self.move_on(key, next, changes, now, out);
        if is_news && let Some(soft) = self.soft.get(key) {
            soft.wake();
        }
    }

    /// Everything before `start` is gone from the log.
    fn trimmed(&mut self, key: &Key, start: Offset, now: Timestamp, out: &mut Out) {
        let Some(durable) = self.durable.get(key) else { return };
        if durable.start.is_none_or(|own| own >= start) {
            return;
        }
        let next = durable.first_unsettled(start, &[]);
        let soft = self.soft.entry(key.clone()).or_default();
        soft.held.clear(Span::new(Offset(i64::MIN), start.previous()));
        self.move_on(key, next, Vec::new(), now, out);
        if let Some(soft) = self.soft.get(key) {
            soft.wake();
        }
    }

    /// Writes changes and start; every so often, all that is known instead.
    fn move_on(&mut self, key: &Key, start: Offset, mut changes: Vec<StateBatch>, now: Timestamp, out: &mut Out) {
        let Some(durable) = self.durable.get_mut(key) else { return };
        changes.retain_mut(|change| {
            change.span.first = change.span.first.max(start);
            !change.span.is_empty()
        });
        let mut update = Update {
            snapshot_epoch: durable.snapshot_epoch,
            leader_epoch: LEADER_EPOCH,
            start: Some(start),
            complete_count: None,
            batches: changes,
        };
        durable.apply(&update);
        let soft = self.soft.entry(key.clone()).or_default();
        soft.updates = soft.updates.saturating_add(1);
        if soft.updates > self.settings.updates_per_snapshot {
            soft.updates = 0;
            let snapshot_epoch = durable.snapshot_epoch.saturating_add(1);
            let value = Snapshot { snapshot_epoch, created: now, written: now, ..durable.snapshot() };
            self.write(Record::Snapshot { key: key.clone(), value: Some(value) }, out);
        } else {
            update.complete_count = Some(durable.summary().complete_count);
            out.records.push(Record::Update { key: key.clone(), value: update });
        }
    }

    /// Begins anew at `start`.
    fn reset(&mut self, key: &Key, start: Option<Offset>, state_epoch: i32, now: Timestamp, out: &mut Out) {
        let before = self.durable.get(key);
        let value = Snapshot {
            snapshot_epoch: before.map_or(0, |before| before.snapshot_epoch.saturating_add(1)),
            state_epoch,
            leader_epoch: before.map_or(LEADER_EPOCH, |before| before.leader_epoch),
            start,
            complete_count: start.map(|_| 0),
            created: now,
            written: now,
            batches: Vec::new(),
        };
        let soft = self.soft.entry(key.clone()).or_default();
        soft.held = Ranges::default();
        soft.available_from = Offset(0);
        soft.updates = 0;
        soft.wake();
        self.write(Record::Snapshot { key: key.clone(), value: Some(value) }, out);
    }

    fn delete(&mut self, keys: Vec<Key>, out: &mut Out) {
        for key in keys {
            if let Some(soft) = self.soft.get(&key) {
                soft.wake();
            }
            out.timers.push((key.clone(), None));
            self.write(Record::Snapshot { key, value: None }, out);
        }
    }

    fn keys_of_group<'a>(&'a self, group: &Arc<str>) -> impl Iterator<Item = (&'a Key, &'a Durable)> {
        let group = group.clone();
        let first = Key { group: group.clone(), topic: TopicId::default(), partition: i32::MIN };
        self.durable.range(first..).take_while(move |(key, _)| key.group == group)
    }

    fn write(&mut self, record: Record, out: &mut Out) {
        out.records.push(record.clone());
        self.apply(record);
    }
}

/// Sees to it that somebody looks when a lock ends. The timer may come earlier, since not every lock is held to its end; then it is set anew.
fn lock_ends(soft: &mut Soft, key: &Key, until: Timestamp, out: &mut Out) {
    if soft.timer.is_none_or(|timer| timer > until) {
        soft.timer = Some(until);
        out.timers.push((key.clone(), Some(until)));
    }
}

impl StateMachine for ShareShard {
    type Event = Event;
    type Record = Record;
    type Timer = Key;
    type Request = Infallible;

    fn handle(&mut self, event: Event, now: Timestamp) -> Out {
        let mut out = Out::default();
        match event {
            Event::Next { key, policy, waiter, caller } => {
                let reply = self.next(&key, policy, waiter);
                out.reply_early(caller, reply);
            }
            Event::Begin { key, start, caller } => {
                self.begin(&key, start, now, &mut out);
                out.reply_early(caller, ());
            }
            Event::Acquire { key, policy, request, caller } => {
                let reply = self.acquire(&key, policy, &request, now, &mut out);
                out.reply_early(caller, reply);
            }
            Event::Acknowledge { key, policy, member, acknowledgements, caller } => {
                let reply = self.acknowledge(&key, policy, &member, &acknowledgements, now, &mut out);
                out.reply(caller, reply);
            }
            Event::Release { key, member, caller } => {
                self.release(&key, |held| held.member == member, now, &mut out);
                out.reply(caller, ());
            }
            Event::Trimmed { key, start, caller } => {
                self.trimmed(&key, start, now, &mut out);
                out.reply_early(caller, ());
            }
            Event::Describe { key, caller } => out.reply(caller, self.durable.get(&key).map(Durable::summary)),
            Event::Reset { key, start, state_epoch, caller } => {
                self.reset(&key, start, state_epoch, now, &mut out);
                out.reply(caller, ());
            }
            Event::Delete { key, caller } => {
                let known = self.durable.contains_key(&key).then_some(key);
                self.delete(known.into_iter().collect(), &mut out);
                out.reply(caller, ());
            }
            Event::DeleteGroup { group, caller } => {
                let keys = self.keys_of_group(&group).map(|(key, _)| key.clone()).collect();
                self.delete(keys, &mut out);
                out.reply(caller, ());
            }
            Event::TopicDeleted { topic, caller } => {
                let keys = self.durable.keys().filter(|key| key.topic == topic).cloned().collect();
                self.delete(keys, &mut out);
                out.reply(caller, ());
            }
        }
        out
    }

    fn expired(&mut self, key: Key, now: Timestamp) -> Out {
        let mut out = Out::default();
        self.release(&key, |held| held.until <= now, now, &mut out);
        if let Some(soft) = self.soft.get_mut(&key) {
            soft.timer = settling::first_end(soft);
            out.timers.push((key, soft.timer));
        }
        out
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Snapshot { key, value: Some(snapshot) } => {
                self.durable.insert(key, Durable::of(snapshot));
            }
            Record::Snapshot { key, value: None } => {
                self.durable.remove(&key);
                self.soft.remove(&key);
            }
            Record::Update { key, value } => {
                // One without a snapshot before it would be the rest of a share-partition that was deleted.
                if let Some(durable) = self.durable.get_mut(&key) {
                    durable.apply(&value);
                }
            }
        }
    }

    fn loaded(&mut self, _now: Timestamp) -> Out {
        Out::default()
    }

    fn clock_set(&mut self, by_ms: i64) {
        for soft in self.soft.values_mut() {
            soft.held.change_all(|held| held.until = held.until.plus_ms(by_ms));
            soft.timer = soft.timer.map(|timer| timer.plus_ms(by_ms));
        }
    }

    fn checkpoint(&self) -> Vec<Record> {
        let all = self.durable.iter();
        all.map(|(key, durable)| Record::Snapshot { key: key.clone(), value: Some(durable.snapshot()) }).collect()
    }
}
