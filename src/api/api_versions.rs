//! ApiVersions, key 18, versions 0-4.
//!
//! Behaviour: lists [`super::TABLE`]. An unknown version is answered in the format of version 0 with UNSUPPORTED_VERSION and this key's
//! range, and the connection lives (KIP-511); the response header is always version 0.
//!
//! Version notes: 3 (KIP-511) is flexible and brings the client's software name and version, which must be well formed; 4
//! (KIP-1022) may list features whose minimum is 0.
//! Produce is listed from 0 although 0-2 are refused: librdkafka turns compression off otherwise (KAFKA-18659).
//! Not implemented: features; a client sees none, finalised or supported, and keeps to transactions version 1 and the classic groups.

use super::errors::ResponseError;
use super::{Answer, Context, Handler, TABLE};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use std::ops::RangeInclusive;

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
        Answer::Now(ApiVersionsResponse::default().with_api_keys(TABLE.iter().map(listed).collect()))
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
