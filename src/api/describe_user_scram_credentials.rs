//! DescribeUserScramCredentials, key 50, version 0.
//!
//! Behaviour: there are no users with SCRAM credentials here: none are listed, and one that is asked for is RESOURCE_NOT_FOUND, in Kafka's words
//! (ScramImage.describe). Kafka's tools ask this beside a user's quotas.
//!
//! Version notes: none.
//! Not implemented: SCRAM itself.

use super::errors::ResponseError;
use super::errors::catalog::message;
use super::repeated::repeated;
use super::{Answer, Context, Handler};
use kafka_protocol::messages::describe_user_scram_credentials_response::DescribeUserScramCredentialsResult;
use kafka_protocol::messages::{DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse};
use std::collections::HashSet;
use std::ops::RangeInclusive;

pub struct DescribeUserScramCredentials;

impl Handler for DescribeUserScramCredentials {
    type Request = DescribeUserScramCredentialsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(_: Context, request: Self::Request) -> Answer<DescribeUserScramCredentialsResponse> {
        let users: Vec<_> = request.users.unwrap_or_default().into_iter().map(|user| user.name).collect();
        let twice: HashSet<_> = repeated(users.iter().cloned()).into_iter().collect();
        let mut answered = HashSet::new();
        let results = users.into_iter().filter(|user| answered.insert(user.clone())).map(|user| {
            let (error, why) = if twice.contains(&user) {
                let why = format!("Cannot describe SCRAM credentials for the same user twice in a single request: {user}");
                (ResponseError::DuplicateResource, why)
            } else {
                let why = format!("Attempt to describe a user credential that does not exist: {user}");
                (ResponseError::ResourceNotFound, why)
            };
            DescribeUserScramCredentialsResult::default()
                .with_user(user)
                .with_error_code(error.code())
                .with_error_message(Some(message(&why)))
        });
        Answer::Now(DescribeUserScramCredentialsResponse::default().with_results(results.collect()))
    }

    fn unsupported() -> DescribeUserScramCredentialsResponse {
        DescribeUserScramCredentialsResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}
