//! StreamsGroupHeartbeat: a member joins, says that it lives, and is told what to run.
//!
//! In this order: everything that may refuse the request; then the member's record, the topology, the group's epoch, the target, and the
//! member's own next step. A heartbeat that changes nothing writes nothing.

use super::messages::{Status, StreamsBeat, StreamsHeartbeat, StreamsReply};
use super::reconcile::{self, Towards};
use super::topics::{self, Configured};
use super::{Change, StreamsGroup, endpoints};
use crate::coordinator::group::messages::{GroupError, JOINING, Refused};
use crate::coordinator::group::records::consumer::MemberState;
use crate::coordinator::group::records::streams::{
    CurrentTasks, NOT_VALIDATED, StreamsEpoch, StreamsMetadata, StreamsRecord, TaskSet, Tasks, Topology,
};
use crate::coordinator::group::{GroupSettings, Timer};
use std::collections::BTreeMap;

impl StreamsGroup {
    /// Whether the group takes this heartbeat, as far as that can be told without looking at topics. Changes nothing.
    ///
    /// # Errors
    /// [`GroupError::MaxSizeReached`], [`GroupError::UnknownMember`], [`GroupError::FencedEpoch`], [`GroupError::Invalid`].
    pub fn admit(&self, request: &StreamsHeartbeat, settings: &GroupSettings) -> Result<(), Refused> {
        let joins = request.member_epoch == JOINING;
        let most = settings.kafka.streams.members_max;
        if joins && self.members.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
            let message = format!("The streams group has reached its maximum capacity of {most} members.");
            return Err(Refused { error: GroupError::MaxSizeReached, message });
        }
        match self.members.get(request.member_id.as_str()) {
            Some(member) => check_epoch(&member.current, request)?,
            None if joins => {}
            None => return Err(unknown(request)),
        }
        self.topology_of(request).map(|_| ())
    }

    /// The group's topology after this heartbeat: the group's own, or else the request's.
    fn topology_of<'a>(&'a self, request: &'a StreamsHeartbeat) -> Result<&'a Topology, Refused> {
        let invalid = |message: &str| Refused { error: GroupError::Invalid, message: message.to_owned() };
        match (&self.topology, &request.topology) {
            (None, Some(brought)) => Ok(brought),
            (Some(own), Some(brought)) if own.epoch <= brought.epoch && own != brought => {
                Err(invalid("Topology updates are not supported yet."))
            }
            (Some(own), _) => Ok(own),
            (None, None) => Err(invalid("The topology is null and the group topology is also null.")),
        }
    }
}

/// Who is not there.
pub(super) fn unknown(request: &StreamsHeartbeat) -> Refused {
    let message = format!("Member {} is not a member of group {}.", request.member_id, request.group_id);
    Refused { error: GroupError::UnknownMember, message }
}

fn check_epoch(current: &CurrentTasks, request: &StreamsHeartbeat) -> Result<(), Refused> {
    let (given, known) = (request.member_epoch, current.epoch);
    let fenced = |message: String| Err(Refused { error: GroupError::FencedEpoch, message });
    if current.state == MemberState::Unknown && request.owned.as_ref().is_none_or(|owned| *owned != Tasks::default()) {
        return fenced(
            "The streams group member is in a unknown state. The member must abandon all its tasks and rejoin.".to_owned(),
        );
    }
    let relation = match given.cmp(&known) {
        _ if given == JOINING => return Ok(()),
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Greater => "greater",
        // The answer that told it of its new epoch may have been lost.
        std::cmp::Ordering::Less if given == current.previous_epoch && is_owned(request, current) => return Ok(()),
        std::cmp::Ordering::Less => "smaller",
    };
    fenced(format!(
        "The streams group member has a {relation} member epoch ({given}) than the one known by the group coordinator ({known}). \
         The member must abandon all its partitions and rejoin."
    ))
}

/// Whether the member says what it runs, and may run all of that.
fn is_owned(request: &StreamsHeartbeat, current: &CurrentTasks) -> bool {
    let Some(owned) = &request.owned else { return false };
    let assigned = current.assigned.tasks();
    let has = |assigned: &TaskSet, owned: &TaskSet| {
        owned.iter().all(|(id, partitions)| assigned.get(id).is_some_and(|own| partitions.is_subset(own)))
    };
    has(&assigned.active, &owned.active) && has(&assigned.standby, &owned.standby) && has(&assigned.warmup, &owned.warmup)
}

/// What a heartbeat finds out about topics before it changes anything.
struct Look {
    topology_epoch: i32,
    metadata_hash: i64,
    /// Whether the topics are others than at the group's epoch.
    has_changed: bool,
}

impl Change<'_, '_> {
    /// A member that [`StreamsGroup::admit`] lets in.
    ///
    /// # Errors
    /// [`GroupError::InvalidTopology`], [`GroupError::Invalid`]: nothing has changed then.
    pub fn heartbeat(&mut self, request: StreamsHeartbeat) -> StreamsReply {
        let look = self.look(&request)?;
        let is_ready = self.check_tasks(&request)?;
        let (id, joins, endpoint_epoch) = (request.member_id.clone(), request.member_epoch == JOINING, request.endpoint_epoch);
        let (owned, shuts_down) = (request.owned.clone(), request.shuts_down);
        let was_empty = self.group.is_empty();
        let new_topology = request.topology.clone().filter(|_| self.group.topology.is_none());
        let former = self.current(&id);
        // It has not heard of its epoch: the answer that told it was lost, and with it what it is to run.
        let is_late = request.member_epoch != former.epoch;
        let before = former.assigned;

        let mut bump = self.update(request) || look.has_changed;
        if new_topology.is_some() {
            self.write(StreamsRecord::Topology(new_topology));
        }
        let mut statuses = self.stale_status(&id, look.topology_epoch);
        let validated = if is_ready { look.topology_epoch } else { NOT_VALIDATED };
        let configs = self.assignment_configs();
        bump |= validated != self.group.epoch.validated_topology_epoch || configs != self.group.epoch.configs;
        if bump {
            self.bump_epoch(look.metadata_hash, validated, configs);
        }
        self.soft.seen_version = Some(self.catalog.version);
        self.delay_first_rebalance(was_empty);
        let (target_epoch, target) = self.update_target(&id, &mut statuses);
        self.reconcile(&id, target_epoch, &target, owned.as_ref());
        self.restart_session(&id);
        if shuts_down {
            self.soft.shutdown_by.get_or_insert_with(|| id.clone());
        }
        let assigned = self.current(&id).assigned;
        let has_news = joins || assigned != before;
        let is_behind = is_late && owned.is_some_and(|owned| owned != assigned.tasks());
        let mut beat = self.told(&id, has_news, endpoint_epoch);
        if is_behind {
            beat.assignment = Some(assigned.tasks());
        }
        beat.statuses = statuses;
        self.tell_of_topics(&mut beat);
        self.tell_of_shutdown(&mut beat);
        Ok(beat)
    }

    /// Holds the topology against the topics that exist, if either is new.
    fn look(&mut self, request: &StreamsHeartbeat) -> Result<Look, Refused> {
        let topology = self.group.topology_of(request)?;
        let topology_epoch = topology.epoch;
        let group_hash = self.group.epoch.metadata_hash;
        // A heartbeat that was refused may have looked at topics of which the group has not heard.
        let known_hash = self.soft.configured.as_ref().map(|configured| configured.metadata_hash);
        let known_hash = known_hash.filter(|_| self.group.topology.is_some());
        if known_hash == Some(group_hash) && self.soft.seen_version == Some(self.catalog.version) {
            return Ok(Look { topology_epoch, metadata_hash: group_hash, has_changed: false });
        }
        let metadata_hash = topics::hash(topology, self.catalog);
        if known_hash != Some(metadata_hash) {
            let configured = Configured::of(topology, metadata_hash, self.catalog)
                .map_err(|message| Refused { error: GroupError::InvalidTopology, message })?;
            self.soft.configured = Some(configured);
        }
        Ok(Look { topology_epoch, metadata_hash, has_changed: metadata_hash != group_hash })
    }

    /// Whether the topology is ready, and all tasks that the member says to run are some of it.
    fn check_tasks(&self, request: &StreamsHeartbeat) -> Result<bool, Refused> {
        let Some(subtopologies) = self.soft.configured.as_ref().and_then(Configured::ready) else { return Ok(false) };
        let invalid = |message: String| Refused { error: GroupError::Invalid, message };
        let owned = request.owned.iter().flat_map(|owned| [&owned.active, &owned.standby, &owned.warmup]);
        for (id, partitions) in owned.flatten() {
            let Some(subtopology) = subtopologies.get(id) else {
                return Err(invalid(format!("Subtopology {id} does not exist in the topology.")));
            };
            let tasks = subtopology.tasks;
            if let Some(partition) = partitions.iter().find(|partition| !(0..tasks).contains(*partition)) {
                return Err(invalid(format!(
                    "Task {partition} for subtopology {id} is invalid. Number of tasks for this subtopology: {tasks}"
                )));
            }
        }
        Ok(true)
    }

    /// Writes what a member is, if that is new; whether it is.
    fn update(&mut self, request: StreamsHeartbeat) -> bool {
        let id = request.member_id.clone();
        let former = self.group.members.get(id.as_str()).map(|member| member.metadata.clone());
        let is_new = former.is_none();
        let former = former.unwrap_or_default();
        let metadata = merge(former.clone(), request);
        let is_news = is_new || metadata != former;
        if is_news {
            self.write(StreamsRecord::Member { id, value: Some(metadata) });
        }
        is_news
    }

    fn stale_status(&self, id: &str, epoch: i32) -> Vec<(Status, String)> {
        let own = self.group.members.get(id).map_or(NOT_VALIDATED, |member| member.metadata.topology_epoch);
        if own >= epoch {
            return Vec::new();
        }
        let detail = format!("The member's topology epoch {own} is behind the group's topology epoch {epoch}.");
        vec![(Status::StaleTopology, detail)]
    }

    /// What the assignor looks at.
    fn assignment_configs(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(super::target::STANDBY_REPLICAS.to_owned(), self.settings().standby_replicas.to_string())])
    }

    fn bump_epoch(&mut self, metadata_hash: i64, validated_topology_epoch: i32, configs: BTreeMap<String, String>) {
        let epoch = self.group.epoch.epoch.saturating_add(1);
        self.write(StreamsRecord::Epoch(Some(StreamsEpoch { epoch, metadata_hash, validated_topology_epoch, configs })));
    }

    /// The first member of an empty group waits for others, so that tasks need not move when they come.
    fn delay_first_rebalance(&mut self, was_empty: bool) {
        let delay_ms = self.settings().initial_rebalance_delay_ms;
        if was_empty && delay_ms > 0 && !self.soft.is_delayed {
            self.soft.is_delayed = true;
            let timer = Timer::FirstRebalance { group: self.id.clone() };
            self.ctx.set_timer(timer, i64::from(delay_ms));
        }
    }

    /// Takes a member one step towards its target.
    fn reconcile(&mut self, id: &str, target_epoch: i32, target: &Tasks, owned: Option<&Tasks>) {
        let Some(member) = self.group.members.get(id) else { return };
        if member.is_reconciled_to(target_epoch) {
            return;
        }
        let process = member.metadata.process_id.as_str();
        let group = &*self.group;
        let is_active = |subtopology: &str, partition: i32| group.is_active(subtopology, partition);
        let is_here = |subtopology: &str, partition: i32| group.is_at(process, subtopology, partition);
        let towards = Towards { target_epoch, target, owned, is_active: &is_active, is_here: &is_here };
        let next = reconcile::step(&member.current, &towards);
        if next == member.current {
            return;
        }
        let rebalance_timeout_ms = member.metadata.rebalance_timeout_ms;
        let timer = self.rebalance_timer(id);
        if next.state == MemberState::Unrevoked {
            self.ctx.set_timer(timer, i64::from(rebalance_timeout_ms));
        } else {
            self.ctx.cancel_timer(timer);
        }
        self.write(StreamsRecord::Current { id: id.to_owned(), value: Some(next) });
    }

    fn current(&self, id: &str) -> CurrentTasks {
        self.group.members.get(id).map(|member| member.current.clone()).unwrap_or_default()
    }

    fn restart_session(&mut self, id: &str) {
        let timer = self.session_timer(id);
        let session_timeout_ms = self.settings().session_timeout_ms;
        self.ctx.set_timer(timer, i64::from(session_timeout_ms));
    }

    fn told(&mut self, id: &str, has_news: bool, known_endpoints: i32) -> StreamsBeat {
        let current = self.current(id);
        let has_endpoint = self.group.members.get(id).is_some_and(|member| member.metadata.endpoint.is_some());
        if has_news && has_endpoint {
            self.soft.endpoint_epoch = self.soft.endpoint_epoch.wrapping_add(1);
        }
        let is_told = self.soft.endpoint_epoch != known_endpoints;
        StreamsBeat {
            member_id: id.to_owned(),
            member_epoch: current.epoch,
            heartbeat_interval_ms: self.settings().heartbeat_interval_ms,
            assignment: has_news.then(|| current.assigned.tasks()),
            endpoint_epoch: self.soft.endpoint_epoch,
            endpoints: is_told.then(|| endpoints::of(self.group, self.soft.configured.as_ref(), self.catalog)),
            ..StreamsBeat::default()
        }
    }

    fn tell_of_topics(&self, beat: &mut StreamsBeat) {
        let Some(configured) = &self.soft.configured else { return };
        if let Some((status, detail)) = &configured.problem {
            beat.statuses.push((*status, detail.clone()));
            beat.missing_topics = configured.missing.values().cloned().collect();
        }
    }

    fn tell_of_shutdown(&self, beat: &mut StreamsBeat) {
        if let Some(by) = &self.soft.shutdown_by {
            let detail = format!(
                "Streams group member {by} encountered a fatal error and requested a shutdown for the entire application."
            );
            beat.statuses.push((Status::ShutdownApplication, detail));
        }
    }
}

/// What the member was, with what the request says anew.
fn merge(former: StreamsMetadata, request: StreamsHeartbeat) -> StreamsMetadata {
    StreamsMetadata {
        instance_id: former.instance_id,
        rack_id: request.rack_id.or(former.rack_id),
        client_id: request.client_id,
        client_host: request.client_host,
        rebalance_timeout_ms: request.rebalance_timeout_ms.unwrap_or(former.rebalance_timeout_ms),
        topology_epoch: request.topology.map_or(former.topology_epoch, |topology| topology.epoch),
        process_id: request.process_id.unwrap_or(former.process_id),
        endpoint: request.endpoint.or(former.endpoint),
        tags: request.tags.unwrap_or(former.tags),
    }
}
