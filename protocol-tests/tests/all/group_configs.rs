//! Goal: the settings of a group are checked, kept and shown, and nothing else can be altered by accident.
//! Method: IncrementalAlterConfigs and DescribeConfigs on the GROUP resource, error paths first.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use protocol_tests::client::Client;
use protocol_tests::frame::text;
use protocol_tests::server::Server;
use protocol_tests::topics::unique;

const TOPIC: i8 = 2;
const GROUP: i8 = 32;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SESSION: &str = "consumer.session.timeout.ms";

fn alter(client: &mut Client, kind: i8, name: &str, changes: &[(&str, i8, Option<&str>)]) -> (Option<ResponseError>, String) {
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
    let resource = DescribeConfigsResource::default()
        .with_resource_type(GROUP)
        .with_resource_name(text(group))
        .with_configuration_keys(Some(vec![text(SESSION)]));
    let mut response = client.call(4, &DescribeConfigsRequest::default().with_resources(vec![resource]));
    let config = response.results.remove(0).configs.remove(0);
    assert!(!config.read_only);
    (config.value.map(|value| value.to_string()).unwrap_or_default(), config.config_source)
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
    assert_eq!(refused(TOPIC, "any", &[("retention.ms", SET, Some("1"))]).0, invalid_request);
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
