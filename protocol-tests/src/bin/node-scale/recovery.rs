//! `kill -9` under full load: how long until the broker answers again with much data in many partitions, and whether every acknowledged batch is
//! there. First at a tenth of the size: recovery should depend on what was not finished, not on what is kept.

use crate::topics::{self, Partitioned};
use crate::usage::{headings, line};
use bytes::{Bytes, BytesMut};
use protocol_tests::batch::{Batch, HEADER_BYTES, seal};
use protocol_tests::broker;
use protocol_tests::options::Given;
use protocol_tests::process::Process;
use protocol_tests::server::{Launch, Server};
use std::time::{Duration, Instant};

mod acknowledged;
mod load;

use acknowledged::Acknowledged;
use load::Load;

const START_LIMIT: Duration = Duration::from_secs(600);
/// fbf's default; the tests' is smaller.
const SEGMENT_BYTES: &str = "134217728";
/// A batch is one record of this size, which begins with the batch's number.
const VALUE_BYTES: usize = 64 * 1024;
/// Where the number is: behind the record's length (3 bytes), attributes, timestamp, offset, key and the value's length (3 bytes).
const NUMBER_AT: usize = HEADER_BYTES + 10;
const COLUMNS: [&str; 10] =
    ["GB", "partitions", "write s", "MB/s", "RSS MB", "listening s", "answering s", "CPU s", "RSS MB after", "batches"];

/// # Errors
/// What the broker refused, or a batch that was acknowledged and is gone.
pub fn measure(given: &Given) -> Result<(), String> {
    if given.is_given("--bootstrap") {
        return Err("recovery kills the broker and starts it again: only an fbf that it has started".to_owned());
    }
    let gigabytes: f64 = given.number("--gb", 10.0)?;
    if !(0.01..=1e6).contains(&gigabytes) {
        return Err(format!("--gb {gigabytes}: 0.01 to 1000000"));
    }
    let partitions = given.positive("--partitions", 10_000)?;
    println!("{}", headings(&COLUMNS));
    let small = row(given, gigabytes / 10.0, partitions)?;
    let large = row(given, gigabytes, partitions)?;
    println!(
        "answering again takes {:.2} times as long with ten times the data",
        large.as_secs_f64() / small.as_secs_f64().max(1e-9)
    );
    Ok(())
}

/// Prints one row, and answers how long it took until everything answered.
fn row(given: &Given, gigabytes: f64, partitions: u64) -> Result<Duration, String> {
    let launch = Launch::new().set("storage.segment_bytes", SEGMENT_BYTES).start_within(START_LIMIT);
    let mut server = started(given, launch)?;
    let mut client = broker::patient(server.address());
    let topics = topics::create(&mut client, "recovery", partitions)?;
    drop(client);
    let written = Instant::now();
    let load = Load::start(server.address(), &topics);
    load.wait_acknowledged((gigabytes * 1e9) as u64);
    let (write, memory) = (written.elapsed(), server.process().memory_bytes());
    load.expect_the_end();
    server.kill9();
    let acknowledged: Vec<Acknowledged> = load.finish()?;
    let began = Instant::now();
    server.restart();
    let listening = began.elapsed();
    let ends = answering(&server, &topics)?;
    let answering = began.elapsed();
    let process: Process = server.process();
    let (cpu, memory_after) = (process.cpu(), process.memory_bytes());
    let bytes = acknowledged.len() as f64 * VALUE_BYTES as f64;
    println!(
        "{}",
        line(&[
            format!("{:.2}", bytes / 1e9),
            partitions.to_string(),
            format!("{:.1}", write.as_secs_f64()),
            format!("{:.0}", bytes / 1e6 / write.as_secs_f64()),
            format!("{:.1}", memory as f64 / 1e6),
            format!("{:.2}", listening.as_secs_f64()),
            format!("{:.2}", answering.as_secs_f64()),
            format!("{:.2}", cpu.as_secs_f64()),
            format!("{:.1}", memory_after as f64 / 1e6),
            acknowledged.len().to_string(),
        ])
    );
    acknowledged::check(server.address(), &topics, &ends, &acknowledged)?;
    Ok(answering)
}

fn started(given: &Given, launch: Launch) -> Result<Server, String> {
    match broker::Broker::of(given, launch)? {
        broker::Broker::Started(server) => Ok(*server),
        broker::Broker::Found { .. } => Err("--pid goes with --bootstrap, which recovery does not take".to_owned()),
    }
}

/// The end of each partition of each topic, once all answer, and a record is taken.
fn answering(server: &Server, topics: &[Partitioned]) -> Result<Vec<Vec<i64>>, String> {
    let mut client = broker::patient(server.address());
    let mut ends = Vec::new();
    for partitioned in topics {
        client.wait_led(&partitioned.topic, partitioned.partitions, START_LIMIT)?;
        let answers = client.list_offsets(&partitioned.topic, 0..partitioned.partitions, protocol_tests::offsets::LATEST);
        let mut topic_ends = vec![0; answers.len()];
        for answer in answers {
            let index = usize::try_from(answer.partition_index).map_err(|error| error.to_string())?;
            let end =
                topic_ends.get_mut(index).ok_or_else(|| format!("an answer for partition {index}, which nobody asked for"))?;
            *end = answer.offset;
        }
        ends.push(topic_ends);
    }
    let last = topics.last().ok_or("there is no topic")?;
    client.produced(&last.topic, last.partitions - 1, numbered(&template(), u64::MAX));
    Ok(ends)
}

fn template() -> Bytes {
    Batch::of_bytes(VALUE_BYTES).build()
}

/// The batch with this number.
fn numbered(template: &Bytes, number: u64) -> Bytes {
    let mut batch = BytesMut::from(&template[..]);
    batch[NUMBER_AT..NUMBER_AT + 8].copy_from_slice(&number.to_be_bytes());
    seal(batch)
}

/// The number of a batch, by its record's value.
fn number_of(value: &[u8]) -> Option<u64> {
    let bytes: [u8; 8] = value.get(..8)?.try_into().ok()?;
    Some(u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol_tests::batch::parse;

    #[test]
    fn a_number_is_written_where_it_is_read() {
        let read = parse(numbered(&template(), 0x0102_0304_0506_0708)).unwrap();
        let value = read[0].records[0].value.clone().unwrap();
        assert_eq!(value.len(), VALUE_BYTES);
        assert_eq!(number_of(&value), Some(0x0102_0304_0506_0708));
    }
}
