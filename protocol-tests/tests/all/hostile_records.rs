//! Goal: no record batch makes the server die, hold much memory or answer nonsense.
//! Method: a good batch with one field changed (and its CRC made right again), cut at every byte, or compressed from very much to
//! very little; what was good before and after is still read.

use bytes::Bytes;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol_tests::batch::{
    ATTRIBUTES_AT, Batch, COUNT_AT, Codec, HEADER_BYTES, LAST_OFFSET_DELTA_AT, LENGTH_AT, MAGIC_AT, damaged, forged, put_varint,
};
use protocol_tests::client::Client;
use protocol_tests::frame::topic_name;
use protocol_tests::now_ms;
use protocol_tests::records::values;
use protocol_tests::server::Server;
use protocol_tests::topics::Topic;
use std::io::Write;

const MIB: u64 = 1 << 20;

/// A refusal that clients understand: never UNKNOWN_SERVER_ERROR, and nothing that they would repeat for ever.
fn is_typed(code: i16) -> bool {
    use ResponseError::{CorruptMessage, InvalidRecord, InvalidRequest, MessageTooLarge, UnsupportedCompressionType};
    let typed = [CorruptMessage, InvalidRecord, InvalidRequest, MessageTooLarge, UnsupportedCompressionType];
    typed.iter().any(|error| error.code() == code)
}

fn assert_refused(client: &mut Client, topic: &Topic, batch: Bytes, what: &str) {
    let answer = client.produce(topic, 0, batch);
    assert!(is_typed(answer.error_code), "{what}: {:?}", answer.error_code.err());
    assert_eq!(answer.base_offset, -1, "{what}: a refused batch has no offset");
}

#[test]
fn batches_with_impossible_fields_are_refused() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("impossible", 1, &[]);
    let good = Batch::of(&["one", "two", "three"]).build();
    let length = i32::try_from(good.len()).unwrap() - 12;
    for wrong in [-1, 0, 48, length - 1, length + 1, i32::MAX, i32::MIN] {
        assert_refused(&mut client, &topic, forged(&good, LENGTH_AT, &wrong.to_be_bytes()), &format!("length {wrong}"));
    }
    for wrong in [0, 1, 3, 0xff] {
        assert_refused(&mut client, &topic, forged(&good, MAGIC_AT, &[wrong]), &format!("magic {wrong}"));
    }
    // As Kafka says of formats before 2, and of a base offset.
    for (at, bytes) in [(MAGIC_AT, &[1][..]), (0, &5i64.to_be_bytes())] {
        assert_eq!(
            client.produce(&topic, 0, forged(&good, at, bytes)).error_code.err(),
            Some(ResponseError::InvalidRecord),
            "at {at}"
        );
    }
    for wrong in [-1, 0, 1, 3, i32::MAX, i32::MIN] {
        assert_refused(&mut client, &topic, forged(&good, LAST_OFFSET_DELTA_AT, &wrong.to_be_bytes()), &format!("delta {wrong}"));
    }
    for wrong in [-1, 0, 1, 4, i32::MAX, i32::MIN] {
        assert_refused(&mut client, &topic, forged(&good, COUNT_AT, &wrong.to_be_bytes()), &format!("{wrong} records"));
    }
    // Codecs that do not exist, and a control batch, which only a coordinator may write.
    for wrong in [5i16, 6, 7, 32] {
        assert_refused(&mut client, &topic, forged(&good, ATTRIBUTES_AT, &wrong.to_be_bytes()), &format!("attributes {wrong}"));
    }
    assert_eq!(client.produced(&topic, 0, good), 0, "no refused batch took an offset");
    assert_eq!(values(&client.read_all(&topic, 0)), ["one", "two", "three"]);
}

#[test]
fn a_count_that_fits_its_delta_but_not_its_bytes_is_refused() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("counted", 1, &[]);
    let good = Batch::of(&["one"]).build();
    for count in [1000, i32::MAX] {
        let long = forged(&good, LAST_OFFSET_DELTA_AT, &(count - 1).to_be_bytes());
        assert_refused(
            &mut client,
            &topic,
            forged(&long, COUNT_AT, &count.to_be_bytes()),
            &format!("{count} records in 70 bytes"),
        );
    }
    assert_eq!(client.end_offset(&topic, 0), 0, "no offsets were used up");
}

#[test]
fn batches_cut_at_every_byte_are_refused() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("cut", 1, &[]);
    let good = Batch::of(&["one", "two"]).build();
    for cut in 0..good.len() {
        assert_refused(&mut client, &topic, good.slice(..cut), &format!("cut after {cut} bytes"));
    }
    assert_eq!(client.end_offset(&topic, 0), 0);
}

#[test]
fn a_flipped_bit_under_the_crc_is_refused_as_corrupt() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("flipped", 1, &[]);
    let good = Batch::of(&["one", "two"]).build();
    for at in [ATTRIBUTES_AT, COUNT_AT + 3, HEADER_BYTES, good.len() - 1] {
        let flipped = damaged(&good, at, &[good[at] ^ 0x40]);
        assert_refused(&mut client, &topic, flipped, &format!("bit at {at}"));
    }
}

#[test]
fn bytes_that_are_not_what_their_codec_says_never_reach_a_reader_as_an_end() {
    // Kafka refuses such a batch when it decompresses it; a server that keeps batches as they come may accept it. Either way
    // there is an answer, and what follows it is read.
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("undecodable", 1, &[]);
    for codec in [1i16, 2, 3, 4] {
        let batch = forged(&Batch::of(&["not compressed"]).build(), ATTRIBUTES_AT, &codec.to_be_bytes());
        let answer = client.produce(&topic, 0, batch);
        assert!(answer.error_code == 0 || is_typed(answer.error_code), "codec {codec}: {:?}", answer.error_code.err());
    }
    let offset = client.produced(&topic, 0, Batch::of(&["sound"]).build());
    let answer = client.fetch(&protocol_tests::records::Fetch::of(&topic, 0, offset));
    assert_eq!(values(&protocol_tests::records::batches(&answer)), ["sound"]);
    time_lookup(&mut client, &topic, now_ms() - 1000);
    client.assert_alive("batches that do not decompress");
}

/// Asks for an offset by time, which may make the server look into batches; only that an answer comes is of interest.
fn time_lookup(client: &mut Client, topic: &Topic, timestamp: i64) {
    let partitions = vec![ListOffsetsPartition::default().with_timestamp(timestamp)];
    let asked = ListOffsetsTopic::default().with_name(topic_name(&topic.name)).with_partitions(partitions);
    client.call(7, &ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![asked]));
}

/// One record whose value is `bytes` zeros, compressed: a few hundred KiB at most.
fn bomb(codec: Codec, bytes: usize) -> Bytes {
    // Attributes, timestamp delta, offset delta, null key, and the value's length.
    let mut head = vec![0u8, 0, 0, 1];
    put_varint(&mut head, i64::try_from(bytes).unwrap());
    let mut plain = Vec::new();
    put_varint(&mut plain, i64::try_from(head.len() + bytes + 1).unwrap());
    plain.extend_from_slice(&head);
    let packed = match codec {
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            pour(&mut encoder, &plain, bytes);
            encoder.finish().unwrap()
        }
        Codec::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            pour(&mut encoder, &plain, bytes);
            encoder.finish().unwrap()
        }
        Codec::None => panic!("nothing is smaller without a codec"),
    };
    Batch::default().compressed(codec).around(&packed, 1, now_ms())
}

/// Writes `head`, `zeros` zeros, and the count of headers: 0.
fn pour(to: &mut impl Write, head: &[u8], zeros: usize) {
    to.write_all(head).unwrap();
    let chunk = vec![0u8; 1 << 20];
    for _ in 0..zeros / chunk.len() {
        to.write_all(&chunk).unwrap();
    }
    to.write_all(&chunk[..zeros % chunk.len() + 1]).unwrap();
}

#[test]
fn decompression_bombs_cost_no_more_than_their_limit() {
    let mut server = Server::start();
    let mut client = server.connect();
    let plain = client.create_topic("bombs", 1, &[]);
    // Here the server has to look for keys, inside.
    let compacted = client.create_topic("bombs-compacted", 1, &[("cleanup.policy", "compact")]);
    let before = server.peak_memory_bytes();
    // Each fits into max.message.bytes, and holds half a thousand times as much.
    for (codec, bytes) in [(Codec::Gzip, 400 << 20), (Codec::Zstd, 768 << 20)] {
        let bomb = bomb(codec, bytes);
        println!("{codec:?}: {} bytes hold {bytes}", bomb.len());
        for topic in [&plain, &compacted] {
            let answer = client.produce(topic, 0, bomb.clone());
            assert!(answer.error_code == 0 || is_typed(answer.error_code), "{codec:?}: {:?}", answer.error_code.err());
            time_lookup(&mut client, topic, -3);
            time_lookup(&mut client, topic, now_ms() - 60_000);
        }
    }
    assert!(server.is_running(), "the server died of a bomb\n{}", server.said());
    let grown = server.peak_memory_bytes() - before;
    println!("peak memory grew by {:.1} MiB", grown as f64 / MIB as f64);
    assert!(grown < 256 * MIB, "peak memory grew by {} MiB", grown / MIB);
    assert_eq!(client.produce(&plain, 0, Batch::of(&["sound"]).build()).error_code.err(), None);
}
