//! What a refused change of the catalog becomes on the wire.

use super::ResponseError;
use crate::catalog::CatalogError;
use kafka_protocol::protocol::StrBytes;

/// The most characters of an error message: a refused name comes back inside its message, and old versions' strings end at 32,767 bytes.
const MESSAGE_CHARS_MAX: usize = 4_000;

/// The code for `error`. Source: the ApiErrors of ReplicationControlManager and ConfigurationControlManager.
#[must_use]
pub fn code(error: &CatalogError) -> ResponseError {
    match error {
        CatalogError::TopicExists(_) => ResponseError::TopicAlreadyExists,
        CatalogError::UnknownTopic(_) => ResponseError::UnknownTopicOrPartition,
        CatalogError::InvalidName(_) => ResponseError::InvalidTopicException,
        CatalogError::InvalidPartitions(_) => ResponseError::InvalidPartitions,
        CatalogError::InvalidReplicationFactor(_) => ResponseError::InvalidReplicationFactor,
        CatalogError::InvalidReplicaAssignment(_) => ResponseError::InvalidReplicaAssignment,
        CatalogError::InvalidConfig(_) => ResponseError::InvalidConfig,
        CatalogError::InvalidRequest(_) => ResponseError::InvalidRequest,
        // As for a request that is larger than a controller takes (BoundedListTooLongException).
        CatalogError::LimitReached(_) => ResponseError::PolicyViolation,
        CatalogError::Store(_) => ResponseError::KafkaStorageError,
    }
}

/// Code and message as a response carries them.
#[must_use]
pub fn shown(error: &CatalogError) -> (i16, Option<StrBytes>) {
    (code(error).code(), Some(message(&error.to_string())))
}

/// An error message, cut where it would not fit into a response.
#[must_use]
pub fn message(text: &str) -> StrBytes {
    StrBytes::from_string(text.chars().take(MESSAGE_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_echoes_a_long_name_still_fits_into_an_old_version() {
        let error = crate::catalog::check_name(&"ü".repeat(16_000)).expect_err("too long");
        let (code, message) = shown(&error);
        assert_eq!(code, 17);
        assert!(message.is_some_and(|text| text.len() <= 32_767));
    }
}
