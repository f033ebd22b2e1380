//! FindCoordinator, key 10, versions 0-6.
//!
//! Behaviour: this node coordinates every group, every transactional id and every share-partition (`groupId:topicId:partition`). The first
//! question creates `__consumer_offsets`, `__transaction_state`, or `__share_group_state`.
//!
//! Version notes: 1 (KIP-98) asks by kind of coordinator and answers a message with an error; 3 is flexible; 4 (KIP-699) asks for many
//! keys at once; 5 (KIP-890) may answer TRANSACTION_ABORTABLE; 6 (KIP-932) adds share coordinators.
//! Not implemented: nothing.

use super::errors::{self, NONE, ResponseError};
use super::{Answer, Context, Handler, advertised};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

/// The first version that asks for many keys.
const BATCHED: i16 = 4;
/// FindCoordinatorRequest.CoordinatorType.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;
/// The first version that knows [`SHARE`].
const SHARES: i16 = 6;

/// The longest text of a topic id (Uuid.fromString), and how it is read: as java.util.Base64 does.
const TOPIC_ID_MAX: usize = 24;
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);

/// Keys that are answered before others have their turn.
const KEYS_AT_ONCE: usize = 1000;

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
                let of_key = |key: StrBytes| match request.key_type == SHARE && !is_share_partition(&key) {
                    true => refused(ResponseError::InvalidRequest, "the key is not groupId:topicId:partition").with_key(key),
                    false => found.clone().with_key(key),
                };
                let mut coordinators = Vec::with_capacity(keys.len());
                for key in keys {
                    coordinators.push(of_key(key));
                    // A request may name millions.
                    if coordinators.len() % KEYS_AT_ONCE == 0 {
                        tokio::task::yield_now().await;
                    }
                }
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
        SHARE if context.version >= SHARES => match context.broker.share_partitions.prepare().await {
            Ok(()) => this_node(context),
            Err(error) => refused(errors::share::code(&error), &error.to_string()),
        },
        _ => refused(ResponseError::InvalidRequest, &format!("coordinators of type {key_type} are not supported")),
    }
}

/// Whether `key` names a share-partition (SharePartitionKey.validate). The group may have colons in its id; what Java's `split` leaves out
/// at the end is left out here.
fn is_share_partition(key: &str) -> bool {
    let mut parts = key.trim_end_matches(':').rsplitn(3, ':');
    let (Some(partition), Some(topic_id), Some(group)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let is_topic_id = topic_id.len() <= TOPIC_ID_MAX && URL_SAFE.decode(topic_id).is_ok_and(|id| id.len() == 16);
    !group.trim().is_empty() && is_topic_id && partition.parse::<i32>().is_ok()
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

/// The form of the versions before [`BATCHED`], in which success has a message, too (FindCoordinatorResponse.prepareOldResponse: Errors.NONE.message).
fn single(found: Coordinator) -> FindCoordinatorResponse {
    let message = if found.error_code == NONE { Some(StrBytes::from_static_str("NONE")) } else { found.error_message };
    FindCoordinatorResponse::default()
        .with_error_code(found.error_code)
        .with_error_message(message)
        .with_node_id(found.node_id)
        .with_host(found.host)
        .with_port(found.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_share_partitions_are_checked() {
        let id = "AAAAAAAAAAAAAAAAAAAAAQ";
        for bad in ["", "g", "g:0", &format!("{id}:0"), &format!(":{id}:0"), &format!(" :{id}:0"), "g:AAAA:0", "g::0", "g:?:0"] {
            assert!(!is_share_partition(bad), "{bad:?}");
        }
        assert!(!is_share_partition(&format!("g:{id}:x")) && !is_share_partition(&format!("g:{id}:2147483648")));
        for good in [format!("g:{id}:0"), format!("a:b:c:{id}:7"), format!("g:{id}==:0")] {
            assert!(is_share_partition(&good), "{good:?}");
        }
    }
}
