//! The two phases of a rebalance: everyone joins (PreparingRebalance), then the leader assigns (CompletingRebalance).
//!
//! The join phase ends when all members have joined and no id that was given out is outstanding, or when the rebalance timeout
//! is over: dynamic members that have not come are dropped. The first rebalance of an empty group waits
//! `group.initial.rebalance.delay.ms` instead, again and again while members arrive, at most the rebalance timeout (KIP-134).

use super::{ClassicGroup, State};
use crate::coordinator::group::Context;
use crate::coordinator::group::messages::GroupError;
use bytes::Bytes;

/// How often at most it is looked whether static members of whom none came are still there.
const REJOIN_PAUSE_MS: i64 = 1_000;

/// How the first rebalance of an empty group waits for more members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitialDelay {
    /// The wait under way.
    delay_ms: i64,
    /// What is left of the rebalance timeout.
    remaining_ms: i64,
    /// Somebody joined during the wait under way.
    pub has_new_member: bool,
}

impl ClassicGroup {
    /// Something has changed: starts a rebalance, or sees whether the one under way can go on.
    pub fn rebalance(&mut self, ctx: &mut Context) {
        if self.state == State::PreparingRebalance {
            self.join_phase_maybe_over(ctx);
        } else {
            self.prepare_rebalance(ctx);
        }
    }

    /// Ends the join phase if nobody is missing; the first rebalance of an empty group ends by its timer only.
    pub(super) fn join_phase_maybe_over(&mut self, ctx: &mut Context) {
        if self.state == State::PreparingRebalance && self.initial.is_none() && self.has_all_joined() {
            self.complete_join_phase(ctx);
        }
    }

    fn prepare_rebalance(&mut self, ctx: &mut Context) {
        if self.state == State::CompletingRebalance {
            self.cancel_syncs(ctx);
        }
        self.pending_sync.clear();
        ctx.cancel_timer(self.sync_timer());
        if self.state == State::Empty {
            let delay_ms = ctx.settings.initial_rebalance_delay_ms;
            let remaining_ms = (self.rebalance_timeout_ms() - delay_ms).max(0);
            self.initial = Some(InitialDelay { delay_ms, remaining_ms, has_new_member: false });
            self.enter(State::PreparingRebalance, ctx.now);
            ctx.set_timer(self.join_timer(), delay_ms);
            return;
        }
        self.enter(State::PreparingRebalance, ctx.now);
        if self.has_all_joined() {
            self.complete_join_phase(ctx);
        } else {
            ctx.set_timer(self.join_timer(), self.rebalance_timeout_ms());
        }
    }

    /// The generation that was being assigned is void: whoever waits for it has to join again.
    fn cancel_syncs(&mut self, ctx: &mut Context) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
        self.answer_syncs(Some(GroupError::RebalanceInProgress), ctx);
    }

    /// Answers the members that wait for the assignment, and lets their sessions run again: they stood still.
    pub(super) fn answer_syncs(&mut self, error: Option<GroupError>, ctx: &mut Context) {
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let reply = match error {
                Some(error) => Err(error),
                None => self.synced(&id),
            };
            let Some(member) = self.members.get_mut(&id) else { continue };
            if member.complete_sync(reply, ctx) {
                let session_timeout_ms = i64::from(member.session_timeout_ms);
                ctx.set_timer(self.session_timer(&id), session_timeout_ms);
            }
        }
    }

    /// The join timer is due.
    pub fn join_phase_due(&mut self, ctx: &mut Context) {
        if self.state != State::PreparingRebalance {
            return;
        }
        if let Some(initial) = self.initial
            && initial.has_new_member
            && initial.remaining_ms > 0
        {
            let delay_ms = ctx.settings.initial_rebalance_delay_ms.min(initial.remaining_ms);
            let remaining_ms = (initial.remaining_ms - initial.delay_ms).max(0);
            self.initial = Some(InitialDelay { delay_ms, remaining_ms, has_new_member: false });
            ctx.set_timer(self.join_timer(), delay_ms);
            return;
        }
        self.complete_join_phase(ctx);
    }

    /// Starts the next generation with those who joined; static members keep their place without.
    pub(super) fn complete_join_phase(&mut self, ctx: &mut Context) {
        self.initial = None;
        ctx.cancel_timer(self.join_timer());
        let missing = self.members.values().filter(|member| !member.is_awaiting_join() && !member.is_static());
        let missing: Vec<_> = missing.map(|member| member.id.clone()).collect();
        for id in missing {
            self.remove(&id, ctx);
            ctx.cancel_timer(self.session_timer(&id));
        }
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Only static members are left, and none of them came: their sessions decide. Not looked at again and again without a pause where
            // their rebalance timeouts are none.
            ctx.set_timer(self.join_timer(), self.rebalance_timeout_ms().max(REJOIN_PAUSE_MS));
            return;
        }
        // It would take 68 years of rebalances each second to get past the last generation.
        self.generation = self.generation.saturating_add(1);
        self.pending_sync.clear();
        if self.members.is_empty() {
            self.protocol = None;
            self.subscribed = self.subscriptions();
            self.enter(State::Empty, ctx.now);
            ctx.out.records.push(self.record());
        } else {
            self.protocol = self.select_protocol();
            self.subscribed = self.subscriptions();
            self.enter(State::CompletingRebalance, ctx.now);
            self.announce_generation(ctx);
        }
    }

    /// Makes sure that the leader is one who joined, and so will hear that it leads; `false` when nobody joined.
    fn elect_joined_leader(&mut self) -> bool {
        let leader = self.leader.as_deref().and_then(|leader| self.members.get(leader));
        if leader.is_some_and(|leader| leader.is_awaiting_join()) {
            return true;
        }
        let joined = self.members.values().find(|member| member.is_awaiting_join());
        let Some(joined) = joined.map(|member| member.id.clone()) else { return false };
        self.leader = Some(joined);
        true
    }

    fn announce_generation(&mut self, ctx: &mut Context) {
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.complete_join(joined, ctx);
            member.is_new = false;
            let session_timeout_ms = i64::from(member.session_timeout_ms);
            ctx.set_timer(self.session_timer(&id), session_timeout_ms);
            self.pending_sync.insert(id);
        }
        ctx.set_timer(self.sync_timer(), self.rebalance_timeout_ms());
    }

    /// The sync timer is due: members that joined and never asked for their assignment are dropped (KAFKA-10134).
    pub fn sync_phase_due(&mut self, ctx: &mut Context) {
        let stands = matches!(self.state, State::CompletingRebalance | State::Stable);
        if !stands || self.pending_sync.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.pending_sync) {
            self.remove(&id, ctx);
            ctx.cancel_timer(self.session_timer(&id));
        }
        self.prepare_rebalance(ctx);
    }

    /// After the log was read: sessions start anew, and a group that is now too large rebalances, to leave the surplus out.
    pub fn resume(&mut self, ctx: &mut Context) {
        for member in self.members.values() {
            self.restart_session(member, ctx);
        }
        if self.members.len() > ctx.settings.members_max {
            self.prepare_rebalance(ctx);
        }
    }
}
