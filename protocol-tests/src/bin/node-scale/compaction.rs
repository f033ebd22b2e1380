//! What a pass of compaction costs those who produce meanwhile: one producer sends as fast as answers come, first alone, then while another topic is
//! compacted, then alone again.

use crate::topics;
use crate::usage::Usage;
use bytes::Bytes;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeLogDirsRequest, IncrementalAlterConfigsRequest};
use protocol_tests::batch::Batch;
use protocol_tests::broker::{Broker, patient};
use protocol_tests::client::Client;
use protocol_tests::frame::{text, topic_name};
use protocol_tests::latency::Latencies;
use protocol_tests::options::Given;
use protocol_tests::pipeline::{Pipeline, accepted};
use protocol_tests::server::Launch;
use protocol_tests::topics::Topic;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// From when a topic is to be compacted until it is.
const COMPACTION_LIMIT: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(20);
const VALUE_BYTES: usize = 1000;
const BATCH_RECORDS: u64 = 64;
const PARTITIONS: i32 = 4;
/// The last segment of a log is not compacted: small ones, so that little is left.
const SEGMENT_BYTES: u64 = 16 << 20;
const TOPIC: i8 = 2;
const SET: i8 = 0;

/// # Errors
/// What the broker refused, or a topic that was not compacted.
pub fn measure(given: &Given) -> Result<(), String> {
    let gigabytes: f64 = given.number("--gb", 2.0)?;
    if !(0.1..=1000.0).contains(&gigabytes) {
        return Err(format!("--gb {gigabytes}: 0.1 to 1000"));
    }
    let keys = given.positive("--keys", 10_000)?;
    let seconds = Duration::from_secs(given.positive("--seconds", 10)?);
    // Kafka has the same setting, 15 s as it comes: there the second row begins with a wait.
    let broker = Broker::of(given, Launch::new().set("kafka.log.cleaner.backoff.ms", "100"))?;
    let mut client = broker.connect();
    let segment_bytes = SEGMENT_BYTES.to_string();
    let later = [
        ("cleanup.policy", "delete"),
        ("retention.ms", "-1"),
        ("segment.bytes", segment_bytes.as_str()),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    let compacted = client.create_topic("compacted", 1, &later);
    let plain = client.create_topic("beside", PARTITIONS, &[("retention.ms", "-1")]);
    client.wait_led(&compacted, 1, PATIENCE)?;
    client.wait_led(&plain, PARTITIONS, PATIENCE)?;
    fill(&broker, &compacted, (gigabytes * 1e9) as u64, keys)?;
    let before = size_of(&mut client, &compacted)?;
    let target = compacted_bytes(keys);
    if target > before / 2 {
        return Err(format!("--gb {gigabytes} --keys {keys}: too much of it would stay; give more bytes or fewer keys"));
    }

    let load = Load::start(broker.address(), &plain);
    println!("{:<20} {:>9} {:>9} {:>9} {}", "producing", "seconds", "MB/s", "CPU s", Latencies::headings());
    std::thread::sleep(seconds / 4);
    let pause = || {
        std::thread::sleep(seconds);
        Ok(())
    };
    let alone = load.phase(&broker, "alone", pause);
    let beside = load.phase(&broker, "beside compaction", || compact(&mut client, &compacted, target));
    let again = load.phase(&broker, "alone again", pause);
    load.finish()?;
    alone.and(beside).and(again)?;
    println!("compacted: {:.1} MB to {:.1} MB", before as f64 / 1e6, size_of(&mut client, &compacted)? as f64 / 1e6);
    Ok(())
}

/// What may be left of a log with so many keys: a record of each, and what lies in the last segment and in the one before.
fn compacted_bytes(keys: u64) -> i64 {
    let records = keys * VALUE_BYTES as u64 * 11 / 10;
    i64::try_from(records + 2 * SEGMENT_BYTES).unwrap_or(i64::MAX)
}

/// Records of so many keys in turn.
fn fill(broker: &Broker, topic: &Topic, bytes: u64, keys: u64) -> Result<(), String> {
    let mut pipeline: Pipeline<()> = Pipeline::new(broker.connect());
    let batches = (bytes / VALUE_BYTES as u64).div_ceil(BATCH_RECORDS);
    for first in (0..batches).map(|number| number * BATCH_RECORDS) {
        let names = (first..first + BATCH_RECORDS).map(|number| Some(format!("key {}", number % keys)));
        pipeline.push(&topics::request(topic, vec![(0, batch(names))]))?;
    }
    pipeline.finish()
}

fn batch(keys: impl Iterator<Item = Option<String>>) -> Bytes {
    let value = [b'v'; VALUE_BYTES];
    let with = |batch: Batch, key: Option<String>| {
        batch.record(protocol_tests::now_ms(), key.as_deref().map(str::as_bytes), Some(&value))
    };
    keys.fold(Batch::default(), with).build()
}

/// Has `topic` compacted, and waits until it has no more than `target` bytes.
fn compact(client: &mut Client, topic: &Topic, target: i64) -> Result<(), String> {
    let config =
        AlterableConfig::default().with_name(text("cleanup.policy")).with_config_operation(SET).with_value(Some(text("compact")));
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(&topic.name))
        .with_configs(vec![config]);
    let response = client.call(1, &IncrementalAlterConfigsRequest::default().with_resources(vec![resource]));
    if let Some(refused) = response.responses.iter().find(|one| one.error_code != 0) {
        return Err(format!("cleanup.policy=compact was refused: {:?}", refused.error_message));
    }
    let began = Instant::now();
    while size_of(client, topic)? > target {
        if began.elapsed() > COMPACTION_LIMIT {
            return Err(format!("not compacted within {} s", COMPACTION_LIMIT.as_secs()));
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Bytes of the topic's first partition.
fn size_of(client: &mut Client, topic: &Topic) -> Result<i64, String> {
    let asked = DescribableLogDirTopic::default().with_topic(topic_name(&topic.name)).with_partitions(vec![0]);
    let response = client.call(4, &DescribeLogDirsRequest::default().with_topics(Some(vec![asked])));
    let mut partitions = response.results.iter().flat_map(|dir| &dir.topics).flat_map(|topic| &topic.partitions);
    partitions.next().map(|partition| partition.partition_size).ok_or_else(|| format!("{} is in no log directory", topic.name))
}

#[derive(Default)]
struct Shared {
    /// Of the requests that were answered since somebody looked.
    answered: Mutex<Latencies>,
    is_over: AtomicBool,
}

impl Shared {
    fn take(&self) -> Latencies {
        std::mem::take(&mut *self.answered.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A producer on a thread of its own: a batch to each partition in every request, several requests in flight.
struct Load {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<(), String>>,
}

impl Load {
    fn start(address: SocketAddr, topic: &Topic) -> Load {
        let shared = Arc::new(Shared::default());
        let (topic, theirs) = (topic.clone(), shared.clone());
        Load { shared, thread: std::thread::spawn(move || produce(address, &topic, &theirs)) }
    }

    /// Prints a row about what was produced while `work` was done.
    fn phase(&self, broker: &Broker, name: &str, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        let before = Usage::of(broker.process());
        self.shared.take();
        work()?;
        let answered = self.shared.take();
        let after = Usage::of(broker.process());
        let seconds = after.seconds_since(&before);
        let records = answered.count() * PARTITIONS.unsigned_abs() as u64 * BATCH_RECORDS;
        let megabytes = records as f64 * VALUE_BYTES as f64 / 1e6;
        println!("{name:<20} {seconds:>9.1} {:>9.0} {:>9.2} {}", megabytes / seconds, after.cpu_since(&before), answered.row());
        Ok(())
    }

    /// # Errors
    /// What the broker refused.
    fn finish(self) -> Result<(), String> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the producer panicked".to_owned())?
    }
}

fn produce(address: SocketAddr, topic: &Topic, shared: &Shared) -> Result<(), String> {
    let batch = batch((0..BATCH_RECORDS).map(|_| None));
    let request = topics::request(topic, (0..PARTITIONS).map(|partition| (partition, batch.clone())).collect());
    let mut pipeline: Pipeline<Instant> = Pipeline::new(patient(address));
    while !shared.is_over.load(Ordering::Relaxed) {
        let Some((sent, response)) = pipeline.send(&request, Instant::now()).map_err(|failure| failure.to_string())? else {
            continue;
        };
        accepted(&response)?;
        shared.answered.lock().unwrap_or_else(PoisonError::into_inner).record(sent.elapsed());
    }
    while pipeline.answer().map_err(|failure| failure.to_string())?.is_some() {}
    Ok(())
}
