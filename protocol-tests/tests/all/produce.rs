//! Goal: Produce refuses what it must with the error that clients know, keeps the rest in order, and answers in order.
//! Method: one request per rule, then a look at what a reader sees. Idempotent producers have their own module.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::ProduceRequest;
use protocol_tests::batch::{Batch, Codec, LOG_APPEND_TIME};
use protocol_tests::now_ms;
use protocol_tests::records::{
    Fetch, PRODUCE_BY_ID, PRODUCE_BY_NAME, batches, only_produced, produce_request, produce_topic, values,
};
use protocol_tests::server::Server;
use protocol_tests::topics::{Topic, unique};
use uuid::Uuid;

fn batch(value: &str) -> bytes::Bytes {
    Batch::of(&[value]).build()
}

#[test]
fn acks_other_than_0_1_and_all_are_refused_and_nothing_is_kept() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("acks", 1, &[]);
    for acks in [2i16, 3, -2, i16::MAX, i16::MIN] {
        let answer = only_produced(client.call(PRODUCE_BY_NAME, &produce_request(&topic, 0, acks, batch("x"))));
        assert_eq!(answer.error_code.err(), Some(ResponseError::InvalidRequiredAcks), "acks={acks}");
    }
    assert_eq!(client.end_offset(&topic, 0), 0);
}

#[test]
fn the_coordinators_topics_are_nobodys_to_write_to() {
    let server = Server::start();
    let mut client = server.connect();
    client.find_coordinator("group");
    let name = "__consumer_offsets".to_owned();
    let id = client.topic_metadata(&name).topic_id;
    let topic = Topic { name, id };
    for version in [3, PRODUCE_BY_NAME, PRODUCE_BY_ID] {
        for acks in [1, -1] {
            let answer = only_produced(client.call(version, &produce_request(&topic, 0, acks, batch("x"))));
            assert_eq!(answer.error_code.err(), Some(ResponseError::InvalidTopicException), "version {version}, acks={acks}");
        }
    }
    assert_eq!(client.end_offset(&topic, 0), 0);
}

#[test]
fn more_in_sync_replicas_than_there_are_replicas_are_not_waited_for() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("min-isr", 1, &[("min.insync.replicas", "2")]);
    assert_eq!(client.produced(&topic, 0, batch("x")), 0);
}

#[test]
fn a_wrong_crc_is_a_corrupt_message() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("crc", 1, &[]);
    let good = batch("value");
    let bad = protocol_tests::batch::damaged(&good, protocol_tests::batch::CRC_AT, &[good[protocol_tests::batch::CRC_AT] ^ 1]);
    assert_eq!(client.produce(&topic, 0, bad).error_code.err(), Some(ResponseError::CorruptMessage));
    assert_eq!(client.end_offset(&topic, 0), 0);
}

#[test]
fn a_batch_above_the_topics_limit_is_too_large() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("large", 1, &[("max.message.bytes", "1000")]);
    let answer = client.produce(&topic, 0, Batch::of_bytes(2000).build());
    assert_eq!(answer.error_code.err(), Some(ResponseError::MessageTooLarge));
    assert_eq!(client.produced(&topic, 0, Batch::of_bytes(500).build()), 0);
    // The default limit is 1 MiB plus the batch's own header (1048588).
    let ordinary = client.create_topic("ordinary-limit", 1, &[]);
    let answer = client.produce(&ordinary, 0, Batch::of_bytes(1_048_589).build());
    assert_eq!(answer.error_code.err(), Some(ResponseError::MessageTooLarge));
    assert_eq!(client.produced(&ordinary, 0, Batch::of_bytes(1_000_000).build()), 0);
}

#[test]
fn a_timestamp_too_far_ahead_or_behind_is_refused() {
    let server = Server::shared();
    let mut client = server.connect();
    let hour = 3_600_000;
    let topic = client.create_topic("timestamps", 1, &[]);
    let ahead = Batch::default().record(now_ms() + 2 * hour, None, Some(b"x")).build();
    assert_eq!(
        client.produce(&topic, 0, ahead).error_code.err(),
        Some(ResponseError::InvalidTimestamp),
        "default: one hour ahead"
    );
    let strict = [("message.timestamp.before.max.ms", "60000"), ("message.timestamp.after.max.ms", "60000")];
    let topic = client.create_topic("timestamps-strict", 1, &strict);
    for late in [-hour, hour / 2] {
        let batch = Batch::default().record(now_ms() + late, None, Some(b"x")).build();
        assert_eq!(
            client.produce(&topic, 0, batch).error_code.err(),
            Some(ResponseError::InvalidTimestamp),
            "{late} ms from now"
        );
    }
    assert_eq!(client.produced(&topic, 0, batch("x")), 0);
}

#[test]
fn records_with_a_timestamp_out_of_range_are_named_where_they_are_read() {
    let server = Server::shared();
    let mut client = server.connect();
    let bounds = [("message.timestamp.before.max.ms", "60000"), ("message.timestamp.after.max.ms", "60000")];
    let plain = client.create_topic("timestamps-named", 1, &bounds);
    let compacted = client.create_topic("timestamps-compacted", 1, &[bounds[0], bounds[1], ("cleanup.policy", "compact")]);
    let now = now_ms();
    let (late, early) = (now + 3_600_000, now - 3_600_000);
    // The third has no timestamp, which is always allowed.
    let mixed = [now, late, -1, early];
    let mixed = mixed.into_iter().fold(Batch::default(), |batch, time| batch.record(time, Some(b"key"), Some(b"x")));
    for (topic, codec) in [(&plain, Codec::None), (&compacted, Codec::None), (&compacted, Codec::Gzip)] {
        let answer = client.produce(topic, 0, mixed.clone().compressed(codec).build());
        let what = format!("{} {codec:?}", topic.name);
        assert_eq!(answer.error_code.err(), Some(ResponseError::InvalidTimestamp), "{what}");
        let message = answer.error_message.as_deref();
        assert_eq!(message, Some("One or more records have been rejected due to invalid timestamp"), "{what}");
        let named: Vec<i32> = answer.record_errors.iter().map(|error| error.batch_index).collect();
        assert_eq!(named, [1, 3], "{what}");
        for (error, timestamp) in answer.record_errors.iter().zip([late, early]) {
            let message = error.batch_index_error_message.as_deref().unwrap_or_default();
            let wanted = format!("Timestamp {timestamp} of message with offset {} is out of range. ", error.batch_index);
            assert!(message.starts_with(&wanted), "{what}: {message}");
        }
    }
    // Compressed records that nobody reads are judged by their batch's header (FINDINGS.md).
    let answer = client.produce(&plain, 0, mixed.compressed(Codec::Gzip).build());
    assert_eq!((answer.error_code.err(), answer.record_errors.len()), (Some(ResponseError::InvalidTimestamp), 0));
    assert_eq!((client.end_offset(&plain, 0), client.end_offset(&compacted, 0)), (0, 0));
}

#[test]
fn a_record_without_key_on_a_compacted_topic_is_invalid_and_named() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("compacted", 1, &[("cleanup.policy", "compact")]);
    for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
        let mixed = Batch::default()
            .record(now_ms(), Some(b"key"), Some(b"1"))
            .record(now_ms(), None, Some(b"2"))
            .record(now_ms(), None, Some(b"3"))
            .compressed(codec);
        let answer = client.produce(&topic, 0, mixed.build());
        assert_eq!(answer.error_code.err(), Some(ResponseError::InvalidRecord), "{codec:?}");
        let named: Vec<i32> = answer.record_errors.iter().map(|error| error.batch_index).collect();
        assert_eq!(named, [1, 2], "{codec:?}: the records without key");
    }
    let keyed = Batch::default().record(now_ms(), Some(b"key"), Some(b"1")).record(now_ms(), Some(b"key"), None);
    assert_eq!(client.produced(&topic, 0, keyed.build()), 0);
}

#[test]
fn zstd_before_version_7_is_an_unsupported_compression_type() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("zstd", 1, &[]);
    let zstd = Batch::of(&["x"]).compressed(Codec::Zstd).build();
    for (version, wanted) in
        [(3, Some(ResponseError::UnsupportedCompressionType)), (6, Some(ResponseError::UnsupportedCompressionType)), (7, None)]
    {
        let answer = only_produced(client.call(version, &produce_request(&topic, 0, -1, zstd.clone())));
        assert_eq!(answer.error_code.err(), wanted, "version {version}");
    }
}

#[test]
fn unknown_topics_and_partitions_are_named_one_by_one() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("known", 1, &[]);
    let unknown = Topic { name: unique("unknown"), id: Uuid::from_u128(1) };
    let data = vec![
        produce_topic(&unknown, vec![(0, batch("lost"))]),
        produce_topic(&topic, vec![(1, batch("lost")), (-1, batch("lost")), (i32::MAX, batch("lost")), (0, batch("kept"))]),
    ];
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(data);
    let response = client.call(PRODUCE_BY_NAME, &request);
    assert_eq!(response.responses.len(), 2);
    let mut codes = Vec::new();
    for answered in &response.responses {
        let is_known = answered.name.as_str() == topic.name;
        codes
            .extend(answered.partition_responses.iter().map(|partition| (is_known, partition.index, partition.error_code.err())));
    }
    codes.sort_by_key(|(is_known, index, _)| (*is_known, *index));
    let no = Some(ResponseError::UnknownTopicOrPartition);
    assert_eq!(codes, [(false, 0, no), (true, -1, no), (true, 0, None), (true, 1, no), (true, i32::MAX, no)]);
    assert_eq!(values(&client.read_all(&topic, 0)), ["kept"]);
    assert_eq!(
        client.topic_metadata(&unknown.name).error_code.err(),
        Some(ResponseError::UnknownTopicOrPartition),
        "Produce creates no topics"
    );
}

#[test]
fn the_id_of_a_deleted_topic_is_unknown_even_when_its_name_is_back() {
    let server = Server::shared();
    let mut client = server.connect();
    let first = client.create_topic("recreated", 1, &[]);
    assert_eq!(only_produced(client.call(PRODUCE_BY_ID, &produce_request(&first, 0, -1, batch("a")))).error_code.err(), None);
    client.delete_topic(&first);
    let second = client.create_topic_named(&first.name, 1, &[]);
    assert_ne!(first.id, second.id);
    for gone in [first.id, Uuid::nil(), Uuid::from_u128(1)] {
        let topic = Topic { name: first.name.clone(), id: gone };
        let answer = only_produced(client.call(PRODUCE_BY_ID, &produce_request(&topic, 0, -1, batch("b"))));
        assert_eq!(answer.error_code.err(), Some(ResponseError::UnknownTopicId), "{gone}");
    }
    let answer = only_produced(client.call(PRODUCE_BY_ID, &produce_request(&second, 0, -1, batch("c"))));
    assert_eq!((answer.error_code.err(), answer.base_offset), (None, 0), "the new topic starts empty");
}

#[test]
fn acks_0_with_an_error_closes_the_connection() {
    let server = Server::shared();
    let mut client = server.connect();
    let unknown = Topic { name: unique("unknown"), id: Uuid::from_u128(1) };
    client.send(PRODUCE_BY_NAME, &produce_request(&unknown, 0, 0, batch("lost"))).unwrap();
    assert!(client.is_closed_quietly(), "the only way to tell a producer that waits for nothing");
}

#[test]
fn acks_0_is_never_answered_and_its_record_is_there() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("silent", 1, &[]);
    for value in ["a", "b", "c"] {
        client.send(PRODUCE_BY_NAME, &produce_request(&topic, 0, 0, batch(value))).unwrap();
    }
    // An answer to any of them would be taken for the answer to this one.
    assert_eq!(client.produced(&topic, 0, batch("d")), 3);
    assert_eq!(values(&client.read_all(&topic, 0)), ["a", "b", "c", "d"]);
}

#[test]
fn every_version_and_acknowledgement_appends() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("versions", 1, &[]);
    let mut next = 0;
    for version in 3..=PRODUCE_BY_ID {
        for acks in [1, -1] {
            let answer = only_produced(client.call(version, &produce_request(&topic, 0, acks, batch("x"))));
            assert_eq!((answer.error_code.err(), answer.base_offset), (None, next), "version {version}, acks={acks}");
            assert_eq!(answer.log_append_time_ms, -1, "the topic keeps the producer's times");
            if version >= 5 {
                assert_eq!(answer.log_start_offset, 0, "version {version}");
            }
            next += 1;
        }
    }
    assert_eq!(client.read_all(&topic, 0).len(), usize::try_from(next).unwrap());
}

#[test]
fn an_acknowledged_record_can_be_read_at_once() {
    let server = Server::shared();
    let mut producer = server.connect();
    let mut reader = server.connect();
    let topic = producer.create_topic("at-once", 1, &[]);
    for round in 0..100 {
        let offset = producer.produced(&topic, 0, batch(&round.to_string()));
        let answer = reader.fetch(&Fetch::of(&topic, 0, offset));
        assert_eq!(values(&batches(&answer)), [round.to_string()]);
    }
}

#[test]
fn log_append_time_is_the_servers_and_is_told() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("append-time", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let before = now_ms();
    let old = Batch::default().record(1000, None, Some(b"a")).record(2000, None, Some(b"b"));
    let answer = client.produce(&topic, 0, old.build());
    assert_eq!(answer.error_code.err(), None);
    assert!((before..=now_ms()).contains(&answer.log_append_time_ms), "{} is not now", answer.log_append_time_ms);
    let read = client.read_all(&topic, 0);
    assert_ne!(read[0].attributes & LOG_APPEND_TIME, 0, "the batch says whose time it carries");
    assert_eq!(read[0].max_timestamp, answer.log_append_time_ms);
    assert_eq!(read[0].records[1].timestamp, answer.log_append_time_ms);
}

#[test]
fn what_was_sent_is_what_is_read_byte_for_byte() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("verbatim", 1, &[]);
    for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
        let sent = Batch::of(&["one", "two", "three"]).compressed(codec).build();
        let offset = client.produced(&topic, 0, sent.clone());
        let answer = client.fetch(&Fetch::of(&topic, 0, offset));
        let read = batches(&answer);
        assert_eq!((read[0].base_offset, read[0].last_offset), (offset, offset + 2));
        // Base offset and leader epoch are the server's to write; they lie outside the CRC.
        assert_eq!(read[0].bytes[16..], sent[16..], "{codec:?}");
        assert_eq!(values(&read), ["one", "two", "three"]);
    }
}

#[test]
fn pipelined_produces_are_answered_in_order_with_growing_offsets() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("pipelined", 4, &[]);
    let sent: Vec<i32> = (0..400)
        .map(|index| {
            let request = produce_request(&topic, index % 4, -1, batch(&index.to_string()));
            client.send(PRODUCE_BY_NAME, &request).unwrap()
        })
        .collect();
    for (index, correlation_id) in (0..400i32).zip(sent) {
        let answer = only_produced(client.receive::<ProduceRequest>(PRODUCE_BY_NAME, correlation_id).unwrap());
        assert_eq!((answer.error_code.err(), answer.base_offset), (None, i64::from(index / 4)), "produce {index}");
    }
    for partition in 0..4 {
        let wanted: Vec<String> = (0..100).map(|round| (round * 4 + partition).to_string()).collect();
        assert_eq!(values(&client.read_all(&topic, partition)), wanted);
    }
}

#[test]
fn producers_side_by_side_share_a_partition_without_gaps() {
    let server = Server::shared();
    let topic = server.connect().create_topic("side-by-side", 1, &[]);
    std::thread::scope(|scope| {
        for producer in 0..4 {
            let (server, topic) = (&server, &topic);
            scope.spawn(move || {
                let mut client = server.connect();
                for index in 0..100 {
                    client.produced(topic, 0, batch(&format!("{producer} {index}")));
                }
            });
        }
    });
    let read = values(&server.connect().read_all(&topic, 0));
    assert_eq!(read.len(), 400);
    for producer in 0..4 {
        let own: Vec<&String> = read.iter().filter(|value| value.starts_with(&format!("{producer} "))).collect();
        let wanted: Vec<String> = (0..100).map(|index| format!("{producer} {index}")).collect();
        assert!(own.iter().copied().eq(wanted.iter()), "producer {producer} finds its records in its order");
    }
}
