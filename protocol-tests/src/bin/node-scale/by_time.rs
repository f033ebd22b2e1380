//! Offsets by timestamp in a large topic: a partition of small records, one each millisecond, in large batches; then the first record from a time
//! on is looked up and fetched.

use crate::topics;
use crate::usage::Usage;
use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::fetch_response::PartitionData;
use protocol_tests::batch::{Batch, parse_whole, seal};
use protocol_tests::broker::Broker;
use protocol_tests::client::Client;
use protocol_tests::latency::Latencies;
use protocol_tests::now_ms;
use protocol_tests::options::Given;
use protocol_tests::pipeline::Pipeline;
use protocol_tests::records::Fetch;
use protocol_tests::server::Launch;
use protocol_tests::topics::Topic;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

/// Records of a batch, which has about 600 KB then.
const BATCH_RECORDS: i64 = 50_000;
/// Where a batch has its first and its largest timestamp.
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const SEED: u64 = 7;
const FETCH_BYTES: i32 = 1 << 20;
const START_LIMIT: Duration = Duration::from_secs(300);

/// The topic: record `n` has timestamp `first_ms + n`.
struct Filled {
    topic: Topic,
    first_ms: i64,
    records: i64,
}

/// # Errors
/// What the broker refused, or a wrong offset.
pub fn measure(given: &Given) -> Result<(), String> {
    let records = i64::try_from(given.positive("--records", 100_000_000)?).map_err(|error| format!("--records: {error}"))?;
    let look_ups = given.positive("--look-ups", 1000)?;
    let mut broker = Broker::of(given, Launch::new().start_within(START_LIMIT))?;
    let before = Usage::of(broker.process());
    let filled = fill(&broker, records)?;
    let after = Usage::of(broker.process());
    println!(
        "{} records in {:.1} s, {:.2} CPU s, RSS {:.1} MB (from {:.1} MB)",
        filled.records,
        after.seconds_since(&before),
        after.cpu_since(&before),
        after.memory_mb(),
        before.memory_mb()
    );
    first(&mut broker.connect(), &filled, "the middle, first time")?;
    first(&mut broker.connect(), &filled, "the middle, again")?;
    many(&broker, &filled, look_ups)?;
    if let Some(took) = broker.restart() {
        println!("listening {:.2} s after a restart", took.as_secs_f64());
        let mut client = broker.connect();
        client.wait_led(&filled.topic, 1, START_LIMIT)?;
        first(&mut client, &filled, "the middle, after a restart")?;
    }
    Ok(())
}

fn fill(broker: &Broker, records: i64) -> Result<Filled, String> {
    let mut client = broker.connect();
    let topic = client.create_topic("by-time", 1, &[("retention.ms", "-1")]);
    client.wait_led(&topic, 1, START_LIMIT)?;
    let batches = batches_of(records);
    let records = batches * BATCH_RECORDS;
    // All in the past: brokers refuse records from the future.
    let first_ms = now_ms() - records;
    let template = template();
    let mut pipeline: Pipeline<()> = Pipeline::new(client);
    for number in 0..batches {
        let batch = at_time(&template, first_ms + number * BATCH_RECORDS);
        pipeline.push(&topics::request(&topic, vec![(0, batch)]))?;
    }
    pipeline.finish()?;
    Ok(Filled { topic, first_ms, records })
}

/// Enough batches for so many records.
fn batches_of(records: i64) -> i64 {
    (records + BATCH_RECORDS - 1) / BATCH_RECORDS
}

/// A batch whose records follow each other by a millisecond.
fn template() -> Bytes {
    let mut batch = Batch::default();
    for millisecond in 0..BATCH_RECORDS {
        batch = batch.record(millisecond, None, Some(b"x"));
    }
    batch.build()
}

/// The same, from another time on: records count their time from their batch's.
fn at_time(template: &Bytes, first_ms: i64) -> Bytes {
    let mut batch = BytesMut::from(&template[..]);
    batch[BASE_TIMESTAMP_AT..MAX_TIMESTAMP_AT].copy_from_slice(&first_ms.to_be_bytes());
    batch[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&(first_ms + BATCH_RECORDS - 1).to_be_bytes());
    seal(batch)
}

fn first(client: &mut Client, filled: &Filled, what: &str) -> Result<(), String> {
    let (look_up, fetch) = look_up(client, filled, filled.records / 2)?;
    println!("{what}: look-up {:.3} ms, fetch {:.3} ms", milliseconds(look_up), milliseconds(fetch));
    Ok(())
}

/// At random times.
fn many(broker: &Broker, filled: &Filled, count: u64) -> Result<(), String> {
    let mut client = broker.connect();
    let mut random = StdRng::seed_from_u64(SEED);
    let (mut look_ups, mut fetches) = (Latencies::new(), Latencies::new());
    let before = Usage::of(broker.process());
    for _ in 0..count {
        let record = random.random_range(0..filled.records);
        let (look, fetch) = look_up(&mut client, filled, record)?;
        look_ups.record(look);
        fetches.record(fetch);
    }
    let after = Usage::of(broker.process());
    println!("{:<28}{}", format!("{count} at random, ms"), Latencies::headings());
    println!("{:<28}{}", "look-up", look_ups.row());
    println!("{:<28}{}", "fetch of up to 1 MiB", fetches.row());
    println!("{:.3} CPU ms for both, RSS {:.1} MB", after.cpu_since(&before) * 1000.0 / count as f64, after.memory_mb());
    Ok(())
}

/// Looks up the time of record `offset`, which must be answered with it, and fetches from there.
fn look_up(client: &mut Client, filled: &Filled, offset: i64) -> Result<(Duration, Duration), String> {
    let since = Instant::now();
    let found = client.offset_at(&filled.topic, filled.first_ms + offset);
    let look_up = since.elapsed();
    if found != offset {
        return Err(format!("the time of record {offset} was answered with offset {found}"));
    }
    let since = Instant::now();
    let answer: PartitionData = client.fetch(&Fetch::of(&filled.topic, 0, found).at_most(FETCH_BYTES, FETCH_BYTES));
    let fetch = since.elapsed();
    if let Some(error) = answer.error_code.err() {
        return Err(format!("fetching from {found}: {error}"));
    }
    let batches = parse_whole(&answer.records.unwrap_or_default())?;
    let record = batches.iter().flat_map(|batch| &batch.records).find(|record| record.offset == offset);
    match record {
        Some(record) if record.timestamp == filled.first_ms + offset => Ok((look_up, fetch)),
        other => Err(format!("record {offset} should be of {}, fetched is {other:?}", filled.first_ms + offset)),
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol_tests::batch::parse;

    #[test]
    fn a_batch_at_another_time_is_sound() {
        let batch = at_time(&template(), 1_700_000_000_000);
        assert!(batch.len() < 1_000_000, "{} bytes", batch.len());
        let read = parse(batch).unwrap();
        let records = &read[0].records;
        assert_eq!((records[0].timestamp, records[49_999].timestamp), (1_700_000_000_000, 1_700_000_049_999));
        assert_eq!(read[0].max_timestamp, 1_700_000_049_999);
    }

    #[test]
    fn records_fill_whole_batches() {
        assert_eq!((batches_of(1), batches_of(50_000), batches_of(50_001)), (1, 1, 2));
    }
}
