//! Clients that ask for too much at once: consumers of 50 MB each, producers of 1 MB batches, and readers that ask and then stop reading. The broker
//! may make them wait or send them away, but its memory stays within its budgets and a stated constant, and it answers others afterwards.
//!
//! For an fbf that it starts the budget is `limits.memory_bytes` (--budget-mb) and what `limits.tail_bytes` and `storage.queue_bytes` add, at
//! their defaults; for another broker --budget-mb is all of it.

use crate::topics;
use crate::usage::{Usage, headings, line};
use bytes::Bytes;
use kafka_protocol::error::ParseResponseErrorCode;
use protocol_tests::batch::Batch;
use protocol_tests::broker::{self, Broker};
use protocol_tests::descriptors;
use protocol_tests::options::Given;
use protocol_tests::pipeline::Pipeline;
use protocol_tests::records::Fetch;
use protocol_tests::server::Launch;
use protocol_tests::topics::Topic;
use std::time::Duration;

mod clients;

use clients::{Counts, Load};

const PARTITIONS: i32 = 16;
/// Below Kafka's message.max.bytes with its header.
const BATCH_BYTES: usize = 1_000_000;
const PATIENCE: Duration = Duration::from_secs(60);
const SPARE: u64 = 200;
const MB: u64 = 1 << 20;
/// fbf's defaults.
const TAIL_BYTES: u64 = 32 * MB;
const QUEUE_BYTES: u64 = 64 * MB;
const COLUMNS: [&str; 9] =
    ["consumers", "producers", "stopped", "fetched MB", "produced MB", "turned away", "CPU s", "peak MB", "allowed MB"];

/// # Errors
/// When the broker took more memory than it may, or answers no more.
pub fn measure(given: &Given) -> Result<(), String> {
    let options = Options::of(given)?;
    descriptors::raise_for(options.counts.all() + SPARE)?;
    let launch = Launch::new()
        .set("limits.memory_bytes", &(options.budget_mb * MB).to_string())
        .set("limits.tail_bytes", &TAIL_BYTES.to_string())
        .set("storage.queue_bytes", &QUEUE_BYTES.to_string())
        .set("limits.connections", &(options.counts.all() + SPARE).to_string());
    let broker = Broker::of(given, launch)?;
    let mut client = broker.connect();
    let read = client.create_topic("abuse-read", PARTITIONS, &[]);
    let written = client.create_topic("abuse-written", PARTITIONS, &[]);
    client.wait_led(&read, PARTITIONS, PATIENCE)?;
    client.wait_led(&written, PARTITIONS, PATIENCE)?;
    let batch = Batch::of_bytes(BATCH_BYTES).build();
    fill(&broker, &read, &batch, options.fill_mb)?;
    let before = Usage::of(broker.process());
    println!("RSS {:.1} MB before; {} s of abuse", before.memory_mb(), options.time.as_secs());
    let done =
        Load { address: broker.address(), read: &read, written: &written, batch: &batch, time: options.time }.run(options.counts);
    let after = Usage::of(broker.process());
    let peak = broker.process().peak_memory_bytes();
    let allowed = options.allowed_bytes(matches!(broker, Broker::Started(_)));
    println!("{}", headings(&COLUMNS));
    let row = [
        options.counts.consumers.to_string(),
        options.counts.producers.to_string(),
        options.counts.stopped.to_string(),
        (done.fetched_bytes / 1_000_000).to_string(),
        (done.produced_bytes / 1_000_000).to_string(),
        done.turned_away.to_string(),
        format!("{:.1}", after.cpu_since(&before)),
        format!("{:.1}", peak as f64 / 1e6),
        format!("{:.1}", allowed as f64 / 1e6),
    ];
    println!("{}", line(&row));
    check_alive(&broker, &read)?;
    if peak > allowed {
        return Err(format!("the broker's memory was {peak} bytes at its peak; its budgets and the constant allow {allowed}"));
    }
    Ok(())
}

struct Options {
    budget_mb: u64,
    constant_mb: u64,
    fill_mb: u64,
    time: Duration,
    counts: Counts,
}

impl Options {
    fn of(given: &Given) -> Result<Options, String> {
        if given.is_given("--bootstrap") && !given.is_given("--budget-mb") {
            return Err("--bootstrap needs --budget-mb: what that broker may take".to_owned());
        }
        Ok(Options {
            budget_mb: given.positive("--budget-mb", 512)?,
            // The program itself, RocksDB's caches and memtables, stacks, connections' own state, and what the allocator has not given back.
            constant_mb: given.number("--constant-mb", 320)?,
            fill_mb: given.positive("--fill-mb", 400)?,
            time: Duration::from_secs(given.positive("--seconds", 30)?),
            counts: Counts {
                consumers: given.number("--consumers", 1000)?,
                producers: given.number("--producers", 2000)?,
                stopped: given.number("--stopped", 10)?,
            },
        })
    }

    fn allowed_bytes(&self, is_started: bool) -> u64 {
        let beside = if is_started { TAIL_BYTES + QUEUE_BYTES } else { 0 };
        (self.budget_mb + self.constant_mb) * MB + beside
    }
}

fn fill(broker: &Broker, topic: &Topic, batch: &Bytes, megabytes: u64) -> Result<(), String> {
    let mut pipeline: Pipeline<()> = Pipeline::new(broker.connect());
    for (partition, _) in (0..PARTITIONS).cycle().zip(0..megabytes) {
        pipeline.push(&topics::request(topic, vec![(partition, batch.clone())]))?;
    }
    pipeline.finish()
}

/// Whether somebody who asks for little is served.
fn check_alive(broker: &Broker, topic: &Topic) -> Result<(), String> {
    let mut client = broker::patient(broker.address());
    let offset = client.produced(topic, 0, Batch::of(&["still there"]).build());
    let answer = client.fetch(&Fetch::of(topic, 0, offset));
    match answer.error_code.err() {
        None if answer.records.as_ref().is_some_and(|records| !records.is_empty()) => Ok(()),
        error => Err(format!("after the abuse the record at {offset} is not answered: {error:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Result<Options, String> {
        let names = ["--budget-mb", "--constant-mb", "--bootstrap"];
        Options::of(&Given::parse(words.iter().map(|word| (*word).to_owned()), &names, &[])?)
    }

    #[test]
    fn budgets_and_constant_add_up() {
        let options = options(&["--budget-mb", "100", "--constant-mb", "50"]).unwrap();
        assert_eq!(options.allowed_bytes(true), (100 + 50 + 32 + 64) << 20);
        assert_eq!(options.allowed_bytes(false), 150 << 20);
    }

    #[test]
    fn the_budget_of_a_broker_that_runs_must_be_told() {
        assert!(options(&["--bootstrap", "127.0.0.1:9092"]).is_err_and(|what| what.contains("--budget-mb")));
    }
}
