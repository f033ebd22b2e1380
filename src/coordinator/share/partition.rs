//! A partition as one share group reads it: what became of each record, and who has which.
//!
//! ```text
//!            start                                        end
//!   settled    │  settled, acquired, available, in any order │  available, never delivered
//!
//!                 acquire                       accept
//!   Available ──────────────▶ Acquired ──────────────────────▶ Acknowledged
//!       ▲                      │  │ └──── reject, gap ────────▶ Archived ◀── void, compacted away, trimmed
//!       └── release, lock ends ┘  └────── lock ends, release, delivered as often as may be ──▶ Archived
//! ```
//! **Durable** ([`Durable`]): the start, and what became of records behind it. It is changed only by records, which set values, so that a
//! second application changes nothing. What has no entry is available and was never delivered, as far as the log knows.
//! **Soft** ([`Soft`]): who has acquired what, until when. A restart forgets it, and the records are available again, with the number
//! of deliveries that they had before.
//!
//! Invariants: the start never goes back, but when an administrator resets it; the offset at the start is not settled; no offset is
//! acquired twice; what is acquired lies behind the start and is not settled. From start to end there are at most as many offsets as
//! `share.partition.max.record.locks` allows, and the rest of one read's last batch. Source: KIP-932; SharePartition.

use super::messages::{Policy, Summary};
use super::ranges::{Ranges, Span};
use super::records::{Delivery, Snapshot, State, StateBatch, Update};
use crate::ids::{Offset, Timestamp};
use crate::log::Waiter;
use std::sync::{Arc, Weak};

/// With one node, leadership never changes hands.
pub(super) const LEADER_EPOCH: i32 = 0;
/// Sleeping fetches beyond this are looked through for those that are gone.
const WAITERS_FEW: usize = 16;

/// What the log says; see the file's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durable {
    pub snapshot_epoch: i32,
    pub state_epoch: i32,
    pub leader_epoch: i32,
    /// `None`: nobody has read there yet.
    pub start: Option<Offset>,
    pub created: Timestamp,
    pub written: Timestamp,
    /// Nothing before the start.
    pub deliveries: Ranges<Delivery>,
}

impl Durable {
    /// What a snapshot says.
    #[must_use]
    pub fn of(snapshot: Snapshot) -> Durable {
        let Snapshot { snapshot_epoch, state_epoch, leader_epoch, start, created, written, batches, .. } = snapshot;
        let deliveries = Ranges::default();
        let mut durable = Durable { snapshot_epoch, state_epoch, leader_epoch, start, created, written, deliveries };
        durable.set(&batches);
        durable
    }

    /// Takes over what an update says.
    pub fn apply(&mut self, update: &Update) {
        self.snapshot_epoch = update.snapshot_epoch;
        self.leader_epoch = self.leader_epoch.max(update.leader_epoch);
        self.set(&update.batches);
        if let Some(start) = update.start {
            self.start = Some(start);
            self.deliveries.clear(Span::new(Offset(i64::MIN), start.previous()));
        }
    }

    fn set(&mut self, batches: &[StateBatch]) {
        for StateBatch { span, delivery } in batches {
            match delivery {
                // That is what no entry says.
                Delivery { state: State::Available, count: 0 } => self.deliveries.clear(*span),
                delivery => self.deliveries.set(*span, *delivery),
            }
        }
    }

    /// All of it, as one record.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let batches = self.deliveries.iter().map(|(span, delivery)| StateBatch { span, delivery: *delivery });
        Snapshot {
            snapshot_epoch: self.snapshot_epoch,
            state_epoch: self.state_epoch,
            leader_epoch: self.leader_epoch,
            start: self.start,
            complete_count: self.start.map(|_| self.complete_count()),
            created: self.created,
            written: self.written,
            batches: batches.collect(),
        }
    }

    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            start: self.start,
            leader_epoch: self.leader_epoch,
            state_epoch: self.state_epoch,
            complete_count: self.complete_count(),
        }
    }

    /// How many offsets behind the start are settled (KIP-1226).
    fn complete_count(&self) -> i32 {
        let settled = self.deliveries.iter().filter(|(_, delivery)| delivery.state.is_settled());
        i32::try_from(settled.map(|(span, _)| span.len()).sum::<i64>()).unwrap_or(i32::MAX)
    }

    /// Whether `offset` is settled, and up to where it and its neighbours are.
    pub(super) fn settled_at(&self, offset: Offset) -> Option<Span> {
        self.deliveries.at(offset).filter(|(_, delivery)| delivery.state.is_settled()).map(|(span, _)| span)
    }

    /// Where the start goes when `changes`, which are in order, are made to what lies behind `from`.
    pub(super) fn first_unsettled(&self, from: Offset, changes: &[StateBatch]) -> Offset {
        let mut at = from;
        loop {
            let next = changes.partition_point(|change| change.span.last < at);
            let changed = changes.get(next).filter(|change| change.span.first <= at);
            at = match changed {
                Some(change) if change.delivery.state.is_settled() => change.span.last.next(),
                Some(_) => return at,
                None => match self.settled_at(at) {
                    // No change lies within: what is settled stays settled.
                    Some(span) => span.last.next(),
                    None => return at,
                },
            };
        }
    }
}

/// Who has some records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub member: Arc<str>,
    pub count: i16,
    pub until: Timestamp,
}

/// See the file's header.
#[derive(Debug)]
pub(super) struct Soft {
    pub held: Ranges<Held>,
    /// Nothing is available before this offset.
    pub available_from: Offset,
    /// The newest that the partition was told of.
    pub policy: Option<Policy>,
    /// Updates written since the last snapshot, or the restart.
    pub updates: i32,
    /// When it is looked at next which locks end.
    pub timer: Option<Timestamp>,
    /// Fetches that wait for a change here; bounded by the fetches in flight, since those that are gone are forgotten now and then.
    waiters: Vec<Weak<Waiter>>,
    waiters_many: usize,
}

impl Default for Soft {
    fn default() -> Soft {
        Soft {
            held: Ranges::default(),
            available_from: Offset(0),
            policy: None,
            updates: 0,
            timer: None,
            waiters: Vec::new(),
            waiters_many: WAITERS_FEW,
        }
    }
}

impl Soft {
    /// Wakes `waiter` from now on, when it does not yet.
    pub fn watch(&mut self, waiter: Weak<Waiter>) {
        if self.waiters.iter().any(|known| known.ptr_eq(&waiter)) {
            return;
        }
        if self.waiters.len() >= self.waiters_many {
            self.waiters.retain(|waiter| waiter.strong_count() > 0);
            self.waiters_many = WAITERS_FEW.max(2 * self.waiters.len());
        }
        self.waiters.push(waiter);
    }

    /// Wakes whoever waits for a change. They ask again through the mailbox, so after this event.
    pub fn wake(&self) {
        self.waiters.iter().filter_map(Weak::upgrade).for_each(|waiter| waiter.wake());
    }

    /// Something is available at `offset` again.
    pub fn available_at(&mut self, offset: Offset) {
        self.available_from = self.available_from.min(offset);
    }

    /// What `which` holds for, in order.
    pub fn held_that(&self, which: impl Fn(&Held) -> bool) -> Vec<(Span, Held)> {
        self.held.iter().filter(|(_, held)| which(held)).map(|(span, held)| (span, held.clone())).collect()
    }
}

/// What a run of offsets is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Available { count: i16 },
    Held,
    Settled,
}

/// The offset behind all that was ever acquired.
pub(super) fn end(durable: &Durable, soft: &Soft) -> Offset {
    let last = durable.deliveries.last().max(soft.held.last());
    last.map_or(Offset(0), Offset::next).max(durable.start.unwrap_or(Offset(0)))
}

/// What stands at `at`, and up to where that is the same; at most to `last`.
pub(super) fn piece(durable: &Durable, soft: &Soft, at: Offset, last: Offset) -> (Span, Piece) {
    if let Some((span, _)) = soft.held.at(at) {
        return (Span::new(at, span.last.min(last)), Piece::Held);
    }
    let (end, piece) = match durable.deliveries.at(at) {
        Some((span, delivery)) if delivery.state.is_settled() => (span.last, Piece::Settled),
        Some((span, delivery)) => (span.last, Piece::Available { count: delivery.count }),
        None => {
            let end = durable.deliveries.after(at).map_or(last, |(span, _)| span.first.previous());
            (end, Piece::Available { count: 0 })
        }
    };
    // What is held lies over what was available.
    let end = soft.held.after(at).map_or(end, |(span, _)| end.min(span.first.previous()));
    (Span::new(at, end.min(last)), piece)
}

/// Where something is available: the first such offset, which is the end when all before it is settled or held.
pub(super) fn next_available(durable: &Durable, soft: &mut Soft) -> Offset {
    let end = end(durable, soft);
    let mut at = soft.available_from.max(durable.start.unwrap_or(Offset(0)));
    while at < end {
        match piece(durable, soft, at, end) {
            (_, Piece::Available { .. }) => break,
            (span, _) => at = span.last.next(),
        }
    }
    soft.available_from = at.min(end);
    soft.available_from
}
