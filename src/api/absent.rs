//! API keys that Kafka 4.3 has and we do not have yet. A client that asks for one all the same gets the key's own response with
//! UNSUPPORTED_VERSION (35), and keeps its connection; ApiVersions does not list them.
//!
//! Those whose response has no error code of its own are handlers, since an empty one would be a success (CreateAcls and its like). Keys that only
//! brokers and controllers send one another are not here.

use super::errors::ResponseError;
use crate::wire::message::{self, DecodeError};
use bytes::Bytes;
use kafka_protocol::messages::{
    AddRaftVoterResponse, ApiKey, CreateDelegationTokenResponse, DescribeDelegationTokenResponse, ExpireDelegationTokenResponse,
    RemoveRaftVoterResponse, RenewDelegationTokenResponse, SaslAuthenticateResponse, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Encodable, HeaderVersion, Message};

/// One key that we do not have.
pub struct Absent {
    pub key: i16,
    pub name: &'static str,
    /// The whole response frame, for a correlation id and the version that was asked for; any version is taken.
    pub answer: fn(correlation_id: i32, version: i16) -> Result<Bytes, DecodeError>,
}

const CODE: i16 = ResponseError::UnsupportedVersion.code();

// A macro, because `with_error_code` is a method of each response's own, behind no trait.
macro_rules! absent {
    ($key:ident, $response:expr) => {
        Absent {
            key: ApiKey::$key as i16,
            name: stringify!($key),
            answer: |correlation_id, version| encode(correlation_id, version, &$response),
        }
    };
}

/// All of them, by key.
pub static ABSENT: &[Absent] = &[
    absent!(SaslHandshake, SaslHandshakeResponse::default().with_error_code(CODE)),
    absent!(SaslAuthenticate, SaslAuthenticateResponse::default().with_error_code(CODE)),
    absent!(CreateDelegationToken, CreateDelegationTokenResponse::default().with_error_code(CODE)),
    absent!(RenewDelegationToken, RenewDelegationTokenResponse::default().with_error_code(CODE)),
    absent!(ExpireDelegationToken, ExpireDelegationTokenResponse::default().with_error_code(CODE)),
    absent!(DescribeDelegationToken, DescribeDelegationTokenResponse::default().with_error_code(CODE)),
    absent!(AddRaftVoter, AddRaftVoterResponse::default().with_error_code(CODE)),
    absent!(RemoveRaftVoter, RemoveRaftVoterResponse::default().with_error_code(CODE)),
];

/// The row of `key`, if it is one that we know of and do not have.
#[must_use]
pub fn find(key: i16) -> Option<&'static Absent> {
    ABSENT.iter().find(|absent| absent.key == key)
}

/// Encodes in the asked version, or in the nearest one that the response has.
fn encode<R>(correlation_id: i32, version: i16, response: &R) -> Result<Bytes, DecodeError>
where
    R: Encodable + HeaderVersion + Message,
{
    let version = version.clamp(R::VERSIONS.min, R::VERSIONS.max);
    message::encode(correlation_id, response, version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_absent_key_is_answered_in_every_version() {
        for absent in ABSENT {
            for version in [i16::MIN, -1, 0, 1, 2, 3, 4, 5, 6, i16::MAX] {
                let answer = (absent.answer)(77, version);
                let frame = answer.unwrap_or_else(|error| panic!("{} {version}: {error}", absent.name));
                assert_eq!(frame.get(4..8), Some(&77_i32.to_be_bytes()[..]), "{} {version}: correlation id", absent.name);
            }
        }
    }

    #[test]
    fn the_error_code_is_unsupported_version() {
        let frame = (find(ApiKey::SaslHandshake as i16).expect("absent").answer)(1, 0).expect("encodes");
        // Size, correlation id, then the error code; no tagged fields in version 0.
        assert_eq!(frame.get(8..10), Some(&[0, 35][..]));
    }

    #[test]
    fn keys_come_once_and_in_order() {
        let keys: Vec<i16> = ABSENT.iter().map(|absent| absent.key).collect();
        let sorted: Vec<i16> = keys.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        assert_eq!(keys, sorted);
    }

    #[test]
    fn no_key_is_both_answered_and_absent() {
        let both: Vec<&str> =
            ABSENT.iter().filter(|absent| crate::api::find(absent.key).is_some()).map(|absent| absent.name).collect();
        assert!(both.is_empty(), "{both:?}");
    }
}
