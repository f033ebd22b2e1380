//! TxnOffsetCommit, key 28, versions 0-5.
//!
//! Behaviour: a group's progress as part of a producer's transaction: durable when it is answered, and counting when the transaction commits.
//! The transaction coordinator checks the producer and hands the offsets on, so no marker can come in between. As for OffsetCommit, a partition
//! that is named twice is answered once.
//!
//! Version notes: 2 (KIP-320) adds the leader epoch; 3 (KIP-447) is flexible and names the member, which is checked where it is named; 4
//! (KIP-890) may answer TRANSACTION_ABORTABLE; 5 (KIP-890) makes the group part of the transaction by itself, without AddOffsetsToTxn.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::repeated::LastOfEach;
use super::{Answer, Context, Handler, add_offsets_to_txn};
use crate::coordinator::ProducerIdAndEpoch;
use crate::coordinator::group::GroupError;
use crate::coordinator::group::messages::{CommitOffset, CommitReply, CommitRequest};
use crate::coordinator::txn::TransactionError;
use crate::coordinator::txn::messages::{Intent, PartitionsRequest};
use crate::coordinator::txn::records::Protocol;
use crate::ids::TopicId;
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use kafka_protocol::messages::txn_offset_commit_response::{TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use std::ops::RangeInclusive;

/// The first version whose clients know TRANSACTION_ABORTABLE.
const ABORTABLE: i16 = 4;
/// The first version that makes the group part of the transaction.
const ADDS: i16 = 5;

pub struct TxnOffsetCommit;

impl Handler for TxnOffsetCommit {
    type Request = TxnOffsetCommitRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(context: Context, request: TxnOffsetCommitRequest) -> Answer<TxnOffsetCommitResponse> {
        let version = context.version;
        let adding = PartitionsRequest {
            id: request.transactional_id.to_string(),
            producer: ProducerIdAndEpoch::of(request.producer_id.0, request.producer_epoch),
            partitions: add_offsets_to_txn::of_group(&context, &request.group_id),
            intent: if version >= ADDS { Intent::Add(Protocol::V2) } else { Intent::Verify },
        };
        let mut commit = CommitRequest {
            group_id: request.group_id.to_string(),
            generation: request.generation_id,
            member_id: request.member_id.to_string(),
            instance_id: request.group_instance_id.map(|id| id.to_string()),
            retention_ms: None,
            knows_epochs: true,
            is_transactional: true,
            offsets: Vec::new(),
        };
        let mut known = LastOfEach::default();
        let topics = request.topics.into_iter().map(|topic| sort_out(&context, topic, &mut known)).collect();
        commit.offsets = known.into_vec();
        if commit.offsets.is_empty() {
            return Answer::Now(response(topics, Ok(Ok(Vec::new())), version));
        }
        // Unlike for a commit of its own (GroupCoordinatorService.commitTransactionalOffsets); and before it becomes part of the transaction.
        if commit.group_id.is_empty() {
            return Answer::Now(response(topics, Ok(Err(GroupError::InvalidGroupId)), version));
        }
        match context.broker.transactions.commit_offsets(adding, commit).await {
            Err(error) => Answer::Now(response(topics, Err(error), version)),
            Ok(committing) => Answer::Later(Box::pin(async move { response(topics, committing.wait().await, version) })),
        }
    }

    fn unsupported() -> TxnOffsetCommitResponse {
        TxnOffsetCommitResponse::default()
    }
}

/// Puts the offsets of partitions that exist into `known`; the others are answered here.
fn sort_out(
    context: &Context,
    topic: TxnOffsetCommitRequestTopic,
    known: &mut LastOfEach<(TopicId, i32), CommitOffset>,
) -> TxnOffsetCommitResponseTopic {
    let existing = context.broker.catalog.topic(&topic.name);
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for partition in topic.partitions {
        let index = partition.partition_index;
        let answer = TxnOffsetCommitResponsePartition::default().with_partition_index(index);
        let holder = existing.as_ref().filter(|topic| topic.has(index));
        let Some(holder) = holder else {
            partitions.push(answer.with_error_code(ResponseError::UnknownTopicOrPartition.code()));
            continue;
        };
        let position = (partition.committed_offset, partition.committed_leader_epoch);
        let offset = CommitOffset::of(holder, index, position, partition.committed_metadata.as_deref());
        if known.put((holder.id, index), offset) {
            partitions.push(answer);
        }
    }
    TxnOffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
}

/// `topics`: partitions without an error still wait for the coordinator's results, in order.
fn response(
    mut topics: Vec<TxnOffsetCommitResponseTopic>,
    reply: Result<CommitReply, TransactionError>,
    version: i16,
) -> TxnOffsetCommitResponse {
    let (mut results, refusal) = match reply {
        Ok(Ok(results)) => (results.into_iter(), errors::NONE),
        Ok(Err(error)) => (Vec::new().into_iter(), of_group(&error).code()),
        Err(error) => (Vec::new().into_iter(), of_transaction(&error, version).code()),
    };
    let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    for partition in partitions.filter(|partition| partition.error_code == errors::NONE) {
        partition.error_code = match results.next() {
            Some(Ok(())) => errors::NONE,
            Some(Err(error)) => of_group(&error).code(),
            None => refusal,
        };
    }
    TxnOffsetCommitResponse::default().with_topics(topics)
}

/// Producers know generations only (OffsetMetadataManager.validateTransactionalOffsetCommit).
fn of_group(error: &GroupError) -> ResponseError {
    match error {
        GroupError::UnknownGroup | GroupError::StaleEpoch => ResponseError::IllegalGeneration,
        other => errors::group::code(other),
    }
}

fn of_transaction(error: &TransactionError, version: i16) -> ResponseError {
    errors::transaction::of_partition(error, version >= ABORTABLE, version >= ADDS, ResponseError::CoordinatorNotAvailable)
}
