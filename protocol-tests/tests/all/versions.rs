//! Goal: every key at every version is answered, and what is not there is refused without losing the connection.
//! Method: walk the samples over one connection per key, and ask for versions and keys beyond them.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::{
    ApiVersionsRequest, DescribeClusterRequest, FetchRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    ListGroupsRequest, MetadataRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::{HeaderVersion, Request};
use protocol_tests::client::Failure;
use protocol_tests::frame;
use protocol_tests::samples::SAMPLES;
use protocol_tests::server::Server;
use protocol_tests::two_phase::InitTwoPhase;

const API_VERSIONS: i16 = 18;
const PRODUCE: i16 = 0;

#[test]
fn unknown_api_versions_version_gets_version_0_format_with_the_range_of_key_18() {
    let server = Server::shared();
    let mut client = server.connect();
    for version in [5, 6, 99, i16::MAX] {
        // The body of version 4, behind a flexible header, as any future client would send it.
        let body = [1, 1, 0];
        client.send_raw(&frame::with_header(API_VERSIONS, version, 2, 77, &body)).unwrap();
        let frame = client.read_frame().unwrap_or_else(|failure| panic!("ApiVersions {version}: {failure}"));
        let (correlation_id, response) = frame::response::<ApiVersionsRequest>(frame, 0).expect("the format of version 0");
        assert_eq!(correlation_id, 77);
        assert_eq!(response.error_code.err(), Some(ResponseError::UnsupportedVersion), "version {version}");
        let own = response.api_keys.iter().find(|row| row.api_key == API_VERSIONS).expect("the row of key 18");
        assert_eq!((own.min_version, own.max_version), (0, 4));
    }
    client.assert_alive("an unknown version of ApiVersions");
}

#[test]
fn produce_below_version_3_is_refused_and_the_connection_lives() {
    let server = Server::shared();
    let mut client = server.connect();
    for version in [0i16, 1, 2] {
        // acks, time-out and no topics: the body of versions 0 to 2.
        let body = [0, 1, 0, 0, 0, 100, 0, 0, 0, 0];
        client.send_raw(&frame::with_header(PRODUCE, version, 1, 5, &body)).unwrap();
        let frame = client.read_frame().unwrap_or_else(|failure| panic!("Produce {version}: {failure}"));
        assert_eq!(frame.get(..4), Some(&5i32.to_be_bytes()[..]), "the answer names the request");
        client.assert_alive("Produce below version 3");
    }
}

/// Nobody waits for an answer, and the records are not kept: the end of the connection says so.
#[test]
fn produce_below_version_3_with_acks_0_ends_the_connection() {
    let server = Server::shared();
    let mut client = server.connect();
    let body = [0, 0, 0, 0, 0, 100, 0, 0, 0, 0];
    client.send_raw(&frame::with_header(PRODUCE, 2, 1, 6, &body)).unwrap();
    assert!(matches!(client.read_frame(), Err(Failure::Closed)));
}

#[test]
fn an_unsupported_version_of_any_key_keeps_the_connection() {
    let server = Server::shared();
    for sample in SAMPLES.iter().filter(|sample| sample.key != API_VERSIONS) {
        let mut client = server.connect();
        let below = (sample.min > 0 && sample.key != PRODUCE).then_some(sample.min - 1);
        for version in [Some(sample.max + 1), Some(99), Some(i16::MAX), below].into_iter().flatten() {
            // A body that is none: nobody can know how to read it, so nobody may try.
            let header_version = if version > sample.max { 2 } else { 1 };
            client.send_raw(&frame::with_header(sample.key, version, header_version, 41, &[0xff; 32])).unwrap();
            let frame = client.read_frame().unwrap_or_else(|failure| panic!("{} {version}: {failure}", sample.name));
            let answered = (sample.decode)(frame, sample.max).unwrap_or_else(|what| panic!("{} {version}: {what}", sample.name));
            assert_eq!(answered, 41, "{} {version}", sample.name);
            client.assert_alive(sample.name);
        }
    }
}

/// The error code at the top of the answer to version `max + 1` of `R`, which comes in the format of `max`.
fn refusal<R: Request>(server: &Server, code: fn(&R::Response) -> i16) {
    let mut client = server.connect();
    let (version, header_version) = (R::VERSIONS.max + 1, <R as HeaderVersion>::header_version(R::VERSIONS.max));
    client.send_raw(&frame::with_header(R::KEY, version, header_version, 1, &[])).unwrap();
    let frame = client.read_frame().unwrap_or_else(|failure| panic!("key {}: {failure}", R::KEY));
    let (_, response) = frame::response::<R>(frame, R::VERSIONS.max).expect("the format of the highest version");
    assert_eq!(code(&response).err(), Some(ResponseError::UnsupportedVersion), "key {}", R::KEY);
}

#[test]
fn an_unsupported_version_is_named_where_the_answer_has_an_error_code_of_its_own() {
    let server = Server::shared();
    refusal::<FetchRequest>(&server, |response| response.error_code);
    refusal::<MetadataRequest>(&server, |response| response.error_code);
    refusal::<JoinGroupRequest>(&server, |response| response.error_code);
    refusal::<SyncGroupRequest>(&server, |response| response.error_code);
    refusal::<HeartbeatRequest>(&server, |response| response.error_code);
    refusal::<LeaveGroupRequest>(&server, |response| response.error_code);
    refusal::<ListGroupsRequest>(&server, |response| response.error_code);
    refusal::<InitTwoPhase>(&server, |response| response.error_code);
    refusal::<DescribeClusterRequest>(&server, |response| response.error_code);
}

#[test]
fn an_unknown_key_is_answered_or_closed_quietly_and_the_server_lives() {
    let server = Server::shared();
    let known = server.connect().advertised();
    // Keys of brokers among themselves, of later Kafkas, and of nobody.
    for key in [4i16, 7, 52, 59, 77, 94, 200, 999, i16::MAX, -1, i16::MIN] {
        if known.contains_key(&key) {
            continue;
        }
        let mut client = server.connect();
        for header_version in [1, 2] {
            // What it answers, if anything, has no format that a client could know.
            let _ = client.send_raw(&frame::with_header(key, 0, header_version, 9, &[0; 16]));
        }
        client.finish_sending();
        while client.read_frame().is_ok() {}
        server.connect().assert_alive("an unknown key");
    }
}

#[test]
fn advertised_keys_and_versions_are_all_that_the_messages_have() {
    let server = Server::shared();
    let advertised = server.connect().advertised();
    for sample in SAMPLES {
        // librdkafka turns compression off when Produce is not listed from version 0 on (KAFKA-18659).
        let min = if sample.key == PRODUCE { 0 } else { sample.min };
        // A server without a plug-in for clients' metrics does not tell clients that they could send some.
        let expected = sample.listed.then_some((min, sample.max));
        assert_eq!(advertised.get(&sample.key).copied(), expected, "{}", sample.name);
    }
    let sampled: Vec<i16> = SAMPLES.iter().map(|sample| sample.key).collect();
    let unknown: Vec<_> = advertised.keys().filter(|key| !sampled.contains(key)).collect();
    assert!(unknown.is_empty(), "advertised, but without a sample in protocol-tests/src/samples.rs: {unknown:?}");
}

#[test]
fn every_version_of_api_versions_lists_the_same_keys() {
    let server = Server::shared();
    let mut client = server.connect();
    let all = client.advertised();
    for version in 0..=4 {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(frame::text("protocol-tests"))
            .with_client_software_version(frame::text("1.0"));
        let response = client.call(version, &request);
        assert_eq!(response.error_code.err(), None, "version {version}");
        assert_eq!(response.api_keys.len(), all.len(), "version {version}");
    }
}

#[test]
fn every_key_answers_an_empty_and_a_filled_request_at_every_version() {
    let server = Server::shared();
    for sample in SAMPLES {
        let mut client = server.connect();
        for version in sample.min..=sample.max {
            for (kind, request) in [("empty", sample.empty), ("filled", sample.filled)] {
                client.send_raw(&request(i32::from(version) + 1, version)).unwrap();
                let frame = client.read_frame().unwrap_or_else(|failure| panic!("{} {version}, {kind}: {failure}", sample.name));
                let answered =
                    (sample.decode)(frame, version).unwrap_or_else(|what| panic!("{} {version}, {kind}: {what}", sample.name));
                assert_eq!(answered, i32::from(version) + 1, "{} {version}, {kind}", sample.name);
            }
        }
        client.assert_alive(sample.name);
    }
}

#[test]
fn pipelined_requests_of_all_keys_are_answered_in_order() {
    let server = Server::shared();
    let mut client = server.connect();
    let asked: Vec<_> = SAMPLES.iter().flat_map(|sample| [(sample, sample.min), (sample, sample.max)]).collect();
    for (index, (sample, version)) in asked.iter().enumerate() {
        client.send_raw(&(sample.filled)(i32::try_from(index).unwrap(), *version)).unwrap();
    }
    for (index, (sample, version)) in asked.iter().enumerate() {
        let frame = client.read_frame().unwrap_or_else(|failure| panic!("{} {version}: {failure}", sample.name));
        let answered = (sample.decode)(frame, *version).unwrap_or_else(|what| panic!("{} {version}: {what}", sample.name));
        assert_eq!(answered, i32::try_from(index).unwrap(), "{} {version}", sample.name);
    }
}
