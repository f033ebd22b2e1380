//! Goal: no answer before its records are durable, no state that the log does not hold, a log that stays small.
//! Method: a toy state machine (one value per key) over a store that holds commits back, loses them, or refuses them.

use super::*;
use crate::config::KafkaSettings;
use crate::config::topic::TopicSettings;
use crate::coordinator::Caller;
use crate::ids::LogId;
use crate::log::{LogOptions, Logs};
use crate::store::LogStore;
use crate::store::faulty::FaultyStore;
use crate::store::memory::MemoryStore;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

#[derive(Debug)]
enum Event {
    Put(&'static str, Vec<u8>, Caller<()>),
    Get(&'static str, Caller<Option<Vec<u8>>>),
    /// Asks to be answered at a time.
    Wake(Timestamp, Caller<()>),
}

#[derive(Debug)]
struct Put(Vec<u8>, Vec<u8>);

impl LogRecord for Put {
    fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        (self.0.clone(), Some(self.1.clone()))
    }

    fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<Put>, MalformedRecord> {
        let value = value.ok_or_else(|| MalformedRecord("no value".to_owned()))?;
        Ok(Some(Put(key.to_vec(), value.to_vec())))
    }
}

#[derive(Debug, Default)]
struct Table {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    sleeper: Option<Caller<()>>,
}

impl StateMachine for Table {
    type Event = Event;
    type Record = Put;
    type Timer = u8;
    type Request = std::convert::Infallible;

    fn handle(&mut self, event: Event, _: Timestamp) -> Effects<Put, u8> {
        let mut effects = Effects::default();
        match event {
            Event::Put(key, value, caller) => {
                effects.records.push(Put(key.as_bytes().to_vec(), value));
                effects.reply(caller, ());
            }
            Event::Get(key, caller) => effects.reply(caller, self.values.get(key.as_bytes()).cloned()),
            Event::Wake(at, caller) => {
                self.sleeper = Some(caller);
                effects.timers.push((0, Some(at)));
            }
        }
        effects
    }

    fn expired(&mut self, _: u8, _: Timestamp) -> Effects<Put, u8> {
        let mut effects = Effects::default();
        if let Some(caller) = self.sleeper.take() {
            effects.reply(caller, ());
        }
        effects
    }

    fn apply(&mut self, Put(key, value): Put) {
        self.values.insert(key, value);
    }

    fn loaded(&mut self, _: Timestamp) -> Effects<Put, u8> {
        Effects::default()
    }

    fn checkpoint(&self) -> Vec<Put> {
        self.values.iter().map(|(key, value)| Put(key.clone(), value.clone())).collect()
    }
}

async fn open(store: Arc<dyn LogStore>, env: &Env) -> (Arc<Logs>, Arc<Partition>) {
    let logs = Logs::new(store, env.clone(), LogOptions { tail_bytes: 1 << 20, producer_expiration_ms: 86_400_000 });
    let settings = TopicSettings::resolve(&BTreeMap::new(), &KafkaSettings::default()).expect("the defaults are valid");
    let partition = logs.open(LogId(1), Arc::new(settings)).await.expect("a log opens");
    (logs, partition)
}

async fn started(store: Arc<dyn LogStore>, env: &Env) -> (Arc<Logs>, Arc<Partition>, Shard<Event>, JoinHandle<()>) {
    let (logs, partition) = open(store, env).await;
    let (shard, task) = spawn(Setting {
        name: "toy shard",
        partition: partition.clone(),
        env: env.clone(),
        machine: Box::new(Table::default),
        outside: Arc::new(|request| match request {}),
    });
    assert_eq!(shard.loaded().await, Status::Active);
    (logs, partition, shard, task)
}

async fn put(shard: &Shard<Event>, key: &'static str, value: &[u8]) -> oneshot::Receiver<()> {
    let (caller, answer) = Caller::pair();
    shard.send(Event::Put(key, value.to_vec(), caller)).await.expect("the shard is active");
    answer
}

async fn get(shard: &Shard<Event>, key: &'static str) -> oneshot::Receiver<Option<Vec<u8>>> {
    let (caller, answer) = Caller::pair();
    shard.send(Event::Get(key, caller)).await.expect("the shard is active");
    answer
}

/// Lets other tasks and threads run until `holds`.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never happened: {what}");
}

fn env() -> Env {
    Env::manual(Timestamp(1_700_000_000_000), 1)
}

#[tokio::test]
async fn a_refused_append_drops_the_state_and_tells_those_who_wait() {
    let store = MemoryStore::new();
    let (_logs, _partition, shard, _task) = started(store.clone(), &env()).await;
    let (caller, sleeper) = Caller::pair();
    shard.send(Event::Wake(Timestamp(i64::MAX), caller)).await.expect("the shard is active");
    store.close().await.expect("a memory store closes");
    let refused = put(&shard, "a", b"1").await;
    assert!(refused.await.is_err(), "an answer although nothing was written");
    assert!(sleeper.await.is_err(), "whoever waits for something else hears of it as well");
}

#[tokio::test]
async fn a_full_mailbox_holds_nobody_up_for_long() {
    // The queue of such a store has room for one small batch.
    let store = FaultyStore::around(MemoryStore::with_queue(1024), None);
    let (_logs, _partition, shard, _task) = started(store.clone(), &env()).await;
    let event = || Event::Put("a", b"1".to_vec(), Caller::pair().0);
    let mut taken = 0;
    let refused = loop {
        match shard.send_within(Duration::ZERO, event()).await {
            Ok(()) => taken += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, NotActive(Status::Loading), "callers are told to ask again");
    assert!(taken >= MAILBOX_EVENTS, "only {taken} were taken");

    store.release_all();
    shard.send(event()).await.expect("there is room again");
}

#[tokio::test]
async fn events_do_not_wait_for_the_disk_and_answers_do_in_order() {
    let store = FaultyStore::holding();
    let (_logs, _partition, shard, _task) = started(store.clone(), &env()).await;
    let mut first = put(&shard, "a", b"1").await;
    let mut second = put(&shard, "a", b"2").await;
    // A read sees what is not durable yet, so its answer must not overtake it.
    let mut read = get(&shard, "a").await;
    let mut third = put(&shard, "b", b"3").await;
    eventually("three batches are on their way", || store.held() == 3).await;
    assert!(first.try_recv().is_err() && second.try_recv().is_err() && read.try_recv().is_err());

    store.release(1);
    first.await.expect("the first is durable");
    assert!(second.try_recv().is_err() && read.try_recv().is_err() && third.try_recv().is_err());
    store.release_all();
    second.await.expect("the second is durable");
    assert_eq!(read.await.expect("its turn has come"), Some(b"2".to_vec()));
    third.await.expect("the third is durable");
}

#[tokio::test]
async fn a_crash_keeps_exactly_what_was_durable() {
    let (env, store) = (env(), FaultyStore::holding());
    let (_logs, _partition, shard, _task) = started(store.clone(), &env).await;
    let kept = put(&shard, "a", b"kept").await;
    let lost = put(&shard, "a", b"lost").await;
    eventually("both are on their way", || store.held() == 2).await;
    store.release(1);
    kept.await.expect("the first is durable");
    let after = store.crash();
    drop(lost);
    let (_logs, _partition, shard, _task) = started(after, &env).await;
    assert_eq!(get(&shard, "a").await.await.expect("nothing to wait for"), Some(b"kept".to_vec()));
}

#[tokio::test]
async fn closing_answers_what_is_in_line_and_drops_the_others() {
    let store = FaultyStore::holding();
    let (_logs, _partition, shard, task) = started(store.clone(), &env()).await;
    let (caller, sleeper) = Caller::pair();
    shard.send(Event::Wake(Timestamp(i64::MAX), caller)).await.expect("the shard is active");
    let written = put(&shard, "a", b"1").await;
    eventually("the record is on its way", || store.held() == 1).await;
    drop(shard);
    store.release_all();
    written.await.expect("what was accepted is answered");
    assert!(sleeper.await.is_err());
    task.await.expect("the shard ends");
}

#[tokio::test]
async fn timers_follow_the_environments_clock() {
    let env = env();
    let (_logs, _partition, shard, _task) = started(MemoryStore::new(), &env).await;
    let (caller, mut sleeper) = Caller::pair();
    shard.send(Event::Wake(env.now().plus_ms(60_000), caller)).await.expect("the shard is active");
    get(&shard, "a").await.await.expect("the wake-up call was handled before");
    assert!(sleeper.try_recv().is_err());
    env.advance_ms(60_000);
    sleeper.await.expect("a minute has passed");
}

/// A step of the clock (a machine that slept, a first answer of NTP) is no time that has passed.
#[tokio::test]
async fn deadlines_move_with_a_clock_that_is_set() {
    const HOUR_MS: i64 = 3_600_000;
    for set_by in [HOUR_MS, -HOUR_MS] {
        let env = env();
        let (_logs, _partition, shard, _task) = started(MemoryStore::new(), &env).await;
        let (caller, mut sleeper) = Caller::pair();
        shard.send(Event::Wake(env.now().plus_ms(60_000), caller)).await.expect("the shard is active");
        get(&shard, "a").await.await.expect("the wake-up call was handled before");
        env.set_clock_by_ms(set_by);
        env.advance_ms(59_000);
        // It looks once a second, and once more for each of these.
        for _ in 0..3 {
            get(&shard, "a").await.await.expect("answered");
        }
        assert!(sleeper.try_recv().is_err(), "{set_by}: a minute has not passed");
        env.advance_ms(1_000);
        sleeper.await.expect("a minute has passed");
    }
}

/// While the disk hangs, heartbeats pile up in the mailbox. Their members are alive: no session has ended before they are read.
#[tokio::test]
async fn what_came_while_the_shard_was_held_up_goes_before_its_timers() {
    let env = env();
    let (_logs, _partition, shard, _task) = started(MemoryStore::new(), &env).await;
    let (caller, session) = Caller::pair();
    shard.send(Event::Wake(env.now().plus_ms(10_000), caller)).await.expect("the shard is active");
    get(&shard, "a").await.await.expect("it has heard of the session");
    env.advance_ms(60_000);
    // The first is what it was held up with.
    let held_up = get(&shard, "a").await;
    let (caller, renewed) = Caller::pair();
    shard.send(Event::Wake(env.now().plus_ms(10_000), caller)).await.expect("the shard is active");
    held_up.await.expect("answered");
    assert!(session.await.is_err(), "the session ended although its heartbeat was there");
    env.advance_ms(10_000);
    renewed.await.expect("timers have their turn again");
}

#[tokio::test]
async fn checkpoints_keep_the_log_small_and_change_nothing() {
    let (env, store) = (env(), MemoryStore::new());
    let (logs, partition, shard, task) = started(store.clone(), &env).await;
    put(&shard, "seldom", b"still here").await.await.expect("durable");
    let value = vec![7; 1 << 20];
    for _ in 0..40 {
        put(&shard, "often", &value).await.await.expect("durable");
    }
    eventually("the log is trimmed behind a checkpoint", || partition.start() > Offset(0)).await;
    drop(shard);
    task.await.expect("the shard ends");
    eventually("the log is small", || partition.size() < 24 << 20).await;
    drop((logs, partition));

    let (_logs, _partition, shard, _task) = started(store.fork(), &env).await;
    assert_eq!(get(&shard, "seldom").await.await.expect("loaded"), Some(b"still here".to_vec()));
    assert_eq!(get(&shard, "often").await.await.expect("loaded"), Some(value));
}
