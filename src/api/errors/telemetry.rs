//! What a refused request about clients' metrics becomes on the wire.

use super::ResponseError;
use crate::api::client_instance::TelemetryError;

/// The code for `error`. Source: the exceptions of ClientMetricsManager.
#[must_use]
pub fn code(error: TelemetryError) -> ResponseError {
    match error {
        TelemetryError::ReservedId | TelemetryError::Terminated => ResponseError::InvalidRequest,
        TelemetryError::TooEarly => ResponseError::ThrottlingQuotaExceeded,
        TelemetryError::UnknownSubscription => ResponseError::UnknownSubscriptionId,
        TelemetryError::UnsupportedCompression => ResponseError::UnsupportedCompressionType,
        TelemetryError::TooLarge => ResponseError::TelemetryTooLarge,
    }
}

/// The code of a result: 0 where all is well.
#[must_use]
pub fn code_of(result: Result<(), TelemetryError>) -> i16 {
    result.err().map_or(super::NONE, |error| code(error).code())
}
