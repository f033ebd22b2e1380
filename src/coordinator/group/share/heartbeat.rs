//! ShareGroupHeartbeat: a member joins, says that it lives, changes what it wants, and is told what to read from.
//!
//! In this order: everything that may refuse the request, then the member's record, the group's epoch, the target, and the member's own
//! step to it. A heartbeat that changes nothing writes nothing.

use super::messages::{ShareBeat, ShareHeartbeat};
use super::target::When;
use super::{Change, Member, ShareGroup};
use crate::coordinator::group::GroupSettings;
use crate::coordinator::group::assignment_interval::{Intervals, heartbeat_interval_ms};
use crate::coordinator::group::consumer::subscriptions;
use crate::coordinator::group::messages::{GroupError, JOINING, Partitions, Refused};
use crate::coordinator::group::records::consumer::EpochValue;
use crate::coordinator::group::records::share::{ShareCurrent, ShareMetadata, ShareRecord};

impl ShareGroup {
    /// Whether the group takes this heartbeat. Changes nothing.
    ///
    /// # Errors
    /// Everything that a heartbeat may be refused for, once the group is there.
    pub fn admit(&self, request: &ShareHeartbeat, settings: &GroupSettings) -> Result<(), Refused> {
        let member = self.members.get(request.member_id.as_str());
        let most = settings.share_members_max;
        if member.is_none() && self.members.len() >= most {
            let message = format!("The share group has reached its maximum capacity of {most} members.");
            return Err(Refused { error: GroupError::MaxSizeReached, message });
        }
        match member {
            Some(member) => check_epoch(member, request.member_epoch),
            None if request.member_epoch == JOINING => Ok(()),
            None => Err(unknown_member(request)),
        }
    }
}

/// The group has no such member.
pub(super) fn unknown_member(request: &ShareHeartbeat) -> Refused {
    let message = format!("Member {} is not a member of group {}.", request.member_id, request.group_id);
    Refused { error: GroupError::UnknownMember, message }
}

/// Source: GroupMetadataManager.throwIfShareGroupMemberEpochIsInvalid.
fn check_epoch(member: &Member, given: i32) -> Result<(), Refused> {
    let ShareCurrent { epoch: known, previous_epoch, .. } = member.current;
    // The answer that told it of its new epoch may have been lost.
    if given == JOINING || given == known || (given < known && given == previous_epoch) {
        return Ok(());
    }
    let message = if given > known {
        format!(
            "The share group member has a greater member epoch ({given}) than the one known by the group coordinator ({known}). The member \
             must abandon all its partitions and rejoin."
        )
    } else {
        format!(
            "The share group member has a smaller member epoch ({given}) than the one known by the group coordinator ({known}), and it does \
             not match the previous member epoch ({previous_epoch}). The member must abandon all its partitions and rejoin."
        )
    };
    Err(Refused { error: GroupError::FencedEpoch, message })
}

impl Change<'_, '_> {
    /// A member that [`ShareGroup::admit`] lets in.
    pub fn heartbeat(&mut self, request: ShareHeartbeat) -> ShareBeat {
        let id = request.member_id.clone();
        let is_full = request.member_epoch == JOINING || request.topics.is_some();
        let before = self.current(&id).assigned;
        let has_subscription_changed = self.update(&id, request);
        let is_news = has_subscription_changed || self.soft.seen_version != Some(self.catalog.version);
        let mut is_bumped = is_news && self.refresh(has_subscription_changed);
        self.update_target(When::IntervalIsOver);
        let mut initialized = Partitions::new();
        if is_news {
            initialized = self.initialize();
            // What the target could not have yet is no reason to wait another interval.
            if self.group.assignment_epoch >= self.group.epoch && self.group.has_unassigned(self.catalog) {
                self.bump_epoch();
                self.update_target(When::Now);
                is_bumped = true;
            }
        }
        self.reconcile(&id, is_bumped);
        let settings = self.settings();
        let timer = self.session_timer(&id);
        self.ctx.set_timer(timer, i64::from(settings.session_timeout_ms));
        let current = self.current(&id);
        let has_news = is_full || current.assigned != before;
        ShareBeat {
            member_id: id,
            member_epoch: current.epoch,
            heartbeat_interval_ms: heartbeat_interval_ms(
                Intervals { heartbeat_ms: settings.heartbeat_interval_ms, assignment_ms: settings.assignment_interval_ms },
                self.group.epoch > self.group.assignment_epoch,
            ),
            assignment: has_news.then_some(current.assigned),
            initialized,
        }
    }

    /// Writes what a member is and wants, if that is new. Whether it wants something else now.
    fn update(&mut self, id: &str, request: ShareHeartbeat) -> bool {
        let former = self.group.members.get(id).map(|member| member.metadata.clone());
        let is_new = former.is_none();
        let former = former.unwrap_or_default();
        let metadata = merge(former.clone(), request);
        let has_changed = metadata.topics != former.topics;
        if is_new || metadata != former {
            self.write(ShareRecord::Member { id: id.to_owned(), value: Some(metadata) });
        }
        has_changed
    }

    /// Compares the subscribed topics with the catalog; whether the group's epoch has moved on.
    fn refresh(&mut self, has_subscription_changed: bool) -> bool {
        self.soft.seen_version = Some(self.catalog.version);
        let is_bumped = has_subscription_changed || self.hash() != self.group.metadata_hash;
        if is_bumped {
            self.bump_epoch();
        }
        is_bumped
    }

    fn hash(&self) -> i64 {
        subscriptions::metadata_hash(self.group.subscribed_names(), self.catalog)
    }

    pub(super) fn bump_epoch(&mut self) {
        // A group that changes a thousand times a second gets there after 24 days; it then stands still, and can be deleted.
        let epoch = self.group.epoch.saturating_add(1);
        let metadata_hash = self.hash();
        self.write(ShareRecord::Epoch(Some(EpochValue { epoch, metadata_hash })));
    }

    /// Takes a member to its target. Between two targets it loses what it has unsubscribed from, and topics that are gone.
    fn reconcile(&mut self, id: &str, is_bumped: bool) {
        let Some(member) = self.group.members.get(id) else { return };
        let target_epoch = self.group.assignment_epoch;
        if !is_bumped && member.current.epoch == target_epoch {
            return;
        }
        let mut assigned = self.group.target(id);
        let is_subscribed = |name: &str| member.metadata.topics.contains(name);
        assigned.retain(|topic, _| self.catalog.topic_by_id(*topic).is_some_and(|topic| is_subscribed(&topic.name)));
        let mut next = ShareCurrent { assigned, ..member.current };
        if next.epoch != target_epoch {
            (next.previous_epoch, next.epoch) = (next.epoch, target_epoch);
        }
        if next != member.current {
            self.write(ShareRecord::Current { id: id.to_owned(), value: Some(next) });
        }
    }

    fn current(&self, id: &str) -> ShareCurrent {
        self.group.members.get(id).map(|member| member.current.clone()).unwrap_or_default()
    }
}

/// What the member was, with what the request says anew.
fn merge(former: ShareMetadata, request: ShareHeartbeat) -> ShareMetadata {
    ShareMetadata {
        rack_id: request.rack_id.or(former.rack_id),
        client_id: request.client_id,
        client_host: request.client_host,
        topics: request.topics.unwrap_or(former.topics),
    }
}
