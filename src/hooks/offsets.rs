//! Offsets: what the group of an endpoint has committed, and where logs begin and end. By OffsetCommit, OffsetFetch and ListOffsets, as of a
//! consumer without a group protocol.
//!
//! Our own commits carry [`MARK`] as their metadata; the tools with which an administrator moves a group write none. So it is known whose an offset is.

use super::error::HooksError;
use super::handlers::Handlers;
use crate::api::delete_groups::DeleteGroups;
use crate::api::errors::ResponseError;
use crate::api::list_offsets::ListOffsets;
use crate::api::offset_commit::OffsetCommit;
use crate::api::offset_fetch::OffsetFetch;
use crate::catalog::Topic;
use crate::ids::TopicId;
use crate::wire::offset_commit::{self, OffsetCommitRequest};
use crate::wire::offset_fetch::{self, OffsetFetchRequest};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::{
    BrokerId, DeleteGroupsRequest, GroupId, ListOffsetsRequest, OffsetCommitResponse, OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Names topics by id: one that was made anew under the same name is another one (KIP-848).
const OFFSET_COMMIT: i16 = 10;
const OFFSET_FETCH: i16 = 8;
const LIST_OFFSETS: i16 = 6;
const DELETE_GROUPS: i16 = 2;
const READ_COMMITTED: i8 = 1;
/// Partitions that one request commits: the coordinator writes it as a whole, and takes 16 MiB.
const COMMITTED_AT_ONCE: usize = 10_000;
/// The metadata of our commits.
const MARK: &str = "webhooks";

/// For ListOffsets: the first offset that can be read, and the end of what is committed.
pub const EARLIEST: i64 = -2;
pub const LATEST: i64 = -1;

/// Offsets by topic and partition.
pub type Offsets = BTreeMap<TopicId, BTreeMap<i32, i64>>;

/// What a group has committed in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    pub offset: i64,
    /// We committed it, nobody else.
    pub is_ours: bool,
}

/// What `group` has committed in all partitions of `topics`; partitions without a commit are left out.
///
/// # Errors
/// What the coordinator answers.
pub async fn committed(
    handlers: &Handlers,
    group: &str,
    topics: &[Arc<Topic>],
) -> Result<BTreeMap<String, BTreeMap<i32, Committed>>, HooksError> {
    let asked = topics.iter().map(|topic| offset_fetch::Topic {
        name: name_of(&topic.name),
        id: Uuid::nil(),
        partitions: topic.partitions().collect(),
    });
    let one = offset_fetch::Group { id: group_id(group), member_id: None, member_epoch: -1, topics: Some(asked.collect()) };
    let request = OffsetFetchRequest { head: Default::default(), groups: vec![one] };
    let code = |response: &OffsetFetchResponse| response.groups.first().map_or(0, |group| group.error_code);
    let response = handlers.ask::<OffsetFetch, _>(group, OFFSET_FETCH, request, code).await?;
    let mut found: BTreeMap<String, BTreeMap<i32, Committed>> = BTreeMap::new();
    for topic in response.groups.iter().flat_map(|group| &group.topics) {
        for partition in topic.partitions.iter().filter(|partition| partition.committed_offset >= 0) {
            let is_ours = partition.metadata.as_deref() == Some(MARK);
            let committed = Committed { offset: partition.committed_offset, is_ours };
            found.entry(topic.name.to_string()).or_default().insert(partition.partition_index, committed);
        }
    }
    Ok(found)
}

/// Commits offsets for `group`, which has no members. Durable when it returns; after an error some may be.
///
/// # Errors
/// What the coordinator answers: somebody has joined the group, for one. Partitions that are gone are no error.
pub async fn commit(handlers: &Handlers, group: &str, offsets: &Offsets) -> Result<(), HooksError> {
    for piece in pieces(offsets, COMMITTED_AT_ONCE) {
        commit_piece(handlers, group, &piece).await?;
    }
    Ok(())
}

/// `offsets` by at most so many.
fn pieces(offsets: &Offsets, most: usize) -> Vec<Offsets> {
    let mut pieces = Vec::new();
    let mut left = most;
    for (topic, partitions) in offsets {
        for (partition, offset) in partitions {
            if pieces.is_empty() || left == 0 {
                pieces.push(Offsets::new());
                left = most;
            }
            left -= 1;
            if let Some(piece) = pieces.last_mut() {
                piece.entry(*topic).or_default().insert(*partition, *offset);
            }
        }
    }
    pieces
}

async fn commit_piece(handlers: &Handlers, group: &str, offsets: &Offsets) -> Result<(), HooksError> {
    let topics = offsets.iter().map(|(topic, partitions)| {
        let partitions = partitions.iter().map(|(partition, offset)| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(*partition)
                .with_committed_offset(*offset)
                .with_committed_leader_epoch(-1)
                .with_committed_metadata(Some(StrBytes::from_static_str(MARK)))
        });
        offset_commit::Topic { name: TopicName::default(), id: topic.0, partitions: partitions.collect() }
    });
    let topics = topics.collect();
    let head = offset_commit::Head::default().with_group_id(group_id(group)).with_generation_id_or_member_epoch(-1);
    let code = |response: &OffsetCommitResponse| {
        let codes = response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
        let is_gone = |code: i16| {
            use ResponseError::{UnknownTopicId, UnknownTopicOrPartition};
            matches!(ResponseError::try_from_code(code), Some(UnknownTopicId | UnknownTopicOrPartition))
        };
        codes.filter(|code| !is_gone(*code)).find(|code| *code != 0).unwrap_or(0)
    };
    handlers.ask::<OffsetCommit, _>(group, OFFSET_COMMIT, OffsetCommitRequest { head, topics }, code).await.map(drop)
}

/// Deletes a group and what it has committed; one that is not there is no error.
///
/// # Errors
/// What the coordinator answers.
pub async fn delete_group(handlers: &Handlers, group: &str) -> Result<(), HooksError> {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(group)]);
    let response = handlers.call::<DeleteGroups>(DELETE_GROUPS, request).await?;
    let code = response.results.first().map_or(0, |result| result.error_code);
    match ResponseError::try_from_code(code) {
        None | Some(ResponseError::GroupIdNotFound | ResponseError::NotCoordinator) => Ok(()),
        Some(error) => Err(HooksError::refused(format!("group {group:?}"), error)),
    }
}

/// For each partition of a topic the offset of a time in milliseconds, or of [`EARLIEST`] or [`LATEST`]; the end, where there is no record from then on.
/// A partition that cannot be asked is left out.
///
/// # Errors
/// When no handler answers.
pub async fn at(handlers: &Handlers, topic: &Topic, time: i64) -> Result<BTreeMap<i32, i64>, HooksError> {
    let mut found = listed(handlers, topic, time).await?;
    if found.values().any(|offset| *offset < 0) {
        let ends = listed(handlers, topic, LATEST).await?;
        found = found
            .into_iter()
            .filter_map(|(index, offset)| Some((index, if offset < 0 { *ends.get(&index)? } else { offset })))
            .collect();
    }
    Ok(found)
}

async fn listed(handlers: &Handlers, topic: &Topic, time: i64) -> Result<BTreeMap<i32, i64>, HooksError> {
    let partitions = topic.partitions().map(|index| {
        ListOffsetsPartition::default().with_partition_index(index).with_timestamp(time).with_current_leader_epoch(-1)
    });
    let asked = ListOffsetsTopic::default().with_name(name_of(&topic.name)).with_partitions(partitions.collect());
    let request =
        ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_isolation_level(READ_COMMITTED).with_topics(vec![asked]);
    let response = handlers.call::<ListOffsets>(LIST_OFFSETS, request).await?;
    let answers = response.topics.iter().flat_map(|topic| &topic.partitions).filter(|answer| answer.error_code == 0);
    Ok(answers.map(|answer| (answer.partition_index, answer.offset)).collect())
}

#[must_use]
pub fn name_of(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

fn group_id(id: &str) -> GroupId {
    GroupId(StrBytes::from_string(id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_offsets_are_committed_in_pieces() {
        let (a, b) = (TopicId(Uuid::from_u128(1)), TopicId(Uuid::from_u128(2)));
        let offsets = Offsets::from([(a, (0..3).map(|partition| (partition, 7)).collect()), (b, BTreeMap::from([(0, 8)]))]);
        let counts =
            |most| pieces(&offsets, most).iter().map(|piece| piece.values().map(BTreeMap::len).sum()).collect::<Vec<usize>>();
        assert_eq!((counts(1), counts(2), counts(3), counts(4)), (vec![1; 4], vec![2, 2], vec![3, 1], vec![4]));
        let together: Vec<_> = pieces(&offsets, 2)
            .into_iter()
            .flatten()
            .flat_map(|(topic, own)| own.into_iter().map(move |one| (topic, one)))
            .collect();
        assert_eq!(together, [(a, (0, 7)), (a, (1, 7)), (a, (2, 7)), (b, (0, 8))]);
        assert!(pieces(&Offsets::new(), 2).is_empty());
    }
}
