//! ListPartitionReassignments, key 46, version 0.
//!
//! Behaviour: with one node nothing is ever under way, whatever is asked for.
//!
//! Not implemented: nothing.

use super::errors::{NONE, ResponseError};
use super::{Answer, Context, Handler};
use kafka_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};
use std::ops::RangeInclusive;

pub struct ListPartitionReassignments;

impl Handler for ListPartitionReassignments {
    type Request = ListPartitionReassignmentsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(_: Context, _: ListPartitionReassignmentsRequest) -> Answer<ListPartitionReassignmentsResponse> {
        Answer::Now(ListPartitionReassignmentsResponse::default().with_error_code(NONE).with_error_message(None))
    }

    fn unsupported() -> ListPartitionReassignmentsResponse {
        ListPartitionReassignmentsResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}
