//! IncrementalAlterConfigs, key 44, versions 0-1.
//!
//! Behaviour: sets and deletes single settings of topics, of groups (KIP-848), which need not exist, and of this broker or all
//! brokers (KIP-226); appends to lists and subtracts from them. Each resource is taken whole or not at all, and counts when the
//! answer leaves. Of brokers, properties that Kafka does not have are kept and shown without their values, as in Kafka; the
//! error is INVALID_REQUEST whatever is wrong, but for APPEND and SUBTRACT on what is no list. Levels of loggers (KIP-412):
//! `broker_loggers.rs`.
//!
//! Version notes: 1 is flexible.
//! Client metrics subscriptions (KIP-714) are kept and shown; no client is asked for its metrics.
//! Not implemented: of brokers what would need TLS or SASL: INVALID_REQUEST with a message that says so. So are `listeners`,
//! `listener.security.protocol.map` and `max.connections`, which are read at the start. What is set under `listener.name.` is kept for
//! listeners that do not exist.

use super::config_resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use super::errors::catalog::{code, message};
use super::errors::{NONE, ResponseError};
use super::repeated::repeated;
use super::{Answer, Context, Handler, broker_loggers};
use crate::catalog::dynamic::{Change, Edit, Owner, STRING_BYTES_MAX};
use crate::catalog::{CatalogError, check_name};
use crate::config::properties::{self, Kind};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use std::collections::HashSet;
use std::ops::RangeInclusive;

/// AlterConfigOp.OpType.
pub(super) const SET: i8 = 0;
pub(super) const DELETE: i8 = 1;
pub(super) const APPEND: i8 = 2;
pub(super) const SUBTRACT: i8 = 3;

pub struct IncrementalAlterConfigs;

impl Handler for IncrementalAlterConfigs {
    type Request = IncrementalAlterConfigsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(context: Context, request: IncrementalAlterConfigsRequest) -> Answer<IncrementalAlterConfigsResponse> {
        let names = request.resources.iter().map(|resource| (resource.resource_type, resource.resource_name.clone()));
        let twice: HashSet<_> = repeated(names).into_iter().collect();
        let mut responses = Vec::with_capacity(request.resources.len());
        for resource in request.resources {
            let answer = AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            let is_repeated = twice.contains(&(resource.resource_type, resource.resource_name.clone()));
            let altered = match is_repeated {
                true => invalid("Each resource must appear at most once."),
                false => alter(&context, &resource, request.validate_only).await,
            };
            responses.push(match altered {
                Ok(()) => answer.with_error_code(NONE).with_error_message(None),
                Err((error, why)) => answer.with_error_code(error.code()).with_error_message(Some(message(&why))),
            });
            // What is refused waits for nothing, and a request may name a million.
            tokio::task::yield_now().await;
        }
        Answer::Now(IncrementalAlterConfigsResponse::default().with_responses(responses))
    }

    fn unsupported() -> IncrementalAlterConfigsResponse {
        IncrementalAlterConfigsResponse::default()
    }
}

pub(super) type Refusal = (ResponseError, String);

pub(super) fn invalid<T>(why: &str) -> Result<T, Refusal> {
    Err((ResponseError::InvalidRequest, why.to_owned()))
}

/// Changes settings of one resource, all or none.
pub(super) async fn alter(context: &Context, resource: &AlterConfigsResource, validate_only: bool) -> Result<(), Refusal> {
    let catalog = &context.broker.catalog;
    if resource.resource_type == TOPIC {
        let name = resource.resource_name.as_str();
        if name.is_empty() {
            return invalid("Default topic resources are not allowed.");
        }
        check_name(name).map_err(|error| (code(&error), error.to_string()))?;
        let changes = changes(&Resource::Topic, &resource.configs)?;
        let altered = match validate_only {
            true => catalog.validate_topic(name, &changes).map(drop),
            false => context.broker.alter_topic(name, changes).await.map(drop),
        };
        return altered.map_err(|error| {
            // Here Kafka has words of its own (ConfigurationControlManager).
            let why = match &error {
                CatalogError::UnknownTopic(name) => format!("The topic '{name}' does not exist."),
                other => other.to_string(),
            };
            (code(&error), why)
        });
    }
    if resource.resource_type == BROKER_LOGGER {
        return broker_loggers::alter(context, resource, validate_only);
    }
    let owner = owner(resource, context.broker.config.server.node_id)?;
    let kind = match owner {
        Owner::Group(_) => Resource::Group,
        Owner::Broker(_) => Resource::Broker,
        Owner::ClientMetrics(_) => Resource::ClientMetrics,
    };
    let changes = changes(&kind, &resource.configs)?;
    let altered = match validate_only {
        true => catalog.validate_overrides(&owner, &changes),
        false => context.broker.alter_settings(owner, changes).await,
    };
    altered.map_err(|error| (code(&error), error.to_string()))
}

/// The names of what is set for a resource; none for one that does not exist, or cannot be changed.
pub(super) fn set_names(context: &Context, kind: i8, name: &str) -> Vec<String> {
    let snapshot = context.broker.catalog.snapshot();
    let of_owner = |owner: &Owner| snapshot.overrides(owner).map(|own| own.keys().cloned().collect()).unwrap_or_default();
    match kind {
        TOPIC => snapshot.topic(name).map(|topic| topic.overrides.keys().cloned().collect()).unwrap_or_default(),
        GROUP => of_owner(&Owner::Group(name.to_owned())),
        BROKER => of_owner(&Owner::Broker(name.parse().ok())),
        CLIENT_METRICS => of_owner(&Owner::ClientMetrics(name.to_owned())),
        _ => Vec::new(),
    }
}

fn owner(resource: &AlterConfigsResource, node_id: i32) -> Result<Owner, Refusal> {
    let name = resource.resource_name.as_str();
    if name.len() > STRING_BYTES_MAX {
        return invalid(&format!("The name of a resource has {} bytes; the most is {STRING_BYTES_MAX}.", name.len()));
    }
    match resource.resource_type {
        GROUP if name.is_empty() => invalid("Default group resources are not allowed."),
        GROUP => Ok(Owner::Group(name.to_owned())),
        BROKER if name.is_empty() => Ok(Owner::Broker(None)),
        BROKER => match name.parse::<i32>() {
            Ok(id) if id == node_id => Ok(Owner::Broker(Some(id))),
            Ok(_) => invalid(&format!("Unexpected broker id, expected {node_id}, but received {name}")),
            Err(_) => invalid(&format!("Node id must be an integer, but it is: {name}")),
        },
        CLIENT_METRICS if name.is_empty() => invalid("Subscription name can't be empty"),
        CLIENT_METRICS => Ok(Owner::ClientMetrics(name.to_owned())),
        other => invalid(&format!("Unknown resource type {other}")),
    }
}

/// Whose settings are changed.
enum Resource {
    Topic,
    Group,
    Broker,
    ClientMetrics,
}

/// Each name comes once, and each operation but DELETE has a value (ConfigAdminManager.preprocess).
pub(super) fn check_values(configs: &[AlterableConfig]) -> Result<(), Refusal> {
    if !repeated(configs.iter().map(|config| config.name.clone())).is_empty() {
        return invalid("Error due to duplicate config keys");
    }
    let nulls = configs.iter().filter(|config| config.config_operation != DELETE && config.value.is_none());
    let nulls: Vec<&str> = nulls.map(|config| config.name.as_str()).collect();
    if nulls.is_empty() { Ok(()) } else { invalid(&format!("Null value not supported for : {}", nulls.join(", "))) }
}

fn changes(resource: &Resource, configs: &[AlterableConfig]) -> Result<Vec<Change>, Refusal> {
    check_values(configs)?;
    configs.iter().map(|config| change(resource, config)).collect()
}

fn change(resource: &Resource, config: &AlterableConfig) -> Result<Change, Refusal> {
    let name = config.name.to_string();
    let kind = match resource {
        Resource::Topic => properties::topic(&name).map(|topic| topic.property.kind),
        Resource::Group => match properties::group(&name) {
            Some(property) => Some(property.kind),
            // Kafka looks at what is left, which has no such name (GroupConfig.validate).
            None if config.config_operation == DELETE => None,
            None => return Err((ResponseError::InvalidConfig, format!("Unknown group config name: {name}"))),
        },
        Resource::Broker => properties::broker(&name).map(|property| property.kind),
        Resource::ClientMetrics => properties::client_metrics(&name).map(|property| property.kind),
    };
    let value = || config.value.as_ref().map(ToString::to_string).unwrap_or_default();
    match config.config_operation {
        DELETE => Ok(Change { name, edit: Edit::Delete }),
        SET => Ok(Change { name, edit: Edit::Set(value()) }),
        APPEND | SUBTRACT if kind != Some(Kind::List) => {
            let (operation, verb) =
                if config.config_operation == APPEND { ("APPEND", "append") } else { ("SUBTRACT", "subtract") };
            // Of brokers the broker looks first (ConfigAdminManager), of others only the controller does
            // (ConfigurationControlManager).
            let why = match resource {
                Resource::Broker => format!("Config value {verb} is not allowed for config key: {name}"),
                Resource::Topic | Resource::Group | Resource::ClientMetrics => {
                    format!("Can't {operation} to key {name} because its type is not LIST.")
                }
            };
            Err((ResponseError::InvalidConfig, why))
        }
        APPEND => Ok(Change { name, edit: Edit::Append(value()) }),
        SUBTRACT => Ok(Change { name, edit: Edit::Subtract(value()) }),
        other => invalid(&format!("Unknown operation type {other} is specified in incremental configs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::protocol::StrBytes;

    fn config(name: &'static str, operation: i8, value: Option<&'static str>) -> AlterableConfig {
        AlterableConfig::default()
            .with_name(StrBytes::from_static_str(name))
            .with_config_operation(operation)
            .with_value(value.map(StrBytes::from_static_str))
    }

    #[test]
    fn operations_that_make_no_sense_are_named() {
        const SESSION: &str = "consumer.session.timeout.ms";
        let why = |configs: &[AlterableConfig]| changes(&Resource::Group, configs).err().map_or(String::new(), |(_, why)| why);
        assert_eq!(why(&[config("nonsense", SET, Some("1"))]), "Unknown group config name: nonsense");
        assert_eq!(why(&[config(SESSION, SET, None)]), format!("Null value not supported for : {SESSION}"));
        assert_eq!(why(&[config(SESSION, 9, Some("1"))]), "Unknown operation type 9 is specified in incremental configs");
        assert_eq!(
            why(&[config(SESSION, APPEND, Some("1"))]),
            format!("Can't APPEND to key {SESSION} because its type is not LIST.")
        );
        assert_eq!(why(&[config(SESSION, SET, Some("1")), config(SESSION, DELETE, None)]), "Error due to duplicate config keys");
        assert_eq!(why(&[config(SESSION, DELETE, None)]), "");
        assert_eq!(why(&[config("nonsense", DELETE, None)]), "", "it is not there afterwards");
    }

    #[test]
    fn only_lists_of_brokers_are_appended_to() {
        let asked = |name, operation| changes(&Resource::Broker, &[config(name, operation, Some("delete"))]);
        let (error, why) = asked("message.max.bytes", SUBTRACT).expect_err("refused");
        assert_eq!(error, ResponseError::InvalidConfig);
        assert_eq!(why, "Config value subtract is not allowed for config key: message.max.bytes");
        assert!(asked("nobody.knows", APPEND).is_err());
        let edit = Edit::Append("delete".to_owned());
        assert_eq!(asked("log.cleanup.policy", APPEND).expect("taken"), [Change { name: "log.cleanup.policy".to_owned(), edit }]);
    }
}
