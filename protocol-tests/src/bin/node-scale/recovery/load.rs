//! Producers that send as fast as answers come, to all partitions in turn, until the broker is gone.

use super::acknowledged::Acknowledged;
use super::{VALUE_BYTES, numbered, template};
use crate::topics::{self, Partitioned};
use bytes::Bytes;
use kafka_protocol::messages::produce_response::ProduceResponse;
use protocol_tests::broker;
use protocol_tests::pipeline::{Pipeline, accepted};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const PRODUCERS: u64 = 4;
/// Batches of a request, each for another partition.
const BATCHES: i32 = 16;
const POLL: Duration = Duration::from_millis(5);
/// Numbers of different producers differ in these bits.
const PRODUCER_SHIFT: u32 = 40;

/// What all producers share.
#[derive(Default)]
struct Shared {
    bytes: AtomicU64,
    /// The broker may be gone from now on.
    is_ending: AtomicBool,
    has_failed: AtomicBool,
}

pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<Vec<Acknowledged>, String>>>,
}

/// The batches of one request.
struct Request {
    topic: usize,
    numbers: Vec<(i32, u64)>,
}

impl Load {
    pub fn start(address: SocketAddr, topics: &[Partitioned]) -> Load {
        let shared = Arc::new(Shared::default());
        let mut threads = Vec::new();
        for producer in 0..PRODUCERS {
            let (shared, topics) = (Arc::clone(&shared), topics.to_vec());
            threads.push(std::thread::spawn(move || produce(producer, address, &topics, &shared)));
        }
        Load { shared, threads }
    }

    /// Waits until so many bytes of values are acknowledged, or a producer has failed.
    pub fn wait_acknowledged(&self, bytes: u64) {
        while self.shared.bytes.load(Ordering::Relaxed) < bytes && !self.shared.has_failed.load(Ordering::Relaxed) {
            std::thread::sleep(POLL);
        }
    }

    /// From now on a broken connection is no failure.
    pub fn expect_the_end(&self) {
        self.shared.is_ending.store(true, Ordering::SeqCst);
    }

    /// Everything that was acknowledged, once all producers have ended.
    ///
    /// # Errors
    /// What the broker refused, or a connection that broke before its time.
    pub fn finish(self) -> Result<Vec<Acknowledged>, String> {
        let mut all = Vec::new();
        for thread in self.threads {
            let acknowledged = thread.join().map_err(|_| "a producer panicked".to_owned())?;
            all.extend(acknowledged?);
        }
        Ok(all)
    }
}

fn produce(producer: u64, address: SocketAddr, topics: &[Partitioned], shared: &Shared) -> Result<Vec<Acknowledged>, String> {
    let mut acknowledged = Vec::new();
    let result = produce_until_the_end(producer, address, topics, shared, &mut acknowledged);
    if result.is_err() {
        shared.has_failed.store(true, Ordering::Relaxed);
    }
    result.map(|()| acknowledged)
}

fn produce_until_the_end(
    producer: u64,
    address: SocketAddr,
    topics: &[Partitioned],
    shared: &Shared,
    acknowledged: &mut Vec<Acknowledged>,
) -> Result<(), String> {
    let template = template();
    let mut pipeline: Pipeline<Request> = Pipeline::new(broker::patient(address));
    let mut next = producer << PRODUCER_SHIFT;
    for turn in producer.. {
        let (topic, partitions) = place(topics, turn);
        let mut request = Request { topic, numbers: Vec::new() };
        let mut batches: Vec<(i32, Bytes)> = Vec::new();
        for partition in partitions {
            request.numbers.push((partition, next));
            batches.push((partition, numbered(&template, next)));
            next += 1;
        }
        match pipeline.send(&topics::request(&topics[topic].topic, batches), request) {
            Ok(None) => {}
            Ok(Some((sent, response))) => note(&sent, &response, shared, acknowledged)?,
            Err(_) if shared.is_ending.load(Ordering::SeqCst) => break,
            Err(failure) => return Err(format!("producer {producer}: {failure}")),
        }
    }
    // What the broker has answered before its end counts as well.
    while let Ok(Some((sent, response))) = pipeline.answer() {
        note(&sent, &response, shared, acknowledged)?;
    }
    Ok(())
}

/// The topic and the partitions of one request: topics in turn, and of each topic the next few partitions.
fn place(topics: &[Partitioned], turn: u64) -> (usize, Vec<i32>) {
    let count = topics.len() as u64;
    let topic = usize::try_from(turn % count).expect("below the number of topics");
    let partitions = topics[topic].partitions;
    let groups = u64::try_from((partitions + BATCHES - 1) / BATCHES).expect("at least one");
    let group = i32::try_from(turn / count % groups).expect("below the number of groups");
    (topic, (group * BATCHES..((group + 1) * BATCHES).min(partitions)).collect())
}

fn note(sent: &Request, response: &ProduceResponse, shared: &Shared, acknowledged: &mut Vec<Acknowledged>) -> Result<(), String> {
    accepted(response)?;
    for answer in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
        let own = sent.numbers.iter().find(|(partition, _)| *partition == answer.index);
        let (partition, number) =
            *own.ok_or_else(|| format!("an answer for partition {}, which was not sent to", answer.index))?;
        acknowledged.push(Acknowledged { topic: sent.topic, partition, offset: answer.base_offset, number });
        shared.bytes.fetch_add(VALUE_BYTES as u64, Ordering::Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol_tests::topics::Topic;

    fn topics(sizes: &[i32]) -> Vec<Partitioned> {
        let topic = |partitions: &i32| Partitioned {
            topic: Topic { name: "t".to_owned(), id: uuid::Uuid::nil() },
            partitions: *partitions,
        };
        sizes.iter().map(topic).collect()
    }

    #[test]
    fn every_partition_has_its_turn() {
        let topics = topics(&[40, 3]);
        let places: Vec<(usize, Vec<i32>)> = (0..6).map(|turn| place(&topics, turn)).collect();
        let first: Vec<i32> = places.iter().filter(|place| place.0 == 0).flat_map(|place| place.1.clone()).collect();
        assert_eq!(first, (0..40).collect::<Vec<i32>>());
        assert_eq!(places[1], (1, vec![0, 1, 2]));
    }
}
