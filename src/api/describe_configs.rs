//! DescribeConfigs, key 32, versions 1-4.
//!
//! Behaviour: every configuration of a resource with its value, source, type, and, where asked for, synonyms and documentation; only the
//! named ones if the request names any. Secrets have no value.
//! Resources: a topic (2); this broker by its id, or "" for what was set for all brokers while they run (4); the broker's
//! loggers and their levels (8); a client metrics subscription (16): there is none; a group (32), whether or not it exists:
//! what was set for it, or the broker's values. Another broker's id is INVALID_REQUEST.
//!
//! Version notes: 1 (KIP-226) brings sources and synonyms; 3 (KIP-569) types and documentation; 4 is flexible.
//! Not implemented: a request for more than 500,000 configurations gets INVALID_REQUEST for the resources that are beyond.

use super::config_resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use super::errors::catalog::{code, message};
use super::errors::{NONE, ResponseError};
use super::{Answer, Context, Handler};
use crate::broker::Broker;
use crate::catalog::check_name;
use crate::catalog::dynamic::Owner;
use crate::config::describe::{self, Brokers, Described, Source, Synonym};
use crate::config::properties::{self, Kind, Property};
use crate::telemetry;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use tracing::level_filters::LevelFilter;

/// ConfigSource.DYNAMIC_BROKER_LOGGER_CONFIG.
const LOGGER_SOURCE: i8 = 6;

/// DescribeConfigsResponse.ConfigType.UNKNOWN.
const UNKNOWN_TYPE: i8 = 0;

/// Bound of one answer: some 15,000 topics, or a few hundred megabytes.
const CONFIGS_PER_REQUEST: usize = 500_000;

pub struct DescribeConfigs;

impl Handler for DescribeConfigs {
    type Request = DescribeConfigsRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=4;

    async fn handle(context: Context, request: DescribeConfigsRequest) -> Answer<DescribeConfigsResponse> {
        let asked = Asked { synonyms: request.include_synonyms, documentation: request.include_documentation };
        let mut left = CONFIGS_PER_REQUEST;
        let mut results = Vec::with_capacity(request.resources.len());
        for resource in &request.resources {
            results.push(result(&context.broker, resource, asked, &mut left));
            // A resource takes up to half a millisecond, and a request may name a thousand.
            tokio::task::yield_now().await;
        }
        Answer::Now(DescribeConfigsResponse::default().with_results(results))
    }

    fn unsupported() -> DescribeConfigsResponse {
        DescribeConfigsResponse::default()
    }
}

/// What the request wants to see of each configuration besides its value.
#[derive(Debug, Clone, Copy)]
struct Asked {
    synonyms: bool,
    documentation: bool,
}

/// Why a resource is not described; a message only where Kafka has one.
#[derive(Debug, PartialEq)]
struct Refusal(ResponseError, Option<String>);

fn invalid<T>(why: String) -> Result<T, Refusal> {
    Err(Refusal(ResponseError::InvalidRequest, Some(why)))
}

fn result(broker: &Broker, resource: &DescribeConfigsResource, asked: Asked, left: &mut usize) -> DescribeConfigsResult {
    let result = DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone());
    // What is looked at counts, not what is told of it, and beyond the limit nothing is looked at.
    let configs = match *left {
        0 => invalid("The request asks for too many configurations; ask for fewer resources at once.".to_owned()),
        _ => configs(broker, resource, asked),
    };
    *left = left.saturating_sub(configs.as_ref().map_or(1, Vec::len));
    match configs {
        Ok(mut configs) => {
            keep_named(&mut configs, resource.configuration_keys.as_deref());
            result.with_error_code(NONE).with_configs(configs)
        }
        Err(Refusal(error, why)) => {
            result.with_error_code(error.code()).with_error_message(why.as_deref().map(message)).with_configs(Vec::new())
        }
    }
}

/// Keeps the configurations that the request names; all if it names none (ConfigHelper.describeConfigs: null and empty are the same).
fn keep_named(configs: &mut Vec<DescribeConfigsResourceResult>, names: Option<&[StrBytes]>) {
    let names: HashSet<&str> = names.unwrap_or_default().iter().map(StrBytes::as_str).collect();
    if !names.is_empty() {
        configs.retain(|config| names.contains(config.name.as_str()));
    }
}

fn configs(
    broker: &Broker,
    resource: &DescribeConfigsResource,
    asked: Asked,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let name = resource.resource_name.as_str();
    let catalog = broker.catalog.snapshot();
    let brokers = catalog.brokers();
    let shown = |described| shown(described, asked);
    match resource.resource_type {
        TOPIC => {
            check_name(name).map_err(|error| Refusal(code(&error), Some(error.to_string())))?;
            let topic = catalog.topic(name).ok_or(Refusal(ResponseError::UnknownTopicOrPartition, None))?;
            let own = properties::TOPIC_OWN.iter().filter(|own| topic.overrides.contains_key(own.property.name));
            let all = properties::TOPIC.iter().chain(own);
            Ok(all.filter_map(|known| describe::topic(known.property.name, &topic.overrides, brokers)).map(shown).collect())
        }
        BROKER if name.is_empty() => Ok(default_broker(brokers).into_iter().map(shown).collect()),
        BROKER => {
            check_broker_id(name, broker.config.server.node_id, " or empty string,")?;
            let names = properties::BROKER.iter().map(|known| known.name).chain(brokers.unknown_names());
            Ok(names.filter_map(|name| describe::broker(name, brokers)).map(shown).collect())
        }
        BROKER_LOGGER if name.is_empty() => invalid("Broker id must not be empty".to_owned()),
        BROKER_LOGGER => {
            check_broker_id(name, broker.config.server.node_id, "")?;
            Ok(loggers())
        }
        CLIENT_METRICS if name.is_empty() => invalid("Client metrics subscription name must not be empty".to_owned()),
        CLIENT_METRICS => {
            let own = catalog.overrides(&Owner::ClientMetrics(name.to_owned()));
            Ok(client_metrics(own).into_iter().map(shown).collect())
        }
        GROUP if name.is_empty() => invalid("Group name must not be empty".to_owned()),
        GROUP => {
            let own = catalog.overrides(&Owner::Group(name.to_owned()));
            Ok(group(own, brokers).into_iter().map(shown).collect())
        }
        other => invalid(format!("Unsupported resource type: {other}")),
    }
}

/// `alternative`: what else the message says would have been taken.
fn check_broker_id(name: &str, node: i32, alternative: &str) -> Result<(), Refusal> {
    match name.parse::<i32>() {
        Ok(id) if id == node => Ok(()),
        Ok(_) => invalid(format!("Unexpected broker id, expected {node}{alternative} but received {name}")),
        Err(_) => invalid(format!("Broker id must be an integer, but it is: {name}")),
    }
}

fn loggers() -> Vec<DescribeConfigsResourceResult> {
    // Inside of another program, which has its own way to write events, only that much is known.
    let all = telemetry::levels().unwrap_or_else(|| {
        let level = LevelFilter::current().to_string().to_uppercase();
        vec![(telemetry::ROOT.to_owned(), level)]
    });
    let shown = |(name, level)| {
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_string(name))
            .with_value(Some(StrBytes::from_string(level)))
            .with_config_source(LOGGER_SOURCE)
    };
    all.into_iter().map(shown).collect()
}

/// ConfigHelper.createGroupConfigEntry: what was set for the group comes first, then what brokers have.
fn group(own: Option<&BTreeMap<String, String>>, brokers: Brokers<'_>) -> Vec<Described> {
    let described = |property: &'static Property| {
        let broker_name = format!("group.{}", property.name);
        let of_broker = properties::broker(&broker_name);
        let synonym = |name: &str, value: &str, source| Synonym { name: name.to_owned(), value: Some(value.to_owned()), source };
        let own = own.and_then(|own| own.get(property.name)).map(|value| property.canonical(value));
        let own = own.map(|value| synonym(property.name, &value, Source::DynamicGroup));
        let given = brokers.given.given(&broker_name).map(|value| synonym(&broker_name, value, Source::StaticBroker));
        let default = match of_broker.and_then(|property| property.default) {
            Some(default) => synonym(&broker_name, default, Source::Default),
            None => synonym(property.name, property.default.unwrap_or_default(), Source::Default),
        };
        let synonyms: Vec<_> =
            own.into_iter().chain(describe::changed(&broker_name, brokers.changed)).chain(given).chain([default]).collect();
        let described = describe::by_synonyms(property, synonyms);
        Described { value: described.value.map(|value| property.canonical(&value)), ..described }
    };
    properties::GROUP.iter().map(described).collect()
}

/// ConfigHelper.createClientMetricsConfigEntry.
fn client_metrics(own: Option<&BTreeMap<String, String>>) -> Vec<Described> {
    let described = |property: &'static Property| {
        let synonym = |value: &str, source| Synonym { name: property.name.to_owned(), value: Some(value.to_owned()), source };
        let own = own.and_then(|own| own.get(property.name)).map(|value| property.canonical(value));
        let own = own.map(|value| synonym(&value, Source::ClientMetrics));
        let default = property.default.map(|default| synonym(default, Source::Default));
        // What was set is a synonym of itself; the default is none, as in Kafka.
        let synonyms = own.clone().into_iter().collect();
        Described { synonyms, ..describe::by_synonyms(property, own.or(default).into_iter().collect()) }
    };
    properties::CLIENT_METRICS.iter().map(described).collect()
}

/// What was set for all brokers while they run: nothing else is shown of the default broker.
fn default_broker(brokers: Brokers<'_>) -> Vec<Described> {
    let [_, all] = brokers.changed;
    all.into_iter().flat_map(BTreeMap::keys).filter_map(|name| describe::all_brokers(name, brokers)).collect()
}

fn shown(described: Described, asked: Asked) -> DescribeConfigsResourceResult {
    let documentation = (asked.documentation && !described.doc.is_empty()).then(|| StrBytes::from_static_str(described.doc));
    let result = DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_string(described.name))
        .with_value(described.value.map(StrBytes::from_string))
        .with_read_only(described.is_read_only)
        .with_config_source(source_code(described.source))
        .with_is_sensitive(described.is_sensitive)
        .with_config_type(described.kind.map_or(UNKNOWN_TYPE, type_code))
        .with_documentation(documentation);
    if !asked.synonyms {
        return result;
    }
    let synonym = |synonym: Synonym| {
        DescribeConfigsSynonym::default()
            .with_name(StrBytes::from_string(synonym.name))
            .with_value(synonym.value.map(StrBytes::from_string))
            .with_source(source_code(synonym.source))
    };
    result.with_synonyms(described.synonyms.into_iter().map(synonym).collect())
}

/// DescribeConfigsResponse.ConfigSource.
pub(super) fn source_code(source: Source) -> i8 {
    match source {
        Source::DynamicTopic => 1,
        Source::DynamicBroker => 2,
        Source::DynamicDefaultBroker => 3,
        Source::ClientMetrics => 7,
        Source::DynamicGroup => 8,
        Source::StaticBroker => 4,
        Source::Default => 5,
    }
}

/// DescribeConfigsResponse.ConfigType.
fn type_code(kind: Kind) -> i8 {
    match kind {
        Kind::Boolean => 1,
        Kind::String => 2,
        Kind::Int => 3,
        Kind::Short => 4,
        Kind::Long => 5,
        Kind::Double => 6,
        Kind::List => 7,
        Kind::Class => 8,
        Kind::Password => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KafkaSettings;

    const ALL: Asked = Asked { synonyms: true, documentation: true };

    #[test]
    fn another_brokers_id_is_refused() {
        let why = |name| check_broker_id(name, 1, "").err().and_then(|Refusal(_, why)| why).unwrap_or_default();
        assert_eq!(why("one"), "Broker id must be an integer, but it is: one");
        assert_eq!(why("2"), "Unexpected broker id, expected 1 but received 2");
        assert_eq!(why("1"), "");
    }

    #[test]
    fn synonyms_and_documentation_come_when_they_are_asked_for() {
        let describe = || {
            let overrides = BTreeMap::from([("retention.bytes".to_owned(), "60000".to_owned())]);
            describe::topic("retention.bytes", &overrides, Brokers::unchanged(&KafkaSettings::default())).expect("known")
        };
        let plain = shown(describe(), Asked { synonyms: false, documentation: false });
        assert!(plain.synonyms.is_empty() && plain.documentation.is_none());
        assert_eq!((plain.value.as_deref(), plain.config_source, plain.config_type), (Some("60000"), 1, 5));
        let full = shown(describe(), ALL);
        assert!(full.documentation.is_some());
        assert_eq!(
            full.synonyms.first().map(|synonym| (synonym.name.to_string(), synonym.source)),
            Some(("retention.bytes".into(), 1))
        );
        assert_eq!(full.synonyms.last().map(|synonym| synonym.source), Some(5));
    }

    #[test]
    fn values_of_groups_and_subscriptions_are_shown_as_kafka_reads_them() {
        let map = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let (own, given) = (map("consumer.session.timeout.ms", " 050000 "), map("group.share.session.timeout.ms", "+50000"));
        let kafka = KafkaSettings::new(given).expect("valid");
        let configs = group(Some(&own), Brokers::unchanged(&kafka));
        let shown = |name: &str| {
            let config = configs.iter().find(|config| config.name == name).expect("known");
            (config.value.as_deref(), config.synonyms.first().and_then(|first| first.value.as_deref()))
        };
        assert_eq!(shown("consumer.session.timeout.ms"), (Some("50000"), Some("50000")));
        assert_eq!(
            shown("share.session.timeout.ms"),
            (Some("50000"), Some("+50000")),
            "what was given to brokers is a synonym as it was typed"
        );
        let metrics = map("metrics", "a. , b.");
        let metrics = client_metrics(Some(&metrics)).into_iter().find(|config| config.name == "metrics").expect("known");
        assert_eq!((metrics.value.as_deref(), metrics.synonyms.len()), (Some("a.,b."), 1));
        let interval = client_metrics(None).into_iter().find(|config| config.name == "interval.ms").expect("known");
        assert_eq!((interval.value.as_deref(), interval.source, interval.synonyms.len()), (Some("300000"), Source::Default, 0));
    }

    #[test]
    fn only_named_configurations_are_kept() {
        let kafka = KafkaSettings::default();
        let all = || group(None, Brokers::unchanged(&kafka)).into_iter().map(|one| shown(one, ALL)).collect::<Vec<_>>();
        let kept = |names: Option<&[&'static str]>| {
            let names = names.map(|names| names.iter().copied().map(StrBytes::from_static_str).collect::<Vec<_>>());
            let mut configs = all();
            keep_named(&mut configs, names.as_deref());
            configs.len()
        };
        assert_eq!(kept(None), properties::GROUP.len());
        assert_eq!(kept(Some(&[])), properties::GROUP.len());
        assert_eq!(kept(Some(&["share.isolation.level", "none"])), 1);
    }

    #[test]
    fn group_configurations_are_the_groups_own_or_the_brokers() {
        let given = BTreeMap::from([("group.consumer.session.timeout.ms".to_owned(), "50000".to_owned())]);
        let kafka = KafkaSettings::new(given).expect("valid");
        let overrides = BTreeMap::from([("consumer.heartbeat.interval.ms".to_owned(), "6000".to_owned())]);
        let configs = group(Some(&overrides), Brokers::unchanged(&kafka));
        let shown = |name: &str| {
            let config = configs.iter().find(|config| config.name == name).expect("known");
            (config.value.as_deref().unwrap_or_default(), config.source)
        };
        assert_eq!(shown("consumer.session.timeout.ms"), ("50000", Source::StaticBroker));
        assert_eq!(shown("consumer.heartbeat.interval.ms"), ("6000", Source::DynamicGroup));
        assert_eq!(shown("share.record.lock.duration.ms"), ("30000", Source::Default));
    }
}
