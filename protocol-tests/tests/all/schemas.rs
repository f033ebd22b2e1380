//! Goal: no record that does not fit its topic's schema can be read, none that was acknowledged is lost or doubled, and whoever sends nonsense is told.
//! Method: batches byte by byte, the registry by raw HTTP; error paths first. What clients see is in `compat/schema`.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use protocol_tests::batch::{Batch, Codec, ReadBatch};
use protocol_tests::client::Client;
use protocol_tests::http::HttpClient;
use protocol_tests::records::values;
use protocol_tests::server::{Launch, Server};
use protocol_tests::topics::Topic;
use serde_json::json;

const FULL: (&str, &str) = ("value.schema.validation", "full");
const DEAD_LETTER: (&str, &str) = ("on.invalid.record", "dead-letter");
const GOOD: &str = r#"{"total":1}"#;
const BAD: &str = r#"{"total":-1}"#;

fn launch() -> Launch {
    Launch::new().set("schema.listen", "127.0.0.1:0")
}

fn registry(server: &Server) -> HttpClient {
    HttpClient::connect(server.banner_address("schemas"))
}

/// A topic whose values need a total that is not negative.
fn orders(server: &Server, client: &mut Client, configs: &[(&str, &str)]) -> Topic {
    let topic = client.create_topic("orders", 1, configs);
    let schema = json!({"properties": {"total": {"type": "number", "minimum": 0}}, "required": ["total"]}).to_string();
    let body = json!({"schemaType": "JSON", "schema": schema}).to_string();
    let answer = registry(server).call("POST", &format!("/subjects/{}-value/versions", topic.name), Some(&body));
    assert_eq!(answer.status, 200, "{}", answer.json());
    topic
}

fn dead_letters(client: &mut Client, topic: &Topic) -> Vec<ReadBatch> {
    let name = format!("{}.dlq", topic.name);
    let id = client.topic_metadata(&name).topic_id;
    client.read_all(&Topic { name, id }, 0)
}

/// Offsets of the readable records.
fn offsets(batches: &[ReadBatch]) -> Vec<i64> {
    batches.iter().flat_map(|batch| &batch.records).map(|record| record.offset).collect()
}

#[test]
fn each_bad_record_of_a_refused_batch_is_named() {
    let server = launch().start();
    let mut client = server.connect();
    let topic = orders(&server, &mut client, &[FULL]);
    for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
        let batch = Batch::of(&[GOOD, BAD, GOOD, "{"]).compressed(codec).build();
        let answer = client.produce(&topic, 0, batch);
        assert_eq!(answer.error_code.err(), Some(ResponseError::InvalidRecord));
        let named: Vec<i32> = answer.record_errors.iter().map(|one| one.batch_index).collect();
        assert_eq!(named, [1, 3], "{codec:?}");
        let message = answer.record_errors[0].batch_index_error_message.as_deref().unwrap_or_default().to_owned();
        let place = format!(
            "{}-0, record 1: /total: -1 is less than the minimum of 0 (schema id 1, subject {}-value v1)",
            topic.name, topic.name
        );
        assert_eq!(message, place);
        let whole = answer.error_message.as_deref().unwrap_or_default().to_owned();
        assert_eq!(whole, format!("2 of 4 records do not fit the schema: {place}"));
    }
    assert_eq!(client.end_offset(&topic, 0), 0);
    assert_eq!(client.produced(&topic, 0, Batch::of(&[GOOD]).build()), 0);
}

#[test]
fn a_bomb_in_a_validated_topic_is_refused_and_costs_bounded_memory() {
    let server = launch().start();
    let mut client = server.connect();
    let topic = orders(&server, &mut client, &[FULL]);
    // 300 MB of one value, and a batch of many bad records: both are small on the wire.
    let bomb = Batch::of(&[]).record(0, None, Some(&vec![b' '; 300 << 20])).compressed(Codec::Zstd).build();
    let many = (0..200_000).fold(Batch::of(&[]), |batch, _| batch.record(0, None, Some(b"x"))).compressed(Codec::Zstd).build();
    for (batch, what) in [(bomb, "a bomb"), (many, "many")] {
        let answer = client.produce(&topic, 0, batch);
        assert!(answer.error_code.err().is_some(), "{what}");
        assert!(answer.record_errors.len() <= 1000, "{what}");
    }
    assert_eq!(client.end_offset(&topic, 0), 0);
    assert!(server.peak_memory_bytes() < 1 << 30, "{} bytes", server.peak_memory_bytes());
}

#[test]
fn dead_letters_leave_offsets_and_sequences_as_they_were_and_a_repetition_doubles_nothing() {
    let mut server = launch().start();
    let mut client = server.connect();
    let topic = orders(&server, &mut client, &[FULL, DEAD_LETTER]);
    let (id, epoch) = client.producer_id();
    let first = Batch::of(&[GOOD, BAD, BAD, GOOD]).idempotent(id, epoch, 0).build();
    assert_eq!(client.produced(&topic, 0, first.clone()), 0);
    assert_eq!(client.produced(&topic, 0, Batch::of(&[BAD, BAD]).idempotent(id, epoch, 4).build()), 4);
    assert_eq!(client.produced(&topic, 0, Batch::of(&[GOOD]).idempotent(id, epoch, 6).build()), 6);
    assert_eq!(client.produced(&topic, 0, first.clone()), 0, "sent again");
    server.kill9();
    server.restart();
    let mut client = server.connect();
    assert_eq!(client.produced(&topic, 0, first), 0, "sent again after a crash");
    let good = client.read_all(&topic, 0);
    assert_eq!((offsets(&good), values(&good)), (vec![0, 3, 6], vec![GOOD.to_owned(); 3]));
    assert_eq!(values(&dead_letters(&mut client, &topic)), vec![BAD.to_owned(); 4]);
    assert_eq!(client.produced(&topic, 0, Batch::of(&[GOOD]).idempotent(id, epoch, 7).build()), 7, "the next sequence");
}

#[test]
fn the_registry_takes_nonsense_and_lives() {
    let server = launch().start();
    let deep = "[".repeat(200_000);
    let aliases = format!(
        r#"{{"type":"record","name":"R","aliases":[{}],"fields":[]}}"#,
        (0..20_000).map(|at| format!("\"a{at}\"")).collect::<Vec<_>>().join(",")
    );
    let exploding: Vec<String> = (0..60)
        .map(|at| format!(r##""d{at}":{{"allOf":[{{"$ref":"#/definitions/d{0}"}},{{"$ref":"#/definitions/d{0}"}}]}}"##, at + 1))
        .collect();
    let exploding = format!(r##"{{"definitions":{{{},"d60":{{}}}},"$ref":"#/definitions/d0"}}"##, exploding.join(","));
    let nested = format!("syntax = \"proto3\"; {}{}", "message A { ".repeat(5000), "}".repeat(5000));
    let cases = [
        ("AVRO", deep.clone()),
        ("JSON", deep),
        ("AVRO", aliases),
        ("JSON", r##"{"$ref":"#"}"##.to_owned()),
        ("JSON", r#"{"$ref":"file:///etc/passwd"}"#.to_owned()),
        ("JSON", r#"{"$ref":"http://127.0.0.1:1/x"}"#.to_owned()),
        ("JSON", r#"{"pattern":"(a{1000}){1000}"}"#.to_owned()),
        ("JSON", exploding),
        ("PROTOBUF", nested),
        ("PROTOBUF", "import \"/etc/passwd\"; message A {}".to_owned()),
        ("NONSENSE", "{}".to_owned()),
    ];
    let mut client = registry(&server);
    for (kind, schema) in cases {
        let shown = schema.chars().take(60).collect::<String>();
        let body = json!({"schemaType": kind, "schema": schema}).to_string();
        let answer = client.call("POST", "/subjects/s/versions", Some(&body));
        assert!(matches!(answer.status, 200 | 409 | 422), "{kind} {shown}: {}", answer.status);
    }
    for (method, path, body) in [
        ("POST", "/subjects/nobody/versions", Some("{}")),
        ("POST", "/subjects/s/versions", Some("[")),
        ("PUT", "/config", Some(r#"{"compatibility":"UP"}"#)),
        ("PUT", "/mode", Some(r#"{"mode":"UP"}"#)),
        ("GET", "/subjects/s/versions/0", None),
        ("GET", "/schemas/ids/99999999999999999999", None),
        ("GET", "/subjects/%00/versions", None),
        ("POST", "/_schemas", Some("nonsense")),
    ] {
        let answer = client.call(method, path, body);
        assert!((400..500).contains(&answer.status), "{method} {path}: {}", answer.status);
        assert!(answer.json()["error_code"].is_number() && answer.json()["message"].is_string(), "{method} {path}");
    }
    assert!(server.peak_memory_bytes() < 1 << 29, "{} bytes", server.peak_memory_bytes());
}

#[test]
fn a_projects_key_opens_its_own_subjects() {
    // SHA-256 of "one" and of "two".
    let config = r#"
[http]
auth = "keys"
[http.projects.first]
topic_prefix = "first."
api_keys = ["sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"]
[http.projects.all]
api_keys = ["sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"]
"#;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("config.toml");
    std::fs::write(&file, config).expect("written");
    let server = launch().argument("--config").argument(file).start();
    let mut client = registry(&server);
    let mut ask = |method: &str, path: &str, authorization: &str, body: Option<&str>| {
        client.call_with(method, path, &[("Authorization", authorization)], body).status
    };
    // user:one and user:two, as Confluent's clients send them.
    let (one, two) = ("Basic dXNlcjpvbmU=", "Basic dXNlcjp0d28=");
    let schema = Some(r#"{"schema":"\"int\""}"#);
    assert_eq!(ask("GET", "/subjects", "Bearer three", None), 401);
    assert_eq!(ask("GET", "/subjects", "Basic !", None), 401);
    assert_eq!(ask("POST", "/subjects/second.a/versions", one, schema), 403);
    assert_eq!(ask("PUT", "/config", one, Some(r#"{"compatibility":"NONE"}"#)), 403);
    assert_eq!(ask("GET", "/_schemas", one, None), 403);
    assert_eq!(ask("POST", "/subjects/first.a/versions", one, schema), 200);
    assert_eq!(ask("POST", "/subjects/first.a/versions", "Bearer one", schema), 200);
    assert_eq!(ask("PUT", "/config/first.a", one, Some(r#"{"alias":"second.a"}"#)), 403);
    assert_eq!(ask("PUT", "/mode/first.b", one, Some(r#"{"mode":"IMPORT"}"#)), 403, "ids are everybody's");
    let referring = r#"{"schema":"\"X\"","references":[{"name":"X","subject":"second.a","version":1}]}"#;
    assert_eq!(ask("POST", "/subjects/first.c/versions", one, Some(referring)), 403);
    assert_eq!(ask("GET", "/_schemas", two, None), 403, "not everything is theirs");
    assert_eq!(ask("POST", "/subjects/second.a/versions", two, schema), 200);
    assert_eq!(ask("GET", "/subjects/first.a/versions", two, None), 403, "it is the other project's");
    // The schema by its id is everybody's; who has it is not.
    for (authorization, holder) in [(one, json!(["first.a", 1])), (two, json!([null, null]))] {
        let answer = client.call_with("GET", "/schemas/ids/1?subject=first.a", &[("Authorization", authorization)], None).json();
        assert_eq!(json!([answer["subject"], answer["version"]]), holder);
        assert_eq!(answer["schema"], "\"int\"");
    }
}
