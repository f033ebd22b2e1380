//! Which of the records that were read a member gets.
//!
//! Source: SharePartition.acquire, acquireSubsetBatchRecords.

use super::messages::{AcquireMode, AcquireRequest, Acquired, Policy};
use super::partition::{Durable, Held, Piece, Soft, end, piece};
use super::ranges::Span;
use super::records::{Delivery, State, StateBatch};
use crate::ids::{Offset, Timestamp};

/// Offsets beyond what is wanted that a member gets so that it has whole batches. A batch may say that it has millions (nobody looks into a compressed one),
/// each of which may be settled by itself.
const REST_MAX: i64 = 1 << 16;

/// Below this many deliveries nothing is delivered in smaller portions, whatever the limit is
/// (MINIMUM_THROTTLE_RECORDS_DELIVERY_LIMIT).
const THROTTLED_FROM_MIN: i16 = 2;

/// What comes of a read.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What the member gets.
    pub acquired: Vec<Acquired>,
    /// Records that are there no more, or never shall be delivered.
    pub changes: Vec<StateBatch>,
}

/// One decision: reads the partition, and fills the plan.
struct Acquiring<'a> {
    durable: &'a Durable,
    soft: &'a Soft,
    request: &'a AcquireRequest,
    policy: &'a Policy,
    plan: Plan,
    /// How many records the member may still get.
    wanted: i64,
    /// How many offsets behind the end may still come under way.
    room: i64,
    end: Offset,
}

/// What a member gets of what was read. Nothing is changed yet but by [`hold`].
pub(super) fn plan(durable: &Durable, soft: &Soft, request: &AcquireRequest, policy: &Policy) -> Plan {
    let (Some(start), Some(first), Some(last)) = (durable.start, request.batches.first(), request.batches.last()) else {
        return Plan::default();
    };
    let end = end(durable, soft);
    let mut acquiring = Acquiring {
        durable,
        soft,
        request,
        policy,
        plan: Plan::default(),
        wanted: request.records_max,
        room: policy.locks_max.saturating_sub(end.0.saturating_sub(start.0)),
        end,
    };
    // What was to be read and is not there was compacted away.
    acquiring.archive_missing(Span::new(request.from.max(start), first.first.previous()));
    acquiring.walk(Span::new(first.first.max(start), last.last));
    acquiring.plan
}

/// Gives the member what the plan says.
pub(super) fn hold(soft: &mut Soft, plan: &Plan, request: &AcquireRequest, until: Timestamp) {
    for acquired in &plan.acquired {
        soft.held.set(acquired.span, Held { member: request.member.clone(), count: acquired.count, until });
    }
}

impl Acquiring<'_> {
    fn archive_missing(&mut self, missing: Span) {
        let mut at = missing.first;
        while at <= missing.last {
            let (span, piece) = piece(self.durable, self.soft, at, missing.last);
            if let Piece::Available { count } = piece {
                self.archive(span, count);
            }
            at = span.last.next();
        }
    }

    fn walk(&mut self, read: Span) {
        let mut at = read.first;
        while at <= read.last && self.wanted > 0 {
            let (mut span, piece) = piece(self.durable, self.soft, at, read.last);
            if at < self.end {
                // What was delivered before and what never was are different pieces, even when neither has an entry.
                span.last = span.last.min(self.end.previous());
            }
            if let Piece::Available { count } = piece {
                let Some(more) = self.take(span, count) else { return };
                span = more;
            }
            at = span.last.next();
        }
    }

    /// Takes from the front of `span`, which is available; answers what was dealt with, or `None` when that is all for now.
    fn take(&mut self, span: Span, count: i16) -> Option<Span> {
        let is_new = span.first >= self.end;
        if is_new && self.room <= 0 {
            return None;
        }
        let void = self.void_at(span.first);
        if let Some(void) = void.and_then(|void| void.within(span)) {
            self.archive(void, count);
            self.room -= if is_new { void.len() } else { 0 };
            return Some(void);
        }
        let mut taken = span;
        if let Some(void) = self.void_after(span.first) {
            taken.last = taken.last.min(void.first.previous());
        }
        let throttled = self.throttled(taken, count);
        if throttled.is_some() && !self.plan.acquired.is_empty() {
            // What may be the cause of failures is not delivered together with others.
            return None;
        }
        let most = if is_new { self.wanted.min(self.room) } else { self.wanted };
        taken.last = match throttled {
            Some(most_throttled) => taken.last.min(nth(taken.first, most_throttled.min(most))),
            None if taken.len() > most => self.cut(taken, most),
            None => taken.last,
        };
        self.wanted -= taken.len();
        self.room -= if is_new { taken.len() } else { 0 };
        self.add(taken, count.saturating_add(1));
        throttled.is_none().then_some(taken)
    }

    /// Where a run that is longer than `most` ends: with the batch that holds the last of them, unless exactly so many are asked for.
    fn cut(&self, run: Span, most: i64) -> Offset {
        let last = nth(run.first, most);
        match self.request.mode {
            AcquireMode::Records => last,
            AcquireMode::Batches => {
                let batch = self.request.batches.partition_point(|batch| batch.last < last);
                let batch = self.request.batches.get(batch).filter(|batch| batch.first <= last);
                batch.map_or(last, |batch| batch.last).min(run.last).min(Offset(last.0.saturating_add(REST_MAX)))
            }
        }
    }

    /// How many of a run are delivered together, after it was delivered `count` times; `None`: as many as there are. Half of what was
    /// delivered before, each time, and in the end one by one: so a record that makes its reader fail is alone before it is given up.
    fn throttled(&self, run: Span, count: i16) -> Option<i64> {
        let limit = self.policy.deliveries_max;
        let throttled_from = (limit / 2 + limit % 2).max(THROTTLED_FROM_MIN);
        if count < throttled_from {
            return None;
        }
        Some(if count >= limit - 1 { 1 } else { (run.len() / 2).max(1) })
    }

    /// Tells the member of a run, in ranges of about the size that it asks for, which end with batches.
    fn add(&mut self, run: Span, count: i16) {
        let mut first = run.first;
        if self.request.mode == AcquireMode::Batches {
            let batches = &self.request.batches;
            let from = batches.partition_point(|batch| batch.first <= run.first);
            for batch in batches.iter().skip(from).take_while(|batch| batch.first <= run.last) {
                if batch.first.0 - first.0 >= self.request.range_records.max(1) {
                    self.plan.acquired.push(Acquired { span: Span::new(first, batch.first.previous()), count });
                    first = batch.first;
                }
            }
        }
        self.plan.acquired.push(Acquired { span: Span::new(first, run.last), count });
    }

    fn archive(&mut self, span: Span, count: i16) {
        self.plan.changes.push(StateBatch { span, delivery: Delivery { state: State::Archived, count } });
    }

    fn void_at(&self, offset: Offset) -> Option<Span> {
        let at = self.request.void.partition_point(|void| void.last < offset);
        self.request.void.get(at).copied().filter(|void| void.first <= offset)
    }

    fn void_after(&self, offset: Offset) -> Option<Span> {
        let at = self.request.void.partition_point(|void| void.first <= offset);
        self.request.void.get(at).copied()
    }
}

/// The `count`-th offset from `first` on, `first` being the first.
fn nth(first: Offset, count: i64) -> Offset {
    Offset(first.0.saturating_add(count.max(1) - 1))
}
