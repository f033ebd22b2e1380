//! Goal: quotas are checked as in Kafka, kept over a crash, and found by every filter that Kafka has.
//! Method: AlterClientQuotas and DescribeClientQuotas with the entities of Kafka's ClientQuotasRequestTest, error paths first.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::{AlterClientQuotasRequest, DescribeClientQuotasRequest, DescribeClientQuotasResponse};
use protocol_tests::client::Client;
use protocol_tests::frame::text;
use protocol_tests::server::{Launch, Server};
use protocol_tests::topics::unique;

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;
const PRODUCER: &str = "producer_byte_rate";
const CONSUMER: &str = "consumer_byte_rate";
const PERCENTAGE: &str = "request_percentage";
const CONNECTIONS: &str = "connection_creation_rate";

/// Types and names; `None`: the default.
type Entity<'a> = &'a [(&'a str, Option<&'a str>)];
/// Keys and values; `None`: removed.
type Changes<'a> = &'a [(&'a str, Option<f64>)];
/// Type, kind of match and name.
type Component<'a> = (&'a str, i8, Option<&'a str>);

fn entry(entity: Entity, changes: Changes) -> EntryData {
    let parts = entity
        .iter()
        .map(|(kind, name)| EntityData::default().with_entity_type(text(kind)).with_entity_name(name.map(text)))
        .collect();
    let ops = changes.iter().map(|(key, value)| {
        OpData::default().with_key(text(key)).with_value(value.unwrap_or_default()).with_remove(value.is_none())
    });
    EntryData::default().with_entity(parts).with_ops(ops.collect())
}

/// Error and message of each entry.
fn alter_all(client: &mut Client, entries: Vec<EntryData>, validate_only: bool) -> Vec<(Option<ResponseError>, String)> {
    let request = AlterClientQuotasRequest::default().with_entries(entries).with_validate_only(validate_only);
    let answers = client.call(1, &request).entries;
    let shown = answers
        .into_iter()
        .map(|answer| (answer.error_code.err(), answer.error_message.map(|why| why.to_string()).unwrap_or_default()));
    shown.collect()
}

fn alter(client: &mut Client, entity: Entity, changes: Changes) -> (Option<ResponseError>, String) {
    alter_all(client, vec![entry(entity, changes)], false).remove(0)
}

fn describe(client: &mut Client, components: &[Component], strict: bool) -> DescribeClientQuotasResponse {
    let components = components.iter().map(|(kind, match_type, name)| {
        ComponentData::default().with_entity_type(text(kind)).with_match_type(*match_type).with_match(name.map(text))
    });
    client.call(1, &DescribeClientQuotasRequest::default().with_components(components.collect()).with_strict(strict))
}

/// The limits of exactly this entity.
fn limits(client: &mut Client, entity: Entity) -> Vec<(String, f64)> {
    let components: Vec<_> =
        entity.iter().map(|(kind, name)| (*kind, if name.is_some() { EXACT } else { DEFAULT }, *name)).collect();
    let mut entries = describe(client, &components, true).entries.expect("entries");
    assert!(entries.len() <= 1, "{entries:?}");
    let values = entries.pop().map(|entry| entry.values).unwrap_or_default();
    values.into_iter().map(|value| (value.key.to_string(), value.value)).collect()
}

#[test]
fn what_cannot_be_limited_says_why() {
    let server = Server::shared();
    let mut client = server.connect();
    let user = unique("user");
    let user: Entity = &[("user", Some(&user))];
    let cases: [(Entity, Changes, &str); 12] = [
        (&[], &[(PRODUCER, Some(1.0))], "Invalid empty client quota entity"),
        (&[("", Some("name"))], &[(PERCENTAGE, Some(12.34))], "Unhandled client quota entity type: "),
        (&[("user", Some(""))], &[(PERCENTAGE, Some(12.34))], "Empty user not supported"),
        (&[("client-id", Some(""))], &[(PERCENTAGE, Some(12.34))], "Empty client-id not supported"),
        (&[("user", Some("u")), ("ip", Some("1.2.3.4"))], &[(PERCENTAGE, Some(12.34))], "Invalid quota entity combination"),
        (&[("client-id", Some("c")), ("ip", None)], &[(PERCENTAGE, Some(12.34))], "Invalid quota entity combination"),
        (&[("ip", Some("RFC2606.invalid"))], &[(CONNECTIONS, Some(50.0))], "RFC2606.invalid is not a valid IP"),
        (&[("ip", Some("1.2.3.4"))], &[(PRODUCER, Some(50.0))], "Invalid configuration key producer_byte_rate"),
        (user, &[("bad", Some(1.0))], "Invalid configuration key bad"),
        (user, &[(PRODUCER, Some(10_000.5))], "producer_byte_rate cannot be a fractional value."),
        (user, &[(PRODUCER, Some(0.0))], "Quota producer_byte_rate must be greater than 0"),
        (user, &[(CONSUMER, Some(1.0)), (CONSUMER, Some(2.0))], "Duplicate quota key consumer_byte_rate"),
    ];
    for (entity, changes, expected) in cases {
        let (error, why) = alter(&mut client, entity, changes);
        assert_eq!(error, Some(ResponseError::InvalidRequest), "{entity:?} {changes:?}: {why}");
        assert!(why.starts_with(expected), "{why:?} instead of {expected:?}");
    }
    assert!(limits(&mut client, user).is_empty());
}

#[test]
fn filters_that_make_no_sense_say_why() {
    let server = Server::shared();
    let mut client = server.connect();
    let invalid = ResponseError::InvalidRequest;
    let cases: [(&[Component], ResponseError, &str); 8] = [
        (&[("", EXACT, Some("a"))], invalid, "Invalid empty entity type."),
        (&[("other", EXACT, Some("a"))], ResponseError::UnsupportedVersion, "Unsupported entity type other"),
        (
            &[("user", EXACT, Some("a")), ("user", SPECIFIED, None)],
            invalid,
            "Entity type user cannot appear more than once in the filter.",
        ),
        (&[("user", EXACT, None)], invalid, "Request specified MATCH_TYPE_EXACT, but set match string to null."),
        (&[("user", DEFAULT, Some("a"))], invalid, "Request specified MATCH_TYPE_DEFAULT, but also specified a match string."),
        (
            &[("user", SPECIFIED, Some("a"))],
            invalid,
            "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.",
        ),
        (&[("user", 3, None)], invalid, "Unknown match type 3"),
        (&[("ip", SPECIFIED, None), ("user", SPECIFIED, None)], invalid, "Invalid entity filter component combination."),
    ];
    for (components, error, expected) in cases {
        let response = describe(&mut client, components, false);
        assert_eq!(response.error_code.err(), Some(error), "{components:?}");
        let why = response.error_message.map(|why| why.to_string()).unwrap_or_default();
        assert!(why.starts_with(expected), "{why:?} instead of {expected:?}");
        assert!(response.entries.is_none());
    }
}

#[test]
fn one_that_is_refused_does_not_hinder_the_others_and_one_that_comes_twice_is_refused() {
    let server = Server::shared();
    let mut client = server.connect();
    let (good, twice) = (unique("good"), unique("twice"));
    let (good, twice): (Entity, Entity) = (&[("client-id", Some(&good))], &[("user", Some(&twice)), ("client-id", None)]);
    let entries = vec![
        entry(twice, &[(PRODUCER, Some(1.0))]),
        entry(good, &[(PRODUCER, Some(2.0))]),
        // The same entity, whatever the order.
        entry(&[twice[1], twice[0]], &[(PRODUCER, Some(3.0))]),
    ];
    let answers = alter_all(&mut client, entries, false);
    let errors: Vec<_> = answers.iter().map(|(error, _)| *error).collect();
    assert_eq!(errors, [Some(ResponseError::InvalidRequest), None, Some(ResponseError::InvalidRequest)], "{answers:?}");
    assert!(answers[0].1.starts_with("Ignoring duplicate entity "), "{answers:?}");
    assert!(limits(&mut client, twice).is_empty());
    assert_eq!(limits(&mut client, good), [(PRODUCER.to_owned(), 2.0)]);
}

#[test]
fn more_entities_than_a_controller_takes_are_refused_as_a_whole() {
    let server = Server::shared();
    let mut client = server.connect();
    let first = unique("many-0");
    let entries = (0..10_001).map(|n| if n == 0 { first.clone() } else { format!("many-{n}") });
    let entries = entries.map(|name| entry(&[("user", Some(&name))], &[(PRODUCER, Some(1.0))])).collect();
    let answers = alter_all(&mut client, entries, false);
    assert_eq!(answers.len(), 10_001);
    assert!(answers.iter().all(|(error, _)| *error == Some(ResponseError::PolicyViolation)), "{:?}", answers[0]);
    assert!(limits(&mut client, &[("user", Some(&first))]).is_empty());
}

#[test]
fn limits_are_set_changed_and_removed_and_outlive_a_crash() {
    let mut server = Server::start();
    let mut client = server.connect();
    let entity: Entity = &[("client-id", Some("client-id")), ("user", Some("user"))];
    let set = |key: &str, value: f64| (key.to_owned(), value);
    assert!(limits(&mut client, entity).is_empty());
    assert_eq!(alter(&mut client, entity, &[(PRODUCER, Some(10_000.0)), (CONSUMER, Some(20_000.0))]).0, None);
    assert_eq!(alter(&mut client, entity, &[(PRODUCER, None), (PERCENTAGE, Some(12.3)), ("nonsense", None)]).0, None);
    let dry = alter_all(&mut client, vec![entry(entity, &[(PRODUCER, Some(5.0)), (PERCENTAGE, None)])], true);
    assert_eq!(dry[0].0, None);
    server.kill9();
    server.restart();
    let mut client = server.connect();
    assert_eq!(limits(&mut client, entity), [set(CONSUMER, 20_000.0), set(PERCENTAGE, 12.3)]);
    assert_eq!(alter(&mut client, entity, &[(CONSUMER, None), (PERCENTAGE, None)]).0, None);
    assert!(describe(&mut client, &[], false).entries.expect("entries").is_empty());
}

#[test]
fn entities_are_found_by_name_by_default_and_by_type() {
    let server = Launch::new().ephemeral().start();
    let mut client = server.connect();
    let entities: [(Entity, f64); 11] = [
        (&[("user", Some("user-1")), ("client-id", Some("client-id-1"))], 50.50),
        (&[("user", Some("user-2")), ("client-id", Some("client-id-1"))], 51.51),
        (&[("user", Some("user-3")), ("client-id", Some("client-id-2"))], 52.52),
        (&[("user", None), ("client-id", Some("client-id-1"))], 53.53),
        (&[("user", Some("user-1")), ("client-id", None)], 54.54),
        (&[("user", Some("user-3")), ("client-id", None)], 55.55),
        (&[("user", Some("user-1"))], 56.56),
        (&[("user", Some("user-2"))], 57.57),
        (&[("user", Some("user-3"))], 58.58),
        (&[("user", None)], 59.59),
        (&[("client-id", Some("client-id-2"))], 60.60),
    ];
    let mut entries: Vec<_> = entities.iter().map(|(entity, value)| entry(entity, &[(PERCENTAGE, Some(*value))])).collect();
    entries.extend(["1.2.3.4", "2.3.4.5"].map(|address| entry(&[("ip", Some(address))], &[(CONNECTIONS, Some(10.0))])));
    assert!(alter_all(&mut client, entries, false).iter().all(|(error, _)| error.is_none()));
    for (entity, value) in entities {
        assert_eq!(limits(&mut client, entity), [(PERCENTAGE.to_owned(), value)], "{entity:?}");
    }
    for nowhere in [&[("user", Some("user-2")), ("client-id", None)][..], &[("client-id", Some("client-id-1"))]] {
        assert!(limits(&mut client, nowhere).is_empty(), "{nowhere:?}");
    }
    let mut matching =
        |components: &[Component], strict: bool| describe(&mut client, components, strict).entries.expect("entries").len();
    assert_eq!(matching(&[("user", EXACT, Some("user-1"))], false), 3);
    assert_eq!(matching(&[("user", DEFAULT, None)], false), 2);
    assert_eq!((matching(&[("user", SPECIFIED, None)], true), matching(&[("user", SPECIFIED, None)], false)), (4, 10));
    assert_eq!(matching(&[("client-id", SPECIFIED, None)], false), 7);
    assert_eq!(matching(&[("ip", SPECIFIED, None)], false), 2);
    assert_eq!((matching(&[], false), matching(&[], true)), (13, 0));
}
