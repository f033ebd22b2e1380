//! UnregisterBroker, key 64, version 0.
//!
//! Behaviour: takes a broker that is gone for good off a cluster's list. This broker answers, so it is not gone, and there is no
//! other: INVALID_REQUEST for its own id, BROKER_ID_NOT_REGISTERED for any other.
//!
//! Version notes: none.
//! Not implemented: nothing. Kafka would take a running broker off its list, and leave a cluster without one.

use super::errors::ResponseError;
use super::errors::catalog::message;
use super::{Answer, Context, Handler};
use kafka_protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};
use std::ops::RangeInclusive;

pub struct UnregisterBroker;

impl Handler for UnregisterBroker {
    type Request = UnregisterBrokerRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(context: Context, request: UnregisterBrokerRequest) -> Answer<UnregisterBrokerResponse> {
        let (asked, node) = (request.broker_id.0, context.broker.config.server.node_id);
        let (error, why) = if asked == node {
            let why = format!("Broker ID {asked} is running and the only broker of this cluster: it cannot be unregistered");
            (ResponseError::InvalidRequest, why)
        } else {
            // Kafka's words (ReplicationControlManager.unregisterBroker).
            (ResponseError::BrokerIdNotRegistered, format!("Broker ID {asked} is not currently registered"))
        };
        Answer::Now(UnregisterBrokerResponse::default().with_error_code(error.code()).with_error_message(Some(message(&why))))
    }

    fn unsupported() -> UnregisterBrokerResponse {
        UnregisterBrokerResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}
