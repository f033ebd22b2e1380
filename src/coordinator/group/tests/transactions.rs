//! Offsets committed in transactions: pending until the marker, whatever comes in between.

use super::*;
use crate::coordinator::ProducerIdAndEpoch;
use crate::ids::{ProducerEpoch, ProducerId};
use crate::records::control::{EndTransaction, Marker};

const ALICE: ProducerIdAndEpoch = ProducerIdAndEpoch { id: ProducerId(1), epoch: ProducerEpoch(0) };
const BOB: ProducerIdAndEpoch = ProducerIdAndEpoch { id: ProducerId(2), epoch: ProducerEpoch(0) };

fn request(value: i64) -> CommitRequest {
    CommitRequest { is_transactional: true, ..by_hand("topic", value) }
}

impl Harness {
    fn stage(&mut self, producer: ProducerIdAndEpoch, value: i64) -> CommitReply {
        answered(self.ask(|caller| Event::TransactionCommit { producer, request: request(value), caller }))
    }

    /// For a topic of that name with this id.
    fn stage_for(&mut self, producer: ProducerIdAndEpoch, id: &str, value: i64) {
        let mut request = request(value);
        request.offsets[0].topic_id = Some(topic_id(id));
        answered(self.ask(|caller| Event::TransactionCommit { producer, request, caller })).expect("taken");
    }

    fn delete_topic(&mut self) {
        answered(self.ask(|caller| Event::TopicDeleted { topic: "topic".to_owned(), id: topic_id("topic"), caller }));
    }

    fn commit_plainly(&mut self, value: i64) -> CommitReply {
        self.commit(by_hand("topic", value))
    }

    fn end(&mut self, producer: ProducerIdAndEpoch, marker: Marker) {
        let end = EndTransaction { marker, coordinator_epoch: 0 };
        answered(self.ask(|caller| Event::EndTransaction { producer, end, caller }));
    }

    /// With `require_stable`.
    fn stable_offset(&mut self) -> Result<Option<i64>, GroupError> {
        let topics = Some(vec![FetchOffsetsTopic { topic: "topic".to_owned(), topic_id: None, partitions: vec![0] }]);
        let request = FetchOffsetsRequest { group_id: GROUP.to_owned(), member: None, topics, require_stable: true };
        let fetched = answered(self.ask(|caller| Event::FetchOffsets { request, caller })).expect("fetched");
        fetched[0].partitions[0].1.clone().map(|committed| committed.map(|committed| committed.offset))
    }
}

#[test]
fn offsets_of_a_transaction_count_from_its_commit_on() {
    let mut shard = Harness::new();
    shard.stage(ALICE, 5).expect("taken");
    assert_eq!((shard.committed("topic"), shard.stable_offset()), (None, Err(GroupError::UnstableOffset)));
    let mut shard = shard.restarted();
    assert_eq!((shard.committed("topic"), shard.stable_offset()), (None, Err(GroupError::UnstableOffset)), "replayed");
    shard.end(ALICE, Marker::Commit);
    assert_eq!((shard.committed("topic"), shard.stable_offset()), (Some(5), Ok(Some(5))));
    assert_eq!(shard.restarted().stable_offset(), Ok(Some(5)));
}

#[test]
fn offsets_of_an_aborted_transaction_are_forgotten() {
    let mut shard = Harness::new();
    shard.commit_plainly(3).expect("taken");
    shard.stage(ALICE, 5).expect("taken");
    shard.end(BOB, Marker::Commit);
    assert_eq!(shard.stable_offset(), Err(GroupError::UnstableOffset), "bob's marker is not alice's");
    shard.end(ALICE, Marker::Abort);
    assert_eq!(shard.stable_offset(), Ok(Some(3)));
}

#[test]
fn a_later_commit_wins_over_an_earlier_one_of_a_transaction_that_ends_after_it() {
    let mut shard = Harness::new();
    shard.stage(ALICE, 5).expect("taken");
    shard.commit_plainly(9).expect("taken");
    // A checkpoint must keep the order.
    let log = shard.shard.checkpoint();
    for mut shard in [Harness::loaded_from(log, shard.now, settings()), shard] {
        shard.end(ALICE, Marker::Commit);
        assert_eq!(shard.committed("topic"), Some(9));
    }
}

#[test]
fn the_later_commit_of_two_transactions_wins_whichever_ends_first() {
    let mut shard = Harness::new();
    shard.stage(ALICE, 5).expect("taken");
    shard.stage(BOB, 9).expect("taken, later");
    let checkpoint = shard.shard.checkpoint();
    let cuts = 0..=checkpoint.len();
    let logs = cuts.map(|cut| [&shard.log[..], &checkpoint[..cut]].concat()).chain([checkpoint.clone()]);
    for log in logs {
        let shard = Harness::loaded_from(log, shard.now, settings());
        for order in [[ALICE, BOB], [BOB, ALICE]] {
            let mut shard = shard.restarted();
            order.into_iter().for_each(|producer| shard.end(producer, Marker::Commit));
            assert_eq!(shard.committed("topic"), Some(9), "{order:?}");
        }
    }
}

#[test]
fn a_checkpoint_keeps_that_a_pending_offset_was_deleted_even_if_a_crash_cuts_it_short() {
    let mut shard = Harness::new();
    shard.commit_plainly(3).expect("taken");
    shard.stage(ALICE, 5).expect("taken");
    let request = DeleteOffsetsRequest { group_id: GROUP.to_owned(), partitions: vec![("topic".to_owned(), 0)] };
    answered(shard.ask(|caller| Event::DeleteOffsets { request, caller })).expect("deleted");
    let checkpoint = shard.shard.checkpoint();
    let mut after = Harness::loaded_from(checkpoint.clone(), shard.now, settings());
    after.end(ALICE, Marker::Commit);
    assert_eq!(after.committed("topic"), None);
    for cut in 0..checkpoint.len() {
        let log = [&shard.log[..], &checkpoint[..cut]].concat();
        let mut shard = Harness::loaded_from(log, shard.now, settings());
        shard.end(ALICE, Marker::Commit);
        assert_eq!(shard.committed("topic"), None, "{cut} of {} records of the checkpoint", checkpoint.len());
    }
}

#[test]
fn a_checkpoint_behind_its_log_takes_nothing_back_from_an_open_transaction() {
    let mut shard = Harness::new();
    shard.commit_plainly(3).expect("taken");
    shard.stage(ALICE, 5).expect("taken");
    let checkpoint = shard.shard.checkpoint();
    for cut in 0..=checkpoint.len() {
        let log = [&shard.log[..], &checkpoint[..cut]].concat();
        let mut shard = Harness::loaded_from(log, shard.now, settings());
        shard.end(ALICE, Marker::Commit);
        assert_eq!(shard.committed("topic"), Some(5), "{cut} of {} records of the checkpoint", checkpoint.len());
    }
}

#[test]
fn an_offset_that_is_only_pending_can_be_deleted() {
    let mut shard = Harness::new();
    shard.stage(ALICE, 5).expect("taken");
    let request = DeleteOffsetsRequest { group_id: GROUP.to_owned(), partitions: vec![("topic".to_owned(), 0)] };
    answered(shard.ask(|caller| Event::DeleteOffsets { request, caller })).expect("deleted");
    shard.end(ALICE, Marker::Commit);
    assert_eq!(shard.committed("topic"), None);
}

#[test]
fn pending_offsets_keep_their_group_and_never_expire() {
    let mut shard = Harness::new();
    shard.stage(ALICE, 5).expect("taken");
    shard.advance(30 * DAY_MS);
    shard.end(ALICE, Marker::Commit);
    assert_eq!(shard.committed("topic"), Some(5));
}

#[test]
fn an_offset_that_expires_takes_nothing_from_an_open_transaction() {
    let mut shard = Harness::new();
    shard.commit_plainly(3).expect("taken");
    shard.advance(settings().retention_ms - 60_000);
    assert_eq!(shard.committed("topic"), Some(3));
    shard.stage(ALICE, 5).expect("taken");
    shard.advance(DAY_MS);
    shard.end(ALICE, Marker::Commit);
    assert_eq!(shard.committed("topic"), Some(5));
}

#[test]
fn the_deletion_of_a_topic_takes_nothing_from_a_transaction_on_its_successor() {
    let mut shard = Harness::new();
    shard.commit_plainly(3).expect("taken");
    shard.stage_for(ALICE, "topic", 4);
    shard.stage_for(BOB, "its successor", 5);
    shard.delete_topic();
    shard.end(ALICE, Marker::Abort);
    shard.end(BOB, Marker::Commit);
    assert_eq!(shard.committed("topic"), Some(5));
}

#[test]
fn the_deletion_of_a_topic_takes_what_a_transaction_has_for_it() {
    for marker in [Marker::Commit, Marker::Abort] {
        let mut shard = Harness::new();
        shard.commit_plainly(3).expect("taken");
        shard.stage_for(ALICE, "topic", 5);
        shard.delete_topic();
        assert_eq!(shard.committed("topic"), None);
        shard.end(ALICE, marker);
        assert_eq!(shard.committed("topic"), None);
        assert_eq!(shard.restarted().committed("topic"), None, "nor after a crash");
    }
}

#[test]
fn deleting_the_group_drops_what_is_pending() {
    let mut shard = Harness::new();
    shard.stage(ALICE, 5).expect("taken");
    shard.delete().expect("deleted");
    shard.end(ALICE, Marker::Commit);
    assert_eq!(shard.committed("topic"), None);
}

#[test]
fn a_producer_that_names_its_member_must_name_a_living_one() {
    let mut shard = Harness::new();
    let ids = shard.stable(&["a"]);
    let mut commit = |member_id: &str, generation: i32| {
        let request = CommitRequest { member_id: member_id.to_owned(), generation, ..request(5) };
        answered(shard.ask(|caller| Event::TransactionCommit { producer: ALICE, request, caller })).map(|_| ())
    };
    assert_eq!(commit("x", 1), Err(GroupError::UnknownMember));
    assert_eq!(commit(&ids[0], 0), Err(GroupError::IllegalGeneration));
    assert_eq!(commit(&ids[0], 1), Ok(()));
    assert_eq!(commit("", -1), Ok(()), "producers of before KIP-447 name none");
}
