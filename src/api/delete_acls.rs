//! DeleteAcls, key 31, versions 1-3.
//!
//! Behaviour: there are no ACLs here: each filter is SECURITY_DISABLED, as in Kafka without an authorizer (AclApis.handleDeleteAcls). An answer without
//! a result would be a success to Sarama and kafka-go.
//!
//! Version notes: 1 (KIP-290) brings types of patterns; 2 is flexible; 3 (KIP-373) brings users as resources.
//! Not implemented: ACLs themselves.

use super::create_acls::NO_AUTHORIZER;
use super::errors::ResponseError;
use super::{Answer, Context, Handler};
use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::{DeleteAclsRequest, DeleteAclsResponse};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

pub struct DeleteAcls;

impl Handler for DeleteAcls {
    type Request = DeleteAclsRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=3;

    async fn handle(_: Context, request: DeleteAclsRequest) -> Answer<DeleteAclsResponse> {
        let why = StrBytes::from_static_str(NO_AUTHORIZER);
        let refused = refused(ResponseError::SecurityDisabled).with_error_message(Some(why));
        Answer::Now(DeleteAclsResponse::default().with_filter_results(vec![refused; request.filters.len()]))
    }

    fn unsupported() -> DeleteAclsResponse {
        DeleteAclsResponse::default().with_filter_results(vec![refused(ResponseError::UnsupportedVersion)])
    }
}

fn refused(error: ResponseError) -> DeleteAclsFilterResult {
    DeleteAclsFilterResult::default().with_error_code(error.code()).with_error_message(None)
}
