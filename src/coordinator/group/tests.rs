//! Goal: groups do what Kafka's do, and a replay of the log gives the same. Method: a shard driven by hand: records go through their
//! bytes, answers are released at once, time is a number.

mod consumers;
mod consumers_random;
mod expressions;
mod facade;
mod members;
mod migration;
mod offsets;
mod random;
mod rebalances;
mod shares;
mod shares_random;
mod streams;
mod streams_random;
mod transactions;

use super::context::{GroupSettings, Timer};
use super::machine::GroupShard;
use super::messages::*;
use super::records::Record;
use crate::catalog::{Snapshot, Topic};
use crate::config::KafkaSettings;
use crate::config::topic::TopicSettings;
use crate::coordinator::timers::Timers;
use crate::coordinator::{Caller, Effects, Envelope, LogRecord, StateMachine};
use crate::ids::{LogId, Timestamp, TopicId};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::oneshot::Receiver;
use uuid::Uuid;

const GROUP: &str = "g";
const SESSION_MS: i64 = 10_000;
const REBALANCE_MS: i64 = 60_000;
const DELAY_MS: i64 = 3_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// What the runtime is to a shard, without the waiting.
struct Harness {
    shard: GroupShard,
    timers: Timers<Timer>,
    now: Timestamp,
    /// Every record ever written.
    log: Vec<Record>,
    ids: u128,
    settings: GroupSettings,
    catalog: Arc<Snapshot>,
}

/// Says which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        eprintln!("failed with seed {}", self.0);
    }
}

fn offset(topic: &str, offset: i64) -> CommitOffset {
    CommitOffset { topic: topic.to_owned(), topic_id: None, partition: 0, offset, leader_epoch: None, metadata: String::new() }
}

/// A commit by somebody who is not a member.
fn by_hand(topic: &str, value: i64) -> CommitRequest {
    CommitRequest {
        group_id: GROUP.to_owned(),
        generation: -1,
        member_id: String::new(),
        instance_id: None,
        retention_ms: None,
        knows_epochs: true,
        is_transactional: false,
        offsets: vec![offset(topic, value)],
    }
}

/// What a record is when it is read back.
fn decoded(record: &Record) -> Option<Record> {
    if let Envelope::Marker(producer, end) = record.envelope() {
        return Record::marker(producer, end);
    }
    let (key, value) = record.encode();
    let decoded = Record::decode(&Bytes::from(key), value.map(Bytes::from).as_ref()).expect("our own record")?;
    match record.envelope() {
        Envelope::Transactional(producer) => decoded.in_transaction(producer),
        Envelope::Plain | Envelope::Marker(..) => Some(decoded),
    }
}

fn settings() -> GroupSettings {
    // Kafka's built-in delay, so that the tests see one; ours is 0.
    GroupSettings { initial_rebalance_delay_ms: 3000, ..GroupSettings::new(&KafkaSettings::default(), 1) }
}

impl Harness {
    fn new() -> Harness {
        Harness::with(settings())
    }

    fn with(settings: GroupSettings) -> Harness {
        Harness::loaded_from(Vec::new(), Timestamp(1_700_000_000_000), settings)
    }

    fn loaded_from(log: Vec<Record>, now: Timestamp, settings: GroupSettings) -> Harness {
        Harness::loaded_with(log, now, settings, Arc::new(Snapshot::default()))
    }

    fn loaded_with(log: Vec<Record>, now: Timestamp, settings: GroupSettings, catalog: Arc<Snapshot>) -> Harness {
        let mut shard = GroupShard::new(Arc::new(settings.clone()), catalog.clone());
        for record in &log {
            shard.apply(record.clone());
        }
        let mut harness = Harness { shard, timers: Timers::default(), now, log, ids: 0, settings, catalog };
        let effects = harness.shard.loaded(now);
        harness.carry_out(effects);
        harness
    }

    /// What a crash and a restart make of it.
    fn restarted(&self) -> Harness {
        let mut harness = Harness::loaded_with(self.log.clone(), self.now, self.settings.clone(), self.catalog.clone());
        harness.ids = self.ids;
        harness
    }

    /// From now on these topics exist, with so many partitions; the id of a topic is its name's, and a digit behind `#` makes it another one.
    fn topics(&mut self, topics: &[(&str, usize)]) {
        let topics = topics.iter().map(|(name, partitions)| topic(name, *partitions)).collect();
        self.catalog = Arc::new(Snapshot::of(self.catalog.version + 1, topics));
    }

    fn carry_out(&mut self, effects: Effects<Record, Timer>) {
        for (timer, deadline) in effects.timers {
            self.timers.set(timer, deadline);
        }
        for record in effects.records {
            assert_eq!(decoded(&record).as_ref(), Some(&record), "a record that does not survive its bytes");
            self.shard.apply(record.clone());
            self.log.push(record);
        }
        for reply in effects.early.into_iter().chain(effects.replies) {
            reply.release();
        }
    }

    fn ask<T>(&mut self, event: impl FnOnce(Caller<T>) -> Event) -> Receiver<T> {
        let (caller, answer) = Caller::pair();
        let input = Input { catalog: self.catalog.clone(), event: event(caller) };
        let effects = self.shard.handle(input, self.now);
        self.carry_out(effects);
        answer
    }

    /// Lets time pass, timer by timer.
    fn advance(&mut self, ms: i64) {
        let until = self.now.plus_ms(ms);
        while let Some(next) = self.timers.next().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            let timer = self.timers.pop_due(self.now).expect("it is due");
            let effects = self.shard.expired(timer, self.now);
            self.carry_out(effects);
        }
        self.now = until;
    }

    fn join(&mut self, request: JoinRequest) -> Receiver<JoinReply> {
        self.ids += 1;
        let fresh = Uuid::from_u128(self.ids);
        self.ask(|caller| Event::Join { request, fresh, caller })
    }

    /// Joins as a new dynamic member does: asks for an id, and comes back with it.
    fn enter(&mut self, client: &str) -> (String, Receiver<JoinReply>) {
        let id = refused(self.join(joining(client, ""))).member_id;
        let answer = self.join(joining(client, &id));
        (id, answer)
    }

    fn sync(&mut self, member_id: &str, generation: i32, assignments: &[(&str, &'static [u8])]) -> Receiver<SyncReply> {
        let assignments = assignments.iter().map(|(id, bytes)| ((*id).to_owned(), Bytes::from_static(bytes))).collect();
        let request = SyncRequest {
            group_id: GROUP.to_owned(),
            generation,
            member_id: member_id.to_owned(),
            instance_id: None,
            protocol_type: None,
            protocol: None,
            assignments,
        };
        self.ask(|caller| Event::Sync { request, caller })
    }

    fn heartbeat(&mut self, member_id: &str, generation: i32) -> Result<(), GroupError> {
        self.heartbeat_as(member_id, None, generation)
    }

    fn heartbeat_as(&mut self, member_id: &str, instance_id: Option<&str>, generation: i32) -> Result<(), GroupError> {
        let request = HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation,
            member_id: member_id.to_owned(),
            instance_id: instance_id.map(str::to_owned),
        };
        answered(self.ask(|caller| Event::Heartbeat { request, caller }))
    }

    fn leave(&mut self, members: Vec<Leaving>) -> LeaveReply {
        let request = LeaveRequest { group_id: GROUP.to_owned(), members };
        answered(self.ask(|caller| Event::Leave { request, caller }))
    }

    fn describe(&mut self) -> Option<Described> {
        answered(self.ask(|caller| Event::Describe { group_id: GROUP.to_owned(), caller })).ok()
    }

    fn state(&mut self) -> &'static str {
        self.describe().map_or("Dead", |group| group.state)
    }

    fn commit(&mut self, request: CommitRequest) -> CommitReply {
        answered(self.ask(|caller| Event::Commit { request, caller }))
    }

    fn committed(&mut self, topic: &str) -> Option<i64> {
        let topics = Some(vec![FetchOffsetsTopic { topic: topic.to_owned(), topic_id: None, partitions: vec![0] }]);
        let request = FetchOffsetsRequest { group_id: GROUP.to_owned(), member: None, topics, require_stable: false };
        let fetched = answered(self.ask(|caller| Event::FetchOffsets { request, caller })).expect("fetched");
        fetched[0].partitions[0].1.as_ref().expect("stable").as_ref().map(|committed| committed.offset)
    }

    fn delete(&mut self) -> Result<(), GroupError> {
        answered(self.ask(|caller| Event::Delete { group_id: GROUP.to_owned(), caller }))
    }

    /// A stable group of these clients, the first of which leads; everyone is assigned its own name.
    fn stable(&mut self, clients: &[&'static str]) -> Vec<String> {
        let mut entered: Vec<_> = clients.iter().map(|client| self.enter(client)).collect();
        self.advance(DELAY_MS);
        while self.state() == "PreparingRebalance" {
            self.advance(DELAY_MS);
        }
        let ids: Vec<String> = entered.iter().map(|(id, _)| id.clone()).collect();
        let joins: Vec<Joined> = entered.drain(..).map(|(_, answer)| joined(answer)).collect();
        let assignments: Vec<_> = ids.iter().map(String::as_str).zip(clients.iter().map(|client| client.as_bytes())).collect();
        let leader = joins.iter().find(|join| join.member_id == join.leader).expect("one leads");
        let (leader, generation) = (leader.member_id.clone(), leader.generation);
        answered(self.sync(&leader, generation, &assignments)).expect("the leader assigns");
        for id in ids.iter().filter(|id| **id != leader) {
            answered(self.sync(id, generation, &[])).expect("the followers are assigned");
        }
        assert_eq!(self.state(), "Stable");
        ids
    }
}

/// A consumer of topic "topic".
fn joining(client: &str, member_id: &str) -> JoinRequest {
    JoinRequest {
        group_id: GROUP.to_owned(),
        member_id: member_id.to_owned(),
        instance_id: None,
        client_id: client.to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: protocols(&["range"]),
        is_id_required: true,
        can_skip_assignment: true,
    }
}

fn static_joining(instance: &str, member_id: &str) -> JoinRequest {
    JoinRequest { instance_id: Some(instance.to_owned()), ..joining("static", member_id) }
}

fn protocols(names: &[&str]) -> Vec<Protocol> {
    let metadata = Bytes::from_static(&[0, 1, 0, 0, 0, 1, 0, 5, b't', b'o', b'p', b'i', b'c', 0xff, 0xff, 0xff, 0xff]);
    names.iter().map(|name| Protocol { name: (*name).to_owned(), metadata: metadata.clone() }).collect()
}

fn topic(name: &str, partitions: usize) -> Topic {
    let (plain, _) = name.split_once('#').unwrap_or((name, ""));
    let kafka = KafkaSettings::default();
    Topic {
        name: plain.to_owned(),
        id: topic_id(name),
        created: Timestamp(0),
        logs: (0..partitions as u64).map(LogId).collect(),
        overrides: BTreeMap::new(),
        settings: Arc::new(TopicSettings::resolve(&BTreeMap::new(), &kafka).expect("defaults")),
        replication_factor: 1,
        internal: false,
    }
}

fn topic_id(name: &str) -> TopicId {
    let mut bytes = [0; 16];
    for (byte, letter) in bytes.iter_mut().zip(name.bytes()) {
        *byte = letter;
    }
    TopicId(Uuid::from_bytes(bytes))
}

fn set(partitions: &[i32]) -> BTreeSet<i32> {
    partitions.iter().copied().collect()
}

fn leaving(member_id: &str) -> Leaving {
    Leaving { member_id: member_id.to_owned(), instance_id: None }
}

fn answered<T>(mut answer: Receiver<T>) -> T {
    answer.try_recv().expect("an answer")
}

fn joined(answer: Receiver<JoinReply>) -> Joined {
    answered(answer).expect("joined")
}

fn refused(answer: Receiver<JoinReply>) -> JoinRefused {
    answered(answer).expect_err("refused")
}

fn is_waiting<T>(answer: &mut Receiver<T>) -> bool {
    answer.try_recv().is_err()
}
