//! A group changes its protocol while it has members (KIP-848): a classic group when the first member of the consumer protocol joins it,
//! the other way when the last one has gone. `group.consumer.migration.policy` says which way is open.
//!
//! Partitions stay where they are: what the leader had assigned is everyone's target and what they own, and the other way round.
//! Source: ConsumerGroup.fromClassicGroup, ClassicGroup.fromConsumerGroup, GroupMetadataManager.validateOnline{Up,Down}grade*.

use super::GroupSettings;
use super::classic::ClassicGroup;
use super::classic::member::Member as ClassicMember;
use super::consumer::{CONSUMER, ConsumerGroup};
use super::embedded::{self, Assignment, Subscription};
use super::messages::{GroupError, Refused};
use super::records::MemberValue;
use super::records::consumer::{
    ClassicMetadata, ConsumerRecord, Current, EpochValue, MemberMetadata, MemberState, Owned, TargetEpochValue,
};
use crate::catalog::Snapshot;
use crate::coordinator::MalformedRecord;
use crate::ids::Timestamp;
use bytes::Bytes;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// `group` as a group of the consumer protocol.
///
/// # Errors
/// Why it cannot become one; clients know all of these as GROUP_ID_NOT_FOUND.
pub fn upgraded(group: &ClassicGroup, settings: &GroupSettings, catalog: &Snapshot) -> Result<ConsumerGroup, Refused> {
    let refused = |why: &str| {
        let message = format!("Cannot upgrade classic group {} to consumer group because {why}", group.id);
        Refused { error: GroupError::UnknownGroup, message }
    };
    if !settings.migration.allows_upgrade() {
        return Err(refused("online upgrade is disabled."));
    }
    if !group.is_consumer() {
        return Err(refused("the group does not use the consumer embedded protocol."));
    }
    if group.members.len() > settings.consumer_members_max {
        return Err(refused("the group size exceeds the consumer group maximum size."));
    }
    let mut upgraded = ConsumerGroup::default();
    let target_epoch = TargetEpochValue { epoch: group.generation, time: Timestamp(0) };
    upgraded.apply(ConsumerRecord::TargetEpoch(Some(target_epoch)));
    let mut all_owned = HashSet::new();
    for member in group.members.values() {
        let (metadata, owned, has_user_data) =
            read_member(group, member, catalog).map_err(|_| refused("the embedded consumer protocol is malformed."))?;
        if has_user_data {
            return Err(refused(
                "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor \
                 before re-attempting the upgrade.",
            ));
        }
        // Some assignors give every member everything. Here a partition has one owner (ConsumerGroup.addPartitionEpochs fails over it).
        let mut owns = owned.iter().flat_map(|(topic, own)| own.keys().map(|partition| (*topic, *partition)));
        if !owns.all(|one| all_owned.insert(one)) {
            return Err(refused("a partition is assigned to more than one of its members."));
        }
        let id = member.id.to_string();
        let target = owned.iter().map(|(topic, own)| (*topic, own.keys().copied().collect())).collect();
        let current = Current {
            epoch: group.generation,
            previous_epoch: group.generation,
            state: MemberState::Stable,
            assigned: owned,
            revoking: Owned::new(),
        };
        upgraded.apply(ConsumerRecord::Member { id: id.clone(), value: Some(metadata) });
        upgraded.apply(ConsumerRecord::Target { id: id.clone(), value: Some(target) });
        upgraded.apply(ConsumerRecord::Current { id, value: Some(current) });
    }
    // What its topics look like goes with the epoch, or the first look at them would seem to see a change, and everybody would have to join again.
    let metadata_hash = upgraded.hash(catalog);
    upgraded.apply(ConsumerRecord::Epoch(Some(EpochValue { epoch: group.generation, metadata_hash })));
    Ok(upgraded)
}

/// What a classic member is and owns, and whether its assignor keeps something in the assignment that would be lost.
fn read_member(
    group: &ClassicGroup,
    member: &ClassicMember,
    catalog: &Snapshot,
) -> Result<(MemberMetadata, Owned, bool), MalformedRecord> {
    let subscription = Subscription::read(&group.metadata_of(member))?;
    let assignment = Assignment::read(&member.assignment)?;
    let with_epochs = |partitions: BTreeSet<i32>| partitions.into_iter().map(|partition| (partition, group.generation)).collect();
    let partitions = embedded::by_id(&assignment.partitions, catalog);
    let owned = partitions.into_iter().map(|(topic, partitions)| (topic, with_epochs(partitions))).collect();
    let metadata = MemberMetadata {
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack_id,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        topics: subscription.topics,
        regex: None,
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        assignor: None,
        classic: Some(ClassicMetadata { session_timeout_ms: member.session_timeout_ms, protocols: member.protocols.clone() }),
    };
    Ok((metadata, owned, assignment.has_user_data))
}

/// Whether `group` becomes a classic one when the members in `leaving` have gone.
#[must_use]
pub fn is_downgrade(group: &ConsumerGroup, leaving: &[Arc<str>], settings: &GroupSettings) -> bool {
    group.is_classic_without(leaving)
        && settings.migration.allows_downgrade()
        && group.members.len().saturating_sub(leaving.len()) <= settings.members_max
}

/// `group`, whose members but for `leaving` all speak the classic protocol, as a classic group.
#[must_use]
pub fn downgraded(id: &str, group: &ConsumerGroup, leaving: &[Arc<str>], catalog: &Snapshot, now: Timestamp) -> ClassicGroup {
    let members = group.members.iter().filter(|(id, _)| !leaving.contains(id)).filter_map(|(id, member)| {
        let classic = member.metadata.classic.as_ref()?;
        let value = MemberValue {
            id: id.to_string(),
            instance_id: member.metadata.instance_id.clone(),
            client_id: member.metadata.client_id.clone(),
            client_host: member.metadata.client_host.clone(),
            rebalance_timeout_ms: member.metadata.rebalance_timeout_ms,
            session_timeout_ms: classic.session_timeout_ms,
            subscription: Bytes::new(),
            assignment: Bytes::new(),
        };
        let mut member = ClassicMember::restored(&value, "");
        (member.protocol_type, member.protocols) = (CONSUMER.to_owned(), classic.protocols.clone());
        Some(member)
    });
    let mut downgraded = ClassicGroup::of_members(id, group.epoch, members.collect(), now);
    let targets: Vec<_> = downgraded.members.keys().map(|id| (id.clone(), group.target(id))).collect();
    for (id, target) in targets {
        let metadata = downgraded.members.get(&id).map(|member| downgraded.metadata_of(member)).unwrap_or_default();
        let target = target.into_iter().map(|(topic, partitions)| (topic, partitions.into_iter().collect()));
        let assignment = embedded::assignment(target, &metadata, catalog);
        if let Some(member) = downgraded.members.get_mut(&id) {
            member.assignment = assignment;
        }
    }
    downgraded
}
