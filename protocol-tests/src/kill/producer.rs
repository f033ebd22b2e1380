//! A producer that keeps five requests in flight and remembers what was acknowledged. An idempotent one sends again, with the same
//! sequences, what was not; the others give it up, so that none of their records can be there twice either.

use crate::batch::Batch;
use crate::client::{Client, Failure};
use crate::frame::topic_name;
use crate::kill::PARTITIONS;
use crate::kill::truth::{Acknowledged, Mark};
use crate::now_ms;
use crate::records::{PRODUCE_BY_NAME, produce_topic};
use crate::topics::Topic;
use bytes::Bytes;
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_response::ProduceResponse;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// What Kafka's producers keep in flight, and the most that a broker recognises as duplicates.
const IN_FLIGHT_MAX: usize = 5;
const RECORDS_MAX: u32 = 20;
const PARTITIONS_PER_REQUEST_MAX: usize = 3;

/// One batch.
struct Part {
    partition: i32,
    first: u64,
    count: u32,
    bytes: Bytes,
}

/// One request: batches for different partitions.
struct Sent {
    correlation_id: i32,
    parts: Vec<Part>,
}

pub struct Producer {
    index: u32,
    identity: Option<(i64, i16)>,
    topic: Topic,
    rng: StdRng,
    next_number: u64,
    next_sequence: Vec<i32>,
    in_flight: VecDeque<Sent>,
    acknowledged: Vec<Acknowledged>,
    pub acknowledged_records: u64,
    assigned: Vec<Vec<(u64, u32)>>,
}

impl Producer {
    /// `identity`: producer id and epoch of an idempotent one.
    #[must_use]
    pub fn new(index: u32, identity: Option<(i64, i16)>, topic: &Topic, seed: u64) -> Producer {
        let partitions = usize::try_from(PARTITIONS).expect("a small number");
        Producer {
            index,
            identity,
            topic: topic.clone(),
            rng: StdRng::seed_from_u64(seed.wrapping_add(u64::from(index) + 1)),
            next_number: 0,
            next_sequence: vec![0; partitions],
            in_flight: VecDeque::new(),
            acknowledged: Vec::new(),
            acknowledged_records: 0,
            assigned: vec![Vec::new(); partitions],
        }
    }

    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.identity.is_some()
    }

    /// By partition: first number and count of every batch that was ever made.
    #[must_use]
    pub fn assigned(&self) -> &[Vec<(u64, u32)>] {
        &self.assigned
    }

    /// What was acknowledged since the last call.
    pub fn take_acknowledged(&mut self) -> Vec<Acknowledged> {
        std::mem::take(&mut self.acknowledged)
    }

    /// Produces until the server is gone.
    ///
    /// # Errors
    /// When the server answers with an error, or not at all.
    pub fn load(&mut self, address: SocketAddr) -> Result<(), String> {
        self.send(address, Until::ServerIsGone)
    }

    /// Sends what is still open, if idempotent, and waits for the answers.
    ///
    /// # Errors
    /// See [`Producer::load`]; also when the server goes away.
    pub fn drain(&mut self, address: SocketAddr) -> Result<(), String> {
        self.send(address, Until::NothingIsOpen)?;
        if self.in_flight.is_empty() { Ok(()) } else { Err(format!("producer {}: the server went away", self.index)) }
    }

    fn send(&mut self, address: SocketAddr, until: Until) -> Result<(), String> {
        let mut again = std::mem::take(&mut self.in_flight);
        if !self.is_idempotent() {
            again.clear();
        }
        let outcome = self.exchange(address, until, &mut again);
        // What was not even sent again stays behind what was.
        self.in_flight.append(&mut again);
        match outcome {
            Ok(()) | Err(Failure::Closed) => Ok(()),
            Err(failure) => Err(format!("producer {}: {failure}", self.index)),
        }
    }

    fn exchange(&mut self, address: SocketAddr, until: Until, again: &mut VecDeque<Sent>) -> Result<(), Failure> {
        let mut client = Client::try_connect(address)?;
        loop {
            while self.in_flight.len() < IN_FLIGHT_MAX {
                let parts = match (again.pop_front(), until) {
                    (Some(sent), _) => sent.parts,
                    (None, Until::ServerIsGone) => self.next_parts(),
                    (None, Until::NothingIsOpen) => break,
                };
                let request = self.request(&parts);
                // Open from now on, whether or not the sending goes well: a retry must come before anything newer.
                self.in_flight.push_back(Sent { correlation_id: 0, parts });
                let correlation_id = client.send(PRODUCE_BY_NAME, &request)?;
                if let Some(sent) = self.in_flight.back_mut() {
                    sent.correlation_id = correlation_id;
                }
            }
            let Some(sent) = self.in_flight.front() else { return Ok(()) };
            let response = client.receive::<ProduceRequest>(PRODUCE_BY_NAME, sent.correlation_id)?;
            if let Some(sent) = self.in_flight.pop_front() {
                self.settle(sent, &response)?;
            }
        }
    }

    fn next_parts(&mut self) -> Vec<Part> {
        let mut partitions: Vec<i32> = (0..PARTITIONS).collect();
        partitions.shuffle(&mut self.rng);
        partitions.truncate(self.rng.random_range(1..=PARTITIONS_PER_REQUEST_MAX));
        partitions.into_iter().map(|partition| self.next_part(partition)).collect()
    }

    fn next_part(&mut self, partition: i32) -> Part {
        let at = usize::try_from(partition).expect("a partition");
        let (first, count) = (self.next_number, self.rng.random_range(1..=RECORDS_MAX));
        self.next_number += u64::from(count);
        self.assigned[at].push((first, count));
        let numbers = first..self.next_number;
        let mut batch = numbers.fold(Batch::default(), |batch, number| {
            batch.record(now_ms(), None, Some(&Mark { producer: self.index, number }.value()))
        });
        if let Some((id, epoch)) = self.identity {
            let sequence = self.next_sequence[at];
            self.next_sequence[at] += i32::try_from(count).expect("a small number");
            batch = batch.idempotent(id, epoch, sequence);
        }
        Part { partition, first, count, bytes: batch.build() }
    }

    fn request(&self, parts: &[Part]) -> ProduceRequest {
        let partitions = parts.iter().map(|part| (part.partition, part.bytes.clone())).collect();
        ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![produce_topic(&self.topic, partitions)])
    }

    /// Notes what was acknowledged. No error is expected: the server is either there or gone.
    fn settle(&mut self, sent: Sent, response: &ProduceResponse) -> Result<(), Failure> {
        let topic = response.responses.iter().find(|topic| topic.name == topic_name(&self.topic.name));
        for part in &sent.parts {
            let answer = topic.and_then(|topic| topic.partition_responses.iter().find(|answer| answer.index == part.partition));
            let what = |said: &str| {
                Failure::Malformed(format!(
                    "partition {}, {} records from number {}: {said}",
                    part.partition, part.count, part.first
                ))
            };
            let answer = answer.ok_or_else(|| what("no answer"))?;
            if let Some(error) = answer.error_code.err() {
                return Err(what(&format!("{error:?} {:?}", answer.error_message)));
            }
            self.acknowledged_records += u64::from(part.count);
            self.acknowledged.push(Acknowledged {
                partition: part.partition,
                base_offset: answer.base_offset,
                first: Mark { producer: self.index, number: part.first },
                count: part.count,
            });
        }
        Ok(())
    }
}

/// When a producer stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    ServerIsGone,
    NothingIsOpen,
}
