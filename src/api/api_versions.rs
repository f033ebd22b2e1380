//! ApiVersions, key 18, versions 0-4.
//!
//! Behaviour: lists [`super::TABLE`], as far as clients are meant to ask for it. An unknown version is answered in the format of
//! version 0 with UNSUPPORTED_VERSION and this key's range, and the connection lives (KIP-511); the response header is always
//! version 0.
//!
//! Version notes: 3 (KIP-511) is flexible and brings the client's software name and version, which must be well formed; 4
//! (KIP-1022) may list features whose minimum is 0; earlier versions leave these out, as Kafka does.
//! Produce is listed from 0 although 0-2 are refused: librdkafka turns compression off otherwise (KAFKA-18659).
//! Features (KIP-584, 3+): see [`super::features`].
//! Not implemented: nothing.

use super::errors::ResponseError;
use super::features::{self, Feature};
use super::{Answer, Context, Handler, TABLE};
use crate::config::KafkaSettings;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

/// The first version with features, and the first that may list those whose minimum is 0.
const FEATURES: i16 = 3;
const FEATURES_FROM_0: i16 = 4;

pub struct ApiVersions;

impl Handler for ApiVersions {
    type Request = ApiVersionsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    const BEFORE_AUTH: bool = true;
    const UNSUPPORTED_IN: i16 = 0;

    async fn handle(context: Context, request: ApiVersionsRequest) -> Answer<ApiVersionsResponse> {
        let named = [&request.client_software_name, &request.client_software_version];
        if context.version >= 3 && !named.into_iter().all(|name| is_well_formed(name)) {
            return Answer::Now(ApiVersionsResponse::default().with_error_code(ResponseError::InvalidRequest.code()));
        }
        let response = ApiVersionsResponse::default().with_api_keys(TABLE.iter().filter(|row| row.listed).map(listed).collect());
        Answer::Now(with_features(response, &context.broker.config.kafka, context.version))
    }

    fn unsupported() -> ApiVersionsResponse {
        let own = TABLE.iter().filter(|row| row.key == ApiKey::ApiVersions as i16).map(listed).collect();
        ApiVersionsResponse::default().with_error_code(ResponseError::UnsupportedVersion.code()).with_api_keys(own)
    }
}

fn listed(row: &super::Row) -> ApiVersion {
    let min = if row.key == ApiKey::Produce as i16 { 0 } else { row.min };
    ApiVersion::default().with_api_key(row.key).with_min_version(min).with_max_version(row.max)
}

fn with_features(response: ApiVersionsResponse, kafka: &KafkaSettings, version: i16) -> ApiVersionsResponse {
    if version < FEATURES {
        return response;
    }
    let mut supported = Vec::new();
    let mut finalized = Vec::new();
    for Feature { name, levels, level, .. } in features::all(kafka) {
        let name = StrBytes::from_static_str(name);
        if version >= FEATURES_FROM_0 || *levels.start() > 0 {
            let supports = SupportedFeatureKey::default().with_name(name.clone());
            supported.push(supports.with_min_version(*levels.start()).with_max_version(*levels.end()));
        }
        // Level 0 is "not finalised".
        if level > 0 {
            let finalizes = FinalizedFeatureKey::default().with_name(name);
            finalized.push(finalizes.with_min_version_level(level).with_max_version_level(level));
        }
    }
    response.with_supported_features(supported).with_finalized_features_epoch(0).with_finalized_features(finalized)
}

/// KIP-511: `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?` (ApiVersionsRequest.SOFTWARE_NAME_VERSION_PATTERN).
fn is_well_formed(name: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_follow_kip_511() {
        for bad in ["", "-", "a-", ".a", "a b", "ä"] {
            assert!(!is_well_formed(bad), "{bad:?} is malformed");
        }
        for good in ["a", "apache-kafka-java", "4.1.0", "a--b"] {
            assert!(is_well_formed(good), "{good:?} is well formed");
        }
    }

    #[test]
    fn the_answer_to_an_unknown_version_names_this_keys_range() {
        let answer = ApiVersions::unsupported();
        assert_eq!(answer.error_code, 35);
        assert_eq!(answer.api_keys.len(), 1);
        assert_eq!((answer.api_keys[0].api_key, answer.api_keys[0].max_version), (18, 4));
    }
}
