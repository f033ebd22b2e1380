//! What a shard does with streams groups as a whole: makes them, clears them, and turns empty classic groups into them (KIP-1071). What
//! happens inside one stands in [`crate::coordinator::group::streams`].

use super::{Group, GroupShard, Out, check_lengths, not_found};
use crate::coordinator::group::messages::{GroupError, JOINING, LEAVING, Refused};
use crate::coordinator::group::records::Record;
use crate::coordinator::group::records::streams::StreamsRecord;
use crate::coordinator::group::streams::messages::{StreamsDescribed, StreamsHeartbeat, StreamsReply};
use crate::coordinator::group::streams::{Change, Soft, StreamsGroup};
use crate::coordinator::group::{Context, Timer};
use crate::ids::Timestamp;
use std::sync::Arc;

impl GroupShard {
    /// A member of a streams group joins, lives or leaves.
    pub(super) fn streams_heartbeat(&mut self, request: StreamsHeartbeat, now: Timestamp, out: &mut Out) -> StreamsReply {
        check_names(&request)?;
        let id = request.group_id.clone();
        let joins = request.member_epoch == JOINING;
        match self.live.get(&id) {
            Some(Group::Streams(_)) => {}
            Some(Group::Classic(classic)) if joins && classic.is_empty() => {
                return self.found(&id, request, now, out);
            }
            Some(_) => return Err(not_found(format!("Group {id} is not a streams group."))),
            None if joins => return self.found(&id, request, now, out),
            None if request.member_epoch <= LEAVING => return Err(not_found(format!("Group {id} not found."))),
            None => return Err(not_found(format!("Streams group {id} not found."))),
        }
        let gone = || Err(GroupError::UnknownGroup.into());
        if request.member_epoch <= LEAVING {
            return self.on_streams(&id, now, out, |change| change.leave(&request)).unwrap_or_else(gone);
        }
        if let Some(group) = self.durable.streams.get(&id) {
            group.admit(&request, &self.settings)?;
        }
        self.on_streams(&id, now, out, |change| change.heartbeat(request)).unwrap_or_else(gone)
    }

    /// The first member of a group that is not there yet, or that is an empty classic one. Nothing changes for one that is refused.
    fn found(&mut self, id: &str, request: StreamsHeartbeat, now: Timestamp, out: &mut Out) -> StreamsReply {
        StreamsGroup::default().admit(&request, &self.settings)?;
        let classic = self.live.insert(id.to_owned(), Group::Streams(Soft::default()));
        self.durable.streams.insert(id.to_owned(), StreamsGroup::default());
        let mut own = Out::default();
        let reply = self.on_streams(id, now, &mut own, |change| change.heartbeat(request));
        let Some(Ok(mut beat)) = reply else {
            self.durable.streams.remove(id);
            match classic {
                Some(classic) => self.live.insert(id.to_owned(), classic),
                None => self.live.remove(id),
            };
            return reply.unwrap_or_else(|| Err(GroupError::UnknownGroup.into()));
        };
        if self.durable.groups.contains_key(id) {
            out.records.push(Record::Group { group: id.to_owned(), value: None });
        }
        out.records.append(&mut own.records);
        out.timers.append(&mut own.timers);
        // Kafka remembers what its members were told of endpoints from the second heartbeat on.
        self.on_streams(id, now, out, |change| change.forget_endpoints());
        beat.endpoint_epoch = 0;
        Ok(beat)
    }

    /// Does `work` on a streams group; `None` when `id` is not one.
    pub(super) fn on_streams<T>(
        &mut self,
        id: &str,
        now: Timestamp,
        out: &mut Out,
        work: impl FnOnce(&mut Change<'_, '_>) -> T,
    ) -> Option<T> {
        let Some(Group::Streams(soft)) = self.live.get_mut(id) else { return None };
        let group = self.durable.streams.get_mut(id)?;
        if !group.is_empty() {
            soft.occupied_at = Some(now);
        }
        let mut ctx = Context { now, settings: &self.settings, out };
        let id = Arc::from(id);
        Some(work(&mut Change { id: &id, group, soft, catalog: &self.catalog, ctx: &mut ctx }))
    }

    /// Forgets an empty streams group, if `id` is one; its offsets stay.
    pub(super) fn clear_streams(&mut self, id: &str, now: Timestamp, out: &mut Out) {
        self.on_streams(id, now, out, |change| change.cancel_timers());
        if let Some(group) = self.durable.streams.get(id) {
            out.records.extend(group.tombstones().map(|change| Record::Streams { group: id.to_owned(), change }));
            self.live.remove(id);
        }
    }

    pub(super) fn describe_streams(&self, group_id: &str) -> Result<StreamsDescribed, Refused> {
        match (self.live.get(group_id), self.durable.streams.get(group_id)) {
            (Some(Group::Streams(soft)), Some(group)) => Ok(group.describe(soft)),
            (Some(Group::Classic(_) | Group::Consumer(_) | Group::Share(_)), _) => {
                Err(not_found(format!("Group {group_id} is not a streams group.")))
            }
            _ => Err(not_found(format!("Group {group_id} not found."))),
        }
    }

    pub(super) fn expired_streams(&mut self, id: &str, timer: &Timer, now: Timestamp, out: &mut Out) {
        self.on_streams(id, now, out, |change| change.expired(timer));
    }

    /// Takes over a record of the log. Tombstones make no group: they may be all that is left of one.
    pub(super) fn apply_to_streams(&mut self, id: String, change: StreamsRecord) {
        match self.durable.streams.get_mut(&id) {
            Some(group) => group.apply(change),
            None if change.is_tombstone() => {}
            None => self.durable.streams.entry(id).or_default().apply(change),
        }
    }
}

/// Names that stand in keys of records, or in both: others are as long as a request may be.
fn check_names(request: &StreamsHeartbeat) -> Result<(), Refused> {
    let named = [&request.group_id, &request.member_id, &request.client_id, &request.client_host].into_iter();
    let optional = [&request.rack_id, &request.process_id].into_iter().flatten();
    check_lengths(named.chain(optional))
}
