//! Consumer groups over HTTP: Kafka groups without members, whose offsets are committed by hand, and the leases of what was handed out.
//!
//! Owner of the leases: [`Groups`], a map of groups, each under an async lock: hand-outs of one group are one after the other, those of
//! different groups are not. Bound: at most [`GROUPS_MAX`] groups; those without leases are forgotten first, then those whose leases ended
//! long ago. A group keeps partitions only while there is more to know of them than their committed offset.

use super::caller::Caller;
use super::errors::{HttpError, Refusal};
use super::leases::PartitionLeases;
use super::source::Source;
use crate::api::Handler;
use crate::api::consumer_group_describe::ConsumerGroupDescribe;
use crate::api::describe_groups::DescribeGroups;
use crate::api::errors::ResponseError;
use crate::api::find_coordinator::FindCoordinator;
use crate::api::offset_commit::OffsetCommit;
use crate::api::offset_fetch::OffsetFetch;
use crate::catalog::Topic;
use crate::ids::{Timestamp, TopicId};
use crate::wire::offset_commit::{self, OffsetCommitRequest};
use crate::wire::offset_fetch::{self, OffsetFetchRequest};
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, DescribeGroupsRequest, DescribeGroupsResponse, FindCoordinatorRequest, GroupId,
    OffsetCommitResponse, OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

const FIND_COORDINATOR: i16 = 4;
/// Names topics by id: one that was made anew under the same name is another one (KIP-848).
const OFFSET_COMMIT: i16 = 10;
const OFFSET_FETCH: i16 = 10;
const DESCRIBE_GROUPS: i16 = 5;
const CONSUMER_GROUP_DESCRIBE: i16 = 0;
/// Groups with leases.
const GROUPS_MAX: usize = 10_000;
/// A group that nobody has used for so many leases may be forgotten, and with it who held what: all of that has come back long ago.
const FORGOTTEN_AFTER_LEASES: i64 = 10;
/// Much less than offsets are kept.
const RENEWED_AFTER_MS: i64 = 6 * 60 * 60 * 1000;
/// How long a coordinator that loads is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// A partition of a topic; a topic that is created anew is another one.
pub type PartitionKey = (TopicId, i32);

/// Offsets of a group, by topic and partition.
pub type Offsets = BTreeMap<TopicId, BTreeMap<i32, i64>>;

/// What is handed out to whom, of all groups.
#[derive(Debug, Default)]
pub struct Groups {
    by_id: Mutex<HashMap<GroupKey, Arc<tokio::sync::Mutex<Group>>>>,
    /// When the offsets of a group were last committed again, so that they do not expire while the group is in use.
    renewed: Mutex<HashMap<GroupKey, Timestamp>>,
}

/// A project's prefix and a group's id.
type GroupKey = (String, String);

/// What is handed out of one group.
#[derive(Debug, Default)]
pub struct Group {
    pub partitions: HashMap<PartitionKey, PartitionLeases>,
    /// Which partition is looked at first: another one each time.
    pub turn: usize,
    used: Timestamp,
}

impl Groups {
    /// The group, for as long as the guard is held.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when too many groups have leases; [`Refusal::Unavailable`] when others keep it for too long.
    pub async fn lock(&self, caller: &Caller, id: &str) -> Result<OwnedMutexGuard<Group>, HttpError> {
        let now = caller.shared.broker.env.steady();
        let group = {
            let key = (caller.prefix().to_owned(), id.to_owned());
            let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
            if by_id.len() >= GROUPS_MAX && !by_id.contains_key(&key) {
                let keep_ms = caller.shared.broker.config.http.consume_lease_ms.saturating_mul(FORGOTTEN_AFTER_LEASES);
                by_id.retain(|_, group| {
                    group.try_lock().map_or(true, |group| !group.is_idle() && now.ms_since(group.used) < keep_ms)
                });
            }
            if by_id.len() >= GROUPS_MAX && !by_id.contains_key(&key) {
                let message = format!("{GROUPS_MAX} groups have records that are not acknowledged; acknowledge some, or wait");
                return Err(HttpError::new(Refusal::Busy, message));
            }
            by_id.entry(key).or_default().clone()
        };
        let locked = tokio::time::timeout(PATIENCE, group.lock_owned()).await;
        let mut group =
            locked.map_err(|_| HttpError::new(Refusal::Unavailable, format!("the group {id:?} is busy; try again")))?;
        group.used = now;
        Ok(group)
    }

    /// Whether the offsets of a group, in the topics of `source`, are to be committed again: they expire some days after their commit
    /// (`offsets.retention.minutes`), even while the group is polled.
    fn is_renewal_due(&self, caller: &Caller, id: &str, source: &str) -> bool {
        let now = caller.shared.broker.env.now();
        let before = self.renewals().get(&renewal_key(caller, id, source)).copied();
        // Of what is seen for the first time since a start, or since there was too much to remember, nobody knows when it was committed.
        before.is_none_or(|before| now.ms_since(before) >= RENEWED_AFTER_MS)
    }

    /// They were committed now.
    fn renewed(&self, caller: &Caller, id: &str, source: &str) {
        let (key, now) = (renewal_key(caller, id, source), caller.shared.broker.env.now());
        let mut renewed = self.renewals();
        if renewed.len() >= GROUPS_MAX && !renewed.contains_key(&key) {
            // Then they are committed again earlier than need be.
            renewed.clear();
        }
        renewed.insert(key, now);
    }

    fn renewals(&self) -> MutexGuard<'_, HashMap<GroupKey, Timestamp>> {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn renewal_key(caller: &Caller, id: &str, source: &str) -> GroupKey {
    (format!("{}{source}", caller.prefix()), id.to_owned())
}

impl Group {
    fn is_idle(&self) -> bool {
        self.partitions.values().all(PartitionLeases::is_idle)
    }

    /// Takes note of the committed offsets of these partitions.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn observe(&mut self, caller: &Caller, id: &str, source: &Source, topics: &[Arc<Topic>]) -> Result<(), HttpError> {
        let committed = committed(caller, id, source, topics).await?;
        let now = caller.shared.broker.env.steady();
        for (topic, index) in source.partitions(topics) {
            let offset = committed.get(&topic.id).and_then(|own| own.get(&index)).copied();
            // Where the log begins is found out by reading.
            let anew = || offset.map_or_else(|| PartitionLeases::uncommitted(0), PartitionLeases::new);
            self.partitions.entry((topic.id, index)).or_insert_with(anew).observe(offset, now);
        }
        if !committed.is_empty() && caller.shared.groups.is_renewal_due(caller, id, source.name()) {
            commit(caller, id, &committed).await?;
            caller.shared.groups.renewed(caller, id, source.name());
        }
        Ok(())
    }

    /// Changes what is handed out of each partition that has an offset here.
    pub fn at_each(&mut self, offsets: &Offsets, mut change: impl FnMut(&mut PartitionLeases, i64)) {
        for (topic, own) in offsets {
            for (partition, offset) in own {
                if let Some(leases) = self.partitions.get_mut(&(*topic, *partition)) {
                    change(leases, *offset);
                }
            }
        }
    }

    /// Forgets what the committed offsets say as well, and topics that are gone.
    pub fn tidy(&mut self, caller: &Caller) {
        let catalog = &caller.shared.broker.catalog;
        self.partitions.retain(|(topic, _), leases| !leases.is_idle() && catalog.topic_by_id(*topic).is_some());
    }
}

/// The committed offsets of a group in these topics; partitions without one are left out, and so are those of topics that are gone.
///
/// # Errors
/// What the coordinator answers.
pub async fn committed(caller: &Caller, id: &str, source: &Source, topics: &[Arc<Topic>]) -> Result<Offsets, HttpError> {
    let asked = topics.iter().map(|topic| {
        let partitions = source.partitions(std::slice::from_ref(topic)).map(|(_, index)| index).collect();
        offset_fetch::Topic { name: TopicName::default(), id: topic.id.0, partitions }
    });
    let group = offset_fetch::Group { id: group_id(id), member_id: None, member_epoch: -1, topics: Some(asked.collect()) };
    let request = OffsetFetchRequest { head: Default::default(), groups: vec![group] };
    let code = |response: &OffsetFetchResponse| response.groups.first().map_or(0, |group| group.error_code);
    let response = ask::<OffsetFetch, _>(caller, id, OFFSET_FETCH, request, code).await?;
    let mut offsets = Offsets::new();
    for group in &response.groups {
        for topic in &group.topics {
            for partition in topic.partitions.iter().filter(|partition| partition.committed_offset >= 0) {
                offsets.entry(TopicId(topic.topic_id)).or_default().insert(partition.partition_index, partition.committed_offset);
            }
        }
    }
    Ok(offsets)
}

/// Commits offsets for a group without members.
///
/// # Errors
/// [`Refusal::Conflict`] when Kafka clients are in the group; [`Refusal::NotFound`] when a topic was deleted meanwhile, also where there is another one of its
/// name now; else what the coordinator answers.
pub async fn commit(caller: &Caller, id: &str, offsets: &Offsets) -> Result<(), HttpError> {
    let topics = offsets.iter().map(|(topic, partitions)| {
        let partitions = partitions.iter().map(|(partition, offset)| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(*partition)
                .with_committed_offset(*offset)
                .with_committed_leader_epoch(-1)
                .with_committed_metadata(Some(StrBytes::from_static_str("")))
        });
        offset_commit::Topic { name: TopicName::default(), id: topic.0, partitions: partitions.collect() }
    });
    let topics = topics.collect();
    let head = offset_commit::Head::default().with_group_id(group_id(id)).with_generation_id_or_member_epoch(-1);
    let code = |response: &OffsetCommitResponse| {
        let mut codes = response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
        codes.find(|code| *code != 0).unwrap_or(0)
    };
    let committed = ask::<OffsetCommit, _>(caller, id, OFFSET_COMMIT, OffsetCommitRequest { head, topics }, code).await;
    committed.map(drop).map_err(|error| if error.refusal == Refusal::Conflict { has_members(id) } else { error })
}

/// # Errors
/// [`Refusal::Conflict`] when Kafka clients are in the group: its partitions are theirs.
pub async fn check_memberless(caller: &Caller, id: &str) -> Result<(), HttpError> {
    if id.is_empty() || id.len() > 255 {
        return Err(HttpError::invalid("group must have 1 to 255 characters"));
    }
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(id)]);
    let code = |response: &DescribeGroupsResponse| response.groups.first().map_or(0, |group| group.error_code);
    let response = caller.call::<DescribeGroups>(DESCRIBE_GROUPS, request.clone()).await?;
    let response = match ResponseError::try_from_code(code(&response)) {
        None => response,
        // Without a coordinator nobody has a group yet.
        Some(ResponseError::NotCoordinator) => return Ok(()),
        Some(_) => ask::<DescribeGroups, _>(caller, id, DESCRIBE_GROUPS, request, code).await?,
    };
    let Some(group) = response.groups.first() else { return Ok(()) };
    if !group.members.is_empty() {
        return Err(has_members(id));
    }
    if group.group_state.as_str() != "Dead" {
        return Ok(());
    }
    // Not a classic group: there is none, or one of the consumer protocol.
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(id)]);
    let response = caller.call::<ConsumerGroupDescribe>(CONSUMER_GROUP_DESCRIBE, request).await?;
    match response.groups.first() {
        Some(group) if !group.members.is_empty() => Err(has_members(id)),
        _ => Ok(()),
    }
}

fn has_members(id: &str) -> HttpError {
    let message =
        format!("Kafka clients are in the group {id:?}, and its partitions are theirs; stop them, or use another group");
    HttpError::new(Refusal::Conflict, message)
}

/// Asks the group's coordinator, which is made at its first use, and waited for while it loads.
async fn ask<H: Handler, F>(
    caller: &Caller,
    id: &str,
    version: i16,
    request: H::Request,
    code: F,
) -> Result<crate::api::ResponseOf<H>, HttpError>
where
    H::Request: Clone,
    crate::api::ResponseOf<H>: Send,
    F: Fn(&crate::api::ResponseOf<H>) -> i16,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let response = caller.call::<H>(version, request.clone()).await?;
        let Some(error) = ResponseError::try_from_code(code(&response)) else { return Ok(response) };
        let is_coming = matches!(
            error,
            ResponseError::NotCoordinator | ResponseError::CoordinatorNotAvailable | ResponseError::CoordinatorLoadInProgress
        );
        if !is_coming || tokio::time::Instant::now() >= deadline {
            return Err(HttpError::of(error, None, &format!("group {id:?}")));
        }
        let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![StrBytes::from_string(id.to_owned())]);
        caller.call::<FindCoordinator>(FIND_COORDINATOR, find).await?;
        tokio::time::sleep(PAUSE).await;
    }
}

fn group_id(id: &str) -> GroupId {
    GroupId(StrBytes::from_string(id.to_owned()))
}
