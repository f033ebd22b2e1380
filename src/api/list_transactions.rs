//! ListTransactions, key 66, versions 0-2.
//!
//! Behaviour (KIP-664): all transactional ids with their producers and states; optionally those of certain states or producers, those whose
//! transaction has been open for some time (or who never began one), and those whose id matches an expression. Unknown states are named back.
//!
//! Version notes: 1 (KIP-994) adds the duration; 2 (KIP-1152) the expression (RE2), which must match the whole id.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::coordinator::group::compile_within;
use crate::coordinator::txn::messages::Listed;
use crate::coordinator::txn::records::Status;
use crate::ids::Timestamp;
use crate::records::control::Marker;
use kafka_protocol::messages::list_transactions_response::TransactionState;
use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse, ProducerId, TransactionalId};
use kafka_protocol::protocol::StrBytes;
use regex::Regex;
use std::collections::HashSet;
use std::ops::RangeInclusive;

const STATES: [Status; 6] = [
    Status::Empty,
    Status::Ongoing,
    Status::Prepare(Marker::Commit),
    Status::Prepare(Marker::Abort),
    Status::Complete(Marker::Commit),
    Status::Complete(Marker::Abort),
];
/// What a compiled expression may weigh.
const PATTERN_COMPILED_BYTES_MAX: usize = 10 << 20;
/// States of Kafka that no transaction is found in here.
const STATES_NEVER_MET: [&str; 2] = ["Dead", "PrepareEpochFence"];

pub struct ListTransactions;

impl Handler for ListTransactions {
    type Request = ListTransactionsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(context: Context, request: ListTransactionsRequest) -> Answer<ListTransactionsResponse> {
        let pattern = match pattern(&request) {
            Ok(pattern) => pattern,
            Err(_) => return Answer::Now(refused(ResponseError::InvalidRegularExpression)),
        };
        Answer::Later(Box::pin(async move {
            let listed = match context.broker.transactions.list().await {
                Ok(listed) => listed,
                Err(error) => return refused(errors::transaction::code(&error)),
            };
            respond(listed, &request, pattern.as_ref(), context.broker.env.now())
        }))
    }

    fn unsupported() -> ListTransactionsResponse {
        refused(ResponseError::UnsupportedVersion)
    }
}

/// `None`: every id matches.
fn pattern(request: &ListTransactionsRequest) -> Result<Option<Regex>, String> {
    match request.transactional_id_pattern.as_deref() {
        None | Some("") => Ok(None),
        Some(pattern) => compile_within(pattern, PATTERN_COMPILED_BYTES_MAX).map(Some),
    }
}

fn respond(
    listed: Vec<Listed>,
    request: &ListTransactionsRequest,
    pattern: Option<&Regex>,
    now: Timestamp,
) -> ListTransactionsResponse {
    let is_known =
        |name: &StrBytes| STATES.iter().any(|state| state.name() == name.as_str()) || STATES_NEVER_MET.contains(&name.as_str());
    let unknown = request.state_filters.iter().filter(|name| !is_known(name)).cloned().collect::<Vec<_>>();
    let states: HashSet<&str> = request.state_filters.iter().map(StrBytes::as_str).collect();
    let producers: HashSet<i64> = request.producer_id_filters.iter().map(|id| id.0).collect();
    let is_asked = |one: &Listed| {
        let transaction = &one.transaction;
        (states.is_empty() || states.contains(transaction.status.name()))
            && (producers.is_empty() || producers.contains(&transaction.producer.id.0))
            && is_as_old(one, request.duration_filter, now)
            && pattern.is_none_or(|pattern| pattern.is_match(&one.id))
    };
    let states = listed.into_iter().filter(is_asked).map(|one| {
        TransactionState::default()
            .with_transactional_id(TransactionalId(StrBytes::from_string(one.id)))
            .with_producer_id(ProducerId(one.transaction.producer.id.0))
            .with_transaction_state(StrBytes::from_static_str(one.transaction.status.name()))
    });
    ListTransactionsResponse::default().with_transaction_states(states.collect()).with_unknown_state_filters(unknown)
}

/// Whether the transaction has been open for more than `duration_ms`; negative: whatever its age. An id that never began one is as old as can be
/// (TransactionStateManager.shouldInclude).
fn is_as_old(one: &Listed, duration_ms: i64, now: Timestamp) -> bool {
    if duration_ms < 0 {
        return true;
    }
    one.transaction.start.is_none_or(|start| now.ms_since(start) > duration_ms)
}

fn refused(error: ResponseError) -> ListTransactionsResponse {
    ListTransactionsResponse::default().with_error_code(error.code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::ProducerIdAndEpoch;
    use crate::coordinator::txn::records::{Partitions, Protocol, Transaction};

    fn listed(id: &str, status: Status, start: Option<i64>) -> Listed {
        let transaction = Transaction {
            producer: ProducerIdAndEpoch::of(7, 0),
            previous_producer: None,
            next_producer: None,
            protocol: Protocol::V2,
            timeout_ms: 1000,
            status,
            partitions: Partitions::new(),
            last_update: Timestamp(0),
            start: start.map(Timestamp),
        };
        Listed { id: id.to_owned(), transaction }
    }

    #[test]
    fn filters_are_states_producers_age_and_expression() {
        let ids = |request: ListTransactionsRequest| {
            let all = vec![listed("a-1", Status::Ongoing, Some(0)), listed("b-1", Status::Empty, None)];
            let pattern = pattern(&request).expect("an expression");
            let response = respond(all, &request, pattern.as_ref(), Timestamp(5000));
            let unknown: Vec<String> = response.unknown_state_filters.iter().map(ToString::to_string).collect();
            let ids: Vec<String> = response.transaction_states.iter().map(|one| one.transactional_id.to_string()).collect();
            (ids, unknown)
        };
        let all = || ListTransactionsRequest::default().with_duration_filter(-1);
        let text = |text: &'static str| StrBytes::from_static_str(text);
        assert_eq!(ids(all()).0, ["a-1", "b-1"]);
        assert_eq!(ids(all().with_state_filters(vec![text("Ongoing"), text("Odd")])), (vec!["a-1".into()], vec!["Odd".into()]));
        assert!(ids(all().with_producer_id_filters(vec![ProducerId(8)])).0.is_empty());
        assert_eq!(ids(all().with_duration_filter(4999)).0, ["a-1", "b-1"]);
        assert_eq!(ids(all().with_duration_filter(5000)).0, ["b-1"]);
        assert_eq!(ids(all().with_transactional_id_pattern(Some(text("b.*")))).0, ["b-1"]);
        assert!(ids(all().with_transactional_id_pattern(Some(text("b")))).0.is_empty(), "the whole id must match");
    }
}
