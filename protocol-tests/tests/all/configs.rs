//! Goal: settings of groups and topics are checked, kept, shown and obeyed, and nothing else can be altered by accident.
//! Method: IncrementalAlterConfigs and DescribeConfigs, error paths first.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use protocol_tests::batch::Batch;
use protocol_tests::client::Client;
use protocol_tests::frame::text;
use protocol_tests::server::Server;
use protocol_tests::topics::unique;

pub(crate) const TOPIC: i8 = 2;
const GROUP: i8 = 32;
pub(crate) const SET: i8 = 0;
pub(crate) const DELETE: i8 = 1;
pub(crate) const APPEND: i8 = 2;
pub(crate) const SUBTRACT: i8 = 3;
const SESSION: &str = "consumer.session.timeout.ms";

/// Changes settings of one resource; answers why not, and nothing when it was done.
pub(crate) fn alter(
    client: &mut Client,
    kind: i8,
    name: &str,
    changes: &[(&str, i8, Option<&str>)],
) -> (Option<ResponseError>, String) {
    let configs = changes.iter().map(|(name, operation, value)| {
        AlterableConfig::default().with_name(text(name)).with_config_operation(*operation).with_value(value.map(text))
    });
    let resource =
        AlterConfigsResource::default().with_resource_type(kind).with_resource_name(text(name)).with_configs(configs.collect());
    let response = client.call(1, &IncrementalAlterConfigsRequest::default().with_resources(vec![resource]));
    let answer = &response.responses[0];
    (answer.error_code.err(), answer.error_message.as_ref().map(ToString::to_string).unwrap_or_default())
}

/// Value and source of one setting of a group.
fn shown(client: &mut Client, group: &str) -> (String, i8) {
    shown_of(client, GROUP, group, SESSION)
}

/// Value and source of one setting that can be changed.
pub(crate) fn shown_of(client: &mut Client, kind: i8, name: &str, setting: &str) -> (String, i8) {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(Some(vec![text(setting)]));
    let mut response = client.call(4, &DescribeConfigsRequest::default().with_resources(vec![resource]));
    let config = response.results.remove(0).configs.remove(0);
    assert!(!config.read_only);
    (config.value.map(|value| value.to_string()).unwrap_or_default(), config.config_source)
}

/// What is set for a topic itself, by name.
pub(crate) fn set(client: &mut Client, kind: i8, name: &str) -> Vec<(String, String)> {
    let resource =
        DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(text(name)).with_configuration_keys(None);
    let mut response = client.call(4, &DescribeConfigsRequest::default().with_resources(vec![resource]));
    let own = response.results.remove(0).configs.into_iter().filter(|config| config.config_source == 1);
    own.map(|config| (config.name.to_string(), config.value.map(|value| value.to_string()).unwrap_or_default())).collect()
}

#[test]
fn what_cannot_be_altered_says_why() {
    let server = Server::shared();
    let mut client = server.connect();
    let group = unique("group");
    let (invalid_config, invalid_request) = (Some(ResponseError::InvalidConfig), Some(ResponseError::InvalidRequest));
    let mut refused = |kind, name: &str, changes: &[(&str, i8, Option<&str>)]| alter(&mut client, kind, name, changes);
    assert_eq!(refused(GROUP, &group, &[("nonsense", SET, Some("1"))]).0, invalid_config);
    assert_eq!(refused(GROUP, &group, &[(SESSION, SET, Some("x"))]).0, invalid_config);
    assert_eq!(refused(GROUP, &group, &[(SESSION, APPEND, Some("1"))]).0, invalid_config);
    assert_eq!(refused(GROUP, &group, &[(SESSION, SET, None)]).0, invalid_request);
    assert_eq!(refused(GROUP, "", &[(SESSION, SET, Some("50000"))]).0, invalid_request);
    assert_eq!(refused(TOPIC, "no-such", &[("retention.ms", SET, Some("1"))]).0, Some(ResponseError::UnknownTopicOrPartition));
    let (code, why) = refused(GROUP, &group, &[(SESSION, SET, Some("1"))]);
    assert_eq!(
        (code, why.as_str()),
        (invalid_config, "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms")
    );
    assert_eq!(shown(&mut client, &group), ("45000".to_owned(), 5), "nothing was taken");
}

#[test]
fn settings_of_a_group_outlive_a_crash_and_can_be_taken_back() {
    let mut server = Server::start();
    let mut client = server.connect();
    let group = unique("group");
    assert_eq!(alter(&mut client, GROUP, &group, &[(SESSION, SET, Some("50000"))]).0, None);
    server.kill9();
    server.restart();
    let mut client = server.connect();
    assert_eq!(shown(&mut client, &group), ("50000".to_owned(), 8));
    assert_eq!(alter(&mut client, GROUP, &group, &[(SESSION, DELETE, None)]).0, None);
    assert_eq!(shown(&mut client, &group), ("45000".to_owned(), 5));
}

#[test]
fn settings_of_a_topic_are_taken_whole_or_not_at_all() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("settings", 1, &[]);
    let mut refused = |changes: &[(&str, i8, Option<&str>)]| alter(&mut client, TOPIC, &topic.name, changes);
    let good = ("retention.ms", SET, Some("1000"));
    for bad in [
        ("nonsense", SET, Some("1")),
        ("segment.bytes", SET, Some("x")),
        ("segment.bytes", APPEND, Some("1")),
        ("cleanup.policy", APPEND, Some("melt")),
        ("min.compaction.lag.ms", SET, Some("-1")),
    ] {
        let (code, why) = refused(&[good, bad]);
        assert_eq!(code, Some(ResponseError::InvalidConfig), "{bad:?}: {why}");
    }
    assert_eq!(refused(&[good, ("segment.ms", SET, None)]).0, Some(ResponseError::InvalidRequest));
    assert_eq!(refused(&[good, good]).0, Some(ResponseError::InvalidRequest));
    assert_eq!(shown_of(&mut client, TOPIC, &topic.name, "retention.ms").1, 5, "nothing was taken");
}

#[test]
fn settings_of_a_topic_are_obeyed_at_once_and_outlive_a_crash() {
    let mut server = Server::start();
    let mut client = server.connect();
    let topic = client.create_topic("settings", 1, &[]);
    client.produced(&topic, 0, Batch::of_bytes(1000).build());
    assert_eq!(alter(&mut client, TOPIC, &topic.name, &[("max.message.bytes", SET, Some("500"))]).0, None);
    assert_eq!(client.produce(&topic, 0, Batch::of_bytes(1000).build()).error_code.err(), Some(ResponseError::MessageTooLarge));
    for (operation, value, policy) in
        [(APPEND, "compact", "delete,compact"), (SUBTRACT, "delete", "compact"), (APPEND, "compact", "compact")]
    {
        assert_eq!(alter(&mut client, TOPIC, &topic.name, &[("cleanup.policy", operation, Some(value))]).0, None);
        assert_eq!(shown_of(&mut client, TOPIC, &topic.name, "cleanup.policy"), (policy.to_owned(), 1));
    }
    server.kill9();
    server.restart();
    let mut client = server.connect();
    assert_eq!(shown_of(&mut client, TOPIC, &topic.name, "max.message.bytes"), ("500".to_owned(), 1));
    let back = [("max.message.bytes", DELETE, None), ("cleanup.policy", DELETE, None)];
    assert_eq!(alter(&mut client, TOPIC, &topic.name, &back).0, None);
    assert_eq!(shown_of(&mut client, TOPIC, &topic.name, "max.message.bytes").1, 5);
    client.produced(&topic, 0, Batch::of_bytes(1000).build());
}
