//! DescribeClientQuotas, key 48, versions 0-1.
//!
//! Behaviour: the quotas of the entities that a filter matches: by name, by being the default, or any of a type. A strict filter
//! wants entities of exactly its types; one without components matches everything, or, strict, nothing.
//!
//! Version notes: 1 is flexible.
//! Not implemented: quotas are kept and described; nobody is slowed down by them yet.

use super::errors::catalog::message;
use super::errors::{NONE, ResponseError};
use super::{Answer, Context, Handler};
use crate::catalog::quotas::{Entity, EntityType, Filter, Limits, Match};
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use kafka_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// DescribeClientQuotasRequest.MATCH_TYPE_….
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

pub struct DescribeClientQuotas;

impl Handler for DescribeClientQuotas {
    type Request = DescribeClientQuotasRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(context: Context, request: DescribeClientQuotasRequest) -> Answer<DescribeClientQuotasResponse> {
        let response = DescribeClientQuotasResponse::default();
        Answer::Now(match filter(&request) {
            Ok(filter) => {
                let snapshot = context.broker.catalog.snapshot();
                let entries = snapshot.quotas().filter(|(entity, _)| filter.matches(entity)).map(entry).collect();
                response.with_error_code(NONE).with_entries(Some(entries))
            }
            Err((error, why)) => refusal(response, error, &why),
        })
    }

    fn unsupported() -> DescribeClientQuotasResponse {
        refusal(DescribeClientQuotasResponse::default(), ResponseError::UnsupportedVersion, "")
    }
}

fn refusal(response: DescribeClientQuotasResponse, error: ResponseError, why: &str) -> DescribeClientQuotasResponse {
    response.with_error_code(error.code()).with_error_message(Some(message(why))).with_entries(None)
}

fn entry((entity, limits): (&Entity, &Limits)) -> EntryData {
    let parts = entity.parts().map(|(entity_type, name)| {
        EntityData::default()
            .with_entity_type(StrBytes::from_static_str(entity_type.name()))
            .with_entity_name(name.map(|name| StrBytes::from_string(name.to_owned())))
    });
    let values =
        limits.iter().map(|(key, value)| ValueData::default().with_key(StrBytes::from_string(key.clone())).with_value(*value));
    EntryData::default().with_entity(parts.collect()).with_values(values.collect())
}

type Refusal = (ResponseError, String);

fn invalid<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err((ResponseError::InvalidRequest, why.into()))
}

/// What the request asks for. Kafka's words (ClientQuotasImage.describe).
fn filter(request: &DescribeClientQuotasRequest) -> Result<Filter, Refusal> {
    let mut components = BTreeMap::new();
    for component in &request.components {
        let name = component.entity_type.as_str();
        if name.is_empty() {
            return invalid("Invalid empty entity type.");
        }
        let Some(entity_type) = EntityType::of(name) else {
            return Err((ResponseError::UnsupportedVersion, format!("Unsupported entity type {name}")));
        };
        if components.insert(entity_type, wanted(component)?).is_some() {
            return invalid(format!("Entity type {name} cannot appear more than once in the filter."));
        }
    }
    if components.contains_key(&EntityType::Ip) && components.len() > 1 {
        return invalid(
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter \
             component.",
        );
    }
    Ok(Filter { components, is_strict: request.strict })
}

fn wanted(component: &ComponentData) -> Result<Match, Refusal> {
    match (component.match_type, &component._match) {
        (EXACT, Some(name)) => Ok(Match::Name(name.to_string())),
        (EXACT, None) => invalid("Request specified MATCH_TYPE_EXACT, but set match string to null."),
        (DEFAULT, None) => Ok(Match::Default),
        (DEFAULT, Some(_)) => invalid("Request specified MATCH_TYPE_DEFAULT, but also specified a match string."),
        (SPECIFIED, None) => Ok(Match::Any),
        (SPECIFIED, Some(_)) => invalid("Request specified MATCH_TYPE_SPECIFIED, but also specified a match string."),
        (other, _) => invalid(format!("Unknown match type {other}")),
    }
}
