//! Goal: ListOffsets finds both ends, the largest timestamp and the first record at or after a time; OffsetForLeaderEpoch finds the end.
//! Method: records with chosen timestamps, in one batch and in several, compressed and not (each of which other brokers got wrong).

use crate::transactions::{Producer, V1};
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::offset_for_leader_epoch_response::EpochEndOffset;
use kafka_protocol::messages::{ListOffsetsRequest, OffsetForLeaderEpochRequest};
use protocol_tests::batch::{Batch, Codec};
use protocol_tests::client::Client;
use protocol_tests::frame::topic_name;
use protocol_tests::later_versions::ListOffsets11;
use protocol_tests::now_ms;
use protocol_tests::server::Server;
use protocol_tests::topics::unique;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

fn request(topic: &str, partitions: Vec<ListOffsetsPartition>) -> ListOffsetsRequest {
    let topic = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(partitions);
    ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
}

fn ask(client: &mut Client, version: i16, topic: &str, partition: i32, timestamp: i64) -> ListOffsetsPartitionResponse {
    let asked = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(timestamp);
    let mut response = client.call(version, &request(topic, vec![asked]));
    response.topics.remove(0).partitions.remove(0)
}

/// Offset and timestamp at version 9, without error.
fn found(client: &mut Client, topic: &str, timestamp: i64) -> (i64, i64) {
    let answer = ask(client, 9, topic, 0, timestamp);
    assert_eq!(answer.error_code.err(), None, "asking for {timestamp}");
    (answer.offset, answer.timestamp)
}

#[test]
fn unknown_topics_partitions_and_epochs_are_told() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("list-errors", 1, &[]).name;
    for (name, partition) in [(unique("unknown").as_str(), 0), (topic.as_str(), 1), (topic.as_str(), -1)] {
        let answer = ask(&mut client, 7, name, partition, LATEST);
        assert_eq!(answer.error_code.err(), Some(ResponseError::UnknownTopicOrPartition), "{name}-{partition}");
        assert_eq!(answer.offset, -1);
    }
    let current = client.topic_metadata(&topic).partitions[0].leader_epoch;
    let ahead = ListOffsetsPartition::default().with_timestamp(LATEST).with_current_leader_epoch(current + 1);
    let response = client.call(7, &request(&topic, vec![ahead]));
    assert_eq!(response.topics[0].partitions[0].error_code.err(), Some(ResponseError::UnknownLeaderEpoch));
}

#[test]
fn a_partition_asked_for_twice_is_an_invalid_request() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("list-twice", 1, &[]).name;
    let asked = ListOffsetsPartition::default().with_timestamp(LATEST);
    let response = client.call(7, &request(&topic, vec![asked.clone(), asked]));
    for partition in &response.topics[0].partitions {
        assert_eq!(partition.error_code.err(), Some(ResponseError::InvalidRequest));
    }
}

#[test]
fn a_special_timestamp_that_the_version_does_not_know_is_unsupported() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("list-old", 1, &[]).name;
    for (version, timestamp) in
        [(6, MAX_TIMESTAMP), (7, EARLIEST_LOCAL), (8, LATEST_TIERED), (10, EARLIEST_PENDING_UPLOAD), (10, -42), (1, -42)]
    {
        let answer = ask(&mut client, version, &topic, 0, timestamp);
        assert_eq!(answer.error_code.err(), Some(ResponseError::UnsupportedVersion), "{timestamp} at version {version}");
    }
}

#[test]
fn an_empty_log_begins_and_ends_at_0_and_has_no_times() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("list-empty", 1, &[]).name;
    for timestamp in [LATEST, EARLIEST, EARLIEST_LOCAL] {
        assert_eq!(found(&mut client, &topic, timestamp), (0, -1), "{timestamp}");
    }
    for timestamp in [MAX_TIMESTAMP, LATEST_TIERED, 0, now_ms()] {
        assert_eq!(found(&mut client, &topic, timestamp), (-1, -1), "{timestamp}");
    }
}

/// Apache Kafka without tiered storage answers so, too.
#[test]
fn nothing_waits_for_being_uploaded() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("list-pending", 1, &[]);
    client.produced(&topic, 0, Batch::of(&["a", "b", "c"]).build());
    for (timestamp, error, offset) in
        [(EARLIEST_PENDING_UPLOAD, None, -1), (LATEST, None, 3), (-42, Some(ResponseError::UnsupportedVersion), -1)]
    {
        let asked = ListOffsetsPartition::default().with_timestamp(timestamp);
        let response = client.call(11, &ListOffsets11(request(&topic.name, vec![asked]))).0;
        let answer = &response.topics[0].partitions[0];
        assert_eq!((answer.error_code.err(), answer.offset, answer.timestamp), (error, offset, -1), "{timestamp}");
    }
}

#[test]
fn both_ends_are_found_at_every_version() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("list-ends", 1, &[]);
    client.produced(&topic, 0, Batch::of(&["a", "b", "c"]).build());
    for version in 1..=10 {
        for isolation_level in [0, 1] {
            for (timestamp, wanted) in [(LATEST, 3), (EARLIEST, 0)] {
                let asked = ListOffsetsPartition::default().with_timestamp(timestamp);
                let request =
                    request(&topic.name, vec![asked]).with_isolation_level(if version >= 2 { isolation_level } else { 0 });
                let response = client.call(version, &request);
                let answer = &response.topics[0].partitions[0];
                assert_eq!((answer.error_code.err(), answer.offset), (None, wanted), "{timestamp} at version {version}");
            }
        }
    }
}

#[test]
fn times_find_the_first_record_at_or_after_them() {
    let server = Server::shared();
    let mut client = server.connect();
    let base = now_ms() - 100_000;
    for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
        let topic = client.create_topic("list-times", 1, &[]);
        // Offsets:                  0      1      2        3       4        5      6
        for times in [&[1_000i64, 3_000, 2_000][..], &[2_500, 9_000], &[4_000, 8_000]] {
            let batch = times.iter().fold(Batch::default(), |batch, time| batch.record(base + time, None, Some(b"x")));
            client.produced(&topic, 0, batch.compressed(codec).build());
        }
        let name = &topic.name;
        let cases =
            [(0, 0, 1_000), (1_000, 0, 1_000), (1_001, 1, 3_000), (3_000, 1, 3_000), (3_001, 4, 9_000), (9_000, 4, 9_000)];
        for (time, offset, timestamp) in cases {
            assert_eq!(found(&mut client, name, base + time), (offset, base + timestamp), "{codec:?}, time {time}");
        }
        assert_eq!(found(&mut client, name, base + 9_001), (-1, -1), "{codec:?}: nothing is that late");
        assert_eq!(found(&mut client, name, i64::MAX), (-1, -1), "{codec:?}");
        assert_eq!(found(&mut client, name, MAX_TIMESTAMP), (4, base + 9_000), "{codec:?}: not the last record");
        assert_eq!(found(&mut client, name, EARLIEST_LOCAL), (0, -1));
        assert_eq!(found(&mut client, name, LATEST_TIERED), (-1, -1), "nothing is tiered");
    }
}

#[test]
fn read_committed_is_told_no_largest_time_of_an_open_transaction() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("largest", 1, &[]);
    let mut producer = Producer::new(&server, &unique("largest"));
    producer.add(&[(&topic.name, 0)]);
    producer.send(&topic, V1.1, "undecided").expect("taken");
    let mut offset = |isolation_level: i8| {
        let asked = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(MAX_TIMESTAMP);
        let request = request(&topic.name, vec![asked]).with_isolation_level(isolation_level);
        client.call(9, &request).topics.remove(0).partitions.remove(0).offset
    };
    assert_eq!((offset(0), offset(1)), (0, -1));
    producer.end(V1.0, true).expect("committed");
    assert_ne!(offset(1), -1);
}

#[test]
fn times_survive_a_crash() {
    let mut server = Server::start();
    let mut client = server.connect();
    let topic = client.create_topic("list-crash", 1, &[]);
    let base = now_ms() - 100_000;
    for index in 0..20 {
        client.produced(&topic, 0, Batch::default().record(base + index * 10, None, Some(b"x")).build());
    }
    server.kill9();
    server.restart();
    let mut client = server.connect();
    for index in 0..20 {
        assert_eq!(found(&mut client, &topic.name, base + index * 10 - 5), (index, base + index * 10));
    }
    assert_eq!(found(&mut client, &topic.name, MAX_TIMESTAMP), (19, base + 190));
}

#[test]
fn append_times_are_found() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("list-append", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let stamped = client.produce(&topic, 0, Batch::default().record(5, None, Some(b"a")).build()).log_append_time_ms;
    assert_eq!(found(&mut client, &topic.name, 6), (0, stamped));
    assert_eq!(found(&mut client, &topic.name, stamped + 1), (-1, -1));
}

fn epoch_end(client: &mut Client, topic: &str, partition: OffsetForLeaderPartition) -> EpochEndOffset {
    let topic = OffsetForLeaderTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
    let request = OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
    client.call(4, &request).topics.remove(0).partitions.remove(0)
}

#[test]
fn the_current_epoch_ends_where_the_log_ends() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("epoch-end", 1, &[]);
    let current = client.topic_metadata(&topic.name).partitions[0].leader_epoch;
    let of = |partition: i32, current: i32, wanted: i32| {
        OffsetForLeaderPartition::default().with_partition(partition).with_current_leader_epoch(current).with_leader_epoch(wanted)
    };
    let unknown = epoch_end(&mut client, &unique("unknown"), of(0, -1, 0));
    assert_eq!(unknown.error_code.err(), Some(ResponseError::UnknownTopicOrPartition));
    let unknown = epoch_end(&mut client, &topic.name, of(9, -1, 0));
    assert_eq!(unknown.error_code.err(), Some(ResponseError::UnknownTopicOrPartition));
    let ahead = epoch_end(&mut client, &topic.name, of(0, current + 1, current));
    assert_eq!(ahead.error_code.err(), Some(ResponseError::UnknownLeaderEpoch));
    client.produced(&topic, 0, Batch::of(&["a", "b"]).build());
    for known in [-1, current] {
        let end = epoch_end(&mut client, &topic.name, of(0, known, current));
        assert_eq!((end.error_code.err(), end.leader_epoch, end.end_offset), (None, current, 2));
    }
    let future = epoch_end(&mut client, &topic.name, of(0, -1, current + 5));
    assert_eq!((future.error_code.err(), future.end_offset), (None, -1), "an epoch that has not been");
}
