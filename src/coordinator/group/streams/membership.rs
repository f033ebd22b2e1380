//! How members go: by their own will, or because they were silent; and what timers do.

use super::heartbeat::unknown;
use super::messages::{StreamsBeat, StreamsHeartbeat, StreamsReply};
use super::{Change, StreamsGroup};
use crate::coordinator::group::Timer;
use crate::coordinator::group::records::consumer::MemberState;
use crate::coordinator::group::records::streams::{StreamsEpoch, StreamsRecord};
use std::sync::Arc;

impl StreamsGroup {
    /// A timer is due: the member that is too late for it.
    #[must_use]
    fn latecomer(&self, timer: &Timer) -> Option<Arc<str>> {
        let (id, member) = timer.member().and_then(|id| self.members.get_key_value(id))?;
        let is_late = match timer {
            // Whoever has moved on was in time.
            Timer::Rebalance { .. } => member.current.state == MemberState::Unrevoked,
            _ => matches!(timer, Timer::Session { .. }),
        };
        is_late.then(|| id.clone())
    }
}

impl Change<'_, '_> {
    /// A member leaves.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`](crate::coordinator::group::GroupError::UnknownMember).
    pub fn leave(&mut self, request: &StreamsHeartbeat) -> StreamsReply {
        if request.shuts_down {
            self.soft.shutdown_by.get_or_insert_with(|| request.member_id.clone());
        }
        let Some((id, _)) = self.group.members.get_key_value(request.member_id.as_str()) else { return Err(unknown(request)) };
        let id = id.clone();
        self.remove(&id);
        let (member_id, member_epoch) = (request.member_id.clone(), request.member_epoch);
        Ok(StreamsBeat { member_id, member_epoch, ..StreamsBeat::default() })
    }

    /// What it ran is free, and the group's epoch moves on; the next heartbeat of anyone makes the next target.
    fn remove(&mut self, id: &Arc<str>) {
        self.write(StreamsRecord::Current { id: id.to_string(), value: None });
        self.write(StreamsRecord::Target { id: id.to_string(), value: None });
        self.write(StreamsRecord::Member { id: id.to_string(), value: None });
        let former = self.group.epoch.clone();
        self.write(StreamsRecord::Epoch(Some(StreamsEpoch { epoch: former.epoch.saturating_add(1), ..former })));
        for timer in [self.session_timer(id), self.rebalance_timer(id)] {
            self.ctx.cancel_timer(timer);
        }
        if self.group.is_empty() {
            self.soft.shutdown_by = None;
        }
    }

    /// A timer is due.
    pub fn expired(&mut self, timer: &Timer) {
        if matches!(timer, Timer::FirstRebalance { .. }) {
            self.soft.is_delayed = false;
            if !self.group.is_empty() && self.soft.configured.is_some() {
                self.assign_if_due();
            }
        } else if let Some(id) = self.group.latecomer(timer) {
            self.remove(&id);
        }
    }

    /// After the log was read: sessions start anew, and so does the time to give up tasks.
    pub fn resume(&mut self) {
        let session_timeout_ms = i64::from(self.settings().session_timeout_ms);
        for (id, member) in &self.group.members {
            let timer = self.session_timer(id);
            self.ctx.set_timer(timer, session_timeout_ms);
            if member.current.state == MemberState::Unrevoked {
                let timer = self.rebalance_timer(id);
                self.ctx.set_timer(timer, i64::from(member.metadata.rebalance_timeout_ms));
            }
        }
    }

    /// The group is going: nothing of it is due any more.
    pub fn cancel_timers(&mut self) {
        self.ctx.cancel_timer(Timer::FirstRebalance { group: self.id.clone() });
        let ids: Vec<Arc<str>> = self.group.members.keys().cloned().collect();
        for id in ids {
            for timer in [self.session_timer(&id), self.rebalance_timer(&id)] {
                self.ctx.cancel_timer(timer);
            }
        }
    }

    /// The group has just come to be: what Kafka keeps only from the second heartbeat on starts over.
    pub fn forget_endpoints(&mut self) {
        self.soft.endpoint_epoch = 0;
    }
}
