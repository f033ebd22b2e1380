//! A load that is the same each time, for tools that count instead of timing: `steady-load BATCHES [newest|all FETCHES]` starts the server
//! that FBF_BIN names (bench/guard names one under a counting tool) and produces so many batches of 16 KiB, acks=all, over one connection,
//! to four partitions in turn, each after the answer to the one before. Then the newest batch (from memory), or everything (from disk, but
//! for the newest four), is fetched so many times, and the server stopped in order, so that the tool hears of it. The last line tells the
//! bytes of batches that were produced and fetched. What a phase costs is the difference of two runs.

use bytes::Bytes;
use protocol_tests::batch::Batch;
use protocol_tests::client::Client;
use protocol_tests::records::{FETCH_BY_ID, Fetch, PRODUCE_BY_ID, produce_request};
use protocol_tests::server::Launch;
use protocol_tests::topics::Topic;
use std::time::Duration;

const PARTITIONS: i32 = 4;
const BATCH_BYTES: usize = 16 * 1024;
const VALUE_BYTES: usize = 100;
/// Around each of those values: its length twice, attributes, timestamp, offset, key and number of headers.
const RECORD_OVERHEAD_BYTES: usize = 9;
/// Keeps four batches in memory.
const TAIL_BYTES: &str = "70000";
/// Which the load does not come to the end of, so that no next one is made ready meanwhile.
const SEGMENT_BYTES: &str = "268435456";
/// A server under valgrind is 20 to 50 times as slow.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (batches, what, fetches) = match arguments[..] {
        [batches] => (number(batches), "nothing", 0),
        [batches, what @ ("newest" | "all"), fetches] => (number(batches), what, number(fetches)),
        _ => usage(),
    };
    // One worker: more of them look for each other's work, more or less often.
    let launch = Launch::new().set("server.worker_threads", "1").set("storage.segment_bytes", SEGMENT_BYTES);
    let mut server = launch.set("limits.tail_bytes", TAIL_BYTES).start();
    let mut client = server.connect();
    client.set_patience(PATIENCE);
    let topic = client.create_topic("steady", PARTITIONS, &[]);
    let batch = full_batch();
    let mut newest = 0;
    for number in 0..batches {
        newest = produce(&mut client, &topic, number % PARTITIONS, &batch);
    }
    let fetch = match what {
        "newest" => Fetch::of(&topic, (batches - 1) % PARTITIONS, newest),
        _ => (1..PARTITIONS).fold(Fetch::of(&topic, 0, 0), |fetch, partition| fetch.and(partition, 0)),
    };
    let expected = if what == "newest" { batch.len() } else { batch.len() * usize::try_from(batches).expect("not negative") };
    for _ in 0..fetches {
        assert_eq!(fetched(&mut client, &fetch), expected, "the bytes of {what}, in one answer");
    }
    let exit = server.terminate();
    assert!(exit.status.success(), "the server ended with {}: {}", exit.status, exit.stderr);
    println!("{} {}", i64::from(batches) * batch.len() as i64, i64::from(fetches) * expected as i64);
}

fn number(word: &str) -> i32 {
    word.parse().unwrap_or_else(|_| usage())
}

fn usage() -> ! {
    eprintln!("usage: steady-load BATCHES [newest|all FETCHES]");
    std::process::exit(2);
}

fn full_batch() -> Bytes {
    let timestamp = protocol_tests::now_ms();
    let records = BATCH_BYTES / (VALUE_BYTES + RECORD_OVERHEAD_BYTES);
    (0..records).fold(Batch::default(), |batch, _| batch.record(timestamp, None, Some(&[b'x'; VALUE_BYTES]))).build()
}

/// The base offset that the batch got.
fn produce(client: &mut Client, topic: &Topic, partition: i32, batch: &Bytes) -> i64 {
    let response = client.call(PRODUCE_BY_ID, &produce_request(topic, partition, -1, batch.clone()));
    let produced = &response.responses[0].partition_responses[0];
    assert_eq!(produced.error_code, 0, "{:?}", produced.error_message);
    produced.base_offset
}

/// The bytes of batches that were answered.
fn fetched(client: &mut Client, fetch: &Fetch) -> usize {
    let response = client.call(FETCH_BY_ID, &fetch.request());
    assert_eq!(response.error_code, 0, "the fetch as a whole");
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.filter_map(|partition| partition.records.as_ref()).map(Bytes::len).sum()
}
