//! Goal: HTTP keeps its promises where no client library goes: hostile requests, budgets, keys, repetitions over a crash, leases of callers
//! that vanish. Method: requests as text, error paths first. What clients see is in `compat/http`.

use protocol_tests::batch::Batch;
use protocol_tests::client::Client;
use protocol_tests::http::HttpClient;
use protocol_tests::now_ms;
use protocol_tests::server::{Launch, Server};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn launch() -> Launch {
    Launch::new().set("http.listen", "127.0.0.1:0")
}

fn connect(server: &Server) -> HttpClient {
    HttpClient::connect(server.banner_address("http"))
}

fn create(client: &mut HttpClient, name: &str, partitions: i32) {
    let body = json!({"name": name, "partitions": partitions}).to_string();
    assert_eq!(client.call("POST", "/topics", Some(&body)).status, 201, "{name}");
}

#[test]
fn requests_that_are_none_are_refused_and_the_server_lives() {
    let server = launch().start();
    let big_head = format!("GET /topics HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let many_headers = format!("GET /topics HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "A: b\r\n".repeat(500));
    let hostile: [&[u8]; 9] = [
        b"\x00\x00\x00\x10\x00\x12\x00\x00 a Kafka request",
        b"GET\r\n\r\n",
        b"GET /topics HTTP/9.9\r\n\r\n",
        b"POST /topics HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /topics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /topics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        big_head.as_bytes(),
        many_headers.as_bytes(),
    ];
    for bytes in hostile {
        let mut client = connect(&server);
        client.send_raw(bytes);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        if bytes.starts_with(b"PRI") {
            continue; // Answered in frames of HTTP/2.
        }
        if let Some(answer) = client.read() {
            assert!((400..500).contains(&answer.status), "{shown}: {}", answer.status);
        }
    }
    assert_eq!(connect(&server).call("GET", "/healthz", None).status, 200);
    assert!(server.peak_memory_bytes() < 1 << 29, "{} bytes", server.peak_memory_bytes());
}

#[test]
fn bodies_and_parameters_that_are_wrong_are_named() {
    let server = launch().set("http.request_bytes", "10000").start();
    let mut client = connect(&server);
    create(&mut client, "t", 1);
    let deep = "[".repeat(100_000);
    let wrong = [
        ("POST", "/topics", Some("{"), 400),
        ("POST", "/topics", Some(r#"{"name": "a b"}"#), 400),
        ("POST", "/topics", Some(r#"{"name": "a", "partitions": 0}"#), 400),
        ("POST", "/topics", Some(r#"{"name": "a", "partition": 3}"#), 400),
        ("POST", "/topics", Some(r#"{"name": "__consumer_offsets"}"#), 400),
        ("POST", "/topics/t/produce", Some(r#"{"key": "no value"}"#), 400),
        ("POST", "/topics/t/produce", Some(r#"{"value": 1, "partition": 7}"#), 400),
        ("POST", "/topics/t/produce", Some(&deep), 413),
        ("POST", "/topics/t/produce", Some(&deep[..5000]), 400),
        ("POST", "/topics/t/records", Some(r#"{"records": []}"#), 400),
        ("POST", "/topics/t/offsets", Some(r#"{"group": "g", "partition": 0, "offset": -1}"#), 400),
        ("POST", "/topics/t/offsets", Some(r#"{"group": "g", "partition": 0, "offset": 1}"#), 400),
        ("GET", "/topics/t/consume", None, 400),
        ("GET", "/topics/t/consume?group=g&from=earliest", None, 400),
        ("GET", "/topics/t/consume?group=g&limit=0", None, 400),
        ("GET", "/topics/t/consume?group=g&limit=many", None, 400),
        ("GET", "/topics/t/consume?from=yesterday", None, 400),
        ("GET", "/topics/t/consume?cursor=none", None, 400),
        ("GET", "/topics/t*/consume?from=earliest", None, 400),
        ("GET", "/topics/%ff/stats", None, 400),
        ("GET", "/topics/__consumer_offsets", None, 404),
        ("GET", "/topics/nowhere/stream", None, 404),
        ("DELETE", "/topics/nowhere", None, 404),
        ("PATCH", "/topics/t", None, 405),
    ];
    for (method, path, body, status) in wrong {
        let answer = client.call(method, path, body);
        assert_eq!(answer.status, status, "{method} {path} {:?}", String::from_utf8_lossy(&answer.body));
        assert!(!answer.json()["error"]["message"].as_str().unwrap_or_default().is_empty(), "{method} {path} says why");
        if answer.status == 413 {
            client = connect(&server);
        }
    }
    client.send_raw(b"POST /topics HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}");
    let plain = client.read().expect("an answer");
    assert_eq!((plain.status, plain.code().as_str()), (415, "UNSUPPORTED_MEDIA_TYPE"));
}

#[test]
fn a_page_elsewhere_whose_name_points_here_is_not_this_machine() {
    let server = launch().start();
    for (host, status) in [("evil.example.org", 403), ("127.0.0.1:8080", 200), ("[::1]:1", 200), ("LOCALHOST", 200)] {
        let mut client = connect(&server);
        client.send_raw(format!("GET /topics HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        assert_eq!(client.read().expect("an answer").status, status, "{host}");
    }
}

#[test]
fn keys_open_their_projects_and_no_others() {
    // SHA-256 of "one" and of "two".
    let config = r#"
[http]
auth = "keys"
[http.projects.first]
topic_prefix = "first."
api_keys = ["sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"]
[http.projects.second]
topic_prefix = "second."
api_keys = ["sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
            "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"]
"#;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("config.toml");
    std::fs::write(&file, config).expect("written");
    let server = launch().argument("--config").argument(file).start();
    let mut client = connect(&server);
    let mut ask = |method: &str, path: &str, key: Option<&str>, body: Option<&str>| {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let headers: Vec<(&str, &str)> = bearer.as_deref().map(|bearer| ("Authorization", bearer)).into_iter().collect();
        client.call_with(method, path, &headers, body)
    };
    for key in [None, Some("three"), Some("")] {
        let refused = ask("GET", "/topics", key, None);
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")), "{key:?}");
    }
    assert_eq!(ask("GET", "/projects/first/topics", Some("two"), None).status, 403);
    assert_eq!(ask("GET", "/projects/third/topics", Some("one"), None).status, 403);
    assert_eq!(ask("GET", "/topics", Some("one"), None).status, 403, "it opens two");
    assert_eq!(ask("POST", "/projects/first/topics", Some("one"), Some(r#"{"name": "t"}"#)).status, 201);
    assert_eq!(ask("POST", "/topics", Some("two"), Some(r#"{"name": "u"}"#)).status, 201, "it opens one");
    let names = |answer: protocol_tests::http::Answer| {
        let topics = answer.json()["topics"].as_array().cloned().unwrap_or_default();
        topics.iter().map(|topic| topic["name"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(ask("GET", "/projects/first/topics", Some("one"), None)), ["t"]);
    assert_eq!(names(ask("GET", "/projects/second/topics", Some("one"), None)), ["u"]);
    assert_eq!(ask("GET", "/projects/second/topics/t", Some("one"), None).status, 404);
    let mut kafka = server.connect();
    assert_eq!(kafka.topic_metadata("first.t").error_code, 0, "the prefix is the project's");
}

#[test]
fn a_repeated_request_is_answered_as_the_first_was_and_written_once_across_a_crash() {
    let mut server = launch().start();
    let mut client = connect(&server);
    create(&mut client, "t", 3);
    let mut first = Vec::new();
    for number in 0..20 {
        let key = format!("key-{number}");
        let body = json!({"value": number}).to_string();
        let answer = client.call_with("POST", "/topics/t/produce", &[("Idempotency-Key", &key)], Some(&body));
        first.push((key, body, answer.json()));
    }
    let batch = json!({"records": [{"value": 1}, {"value": 2, "key": "a"}, {"value": 3, "key": "b"}]}).to_string();
    let batched = client.call_with("POST", "/topics/t/records", &[("Idempotency-Key", "batch")], Some(&batch)).json();
    for is_restarted in [false, true] {
        if is_restarted {
            server.kill9();
            server.restart();
            client = connect(&server);
        }
        for (key, body, answer) in &first {
            let again = client.call_with("POST", "/topics/t/produce", &[("Idempotency-Key", key)], Some(body));
            assert_eq!(&again.json(), answer, "restarted: {is_restarted}");
        }
        let again = client.call_with("POST", "/topics/t/records", &[("Idempotency-Key", "batch")], Some(&batch)).json();
        assert_eq!(again, batched);
        assert_eq!(client.call("GET", "/topics/t/stats", None).json()["total_events"], 23);
    }
    // The topic has more partitions, and other ones for the same keys: the first answer still stands.
    let mut kafka = server.connect();
    kafka.add_partitions("t", 11);
    for (key, body, answer) in &first {
        let again = client.call_with("POST", "/topics/t/produce", &[("Idempotency-Key", key)], Some(body));
        assert_eq!(&again.json(), answer);
    }
}

/// As `compat/FINDINGS.md` has it: clients give each request a key of its own.
#[test]
fn an_idempotency_key_is_remembered_for_one_partition_of_a_topic() {
    let server = launch().start();
    let mut client = connect(&server);
    create(&mut client, "t", 2);
    let mut send = |value: i32, partition: i32| {
        let body = json!({"value": value, "partition": partition}).to_string();
        let answer = client.call_with("POST", "/topics/t/produce", &[("Idempotency-Key", "one")], Some(&body));
        assert!(answer.status < 300, "{}", answer.status);
        client.call("GET", "/topics/t/stats", None).json()["total_events"].as_i64()
    };
    assert_eq!((send(1, 0), send(1, 0), send(2, 0)), (Some(1), Some(1), Some(1)), "in the first one's partition");
    assert_eq!((send(2, 1), send(2, 1)), (Some(2), Some(2)), "in another one it is another request");
    assert_eq!(send(1, 0), Some(3), "whose mark has replaced the first one's");
}

#[test]
fn requests_beyond_the_budget_are_told_to_come_back_and_those_before_them_are_served() {
    let server = launch().set("http.memory_bytes", "64000").set("http.request_bytes", "60000").start();
    let mut client = connect(&server);
    create(&mut client, "t", 1);
    let body = json!({"value": "x".repeat(20_000)}).to_string();
    let head = "POST /topics/t/produce HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n";
    let mut found = None;
    for _ in 0..100 {
        // A body that does not end holds what has come of it.
        let mut slow = connect(&server);
        slow.send_raw(format!("{head}Content-Length: 50000\r\n\r\n").as_bytes());
        assert_eq!(slow.line().as_deref(), Some("HTTP/1.1 100 Continue"));
        slow.send_raw(&[b' '; 49_999]);
        // When the server has read it is not seen from here; if another request is under way just then, the slow one is refused.
        let refused = (0..50).map(|_| client.call("POST", "/topics/t/produce", Some(&body))).find(|answer| answer.status == 429);
        if let Some(refused) = refused {
            found = Some((slow, refused));
            break;
        }
    }
    let (slow, refused) = found.expect("the budget is used up");
    assert_eq!((refused.code().as_str(), refused.header("retry-after")), ("RATE_LIMIT_EXCEEDED", Some("1")));
    assert_eq!(refused.header("connection"), Some("close"), "what is left of its body is not read");
    drop(slow);
    let served = (0..1000).any(|_| connect(&server).call("POST", "/topics/t/produce", Some(&body)).status == 200);
    assert!(served, "the room of a client that went away is free again");
}

#[test]
fn a_body_is_charged_by_its_route_whatever_the_names_in_its_path_are() {
    let server = launch().set("http.memory_bytes", "1000000").set("http.request_bytes", "600000").start();
    create(&mut connect(&server), "t", 1);
    // 60,000 bytes that would be 30,000 values.
    let filters = json!({"filters": {"data": {"/a": vec![0; 30_000]}}}).to_string();
    let change = || connect(&server).call("PATCH", "/webhooks/endpoints/records", Some(&filters)).status;
    let head =
        "POST /topics/t/produce HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 500000\r\n\r\n";
    let is_charged = |_| {
        // Half of the budget, for as long as its last byte is missing; or nothing, where a change was under way when it came.
        let mut slow = connect(&server);
        slow.send_raw(head.as_bytes());
        slow.send_raw(&[b' '; 499_999]);
        (0..50).any(|_| change() == 429).then_some(slow)
    };
    let slow = (0..20).find_map(is_charged);
    assert!(slow.is_some(), "its values are charged, though its path ends as those of events do");
    let records = json!({"records": vec![json!({"value": 1}); 2_000]}).to_string();
    assert_eq!(connect(&server).call("POST", "/topics/t/records", Some(&records)).status, 200, "they stay texts");
}

#[test]
fn long_lists_leave_in_pieces_and_short_ones_with_their_length() {
    let server = launch().set("hooks.allow_private_addresses", "true").start();
    let mut client = connect(&server);
    assert_eq!(client.call("GET", "/topics", None).json(), json!({"topics": []}));
    let description = "d".repeat(900);
    let mut names: Vec<String> = (0..100).map(|number| format!("topic-{number:03}")).collect();
    for name in names.iter().rev() {
        let body = json!({"name": name, "partitions": 1, "description": description}).to_string();
        assert_eq!(client.call("POST", "/topics", Some(&body)).status, 201);
        let body = json!({"name": name, "url": "http://127.0.0.1:9999/", "description": description}).to_string();
        let made = client.call("POST", "/webhooks/endpoints", Some(&body));
        assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    }
    for (path, field) in [("/topics", "topics"), ("/webhooks/endpoints", "endpoints")] {
        let answer = client.call("GET", path, None);
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"), "{path}: it takes a piece of memory, however long it is");
        let found = answer.json()[field].as_array().cloned().unwrap_or_default();
        assert_eq!(found.iter().map(|one| one["name"].as_str().unwrap_or_default()).collect::<Vec<_>>(), names);
    }
    for name in names.split_off(3) {
        assert_eq!(client.call("DELETE", &format!("/topics/{name}"), None).status, 204);
    }
    let answer = client.call("GET", "/topics", None);
    assert!(answer.header("content-length").is_some() && answer.json()["topics"].as_array().map(Vec::len) == Some(3));
}

#[test]
fn only_who_asks_for_gzip_is_answered_without_a_length() {
    let server = launch().start();
    let mut client = connect(&server);
    for (coding, is_compressed) in [("identity", false), ("br", false), ("gzip;q=0", false), ("gzip, br", true)] {
        let answer = client.call_with("GET", "/openapi.json", &[("Accept-Encoding", coding)], None);
        assert_eq!(answer.header("content-encoding"), is_compressed.then_some("gzip"), "{coding}");
        assert_eq!(answer.header("content-length").is_some(), !is_compressed, "{coding}");
        assert_eq!(answer.body.starts_with(b"{"), !is_compressed, "{coding}");
    }
}

#[test]
fn answers_that_nobody_reads_do_not_each_keep_an_encoder() {
    // HTTP/2 with a window of nothing, and a hundred answers on each connection that are compressed for nobody.
    let server = launch().start();
    let before = server.peak_memory_bytes();
    let mut head = vec![0x82, 0x86, 0x04, 13];
    head.extend_from_slice(b"/openapi.json");
    head.extend_from_slice(&[0x01, 9]);
    head.extend_from_slice(b"localhost");
    // RFC 7541, appendix A: accept-encoding: gzip, deflate.
    head.push(0x90);
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let mut frame = u32::try_from(payload.len()).expect("small").to_be_bytes()[1..].to_vec();
        frame.extend_from_slice(&[kind, flags]);
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        frame
    };
    let mut connections = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.banner_address("http")).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        sent.extend(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
        for number in 0..100 {
            sent.extend(frame(1, 5, 2 * number + 1, &head));
        }
        stream.write_all(&sent).expect("taken");
        let mut answered = 0;
        while answered < 100 {
            let mut header = [0; 9];
            stream.read_exact(&mut header).expect("frames");
            let length = usize::from(header[1]) << 8 | usize::from(header[2]);
            stream.read_exact(&mut vec![0; length]).expect("a frame");
            answered += u32::from(header[3] == 1);
        }
        connections.push(stream);
    }
    let grown = server.peak_memory_bytes() - before;
    assert!(grown < 150 << 20, "{grown} bytes");
}

#[test]
fn a_page_of_another_site_may_not_act_for_who_looks_at_it() {
    let server = launch().set("http.cors_origins", "https://app.example.org").start();
    let mut client = connect(&server);
    create(&mut client, "t", 1);
    let path = "/topics/t/consume?group=g&auto_commit=true";
    let cases = [
        (("Sec-Fetch-Site", "cross-site"), 403),
        (("Sec-Fetch-Site", "same-site"), 403),
        (("Sec-Fetch-Site", "same-origin"), 200),
        (("Sec-Fetch-Site", "none"), 200),
        (("Origin", "https://evil.example.org"), 403),
        (("Origin", "null"), 403),
        (("Origin", "https://app.example.org"), 200),
        (("Origin", "http://localhost:3000"), 200),
        (("Origin", "http://127.0.0.1:3000"), 200),
        (("Origin", "http://[::1]"), 200),
        (("Origin", "http://203.0.113.5"), 403),
        (("Origin", "http://[2001:db8::1]:8080"), 403),
    ];
    for (header, status) in cases {
        assert_eq!(client.call_with("GET", path, &[header], None).status, status, "{header:?}");
    }
    client.send("HEAD", path, &[], None);
    assert_eq!(client.line().as_deref(), Some("HTTP/1.1 405 Method Not Allowed"), "nobody would see what it leases");
}

#[test]
fn what_a_vanished_caller_held_goes_to_others_and_no_commit_passes_it() {
    let server = launch().set("http.consume_lease_ms", "300").start();
    let mut client = connect(&server);
    create(&mut client, "t", 1);
    let records: Vec<_> = (0..10).map(|value| json!({"value": value})).collect();
    client.call("POST", "/topics/t/records", Some(&json!({"records": records}).to_string()));
    let values = |answer: &protocol_tests::http::Answer| {
        let records = answer.json()["records"].as_array().cloned().unwrap_or_default();
        records.iter().map(|record| record["value"].as_i64().expect("a number")).collect::<Vec<_>>()
    };
    let mut vanishes = connect(&server);
    assert_eq!(values(&vanishes.call("GET", "/topics/t/consume?group=g&limit=4", None)), [0, 1, 2, 3]);
    drop(vanishes);
    assert_eq!(values(&client.call("GET", "/topics/t/consume?group=g", None)), [4, 5, 6, 7, 8, 9]);
    let commit = json!({"group": "g", "partition": 0, "offset": 10}).to_string();
    assert_eq!(client.call("POST", "/topics/t/offsets", Some(&commit)).status, 204);
    let mut kafka = server.connect();
    assert_eq!(kafka.committed_offset("g", "t", 0).committed_offset, -1, "nothing is done from the beginning on");
    // Waits for the lease to end, inside of the request.
    assert_eq!(values(&client.call("GET", "/topics/t/consume?group=g&wait_ms=10000", None)), [0, 1, 2, 3]);
    let commit = json!({"group": "g", "partition": 0, "offset": 4}).to_string();
    assert_eq!(client.call("POST", "/topics/t/offsets", Some(&commit)).status, 204);
    assert_eq!(kafka.committed_offset("g", "t", 0).committed_offset, 10);
}

#[test]
fn an_address_that_was_asked_for_is_insisted_on() {
    let taken = launch().start();
    let other = launch().set("http.listen", &taken.banner_address("http").to_string()).refused();
    assert!(other.error_lines().iter().any(|line| line.contains("http.listen")));
}

#[test]
fn a_lease_over_records_that_compaction_has_removed_holds_nobody_up() {
    let server = launch().set("http.consume_lease_ms", "300").set("log.cleaner.backoff.ms", "10").start();
    let settings = [("cleanup.policy", "compact"), ("segment.bytes", "14"), ("min.cleanable.dirty.ratio", "0")];
    let mut kafka = server.connect();
    let topic = kafka.create_topic("leased", 1, &settings);
    let put = |kafka: &mut Client, value: i32| {
        let batch = Batch::of(&[]).record(now_ms(), Some(b"k"), Some(value.to_string().as_bytes()));
        kafka.produced(&topic, 0, batch.build());
    };
    let path = format!("/topics/{}/consume?group=g&limit=1", topic.name);
    put(&mut kafka, 0);
    assert_eq!(connect(&server).call("GET", &path, None).json()["records"].as_array().map(Vec::len), Some(1));
    for value in 1..10 {
        put(&mut kafka, value);
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while kafka.read_all(&topic, 0).iter().map(|batch| batch.records.len()).sum::<usize>() > 2 {
        assert!(Instant::now() < deadline, "nothing was compacted");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(400));
    let mut client = connect(&server);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        assert!(Instant::now() < deadline, "only {seen:?} was handed out");
        let answer = client.call("GET", &path, None).json();
        seen.extend(answer["records"].as_array().into_iter().flatten().map(|one| one["offset"].to_string()));
    }
    assert_eq!(seen, ["8", "9"]);
}
