//! Goal: Fetch gives what is there, whole, within its limits, neither too early nor never (KIP-74, KIP-227, KIP-516).
//! Method: known batches, then requests that differ in offset, limits, patience and session. Times are only held against generous bounds.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::ForgottenTopic;
use kafka_protocol::messages::fetch_response::FetchResponse;
use protocol_tests::batch::Batch;
use protocol_tests::client::{Client, Failure, PATIENCE};
use protocol_tests::frame::topic_name;
use protocol_tests::http::HttpClient;
use protocol_tests::records::{FETCH_BY_ID, FETCH_BY_NAME, Fetch, batches, only_fetched, values};
use protocol_tests::server::{Launch, Server};
use protocol_tests::topics::{Topic, unique};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Longer than any answer takes that need not wait, shorter than a client's patience.
const LONG_WAIT_MS: i32 = 8_000;
/// An answer that had to wait out [`LONG_WAIT_MS`] takes longer than this.
const SOON: Duration = Duration::from_secs(6);

fn batch(value: &str) -> bytes::Bytes {
    Batch::of(&[value]).build()
}

#[test]
fn an_offset_outside_the_log_is_out_of_range_at_once() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("range", 1, &[]);
    client.produced(&topic, 0, Batch::of(&["a", "b"]).build());
    let started = Instant::now();
    for offset in [3, 100, i64::MAX, -1, -2, i64::MIN] {
        let answer = client.fetch(&Fetch::of(&topic, 0, offset).waiting(LONG_WAIT_MS, 1));
        assert_eq!(answer.error_code.err(), Some(ResponseError::OffsetOutOfRange), "offset {offset}");
        assert!(batches(&answer).is_empty());
    }
    assert!(started.elapsed() < SOON, "an error is not waited for");
    let answer = client.fetch(&Fetch::of(&topic, 0, 2));
    assert_eq!((answer.error_code.err(), answer.high_watermark), (None, 2), "the end itself is where consumers wait");
}

#[test]
fn unknown_topics_and_partitions_are_answered_at_once() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("known", 1, &[]);
    let unknown = Topic { name: unique("unknown"), id: Uuid::from_u128(7) };
    let started = Instant::now();
    for fetch in [Fetch::of(&unknown, 0, 0), Fetch::of(&topic, 1, 0), Fetch::of(&topic, -1, 0), Fetch::of(&topic, i32::MAX, 0)] {
        let answer = client.fetch(&fetch.waiting(LONG_WAIT_MS, 1));
        assert_eq!(answer.error_code.err(), Some(ResponseError::UnknownTopicOrPartition));
    }
    for id in [Uuid::from_u128(7), Uuid::nil()] {
        let unknown = Topic { name: String::new(), id };
        let response = client.call(FETCH_BY_ID, &Fetch::of(&unknown, 0, 0).waiting(LONG_WAIT_MS, 1).request());
        assert_eq!(only_fetched(response).error_code.err(), Some(ResponseError::UnknownTopicId));
    }
    assert!(started.elapsed() < SOON);
}

/// A consumer of a hundred quiet partitions must not ask without a pause because one of them was deleted.
#[test]
fn a_partition_that_does_not_exist_lets_the_others_wait() {
    let server = Server::shared();
    let (mut client, mut producer) = (server.connect(), server.connect());
    let topic = client.create_topic("waits", 1, &[]);
    let mut fetch = Fetch::of(&topic, 0, 0).waiting(LONG_WAIT_MS, 1);
    fetch.partitions.push(Fetch::of(&topic, 7, 0).partitions.remove(0));
    let request = fetch.request();
    let sent = client.send(FETCH_BY_NAME, &request).expect("sent");
    // Were it answered at once, the answer would be made before there is anything.
    std::thread::sleep(Duration::from_millis(300));
    producer.produced(&topic, 0, batch("awaited"));
    let response: FetchResponse = client.receive::<FetchRequest>(FETCH_BY_NAME, sent).expect("answered");
    let answers = &response.responses[0].partitions;
    assert_eq!(
        answers.iter().map(|one| one.error_code.err()).collect::<Vec<_>>(),
        [None, Some(ResponseError::UnknownTopicOrPartition)]
    );
    assert_eq!(values(&batches(&answers[0])), ["awaited"]);
}

#[test]
fn the_id_of_a_recreated_topic_is_unknown() {
    let server = Server::shared();
    let mut client = server.connect();
    let first = client.create_topic("recreated", 1, &[]);
    client.produced(&first, 0, batch("old"));
    client.delete_topic(&first);
    let second = client.create_topic_named(&first.name, 1, &[]);
    let answer = only_fetched(client.call(FETCH_BY_ID, &Fetch::of(&first, 0, 0).request()));
    assert_eq!(answer.error_code.err(), Some(ResponseError::UnknownTopicId));
    let answer = only_fetched(client.call(FETCH_BY_ID, &Fetch::of(&second, 0, 0).request()));
    assert_eq!((answer.error_code.err(), answer.high_watermark), (None, 0), "nothing of the old one is left");
}

#[test]
fn a_leader_epoch_that_is_not_the_current_one_is_told() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("epoch", 1, &[]);
    let current = client.topic_metadata(&topic.name).partitions[0].leader_epoch;
    let mut fetch = Fetch::of(&topic, 0, 0);
    fetch.partitions[0].current_leader_epoch = current + 1;
    assert_eq!(client.fetch(&fetch).error_code.err(), Some(ResponseError::UnknownLeaderEpoch));
    fetch.partitions[0].current_leader_epoch = current;
    assert_eq!(client.fetch(&fetch).error_code.err(), None);
}

#[test]
fn an_offset_inside_a_batch_gets_the_whole_batch() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("inside", 1, &[]);
    client.produced(&topic, 0, Batch::of(&["a", "b", "c"]).build());
    client.produced(&topic, 0, Batch::of(&["d", "e", "f"]).build());
    for (offset, wanted) in [(0, 0), (1, 0), (2, 0), (3, 3), (4, 3), (5, 3)] {
        let read = batches(&client.fetch(&Fetch::of(&topic, 0, offset)));
        assert_eq!(read.first().map(|batch| batch.base_offset), Some(wanted), "from offset {offset}");
        assert_eq!(read.last().map(|batch| batch.last_offset), Some(5), "from offset {offset}");
    }
}

#[test]
fn the_first_batch_comes_whatever_its_size_and_later_ones_keep_the_limits() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("limits", 2, &[]);
    for partition in [0, 1] {
        for _ in 0..10 {
            client.produced(&topic, partition, Batch::of_bytes(1000).build());
        }
    }
    let size = Batch::of_bytes(1000).build().len();
    for (max_bytes, partition_max_bytes, wanted) in
        [(1, 1, 1), (1 << 20, 1, 1), (1 << 20, 3500, 3), (3500, 1 << 20, 3), (0, 0, 1)]
    {
        let answer = client.fetch(&Fetch::of(&topic, 0, 2).at_most(max_bytes, partition_max_bytes));
        let read = batches(&answer);
        assert_eq!(read.len(), wanted, "max_bytes {max_bytes}, partition_max_bytes {partition_max_bytes}, batches of {size}");
        assert_eq!(read[0].base_offset, 2);
    }
    // Over several partitions only the very first batch may exceed what the request allows in all.
    for (max_bytes, wanted) in [(1, 1), (2 * i32::try_from(size).unwrap() + 10, 2), (1 << 20, 20)] {
        let request = Fetch::of(&topic, 0, 0).and(1, 0).at_most(max_bytes, 1 << 20).request();
        let response = client.call(FETCH_BY_NAME, &request);
        let read: usize = response.responses[0].partitions.iter().map(|partition| batches(partition).len()).sum();
        assert_eq!(read, wanted, "max_bytes {max_bytes} over two partitions");
    }
}

#[test]
fn an_empty_fetch_waits_as_long_as_it_was_told() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("patient", 1, &[]);
    let started = Instant::now();
    let answer = client.fetch(&Fetch::of(&topic, 0, 0).waiting(600, 1));
    assert_eq!((answer.error_code.err(), batches(&answer).len()), (None, 0));
    let waited = started.elapsed();
    assert!((Duration::from_millis(550)..PATIENCE).contains(&waited), "waited {waited:?} instead of 600 ms");
    let started = Instant::now();
    for fetch in [Fetch::of(&topic, 0, 0).waiting(LONG_WAIT_MS, 0), Fetch::of(&topic, 0, 0).waiting(0, 1)] {
        client.fetch(&fetch);
    }
    assert!(started.elapsed() < SOON, "no minimum, or no patience: no wait");
}

#[test]
fn a_waiting_fetch_wakes_when_a_record_comes() {
    let server = Server::shared();
    let (mut consumer, mut producer) = (server.connect(), server.connect());
    let topic = producer.create_topic("wakes", 3, &[]);
    for partition in 0..3 {
        let started = Instant::now();
        let fetch = Fetch::of(&topic, 0, i64::from(partition > 0)).and(1, i64::from(partition > 1)).and(2, 0);
        let request = fetch.waiting(LONG_WAIT_MS, 1).request();
        let waiting = consumer.send(FETCH_BY_NAME, &request).unwrap();
        producer.produced(&topic, partition, batch("wake up"));
        let response = consumer.receive::<FetchRequest>(FETCH_BY_NAME, waiting).unwrap();
        let found: Vec<i32> = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partitions)
            .filter(|partition| !batches(partition).is_empty())
            .map(|partition| partition.partition_index)
            .collect();
        assert_eq!(found, [partition]);
        assert!(started.elapsed() < SOON);
    }
}

#[test]
fn a_waiting_fetch_waits_for_its_minimum() {
    let server = Server::shared();
    let (mut consumer, mut producer) = (server.connect(), server.connect());
    let topic = producer.create_topic("minimum", 2, &[]);
    let request = Fetch::of(&topic, 0, 0).and(1, 0).waiting(LONG_WAIT_MS, 3000).request();
    let waiting = consumer.send(FETCH_BY_NAME, &request).unwrap();
    producer.produced(&topic, 0, Batch::of_bytes(1000).build());
    consumer.set_patience(Duration::from_millis(300));
    assert!(matches!(consumer.read_frame(), Err(Failure::TimedOut)), "1000 bytes are not 3000");
    consumer.set_patience(PATIENCE);
    producer.produced(&topic, 1, Batch::of_bytes(1000).build());
    producer.produced(&topic, 0, Batch::of_bytes(1000).build());
    let response = consumer.receive::<FetchRequest>(FETCH_BY_NAME, waiting).unwrap();
    let bytes: usize =
        response.responses[0].partitions.iter().map(|partition| partition.records.as_ref().map_or(0, bytes::Bytes::len)).sum();
    assert!(bytes >= 3000, "{bytes} bytes");
}

#[test]
fn a_connection_that_goes_away_while_waiting_leaves_the_server_well() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("gone", 1, &[]);
    for _ in 0..20 {
        let mut waiting = server.connect();
        waiting.send(FETCH_BY_NAME, &Fetch::of(&topic, 0, 0).waiting(i32::MAX, i32::MAX).request()).unwrap();
    }
    assert_eq!(client.produced(&topic, 0, batch("a")), 0);
    client.assert_alive("waiting fetches of connections that are gone");
}

#[test]
fn every_version_reads_the_same() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("versions", 1, &[]);
    client.produced(&topic, 0, Batch::of(&["a", "b"]).build());
    for version in 4..=18 {
        for isolation_level in [0, 1] {
            let mut fetch = Fetch::of(&topic, 0, 0);
            fetch.isolation_level = isolation_level;
            let response = client.call(version, &fetch.request());
            assert_eq!(response.session_id, 0, "version {version}: no session was asked for");
            let answer = only_fetched(response);
            assert_eq!(answer.error_code.err(), None, "version {version}");
            assert_eq!((answer.high_watermark, answer.last_stable_offset), (2, 2), "version {version}");
            assert_eq!(values(&batches(&answer)), ["a", "b"], "version {version}");
            let aborted = answer.aborted_transactions.unwrap_or_default();
            assert!(aborted.is_empty(), "version {version}: nothing was aborted");
        }
    }
}

#[test]
fn a_consumer_far_behind_catches_up_in_order() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("behind", 1, &[]);
    for round in 0..50 {
        let names: Vec<String> = (0..20).map(|index| (round * 20 + index).to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        client.produced(&topic, 0, Batch::of(&names).build());
    }
    let mut read = Vec::new();
    while read.len() < 1000 {
        let next = i64::try_from(read.len()).unwrap();
        let answer = client.fetch(&Fetch::of(&topic, 0, next).at_most(700, 700));
        read.extend(values(&batches(&answer)));
    }
    let wanted: Vec<String> = (0..1000).map(|index| index.to_string()).collect();
    assert_eq!(read, wanted);
}

// Fetch sessions (KIP-227): the client names changes only, the server answers changes only.

fn in_session(client: &mut Client, fetch: &Fetch) -> FetchResponse {
    client.call(FETCH_BY_NAME, &fetch.request())
}

/// Starts a session over `fetch`'s partitions; its id.
fn start_session(client: &mut Client, fetch: Fetch) -> i32 {
    let response = in_session(client, &fetch.in_session(0, 0));
    assert_eq!(response.error_code.err(), None);
    assert_ne!(response.session_id, 0, "a session was asked for");
    response.session_id
}

/// Partition indexes in the answer, and how many batches each has.
fn answered(response: &FetchResponse) -> Vec<(i32, usize)> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| (partition.partition_index, batches(partition).len())).collect()
}

#[test]
fn an_unknown_session_and_a_wrong_epoch_are_told_apart() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("session-errors", 1, &[]);
    let response = in_session(&mut client, &Fetch::of(&topic, 0, 0).in_session(123_456_789, 1));
    assert_eq!(response.error_code.err(), Some(ResponseError::FetchSessionIdNotFound));
    let session = start_session(&mut client, Fetch::of(&topic, 0, 0));
    for epoch in [2, 100, i32::MAX] {
        let response = in_session(&mut client, &Fetch::of(&topic, 0, 0).unchanged().in_session(session, epoch));
        assert_eq!(response.error_code.err(), Some(ResponseError::InvalidFetchSessionEpoch), "epoch {epoch} instead of 1");
    }
    let response = in_session(&mut client, &Fetch::of(&topic, 0, 0).unchanged().in_session(session, 1));
    assert_eq!(response.error_code.err(), None, "the right epoch still works");
}

#[test]
fn a_closed_session_is_gone() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("session-closed", 1, &[]);
    let session = start_session(&mut client, Fetch::of(&topic, 0, 0));
    let response = in_session(&mut client, &Fetch::of(&topic, 0, 0).in_session(session, -1));
    assert_eq!((response.error_code.err(), response.session_id), (None, 0), "epoch -1 closes and fetches once more");
    let response = in_session(&mut client, &Fetch::of(&topic, 0, 0).unchanged().in_session(session, 1));
    assert_eq!(response.error_code.err(), Some(ResponseError::FetchSessionIdNotFound));
}

#[test]
fn an_incremental_fetch_answers_only_what_changed() {
    let server = Server::shared();
    let (mut client, mut producer) = (server.connect(), server.connect());
    let topic = producer.create_topic("session", 3, &[]);
    producer.produced(&topic, 0, batch("a"));
    let full = in_session(&mut client, &Fetch::of(&topic, 0, 0).and(1, 0).in_session(0, 0));
    assert_eq!(answered(&full), [(0, 1), (1, 0)], "a full fetch names every partition, empty or not");
    let session = full.session_id;
    // Partition 0 was read; nothing is new.
    let none = in_session(&mut client, &Fetch::of(&topic, 0, 1).in_session(session, 1).waiting(100, 1));
    assert_eq!((none.error_code.err(), answered(&none).len()), (None, 0));
    producer.produced(&topic, 1, batch("b"));
    let one = in_session(&mut client, &Fetch::of(&topic, 0, 0).unchanged().in_session(session, 2).waiting(LONG_WAIT_MS, 1));
    assert_eq!(answered(&one), [(1, 1)]);
    // Partition 2 is added, 1 moves on.
    producer.produced(&topic, 2, batch("c"));
    let added = in_session(&mut client, &Fetch::of(&topic, 1, 1).and(2, 0).in_session(session, 3).waiting(LONG_WAIT_MS, 1));
    assert_eq!(answered(&added), [(2, 1)]);
    // Partition 2 moves on, 0 is forgotten: what comes to it is not told any more.
    producer.produced(&topic, 0, batch("d"));
    producer.produced(&topic, 1, batch("e"));
    let forgotten =
        ForgottenTopic::default().with_topic(topic_name(&topic.name)).with_topic_id(topic.id).with_partitions(vec![0]);
    let request = Fetch::of(&topic, 2, 1).in_session(session, 4).waiting(LONG_WAIT_MS, 1).request();
    let response = client.call(FETCH_BY_NAME, &request.with_forgotten_topics_data(vec![forgotten]));
    assert_eq!(answered(&response), [(1, 1)]);
}

#[test]
fn an_incremental_fetch_without_news_waits() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("session-waits", 1, &[]);
    let session = start_session(&mut client, Fetch::of(&topic, 0, 0));
    let started = Instant::now();
    let response = in_session(&mut client, &Fetch::of(&topic, 0, 0).unchanged().in_session(session, 1).waiting(600, 1));
    assert_eq!((response.error_code.err(), answered(&response).len()), (None, 0));
    assert!(started.elapsed() >= Duration::from_millis(550), "answered at once: a consumer would spin");
    // And it wakes.
    let started = Instant::now();
    let fetch = Fetch::of(&topic, 0, 0).unchanged().in_session(session, 2).waiting(LONG_WAIT_MS, 1);
    let waiting = client.send(FETCH_BY_NAME, &fetch.request()).unwrap();
    server.connect().produced(&topic, 0, batch("news"));
    let response = client.receive::<FetchRequest>(FETCH_BY_NAME, waiting).unwrap();
    assert_eq!(answered(&response), [(0, 1)]);
    assert!(started.elapsed() < SOON);
}

#[test]
fn a_session_works_with_topic_ids() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("session-ids", 1, &[]);
    let full = client.call(FETCH_BY_ID, &Fetch::of(&topic, 0, 0).in_session(0, 0).request());
    assert_ne!(full.session_id, 0);
    client.produced(&topic, 0, batch("a"));
    let fetch = Fetch::of(&topic, 0, 0).unchanged().in_session(full.session_id, 1).waiting(LONG_WAIT_MS, 1);
    let response = client.call(FETCH_BY_ID, &fetch.request());
    assert_eq!(response.error_code.err(), None);
    assert_eq!(response.responses[0].topic_id, topic.id);
    assert_eq!(answered(&response), [(0, 1)]);
}

#[test]
fn more_sessions_than_there_is_room_for_still_get_their_records() {
    let server = Launch::new().set("max.incremental.fetch.session.cache.slots", "2").start();
    let topic = server.connect().create_topic("session-room", 1, &[]);
    server.connect().produced(&topic, 0, batch("a"));
    let mut sessions = Vec::new();
    for _ in 0..6 {
        let mut client = server.connect();
        let response = in_session(&mut client, &Fetch::of(&topic, 0, 0).in_session(0, 0));
        assert_eq!((response.error_code.err(), answered(&response)), (None, vec![(0, 1)]));
        sessions.push((client, response.session_id));
    }
    let mut alive = 0;
    for (client, session) in sessions.iter_mut().filter(|(_, session)| *session != 0) {
        let response = in_session(client, &Fetch::of(&topic, 0, 1).in_session(*session, 1));
        match response.error_code.err() {
            None => alive += 1,
            error => assert_eq!(error, Some(ResponseError::FetchSessionIdNotFound), "an evicted session is not found"),
        }
    }
    assert!((1..=2).contains(&alive), "{alive} sessions in two slots");
}

/// How often a read was answered with what the server had located before it was asked.
fn fetched_ahead(server: &Server) -> u64 {
    let shown = HttpClient::connect(server.banner_address("http")).call("GET", "/metrics", None).body;
    let shown = String::from_utf8(shown).expect("text");
    let line = shown.lines().find_map(|line| line.strip_prefix("fbf_fetched_ahead_total "));
    line.expect("it is counted").parse().expect("a number")
}

#[test]
fn what_is_looked_up_ahead_is_what_a_consumer_would_have_got() {
    // Nothing is answered from memory.
    let server = Launch::new().set("http.listen", "127.0.0.1:0").set("limits.tail_bytes", "0").start();
    let mut client = server.connect();
    let topic = client.create_topic("ahead", 2, &[]);
    let written: Vec<String> = (0..60).map(|n| format!("{n}-{}", "v".repeat(4_000))).collect();
    for value in &written {
        client.produced(&topic, 0, batch(value));
        client.produced(&topic, 1, batch(&format!("second-{value}")));
    }
    let began = Instant::now();
    while fetched_ahead(&server) == 0 {
        assert!(began.elapsed() < PATIENCE, "a consumer that goes on, and leaves time to look, gets what was found");
        let (mut next, mut read) = ([0, 0], [Vec::new(), Vec::new()]);
        while next != [60, 60] {
            let fetch = Fetch::of(&topic, 0, next[0]).and(1, next[1]).at_most(50_000, 30_000);
            let response = client.call(FETCH_BY_ID, &fetch.request());
            assert!(began.elapsed() < 3 * PATIENCE, "it goes on: {next:?}");
            for one in &response.responses[0].partitions {
                assert_eq!(one.error_code.err(), None);
                let partition = usize::try_from(one.partition_index).expect("a partition");
                let got = batches(one);
                assert!(got.first().is_none_or(|first| first.base_offset == next[partition]), "from where it was asked");
                next[partition] = got.last().map_or(next[partition], |last| last.last_offset + 1);
                read[partition].extend(values(&got));
            }
            // A consumer works on what it got.
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(read[0] == written, "every record once, in order");
        assert!(read[1].iter().map(|read| read.trim_start_matches("second-")).eq(&written));
    }
}
