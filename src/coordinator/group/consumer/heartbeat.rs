//! ConsumerGroupHeartbeat: a member joins, says that it lives, changes what it wants, and is told what to own.
//!
//! In this order: everything that may refuse the request, then the member's record, the group's epoch, the target, and the member's own
//! next step. A heartbeat that changes nothing writes nothing.

use super::membership::refused;
use super::reconcile::{self, Towards};
use super::{Change, ConsumerGroup, Member};
use crate::coordinator::group::assignment_interval::{Intervals, heartbeat_interval_ms};
use crate::coordinator::group::messages::{
    ConsumerBeat, ConsumerHeartbeat, ConsumerReply, GroupError, JOINING, LEAVING_FOR_A_WHILE, Partitions, Refused,
};
use crate::coordinator::group::records::consumer::{ConsumerRecord, Current, MemberMetadata, MemberState, Owned};
use crate::coordinator::group::{GroupSettings, consumer::subscriptions};
use std::collections::BTreeSet;

impl ConsumerGroup {
    /// Whether the group takes this heartbeat. Changes nothing.
    ///
    /// # Errors
    /// Everything that a heartbeat may be refused for, once the group is there.
    pub fn admit(&self, request: &ConsumerHeartbeat, settings: &GroupSettings) -> Result<(), Refused> {
        let is_member = self.members.contains_key(request.member_id.as_str());
        if !is_member && self.members.len() >= settings.consumer_members_max {
            let most = settings.consumer_members_max;
            let message = format!("The consumer group has reached its maximum capacity of {most} members.");
            return Err(Refused { error: GroupError::MaxSizeReached, message });
        }
        self.check_membership(request)?;
        if let Some(name) = &request.assignor {
            check_assignor(name, settings)?;
        }
        match request.regex.as_deref() {
            Some(regex) if !regex.is_empty() && !self.regexes.contains_key(regex) => check_regex(regex),
            _ => Ok(()),
        }
    }

    fn check_membership(&self, request: &ConsumerHeartbeat) -> Result<(), Refused> {
        let id = request.member_id.as_str();
        let Some(instance_id) = request.instance_id.as_deref() else {
            return match self.members.get(id) {
                Some(member) => check_epoch(member, request),
                None if request.member_epoch == JOINING => Ok(()),
                None => Err(refused(GroupError::UnknownMember, request)),
            };
        };
        let holder = self.static_members.get(instance_id).and_then(|holder| Some((holder, self.members.get(holder)?)));
        match (holder, request.member_epoch == JOINING) {
            (None, true) => Ok(()),
            // Its own answer was lost, or it was fenced.
            (Some((holder, _)), true) if **holder == *id => Ok(()),
            (Some((_, member)), true) if member.is_classic() || member.current.epoch == LEAVING_FOR_A_WHILE => Ok(()),
            (Some((holder, _)), true) => Err(Refused {
                error: GroupError::UnreleasedInstance,
                message: format!(
                    "Static member {id} with instance id {instance_id} cannot join the group because the instance id is owned by {holder} member."
                ),
            }),
            (None, false) => {
                let message = format!("Instance id {instance_id} is unknown.");
                Err(Refused { error: GroupError::UnknownMember, message })
            }
            (Some((holder, _)), false) if **holder != *id => Err(Refused {
                error: GroupError::FencedInstance,
                message: format!("Static member {id} with instance id {instance_id} was fenced by member {holder}."),
            }),
            (Some((_, member)), false) => check_epoch(member, request),
        }
    }
}

fn check_epoch(member: &Member, request: &ConsumerHeartbeat) -> Result<(), Refused> {
    let (given, known) = (request.member_epoch, member.current.epoch);
    let fenced = |relation: &str| {
        let message = format!(
            "The consumer group member has a {relation} member epoch ({given}) than the one known by the group coordinator ({known}). \
             The member must abandon all its partitions and rejoin."
        );
        Err(Refused { error: GroupError::FencedEpoch, message })
    };
    if member.current.state == MemberState::Unknown && request.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
        return fenced("different");
    }
    if given == JOINING || given == known {
        return Ok(());
    }
    if given > known {
        return fenced("greater");
    }
    // The answer that told it of its new epoch may have been lost.
    let is_repeated = given == member.current.previous_epoch
        && request.owned.as_ref().is_some_and(|owned| has(&member.current.assigned, owned));
    if is_repeated { Ok(()) } else { fenced("smaller") }
}

fn has(assigned: &Owned, owned: &Partitions) -> bool {
    owned.iter().all(|(topic, partitions)| {
        let own = assigned.get(topic);
        partitions.iter().all(|partition| own.is_some_and(|own| own.contains_key(partition)))
    })
}

fn check_assignor(name: &str, settings: &GroupSettings) -> Result<(), Refused> {
    if settings.assignors.iter().any(|assignor| assignor.name() == name) {
        return Ok(());
    }
    let names: Vec<&str> = settings.assignors.iter().map(|assignor| assignor.name()).collect();
    let message = format!("ServerAssignor {name} is not supported. Supported assignors: {}.", names.join(", "));
    Err(Refused { error: GroupError::UnsupportedAssignor, message })
}

fn check_regex(pattern: &str) -> Result<(), Refused> {
    let refused = |why: String| {
        let message = format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {why}.");
        Refused { error: GroupError::InvalidRegex, message }
    };
    subscriptions::compile(pattern).map(|_| ()).map_err(refused)
}

/// What has become of a member's subscription.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subscribed {
    names_changed: bool,
    regex_changed: bool,
    /// Whether what the expression matches was known before; true without one.
    is_resolved: bool,
    /// Whether the former expression matched something: the member gives that up, and somebody else has to get it.
    had_matches: bool,
}

impl Subscribed {
    pub(super) fn has_changed(self) -> bool {
        self.names_changed || self.regex_changed
    }

    /// Whether the change alone moves the group's epoch; one to an expression that was not known does when it turns out to match something.
    pub(super) fn is_news(self) -> bool {
        self.names_changed || (self.regex_changed && (self.is_resolved || self.had_matches))
    }
}

impl Change<'_, '_> {
    /// A member that [`ConsumerGroup::admit`] lets in; its id is not empty.
    pub fn heartbeat(&mut self, request: ConsumerHeartbeat) -> ConsumerReply {
        let id = request.member_id.clone();
        let is_full = request.member_epoch == JOINING
            || (request.rebalance_timeout_ms.is_some()
                && (request.topics.is_some() || request.regex.is_some())
                && request.owned.is_some());
        if request.member_epoch == JOINING
            && let Some(instance_id) = &request.instance_id
        {
            self.take_place(instance_id, &id);
        }
        let before = self.current(&id).assigned;
        let owned = request.owned.clone();
        let subscribed = self.update(&id, |metadata| merge(metadata, request));
        self.refresh(subscribed.is_news());
        self.update_target();
        self.reconcile(&id, subscribed.has_changed(), owned.as_ref());
        let settings = self.settings();
        let timer = self.session_timer(&id);
        self.ctx.set_timer(timer, i64::from(settings.session_timeout_ms));
        let current = self.current(&id);
        let has_news = is_full || current.assigned != before;
        Ok(ConsumerBeat {
            member_id: id,
            member_epoch: current.epoch,
            heartbeat_interval_ms: heartbeat_interval_ms(
                Intervals { heartbeat_ms: settings.heartbeat_interval_ms, assignment_ms: settings.assignment_interval_ms },
                self.group.epoch > self.group.assignment_epoch,
            ),
            assignment: has_news
                .then(|| current.assigned.iter().map(|(topic, own)| (*topic, own.keys().copied().collect())).collect()),
        })
    }

    /// Writes what a member is and wants, if that is new. What has become of its subscription.
    pub(super) fn update(&mut self, id: &str, change: impl FnOnce(MemberMetadata) -> MemberMetadata) -> Subscribed {
        let former = self.group.members.get(id).map(|member| member.metadata.clone());
        let is_new = former.is_none();
        let former = former.unwrap_or_default();
        let metadata = change(former.clone());
        let resolved = former.subscribed_regex().and_then(|regex| self.group.regexes.get(regex));
        let subscribed = Subscribed {
            names_changed: metadata.topics != former.topics,
            regex_changed: metadata.subscribed_regex() != former.subscribed_regex(),
            had_matches: resolved.is_some_and(|resolved| !resolved.topics.is_empty()),
            // Topics that are known to match: the epoch moves on at once. Others are resolved first.
            is_resolved: metadata.subscribed_regex().is_none_or(|regex| self.group.regexes.contains_key(regex)),
        };
        if is_new || metadata != former {
            self.write(ConsumerRecord::Member { id: id.to_owned(), value: Some(metadata) });
        }
        subscribed
    }

    /// Takes a member one step towards its target.
    pub(super) fn reconcile(&mut self, id: &str, has_subscription_changed: bool, owned: Option<&Partitions>) {
        let Some(member) = self.group.members.get(id) else { return };
        let target_epoch = self.group.assignment_epoch;
        if !has_subscription_changed && member.is_reconciled_to(target_epoch) {
            return;
        }
        let subscribed: BTreeSet<_> = self.group.topics_of(member, self.catalog);
        let target = self.group.target(id);
        let owners = &self.group.owners;
        let is_anothers = |topic, partition| owners.get(&(topic, partition)).is_some_and(|owner| **owner != *id);
        let towards = Towards {
            target_epoch,
            target: &target,
            subscribed: &subscribed,
            has_subscription_changed,
            owned,
            is_anothers: &is_anothers,
        };
        let next = reconcile::step(&member.current, &towards);
        if next == member.current {
            return;
        }
        // Members of the classic protocol are watched by when they join again and sync.
        if !member.is_classic() {
            let timer = self.rebalance_timer(id);
            if next.state == MemberState::Unrevoked {
                self.ctx.set_timer(timer, i64::from(member.metadata.rebalance_timeout_ms));
            } else {
                self.ctx.cancel_timer(timer);
            }
        }
        self.write(ConsumerRecord::Current { id: id.to_owned(), value: Some(next) });
    }

    pub(super) fn current(&self, id: &str) -> Current {
        self.group.members.get(id).map(|member| member.current.clone()).unwrap_or_default()
    }
}

/// What the member was, with what the request says anew.
fn merge(former: MemberMetadata, request: ConsumerHeartbeat) -> MemberMetadata {
    MemberMetadata {
        instance_id: request.instance_id.or(former.instance_id),
        rack_id: request.rack_id.or(former.rack_id),
        client_id: request.client_id,
        client_host: request.client_host,
        topics: request.topics.unwrap_or(former.topics),
        regex: request.regex.or(former.regex),
        rebalance_timeout_ms: request.rebalance_timeout_ms.unwrap_or(former.rebalance_timeout_ms),
        assignor: request.assignor.or(former.assignor),
        classic: None,
    }
}
