//! AlterConfigs, key 33, versions 0-2.
//!
//! Behaviour: replaces all settings of a topic, a group or a broker by those of the request: what it does not name goes back to its default.
//! Deprecated since Kafka 2.3 for just that; IncrementalAlterConfigs changes single ones. Each resource is taken whole or not at all.
//!
//! Version notes: 2 is flexible.
//! Not implemented: as IncrementalAlterConfigs. Levels of loggers are not for this API, as in Kafka.

use super::config_resource::BROKER_LOGGER;
use super::errors::catalog::message;
use super::errors::{NONE, ResponseError};
use super::incremental_alter_configs::{self, DELETE, SET};
use super::repeated::repeated;
use super::{Answer, Context, Handler};
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::HashSet;
use std::ops::RangeInclusive;

pub struct AlterConfigs;

impl Handler for AlterConfigs {
    type Request = AlterConfigsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(context: Context, request: AlterConfigsRequest) -> Answer<AlterConfigsResponse> {
        let names = request.resources.iter().map(|resource| (resource.resource_type, resource.resource_name.clone()));
        let twice: HashSet<_> = repeated(names).into_iter().collect();
        let mut responses = Vec::with_capacity(request.resources.len());
        for resource in request.resources {
            let (kind, name) = (resource.resource_type, resource.resource_name);
            let altered = if twice.contains(&(kind, name.clone())) {
                Err((ResponseError::InvalidRequest, "Each resource must appear at most once.".to_owned()))
            } else if kind == BROKER_LOGGER {
                Err((ResponseError::InvalidRequest, format!("Unknown resource type {kind}")))
            } else {
                let given = resource.configs.into_iter().map(|config| (config.name, config.value)).collect();
                let whole = replacing(&context, kind, &name, given);
                incremental_alter_configs::alter(&context, &whole, request.validate_only).await
            };
            let answer = AlterConfigsResourceResponse::default().with_resource_type(kind).with_resource_name(name);
            responses.push(match altered {
                Ok(()) => answer.with_error_code(NONE).with_error_message(None),
                Err((error, why)) => answer.with_error_code(error.code()).with_error_message(Some(message(&why))),
            });
            // As in `incremental_alter_configs.rs`.
            tokio::task::yield_now().await;
        }
        Answer::Now(AlterConfigsResponse::default().with_responses(responses))
    }

    fn unsupported() -> AlterConfigsResponse {
        AlterConfigsResponse::default()
    }
}

/// The changes of single settings that make `given` all that is set.
fn replacing(context: &Context, kind: i8, name: &StrBytes, given: Vec<(StrBytes, Option<StrBytes>)>) -> AlterConfigsResource {
    let set = incremental_alter_configs::set_names(context, kind, name);
    let names: HashSet<&str> = given.iter().map(|(name, _)| name.as_str()).collect();
    let gone = set
        .into_iter()
        .filter(|own| !names.contains(own.as_str()))
        .map(|own| (StrBytes::from_string(own), DELETE, None))
        .collect::<Vec<_>>();
    // A null is no value to set, and refused as such (ConfigAdminManager.preprocess).
    let kept = given.into_iter().map(|(name, value)| (name, SET, value));
    let configs = kept.chain(gone).map(|(name, operation, value)| {
        AlterableConfig::default().with_name(name).with_config_operation(operation).with_value(value)
    });
    AlterConfigsResource::default().with_resource_type(kind).with_resource_name(name.clone()).with_configs(configs.collect())
}
