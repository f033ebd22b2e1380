//! JoinGroup: who gets in, under which id, and whether that disturbs the group.

use super::{ClassicGroup, Member, State};
use crate::coordinator::Caller;
use crate::coordinator::group::Context;
use crate::coordinator::group::context::NEW_MEMBER_JOIN_TIMEOUT_MS;
use crate::coordinator::group::messages::{GroupError, JoinReply, JoinRequest, Joined};
use std::sync::Arc;
use uuid::Uuid;

impl ClassicGroup {
    /// A member joins. `fresh`: the unique part of its id, if it needs one.
    pub fn join(&mut self, request: JoinRequest, fresh: Uuid, caller: Caller<JoinReply>, ctx: &mut Context) {
        if !self.has_room_for(&request.member_id, ctx.settings.members_max) {
            self.remove(&request.member_id, ctx);
            ctx.refuse_join(caller, GroupError::MaxSizeReached, "");
        } else if !self.supports(&request.protocol_type, &request.protocols) {
            ctx.refuse_join(caller, GroupError::InconsistentProtocol, &request.member_id);
        } else if request.member_id.is_empty() {
            self.join_unknown(request, fresh, caller, ctx);
        } else {
            self.join_known(request, caller, ctx);
        }
    }

    /// While a rebalance is prepared, those who wait count, so that the last to come back are left out of a group that has become too
    /// large (GroupMetadataManager.acceptJoiningMember).
    fn has_room_for(&self, member_id: &str, members_max: usize) -> bool {
        let member = self.members.get(member_id);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                member.is_some_and(Member::is_awaiting_join)
                    || self.members.values().filter(|member| member.is_awaiting_join()).count() < members_max
            }
            State::CompletingRebalance | State::Stable => member.is_some() || self.members.len() < members_max,
        }
    }

    fn join_unknown(&mut self, request: JoinRequest, fresh: Uuid, caller: Caller<JoinReply>, ctx: &mut Context) {
        let prefix = request.instance_id.as_deref().unwrap_or(&request.client_id);
        let id: Arc<str> = Arc::from(format!("{prefix}-{fresh}"));
        let holder = request.instance_id.as_deref().and_then(|instance_id| self.static_members.get(instance_id));
        if let Some(old) = holder.cloned() {
            self.replace_static(old, id, request, caller, ctx);
        } else if request.instance_id.is_none() && request.is_id_required {
            // Only clients that come back become members, so that retried joins leave nothing behind (KIP-394).
            self.pending_join.insert(id.clone());
            ctx.set_timer(self.session_timer(&id), i64::from(request.session_timeout_ms));
            ctx.refuse_join(caller, GroupError::MemberIdRequired, &id);
        } else {
            self.join_added(id, request, caller, ctx);
        }
    }

    fn join_known(&mut self, request: JoinRequest, caller: Caller<JoinReply>, ctx: &mut Context) {
        let pending = self.pending_join.get(request.member_id.as_str()).filter(|_| request.instance_id.is_none());
        if let Some(id) = pending.cloned() {
            self.join_added(id, request, caller, ctx);
            return;
        }
        if let Err(error) = self.check_member(&request.member_id, request.instance_id.as_deref()) {
            ctx.refuse_join(caller, error, &request.member_id);
            return;
        }
        let is_leader = self.is_leader(&request.member_id);
        let Some(member) = self.members.get_mut(request.member_id.as_str()) else { return };
        // A follower that brings nothing new in a generation that stands has only missed an answer. A leader may know of new
        // partitions, so it starts a rebalance by joining again.
        let has_news = match self.state {
            State::CompletingRebalance => member.protocols != request.protocols,
            State::Stable => is_leader || member.protocols != request.protocols,
            State::PreparingRebalance | State::Empty => true,
        };
        if has_news {
            member.update(request, caller);
            self.rebalance(ctx);
        } else {
            let joined = self.joined(&request.member_id);
            ctx.reply(caller, Ok(joined));
        }
    }

    fn join_added(&mut self, id: Arc<str>, request: JoinRequest, caller: Caller<JoinReply>, ctx: &mut Context) {
        if let Some(initial) = &mut self.initial {
            initial.has_new_member = true;
        }
        let timer = self.session_timer(&id);
        self.add(Member::joining(id, request, caller));
        // The member cannot send heartbeats while its join waits, and whether its client is still there cannot be seen.
        ctx.set_timer(timer, NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.rebalance(ctx);
    }

    /// A static member comes back after a restart, without its id: it takes its place again under a new one (KIP-345).
    fn replace_static(
        &mut self,
        old: Arc<str>,
        id: Arc<str>,
        request: JoinRequest,
        caller: Caller<JoinReply>,
        ctx: &mut Context,
    ) {
        let (Some(member), Some(instance_id)) = (self.members.remove(&old), request.instance_id.clone()) else { return };
        let leader_before = self.leader.clone();
        let can_skip_assignment = request.can_skip_assignment;
        let mut member = member.reincarnated(id.clone(), ctx);
        member.update(request, caller);
        ctx.cancel_timer(self.session_timer(&old));
        self.restart_session(&member, ctx);
        if self.is_leader(&old) {
            self.leader = Some(id.clone());
        }
        if self.pending_sync.remove(&old) {
            self.pending_sync.insert(id.clone());
        }
        self.static_members.insert(instance_id, id.clone());
        self.members.insert(id.clone(), member);

        if self.state == State::Stable && self.select_protocol() == self.protocol {
            // Nothing changes for the others: the new id becomes durable, and the assignment stays.
            ctx.out.records.push(self.record());
            let joined = self.returned(&id, leader_before.as_deref(), can_skip_assignment);
            if let Some(member) = self.members.get_mut(&id) {
                member.complete_join(joined, ctx);
            }
        } else {
            // While the leader assigns, it may have been told the old id: start over.
            self.rebalance(ctx);
        }
    }

    /// What a returning static member is told when the group goes on undisturbed.
    fn returned(&self, member_id: &str, leader_before: Option<&str>, can_skip_assignment: bool) -> Joined {
        if can_skip_assignment {
            return Joined { skip_assignment: self.is_leader(member_id), ..self.joined(member_id) };
        }
        // An older client would assign if it were told that it leads: it is told the leader's former id (KIP-345).
        Joined { leader: leader_before.unwrap_or_default().to_owned(), members: Vec::new(), ..self.joined(member_id) }
    }

    /// The current generation, as `member_id` is told of it.
    pub(super) fn joined(&self, member_id: &str) -> Joined {
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.as_deref().unwrap_or_default().to_owned(),
            skip_assignment: false,
            member_id: member_id.to_owned(),
            members: if self.is_leader(member_id) { self.joined_members() } else { Vec::new() },
        }
    }
}
