//! Acknowledgements of a share group's records, as ShareFetch and ShareAcknowledge carry them.

use super::errors::{self, ResponseError};
use super::share_group_heartbeat::is_member_id;
use super::share_sessions::{Member, Part};
use super::{Context, errors::share};
use crate::config::group::ShareGroupSettings;
use crate::coordinator::shards::Pending;
use crate::coordinator::share::ShareError;
use crate::coordinator::share::messages::{Acknowledgement, GROUP_BYTES_MAX, Policy, Verdict};
use crate::coordinator::share::ranges::Span;
use crate::coordinator::share::records::Key;
use crate::ids::{Offset, TopicId};
use crate::wire::share_fetch::{AcknowledgedBatch, AskedTopic};
use kafka_protocol::protocol::StrBytes;
use std::collections::HashMap;

/// What became of a partition's acknowledgements: error code and message.
pub type Outcome = (i16, Option<StrBytes>);

/// What may be acknowledged in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewals {
    /// The version knows them.
    pub are_known: bool,
    /// The request says that it has some.
    pub are_announced: bool,
}

/// Whose request it is.
///
/// # Errors
/// INVALID_REQUEST when group or member is not said, or the group's id is longer than any group has.
pub fn member_of(group: Option<&StrBytes>, member: Option<&StrBytes>) -> Result<Member, ResponseError> {
    let id = member.filter(|id| is_member_id(id));
    match (group.filter(|group| group.len() <= GROUP_BYTES_MAX), id) {
        (Some(group), Some(id)) => Ok(Member { group: group.as_str().into(), id: id.as_str().into() }),
        _ => Err(ResponseError::InvalidRequest),
    }
}

/// An outcome that is known, or on its way.
enum Settling {
    Done(Outcome),
    Pending(Pending<Result<(), ShareError>>),
}

/// Acknowledgements on their way, in the order of the request.
pub struct Acknowledging(Vec<(Part, Settling)>);

/// Hands the acknowledgements to the share coordinator. When this returns, they come before whatever is asked of it later.
pub async fn begin(
    context: &Context,
    member: &Member,
    settings: &ShareGroupSettings,
    topics: &[AskedTopic],
    renewals: Renewals,
) -> Acknowledging {
    let policy = Policy::of(settings);
    let mut all = Vec::new();
    for topic in topics {
        for partition in topic.partitions.iter().filter(|partition| !partition.acknowledgements.is_empty()) {
            let part = (TopicId(topic.id), partition.index);
            let settling = match checked(context, part, &partition.acknowledgements, renewals) {
                Ok(acknowledgements) => hand_over(context, member, part, policy, acknowledgements).await,
                Err(error) => Settling::Done(outcome(error)),
            };
            all.push((part, settling));
        }
    }
    Acknowledging(all)
}

async fn hand_over(
    context: &Context,
    member: &Member,
    (topic, partition): Part,
    policy: Policy,
    acknowledgements: Vec<Acknowledgement>,
) -> Settling {
    let key = Key { group: member.group.clone(), topic, partition };
    let shares = &context.broker.share_partitions;
    match shares.acknowledge(&key, policy, member.id.clone(), acknowledgements).await {
        Ok(pending) => Settling::Pending(pending),
        Err(error) => Settling::Done(outcome(share::code(&error))),
    }
}

impl Acknowledging {
    /// Waits until all that was accepted is durable.
    pub async fn outcomes(self) -> Vec<(Part, Outcome)> {
        let mut outcomes = Vec::with_capacity(self.0.len());
        for (part, settling) in self.0 {
            let outcome = match settling {
                Settling::Done(outcome) => outcome,
                Settling::Pending(pending) => match pending.wait().await.map_err(ShareError::from).and_then(|reply| reply) {
                    Ok(()) => (errors::NONE, None),
                    Err(error) => (share::code(&error).code(), Some(StrBytes::from_string(error.to_string()))),
                },
            };
            outcomes.push((part, outcome));
        }
        outcomes
    }
}

fn outcome(error: ResponseError) -> Outcome {
    (error.code(), None)
}

/// What a partition's acknowledgements say. Source: KafkaApis.validateAcknowledgementBatches.
fn checked(
    context: &Context,
    (topic, index): Part,
    batches: &[AcknowledgedBatch],
    renewals: Renewals,
) -> Result<Vec<Acknowledgement>, ResponseError> {
    let topic = context.broker.catalog.topic_by_id(topic).ok_or(ResponseError::UnknownTopicId)?;
    let mut before = -1;
    let mut acknowledgements = Vec::with_capacity(batches.len());
    for AcknowledgedBatch { first, last, types } in batches {
        let offsets = last.checked_sub(*first).and_then(|less_one| usize::try_from(less_one).ok());
        let fits = types.len() == 1 || offsets.is_some_and(|less_one| types.len().checked_sub(1) == Some(less_one));
        if offsets.is_none() || *first < before || !fits {
            return Err(ResponseError::InvalidRequest);
        }
        before = *last;
        let verdicts = types.iter().map(|code| verdict(*code, renewals)).collect::<Option<_>>();
        let verdicts = verdicts.ok_or(ResponseError::InvalidRequest)?;
        acknowledgements.push(Acknowledgement { span: Span::new(Offset(*first), Offset(*last)), verdicts });
    }
    let exists = usize::try_from(index).is_ok_and(|index| index < topic.logs.len());
    if exists { Ok(acknowledgements) } else { Err(ResponseError::UnknownTopicOrPartition) }
}

fn verdict(code: i8, renewals: Renewals) -> Option<Verdict> {
    Some(match code {
        0 => Verdict::Gap,
        1 => Verdict::Accept,
        2 => Verdict::Release,
        3 => Verdict::Reject,
        4 if renewals.are_known && renewals.are_announced => Verdict::Renew,
        _ => return None,
    })
}

/// Ends the session of `member`, and gives back what it has acquired; returns when others may have it.
pub async fn close_session(context: &Context, member: &Member) {
    release(&context.broker, member, context.share_sessions.close(member)).await;
}

/// Gives back what `member` has of `parts`. Best effort: what cannot be given back is available when its lock ends.
pub async fn release(broker: &crate::broker::Broker, member: &Member, parts: Vec<Part>) {
    let mut pending = Vec::with_capacity(parts.len());
    for (topic, partition) in parts {
        let key = Key { group: member.group.clone(), topic, partition };
        pending.extend(broker.share_partitions.release(&key, member.id.clone()).await);
    }
    for released in pending {
        let _ = released.wait().await;
    }
}

/// Something for each of some partitions, by topic: as responses are laid out, in the order of each topic's first partition.
pub fn by_topic<T>(all: impl IntoIterator<Item = (Part, T)>) -> Vec<(TopicId, Vec<T>)> {
    let mut topics: Vec<(TopicId, Vec<T>)> = Vec::new();
    let mut places: HashMap<TopicId, usize> = HashMap::new();
    for ((topic, _), one) in all {
        let place = *places.entry(topic).or_insert_with(|| {
            topics.push((topic, Vec::new()));
            topics.len() - 1
        });
        if let Some((_, of_topic)) = topics.get_mut(place) {
            of_topic.push(one);
        }
    }
    topics
}
