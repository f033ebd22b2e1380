//! How members go: by their own will, for a while, because they were silent, or replaced by another incarnation of themselves.

use super::{Change, ConsumerGroup};
use crate::coordinator::group::Timer;
use crate::coordinator::group::messages::{ConsumerBeat, ConsumerHeartbeat, GroupError, LEAVING_FOR_A_WHILE, Refused};
use crate::coordinator::group::records::consumer::{ConsumerRecord, Current, MemberState, Owned};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a leaving member leaves behind.
#[derive(Debug, PartialEq, Eq)]
pub enum Leave {
    /// Nothing: it is to be removed.
    Gone(Arc<str>),
    /// Its place, until its session ends.
    ForAWhile,
}

impl ConsumerGroup {
    /// Whether all members but those in `leaving` speak the classic protocol, and there are some.
    #[must_use]
    pub fn is_classic_without(&self, leaving: &[Arc<str>]) -> bool {
        let mut staying = self.members.iter().filter(|(id, _)| !leaving.contains(id)).peekable();
        staying.peek().is_some() && staying.all(|(_, member)| member.is_classic())
    }
}

impl Change<'_, '_> {
    /// A member leaves.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`], [`GroupError::FencedInstance`].
    pub fn leave(&mut self, request: &ConsumerHeartbeat) -> Result<Leave, Refused> {
        let id = request.member_id.as_str();
        self.group.member(id, request.instance_id.as_deref()).map_err(|error| refused(error, request))?;
        if request.member_epoch != LEAVING_FOR_A_WHILE || request.instance_id.is_none() {
            return Ok(Leave::Gone(Arc::from(id)));
        }
        // Its next incarnation has these partitions from the beginning (epoch 0), whatever its member epoch will be.
        let Current { previous_epoch, state, assigned, .. } = self.current(id);
        let from_the_beginning = |own: BTreeMap<i32, i32>| own.into_keys().map(|partition| (partition, 0)).collect();
        let assigned: Owned = assigned.into_iter().map(|(topic, own)| (topic, from_the_beginning(own))).collect();
        let current = Current { epoch: LEAVING_FOR_A_WHILE, previous_epoch, state, assigned, revoking: Owned::new() };
        self.write(ConsumerRecord::Current { id: id.to_owned(), value: Some(current) });
        Ok(Leave::ForAWhile)
    }

    /// The answer to a member that has left.
    #[must_use]
    pub fn farewell(request: &ConsumerHeartbeat) -> ConsumerBeat {
        let (member_id, member_epoch) = (request.member_id.clone(), request.member_epoch);
        ConsumerBeat { member_id, member_epoch, heartbeat_interval_ms: 0, assignment: None }
    }

    /// Removes members, at least one: what they owned is free, and the group's epoch moves on.
    pub fn remove(&mut self, ids: &[Arc<str>]) {
        for id in ids {
            self.forget(id);
        }
        self.refresh_without_members();
    }

    fn forget(&mut self, id: &Arc<str>) {
        self.write(ConsumerRecord::Current { id: id.to_string(), value: None });
        self.write(ConsumerRecord::Target { id: id.to_string(), value: None });
        self.write(ConsumerRecord::Member { id: id.to_string(), value: None });
        self.cancel_timers(id);
    }

    pub fn cancel_timers(&mut self, id: &Arc<str>) {
        let (group, member) = (self.id, id);
        let timers = [
            Timer::Session { group: group.clone(), member: member.clone() },
            Timer::Rebalance { group: group.clone(), member: member.clone() },
            Timer::Rejoin { group: group.clone(), member: member.clone() },
            Timer::MemberSync { group: group.clone(), member: member.clone() },
        ];
        for timer in timers {
            self.ctx.cancel_timer(timer);
        }
        self.soft.awaited.remove(member);
    }

    /// A timer is due: whether the member is too late for it.
    #[must_use]
    pub fn is_late(&self, timer: &Timer) -> bool {
        match timer {
            // Whoever has moved on was in time, and whoever has left for a while has its session to come back.
            Timer::Rebalance { member, .. } => self.group.members.get(member).is_some_and(|member| {
                member.current.state == MemberState::Unrevoked && member.current.epoch != LEAVING_FOR_A_WHILE
            }),
            Timer::Session { member, .. } | Timer::Rejoin { member, .. } | Timer::MemberSync { member, .. } => {
                self.group.members.contains_key(member)
            }
            Timer::Join { .. } | Timer::Sync { .. } | Timer::FirstRebalance { .. } | Timer::Cleanup => false,
        }
    }

    /// `id` takes the place of whoever holds `instance_id`, with all that it owned and should own.
    pub(super) fn take_place(&mut self, instance_id: &str, id: &str) {
        let Some(former) = self.group.static_members.get(instance_id).filter(|former| ***former != *id).cloned() else { return };
        let Some(member) = self.group.members.get(&former).cloned() else { return };
        let target = self.group.target(&former);
        self.forget(&former);
        let current = Current { epoch: 0, previous_epoch: 0, ..member.current };
        self.write(ConsumerRecord::Member { id: id.to_owned(), value: Some(member.metadata) });
        self.write(ConsumerRecord::Target { id: id.to_owned(), value: Some(target) });
        self.write(ConsumerRecord::Current { id: id.to_owned(), value: Some(current) });
    }

    /// After the log was read: sessions start anew, and so does the time to give up partitions.
    pub fn resume(&mut self) {
        let session_timeout_ms = self.settings().session_timeout_ms;
        for (id, member) in &self.group.members {
            let session_ms = member.metadata.classic.as_ref().map_or(session_timeout_ms, |classic| classic.session_timeout_ms);
            let timer = self.session_timer(id);
            self.ctx.set_timer(timer, i64::from(session_ms));
            if member.current.state == MemberState::Unrevoked && !member.is_classic() {
                let timer = self.rebalance_timer(id);
                self.ctx.set_timer(timer, i64::from(member.metadata.rebalance_timeout_ms));
            }
        }
    }
}

pub(super) fn refused(error: GroupError, request: &ConsumerHeartbeat) -> Refused {
    let message = match &request.instance_id {
        Some(instance_id) if error == GroupError::UnknownMember => format!("Instance id {instance_id} is unknown."),
        _ if error == GroupError::UnknownMember => {
            format!("Member {} is not a member of group {}.", request.member_id, request.group_id)
        }
        _ => error.to_string(),
    };
    Refused { error, message }
}
