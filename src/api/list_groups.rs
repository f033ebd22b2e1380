//! ListGroups, key 16, versions 0-5.
//!
//! Behaviour: all groups, those of consumers that only commit included; optionally of certain states and types, in any case of letters.
//!
//! Version notes: 3 is flexible; 4 (KIP-518) adds states; 5 (KIP-848) adds types: "classic", "consumer" and "share".
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::coordinator::group::GroupError;
use crate::coordinator::group::messages::Listed;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::HashSet;
use std::ops::RangeInclusive;

pub struct ListGroups;

impl Handler for ListGroups {
    type Request = ListGroupsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(context: Context, request: ListGroupsRequest) -> Answer<ListGroupsResponse> {
        Answer::Later(Box::pin(async move { downgrade(context.broker.groups.list().await, &request, context.version) }))
    }

    fn unsupported() -> ListGroupsResponse {
        ListGroupsResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

fn downgrade(listed: Result<Vec<Listed>, GroupError>, request: &ListGroupsRequest, version: i16) -> ListGroupsResponse {
    let listed = match listed {
        Ok(listed) => listed,
        Err(error) => return ListGroupsResponse::default().with_error_code(errors::group::code(&error).code()),
    };
    let (states, types) = (lower(&request.states_filter), lower(&request.types_filter));
    let is_asked = |group: &Listed| is_in(&states, group.state) && is_in(&types, group.kind.name());
    let groups = listed.into_iter().filter(is_asked).map(|group| {
        let mut answer = ListedGroup::default()
            .with_group_id(GroupId(StrBytes::from_string(group.group_id)))
            .with_protocol_type(StrBytes::from_string(group.protocol_type));
        if version >= 4 {
            answer = answer.with_group_state(StrBytes::from_static_str(group.state));
        }
        if version >= 5 {
            answer = answer.with_group_type(StrBytes::from_static_str(group.kind.name()));
        }
        answer
    });
    ListGroupsResponse::default().with_groups(groups.collect())
}

/// Lower-case names; an empty filter lets everything through.
fn lower(filter: &[StrBytes]) -> HashSet<String> {
    filter.iter().map(|wanted| wanted.trim().to_ascii_lowercase()).collect()
}

fn is_in(filter: &HashSet<String>, value: &str) -> bool {
    filter.is_empty() || filter.contains(&value.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::group::messages::GroupKind;

    #[test]
    fn filters_ignore_case_and_an_empty_one_lets_all_through() {
        let listed = || {
            let group = |id: &str, state| Listed {
                group_id: id.to_owned(),
                protocol_type: "consumer".to_owned(),
                state,
                kind: GroupKind::Classic,
            };
            Ok(vec![group("a", "Stable"), group("b", "Empty")])
        };
        let names = |request: &ListGroupsRequest| -> Vec<String> {
            downgrade(listed(), request, 5).groups.iter().map(|group| group.group_id.to_string()).collect()
        };
        assert_eq!(names(&ListGroupsRequest::default()), ["a", "b"]);
        let empty = ListGroupsRequest::default().with_states_filter(vec![StrBytes::from_static_str(" empty")]);
        assert_eq!(names(&empty), ["b"]);
        let classic = ListGroupsRequest::default().with_types_filter(vec![StrBytes::from_static_str("CLASSIC")]);
        assert_eq!(names(&classic), ["a", "b"]);
        let consumer = ListGroupsRequest::default().with_types_filter(vec![StrBytes::from_static_str("consumer")]);
        assert_eq!(names(&consumer), [""; 0]);
    }
}
