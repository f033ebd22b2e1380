//! Goal: a transactional id does what Kafka's does, and a replay of the log gives the same. Method: a shard driven by hand: records go
//! through their bytes, answers are released at once, markers are written or not as the test says, time is a number.

mod random;

use super::machine::{Timer, TransactionSettings, TransactionShard};
use super::messages::*;
use super::records::{Partitions, Protocol, Record, Status, Transaction};
use crate::coordinator::timers::Timers;
use crate::coordinator::{Caller, EffectsOf, LogRecord, ProducerIdAndEpoch, StateMachine};
use crate::ids::{ProducerId, Timestamp};
use crate::records::control::Marker;
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot::Receiver;

const ID: &str = "id";
const TIMEOUT_MS: i32 = 60_000;
const EXPIRATION_MS: i64 = 7 * 24 * 3_600_000;

/// What the runtime is to a shard, without the waiting.
struct Harness {
    shard: TransactionShard,
    timers: Timers<Timer>,
    now: Timestamp,
    /// Every record ever written.
    log: Vec<Record>,
    /// Every attempt to write markers, with the partitions that took them.
    markers: Vec<Ending>,
    /// The topics that cannot be written.
    cut_off: Vec<&'static str>,
    next_id: i64,
}

impl Harness {
    fn new() -> Harness {
        Harness::loaded_from(Vec::new(), Timestamp(1_700_000_000_000), 0)
    }

    fn loaded_from(log: Vec<Record>, now: Timestamp, next_id: i64) -> Harness {
        let settings =
            TransactionSettings { timeout_max_ms: 900_000, expiration_ms: EXPIRATION_MS, cleanup_interval_ms: 3_600_000 };
        let mut shard = TransactionShard::new(Arc::new(settings));
        log.iter().for_each(|record| shard.apply(record.clone()));
        let (timers, markers) = (Timers::default(), Vec::new());
        let mut harness = Harness { shard, timers, now, log, markers, cut_off: Vec::new(), next_id };
        let effects = harness.shard.loaded(now);
        harness.carry_out(effects);
        harness
    }

    /// What a crash and a restart make of it, `lost` records before the end of the log.
    fn restarted(&self, lost: usize) -> Harness {
        let kept = self.log.len().saturating_sub(lost);
        let mut harness = Harness::loaded_from(self.log[..kept].to_vec(), self.now, self.next_id);
        harness.markers.clone_from(&self.markers);
        harness
    }

    fn carry_out(&mut self, effects: EffectsOf<TransactionShard>) {
        let mut waiting = VecDeque::from([effects]);
        while let Some(effects) = waiting.pop_front() {
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
            effects.early.into_iter().chain(effects.replies).for_each(crate::coordinator::Reply::release);
            for request in effects.requests {
                if let Outside::WriteMarkers(ending) = request {
                    let id = ending.id.clone();
                    let (left, written) = ending.partitions.clone().into_iter().partition(|(topic, _)| self.is_cut_off(topic));
                    self.markers.push(Ending { partitions: written, ..ending });
                    waiting.push_back(self.shard.handle(Event::MarkersWritten { id, left }, self.now));
                }
            }
        }
    }

    fn is_cut_off(&self, topic: &str) -> bool {
        self.cut_off.contains(&topic)
    }

    fn ask<T>(&mut self, event: impl FnOnce(Caller<T>) -> Event) -> T {
        let (caller, answer) = Caller::pair();
        let effects = self.shard.handle(event(caller), self.now);
        self.carry_out(effects);
        answered(answer)
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

    fn fresh(&mut self) -> ProducerId {
        self.next_id += 1;
        ProducerId(self.next_id)
    }

    fn init_as(&mut self, expected: Option<ProducerIdAndEpoch>) -> InitReply {
        let request = InitRequest { id: ID.to_owned(), timeout_ms: TIMEOUT_MS, expected };
        match self.ask(|caller| Event::Init { request: request.clone(), fresh: None, caller }) {
            Err(TransactionError::NeedsProducerId) => {
                let fresh = Some(self.fresh());
                self.ask(|caller| Event::Init { request, fresh, caller })
            }
            reply => reply,
        }
    }

    fn init(&mut self) -> ProducerIdAndEpoch {
        self.init_as(None).expect("initialised")
    }

    fn partitions(&mut self, producer: ProducerIdAndEpoch, index: i32, intent: Intent) -> PartitionsReply {
        let partitions = Partitions::from([("topic".to_owned(), BTreeSet::from([index]))]);
        let request = PartitionsRequest { id: ID.to_owned(), producer, partitions, intent };
        self.ask(|caller| Event::Partitions { request, when: When::Durable, caller })
    }

    fn add(&mut self, producer: ProducerIdAndEpoch, protocol: Protocol) -> PartitionsReply {
        self.partitions(producer, 0, Intent::Add(protocol))
    }

    fn end(&mut self, producer: ProducerIdAndEpoch, marker: Marker, protocol: Protocol) -> EndReply {
        let request = EndRequest { id: ID.to_owned(), producer, marker, protocol };
        match self.ask(|caller| Event::End { request: request.clone(), fresh: None, caller }) {
            Err(TransactionError::NeedsProducerId) => {
                let fresh = Some(self.fresh());
                self.ask(|caller| Event::End { request, fresh, caller })
            }
            reply => reply,
        }
    }

    fn transaction(&self) -> &Transaction {
        &self.shard.durable[ID]
    }

    fn status(&self) -> Status {
        self.transaction().status
    }

    /// Sets the id's epoch, as if it had been raised that often.
    fn at_epoch(&mut self, epoch: i16) -> ProducerIdAndEpoch {
        let mut transaction = self.transaction().clone();
        transaction.producer.epoch.0 = epoch;
        let record = Record { id: ID.to_owned(), value: Some(transaction.clone()) };
        self.shard.apply(record.clone());
        self.log.push(record);
        transaction.producer
    }
}

fn answered<T>(mut answer: Receiver<T>) -> T {
    answer.try_recv().expect("answered at once")
}

fn next(producer: ProducerIdAndEpoch) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch::of(producer.id.0, producer.epoch.0 + 1)
}

use Marker::{Abort, Commit};
use Protocol::{V1, V2};

#[test]
fn time_outs_have_bounds() {
    let mut shard = Harness::new();
    for timeout_ms in [-1, 0, 900_001] {
        let request = InitRequest { id: ID.to_owned(), timeout_ms, expected: None };
        let reply = shard.ask(|caller| Event::Init { request, fresh: Some(ProducerId(1)), caller });
        assert_eq!(reply, Err(TransactionError::InvalidTimeout), "{timeout_ms} ms");
    }
}

#[test]
fn an_end_of_whom_another_has_replaced_is_fenced_though_nothing_was_begun() {
    for marker in [Abort, Commit] {
        let mut shard = Harness::new();
        let first = shard.init();
        shard.init();
        assert_eq!(shard.end(first, marker, V2), Err(TransactionError::Fenced));
    }
}

#[test]
fn unknown_ids_and_other_producers_are_refused() {
    let mut shard = Harness::new();
    let stranger = ProducerIdAndEpoch::of(99, 0);
    assert_eq!(shard.add(stranger, V2), Err(TransactionError::UnknownProducer));
    assert_eq!(shard.end(stranger, Commit, V2), Err(TransactionError::UnknownProducer));
    let producer = shard.init();
    assert_eq!(shard.add(stranger, V2), Err(TransactionError::UnknownProducer));
    assert_eq!(shard.add(next(producer), V2), Err(TransactionError::Fenced));
    assert_eq!(shard.end(stranger, Commit, V1), Err(TransactionError::UnknownProducer));
    assert_eq!(shard.end(producer, Commit, V1), Err(TransactionError::InvalidState), "nothing was begun");
    assert_eq!(shard.init_as(Some(stranger)), Err(TransactionError::Fenced));
}

#[test]
fn a_second_producer_ends_the_first_ones_transaction_and_shuts_it_out() {
    let mut shard = Harness::new();
    let first = shard.init();
    shard.add(first, V1).expect("added");
    let second = shard.init();
    assert_eq!((second.id, shard.status()), (first.id, Status::Empty));
    assert!(second.epoch > next(first).epoch, "the marker has an epoch of its own");
    let marker = &shard.markers[0];
    assert_eq!((marker.marker, marker.producer), (Abort, next(first)));
    assert_eq!(shard.add(first, V1), Err(TransactionError::Fenced));
    assert_eq!(shard.end(first, Commit, V1), Err(TransactionError::Fenced));
    // Who was shut out cannot shut out others by going on (KIP-360).
    shard.add(second, V1).expect("added");
    assert_eq!(shard.init_as(Some(first)), Err(TransactionError::Fenced));
    assert_eq!(shard.status(), Status::Ongoing);
}

#[test]
fn the_second_protocol_raises_the_epoch_at_each_end_and_knows_repeated_requests() {
    let mut shard = Harness::new();
    let first = shard.init();
    shard.add(first, V2).expect("added");
    let second = shard.end(first, Commit, V2).expect("committed");
    assert_eq!(second, next(first));
    assert_eq!(shard.markers.len(), 1);
    assert_eq!((shard.markers[0].producer, shard.markers[0].is_epoch_raised), (second, true));
    for mut shard in [shard.restarted(0), shard] {
        assert_eq!(shard.end(first, Commit, V2), Ok(second), "repeated");
        assert_eq!(shard.end(first, Abort, V2), Err(TransactionError::InvalidState), "it was committed");
        shard.add(second, V2).expect("added");
        assert_eq!(
            shard.end(first, Commit, V2),
            Err(TransactionError::Fenced),
            "a late request must not end the next transaction"
        );
        assert_eq!(shard.status(), Status::Ongoing);
        let third = shard.end(second, Abort, V2).expect("aborted");
        assert_eq!(shard.end(second, Abort, V2), Ok(third));
        assert_eq!(shard.end(first, Abort, V2), Err(TransactionError::Fenced));
    }
}

#[test]
fn the_second_protocol_aborts_what_has_no_partitions() {
    let mut shard = Harness::new();
    let mut producer = shard.init();
    for _ in 0..2 {
        assert_eq!(shard.end(producer, Commit, V2), Err(TransactionError::InvalidState));
        let aborted = shard.end(producer, Abort, V2).expect("aborted");
        assert_eq!(aborted, next(producer));
        producer = aborted;
    }
    assert!(shard.markers.iter().all(|ending| ending.partitions.is_empty()));
    shard.add(producer, V2).expect("added");
    let producer = shard.end(producer, Commit, V2).expect("committed");
    shard.advance(1000);
    shard.end(producer, Abort, V2).expect("aborted");
    assert_eq!(shard.transaction().start, Some(shard.now), "not that of the transaction before");
}

#[test]
fn the_first_protocol_keeps_the_epoch_so_a_late_request_ends_the_next_transaction() {
    // KAFKA-17754: known, and the reason for KIP-890.
    let mut shard = Harness::new();
    let producer = shard.init();
    shard.add(producer, V1).expect("added");
    assert_eq!(shard.end(producer, Commit, V1), Ok(producer));
    assert_eq!(shard.end(producer, Commit, V1), Ok(producer), "repeated");
    assert_eq!(shard.end(producer, Abort, V1), Err(TransactionError::InvalidState));
    shard.add(producer, V1).expect("added");
    assert_eq!(shard.end(producer, Commit, V1), Ok(producer));
    assert_eq!(shard.markers.len(), 2);
}

#[test]
fn partitions_are_verified_against_the_open_transaction() {
    let mut shard = Harness::new();
    let producer = shard.init();
    assert_eq!(shard.partitions(producer, 0, Intent::Verify), Err(TransactionError::NotPart));
    shard.add(producer, V1).expect("added");
    assert_eq!(shard.partitions(producer, 0, Intent::Verify), Ok(()));
    assert_eq!(shard.partitions(producer, 1, Intent::Verify), Err(TransactionError::NotPart));
    shard.end(producer, Commit, V1).expect("committed");
    assert_eq!(shard.partitions(producer, 0, Intent::Verify), Err(TransactionError::NotPart), "of the transaction before");
}

#[test]
fn used_up_epochs_bring_another_producer_id() {
    let mut shard = Harness::new();
    let first = shard.init();
    let last = shard.at_epoch(i16::MAX - 1);
    shard.add(last, V2).expect("added");
    let rotated = shard.end(last, Commit, V2).expect("committed");
    assert!(rotated.id != first.id && rotated.epoch.0 == 0);
    assert_eq!(shard.markers[0].producer, ProducerIdAndEpoch::of(first.id.0, i16::MAX), "the last epoch is the marker's");
    for mut shard in [shard.restarted(0), shard] {
        assert_eq!(shard.end(last, Commit, V2), Ok(rotated), "repeated");
        shard.add(rotated, V2).expect("added");
        assert_eq!(shard.end(last, Commit, V2), Err(TransactionError::Fenced));
    }

    let mut shard = Harness::new();
    let first = shard.init();
    let last = shard.at_epoch(i16::MAX - 1);
    shard.add(last, V1).expect("added");
    let rotated = shard.init();
    assert!(rotated.id != first.id && rotated.epoch.0 == 0, "fencing takes the last epoch, and the next needs another id");
}

#[test]
fn a_producer_that_goes_on_after_an_error_may_repeat_itself() {
    let mut shard = Harness::new();
    let first = shard.init();
    let second = shard.init_as(Some(first)).expect("goes on");
    assert_eq!(second, next(first));
    assert_eq!(shard.init_as(Some(first)), Ok(second), "the answer was lost");
    let other = shard.init();
    assert_eq!(shard.init_as(Some(second)), Err(TransactionError::Fenced), "another took over");
    assert_eq!(other, next(second));
}

/// franz-go asks so when an end has no answer, with the transaction perhaps still open; and again when that has none.
#[test]
fn a_producer_that_goes_on_from_an_open_transaction_may_repeat_itself() {
    for protocol in [V1, V2] {
        let mut shard = Harness::new();
        let first = shard.init();
        shard.add(first, protocol).expect("added");
        let second = shard.init_as(Some(first)).expect("goes on");
        assert_eq!(shard.markers[0].marker, Abort);
        for _ in 0..2 {
            assert_eq!(shard.init_as(Some(first)), Ok(second), "the answer was lost");
        }
        shard.add(second, protocol).expect("added");
        assert_eq!(shard.init_as(Some(first)), Err(TransactionError::Fenced), "it goes on already");
        assert_eq!(shard.status(), Status::Ongoing);
        let other = shard.init();
        assert_eq!(shard.init_as(Some(second)), Err(TransactionError::Fenced), "another took over");
        assert!(other.epoch > second.epoch);
    }
}

#[test]
fn a_producer_whose_transaction_took_too_long_may_go_on() {
    for protocol in [V1, V2] {
        let mut shard = Harness::new();
        let first = shard.init();
        shard.add(first, protocol).expect("added");
        shard.advance(i64::from(TIMEOUT_MS));
        for _ in 0..2 {
            assert_eq!(shard.init_as(Some(first)), Ok(next(first)), "the epoch in which it was aborted");
            assert_eq!(shard.status(), Status::Empty);
        }
        shard.add(next(first), protocol).expect("added");
        shard.end(next(first), Commit, protocol).expect("committed");
    }
    // In the last epoch there is none for it to go on in.
    let mut shard = Harness::new();
    shard.init();
    let last = shard.at_epoch(i16::MAX - 1);
    shard.add(last, V2).expect("added");
    let rotated = shard.init_as(Some(last)).expect("goes on with another id");
    assert!(rotated.id != last.id && rotated.epoch.0 == 0);
    assert_eq!(shard.init_as(Some(last)), Ok(rotated), "the answer was lost");
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_shut_out() {
    for protocol in [V1, V2] {
        let mut shard = Harness::new();
        let producer = shard.init();
        shard.add(producer, protocol).expect("added");
        shard.advance(i64::from(TIMEOUT_MS) - 1);
        assert_eq!(shard.status(), Status::Ongoing);
        for mut shard in [shard.restarted(0), shard] {
            shard.advance(1);
            assert_eq!(shard.status(), Status::Complete(Abort));
            assert_eq!(shard.markers[0].producer, next(producer));
            let (commit, abort) = (shard.end(producer, Commit, protocol), shard.end(producer, Abort, protocol));
            match protocol {
                V1 => assert_eq!((commit, abort), (Err(TransactionError::Fenced), Err(TransactionError::Fenced))),
                V2 => assert_eq!((commit, abort), (Err(TransactionError::InvalidState), Ok(next(producer))), "as in Kafka"),
            }
        }
    }
}

#[test]
fn the_time_counts_anew_for_each_transaction() {
    let mut shard = Harness::new();
    let producer = shard.init();
    for _ in 0..3 {
        shard.add(producer, V1).expect("added");
        shard.advance(i64::from(TIMEOUT_MS) - 1);
        assert_eq!(shard.end(producer, Commit, V1), Ok(producer));
    }
}

#[test]
fn markers_that_were_not_written_are_written_until_they_are() {
    let mut shard = Harness::new();
    let producer = shard.init();
    shard.add(producer, V2).expect("added");
    shard.cut_off = vec!["topic"];
    let second = shard.end(producer, Commit, V2).expect("decided");
    assert_eq!((shard.status(), second), (Status::Prepare(Commit), next(producer)));
    assert_eq!(shard.add(second, V2), Err(TransactionError::Concurrent));
    assert_eq!(shard.init_as(None), Err(TransactionError::Concurrent));
    assert_eq!(shard.end(producer, Commit, V2), Err(TransactionError::Concurrent));
    assert_eq!(shard.end(producer, Abort, V2), Err(TransactionError::InvalidState));
    shard.advance(1000);
    assert_eq!(shard.status(), Status::Prepare(Commit));
    for mut shard in [shard.restarted(0), shard] {
        shard.cut_off.clear();
        shard.advance(1000);
        let written: Vec<_> = shard.markers.iter().filter(|ending| !ending.partitions.is_empty()).collect();
        assert_eq!((shard.status(), written.len()), (Status::Complete(Commit), 1));
        assert_eq!(shard.add(second, V2), Ok(()));
    }
}

#[test]
fn only_missing_markers_are_written_again_and_ever_more_rarely() {
    let mut shard = Harness::new();
    let producer = shard.init();
    shard.add(producer, V1).expect("added");
    let partitions = Partitions::from([("other".to_owned(), BTreeSet::from([3]))]);
    let request = PartitionsRequest { id: ID.to_owned(), producer, partitions, intent: Intent::Add(V1) };
    shard.ask(|caller| Event::Partitions { request, when: When::Durable, caller }).expect("added");
    shard.cut_off = vec!["topic"];
    assert_eq!(shard.end(producer, Commit, V1), Ok(producer));
    shard.advance(60_000);
    let of = |shard: &Harness, topic: &str| shard.markers.iter().filter(|ending| ending.partitions.contains_key(topic)).count();
    assert_eq!((of(&shard, "topic"), of(&shard, "other")), (0, 1));
    let attempts = shard.markers.len();
    assert!((10..20).contains(&attempts), "{attempts} attempts in a minute");
    shard.cut_off.clear();
    shard.advance(10_000);
    assert_eq!((of(&shard, "topic"), of(&shard, "other"), shard.status()), (1, 1, Status::Complete(Commit)));
    // The next transaction begins without that history.
    shard.add(producer, V1).expect("added");
    assert_eq!(shard.end(producer, Abort, V1), Ok(producer));
    assert_eq!((of(&shard, "topic"), shard.status()), (2, Status::Complete(Abort)));
}

#[test]
fn whoever_is_fenced_in_the_last_epoch_begins_anew() {
    for protocol in [V1, V2] {
        let mut shard = Harness::new();
        shard.init();
        let last = shard.at_epoch(i16::MAX - 1);
        shard.add(last, protocol).expect("added");
        shard.advance(i64::from(TIMEOUT_MS));
        assert_eq!((shard.status(), shard.transaction().producer), (Status::Complete(Abort), next(last)));
        assert_eq!(shard.end(last, Abort, protocol), Err(TransactionError::Fenced), "the last epoch is nobody's");
        assert_eq!(shard.add(next(last), protocol), Err(TransactionError::Fenced));
        assert_eq!(shard.end(next(last), Abort, protocol), Err(TransactionError::Fenced));
        let rotated = shard.init();
        assert!(rotated.id != last.id && rotated.epoch.0 == 0);
        shard.add(rotated, protocol).expect("added");
        shard.end(rotated, Commit, protocol).expect("committed");
    }
}

#[test]
fn who_was_told_its_next_producer_id_asks_again_until_the_markers_are_written() {
    let mut shard = Harness::new();
    shard.init();
    let last = shard.at_epoch(i16::MAX - 1);
    shard.add(last, V2).expect("added");
    shard.cut_off = vec!["topic"];
    let rotated = shard.end(last, Commit, V2).expect("decided");
    assert_eq!(shard.add(rotated, V2), Err(TransactionError::Concurrent));
    assert_eq!(shard.end(rotated, Commit, V2), Err(TransactionError::Concurrent));
    shard.cut_off.clear();
    shard.advance(1000);
    assert_eq!(shard.add(rotated, V2), Ok(()));
}

#[test]
fn ids_that_nobody_uses_expire_but_none_with_a_transaction() {
    let mut shard = Harness::new();
    shard.init();
    shard.advance(EXPIRATION_MS - 3_600_000);
    assert!(shard.shard.durable.contains_key(ID));
    shard.advance(2 * 3_600_000);
    assert!(!shard.shard.durable.contains_key(ID));
    assert!(!shard.restarted(0).shard.durable.contains_key(ID));
}
