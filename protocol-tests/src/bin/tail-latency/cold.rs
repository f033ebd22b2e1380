//! A topic that was written before, and a reader who reads all of it, over and over, as fast as it goes: what a broker does for a consumer that
//! comes late must not disturb the others.

use crate::run::Run;
use bytes::Bytes;
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::fetch_response::FetchResponse;
use protocol_tests::batch::{Batch, whole};
use protocol_tests::broker::{self, Broker};
use protocol_tests::now_ms;
use protocol_tests::pipeline::Pipeline;
use protocol_tests::records::{FETCH_BY_NAME, Fetch, produce_topic};
use protocol_tests::topics::Topic;
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 4;
const BATCH_RECORDS: usize = 250;
const VALUE_BYTES: usize = 1024;
/// What Kafka's consumers ask for: `fetch.max.bytes` and `max.partition.fetch.bytes`.
const FETCH_BYTES: i32 = 50 << 20;
const PARTITION_BYTES: i32 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// The topic, and the offset after the last record of each partition.
pub struct Cold {
    topic: Topic,
    end: i64,
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Read {
    pub bytes: u64,
    pub took: Duration,
    /// How often all of it was read.
    pub passes: u64,
}

impl Cold {
    /// Writes about so many gigabytes.
    ///
    /// # Errors
    /// What the broker refused.
    pub fn write(broker: &Broker, gigabytes: f64) -> Result<Cold, String> {
        let mut client = broker.connect();
        let topic = client.create_topic("tail-cold", PARTITIONS, &[("retention.ms", "-1")]);
        client.wait_led(&topic, PARTITIONS, PATIENCE)?;
        let batch = batch();
        let each = batch.len() as f64 * f64::from(PARTITIONS);
        let requests = (gigabytes * 1e9 / each).ceil() as i64;
        let mut pipeline: Pipeline<()> = Pipeline::new(client);
        for _ in 0..requests {
            let batches: Vec<(i32, Bytes)> = (0..PARTITIONS).map(|partition| (partition, batch.clone())).collect();
            let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000);
            pipeline.push(&request.with_topic_data(vec![produce_topic(&topic, batches)]))?;
        }
        pipeline.finish()?;
        Ok(Cold { topic, end: requests * BATCH_RECORDS as i64 })
    }

    /// Reads during the measured time.
    ///
    /// # Errors
    /// What the broker refused.
    pub fn read(&self, run: &Run<'_>) -> Result<Read, String> {
        run.wait_until(run.options.schedule.warm_up);
        let mut client = broker::patient(run.address);
        let (mut read, mut positions) = (Read::default(), self.beginning());
        let began = Instant::now();
        while !run.is_over() && run.elapsed() < run.options.schedule.end() {
            let answer: Result<FetchResponse, _> = client.try_call(FETCH_BY_NAME, &self.fetch(&positions).request());
            let response = answer.map_err(|failure| format!("the reader of the cold topic: {failure}"))?;
            read.bytes += self.take(&mut positions, &response)?;
            if positions.iter().all(|position| *position >= self.end) {
                read.passes += 1;
                positions = self.beginning();
            }
        }
        read.took = began.elapsed();
        Ok(read)
    }

    fn beginning(&self) -> Vec<i64> {
        (0..PARTITIONS).map(|_| 0).collect()
    }

    /// Of all partitions that are not read to the end.
    fn fetch(&self, positions: &[i64]) -> Fetch {
        let mut fetch = Fetch::of(&self.topic, 0, 0).unchanged();
        for (partition, position) in (0..PARTITIONS).zip(positions) {
            if *position < self.end {
                fetch = fetch.and(partition, *position);
            }
        }
        fetch.at_most(FETCH_BYTES, PARTITION_BYTES)
    }

    /// Moves the positions; answers the bytes of batches.
    fn take(&self, positions: &mut [i64], response: &FetchResponse) -> Result<u64, String> {
        if let Some(error) = response.error_code.err() {
            return Err(format!("fetching from {}: {error}", self.topic.name));
        }
        let mut bytes = 0;
        for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
            if let Some(error) = partition.error_code.err() {
                return Err(format!("fetching from {}-{}: {error}", self.topic.name, partition.partition_index));
            }
            let records = partition.records.clone().unwrap_or_default();
            let index = usize::try_from(partition.partition_index).map_err(|error| error.to_string())?;
            if let (Some(position), Some((_, next))) = (positions.get_mut(index), whole(&records)) {
                *position = next;
            }
            bytes += records.len() as u64;
        }
        Ok(bytes)
    }
}

fn batch() -> Bytes {
    let (timestamp, value) = (now_ms(), vec![b'c'; VALUE_BYTES]);
    let mut batch = Batch::default();
    for _ in 0..BATCH_RECORDS {
        batch = batch.record(timestamp, None, Some(&value));
    }
    batch.build()
}

/// Bytes of memory of this machine, in which the system may keep a cold topic although nobody reads it.
pub fn machine_memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("MemTotal:")).unwrap_or_default();
    let kilobytes: u64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    kilobytes * 1024
}
