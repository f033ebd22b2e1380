//! FindCoordinator, key 10, versions 0-6.
//!
//! Behaviour: this node coordinates every group and every transactional id. The first question creates `__consumer_offsets`, or
//! `__transaction_state`.
//!
//! Version notes: 1 (KIP-98) asks by kind of coordinator and answers a message with an error; 3 is flexible; 4 (KIP-699) asks for many
//! keys at once; 5 (KIP-890) may answer TRANSACTION_ABORTABLE; 6 (KIP-932) adds share coordinators.
//! Not implemented: share groups (kind 2): INVALID_REQUEST, as from a Kafka without them.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler, advertised};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

/// The first version that asks for many keys.
const BATCHED: i16 = 4;
/// FindCoordinatorRequest.CoordinatorType.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub struct FindCoordinator;

impl Handler for FindCoordinator {
    type Request = FindCoordinatorRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=6;

    async fn handle(context: Context, request: FindCoordinatorRequest) -> Answer<FindCoordinatorResponse> {
        let is_batched = context.version >= BATCHED;
        let keys = if is_batched { request.coordinator_keys } else { vec![request.key] };
        Answer::Later(Box::pin(async move {
            let found = find(&context, request.key_type).await;
            if is_batched {
                let coordinators = keys.into_iter().map(|key| found.clone().with_key(key)).collect();
                FindCoordinatorResponse::default().with_coordinators(coordinators)
            } else {
                single(found)
            }
        }))
    }

    fn unsupported() -> FindCoordinatorResponse {
        // The highest version answers per key, and which keys were asked for is not known.
        FindCoordinatorResponse::default()
            .with_coordinators(vec![refused(ResponseError::UnsupportedVersion, "unsupported version")])
    }
}

/// The coordinator for keys of one kind: it is the same for all of them.
async fn find(context: &Context, key_type: i8) -> Coordinator {
    match key_type {
        GROUP => match context.broker.groups.prepare().await {
            Ok(()) => this_node(context),
            Err(error) => refused(errors::group::code(&error), &error.to_string()),
        },
        TRANSACTION => match context.broker.transactions.prepare().await {
            Ok(()) => this_node(context),
            Err(error) => refused(errors::transaction::code(&error), &error.to_string()),
        },
        _ => refused(ResponseError::InvalidRequest, &format!("coordinators of type {key_type} are not supported")),
    }
}

fn this_node(context: &Context) -> Coordinator {
    let (host, port) = advertised::endpoint(context);
    Coordinator::default()
        .with_node_id(BrokerId(context.broker.config.server.node_id))
        .with_host(StrBytes::from_string(host))
        .with_port(port)
}

/// No node, as Kafka says it (Node.noNode).
fn refused(error: ResponseError, message: &str) -> Coordinator {
    Coordinator::default()
        .with_node_id(BrokerId(-1))
        .with_port(-1)
        .with_error_code(error.code())
        .with_error_message(Some(StrBytes::from_string(message.to_owned())))
}

/// The form of the versions before [`BATCHED`].
fn single(found: Coordinator) -> FindCoordinatorResponse {
    FindCoordinatorResponse::default()
        .with_error_code(found.error_code)
        .with_error_message(found.error_message)
        .with_node_id(found.node_id)
        .with_host(found.host)
        .with_port(found.port)
}
