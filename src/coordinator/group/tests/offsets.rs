//! Commits, fetches, expiry and deletion of offsets.

use super::*;
use crate::ids::TopicId;

fn by_member(member_id: &str, generation: i32, topic: &str, value: i64) -> CommitRequest {
    CommitRequest { generation, member_id: member_id.to_owned(), ..by_hand(topic, value) }
}

#[test]
fn only_members_of_the_current_generation_commit() {
    let mut shard = Harness::new();
    assert_eq!(shard.commit(by_member("x", 1, "topic", 1)), Err(GroupError::UnknownGroup));
    let ids = shard.stable(&["a"]);
    assert_eq!(shard.commit(by_hand("topic", 1)), Err(GroupError::UnknownMember));
    assert_eq!(shard.commit(by_member("x", 1, "topic", 1)), Err(GroupError::UnknownMember));
    assert_eq!(shard.commit(by_member(&ids[0], 0, "topic", 1)), Err(GroupError::IllegalGeneration));
    assert_eq!(shard.committed("topic"), None);
    assert_eq!(shard.commit(by_member(&ids[0], 1, "topic", 5)), Ok(vec![Ok(())]));
    assert_eq!(shard.committed("topic"), Some(5));
    assert_eq!(shard.restarted().committed("topic"), Some(5));
}

#[test]
fn commits_go_on_while_a_rebalance_is_prepared_but_not_while_it_completes() {
    let mut shard = Harness::new();
    let ids = shard.stable(&["a"]);
    let (_, _second) = shard.enter("b");
    assert_eq!(shard.commit(by_member(&ids[0], 1, "topic", 7)), Ok(vec![Ok(())]), "what was read before it is revoked");
    joined(shard.join(joining("a", &ids[0])));
    assert_eq!(shard.commit(by_member(&ids[0], 2, "topic", 8)), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_commit_counts_as_a_heartbeat() {
    let mut shard = Harness::new();
    let ids = shard.stable(&["a"]);
    for value in 0..5 {
        shard.advance(SESSION_MS - 1);
        assert_eq!(shard.commit(by_member(&ids[0], 1, "topic", value)), Ok(vec![Ok(())]));
    }
}

#[test]
fn a_group_may_consist_of_offsets_alone() {
    let mut shard = Harness::new();
    assert_eq!(shard.commit(by_hand("topic", 3)), Ok(vec![Ok(())]));
    assert_eq!((shard.state(), shard.committed("topic")), ("Empty", Some(3)));
    assert_eq!(shard.restarted().state(), "Empty");
    assert_eq!(shard.delete(), Ok(()));
    assert_eq!((shard.state(), shard.committed("topic")), ("Dead", None));
    assert_eq!(shard.restarted().committed("topic"), None);
}

#[test]
fn metadata_has_a_limit_in_utf16_units() {
    let mut shard = Harness::new();
    let mut request = by_hand("topic", 1);
    for metadata in ["x".repeat(4096), "x".repeat(4097), "ä".repeat(4096), "😀".repeat(2049)] {
        request.offsets.push(CommitOffset { metadata, ..offset("topic", 2) });
    }
    let too_large = Err(GroupError::MetadataTooLarge);
    assert_eq!(shard.commit(request), Ok(vec![Ok(()), Ok(()), too_large, Ok(()), too_large]));
}

#[test]
fn a_commit_whose_records_would_be_very_large_is_refused() {
    let mut shard = Harness::new();
    let mut request = CommitRequest { group_id: "g".repeat(32_000), ..by_hand("topic", 1) };
    request.offsets = (0..1000).map(|partition| CommitOffset { partition, ..offset("topic", 1) }).collect();
    assert_eq!(shard.commit(request.clone()), Err(GroupError::CommitTooLarge));
    request.offsets.truncate(500);
    assert_eq!(shard.commit(request).map(|results| results.len()), Ok(500));
}

#[test]
fn a_topic_that_was_created_again_starts_over() {
    let mut shard = Harness::new();
    let (old, new) = (TopicId(Uuid::from_u128(1)), TopicId(Uuid::from_u128(2)));
    let mut request = by_hand("topic", 3);
    request.offsets[0].topic_id = Some(old);
    shard.commit(request).expect("committed");
    for (topic_id, expected) in [(Some(old), Some(3)), (None, Some(3)), (Some(new), None)] {
        let topics = Some(vec![FetchOffsetsTopic { topic: "topic".to_owned(), topic_id, partitions: vec![0] }]);
        let request = FetchOffsetsRequest { group_id: GROUP.to_owned(), member: None, topics, require_stable: false };
        let fetched = answered(shard.ask(|caller| Event::FetchOffsets { request, caller })).expect("fetched");
        assert_eq!(fetched[0].partitions[0].1.as_ref().expect("stable").as_ref().map(|committed| committed.offset), expected);
    }
}

#[test]
fn everything_is_fetched_without_topics_and_nothing_of_a_deleted_one() {
    let mut shard = Harness::new();
    for topic in ["topic", "other"] {
        shard.commit(by_hand(topic, 1)).expect("committed");
    }
    let id = TopicId(uuid::Uuid::from_u128(1));
    answered(shard.ask(|caller| Event::TopicDeleted { topic: "topic".to_owned(), id, caller }));
    for shard in [&mut shard.restarted(), &mut shard] {
        let request = FetchOffsetsRequest { group_id: GROUP.to_owned(), member: None, topics: None, require_stable: false };
        let fetched = answered(shard.ask(|caller| Event::FetchOffsets { request, caller })).expect("fetched");
        assert_eq!(fetched.iter().map(|topic| topic.topic.as_str()).collect::<Vec<_>>(), ["other"]);
    }
}

#[test]
fn offsets_of_a_group_expire_a_week_after_it_became_empty() {
    let mut shard = Harness::new();
    let ids = shard.stable(&["a"]);
    shard.commit(by_member(&ids[0], 1, "topic", 1)).expect("committed");
    // A subscribed topic never expires, however old the commit.
    for _ in 0..9 * DAY_MS / (SESSION_MS - 1) {
        shard.advance(SESSION_MS - 1);
        assert_eq!(shard.heartbeat(&ids[0], 1), Ok(()));
    }
    assert_eq!(shard.committed("topic"), Some(1));
    shard.leave(vec![leaving(&ids[0])]);
    shard.advance(7 * DAY_MS - HOUR_MS);
    assert_eq!(shard.committed("topic"), Some(1));
    shard.advance(2 * HOUR_MS);
    assert_eq!((shard.committed("topic"), shard.state()), (None, "Dead"));
    assert_eq!(shard.restarted().state(), "Dead");
}

/// As callers over HTTP do with a group that Kafka's clients used once.
#[test]
fn what_is_committed_after_the_last_member_left_expires_a_week_after_its_commit() {
    let mut shard = Harness::new();
    let ids = shard.stable(&["a"]);
    let mut request = by_member(&ids[0], 1, "topic", 1);
    request.offsets.push(offset("former", 1));
    shard.commit(request).expect("committed");
    shard.leave(vec![leaving(&ids[0])]);
    shard.advance(7 * DAY_MS - HOUR_MS);
    shard.commit(by_hand("topic", 2)).expect("committed");
    let mut shard = shard.restarted();
    shard.advance(2 * HOUR_MS);
    assert_eq!((shard.committed("topic"), shard.committed("former")), (Some(2), None), "only what nobody renews");
    shard.advance(7 * DAY_MS);
    assert_eq!((shard.committed("topic"), shard.state()), (None, "Dead"));
}

#[test]
fn topics_that_nobody_subscribes_to_any_more_expire_from_their_commit() {
    let mut shard = Harness::new();
    let ids = shard.stable(&["a"]);
    let mut request = by_member(&ids[0], 1, "topic", 1);
    request.offsets.push(offset("former", 1));
    shard.commit(request).expect("committed");
    for _ in 0..7 * DAY_MS / (SESSION_MS - 1) + 400 {
        shard.advance(SESSION_MS - 1);
        assert_eq!(shard.heartbeat(&ids[0], 1), Ok(()));
    }
    assert_eq!((shard.committed("topic"), shard.committed("former")), (Some(1), None));
}

#[test]
fn offsets_committed_by_hand_expire_from_their_commit_or_at_their_own_time() {
    let mut shard = Harness::new();
    shard.commit(by_hand("topic", 1)).expect("committed");
    shard.commit(CommitRequest { retention_ms: Some(HOUR_MS), ..by_hand("brief", 1) }).expect("committed");
    shard.advance(2 * HOUR_MS);
    assert_eq!((shard.committed("topic"), shard.committed("brief")), (Some(1), None));
    shard.advance(7 * DAY_MS);
    assert_eq!((shard.committed("topic"), shard.state()), (None, "Dead"));
}

#[test]
fn offsets_of_topics_that_were_deleted_while_nobody_looked_are_dropped_at_the_start() {
    let mut shard = Harness::new();
    shard.topics(&[("stays", 1), ("goes", 1), ("again", 1)]);
    let mut request = by_hand("stays", 1);
    request.offsets.extend([offset("goes", 2), offset("again", 3), offset("nameless", 4)]);
    for offset in &mut request.offsets[..3] {
        offset.topic_id = Some(topic_id(&offset.topic));
    }
    shard.commit(request).expect("committed");
    shard.topics(&[("stays", 1), ("again#2", 1)]);
    let mut shard = shard.restarted();
    let kept = ["stays", "goes", "again", "nameless"].map(|topic| shard.committed(topic));
    assert_eq!(kept, [Some(1), None, None, Some(4)], "an offset without a topic id is kept until it expires");
}

#[test]
fn a_checkpoint_replays_to_the_same() {
    let mut shard = Harness::new();
    let ids = shard.stable(&["a", "b"]);
    for value in 0..10 {
        shard.commit(by_member(&ids[0], 1, "topic", value)).expect("committed");
    }
    let checkpoint = shard.shard.checkpoint();
    assert_eq!(checkpoint.len(), 2, "one group, one offset");
    let replayed = Harness::loaded_from(checkpoint, shard.now, settings());
    assert_eq!(replayed.shard.durable, shard.shard.durable);
}
