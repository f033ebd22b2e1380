//! Goal: what was acknowledged before a stop, clean or sudden, is there after it, and a stop is quick.
//! Method: one server, its own directory, stopped and started under different circumstances. The long version is `kill`.

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{DescribeConfigsRequest, FetchRequest, ProduceRequest};
use protocol_tests::batch::Batch;
use protocol_tests::client::Failure;
use protocol_tests::frame::text;
use protocol_tests::records::{FETCH_BY_NAME, Fetch, PRODUCE_BY_NAME, only_produced, produce_request, values};
use protocol_tests::server::{Launch, Server};
use std::time::Duration;

/// A clean stop takes less than this, whatever else runs on the machine. (The goal for an idle server is one second.)
const STOP_MAX: Duration = Duration::from_secs(5);

fn batch(value: &str) -> bytes::Bytes {
    Batch::of(&[value]).build()
}

#[test]
fn sigterm_ends_an_idle_server_with_0() {
    let mut server = Server::start();
    let mut idle = server.connect();
    idle.assert_alive("the start");
    let exit = server.terminate();
    println!("an idle server stopped in {:?}", exit.took);
    assert_eq!(exit.status.code(), Some(0), "{}", exit.stderr);
    assert!(exit.took < STOP_MAX, "{:?}", exit.took);
    assert!(idle.is_closed_quietly(), "idle connections are closed with a FIN");
}

#[test]
fn sighup_ends_it_as_sigterm_does() {
    let mut server = Launch::new().hears_hangup(true).start();
    server.hang_up();
    let exit = server.ended();
    assert_eq!(exit.status.code(), Some(0), "{}", exit.stderr);
}

#[test]
fn sighup_is_ignored_by_a_server_that_was_started_so() {
    let mut server = Launch::new().hears_hangup(false).start();
    server.hang_up();
    // One that stops takes no new connections, at once; a while is given to the signal.
    for _ in 0..20 {
        server.connect().assert_alive("a hang-up");
        std::thread::sleep(Duration::from_millis(10));
    }
    let exit = server.terminate();
    assert_eq!(exit.status.code(), Some(0), "{}", exit.stderr);
}

#[test]
fn sigterm_does_not_wait_for_those_who_wait() {
    let mut server = Server::start();
    let mut client = server.connect();
    let topic = client.create_topic("waits", 1, &[]);
    client.send(FETCH_BY_NAME, &Fetch::of(&topic, 0, 0).waiting(60_000, 1).request()).unwrap();
    let exit = server.terminate();
    assert_eq!(exit.status.code(), Some(0), "{}", exit.stderr);
    assert!(exit.took < STOP_MAX, "a long poll held the stop up: {:?}", exit.took);
    // The fetch is either answered or closed, but not left hanging.
    assert!(!matches!(client.read_frame(), Err(Failure::TimedOut)));
}

#[test]
fn produces_in_flight_at_sigterm_are_answered_or_lost_but_never_answered_and_lost() {
    let mut server = Server::start();
    let mut client = server.connect();
    let topic = client.create_topic("drain", 1, &[]);
    let sent: Vec<i32> = (0..200)
        .map(|index| client.send(PRODUCE_BY_NAME, &produce_request(&topic, 0, -1, batch(&index.to_string()))).unwrap())
        .collect();
    let exit = server.terminate();
    assert_eq!(exit.status.code(), Some(0), "{}", exit.stderr);
    let mut acknowledged = 0;
    for correlation_id in sent {
        match client.receive::<ProduceRequest>(PRODUCE_BY_NAME, correlation_id) {
            Ok(response) => {
                assert_eq!(only_produced(response).error_code.err(), None);
                acknowledged += 1;
            }
            Err(Failure::Closed) => break,
            Err(failure) => panic!("{failure}"),
        }
    }
    server.restart();
    let read = values(&server.connect().read_all(&topic, 0));
    assert!(read.len() >= acknowledged, "{acknowledged} were acknowledged, {} are there", read.len());
    let wanted: Vec<String> = (0..read.len()).map(|index| index.to_string()).collect();
    assert_eq!(read, wanted, "in order and without gaps");
}

#[test]
fn topics_ids_configs_and_records_survive_clean_and_sudden_restarts() {
    let mut server = Launch::new().set("num.partitions", "3").start();
    let mut client = server.connect();
    let cluster = client.metadata(&[], false).cluster_id;
    let deleted = client.create_topic("deleted", 1, &[]);
    let kept = client.create_topic("kept", 2, &[("retention.ms", "-1")]);
    client.produced(&deleted, 0, batch("gone"));
    client.delete_topic(&deleted);
    let mut wanted: Vec<String> = Vec::new();
    for round in 0..4i32 {
        let mut client = server.connect();
        for index in 0..10 {
            let value = format!("{round}-{index}");
            assert_eq!(client.produced(&kept, 1, batch(&value)), i64::from(round * 10 + index), "offsets go on");
            wanted.push(value);
        }
        if round % 2 == 0 {
            server.kill9();
        } else {
            assert_eq!(server.terminate().status.code(), Some(0));
        }
        server.restart();
        let mut client = server.connect();
        assert_eq!(client.metadata(&[], false).cluster_id, cluster, "the cluster is the same");
        let metadata = client.topic_metadata(&kept.name);
        assert_eq!((metadata.error_code.err(), metadata.topic_id, metadata.partitions.len()), (None, kept.id, 2));
        assert_ne!(client.topic_metadata(&deleted.name).error_code, 0, "deleted is deleted");
        assert_eq!(values(&client.read_all(&kept, 1)), wanted);
        assert!(client.read_all(&kept, 0).is_empty());
        let resource = DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(&kept.name))
            .with_configuration_keys(Some(vec![text("retention.ms")]));
        let configs = client.call(4, &DescribeConfigsRequest::default().with_resources(vec![resource]));
        assert_eq!(configs.results[0].configs[0].value.as_deref(), Some("-1"));
    }
}

#[test]
fn a_server_that_died_while_it_recovered_recovers_the_next_time() {
    let mut server = Server::start();
    let mut client = server.connect();
    let topic = client.create_topic("recovers", 1, &[]);
    for index in 0..50 {
        client.produced(&topic, 0, batch(&index.to_string()));
    }
    server.kill9();
    for ms in [0, 1, 3, 5, 10, 20, 40, 80] {
        server.start_and_kill9(Duration::from_millis(ms));
    }
    server.restart();
    let mut client = server.connect();
    assert_eq!(client.read_all(&topic, 0).len(), 50);
    assert_eq!(client.produced(&topic, 0, batch("next")), 50);
}

#[test]
fn the_same_port_can_be_taken_again_at_once() {
    let mut server = Server::start();
    let address = server.address();
    let mut connected: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for client in &mut connected {
        client.assert_alive("the start");
    }
    server.kill9();
    server.restart_on_same_port();
    assert_eq!(server.address(), address);
    server.connect().assert_alive("a restart on the same port");
}

#[test]
fn consumers_that_hold_old_sessions_are_told_to_start_anew() {
    let mut server = Server::start();
    let mut client = server.connect();
    let topic = client.create_topic("sessions", 1, &[]);
    let full = client.call(FETCH_BY_NAME, &Fetch::of(&topic, 0, 0).in_session(0, 0).request());
    assert_ne!(full.session_id, 0);
    server.kill9();
    server.restart();
    let mut client = server.connect();
    let request: FetchRequest = Fetch::of(&topic, 0, 0).unchanged().in_session(full.session_id, 1).request();
    let response = client.call(FETCH_BY_NAME, &request);
    assert_eq!(response.error_code.err(), Some(kafka_protocol::ResponseError::FetchSessionIdNotFound));
}

#[test]
fn an_ephemeral_server_serves_and_keeps_nothing() {
    let mut server = Launch::new().ephemeral().start();
    let mut client = server.connect();
    let topic = client.create_topic("fleeting", 1, &[]);
    assert_eq!(client.produced(&topic, 0, batch("a")), 0);
    assert_eq!(values(&client.read_all(&topic, 0)), ["a"]);
    assert_eq!(server.terminate().status.code(), Some(0));
    assert!(!server.data().exists(), "no directory was made");
    server.restart();
    assert_ne!(server.connect().topic_metadata(&topic.name).error_code, 0);
}
