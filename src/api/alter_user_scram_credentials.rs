//! AlterUserScramCredentials, key 51, version 0.
//!
//! Behaviour: there is no SCRAM here, so each user that is named is UNSUPPORTED_VERSION, once: an answer without a result would be a success to a client that
//! asks without looking at ApiVersions, which does not list the key.
//!
//! Version notes: none.
//! Not implemented: SCRAM itself.

use super::errors::ResponseError;
use super::repeated::once_each;
use super::{Answer, Context, Handler};
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::{AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

const NO_SCRAM: &str = "This server has no SCRAM: it authenticates nobody.";

pub struct AlterUserScramCredentials;

impl Handler for AlterUserScramCredentials {
    type Request = AlterUserScramCredentialsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const LISTED: bool = false;

    async fn handle(_: Context, request: Self::Request) -> Answer<AlterUserScramCredentialsResponse> {
        let deleted = request.deletions.into_iter().map(|deletion| deletion.name);
        let upserted = request.upsertions.into_iter().map(|upsertion| upsertion.name);
        let users = once_each(deleted.chain(upserted).collect(), StrBytes::clone);
        let results = users.into_iter().map(|user| refused().with_user(user));
        Answer::Now(AlterUserScramCredentialsResponse::default().with_results(results.collect()))
    }

    fn unsupported() -> AlterUserScramCredentialsResponse {
        AlterUserScramCredentialsResponse::default().with_results(vec![refused()])
    }
}

fn refused() -> AlterUserScramCredentialsResult {
    AlterUserScramCredentialsResult::default()
        .with_error_code(ResponseError::UnsupportedVersion.code())
        .with_error_message(Some(StrBytes::from_static_str(NO_SCRAM)))
}
