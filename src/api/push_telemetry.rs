//! PushTelemetry, key 72, version 0.
//!
//! Behaviour: a client's metrics (KIP-714), which nobody has subscribed to: they are held against what GetTelemetrySubscriptions
//! told the client, and dropped.
//!
//! Version notes: none. As GetTelemetrySubscriptions.
//! Not implemented: anything that takes the metrics.

use super::client_instance::Push;
use super::errors::{ResponseError, telemetry};
use super::{Answer, Context, Handler};
use kafka_protocol::messages::{PushTelemetryRequest, PushTelemetryResponse};
use std::ops::RangeInclusive;

pub struct PushTelemetry;

impl Handler for PushTelemetry {
    type Request = PushTelemetryRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const LISTED: bool = false;

    async fn handle(context: Context, request: PushTelemetryRequest) -> Answer<PushTelemetryResponse> {
        let push = Push {
            subscription_id: request.subscription_id,
            is_terminating: request.terminating,
            compression: request.compression_type,
            metrics_bytes: request.metrics.len(),
        };
        let now = context.broker.env.now();
        let pushed = context.connection.client_instance().of(request.client_instance_id).push(&push, now);
        Answer::Now(PushTelemetryResponse::default().with_error_code(telemetry::code_of(pushed)))
    }

    fn unsupported() -> PushTelemetryResponse {
        PushTelemetryResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}
