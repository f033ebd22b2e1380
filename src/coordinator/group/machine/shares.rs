//! What a shard does with share groups as a whole: makes them, asks them, clears them (KIP-932). What happens inside one stands in
//! [`crate::coordinator::group::share`]. A share group becomes no group of another kind, nor another group one.

use super::{Group, GroupShard, Out, check_lengths, not_found};
use crate::coordinator::group::Context;
use crate::coordinator::group::messages::{GroupError, JOINING, LEAVING, NAME_BYTES_MAX, Partitions, Refused};
use crate::coordinator::group::records::Record;
use crate::coordinator::group::records::share::ShareRecord;
use crate::coordinator::group::share::messages::{Forgotten, ShareEvent, ShareHeartbeat, ShareReply};
use crate::coordinator::group::share::{Change, ShareGroup, Soft};
use crate::ids::{Timestamp, TopicId};
use std::collections::BTreeSet;
use std::sync::Arc;

impl GroupShard {
    pub(super) fn on_share_event(&mut self, event: ShareEvent, now: Timestamp, out: &mut Out) {
        match event {
            ShareEvent::Heartbeat { request, caller } => {
                let reply = self.share_heartbeat(request, now, out);
                out.reply(caller, reply);
            }
            ShareEvent::Describe { group_id, caller } => {
                out.reply(caller, self.share_group(&group_id).map(ShareGroup::describe));
            }
            ShareEvent::Initialized { group_id, caller } => {
                out.reply(caller, self.share_group(&group_id).map(ShareGroup::initialized).unwrap_or_default());
            }
            ShareEvent::Alter { group_id, partitions, caller } => {
                let reply = self.alter_share(&group_id, &partitions, now, out);
                out.reply(caller, reply);
            }
            ShareEvent::Forget { group_id, topics, caller } => {
                let reply = self.forget_share(&group_id, &topics, now, out);
                out.reply(caller, reply);
            }
        }
    }

    fn share_heartbeat(&mut self, request: ShareHeartbeat, now: Timestamp, out: &mut Out) -> ShareReply {
        check_names(&request)?;
        let id = request.group_id.clone();
        let gone = || Refused::from(GroupError::UnknownGroup);
        if request.member_epoch == LEAVING {
            self.share_group(&id)?;
            return self.on_shares(&id, now, out, |change| change.leave(&request)).unwrap_or_else(|| Err(gone()));
        }
        let settings = self.settings.clone();
        match self.live.get(&id) {
            None if request.member_epoch == JOINING => {
                ShareGroup::default().admit(&request, &settings)?;
                self.make_share(&id);
            }
            None => return Err(not_found(format!("Share group {id} not found."))),
            Some(_) => self.share_group(&id)?.admit(&request, &settings)?,
        }
        self.on_shares(&id, now, out, |change| change.heartbeat(request)).ok_or_else(gone)
    }

    /// # Errors
    /// [`GroupError::UnknownGroup`], in Kafka's words.
    fn share_group(&self, id: &str) -> Result<&ShareGroup, Refused> {
        match (self.live.get(id), self.durable.shares.get(id)) {
            (Some(Group::Share(_)), Some(group)) => Ok(group),
            (Some(_), _) => Err(not_found(format!("Group {id} is not a share group."))),
            (None, _) => Err(not_found(format!("Group {id} not found."))),
        }
    }

    /// Whoever asks for it goes on to write at least one record of the group.
    fn make_share(&mut self, id: &str) {
        self.durable.shares.insert(id.to_owned(), ShareGroup::default());
        self.live.insert(id.to_owned(), Group::Share(Soft::default()));
    }

    fn alter_share(&mut self, id: &str, partitions: &Partitions, now: Timestamp, out: &mut Out) -> Result<i32, Refused> {
        if id.is_empty() || id.len() > NAME_BYTES_MAX {
            return Err(GroupError::InvalidGroupId.into());
        }
        let is_new = !self.live.contains_key(id);
        if !is_new && !self.share_group(id)?.is_empty() {
            return Err(Refused::non_empty());
        }
        let is_any = partitions.keys().any(|topic| self.catalog.topic_by_id(*topic).is_some());
        if is_new && !is_any {
            // Nothing would be left of it.
            return Ok(ShareGroup::default().epoch);
        }
        if is_new {
            self.make_share(id);
        }
        self.on_shares(id, now, out, |change| {
            change.take_position(partitions);
            change.group.epoch
        })
        .ok_or_else(|| GroupError::UnknownGroup.into())
    }

    fn forget_share(
        &mut self,
        id: &str,
        topics: &BTreeSet<TopicId>,
        now: Timestamp,
        out: &mut Out,
    ) -> Result<Forgotten, Refused> {
        if !self.share_group(id)?.is_empty() {
            return Err(Refused::non_empty());
        }
        Ok(self.on_shares(id, now, out, |change| change.forget(topics)).unwrap_or_default())
    }

    /// Does `work` on a share group; `None` when `id` is not one.
    pub(super) fn on_shares<T>(
        &mut self,
        id: &str,
        now: Timestamp,
        out: &mut Out,
        work: impl FnOnce(&mut Change<'_, '_>) -> T,
    ) -> Option<T> {
        let Some(Group::Share(soft)) = self.live.get_mut(id) else { return None };
        let group = self.durable.shares.get_mut(id)?;
        let mut ctx = Context { now, settings: &self.settings, out };
        let id = Arc::from(id);
        Some(work(&mut Change { id: &id, group, soft, catalog: &self.catalog, ctx: &mut ctx }))
    }

    /// Forgets an empty share group, if `id` is one.
    pub(super) fn clear_shares(&self, id: &str, out: &mut Out) {
        if let Some(group) = self.durable.shares.get(id) {
            out.records.extend(group.tombstones().map(|change| Record::Share { group: id.to_owned(), change }));
        }
    }

    /// Drops positions in topics that are gone.
    pub(super) fn drop_states(&self, is_gone: impl Fn(TopicId) -> bool, out: &mut Out) {
        for (id, group) in &self.durable.shares {
            if let Some(states) = group.states_without(&is_gone) {
                out.records.push(Record::Share { group: id.clone(), change: ShareRecord::States(Some(states)) });
            }
        }
    }

    /// After the log was read: groups live, sessions start anew, and topics that went meanwhile are forgotten.
    pub(super) fn resume_shares(&mut self, now: Timestamp, out: &mut Out) {
        let ids: Vec<String> = self.durable.shares.keys().cloned().collect();
        for id in ids {
            self.live.insert(id.clone(), Group::Share(Soft::default()));
            self.on_shares(&id, now, out, |change| change.resume());
        }
        self.drop_states(|topic| self.catalog.topic_by_id(topic).is_none(), out);
    }

    /// Takes over a record of the log. Tombstones make no group: they may be all that is left of one.
    pub(super) fn apply_to_shares(&mut self, id: String, change: ShareRecord) {
        match self.durable.shares.get_mut(&id) {
            Some(group) => group.apply(change),
            None if change.is_tombstone() => {}
            None => self.durable.shares.entry(id).or_default().apply(change),
        }
    }
}

fn check_names(request: &ShareHeartbeat) -> Result<(), Refused> {
    let named = [&request.group_id, &request.member_id, &request.client_id, &request.client_host].into_iter();
    let others = request.rack_id.iter().chain(request.topics.iter().flatten());
    check_lengths(named.chain(others))
}
