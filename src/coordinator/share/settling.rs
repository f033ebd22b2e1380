//! What becomes of records that a member has: it acknowledges them, gives them back, or its lock ends.
//!
//! Source: SharePartition.acknowledge, releaseAcquiredRecords, releaseAcquisitionLockOnTimeout.

use super::messages::{Acknowledgement, Policy, ShareError, Verdict};
use super::partition::{Durable, Held, Soft, end};
use super::ranges::Span;
use super::records::{Delivery, State, StateBatch};
use crate::ids::{Offset, Timestamp};

/// What comes of an acknowledgement: all of it, or nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// In order.
    pub changes: Vec<StateBatch>,
    /// Records whose member needs more time.
    pub renewed: Vec<(Span, Held)>,
}

/// What acknowledgements of one member come to.
///
/// # Errors
/// [`ShareError::InvalidState`] for records that the member does not have, [`ShareError::InvalidRequest`] for offsets that nobody ever had.
pub(super) fn plan(
    durable: &Durable,
    soft: &Soft,
    member: &str,
    acknowledgements: &[Acknowledgement],
    policy: &Policy,
) -> Result<Plan, ShareError> {
    let start = durable.start.ok_or(ShareError::NotInitialised)?;
    let end = end(durable, soft);
    let mut plan = Plan::default();
    // Nothing may be acknowledged twice.
    let mut from = Offset(i64::MIN);
    for Acknowledgement { span, verdicts } in acknowledgements {
        if span.last < start {
            // The log was trimmed meanwhile, or an administrator moved the group: that is no fault of the member.
            continue;
        }
        if start == end {
            return Err(ShareError::InvalidState(
                "Batch record not found. The request batch offsets are not found in the cache.",
            ));
        }
        if span.first >= end {
            return Err(ShareError::InvalidRequest(
                "Batch record not found. The first offset in request is past acquired records.",
            ));
        }
        if span.last >= end {
            return Err(ShareError::InvalidRequest(
                "Batch record not found. The last offset in request is past acquired records.",
            ));
        }
        if span.first < from {
            return Err(ShareError::InvalidState(
                "The record state is invalid. The acknowledgement of delivery could not be completed.",
            ));
        }
        from = span.last.next();
        plan.acknowledge(soft, member, Span::new(span.first.max(start), span.last), span.first, verdicts, policy)?;
    }
    Ok(plan)
}

impl Plan {
    /// `first`: the offset that the first of several verdicts is about.
    fn acknowledge(
        &mut self,
        soft: &Soft,
        member: &str,
        span: Span,
        first: Offset,
        verdicts: &[Verdict],
        policy: &Policy,
    ) -> Result<(), ShareError> {
        let mut at = span.first;
        while at <= span.last {
            let held = soft.held.at(at);
            let (all, held) =
                held.ok_or(ShareError::InvalidState("The offset cannot be acknowledged. The offset is not acquired."))?;
            if &*held.member != member {
                return Err(ShareError::InvalidState("Member is not the owner of offset"));
            }
            let run = Span::new(at, all.last.min(span.last));
            let (verdict, run) = first_verdict(run, first, verdicts);
            self.settle(run, held, verdict, policy)?;
            at = run.last.next();
        }
        Ok(())
    }

    fn settle(&mut self, span: Span, held: &Held, verdict: Verdict, policy: &Policy) -> Result<(), ShareError> {
        let state = match verdict {
            Verdict::Accept => State::Acknowledged,
            Verdict::Gap | Verdict::Reject => State::Archived,
            Verdict::Release => released(held.count, policy.deliveries_max),
            Verdict::Renew if policy.may_renew => {
                self.renewed.push((span, held.clone()));
                return Ok(());
            }
            Verdict::Renew => {
                return Err(ShareError::InvalidState("Renewing acquisition locks is not enabled for the group."));
            }
        };
        self.changes.push(StateBatch { span, delivery: Delivery { state, count: held.count } });
        Ok(())
    }
}

/// The verdict about the front of `run`, and how much of it that is about. `first`: the offset of the first verdict, when there are several.
fn first_verdict(run: Span, first: Offset, verdicts: &[Verdict]) -> (Verdict, Span) {
    let [_, _, ..] = verdicts else { return (verdicts.first().copied().unwrap_or(Verdict::Gap), run) };
    let from = usize::try_from(run.first.0 - first.0).unwrap_or(usize::MAX);
    let about = verdicts.get(from..).unwrap_or_default();
    let verdict = about.first().copied().unwrap_or(Verdict::Gap);
    let most = usize::try_from(run.len()).unwrap_or(usize::MAX);
    let same = about.iter().take(most).take_while(|each| **each == verdict).count().max(1);
    let last = Offset(run.first.0.saturating_add(i64::try_from(same).unwrap_or(i64::MAX)).saturating_sub(1));
    (verdict, Span::new(run.first, run.last.min(last)))
}

/// What records become that somebody had and did not settle: available again, unless they were delivered as often as may be.
fn released(count: i16, deliveries_max: i16) -> State {
    if count >= deliveries_max { State::Archived } else { State::Available }
}

/// Releases what `which` holds for: who gave it back, or whose lock has ended.
pub(super) fn release(soft: &Soft, deliveries_max: i16, which: impl Fn(&Held) -> bool) -> Vec<StateBatch> {
    let all = soft.held_that(which).into_iter();
    all.map(|(span, held)| {
        let delivery = Delivery { state: released(held.count, deliveries_max), count: held.count };
        StateBatch { span, delivery }
    })
    .collect()
}

/// When the first lock ends.
pub(super) fn first_end(soft: &Soft) -> Option<Timestamp> {
    soft.held.iter().map(|(_, held)| held.until).min()
}
