//! Members that still speak the classic protocol, in a group that the server assigns for (KIP-848's migration).
//!
//! Such a member joins, is answered at once with its epoch for a generation, and syncs to learn what it owns. When it has to give
//! something up, or may have more, its heartbeats answer REBALANCE_IN_PROGRESS until it joins again, with what it owns then in its
//! subscription: a heartbeat of the other protocol in three requests. Nobody leads. Source:
//! GroupMetadataManager.classicGroup{Join,Sync,Heartbeat,Leave}ToConsumerGroup.

use super::{CONSUMER, Change, ConsumerGroup, Member};
use crate::coordinator::group::embedded::{self, Subscription};
use crate::coordinator::group::messages::{
    GroupError, HeartbeatRequest, JoinRefused, JoinReply, JoinRequest, Joined, Leaving, Protocol, SyncReply, SyncRequest, Synced,
};
use crate::coordinator::group::records::consumer::{ClassicMetadata, MemberMetadata, MemberState};
use crate::coordinator::group::{GroupSettings, Timer, migration};
use std::sync::Arc;
use uuid::Uuid;

impl ConsumerGroup {
    /// Whether a member with these protocols fits in: all classic members must have one in common.
    fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        let classic = || self.members.values().filter_map(|member| member.metadata.classic.as_ref());
        let is_common = |one: &Protocol| classic().all(|member| member.protocols.iter().any(|own| own.name == one.name));
        protocol_type == CONSUMER && protocols.iter().any(is_common)
    }

    /// Whether a classic member may join.
    fn admit_classic(&self, request: &JoinRequest, settings: &GroupSettings) -> Result<(), GroupError> {
        let id = request.member_id.as_str();
        // Kafka's ConsumerProtocolMigrationTest wants it so.
        if !settings.migration.is_enabled() {
            return Err(GroupError::InconsistentProtocol);
        }
        if !self.members.contains_key(id) && self.members.len() >= settings.consumer_members_max {
            return Err(GroupError::MaxSizeReached);
        }
        if !self.supports(&request.protocol_type, &request.protocols) {
            return Err(GroupError::InconsistentProtocol);
        }
        if !id.is_empty() && request.instance_id.is_some() {
            self.member(id, request.instance_id.as_deref())?;
        }
        Ok(())
    }

    /// The member that makes a classic request in this group.
    fn classic_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(&Member, &ClassicMetadata), GroupError> {
        let member = self.member(member_id, instance_id)?;
        let classic = member.metadata.classic.as_ref().ok_or(GroupError::UnknownMember)?;
        if member.current.epoch == generation { Ok((member, classic)) } else { Err(GroupError::IllegalGeneration) }
    }

    /// Whether part of the member's target is still somebody else's.
    fn waits_for_others(&self, id: &str, member: &Member) -> bool {
        let is_own = |topic, partition| member.current.assigned.get(topic).is_some_and(|own| own.contains_key(partition));
        let target = self.targets.get(id).into_iter().flatten();
        target
            .flat_map(|(topic, partitions)| partitions.iter().map(move |partition| (topic, partition)))
            .any(|(topic, partition)| !is_own(topic, partition) && self.owners.contains_key(&(*topic, *partition)))
    }
}

impl Change<'_, '_> {
    /// A classic member joins, or joins again. `fresh` becomes the id of one that has none.
    ///
    /// # Errors
    /// What it has to do instead.
    pub fn join(&mut self, request: JoinRequest, fresh: Uuid) -> JoinReply {
        let refused = |error, member_id: &str| Err(JoinRefused { error, member_id: member_id.to_owned() });
        // Unlike a classic group, Kafka does not say the member's id back to it here.
        if let Err(error) = self.group.admit_classic(&request, self.ctx.settings) {
            return refused(error, "");
        }
        let is_new = request.member_id.is_empty();
        let id = if is_new { fresh.to_string() } else { request.member_id.clone() };
        if is_new && request.instance_id.is_none() && request.is_id_required {
            return refused(GroupError::MemberIdRequired, &id);
        }
        let metadata = request.protocols.first().map(|protocol| Subscription::read(&protocol.metadata));
        let Some(Ok(subscription)) = metadata else { return refused(GroupError::InconsistentProtocol, "") };
        if let Some(instance_id) = request.instance_id.as_deref().filter(|_| is_new) {
            self.take_place(instance_id, &id);
        }
        let (session_timeout_ms, rebalance_timeout_ms) = (request.session_timeout_ms, request.rebalance_timeout_ms);
        let protocol = request.protocols.first().map(|protocol| protocol.name.clone());
        let owned = embedded::by_id(&subscription.owned, self.catalog);
        let subscribed = self.update(&id, |former| MemberMetadata {
            instance_id: request.instance_id.or(former.instance_id),
            rack_id: subscription.rack_id.or(former.rack_id),
            client_id: request.client_id,
            client_host: request.client_host,
            topics: subscription.topics,
            regex: None,
            rebalance_timeout_ms,
            assignor: former.assignor,
            classic: Some(ClassicMetadata { session_timeout_ms, protocols: request.protocols }),
        });
        self.refresh(subscribed.has_changed());
        // Where the group is about to become a classic one, its leader assigns.
        if !migration::is_downgrade(self.group, &[], self.ctx.settings) {
            self.update_target();
        }
        self.reconcile(&id, subscribed.has_changed(), Some(&owned));
        let member: Arc<str> = Arc::from(id.as_str());
        self.soft.awaited.remove(&member);
        let group = self.id.clone();
        self.ctx.cancel_timer(Timer::Rejoin { group: group.clone(), member: member.clone() });
        let timer = self.session_timer(&id);
        self.ctx.set_timer(timer, i64::from(session_timeout_ms));
        self.ctx.set_timer(Timer::MemberSync { group, member }, i64::from(rebalance_timeout_ms));
        Ok(Joined {
            generation: self.current(&id).epoch,
            protocol_type: Some(CONSUMER.to_owned()),
            protocol,
            leader: String::new(),
            skip_assignment: false,
            member_id: id,
            members: Vec::new(),
        })
    }

    /// A classic member asks for what it owns.
    ///
    /// # Errors
    /// [`GroupError::RebalanceInProgress`] when there is a newer target, and what the member has to do about its membership.
    pub fn sync(&mut self, request: &SyncRequest) -> SyncReply {
        let id = request.member_id.as_str();
        let (member, classic) = self.group.classic_member(id, request.instance_id.as_deref(), request.generation)?;
        let protocol = classic.protocols.first().ok_or(GroupError::InconsistentProtocol)?;
        let is_of_type = request.protocol_type.as_deref().is_none_or(|given| given == CONSUMER);
        if !is_of_type || request.protocol.as_deref().is_some_and(|given| given != protocol.name) {
            return Err(GroupError::InconsistentProtocol);
        }
        // One that has to give partitions up has joined already: it learns here which ones.
        if self.group.assignment_epoch > member.current.epoch && member.current.state != MemberState::Unrevoked {
            let rebalance_timeout_ms = member.metadata.rebalance_timeout_ms;
            self.await_rejoin(id, rebalance_timeout_ms);
            return Err(GroupError::RebalanceInProgress);
        }
        let partitions = member.current.assigned.iter().map(|(topic, own)| (*topic, own.keys().copied().collect()));
        let assignment = embedded::assignment(partitions, &protocol.metadata, self.catalog);
        let session_timeout_ms = i64::from(classic.session_timeout_ms);
        self.ctx.cancel_timer(Timer::MemberSync { group: self.id.clone(), member: Arc::from(id) });
        let timer = self.session_timer(id);
        self.ctx.set_timer(timer, session_timeout_ms);
        Ok(Synced { protocol_type: request.protocol_type.clone(), protocol: request.protocol.clone(), assignment })
    }

    /// A classic member says that it lives, and learns whether to join again.
    ///
    /// # Errors
    /// [`GroupError::RebalanceInProgress`], and what the member has to do about its membership.
    pub fn classic_heartbeat(&mut self, request: &HeartbeatRequest) -> Result<(), GroupError> {
        let id = request.member_id.as_str();
        self.group.classic_member(id, request.instance_id.as_deref(), request.generation)?;
        // Others may have gone, and where only classic members are left nobody else moves the group on.
        self.refresh(false);
        self.update_target();
        let (member, classic) = self.group.classic_member(id, request.instance_id.as_deref(), request.generation)?;
        let session_timeout_ms = i64::from(classic.session_timeout_ms);
        let rebalance_timeout_ms = member.metadata.rebalance_timeout_ms;
        let is_behind = member.current.epoch < self.group.assignment_epoch;
        let must_rejoin = match member.current.state {
            MemberState::Unrevoked => true,
            MemberState::Unreleased => is_behind || !self.group.waits_for_others(id, member),
            MemberState::Stable | MemberState::Unknown => is_behind,
        };
        let timer = self.session_timer(id);
        self.ctx.set_timer(timer, session_timeout_ms);
        if !must_rejoin {
            return Ok(());
        }
        self.await_rejoin(id, rebalance_timeout_ms);
        Err(GroupError::RebalanceInProgress)
    }

    /// The member has been told to join again: it has its rebalance timeout for that, from the first time on.
    fn await_rejoin(&mut self, id: &str, rebalance_timeout_ms: i32) {
        let member: Arc<str> = Arc::from(id);
        if self.soft.awaited.insert(member.clone()) {
            self.ctx.set_timer(Timer::Rejoin { group: self.id.clone(), member }, i64::from(rebalance_timeout_ms));
        }
    }

    /// Who of `leaving` is a member, of either protocol; `Err` for those who are not.
    #[must_use]
    pub fn leavers(&self, leaving: &[Leaving]) -> Vec<Result<Arc<str>, GroupError>> {
        let one = |leaving: &Leaving| {
            let instance_id = leaving.instance_id.as_deref();
            if leaving.member_id.is_empty() && instance_id.is_some() {
                // An administrator removes whoever holds the instance id.
                let holder = instance_id.and_then(|instance_id| self.group.static_members.get(instance_id));
                return holder.cloned().ok_or(GroupError::UnknownMember);
            }
            self.group.member(&leaving.member_id, instance_id).map(|_| Arc::from(leaving.member_id.as_str()))
        };
        leaving.iter().map(one).collect()
    }
}
