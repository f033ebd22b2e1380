//! DeleteTopics, key 20, versions 1-6.
//!
//! Behaviour: each topic of the request succeeds or fails on its own. When the answer leaves, the topic, its logs and the offsets that
//! groups committed for it are gone, durably. A topic given twice, by name, by id or by both, is refused each time. When the coordinators of groups
//! cannot write for longer than `timeout_ms`, or [`PATIENCE_MIN`] if that is longer (the disk is full), the answer does not wait for the offsets any
//! more: fetches of a new topic with the same name do not see them, and they go when the coordinators write again, or, after a stop, when they expire.
//! With `delete.topic.enable=false`: TOPIC_DELETION_DISABLED for all.
//!
//! Version notes: below 3 disabled deletion is INVALID_REQUEST; 5 (KIP-599) brings error messages; 6 (KIP-516) takes topic ids.
//! As in Kafka, internal topics can be deleted; their coordinator begins anew.

use super::errors::catalog::{message, shown};
use super::errors::{NONE, ResponseError};
use super::repeated::repeated;
use super::{Answer, Context, Handler};
use crate::catalog::{CatalogError, Topic};
use crate::ids::TopicId;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The first version that knows TOPIC_DELETION_DISABLED.
const DELETION_DISABLED: i16 = 3;
/// The shortest wait for the coordinators: long for a disk. Clients that set none, as librdkafka's do, rely on an answer that is the last of it.
const PATIENCE_MIN: Duration = Duration::from_secs(5);

pub struct DeleteTopics;

impl Handler for DeleteTopics {
    type Request = DeleteTopicsRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=6;

    async fn handle(context: Context, request: DeleteTopicsRequest) -> Answer<DeleteTopicsResponse> {
        let patience = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)).max(PATIENCE_MIN);
        let targets = targets(request);
        if !context.broker.config.kafka.delete_topic_enable {
            return Answer::Now(disabled(&targets, context.version));
        }
        let catalog = &context.broker.catalog;
        let steps = plan(targets, |id| catalog.topic_by_id(id).map(|topic| topic.name.clone()));
        let deletions = steps.iter().filter_map(|step| match step {
            Step::Refuse(_) => None,
            Step::Delete(target, name) => Some((name.clone(), target.only())),
        });
        // All of them at once: the one that makes room on a full disk may be the last.
        let mut deleted = context.broker.delete_topics(deletions.collect(), patience).await.into_iter();
        let responses = steps.into_iter().filter_map(|step| match step {
            Step::Refuse(answer) => Some(answer),
            Step::Delete(target, _) => deleted.next().map(|deleted| target.outcome(deleted)),
        });
        let responses = responses.collect();
        Answer::Now(DeleteTopicsResponse::default().with_responses(responses))
    }

    fn unsupported() -> DeleteTopicsResponse {
        DeleteTopicsResponse::default()
    }
}

/// One topic as the request names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Target {
    name: Option<TopicName>,
    /// Nil: not given.
    id: Uuid,
}

/// What is to be done with one target.
#[derive(Debug, PartialEq)]
enum Step {
    Refuse(DeletableTopicResult),
    /// The topic that the target means, by name.
    Delete(Target, String),
}

impl Target {
    fn refused(&self, error: ResponseError, why: Option<StrBytes>) -> DeletableTopicResult {
        self.answered(error.code(), why)
    }

    fn answered(&self, code: i16, why: Option<StrBytes>) -> DeletableTopicResult {
        let answer = DeletableTopicResult::default().with_name(self.name.clone()).with_topic_id(self.id);
        answer.with_error_code(code).with_error_message(why)
    }

    /// The topic that is meant, if it was given by id.
    fn only(&self) -> Option<TopicId> {
        (!self.id.is_nil()).then_some(TopicId(self.id))
    }

    fn outcome(&self, deleted: Result<Arc<Topic>, CatalogError>) -> DeletableTopicResult {
        match deleted {
            Ok(topic) => {
                let name = Some(TopicName(StrBytes::from_string(topic.name.clone())));
                Target { name, id: topic.id.0 }.answered(NONE, None)
            }
            // Deleted meanwhile; the name may be another topic's by now.
            Err(CatalogError::UnknownTopic(_)) if self.only().is_some() => self.refused(ResponseError::UnknownTopicId, None),
            Err(error) => {
                let (code, why) = shown(&error);
                self.answered(code, why)
            }
        }
    }
}

/// The topics of a request: names until version 5, names or ids in 6.
fn targets(request: DeleteTopicsRequest) -> Vec<Target> {
    let named = request.topic_names.into_iter().map(|name| Target { name: Some(name), id: Uuid::nil() });
    named.chain(request.topics.into_iter().map(|topic| Target { name: topic.name, id: topic.topic_id })).collect()
}

fn disabled(targets: &[Target], version: i16) -> DeleteTopicsResponse {
    let error = if version < DELETION_DISABLED { ResponseError::InvalidRequest } else { ResponseError::TopicDeletionDisabled };
    let answer = |target: &Target| target.refused(error, Some(message("Topic deletion is disabled.")));
    DeleteTopicsResponse::default().with_responses(targets.iter().map(answer).collect())
}

/// Sorts out targets that contradict themselves or one another (ControllerApis.deleteTopics). `name_of`: the topic behind an id.
fn plan(targets: Vec<Target>, name_of: impl Fn(TopicId) -> Option<String>) -> Vec<Step> {
    let duplicates: HashSet<Target> = repeated(targets.iter().cloned()).into_iter().collect();
    let names: HashSet<String> = targets.iter().filter_map(|target| Some(target.name.as_ref()?.as_str().to_owned())).collect();
    let names_by_id: HashSet<String> =
        targets.iter().filter(|target| !target.id.is_nil()).filter_map(|target| name_of(TopicId(target.id))).collect();
    let mut told = HashSet::new();
    let mut steps = Vec::with_capacity(targets.len());
    for target in targets {
        let invalid = |why: &str| Step::Refuse(target.refused(ResponseError::InvalidRequest, Some(message(why))));
        let step = match (&target.name, target.id.is_nil()) {
            (None, true) => invalid("Neither topic name nor id were specified."),
            (Some(_), false) => invalid("You may not specify both topic name and topic id."),
            _ if duplicates.contains(&target) && !told.insert(target.clone()) => continue,
            (Some(_), true) if duplicates.contains(&target) => invalid("Duplicate topic name."),
            (None, false) if duplicates.contains(&target) => invalid("Duplicate topic id."),
            (Some(name), true) if names_by_id.contains(name.as_str()) => {
                invalid("The provided topic name maps to an ID that was already supplied.")
            }
            (Some(name), true) => Step::Delete(target.clone(), name.as_str().to_owned()),
            (None, false) => match name_of(TopicId(target.id)) {
                None => Step::Refuse(target.refused(ResponseError::UnknownTopicId, None)),
                Some(name) if names.contains(&name) => {
                    invalid("The provided ID belongs to a topic whose name was supplied as well.")
                }
                Some(name) => Step::Delete(target.clone(), name),
            },
        };
        steps.push(step);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &'static str) -> Target {
        Target { name: Some(TopicName(StrBytes::from_static_str(name))), id: Uuid::nil() }
    }

    fn by_id(id: u128) -> Target {
        Target { name: None, id: Uuid::from_u128(id) }
    }

    /// Error code and message per step; code 0 and the topic's name where it is deleted. Id 7 is topic "seven".
    fn planned(targets: Vec<Target>) -> Vec<(i16, String)> {
        let name_of = |id: TopicId| (id.0 == Uuid::from_u128(7)).then(|| "seven".to_owned());
        let shown = |step: Step| match step {
            Step::Refuse(answer) => (answer.error_code, answer.error_message.map(|why| why.to_string()).unwrap_or_default()),
            Step::Delete(_, name) => (0, name),
        };
        plan(targets, name_of).into_iter().map(shown).collect()
    }

    fn invalid(why: &str) -> (i16, String) {
        (42, why.to_owned())
    }

    #[test]
    fn contradictions_are_refused() {
        let both = Target { name: named("a").name, id: Uuid::from_u128(1) };
        let neither = Target { name: None, id: Uuid::nil() };
        assert_eq!(
            planned(vec![both, neither]),
            [invalid("You may not specify both topic name and topic id."), invalid("Neither topic name nor id were specified.")]
        );
    }

    #[test]
    fn duplicates_are_refused_and_told_once() {
        let targets = vec![named("a"), by_id(7), named("a"), named("b"), by_id(7), named("a")];
        let expected = [invalid("Duplicate topic name."), invalid("Duplicate topic id."), (0, "b".to_owned())];
        assert_eq!(planned(targets), expected);
    }

    #[test]
    fn a_topic_given_by_name_and_by_id_is_not_deleted() {
        let steps = planned(vec![named("seven"), by_id(7)]);
        assert!(steps.iter().all(|(code, _)| *code == 42), "{steps:?}");
    }

    #[test]
    fn ids_find_their_topics() {
        assert_eq!(planned(vec![by_id(7), by_id(8)]), [(0, "seven".to_owned()), (100, String::new())]);
    }

    #[test]
    fn disabled_deletion_has_an_older_code() {
        let code = |version| disabled(&[named("a")], version).responses.first().map(|answer| answer.error_code);
        assert_eq!((code(2), code(3)), (Some(42), Some(73)));
    }
}
