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

    fn commit_plainly(&mut self, value: i64) -> CommitReply {
        self.commit(by_hand("topic", value))
    }

    fn end(&mut self, producer: ProducerIdAndEpoch, marker: Marker) {
        let end = EndTransaction { marker, coordinator_epoch: 0 };
        answered(self.ask(|caller| Event::EndTransaction { producer, end, caller }));
    }

    /// With `require_stable`.
    fn stable_offset(&mut self) -> Result<Option<i64>, GroupError> {
        let topics = Some(vec![FetchTopic { topic: "topic".to_owned(), topic_id: None, partitions: vec![0] }]);
        let request = FetchRequest { group_id: GROUP.to_owned(), member: None, topics, require_stable: true };
        let fetched = answered(self.ask(|caller| Event::Fetch { request, caller })).expect("fetched");
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
fn pending_offsets_keep_their_group_and_never_expire() {
    let mut shard = Harness::new();
    shard.stage(ALICE, 5).expect("taken");
    shard.advance(30 * DAY_MS);
    shard.end(ALICE, Marker::Commit);
    assert_eq!(shard.committed("topic"), Some(5));
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
