//! Goal: settings of brokers are checked as in Kafka, kept, shown with their source, and obeyed at once by topics that have
//! none of their own (KIP-226); levels of loggers likewise, but for being kept (KIP-412). Method: IncrementalAlterConfigs,
//! AlterConfigs and DescribeConfigs on a server of the test's own, error paths first.

use crate::configs::{APPEND, DELETE, SET, SUBTRACT, TOPIC, alter, shown_of};
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::{AlterConfigsRequest, DescribeConfigsRequest};
use protocol_tests::batch::Batch;
use protocol_tests::client::Client;
use protocol_tests::frame::text;
use protocol_tests::server::{Launch, Server};
use protocol_tests::topics::Topic;

const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
/// The default node id, and what stands for all brokers.
const THIS: &str = "1";
const ALL: &str = "";
/// DescribeConfigsResponse.ConfigSource.
const FROM_TOPIC: i8 = 1;
const FROM_BROKER: i8 = 2;
const FROM_ALL_BROKERS: i8 = 3;
const FROM_START: i8 = 4;
const FROM_DEFAULT: i8 = 5;
const BYTES: &str = "message.max.bytes";

/// Everything that is shown of a resource, with synonyms.
fn described(client: &mut Client, kind: i8, name: &str) -> Vec<DescribeConfigsResourceResult> {
    let resource =
        DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(text(name)).with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
    let mut response = client.call(4, &request);
    let result = response.results.remove(0);
    assert_eq!(result.error_code.err(), None, "{:?}", result.error_message);
    result.configs
}

/// Value and source of a setting, and those of its synonyms; `None` when it is not shown.
fn ways(client: &mut Client, kind: i8, name: &str, setting: &str) -> Option<Vec<(String, i8)>> {
    let config = described(client, kind, name).into_iter().find(|config| config.name.as_str() == setting)?;
    let first = (config.value.map(|value| value.to_string()).unwrap_or_default(), config.config_source);
    let others =
        config.synonyms.into_iter().map(|one| (one.value.map(|value| value.to_string()).unwrap_or_default(), one.source));
    Some([first].into_iter().chain(others).collect())
}

fn taken(client: &mut Client, kind: i8, name: &str, changes: &[(&str, i8, Option<&str>)]) {
    assert_eq!(alter(client, kind, name, changes), (None, String::new()), "{name:?} {changes:?}");
}

/// Why a batch with a record of 1,000 bytes is refused.
fn refusal(client: &mut Client, topic: &Topic) -> Option<ResponseError> {
    client.produce(topic, 0, Batch::of_bytes(1000).build()).error_code.err()
}

#[test]
fn what_brokers_cannot_be_set_to_says_why() {
    let server = Server::start();
    let mut client = server.connect();
    let mut why = |name: &str, changes: &[(&str, i8, Option<&str>)]| {
        let (error, why) = alter(&mut client, BROKER, name, changes);
        assert_eq!(error, Some(ResponseError::InvalidRequest), "{name:?} {changes:?}: {why}");
        why
    };
    let good = (BYTES, SET, Some("500"));
    let read_only = why(THIS, &[good, ("num.partitions", SET, Some("3")), ("broker.id", SET, Some("3"))]);
    assert_eq!(read_only, "Cannot update these configs dynamically: [broker.id, num.partitions]");
    assert_eq!(
        why(ALL, &[good, ("listener.name.in.ssl.key.password", SET, Some("secret"))]),
        "Cannot update these configs at default cluster level, broker id must be specified: [listener.name.in.ssl.key.password]"
    );
    for name in ["ssl.truststore.type", "sasl.jaas.config", "principal.builder.class"] {
        let why = why(THIS, &[good, (name, SET, Some("PKCS12"))]);
        assert!(why.contains("not supported here yet") && why.ends_with(&format!("[{name}]")), "{why}");
    }
    for name in ["max.connections", "listeners"] {
        assert!(why(THIS, &[good, (name, SET, Some("5"))]).contains("give them at the start"));
    }
    assert_eq!(
        why(ALL, &[(BYTES, SET, Some("x"))]),
        "Invalid value x for configuration message.max.bytes: Not a number of type INT"
    );
    assert_eq!(why(ALL, &[(BYTES, SET, None)]), "Null value not supported for : message.max.bytes");
    assert_eq!(why(ALL, &[good, good]), "Error due to duplicate config keys");
    assert_eq!(
        why(THIS, &[good, ("num.io.threads", SET, Some("17"))]),
        "Dynamic thread count update validation failed for num.io.threads=17, \
         value should not be greater than double the current value 8"
    );
    assert!(why(THIS, &[("log.retention.ms", SET, Some("0"))]).contains("must be unlimited (-1) or, equal or greater than 1"));
    assert_eq!(why("2", &[good]), "Unexpected broker id, expected 1, but received 2");
    assert_eq!(why("one", &[good]), "Node id must be an integer, but it is: one");
    let (error, why) = alter(&mut client, BROKER, ALL, &[(BYTES, APPEND, Some("1"))]);
    assert_eq!(error, Some(ResponseError::InvalidConfig));
    assert_eq!(why, "Config value append is not allowed for config key: message.max.bytes");
    assert_eq!(alter(&mut client, CLIENT_METRICS, "", &[("metrics", SET, Some("x"))]).0, Some(ResponseError::InvalidRequest));
    assert_eq!(alter(&mut client, CLIENT_METRICS, "m", &[("nonsense", SET, Some("x"))]).0, Some(ResponseError::InvalidRequest));
    assert_eq!(alter(&mut client, CLIENT_METRICS, "m", &[("match", SET, Some("x=y"))]).0, Some(ResponseError::InvalidConfig));
    assert_eq!(shown_of(&mut client, BROKER, THIS, BYTES), ("1048588".to_owned(), FROM_DEFAULT), "nothing was taken");
}

#[test]
fn topics_without_settings_of_their_own_obey_the_brokers_at_once_and_after_a_crash() {
    let mut server = Launch::new().set(BYTES, "900000").start();
    let mut client = server.connect();
    let follows = client.create_topic("follows", 1, &[]);
    let owns = client.create_topic("owns", 1, &[("max.message.bytes", "5000")]);
    client.produced(&follows, 0, Batch::of_bytes(1000).build());

    taken(&mut client, BROKER, ALL, &[(BYTES, SET, Some("500"))]);
    assert_eq!(refusal(&mut client, &follows), Some(ResponseError::MessageTooLarge));
    assert_eq!(refusal(&mut client, &owns), None, "a topic's own setting wins");
    assert_eq!(shown_of(&mut client, TOPIC, &owns.name, "max.message.bytes"), ("5000".to_owned(), FROM_TOPIC));
    taken(&mut client, BROKER, THIS, &[(BYTES, SET, Some("600"))]);
    let as_shown =
        |values: &[(&str, i8)]| Some(values.iter().map(|(value, source)| ((*value).to_owned(), *source)).collect::<Vec<_>>());
    let all = [
        ("600", FROM_BROKER),
        ("600", FROM_BROKER),
        ("500", FROM_ALL_BROKERS),
        ("900000", FROM_START),
        ("1048588", FROM_DEFAULT),
    ];
    assert_eq!(ways(&mut client, BROKER, THIS, BYTES), as_shown(&all));
    assert_eq!(ways(&mut client, TOPIC, &follows.name, "max.message.bytes"), as_shown(&all));
    let of_all = [("500", FROM_ALL_BROKERS), ("500", FROM_ALL_BROKERS)];
    assert_eq!(ways(&mut client, BROKER, ALL, BYTES), as_shown(&of_all));
    assert_eq!(described(&mut client, BROKER, ALL).len(), 1, "nothing else is set for all brokers");
    let new = client.create_topic("new", 1, &[]);
    assert_eq!(refusal(&mut client, &new), Some(ResponseError::MessageTooLarge));

    server.kill9();
    server.restart();
    let mut client = server.connect();
    assert_eq!(ways(&mut client, TOPIC, &follows.name, "max.message.bytes"), as_shown(&all));
    for topic in [&follows, &new] {
        assert_eq!(refusal(&mut client, topic), Some(ResponseError::MessageTooLarge));
    }
    assert_eq!(refusal(&mut client, &owns), None);
    taken(&mut client, BROKER, THIS, &[(BYTES, DELETE, None)]);
    assert_eq!(shown_of(&mut client, TOPIC, &new.name, "max.message.bytes"), ("500".to_owned(), FROM_ALL_BROKERS));
    taken(&mut client, BROKER, ALL, &[(BYTES, DELETE, None)]);
    assert_eq!(shown_of(&mut client, TOPIC, &new.name, "max.message.bytes"), ("900000".to_owned(), FROM_START));
    assert_eq!(refusal(&mut client, &follows), None);
    assert_eq!(ways(&mut client, BROKER, ALL, BYTES), None);
}

#[test]
fn lists_of_brokers_are_appended_to_and_subtracted_from() {
    let server = Server::start();
    let mut client = server.connect();
    let topic = client.create_topic("follows", 1, &[]);
    for (operation, value, policy) in [(APPEND, "compact", "delete,compact"), (SUBTRACT, "delete", "compact")] {
        taken(&mut client, BROKER, ALL, &[("log.cleanup.policy", operation, Some(value))]);
        assert_eq!(shown_of(&mut client, BROKER, ALL, "log.cleanup.policy"), (policy.to_owned(), FROM_ALL_BROKERS));
        assert_eq!(shown_of(&mut client, TOPIC, &topic.name, "cleanup.policy"), (policy.to_owned(), FROM_ALL_BROKERS));
    }
    assert_eq!(
        refusal(&mut client, &topic),
        Some(ResponseError::InvalidRecord),
        "a compacted topic takes no record without a key"
    );
}

#[test]
fn what_nobody_knows_is_kept_and_its_value_never_shown() {
    let server = Server::start();
    let mut client = server.connect();
    for name in [ALL, THIS] {
        taken(&mut client, BROKER, name, &[("nobody.knows", SET, Some("secret"))]);
        let all = described(&mut client, BROKER, name);
        let config = all.iter().find(|config| config.name.as_str() == "nobody.knows").expect("shown");
        assert!(config.is_sensitive && config.value.is_none() && config.config_type == 0, "{config:?}");
        assert!(config.synonyms.iter().all(|one| one.value.is_none()), "{config:?}");
    }
    assert!(!server.stderr().contains("secret"), "{}", server.stderr());
}

#[test]
fn alter_configs_replaces_all_that_is_set_for_brokers() {
    let server = Server::start();
    let mut client = server.connect();
    let replace = |client: &mut Client, kind: i8, name: &str, setting: &str, value: &str| {
        let config = AlterableConfig::default().with_name(text(setting)).with_value(Some(text(value)));
        let resource =
            AlterConfigsResource::default().with_resource_type(kind).with_resource_name(text(name)).with_configs(vec![config]);
        let response = client.call(2, &AlterConfigsRequest::default().with_resources(vec![resource]));
        response.responses[0].error_code.err()
    };
    assert_eq!(replace(&mut client, BROKER, ALL, "num.partitions", "2"), Some(ResponseError::InvalidRequest));
    assert_eq!(replace(&mut client, LOGGER, THIS, "root", "INFO"), Some(ResponseError::InvalidRequest), "not for this API");
    assert_eq!(replace(&mut client, BROKER, ALL, "log.retention.ms", "1000"), None);
    assert_eq!(replace(&mut client, BROKER, ALL, BYTES, "2000"), None);
    assert_eq!(shown_of(&mut client, BROKER, ALL, BYTES), ("2000".to_owned(), FROM_ALL_BROKERS));
    assert_eq!(described(&mut client, BROKER, ALL).len(), 1, "the other one is gone");
}

#[test]
fn levels_of_loggers_change_while_the_server_runs() {
    const ACCEPTS: &str = "fourbyfour_stream::server";
    let server = Server::start();
    let mut client = server.connect();
    for (name, changes, expected) in [
        (THIS, ("no.such.Logger", SET, Some("INFO")), ResponseError::InvalidConfig),
        (THIS, (ACCEPTS, SET, Some("LOUD")), ResponseError::InvalidConfig),
        (THIS, ("root", DELETE, None), ResponseError::InvalidRequest),
        (THIS, (ACCEPTS, APPEND, Some("DEBUG")), ResponseError::InvalidRequest),
        ("2", (ACCEPTS, SET, Some("DEBUG")), ResponseError::InvalidRequest),
        ("", (ACCEPTS, SET, Some("DEBUG")), ResponseError::InvalidRequest),
    ] {
        assert_eq!(alter(&mut client, LOGGER, name, &[changes]).0, Some(expected), "{name:?} {changes:?}");
    }
    let level = |client: &mut Client, name: &str| ways(client, LOGGER, THIS, name).expect("shown");
    let root = level(&mut client, "root");
    assert_eq!(level(&mut client, ACCEPTS), root, "inherited");
    let accepted = |server: &Server| server.stderr().matches("accepted").count();
    let before = accepted(&server);
    taken(&mut client, LOGGER, THIS, &[(ACCEPTS, SET, Some("DEBUG"))]);
    assert_eq!(level(&mut client, ACCEPTS), [("DEBUG".to_owned(), 6)]);
    server.connect().assert_alive("a change of levels");
    assert!(accepted(&server) > before, "{}", server.stderr());
    taken(&mut client, LOGGER, THIS, &[(ACCEPTS, DELETE, None)]);
    assert_eq!(level(&mut client, ACCEPTS), root);
}

#[test]
fn client_metrics_subscriptions_and_settings_of_other_listeners_are_kept_and_shown() {
    let mut server = Server::start();
    let mut client = server.connect();
    taken(&mut client, CLIENT_METRICS, "m", &[("interval.ms", SET, Some("1000")), ("metrics", APPEND, Some("a,b"))]);
    const KEYSTORE: &str = "listener.name.other.ssl.keystore.location";
    const PASSWORD: &str = "listener.name.other.ssl.keystore.password";
    taken(&mut client, BROKER, THIS, &[(KEYSTORE, SET, Some("some.jks")), (PASSWORD, SET, Some("secret"))]);
    server.kill9();
    server.restart();
    let mut client = server.connect();
    let shown = |client: &mut Client, name: &str| shown_of(client, CLIENT_METRICS, "m", name);
    const FROM_SUBSCRIPTION: i8 = 7;
    assert_eq!(shown(&mut client, "interval.ms"), ("1000".to_owned(), FROM_SUBSCRIPTION));
    assert_eq!(shown(&mut client, "metrics"), ("a,b".to_owned(), FROM_SUBSCRIPTION));
    assert_eq!(shown(&mut client, "match"), (String::new(), FROM_DEFAULT));
    assert_eq!(shown_of(&mut client, BROKER, THIS, KEYSTORE), ("some.jks".to_owned(), FROM_BROKER));
    let secret = described(&mut client, BROKER, THIS).into_iter().find(|config| config.name.as_str() == PASSWORD);
    assert!(secret.is_some_and(|config| config.value.is_none() && config.is_sensitive), "secrets are not shown");
}
