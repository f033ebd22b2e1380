//! What members do between rebalances: ask for their assignment, say that they live, leave; and what happens when they do not.

use super::{ClassicGroup, State};
use crate::coordinator::Caller;
use crate::coordinator::group::Context;
use crate::coordinator::group::messages::{CommitRequest, GroupError, HeartbeatRequest, Leaving, SyncReply, SyncRequest, Synced};
use bytes::Bytes;
use std::collections::HashMap;

impl ClassicGroup {
    /// A member asks for its assignment; the leader's request ends the rebalance.
    pub fn sync(&mut self, request: SyncRequest, caller: Caller<SyncReply>, ctx: &mut Context) {
        if let Err(error) = self.check_sync(&request) {
            ctx.reply(caller, Err(error));
            return;
        }
        match self.state {
            State::CompletingRebalance => {
                self.sync_received(&request.member_id, ctx);
                if let Some(member) = self.members.get_mut(request.member_id.as_str()) {
                    member.await_sync(caller);
                }
                if self.is_leader(&request.member_id) {
                    self.assign(request.assignments, ctx);
                }
            }
            State::Stable => {
                self.sync_received(&request.member_id, ctx);
                let reply = self.synced(&request.member_id);
                ctx.reply(caller, reply);
            }
            State::PreparingRebalance => ctx.reply(caller, Err(GroupError::RebalanceInProgress)),
            State::Empty => ctx.reply(caller, Err(GroupError::UnknownMember)),
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), GroupError> {
        self.check_member(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differs = |given: &Option<String>, own: &Option<String>| given.is_some() && own.is_some() && given != own;
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol, &self.protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        Ok(())
    }

    fn sync_received(&mut self, member_id: &str, ctx: &mut Context) {
        self.pending_sync.remove(member_id);
        if self.pending_sync.is_empty() {
            ctx.cancel_timer(self.sync_timer());
        }
    }

    /// The leader has assigned: the generation stands once its record is durable, and no answer leaves before.
    fn assign(&mut self, assignments: Vec<(String, Bytes)>, ctx: &mut Context) {
        let mut assignments: HashMap<String, Bytes> = assignments.into_iter().collect();
        for member in self.members.values_mut() {
            member.assignment = assignments.remove(&*member.id).unwrap_or_default();
        }
        self.enter(State::Stable, ctx.now);
        ctx.out.records.push(self.record());
        self.answer_syncs(None, ctx);
    }

    pub(super) fn synced(&self, member_id: &str) -> SyncReply {
        let member = self.members.get(member_id).ok_or(GroupError::UnknownMember)?;
        let (protocol_type, protocol) = (self.protocol_type.clone(), self.protocol.clone());
        Ok(Synced { protocol_type, protocol, assignment: member.assignment.clone() })
    }

    /// A member says that it lives.
    ///
    /// # Errors
    /// What the member has to do about its membership.
    pub fn heartbeat(&self, request: &HeartbeatRequest, ctx: &mut Context) -> Result<(), GroupError> {
        self.check_member(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.heard_of(&request.member_id, ctx);
        match self.state {
            State::Empty => Err(GroupError::UnknownMember),
            State::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    fn heard_of(&self, member_id: &str, ctx: &mut Context) {
        if let Some(member) = self.members.get(member_id) {
            self.restart_session(member, ctx);
        }
    }

    /// Whether an offset commit may go ahead; one that may keeps its member's session alive (ClassicGroup.validateOffsetCommit).
    ///
    /// # Errors
    /// What the member has to do about its membership.
    pub fn check_commit(&self, request: &CommitRequest, ctx: &mut Context) -> Result<(), GroupError> {
        if request.generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if request.generation < 0 && request.member_id.is_empty() && request.instance_id.is_none() {
            if request.is_transactional {
                // Producers of before KIP-447 do not say for which member they commit; their own epoch fences them.
                return Ok(());
            }
            // Somebody who does not take part would overwrite what members commit.
            return Err(GroupError::UnknownMember);
        }
        self.check_member(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        match self.state {
            _ if request.is_transactional => Ok(()),
            State::CompletingRebalance => Err(GroupError::RebalanceInProgress),
            State::Empty | State::PreparingRebalance | State::Stable => {
                self.heard_of(&request.member_id, ctx);
                Ok(())
            }
        }
    }

    /// Members leave, or are removed by an administrator. One result each; the group rebalances once.
    pub fn leave(&mut self, members: &[Leaving], ctx: &mut Context) -> Vec<Result<(), GroupError>> {
        let results: Vec<_> = members.iter().map(|leaving| self.leave_one(leaving, ctx)).collect();
        if results.iter().any(Result::is_ok) {
            match self.state {
                State::Stable | State::CompletingRebalance => self.rebalance(ctx),
                State::PreparingRebalance => self.join_phase_maybe_over(ctx),
                State::Empty => {}
            }
        }
        results
    }

    fn leave_one(&mut self, leaving: &Leaving, ctx: &mut Context) -> Result<(), GroupError> {
        let instance_id = leaving.instance_id.as_deref();
        let id = if leaving.member_id.is_empty() {
            let holder = instance_id.and_then(|instance_id| self.static_members.get(instance_id));
            holder.cloned().ok_or(GroupError::UnknownMember)?
        } else if let Some(pending) = self.pending_join.get(leaving.member_id.as_str()) {
            pending.clone()
        } else {
            self.check_member(&leaving.member_id, instance_id)?;
            leaving.member_id.as_str().into()
        };
        ctx.cancel_timer(self.session_timer(&id));
        self.remove(&id, ctx);
        Ok(())
    }

    /// A session timer is due: the member, or the id that nobody came back with, is dropped.
    pub fn session_due(&mut self, member_id: &str, ctx: &mut Context) {
        let is_pending = self.pending_join.contains(member_id);
        // Whoever waits for the group's next step is not late; its session starts again when it is answered.
        let is_late = self.members.get(member_id).is_some_and(|member| !member.is_excused());
        if !is_pending && !is_late {
            return;
        }
        self.remove(member_id, ctx);
        match self.state {
            State::Stable | State::CompletingRebalance if is_late => self.rebalance(ctx),
            // Unlike a join, a departure may end the first rebalance of a group early: those who are left have all come.
            State::PreparingRebalance if self.has_all_joined() => self.complete_join_phase(ctx),
            _ => {}
        }
    }
}
