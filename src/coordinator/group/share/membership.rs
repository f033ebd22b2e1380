//! How members go: by their own will, or because they were silent.

use super::messages::{ShareBeat, ShareHeartbeat};
use super::{Change, heartbeat};
use crate::coordinator::group::Timer;
use crate::coordinator::group::messages::{Partitions, Refused};
use crate::coordinator::group::records::share::ShareRecord;
use std::sync::Arc;

impl Change<'_, '_> {
    /// A member leaves.
    ///
    /// # Errors
    /// [`crate::coordinator::group::GroupError::UnknownMember`].
    pub fn leave(&mut self, request: &ShareHeartbeat) -> Result<ShareBeat, Refused> {
        let id = request.member_id.as_str();
        if !self.group.members.contains_key(id) {
            return Err(heartbeat::unknown_member(request));
        }
        self.remove(id);
        Ok(ShareBeat {
            member_id: request.member_id.clone(),
            member_epoch: request.member_epoch,
            heartbeat_interval_ms: 0,
            assignment: None,
            initialized: Partitions::new(),
        })
    }

    /// A timer is due: a member that was silent for too long goes.
    pub fn expired(&mut self, timer: &Timer) {
        if let Timer::Session { member, .. } = timer
            && self.group.members.contains_key(member)
        {
            self.remove(member);
        }
    }

    fn remove(&mut self, id: &str) {
        self.write(ShareRecord::Current { id: id.to_owned(), value: None });
        self.write(ShareRecord::Target { id: id.to_owned(), value: None });
        self.write(ShareRecord::Member { id: id.to_owned(), value: None });
        let timer = self.session_timer(id);
        self.ctx.cancel_timer(timer);
        self.bump_epoch();
    }

    /// After the log was read: sessions start anew.
    pub fn resume(&mut self) {
        let session_timeout_ms = i64::from(self.settings().session_timeout_ms);
        let ids: Vec<Arc<str>> = self.group.members.keys().cloned().collect();
        for id in ids {
            let timer = self.session_timer(&id);
            self.ctx.set_timer(timer, session_timeout_ms);
        }
    }
}
