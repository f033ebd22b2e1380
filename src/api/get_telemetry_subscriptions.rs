//! GetTelemetrySubscriptions, key 71, version 0.
//!
//! Behaviour: what a client is to send of its metrics, and how often (KIP-714): nothing, because nobody can subscribe to them
//! here. A client without an id gets one. One that asks again before an interval has passed gets THROTTLING_QUOTA_EXCEEDED.
//!
//! Version notes: none. ApiVersions does not list the key, as in a Kafka without a plug-in that takes metrics: clients do not
//! ask.
//! Not implemented: client metrics resources (IncrementalAlterConfigs), which would say what to send.

use super::client_instance::{COMPRESSIONS, METRICS_BYTES_MAX, PUSH_INTERVAL_MS, subscription_id};
use super::errors::{NONE, ResponseError, telemetry};
use super::{Answer, Context, Handler};
use crate::catalog::cluster;
use kafka_protocol::messages::{GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse};
use std::ops::RangeInclusive;

pub struct GetTelemetrySubscriptions;

impl Handler for GetTelemetrySubscriptions {
    type Request = GetTelemetrySubscriptionsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const LISTED: bool = false;

    async fn handle(context: Context, request: GetTelemetrySubscriptionsRequest) -> Answer<GetTelemetrySubscriptionsResponse> {
        let env = &context.broker.env;
        let id = if request.client_instance_id.is_nil() { cluster::new_uuid(env) } else { request.client_instance_id };
        let response = GetTelemetrySubscriptionsResponse::default();
        let asked = context.connection.client_instance().of(id).ask(env.now());
        if asked.is_err() {
            return Answer::Now(response.with_error_code(telemetry::code_of(asked)));
        }
        let response = response
            .with_error_code(NONE)
            .with_client_instance_id(id)
            .with_subscription_id(subscription_id(id))
            .with_accepted_compression_types(COMPRESSIONS.to_vec())
            .with_push_interval_ms(PUSH_INTERVAL_MS)
            .with_telemetry_max_bytes(METRICS_BYTES_MAX)
            .with_delta_temporality(true);
        Answer::Now(response)
    }

    fn unsupported() -> GetTelemetrySubscriptionsResponse {
        GetTelemetrySubscriptionsResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}
