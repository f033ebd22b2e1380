//! How far an endpoint is: which events are under way, wait for another attempt, or are settled. Pure: no I/O, no clock.
//!
//! ```text
//!   read ──▶ waiting ──start──▶ running ──settle──▶ gone
//!               ▲                  │
//!               └─────── retry ────┘  (attempts + 1, due later)
//! ```
//! A *lane* is one partition that is read from front to back: the main one of each partition, whose committed offset is the group's, and one for
//! each range that is replayed. Of a lane, everything in `[committed, next)` that is not listed as unsettled is settled: that is also its
//! stored form, so a crash forgets what happened since it was stored, and nothing else.
//!
//! Events with the same order key in a lane are settled in the order of their offsets.
//!
//! Owner: the endpoint's task. Bound: the task stops reading while [`Progress::unsettled`] is at `hooks.in_retry_max`.

use crate::ids::{Timestamp, TopicId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Names a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey {
    pub topic: TopicId,
    pub partition: i32,
    /// 0: the partition's main lane; else a replay.
    pub replay: u64,
}

/// One event of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub lane: LaneKey,
    pub offset: i64,
}

/// An event that is read and not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Attempts that failed.
    pub attempts: u32,
    /// Not before this.
    pub due: Timestamp,
    /// Events of the same are one after the other; `None`: this one keeps no order.
    pub order: Option<u64>,
    pub is_running: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Lane {
    /// Where reading goes on.
    next: i64,
    /// Where it ends; `None`: never.
    end: Option<i64>,
    unsettled: BTreeMap<i64, Pending>,
}

/// See the file's header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    lanes: BTreeMap<LaneKey, Lane>,
    /// Lanes with unsettled events.
    busy: BTreeSet<LaneKey>,
    unsettled: usize,
    running: usize,
}

/// The stored form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub lanes: Vec<StoredLane>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLane {
    pub topic: TopicId,
    pub partition: i32,
    #[serde(default)]
    pub replay: u64,
    pub committed: i64,
    pub next: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
    /// Offset, attempts, due, order key.
    pub unsettled: Vec<(i64, u32, i64, Option<u64>)>,
}

impl StoredLane {
    #[must_use]
    pub fn key(&self) -> LaneKey {
        LaneKey { topic: self.topic, partition: self.partition, replay: self.replay }
    }
}

impl Progress {
    /// A lane that has read nothing yet; one that is there stays as it is.
    pub fn open(&mut self, key: LaneKey, next: i64, end: Option<i64>) {
        self.lanes.entry(key).or_insert_with(|| Lane { next, end, unsettled: BTreeMap::new() });
    }

    /// A main lane as it was stored, in the light of what its group has committed meanwhile: an offset behind all that was read, or before all
    /// that was settled, is somebody's decision and forgets the rest.
    pub fn restore(&mut self, stored: &StoredLane, committed: i64) {
        let key = stored.key();
        let is_ours = (stored.committed..=stored.next).contains(&committed);
        self.open(key, if is_ours { stored.next } else { committed }, stored.end);
        if !is_ours {
            return;
        }
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        for (offset, attempts, due, order) in stored.unsettled.iter().filter(|one| one.0 >= committed && one.0 < stored.next) {
            let pending = Pending { attempts: *attempts, due: Timestamp(*due), order: *order, is_running: false };
            if lane.unsettled.insert(*offset, pending).is_none() {
                self.unsettled += 1;
            }
        }
        if !lane.unsettled.is_empty() {
            self.busy.insert(key);
        }
    }

    /// What is to be stored: lanes of which there is more to know than where their group is.
    #[must_use]
    pub fn stored(&self) -> Stored {
        let is_told = |(key, lane): &(&LaneKey, &Lane)| key.replay != 0 || !lane.unsettled.is_empty();
        let lanes = self.lanes.iter().filter(is_told).map(|(key, lane)| StoredLane {
            topic: key.topic,
            partition: key.partition,
            replay: key.replay,
            committed: lane.committed(),
            next: lane.next,
            end: lane.end,
            unsettled: lane.unsettled.iter().map(|(offset, one)| (*offset, one.attempts, one.due.0, one.order)).collect(),
        });
        Stored { lanes: lanes.collect() }
    }

    #[must_use]
    pub fn has(&self, key: LaneKey) -> bool {
        self.lanes.contains_key(&key)
    }

    pub fn keys(&self) -> impl Iterator<Item = LaneKey> + '_ {
        self.lanes.keys().copied()
    }

    /// Whether a lane of its partition has the event, or comes to it.
    #[must_use]
    pub fn is_to_come(&self, place: Place) -> bool {
        let Place { lane: key, offset } = place;
        let mut lanes = self.lanes.range(LaneKey { replay: 0, ..key }..=LaneKey { replay: u64::MAX, ..key });
        lanes.any(|(_, lane)| {
            lane.unsettled.contains_key(&offset) || lane.next <= offset && lane.end.is_none_or(|end| offset < end)
        })
    }

    /// Where a lane is to be read, and where it ends; `None`: nowhere any more.
    #[must_use]
    pub fn reads(&self, key: LaneKey) -> Option<(i64, i64)> {
        let lane = self.lanes.get(&key)?;
        let end = lane.end.unwrap_or(i64::MAX);
        (lane.next < end).then_some((lane.next, end))
    }

    /// Everything before it is settled.
    #[must_use]
    pub fn committed(&self, key: LaneKey) -> Option<i64> {
        self.lanes.get(&key).map(Lane::committed)
    }

    /// An event was read that is wanted. One that lies before what was read already is ignored.
    pub fn read(&mut self, place: Place, order: Option<u64>, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(&place.lane) else { return };
        if place.offset < lane.next {
            return;
        }
        lane.next = place.offset + 1;
        lane.unsettled.insert(place.offset, Pending { attempts: 0, due: now, order, is_running: false });
        self.unsettled += 1;
        self.busy.insert(place.lane);
    }

    /// Everything before `next` was looked at.
    pub fn advance(&mut self, key: LaneKey, next: i64) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.next = lane.next.max(next);
        }
    }

    /// Goes on at `next`, wherever it was; what was under way is forgotten. As [`Progress::close`].
    pub fn reset(&mut self, key: LaneKey, next: i64) -> Vec<Place> {
        let end = self.lanes.get(&key).and_then(|lane| lane.end);
        let waited = self.close(key);
        self.open(key, next, end);
        waited
    }

    /// Forgets a lane; answers its unsettled events but those with an attempt under way.
    pub fn close(&mut self, key: LaneKey) -> Vec<Place> {
        let Some(lane) = self.lanes.remove(&key) else { return Vec::new() };
        self.unsettled -= lane.unsettled.len();
        self.busy.remove(&key);
        let waiting = lane.unsettled.iter().filter(|(_, one)| !one.is_running);
        let waited: Vec<Place> = waiting.map(|(offset, _)| Place { lane: key, offset: *offset }).collect();
        self.running -= lane.unsettled.len() - waited.len();
        waited
    }

    /// Replays that are done, which are forgotten; whether there were any.
    pub fn close_finished(&mut self) -> bool {
        let is_done = |lane: &Lane| lane.unsettled.is_empty() && lane.end.is_some_and(|end| lane.next >= end);
        let done: Vec<LaneKey> =
            self.lanes.iter().filter(|(key, lane)| key.replay != 0 && is_done(lane)).map(|(key, _)| *key).collect();
        for key in &done {
            self.close(*key);
        }
        !done.is_empty()
    }

    /// Up to `count` events that may be started now, those that are due for the longest first.
    #[must_use]
    pub fn startable(&self, now: Timestamp, count: usize) -> Vec<Place> {
        let mut found: Vec<(Timestamp, Place)> = Vec::new();
        let mut held = HashSet::new();
        for key in &self.busy {
            let Some(lane) = self.lanes.get(key) else { continue };
            held.clear();
            for (offset, one) in &lane.unsettled {
                let is_first = one.order.is_none_or(|order| held.insert(order));
                if is_first && !one.is_running && one.due <= now {
                    found.push((one.due, Place { lane: *key, offset: *offset }));
                }
            }
        }
        found.sort_unstable();
        found.truncate(count);
        found.into_iter().map(|(_, place)| place).collect()
    }

    /// Moves what is due, to later or (negative) earlier.
    pub fn shift(&mut self, by_ms: i64) {
        for one in self.lanes.values_mut().flat_map(|lane| lane.unsettled.values_mut()) {
            one.due = one.due.plus_ms(by_ms);
        }
    }

    /// Whether an earlier event of the same order failed, or is waited for.
    #[must_use]
    pub fn is_held_back(&self, place: Place, now: Timestamp) -> bool {
        let Some(lane) = self.lanes.get(&place.lane) else { return false };
        let Some(order) = lane.unsettled.get(&place.offset).and_then(|one| one.order) else { return false };
        lane.unsettled.range(..place.offset).any(|(_, one)| one.order == Some(order) && (one.attempts > 0 || one.due > now))
    }

    /// When the next event is due that waits and could be started then.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let mut held = HashSet::new();
        let mut least: Option<Timestamp> = None;
        for lane in self.busy.iter().filter_map(|key| self.lanes.get(key)) {
            held.clear();
            for one in lane.unsettled.values() {
                if one.order.is_none_or(|order| held.insert(order)) && !one.is_running {
                    least = Some(least.map_or(one.due, |least| least.min(one.due)));
                }
            }
        }
        least
    }

    #[must_use]
    pub fn pending(&self, place: Place) -> Option<Pending> {
        self.lanes.get(&place.lane)?.unsettled.get(&place.offset).copied()
    }

    fn pending_mut(&mut self, place: Place) -> Option<&mut Pending> {
        self.lanes.get_mut(&place.lane)?.unsettled.get_mut(&place.offset)
    }

    /// An attempt begins.
    pub fn start(&mut self, place: Place) {
        if let Some(one) = self.pending_mut(place)
            && !one.is_running
        {
            one.is_running = true;
            self.running += 1;
        }
    }

    /// Nothing is to be done for the event any more. One that is not there, because its lane was reset meanwhile, is ignored.
    pub fn settle(&mut self, place: Place) {
        let Some(lane) = self.lanes.get_mut(&place.lane) else { return };
        let Some(one) = lane.unsettled.remove(&place.offset) else { return };
        let is_idle = lane.unsettled.is_empty();
        self.unsettled -= 1;
        self.running -= usize::from(one.is_running);
        if is_idle {
            self.busy.remove(&place.lane);
        }
    }

    /// An attempt failed; the next one is due at `due`.
    pub fn retry(&mut self, place: Place, due: Timestamp) {
        self.put_back(place, due);
        if let Some(one) = self.pending_mut(place) {
            one.attempts = one.attempts.saturating_add(1);
        }
    }

    /// An attempt was not made after all.
    pub fn put_back(&mut self, place: Place, due: Timestamp) {
        let Some(one) = self.pending_mut(place) else { return };
        let was_running = std::mem::take(&mut one.is_running);
        one.due = due;
        self.running -= usize::from(was_running);
    }

    /// Events that are read and not settled.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Of these, the ones with an attempt under way.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }
}

impl Lane {
    fn committed(&self) -> i64 {
        self.unsettled.keys().next().copied().unwrap_or(self.next)
    }
}

#[cfg(test)]
mod tests;
