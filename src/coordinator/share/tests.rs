//! Goal: members get each record once at a time, what is acknowledged stays so, and a replay of the log gives the same. Method: a shard
//! driven by hand: records go through their bytes, answers are released at once, time is a number.

mod random;

use super::machine::{ShareSettings, ShareShard};
use super::messages::*;
use super::partition::Durable;
use super::ranges::Span;
use super::records::{Key, Record};
use crate::coordinator::timers::Timers;
use crate::coordinator::{Caller, EffectsOf, LogRecord, Reply, StateMachine};
use crate::ids::{Offset, Timestamp, TopicId};
use crate::log::Waiter;
use bytes::Bytes;
use futures_util::FutureExt;
use std::sync::{Arc, Weak};
use uuid::Uuid;

const LOCK_MS: i64 = 30_000;
const POLICY: Policy = Policy { lock_ms: LOCK_MS, deliveries_max: 5, locks_max: 100, may_renew: true };
const UPDATES_PER_SNAPSHOT: i32 = 5;

/// What the runtime is to a shard, without the waiting.
struct Harness {
    shard: ShareShard,
    timers: Timers<Key>,
    now: Timestamp,
    policy: Policy,
    /// Every record ever written.
    log: Vec<Record>,
}

impl Harness {
    /// A group that begins at offset 0.
    fn new() -> Harness {
        let mut harness = Harness::loaded_from(Vec::new(), Timestamp(1_700_000_000_000));
        harness.begin(0);
        harness
    }

    fn loaded_from(log: Vec<Record>, now: Timestamp) -> Harness {
        let mut shard = ShareShard::new(ShareSettings { updates_per_snapshot: UPDATES_PER_SNAPSHOT });
        log.iter().for_each(|record| shard.apply(record.clone()));
        let effects = shard.loaded(now);
        let mut harness = Harness { shard, timers: Timers::default(), now, policy: POLICY, log };
        harness.carry_out(effects);
        harness
    }

    /// What a crash and a restart make of it.
    fn restarted(&self) -> Harness {
        Harness { policy: self.policy, ..Harness::loaded_from(self.log.clone(), self.now) }
    }

    fn carry_out(&mut self, effects: EffectsOf<ShareShard>) {
        for (timer, deadline) in effects.timers {
            self.timers.set(timer, deadline);
        }
        for record in effects.records {
            let (key, value) = record.encode();
            let decoded = Record::decode(&Bytes::from(key), value.map(Bytes::from).as_ref()).expect("our own record");
            assert_eq!(decoded.as_ref(), Some(&record), "a record that does not survive its bytes");
            self.shard.apply(record.clone());
            self.log.push(record);
        }
        effects.early.into_iter().chain(effects.replies).for_each(Reply::release);
    }

    fn ask<T>(&mut self, event: impl FnOnce(Key, Policy, Caller<T>) -> Event) -> T {
        let (caller, mut answer) = Caller::pair();
        let effects = self.shard.handle(event(key(), self.policy, caller), self.now);
        self.carry_out(effects);
        answer.try_recv().expect("answered")
    }

    fn begin(&mut self, start: i64) {
        self.ask(|key, _, caller| Event::Begin { key, start: Offset(start), caller });
    }

    fn next(&mut self) -> NextReply {
        self.ask(|key, policy, caller| Event::Next { key, policy, waiter: Weak::new(), caller })
    }

    fn acquire(&mut self, request: AcquireRequest) -> Vec<Acquired> {
        self.ask(|key, policy, caller| Event::Acquire { key, policy, request, caller }).expect("initialised")
    }

    /// What `member` gets of the batches that are read from where the group is.
    fn fetch(&mut self, member: &str, batches: &[(i64, i64)], records_max: i64) -> Vec<(i64, i64, i16)> {
        let Ok(Next::At(from)) = self.next() else { return Vec::new() };
        let request = AcquireRequest { from, ..request(member, batches, records_max) };
        shown(&self.acquire(request))
    }

    fn acknowledge(&mut self, member: &str, first: i64, last: i64, verdicts: &[Verdict]) -> Result<(), ShareError> {
        let acknowledgements = vec![Acknowledgement { span: span(first, last), verdicts: verdicts.to_vec() }];
        let member = Arc::from(member);
        self.ask(|key, policy, caller| Event::Acknowledge { key, policy, member, acknowledgements, caller })
    }

    fn release(&mut self, member: &str) {
        let member = Arc::from(member);
        self.ask(|key, _, caller| Event::Release { key, member, caller });
    }

    fn trimmed(&mut self, start: i64) {
        self.ask(|key, _, caller| Event::Trimmed { key, start: Offset(start), caller });
    }

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

    fn durable(&self) -> &Durable {
        self.shard.durable.get(&key()).expect("there is a state")
    }

    fn start(&self) -> i64 {
        self.durable().start.expect("it has begun").0
    }
}

fn key() -> Key {
    Key { group: "group".into(), topic: TopicId(Uuid::from_u128(1)), partition: 0 }
}

fn span(first: i64, last: i64) -> Span {
    Span::new(Offset(first), Offset(last))
}

/// Reads whole batches from their first offset on.
fn request(member: &str, batches: &[(i64, i64)], records_max: i64) -> AcquireRequest {
    let batches: Vec<Span> = batches.iter().map(|(first, last)| span(*first, *last)).collect();
    AcquireRequest {
        member: Arc::from(member),
        from: batches.first().map_or(Offset(0), |batch| batch.first),
        batches,
        void: Vec::new(),
        records_max,
        range_records: 500,
        mode: AcquireMode::Batches,
    }
}

fn shown(ranges: &[Acquired]) -> Vec<(i64, i64, i16)> {
    ranges.iter().map(|range| (range.span.first.0, range.span.last.0, range.count)).collect()
}

fn invalid_state<T>(result: &Result<T, ShareError>) -> bool {
    matches!(result, Err(ShareError::InvalidState(_)))
}

use Verdict::{Accept, Gap, Reject, Release, Renew};

#[test]
fn nothing_is_read_before_the_group_begins() {
    let mut shard = Harness::loaded_from(Vec::new(), Timestamp(0));
    assert_eq!(shard.next(), Err(ShareError::NotInitialised));
    assert_eq!(shard.acknowledge("a", 0, 0, &[Accept]), Err(ShareError::NotInitialised));
    shard.release("a");
    shard.trimmed(10);
    assert!(shard.log.is_empty() && shard.shard.soft.is_empty(), "asking leaves nothing behind");
    shard.begin(7);
    shard.begin(9);
    assert_eq!(shard.next(), Ok(Next::At(Offset(7))), "the first to begin decides where");
    assert_eq!(shard.restarted().next(), Ok(Next::At(Offset(7))));
}

#[test]
fn what_a_member_does_not_have_it_cannot_acknowledge() {
    let mut shard = Harness::new();
    assert!(invalid_state(&shard.acknowledge("a", 0, 0, &[Accept])), "nothing was ever acquired");
    shard.fetch("a", &[(0, 9)], 100);
    assert!(invalid_state(&shard.acknowledge("b", 0, 9, &[Accept])), "it is another's");
    let past = |result| matches!(result, Err(ShareError::InvalidRequest(_)));
    assert!(past(shard.acknowledge("a", 10, 12, &[Accept])) && past(shard.acknowledge("a", 5, 12, &[Accept])));
    assert_eq!(shard.log.len(), 1, "what is refused writes nothing");
    assert_eq!(shard.acknowledge("a", 5, 6, &[Accept]), Ok(()));
    assert!(invalid_state(&shard.acknowledge("a", 4, 5, &[Accept])), "twice");
    assert_eq!(shard.acknowledge("a", 4, 4, &[Accept]), Ok(()), "a refused request was taken back as a whole");
    let twice = [(0, 1), (1, 2)].map(|(first, last)| Acknowledgement { span: span(first, last), verdicts: vec![Accept] });
    let member = Arc::from("a");
    let refused =
        shard.ask(|key, policy, caller| Event::Acknowledge { key, policy, member, acknowledgements: twice.into(), caller });
    assert!(invalid_state(&refused), "twice in one request");
    shard.policy.may_renew = false;
    assert!(invalid_state(&shard.acknowledge("a", 0, 1, &[Accept, Renew])));
    assert_eq!(shard.start(), 0);
}

#[test]
fn two_members_share_a_partition() {
    let mut shard = Harness::new();
    assert_eq!(shard.fetch("a", &[(0, 4), (5, 9)], 3), [(0, 4, 1)], "whole batches");
    assert_eq!(shard.fetch("b", &[(5, 9)], 3), [(5, 9, 1)]);
    assert_eq!(shard.next(), Ok(Next::At(Offset(10))));
    shard.acknowledge("b", 5, 9, &[Accept]).expect("its own");
    assert_eq!(shard.start(), 0);
    assert_eq!(shard.durable().summary().complete_count, 5);
    shard.acknowledge("a", 0, 4, &[Accept]).expect("its own");
    assert_eq!(shard.start(), 10, "the start moves over all that is settled");
    assert!(shard.durable().deliveries.is_empty());
}

#[test]
fn exactly_as_many_as_asked_for_when_that_is_asked_for() {
    let mut shard = Harness::new();
    let records = |member: &str, batches: &[(i64, i64)], most| AcquireRequest {
        mode: AcquireMode::Records,
        ..request(member, batches, most)
    };
    let one = shard.acquire(records("a", &[(0, 9)], 3));
    assert_eq!(shown(&one), [(0, 2, 1)]);
    assert_eq!(shard.next(), Ok(Next::At(Offset(3))));
    let two = shard.acquire(AcquireRequest { from: Offset(3), ..records("b", &[(0, 9), (10, 19)], 9) });
    assert_eq!(shown(&two), [(3, 11, 1)]);
}

#[test]
fn a_batch_that_claims_millions_of_records_is_not_delivered_as_a_whole() {
    let mut shard = Harness::new();
    let claimed = 7_000_000;
    let most = 50;
    let got = shard.fetch("a", &[(0, claimed - 1)], most);
    let (_, last, _) = *got.last().expect("something is delivered");
    assert_eq!(last, most - 1 + (1 << 16));
    shard.acknowledge("a", 0, last, &[Accept]).expect("its own");
    assert_eq!(shard.next(), Ok(Next::At(Offset(last + 1))), "the rest of the batch comes next");
}

#[test]
fn ranges_end_with_batches_when_they_are_large_enough() {
    let mut shard = Harness::new();
    let request = AcquireRequest { range_records: 5, ..request("a", &[(0, 3), (4, 7), (8, 8), (9, 20)], 100) };
    assert_eq!(shown(&shard.acquire(request)), [(0, 7, 1), (8, 20, 1)]);
}

#[test]
fn released_records_come_again_with_their_count() {
    let mut shard = Harness::new();
    shard.fetch("a", &[(0, 9)], 100);
    shard
        .acknowledge("a", 0, 9, &[Accept, Accept, Release, Release, Accept, Reject, Gap, Accept, Accept, Accept])
        .expect("its own");
    assert_eq!(shard.start(), 2);
    assert_eq!(shard.next(), Ok(Next::At(Offset(2))));
    assert_eq!(shard.fetch("b", &[(0, 9), (10, 12)], 100), [(2, 3, 2), (10, 12, 1)]);
    let mut restarted = shard.restarted();
    assert_eq!(restarted.durable(), shard.durable());
    assert_eq!(restarted.fetch("c", &[(0, 9)], 100), [(2, 3, 2)], "counted as far as it was told of");
}

#[test]
fn a_lock_ends_and_can_be_renewed() {
    let mut shard = Harness::new();
    shard.fetch("a", &[(0, 1)], 100);
    shard.advance(LOCK_MS - 1);
    shard.fetch("b", &[(2, 3)], 100);
    shard.acknowledge("a", 1, 1, &[Renew]).expect("its own");
    shard.advance(1);
    assert!(invalid_state(&shard.acknowledge("a", 0, 0, &[Accept])), "its lock has ended");
    assert_eq!(shard.fetch("b", &[(0, 3)], 100), [(0, 0, 2)]);
    shard.advance(LOCK_MS - 2);
    shard.acknowledge("a", 1, 1, &[Accept]).expect("renewed");
    shard.acknowledge("b", 2, 3, &[Accept]).expect("not ended yet");
    shard.advance(LOCK_MS);
    assert_eq!(shard.timers.next(), None, "no timer stays without a lock");
    assert_eq!(shard.fetch("a", &[(0, 3)], 100), [(0, 0, 3)]);
}

#[test]
fn a_lock_lasts_as_long_when_the_clock_is_set() {
    for set_by in [10 * LOCK_MS, -10 * LOCK_MS] {
        let mut shard = Harness::new();
        shard.fetch("a", &[(0, 1)], 100);
        shard.now = shard.now.plus_ms(set_by);
        shard.timers.shift(set_by);
        shard.shard.clock_set(set_by);
        shard.advance(LOCK_MS - 1);
        shard.acknowledge("a", 0, 0, &[Accept]).expect("its own");
        shard.advance(1);
        assert_eq!(shard.fetch("b", &[(1, 1)], 100), [(1, 1, 2)], "{set_by}");
    }
}

#[test]
fn a_record_is_given_up_after_its_last_delivery() {
    let mut shard = Harness::new();
    for count in 1..=5 {
        assert_eq!(shard.fetch("a", &[(0, 0)], 100), [(0, 0, count)]);
        shard.acknowledge("a", 0, 0, &[Release]).expect("its own");
    }
    assert_eq!((shard.start(), shard.next()), (1, Ok(Next::At(Offset(1)))));
    shard.policy.deliveries_max = 2;
    shard.fetch("a", &[(1, 2)], 100);
    shard.release("a");
    shard.fetch("a", &[(1, 2)], 100);
    shard.advance(LOCK_MS);
    assert_eq!(shard.start(), 3, "a lock that ends counts, too");
}

#[test]
fn what_fails_again_and_again_is_delivered_in_ever_smaller_portions() {
    let mut shard = Harness::new();
    shard.policy.deliveries_max = 6;
    let batch = [(0, 15)];
    for count in 1..=3 {
        assert_eq!(shard.fetch("a", &batch, 100), [(0, 15, count)]);
        shard.release("a");
    }
    assert_eq!(shard.fetch("a", &batch, 100), [(0, 7, 4)], "half of them");
    assert_eq!(shard.fetch("b", &[(0, 15), (16, 20)], 100), [(8, 11, 4)], "alone, without what is new");
    shard.release("a");
    assert_eq!(shard.fetch("a", &batch, 100), [(0, 3, 5)]);
    shard.release("a");
    assert_eq!(shard.fetch("a", &batch, 100), [(0, 0, 6)], "one by one, in the end");
    assert_eq!(shard.fetch("a", &batch, 100), [(1, 1, 6)]);
}

#[test]
fn only_so_many_are_under_way() {
    let mut shard = Harness::new();
    shard.policy.locks_max = 10;
    assert_eq!(shard.fetch("a", &[(0, 5), (6, 11), (12, 20)], 500), [(0, 11, 1)], "and the rest of the last batch");
    assert_eq!(shard.next(), Ok(Next::Full));
    assert_eq!(shown(&shard.acquire(request("a", &[(12, 20)], 500))), []);
    shard.acknowledge("a", 3, 5, &[Release]).expect("its own");
    assert_eq!(shard.fetch("a", &[(0, 5), (6, 11), (12, 20)], 500), [(3, 5, 2)], "what was under way may be delivered again");
    shard.acknowledge("a", 0, 5, &[Accept]).expect("its own");
    assert_eq!(shard.fetch("a", &[(12, 13), (14, 20)], 500), [(12, 20, 1)]);
}

#[test]
fn what_was_compacted_away_is_settled() {
    let mut shard = Harness::new();
    assert_eq!(shard.fetch("a", &[(5, 6)], 100), [(5, 6, 1)]);
    assert_eq!(shard.start(), 5);
    shard.release("a");
    assert_eq!(shard.fetch("a", &[(8, 9)], 100), [(8, 9, 1)]);
    assert_eq!(shard.start(), 8);
}

#[test]
fn void_records_are_settled_and_never_delivered() {
    let mut shard = Harness::new();
    let all = AcquireRequest { void: vec![span(0, 3)], ..request("a", &[(0, 3)], 100) };
    assert_eq!(shard.acquire(all), []);
    assert_eq!(shard.start(), 4);
    let some = AcquireRequest { void: vec![span(4, 5), span(8, 9)], ..request("a", &[(4, 5), (6, 7), (8, 9), (10, 10)], 100) };
    assert_eq!(shown(&shard.acquire(some)), [(6, 7, 1), (10, 10, 1)]);
    assert_eq!(shard.start(), 6);
    shard.acknowledge("a", 6, 7, &[Accept]).expect("its own");
    assert_eq!(shard.start(), 10);
}

#[test]
fn a_trimmed_log_takes_records_from_their_members() {
    let mut shard = Harness::new();
    shard.fetch("a", &[(0, 9)], 100);
    shard.acknowledge("a", 7, 8, &[Accept]).expect("its own");
    shard.trimmed(7);
    assert_eq!(shard.start(), 9);
    assert_eq!(shard.acknowledge("a", 0, 6, &[Accept]), Ok(()), "it cannot know");
    assert_eq!(shard.acknowledge("a", 5, 9, &[Accept, Accept, Accept, Accept, Release]), Ok(()), "only what is left counts");
    assert_eq!(shard.fetch("a", &[(0, 9)], 100), [(9, 9, 2)]);
    shard.trimmed(50);
    assert_eq!(shard.next(), Ok(Next::At(Offset(50))));
    shard.trimmed(20);
    assert_eq!(shard.start(), 50, "never back");
}

#[test]
fn an_administrator_moves_a_group() {
    let mut shard = Harness::new();
    shard.fetch("a", &[(0, 9)], 100);
    shard.acknowledge("a", 0, 9, &[Accept]).expect("its own");
    shard.ask(|key, _, caller| Event::Reset { key, start: Some(Offset(3)), state_epoch: 1, caller });
    assert_eq!(shard.durable().state_epoch, 1);
    assert_eq!(shard.fetch("a", &[(0, 9)], 100), [(3, 9, 1)]);
    shard.ask(|key, _, caller| Event::Reset { key, start: None, state_epoch: 2, caller });
    assert!(invalid_state(&shard.acknowledge("a", 3, 9, &[Accept])) || shard.next() == Err(ShareError::NotInitialised));
    assert_eq!(shard.restarted().next(), Err(ShareError::NotInitialised));
    let other = Key { group: "group2".into(), ..key() };
    let (caller, _answer) = Caller::pair();
    let effects = shard.shard.handle(Event::Begin { key: other.clone(), start: Offset(1), caller }, shard.now);
    shard.carry_out(effects);
    let group = |group: &str| Arc::<str>::from(group);
    shard.ask(|_, _, caller| Event::DeleteGroup { group: group("group"), caller });
    assert_eq!(shard.ask(|key, _, caller| Event::Describe { key, caller }), None);
    assert!(shard.ask(|_, _, caller| Event::Describe { key: other.clone(), caller }).is_some());
    shard.ask(|_, _, caller| Event::TopicDeleted { topic: other.topic, caller });
    assert!(shard.shard.durable.is_empty() && shard.shard.soft.is_empty());
    assert!(shard.restarted().shard.durable.is_empty());
}

#[test]
fn every_so_often_all_is_written() {
    let mut shard = Harness::new();
    for offset in 0..20 {
        shard.fetch("a", &[(offset, offset)], 100);
        shard.acknowledge("a", offset, offset, &[Accept]).expect("its own");
    }
    let snapshots = shard.log.iter().filter(|record| matches!(record, Record::Snapshot { .. })).count();
    assert_eq!(snapshots, 4, "the first, and each sixth change");
    assert_eq!(shard.durable().snapshot_epoch, 3);
    assert_eq!(shard.restarted().durable(), shard.durable());
}

#[test]
fn whoever_waits_is_woken_when_there_may_be_something() {
    let mut shard = Harness::new();
    let waiter = Arc::new(Waiter::default());
    let watching = Arc::downgrade(&waiter);
    shard.fetch("a", &[(0, 9)], 100);
    shard.ask(|key, policy, caller| Event::Next { key, policy, waiter: watching, caller }).expect("begun");
    let is_woken = || waiter.changed().now_or_never().is_some();
    assert!(!is_woken());
    shard.acknowledge("a", 5, 5, &[Accept]).expect("its own");
    assert!(!is_woken(), "nothing is available by that");
    shard.acknowledge("a", 6, 6, &[Release]).expect("its own");
    assert!(is_woken());
    shard.acknowledge("a", 0, 0, &[Accept]).expect("its own");
    assert!(is_woken(), "there is room for more");
    shard.advance(LOCK_MS);
    assert!(is_woken());
    shard.trimmed(8);
    assert!(is_woken());
}
