//! DescribeAcls, key 29, versions 1-3.
//!
//! Behaviour: there are no ACLs here, since nobody is authenticated: SECURITY_DISABLED, as in Kafka without an authorizer (AclApis.handleDescribeAcls), which
//! lists the key as well. So clients and tools say what is the matter, in Kafka's words.
//!
//! Version notes: 1 (KIP-290) brings types of patterns; 2 is flexible; 3 (KIP-373) brings users as resources.
//! Not implemented: ACLs themselves.

use super::errors::ResponseError;
use super::{Answer, Context, Handler};
use kafka_protocol::messages::{DescribeAclsRequest, DescribeAclsResponse};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

const NO_AUTHORIZER: &str = "No Authorizer is configured on the broker";

pub struct DescribeAcls;

impl Handler for DescribeAcls {
    type Request = DescribeAclsRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=3;

    async fn handle(_: Context, _: DescribeAclsRequest) -> Answer<DescribeAclsResponse> {
        let why = StrBytes::from_static_str(NO_AUTHORIZER);
        Answer::Now(refused(ResponseError::SecurityDisabled).with_error_message(Some(why)))
    }

    fn unsupported() -> DescribeAclsResponse {
        refused(ResponseError::UnsupportedVersion)
    }
}

fn refused(error: ResponseError) -> DescribeAclsResponse {
    DescribeAclsResponse::default().with_error_code(error.code()).with_error_message(None)
}
