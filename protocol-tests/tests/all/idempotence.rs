//! Goal: an idempotent producer's retries are recognised, its gaps refused, its older self fenced: before and after a crash
//! (KIP-98; ProducerStateManager keeps five batches per producer and partition).
//! Method: batches with chosen producer ids, epochs and sequences, and a look at the answers and at the log.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::InitProducerIdRequest;
use protocol_tests::batch::Batch;
use protocol_tests::client::Client;
use protocol_tests::server::Server;
use protocol_tests::topics::Topic;
use std::collections::BTreeSet;

/// Produces `count` records of producer `id` at `epoch` from `sequence` on: error and base offset.
fn send(client: &mut Client, topic: &Topic, id: i64, epoch: i16, sequence: i32, count: usize) -> (Option<ResponseError>, i64) {
    let batch = Batch::of(&vec!["x"; count]).idempotent(id, epoch, sequence).build();
    let answer = client.produce(topic, 0, batch);
    (answer.error_code.err(), answer.base_offset)
}

#[test]
fn a_gap_in_the_sequence_is_refused() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("gap", 1, &[]);
    let (id, epoch) = client.producer_id();
    assert_eq!(send(&mut client, &topic, id, epoch, 0, 3), (None, 0));
    for sequence in [4, 100, i32::MAX] {
        let (error, _) = send(&mut client, &topic, id, epoch, sequence, 1);
        assert_eq!(error, Some(ResponseError::OutOfOrderSequenceNumber), "sequence {sequence} after 2");
    }
    assert_eq!(send(&mut client, &topic, id, epoch, 3, 1), (None, 3), "the right one is still taken");
}

#[test]
fn an_older_epoch_is_fenced_and_a_newer_one_starts_at_0() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("epochs", 1, &[]);
    let (id, _) = client.producer_id();
    assert_eq!(send(&mut client, &topic, id, 1, 0, 1), (None, 0));
    assert_eq!(send(&mut client, &topic, id, 0, 1, 1).0, Some(ResponseError::InvalidProducerEpoch));
    assert_eq!(
        send(&mut client, &topic, id, 2, 1, 1).0,
        Some(ResponseError::OutOfOrderSequenceNumber),
        "a new epoch starts at 0"
    );
    assert_eq!(send(&mut client, &topic, id, 2, 0, 1), (None, 1));
    assert_eq!(send(&mut client, &topic, id, 1, 1, 1).0, Some(ResponseError::InvalidProducerEpoch));
}

#[test]
fn a_duplicate_of_any_of_the_last_five_batches_gets_its_original_offset() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("duplicates", 1, &[]);
    let (id, epoch) = client.producer_id();
    for batch in 0..6 {
        assert_eq!(send(&mut client, &topic, id, epoch, batch * 2, 2), (None, i64::from(batch) * 2));
    }
    for batch in (1..6).rev() {
        assert_eq!(send(&mut client, &topic, id, epoch, batch * 2, 2), (None, i64::from(batch) * 2), "batch {batch} again");
    }
    assert_eq!(client.end_offset(&topic, 0), 12, "no duplicate was written");
    let (error, _) = send(&mut client, &topic, id, epoch, 0, 2);
    let beyond = [Some(ResponseError::OutOfOrderSequenceNumber), Some(ResponseError::DuplicateSequenceNumber)];
    assert!(beyond.contains(&error), "the sixth last batch is forgotten: {error:?}");
    assert_eq!(client.end_offset(&topic, 0), 12);
}

#[test]
fn a_batch_that_overlaps_a_known_one_is_no_duplicate() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("overlap", 1, &[]);
    let (id, epoch) = client.producer_id();
    assert_eq!(send(&mut client, &topic, id, epoch, 0, 4), (None, 0));
    for (sequence, count) in [(0, 3), (1, 3), (2, 4)] {
        let (error, _) = send(&mut client, &topic, id, epoch, sequence, count);
        assert!(error.is_some(), "{count} records from sequence {sequence} are neither old nor new");
    }
    assert_eq!(client.end_offset(&topic, 0), 4);
}

#[test]
fn a_duplicate_in_flight_waits_for_the_original() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("in-flight", 1, &[]);
    let (id, epoch) = client.producer_id();
    let batch = Batch::of(&["once"]).idempotent(id, epoch, 0).build();
    let request = protocol_tests::records::produce_request(&topic, 0, -1, batch);
    let version = protocol_tests::records::PRODUCE_BY_NAME;
    let sent: Vec<i32> = (0..5).map(|_| client.send(version, &request).unwrap()).collect();
    for correlation_id in sent {
        let response = client.receive::<kafka_protocol::messages::ProduceRequest>(version, correlation_id).unwrap();
        let answer = protocol_tests::records::only_produced(response);
        assert_eq!((answer.error_code.err(), answer.base_offset), (None, 0));
    }
    assert_eq!(client.end_offset(&topic, 0), 1);
}

#[test]
fn an_unknown_producer_may_start_anywhere_and_sequences_wrap_to_0() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("wrap", 1, &[]);
    let (id, epoch) = client.producer_id();
    assert_eq!(send(&mut client, &topic, id, epoch, i32::MAX - 1, 2), (None, 0), "its records may have expired (KIP-360)");
    assert_eq!(send(&mut client, &topic, id, epoch, 0, 1), (None, 2), "0 follows the largest sequence");
    let (other, epoch) = client.producer_id();
    assert_eq!(send(&mut client, &topic, other, epoch, i32::MAX - 1, 4), (None, 3), "a batch may lie across the wrap");
    assert_eq!(send(&mut client, &topic, other, epoch, 2, 1), (None, 7));
    assert_eq!(send(&mut client, &topic, other, epoch, i32::MAX - 1, 4), (None, 3), "and be recognised");
}

#[test]
fn producer_ids_are_unique_even_across_a_crash() {
    let mut server = Server::start();
    let mut seen = BTreeSet::new();
    for round in 0..4 {
        let mut client = server.connect();
        for version in 0..=5 {
            let response = client.call(version, &InitProducerIdRequest::default().with_transactional_id(None));
            assert_eq!((response.error_code.err(), response.producer_epoch), (None, 0), "version {version}");
            assert!(seen.insert(response.producer_id.0), "round {round}: {:?} was given before", response.producer_id);
        }
        server.kill9();
        server.restart();
    }
}

#[test]
fn what_is_known_of_producers_survives_clean_and_sudden_restarts() {
    let mut server = Server::start();
    let mut client = server.connect();
    let topic = client.create_topic("producers", 1, &[]);
    let (id, epoch) = client.producer_id();
    let mut next = 0;
    for is_sudden in [true, false, true] {
        for _ in 0..6 {
            assert_eq!(send(&mut client, &topic, id, epoch, next, 1), (None, i64::from(next)));
            next += 1;
        }
        if is_sudden {
            server.kill9();
        } else {
            server.terminate();
        }
        server.restart();
        client = server.connect();
        for sequence in (next - 5..next).rev() {
            assert_eq!(
                send(&mut client, &topic, id, epoch, sequence, 1),
                (None, i64::from(sequence)),
                "a retry after the restart"
            );
        }
        let (error, _) = send(&mut client, &topic, id, epoch, next + 1, 1);
        assert_eq!(error, Some(ResponseError::OutOfOrderSequenceNumber), "a gap after the restart");
        assert_eq!(client.end_offset(&topic, 0), i64::from(next));
    }
    assert_eq!(send(&mut client, &topic, id, epoch + 1, 0, 1), (None, i64::from(next)));
    server.kill9();
    server.restart();
    client = server.connect();
    assert_eq!(
        send(&mut client, &topic, id, epoch, next, 1).0,
        Some(ResponseError::InvalidProducerEpoch),
        "epochs are remembered, too"
    );
}
