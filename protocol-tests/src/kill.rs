//! The kill harness: load, `kill -9` at a random moment, restart on the same directory, look, again.
//!
//! Four producers (two of them idempotent, all with acks=all and five requests in flight) write to eight partitions; one consumer
//! group reads and commits. Each record carries who wrote it and its number, so that everything can be checked:
//!
//! * what was acknowledged at an offset is read there, after every restart and at the end;
//! * what a consumer saw is still there: nothing was visible before it was durable;
//! * offsets have no gaps, and no record is there twice, although idempotent producers send again what was not acknowledged;
//! * at the end every record of an idempotent producer is there, exactly once, in order;
//! * committed offsets never go back and never lead beyond the end.
//!
//! The seed fixes sizes, partitions and moments; what the machine makes of them differs from run to run.

use crate::client::Client;
use crate::kill::consumer::Consumer;
use crate::kill::producer::Producer;
use crate::kill::truth::Truth;
use crate::server::{Launch, Server};
use crate::topics::Topic;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

mod consumer;
mod producer;
mod truth;

/// Partitions of the topic.
const PARTITIONS: i32 = 8;
/// Producers; the first [`IDEMPOTENT`] of them are idempotent.
const PRODUCERS: u32 = 4;
const IDEMPOTENT: u32 = 2;
/// How long the load runs before the kill.
const LOAD_MS: std::ops::RangeInclusive<u64> = 150..=600;
/// How often recovery itself is killed, and how long it is given.
const KILL_RECOVERY: f64 = 0.2;
const RECOVERY_MS: std::ops::RangeInclusive<u64> = 0..=60;

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    pub cycles: u32,
    pub seed: u64,
    /// Where the data is kept, and left; a temporary directory otherwise.
    pub data: Option<PathBuf>,
}

/// What was done, when nothing was found.
#[derive(Debug, Default)]
pub struct Report {
    pub cycles: u32,
    pub acknowledged: u64,
    pub kept: u64,
    pub commits: u64,
    pub joins: u64,
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cycles in {:.1} s: {} records acknowledged, {} kept, {} commits acknowledged, {} joins",
            self.cycles,
            self.took.as_secs_f64(),
            self.acknowledged,
            self.kept,
            self.commits,
            self.joins
        )
    }
}

/// The command that runs the same once more.
#[must_use]
pub fn command(options: &Options) -> String {
    format!("cargo run --release -p protocol-tests --bin kill-harness -- --cycles {} --seed {}", options.cycles, options.seed)
}

/// Runs the harness.
///
/// # Errors
/// The first rule that was broken, with cycle, partition, offset and record.
///
/// # Panics
/// When the server does not start.
pub fn run(options: &Options) -> Result<Report, String> {
    println!("seed {}; repeat with: {}", options.seed, command(options));
    let started = Instant::now();
    let launch = Launch::new();
    let server = match &options.data {
        Some(data) => launch.data(data).start(),
        None => launch.start(),
    };
    let mut harness = Harness::new(server, options.seed);
    for cycle in 1..=options.cycles {
        harness.cycle().map_err(|what| format!("cycle {cycle}: {what}\n{}", harness.server.said()))?;
    }
    harness.finish().map_err(|what| format!("after {} cycles: {what}\n{}", options.cycles, harness.server.said()))?;
    let mut report =
        Report { cycles: options.cycles, kept: harness.truth.records(), took: started.elapsed(), ..Report::default() };
    report.acknowledged = harness.producers.iter().map(|producer| producer.acknowledged_records).sum();
    report.commits = harness.consumer.commits;
    report.joins = harness.consumer.joins;
    Ok(report)
}

struct Harness {
    server: Server,
    topic: Topic,
    rng: StdRng,
    producers: Vec<Producer>,
    consumer: Consumer,
    truth: Truth,
}

impl Harness {
    fn new(server: Server, seed: u64) -> Harness {
        let mut client = server.connect();
        let topic = client.create_topic("kill", PARTITIONS, &[]);
        let producers = (0..PRODUCERS).map(|index| {
            let identity = (index < IDEMPOTENT).then(|| client.producer_id());
            Producer::new(index, identity, &topic, seed)
        });
        let producers = producers.collect();
        let consumer = Consumer::new("kill-group", &topic);
        Harness { server, rng: StdRng::seed_from_u64(seed), producers, consumer, truth: Truth::new(&topic), topic }
    }

    /// Load, kill, perhaps a kill during recovery, restart, look.
    fn cycle(&mut self) -> Result<(), String> {
        let address = self.server.address();
        let load = Duration::from_millis(self.rng.random_range(LOAD_MS));
        let results: Vec<Result<(), String>> = std::thread::scope(|scope| {
            let mut threads = Vec::new();
            for producer in &mut self.producers {
                threads.push(scope.spawn(move || producer.load(address)));
            }
            let consumer = &mut self.consumer;
            threads.push(scope.spawn(move || consumer.load(address)));
            std::thread::sleep(load);
            self.server.kill9();
            threads.into_iter().map(|thread| thread.join().expect("no thread of the load panics")).collect()
        });
        results.into_iter().collect::<Result<(), String>>()?;
        if self.rng.random_bool(KILL_RECOVERY) {
            self.server.start_and_kill9(Duration::from_millis(self.rng.random_range(RECOVERY_MS)));
        }
        self.server.restart();
        self.look()
    }

    /// Reads what is new and holds it against what the producers and the consumer were told.
    fn look(&mut self) -> Result<(), String> {
        self.truth.read_on(&mut connect(self.server.address())?)?;
        for producer in &mut self.producers {
            for acknowledged in producer.take_acknowledged() {
                self.truth.check_acknowledged(&acknowledged)?;
            }
        }
        for seen in self.consumer.take_seen() {
            self.truth.check_seen(&seen)?;
        }
        self.truth.check_committed(self.consumer.committed())
    }

    /// Lets the idempotent producers finish and the consumer read to the end, then reads everything once more from the start.
    fn finish(&mut self) -> Result<(), String> {
        let address = self.server.address();
        for producer in &mut self.producers {
            producer.drain(address)?;
        }
        self.look()?;
        for producer in self.producers.iter().filter(|producer| producer.is_idempotent()) {
            self.truth.check_complete(producer.index(), producer.assigned())?;
        }
        self.consumer.read_to(address, &self.truth.ends())?;
        self.look()?;
        let mut client = connect(address)?;
        let mut again = Truth::new(&self.topic);
        again.read_on(&mut client)?;
        self.truth.check_same(&again)
    }
}

fn connect(address: SocketAddr) -> Result<Client, String> {
    Client::try_connect(address).map_err(|failure| format!("connecting to {address}: {failure}"))
}
