//! Goal: a compacted topic keeps the newest record of each key, whatever happens to the broker, and a topic's codec is what readers get.
//! Method: many small records of few keys on a server that compacts all the time and is killed meanwhile; batches read back as they are.

use crate::configs::{DELETE, SET, TOPIC, alter};
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use protocol_tests::batch::{Batch, CODEC_MASK, Codec, ReadBatch};
use protocol_tests::client::Client;
use protocol_tests::now_ms;
use protocol_tests::server::{Launch, Server};
use protocol_tests::topics::Topic;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Settings with which everything but the newest batch may be compacted at once.
pub const EAGER: [(&str, &str); 4] =
    [("cleanup.policy", "compact"), ("segment.bytes", "14"), ("min.cleanable.dirty.ratio", "0"), ("delete.retention.ms", "0")];

fn put(client: &mut Client, topic: &Topic, key: &str, value: Option<&str>) -> i64 {
    let batch = Batch::of(&[]).record(now_ms(), Some(key.as_bytes()), value.map(str::as_bytes));
    client.produced(topic, 0, batch.build())
}

/// Offset, key and value.
type Kept = (i64, String, Option<String>);

/// All records.
fn records(client: &mut Client, topic: &Topic) -> Vec<Kept> {
    let text = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned();
    let batches = client.read_all(topic, 0);
    let all = batches.iter().flat_map(|batch| &batch.records);
    all.map(|one| (one.offset, one.key.as_ref().map(text).unwrap_or_default(), one.value.as_ref().map(text))).collect()
}

/// Waits until the records that are left are `count`.
pub fn compacted(client: &mut Client, topic: &Topic, count: usize) -> Vec<Kept> {
    compacted_counting(client, topic, count, |_| true)
}

/// The same, of the records for which `counts` holds; answers the others, too.
fn compacted_counting(client: &mut Client, topic: &Topic, count: usize, counts: impl Fn(&Kept) -> bool) -> Vec<Kept> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let left = records(client, topic);
        let counted = left.iter().filter(|one| counts(one)).count();
        if counted == count || Instant::now() > deadline {
            assert_eq!(counted, count, "{left:?}");
            return left;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Fails when a record of `newest` is not among those that are left.
fn expect_all(newest: &BTreeMap<String, (i64, Option<String>)>, left: &[Kept]) {
    for (key, (offset, value)) in newest {
        assert!(left.contains(&(*offset, key.clone(), value.clone())), "{key} at {offset}: {left:?}");
    }
}

#[test]
fn the_newest_record_of_each_key_outlives_compaction_and_kills() {
    let mut server = Launch::new().set("log.cleaner.backoff.ms", "10").start();
    let mut client = server.connect();
    let topic = client.create_topic("compacted", 1, &EAGER);
    let mut newest: BTreeMap<String, (i64, Option<String>)> = BTreeMap::new();
    for round in 0..4 {
        for number in 0..150 {
            let key = format!("key {}", number * 7 % 20);
            // The newest of key 13 is a tombstone.
            let value = (number * 7 % 20 != 13).then(|| format!("{round} {number}"));
            let offset = put(&mut client, &topic, &key, value.as_deref());
            newest.insert(key, (offset, value));
        }
        server.kill9();
        server.restart();
        client = server.connect();
    }
    put(&mut client, &topic, "last", Some("v"));
    put(&mut client, &topic, "last", Some("v"));
    // Passes went on all the time, so that a second one may have met the tombstone already: it is there or gone. All that is older is gone.
    let (tombstone, value) = newest.remove("key 13").expect("key 13 was put");
    assert_eq!(value, None, "the newest of key 13");
    let left = compacted_counting(&mut client, &topic, newest.len() + 2, |(offset, ..)| *offset != tombstone);
    expect_all(&newest, &left);
    // The tombstone goes a pass after the one that met it, and a pass needs something new.
    let end = put(&mut client, &topic, "last", Some("v"));
    let left = compacted(&mut client, &topic, newest.len() + 2);
    expect_all(&newest, &left);
    assert_eq!(client.end_offset(&topic, 0), end + 1, "offsets go on");
}

#[test]
fn a_policy_that_changes_while_the_server_runs_is_obeyed() {
    let server = Launch::new().set("log.cleaner.backoff.ms", "10").start();
    let mut client = server.connect();
    let topic = client.create_topic("changes", 1, &[("cleanup.policy", "delete"), ("segment.bytes", "14")]);
    for _ in 0..5 {
        put(&mut client, &topic, "a", Some("v"));
    }
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(records(&mut client, &topic).len(), 5);
    let changes = [("cleanup.policy", SET, Some("compact")), ("min.cleanable.dirty.ratio", SET, Some("0"))];
    assert_eq!(alter(&mut client, TOPIC, &topic.name, &changes), (None, String::new()));
    assert_eq!(compacted(&mut client, &topic, 2)[0].0, 3, "the newest two: one is in the active segment");
    let refused = client.produce(&topic, 0, Batch::of(&["no key"]).build());
    assert_eq!(refused.error_code.err(), Some(ResponseError::InvalidRecord));
}

fn codecs(batches: &[ReadBatch]) -> Vec<i16> {
    batches.iter().map(|batch| batch.attributes & CODEC_MASK).collect()
}

#[test]
fn a_topics_codec_is_what_readers_get() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("codec", 1, &[("compression.type", "zstd")]);
    let large = "v".repeat(10_000);
    for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
        client.produced(&topic, 0, Batch::of(&[&large, "second"]).compressed(codec).build());
    }
    let set = |client: &mut Client, change: (&str, i8, Option<&str>)| {
        assert_eq!(alter(client, TOPIC, &topic.name, &[change]), (None, String::new()));
    };
    set(&mut client, ("compression.type", SET, Some("uncompressed")));
    client.produced(&topic, 0, Batch::of(&[&large]).compressed(Codec::Gzip).build());
    set(&mut client, ("compression.type", DELETE, None));
    client.produced(&topic, 0, Batch::of(&[&large]).compressed(Codec::Gzip).build());
    let damaged = protocol_tests::batch::damaged(&Batch::of(&["v"]).build(), 65, b"x");
    set(&mut client, ("compression.type", SET, Some("gzip")));
    assert_eq!(client.produce(&topic, 0, damaged).error_code.err(), Some(ResponseError::CorruptMessage));

    let batches = client.read_all(&topic, 0);
    assert_eq!(codecs(&batches), [Codec::Zstd, Codec::Zstd, Codec::Zstd, Codec::None, Codec::Gzip].map(Codec::attribute));
    let values: Vec<usize> =
        batches.iter().flat_map(|batch| &batch.records).map(|one| one.value.as_ref().map_or(0, bytes::Bytes::len)).collect();
    assert_eq!(values, [10_000, 6, 10_000, 6, 10_000, 6, 10_000, 10_000]);
}
