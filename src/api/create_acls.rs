//! CreateAcls, key 30, versions 1-3.
//!
//! Behaviour: nobody would keep to an ACL here: each that is to be created is SECURITY_DISABLED, as in Kafka without an authorizer
//! (AclApis.handleCreateAcls). An answer without a result would be a success to Sarama and kafka-go.
//!
//! Version notes: 1 (KIP-290) brings types of patterns; 2 is flexible; 3 (KIP-373) brings users as resources.
//! Not implemented: ACLs themselves.

use super::errors::ResponseError;
use super::{Answer, Context, Handler};
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::{CreateAclsRequest, CreateAclsResponse};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

/// Kafka's words; shared by all results of an answer.
pub(super) const NO_AUTHORIZER: &str = "No Authorizer is configured.";

pub struct CreateAcls;

impl Handler for CreateAcls {
    type Request = CreateAclsRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=3;

    async fn handle(_: Context, request: CreateAclsRequest) -> Answer<CreateAclsResponse> {
        let why = StrBytes::from_static_str(NO_AUTHORIZER);
        let refused = refused(ResponseError::SecurityDisabled).with_error_message(Some(why));
        Answer::Now(CreateAclsResponse::default().with_results(vec![refused; request.creations.len()]))
    }

    fn unsupported() -> CreateAclsResponse {
        CreateAclsResponse::default().with_results(vec![refused(ResponseError::UnsupportedVersion)])
    }
}

fn refused(error: ResponseError) -> AclCreationResult {
    AclCreationResult::default().with_error_code(error.code()).with_error_message(None)
}
