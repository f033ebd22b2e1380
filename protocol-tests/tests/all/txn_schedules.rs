//! Goal: no delay, repetition, reordering or loss of requests, and no crash or pause of the broker, tears, loses or doubles a transaction.
//! Method: producers over a network that troubles EndTxn, Produce, AddPartitionsToTxn and TxnOffsetCommit by a seed; readers at
//! read_committed in between and at the end; a checker over what was told and what was seen. A failure prints the seed and what the network
//! did. Of the first protocol EndTxn and TxnOffsetCommit are left in peace: that they do harm when they are late is its known flaw.
//!
//! `FBF_SCHEDULES=5000 cargo test --release -p protocol-tests txn_schedules` runs many; `FBF_SEED` begins at another seed.

use protocol_tests::client::{Client, PATIENCE};
use protocol_tests::history::{History, Outcome, Read, Transaction, check};
use protocol_tests::network::Network;
use protocol_tests::records::{Fetch, batches, only_fetched};
use protocol_tests::server::Server;
use protocol_tests::topics::{Topic, unique};
use protocol_tests::txn_producer::{Protocol, TxnProducer};
use std::collections::BTreeMap;
use std::time::Duration;

const END_TXN: i16 = 26;
const PRODUCE: i16 = 0;
const TXN_OFFSET_COMMIT: i16 = 28;
const ADD_PARTITIONS_TO_TXN: i16 = 24;
const PARTITIONS: i32 = 2;
const PRODUCERS: usize = 2;
const STEPS: u64 = 40;
/// In `make test`; each schedule is about 60 requests.
const SCHEDULES: u64 = 150;
const SCHEDULES_WITH_KILLS: u64 = 6;
/// The broker stands still for so long, and its clients send again that often in it.
const PAUSE: Duration = Duration::from_millis(60);
const IMPATIENCE: Duration = Duration::from_millis(25);

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

/// One producer and its open transaction.
struct Writer {
    producer: TxnProducer,
    open: Option<usize>,
    /// The offset that the open transaction commits for the writer's group, and the one that counts.
    pending: Option<i64>,
    committed: i64,
    group: String,
}

/// A schedule under way.
struct Schedule {
    protocol: Protocol,
    network: Network,
    topic: Topic,
    writers: Vec<Writer>,
    reader: Client,
    history: History,
    next: u64,
}

impl Schedule {
    fn new(server: &Server, seed: u64, protocol: Protocol) -> Schedule {
        let troubled = match protocol {
            Protocol::V1 => [ADD_PARTITIONS_TO_TXN, PRODUCE].as_slice(),
            Protocol::V2 => &[END_TXN, PRODUCE, TXN_OFFSET_COMMIT],
        };
        let mut network = Network::new(server.address(), seed, troubled, 35);
        let mut reader = network.connect();
        let topic = reader.create_topic("schedule", PARTITIONS, &[]);
        let writers = (0..PRODUCERS).map(|_| {
            let producer = TxnProducer::new(&mut network, &unique("id"), protocol);
            let group = unique("group");
            reader.find_coordinator(&group);
            Writer { producer, open: None, pending: None, committed: -1, group }
        });
        let writers = writers.collect();
        Schedule { protocol, network, topic, writers, reader, history: History::default(), next: 0 }
    }

    /// One step of one of the producers, or of the reader.
    fn step(&mut self) {
        let who = usize::try_from(self.network.roll(PRODUCERS as u64)).expect("a small number");
        match self.network.roll(10) {
            0..=4 => self.send(who),
            5 if self.protocol == Protocol::V2 => self.commit_offset(who),
            5..=8 => {
                let is_commit = self.network.roll(10) < 7;
                self.end(who, is_commit);
            }
            _ => self.read(false),
        }
    }

    fn send(&mut self, who: usize) {
        let value = self.next;
        self.next += 1;
        let partition = i32::try_from(self.network.roll(PARTITIONS as u64)).expect("a small number");
        let writer = &mut self.writers[who];
        let open = *writer.open.get_or_insert_with(|| {
            self.history.transactions.push(Transaction { producer: who, sends: Vec::new(), outcome: Outcome::Unknown });
            self.history.transactions.len() - 1
        });
        let sent = writer.producer.send(&mut self.network, &self.topic, partition, &value.to_string());
        sent.unwrap_or_else(|error| panic!("a record of an open transaction is refused: {error}"));
        self.history.transactions[open].sends.push((partition, value));
    }

    fn commit_offset(&mut self, who: usize) {
        let writer = &mut self.writers[who];
        // Once per transaction, as clients do: nothing in the protocol orders two commits of one transaction when the first arrives late.
        if writer.open.is_none() || writer.pending.is_some() {
            return;
        }
        let offset = i64::try_from(self.next).expect("a small number");
        let taken = writer.producer.commit_offset(&mut self.network, &writer.group, &self.topic, offset);
        taken.unwrap_or_else(|error| panic!("an offset of an open transaction is refused: {error}"));
        writer.pending = Some(offset);
    }

    fn end(&mut self, who: usize, is_commit: bool) {
        let writer = &mut self.writers[who];
        let Some(open) = writer.open.take() else { return };
        let ended = writer.producer.end(&mut self.network, is_commit);
        ended.unwrap_or_else(|error| panic!("the end of an open transaction is refused: {error}"));
        let pending = writer.pending.take();
        self.history.transactions[open].outcome = if is_commit { Outcome::Committed } else { Outcome::Aborted };
        if is_commit {
            writer.committed = pending.unwrap_or(writer.committed);
        }
    }

    fn read(&mut self, is_last: bool) {
        for partition in 0..PARTITIONS {
            let seen = read_committed(&mut self.network, &mut self.reader, &self.topic, partition, is_last);
            self.history.reads.push(Read { partition, seen, is_last });
        }
    }

    /// Lets everything arrive, ends what is open, and looks.
    fn finish(mut self, seed: u64) {
        for who in 0..PRODUCERS {
            self.end(who, who == 0);
        }
        self.network.deliver_all();
        self.read(true);
        let anomalies = check(&self.history);
        let diary = self.network.diary.join("\n  ");
        assert!(anomalies.is_empty(), "seed {seed}: {anomalies:?}\n{:?}\n  {diary}", self.history);
        for writer in &self.writers {
            let committed = self.reader.committed_offset(&writer.group, &self.topic.name, 0).committed_offset;
            assert_eq!(committed, writer.committed, "seed {seed}: the offset of {}\n  {diary}", writer.producer.id);
        }
    }
}

/// What a consumer at read_committed sees of a partition: it leaves out aborted records by the list that comes with a fetch (KIP-98).
fn read_committed(network: &mut Network, client: &mut Client, topic: &Topic, partition: i32, is_last: bool) -> Vec<(i64, u64)> {
    let mut fetch = Fetch::of(topic, partition, 0);
    fetch.isolation_level = 1;
    let answer = only_fetched(network.call(client, 12, &fetch.request()));
    if is_last {
        assert_eq!(answer.last_stable_offset, answer.high_watermark, "a transaction is still open");
    }
    let mut aborted: BTreeMap<i64, i64> = BTreeMap::new();
    let mut beginning: Vec<_> = answer.aborted_transactions.clone().unwrap_or_default();
    beginning.sort_by_key(|one| one.first_offset);
    let mut beginning = beginning.into_iter().peekable();
    let mut seen = Vec::new();
    for batch in batches(&answer) {
        while let Some(one) = beginning.next_if(|one| one.first_offset <= batch.last_offset) {
            aborted.insert(one.producer_id.0, one.first_offset);
        }
        if batch.is_control() {
            aborted.remove(&batch.producer_id);
            continue;
        }
        if aborted.contains_key(&batch.producer_id) {
            continue;
        }
        for record in &batch.records {
            let value = String::from_utf8(record.value.as_ref().expect("a value").to_vec()).expect("text");
            seen.push((record.offset, value.parse().expect("a number")));
        }
    }
    seen
}

/// Prints the seed of the schedule that panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat it: FBF_SEED={} FBF_SCHEDULES=1 cargo test --release -p protocol-tests txn_schedules", self.0);
        }
    }
}

fn run(protocol: Protocol, schedules: u64) {
    let server = Server::shared();
    let first = from_environment("FBF_SEED", 0);
    for seed in first..first + from_environment("FBF_SCHEDULES", schedules) {
        let _seed = Seed(seed);
        let mut schedule = Schedule::new(&server, seed, protocol);
        for _ in 0..STEPS {
            schedule.step();
        }
        schedule.finish(seed);
    }
}

#[test]
fn no_schedule_of_late_and_repeated_requests_harms_a_transaction_of_the_second_protocol() {
    run(Protocol::V2, SCHEDULES);
}

#[test]
fn late_partitions_and_records_harm_no_transaction_of_the_first_protocol() {
    run(Protocol::V1, SCHEDULES / 2);
}

#[test]
fn nor_does_a_crash_or_a_pause_of_the_broker_in_the_middle() {
    let mut server = Server::start();
    let first = from_environment("FBF_SEED", 0);
    for seed in first..first + from_environment("FBF_SCHEDULES_WITH_KILLS", SCHEDULES_WITH_KILLS) {
        let _seed = Seed(seed);
        let mut schedule = Schedule::new(&server, seed, Protocol::V2);
        for _ in 0..STEPS {
            match schedule.network.roll(STEPS) {
                0..3 => {
                    server.kill9();
                    server.restart_on_same_port();
                    schedule.step();
                }
                3..6 => {
                    let paused = server.pause_for(PAUSE);
                    schedule.network.patience = IMPATIENCE;
                    schedule.step();
                    schedule.network.patience = PATIENCE;
                    paused.join().expect("the server goes on");
                }
                _ => schedule.step(),
            }
        }
        schedule.finish(seed);
    }
}

/// A commit that is sent again and answered, whose first copy arrives in the next transaction, which the producer aborts: what the abort
/// is answered, and which values are visible then.
fn late_commit(protocol: Protocol) -> (bool, Vec<u64>) {
    let server = Server::shared();
    let mut network = Network::new(server.address(), 0, &[], 0);
    let mut client = server.connect();
    let topic = client.create_topic("late-commit", 1, &[]);
    let mut producer = TxnProducer::new(&mut network, &unique("id"), protocol);
    producer.send(&mut network, &topic, 0, "1").expect("taken");
    let late = producer.end_frame(true);
    producer.end(&mut network, true).expect("committed");
    producer.send(&mut network, &topic, 0, "2").expect("taken");
    network.deliver(&late);
    let is_aborted = producer.end(&mut network, false).is_ok();
    let seen = read_committed(&mut network, &mut client, &topic, 0, true);
    (is_aborted, seen.into_iter().map(|(_, value)| value).collect())
}

#[test]
fn a_late_commit_ends_the_next_transaction_of_the_first_protocol_but_not_of_the_second() {
    // KAFKA-17754: the first protocol's known flaw, in Apache Kafka as here; the reason for KIP-890.
    assert_eq!(late_commit(Protocol::V1), (false, vec![1, 2]));
    assert_eq!(late_commit(Protocol::V2), (true, vec![1]));
}
