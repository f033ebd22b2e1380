//! What a shard does with groups of the consumer protocol as a whole: makes them, clears them, and changes groups from one kind to
//! the other (KIP-848). What happens inside one stands in [`crate::coordinator::group::consumer`].

use super::{Group, GroupShard, Out, check_lengths, not_found};
use crate::coordinator::group::consumer::membership::Leave;
use crate::coordinator::group::consumer::{Change, ConsumerGroup, Soft};
use crate::coordinator::group::messages::{
    ConsumerDescribed, ConsumerHeartbeat, ConsumerReply, GroupError, JOINING, JoinRefused, JoinReply, JoinRequest, LEAVING,
    LEAVING_FOR_A_WHILE, LeaveReply, LeaveRequest, Refused,
};
use crate::coordinator::group::records::Record;
use crate::coordinator::group::records::consumer::ConsumerRecord;
use crate::coordinator::group::{Context, Timer, migration};
use crate::ids::Timestamp;
use std::sync::Arc;
use uuid::Uuid;

impl GroupShard {
    /// A member of the consumer protocol joins, lives or leaves. `fresh` becomes the id of one that has none.
    pub(super) fn consumer_heartbeat(
        &mut self,
        mut request: ConsumerHeartbeat,
        fresh: Uuid,
        now: Timestamp,
        out: &mut Out,
    ) -> ConsumerReply {
        check_names(&request)?;
        if request.member_epoch == LEAVING || request.member_epoch == LEAVING_FOR_A_WHILE {
            return self.leave_consumer(&request, now, out);
        }
        if request.member_id.is_empty() {
            request.member_id = fresh.to_string();
        }
        self.enter(&request, now, out)?;
        let id = request.group_id.clone();
        self.on_consumers(&id, now, out, |change| change.heartbeat(request)).unwrap_or(Err(GroupError::UnknownGroup.into()))
    }

    /// Makes sure that the group is there, and one of the consumer protocol, for a member that it takes. Nothing changes for another.
    fn enter(&mut self, request: &ConsumerHeartbeat, now: Timestamp, out: &mut Out) -> Result<(), Refused> {
        let (id, settings) = (&request.group_id, self.settings.clone());
        let joins = request.member_epoch == JOINING;
        match self.live.get_mut(id) {
            Some(Group::Consumer(_)) => match self.durable.consumers.get(id) {
                Some(group) => group.admit(request, &settings),
                None => Err(GroupError::UnknownGroup.into()),
            },
            None if !joins => Err(not_found(format!("Consumer group {id} not found."))),
            Some(Group::Streams(_) | Group::Share(_)) => Err(not_found(format!("Group {id} is not a consumer group."))),
            Some(Group::Classic(_)) if !joins => Err(not_found(format!("Group {id} is not a consumer group."))),
            Some(Group::Classic(classic)) if !classic.is_empty() => {
                let group = migration::upgraded(classic, &settings, &self.catalog)?;
                group.admit(request, &settings)?;
                classic.interrupt(&mut Context { now, settings: &settings, out: &mut *out });
                self.replace_classic(id, group, now, out);
                Ok(())
            }
            None | Some(Group::Classic(_)) => {
                ConsumerGroup::default().admit(request, &settings)?;
                self.replace_classic(id, ConsumerGroup::default(), now, out);
                Ok(())
            }
        }
    }

    /// From now on the group is `group`, of the consumer protocol.
    fn replace_classic(&mut self, id: &str, group: ConsumerGroup, now: Timestamp, out: &mut Out) {
        if self.durable.groups.contains_key(id) {
            out.records.push(Record::Group { group: id.to_owned(), value: None });
        }
        if !group.is_empty() {
            out.records.extend(group.records().map(|change| Record::Consumer { group: id.to_owned(), change }));
        }
        self.durable.consumers.insert(id.to_owned(), group);
        self.live.insert(id.to_owned(), Group::Consumer(Soft::default()));
        self.on_consumers(id, now, out, |change| change.resume());
    }

    /// Forgets an empty consumer group, if `id` is one; its offsets stay.
    pub(super) fn clear_consumers(&mut self, id: &str, out: &mut Out) {
        if let Some(group) = self.durable.consumers.get(id) {
            out.records.extend(group.tombstones().map(|change| Record::Consumer { group: id.to_owned(), change }));
            self.live.remove(id);
        }
    }

    /// Does `work` on a consumer group; `None` when `id` is not one.
    pub(super) fn on_consumers<T>(
        &mut self,
        id: &str,
        now: Timestamp,
        out: &mut Out,
        work: impl FnOnce(&mut Change<'_, '_>) -> T,
    ) -> Option<T> {
        let Some(Group::Consumer(soft)) = self.live.get_mut(id) else { return None };
        let group = self.durable.consumers.get_mut(id)?;
        if !group.is_empty() {
            soft.occupied_at = Some(now);
        }
        let mut ctx = Context { now, settings: &self.settings, out };
        let id = Arc::from(id);
        Some(work(&mut Change { id: &id, group, soft, catalog: &self.catalog, ctx: &mut ctx }))
    }

    fn leave_consumer(&mut self, request: &ConsumerHeartbeat, now: Timestamp, out: &mut Out) -> ConsumerReply {
        let id = &request.group_id;
        match self.live.get(id) {
            Some(Group::Consumer(_)) => {}
            Some(Group::Classic(_) | Group::Streams(_) | Group::Share(_)) => {
                return Err(not_found(format!("Group {id} is not a consumer group.")));
            }
            None => return Err(not_found(format!("Group {id} not found."))),
        }
        let left =
            self.on_consumers(id, now, out, |change| change.leave(request)).unwrap_or(Err(GroupError::UnknownGroup.into()))?;
        if let Leave::Gone(member) = left {
            self.remove_consumers(id, &[member], now, out);
        }
        Ok(Change::farewell(request))
    }

    /// Members of the classic protocol, or of either by an administrator, leave a consumer group.
    pub(super) fn leave_consumers(&mut self, request: &LeaveRequest, now: Timestamp, out: &mut Out) -> LeaveReply {
        let id = &request.group_id;
        let results = self.on_consumers(id, now, out, |change| change.leavers(&request.members)).unwrap_or_default();
        let mut leaving: Vec<_> = results.iter().flatten().cloned().collect();
        leaving.sort();
        leaving.dedup();
        self.remove_consumers(id, &leaving, now, out);
        results.into_iter().map(|result| result.map(|_| ())).collect()
    }

    /// Removes members; the group becomes a classic one if all that stay speak that protocol.
    fn remove_consumers(&mut self, id: &str, leaving: &[Arc<str>], now: Timestamp, out: &mut Out) {
        let Some(group) = self.durable.consumers.get(id) else { return };
        if leaving.is_empty() {
            return;
        }
        if migration::is_downgrade(group, leaving, &self.settings) {
            self.downgrade(id, leaving, true, now, out);
        } else {
            self.on_consumers(id, now, out, |change| change.remove(leaving));
        }
    }

    /// The group becomes a classic one. `must_rebalance`: what its members own is not what they should.
    fn downgrade(&mut self, id: &str, leaving: &[Arc<str>], must_rebalance: bool, now: Timestamp, out: &mut Out) {
        let Some(group) = self.durable.consumers.get(id) else { return };
        let mut classic = migration::downgraded(id, group, leaving, &self.catalog, now);
        let ids: Vec<Arc<str>> = group.members.keys().cloned().collect();
        let tombstones: Vec<ConsumerRecord> = group.tombstones().collect();
        self.on_consumers(id, now, out, |change| ids.iter().for_each(|member| change.cancel_timers(member)));
        out.records.extend(tombstones.into_iter().map(|change| Record::Consumer { group: id.to_owned(), change }));
        out.records.push(if must_rebalance { classic.leaderless_record() } else { classic.record() });
        classic.resume(&mut Context { now, settings: &self.settings, out: &mut *out });
        if must_rebalance {
            classic.rebalance(&mut Context { now, settings: &self.settings, out });
        }
        self.live.insert(id.to_owned(), Group::Classic(classic));
    }

    /// A member of the classic protocol joins a consumer group.
    pub(super) fn join_consumers(&mut self, request: JoinRequest, fresh: Uuid, now: Timestamp, out: &mut Out) -> JoinReply {
        let (id, member_id) = (request.group_id.clone(), request.member_id.clone());
        let joined = self.on_consumers(&id, now, out, |change| change.join(request, fresh));
        let joined = joined.unwrap_or(Err(JoinRefused { error: GroupError::UnknownMember, member_id }))?;
        if let Some(group) = self.durable.consumers.get(&id)
            && migration::is_downgrade(group, &[], &self.settings)
        {
            let must_rebalance = group.assignment_epoch < group.epoch;
            self.downgrade(&id, &[], must_rebalance, now, out);
        }
        Ok(joined)
    }

    pub(super) fn describe_consumers(&self, group_id: &str) -> Result<ConsumerDescribed, Refused> {
        match (self.live.get(group_id), self.durable.consumers.get(group_id)) {
            (Some(Group::Consumer(_)), Some(group)) => Ok(group.describe(self.settings.default_assignor())),
            (Some(Group::Classic(_) | Group::Streams(_) | Group::Share(_)), _) => {
                Err(not_found(format!("Group {group_id} is not a consumer group.")))
            }
            _ => Err(not_found(format!("Group {group_id} not found."))),
        }
    }

    pub(super) fn expired_consumer(&mut self, id: &Arc<str>, timer: &Timer, now: Timestamp, out: &mut Out) {
        let is_late = self.on_consumers(id, now, out, |change| change.is_late(timer)).unwrap_or(false);
        if let Some(member) = timer.member().filter(|_| is_late) {
            self.remove_consumers(id, std::slice::from_ref(member), now, out);
        }
    }

    /// Takes over a record of the log. Tombstones make no group: they may be all that is left of one.
    pub(super) fn apply_to_consumers(&mut self, id: String, change: ConsumerRecord) {
        match self.durable.consumers.get_mut(&id) {
            Some(group) => group.apply(change),
            None if change.is_tombstone() => {}
            None => self.durable.consumers.entry(id).or_default().apply(change),
        }
    }
}

fn check_names(request: &ConsumerHeartbeat) -> Result<(), Refused> {
    let named = [&request.group_id, &request.member_id, &request.client_id, &request.client_host].into_iter();
    let optional = [&request.instance_id, &request.rack_id, &request.regex, &request.assignor].into_iter().flatten();
    let topics = request.topics.iter().flatten();
    check_lengths(named.chain(optional).chain(topics))
}
