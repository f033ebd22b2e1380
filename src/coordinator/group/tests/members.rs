//! Sessions, departures, static members, and what a restart keeps.

use super::*;

#[test]
fn a_silent_member_is_dropped_and_the_others_rebalance() {
    let mut shard = Harness::new();
    let ids = shard.stable(&["a", "b"]);
    shard.advance(SESSION_MS - 1);
    assert_eq!(shard.heartbeat(&ids[0], 1), Ok(()));
    shard.advance(1);
    assert_eq!(shard.heartbeat(&ids[1], 1), Err(GroupError::UnknownMember));
    assert_eq!(shard.heartbeat(&ids[0], 1), Err(GroupError::RebalanceInProgress));
    assert_eq!(joined(shard.join(joining("a", &ids[0]))).generation, 2);
}

#[test]
fn whoever_waits_is_not_silent() {
    let mut shard = Harness::new();
    let ids = shard.stable(&["a", "b"]);
    let (_, _third) = shard.enter("c");
    let mut first = shard.join(joining("a", &ids[0]));
    for _ in 0..5 {
        shard.advance(SESSION_MS / 2);
        assert_eq!(shard.heartbeat(&ids[1], 1), Err(GroupError::RebalanceInProgress));
    }
    assert!(is_waiting(&mut first));
    let second = shard.join(joining("b", &ids[1]));
    assert_eq!((joined(first).generation, joined(second).generation), (2, 2));
}

#[test]
fn a_new_member_whose_client_went_away_is_forgotten() {
    let mut shard = Harness::new();
    let request = JoinRequest { rebalance_timeout_ms: 3_600_000, ..joining("a", "") };
    let ids = shard.stable(&["a"]);
    let again = shard.join(JoinRequest {
        rebalance_timeout_ms: 3_600_000,
        protocols: protocols(&["range", "x"]),
        ..joining("a", &ids[0])
    });
    assert_eq!(joined(again).generation, 2);
    let gone = shard.join(JoinRequest { is_id_required: false, client_id: "gone".to_owned(), ..request });
    // The first member stays alive without coming back; five minutes are enough for the other.
    for _ in 0..61 {
        let _ = shard.heartbeat(&ids[0], 2);
        shard.advance(5_000);
    }
    assert_eq!(refused(gone).error, GroupError::UnknownMember);
}

#[test]
fn the_last_one_to_leave_empties_the_group() {
    let mut shard = Harness::new();
    let ids = shard.stable(&["a", "b"]);
    assert_eq!(shard.leave(vec![leaving("nobody"), leaving(&ids[1])]), [Err(GroupError::UnknownMember), Ok(())]);
    assert_eq!(shard.state(), "PreparingRebalance");
    assert_eq!(joined(shard.join(joining("a", &ids[0]))).generation, 2);
    assert_eq!(shard.leave(vec![leaving(&ids[0])]), [Ok(())]);
    assert_eq!(shard.state(), "Empty");
    assert_eq!(shard.restarted().state(), "Empty");
    assert_eq!(shard.heartbeat(&ids[0], 2), Err(GroupError::UnknownMember));
    assert_eq!(shard.delete(), Ok(()));
    assert_eq!(shard.restarted().state(), "Dead");
    assert_eq!(shard.delete(), Err(GroupError::UnknownGroup));
}

#[test]
fn an_emptied_group_goes_on_with_its_next_generation() {
    let mut shard = Harness::new();
    let ids = shard.stable(&["a"]);
    shard.leave(vec![leaving(&ids[0])]);
    let mut shard = shard.restarted();
    let (_, answer) = shard.enter("b");
    shard.advance(DELAY_MS);
    assert_eq!(joined(answer).generation, 3, "1 was stable, 2 was empty");
}

#[test]
fn a_group_with_members_is_not_deleted() {
    let mut shard = Harness::new();
    shard.stable(&["a"]);
    assert_eq!(shard.delete(), Err(GroupError::NonEmptyGroup));
}

#[test]
fn live_members_go_on_after_a_restart_without_a_rebalance() {
    let mut shard = Harness::new();
    let ids = shard.stable(&["a", "b"]);
    let before = shard.describe();
    let mut shard = shard.restarted();
    assert_eq!(shard.describe(), before);
    for id in &ids {
        assert_eq!(shard.heartbeat(id, 1), Ok(()));
        assert!(answered(shard.sync(id, 1, &[])).is_ok_and(|synced| !synced.assignment.is_empty()));
    }
    assert_eq!(shard.state(), "Stable");
    shard.advance(SESSION_MS);
    assert_eq!(shard.state(), "Empty", "sessions run from the restart on");
}

#[test]
fn a_rebalance_that_a_crash_cut_off_leaves_the_generation_before() {
    let mut shard = Harness::new();
    let ids = shard.stable(&["a"]);
    let (second, _waiting) = shard.enter("b");
    let mut shard = shard.restarted();
    assert_eq!(shard.heartbeat(&ids[0], 1), Ok(()));
    assert_eq!(refused(shard.join(joining("b", &second))).error, GroupError::UnknownMember);
}

/// A stable group of two static members "i" (leads) and "j".
fn static_pair(shard: &mut Harness) -> (String, String) {
    let (first, second) = (shard.join(static_joining("i", "")), shard.join(static_joining("j", "")));
    shard.advance(2 * DELAY_MS);
    let (first, second) = (joined(first), joined(second));
    answered(shard.sync(&first.leader, 1, &[(&first.member_id, b"1"), (&second.member_id, b"2")])).expect("assigned");
    let follower = if first.leader == first.member_id { &second.member_id } else { &first.member_id };
    answered(shard.sync(follower, 1, &[])).expect("assigned");
    (first.member_id, second.member_id)
}

#[test]
fn a_returning_static_member_takes_its_place_without_a_rebalance() {
    let mut shard = Harness::new();
    let (_, old) = static_pair(&mut shard);
    let back = joined(shard.join(static_joining("j", "")));
    assert_ne!(back.member_id, old);
    assert_eq!((back.generation, shard.state()), (1, "Stable"));
    assert_eq!(answered(shard.sync(&back.member_id, 1, &[])).expect("assigned").assignment, Bytes::from_static(b"2"));
    assert_eq!(shard.heartbeat_as(&old, Some("j"), 1), Err(GroupError::FencedInstance));
    assert_eq!(shard.heartbeat_as(&old, Some("k"), 1), Err(GroupError::UnknownMember));
    assert_eq!(refused(shard.join(static_joining("j", &old))).error, GroupError::FencedInstance);
    let mut shard = shard.restarted();
    assert_eq!(shard.heartbeat_as(&back.member_id, Some("j"), 1), Ok(()), "the new id is durable");
}

#[test]
fn a_returning_static_leader_need_not_assign() {
    let mut shard = Harness::new();
    static_pair(&mut shard);
    let leader = shard.join(static_joining("i", ""));
    let told = joined(leader);
    // Which of the two leads is the coordinator's choice: whoever does is told to skip, the other follows.
    assert_eq!(told.skip_assignment, told.leader == told.member_id);
    assert_eq!(told.members.is_empty(), !told.skip_assignment);
    let older = joined(shard.join(JoinRequest { can_skip_assignment: false, ..static_joining("i", "") }));
    assert!(!older.skip_assignment && older.members.is_empty());
    assert_ne!(older.leader, older.member_id, "an older client would assign if it were told that it leads");
}

#[test]
fn a_static_member_that_returns_during_the_assignment_starts_it_over() {
    let mut shard = Harness::new();
    let (first, second) = (shard.join(static_joining("i", "")), shard.join(static_joining("j", "")));
    shard.advance(2 * DELAY_MS);
    let (first, second) = (joined(first), joined(second));
    let waiting = shard.sync(&second.member_id, 1, &[]);
    let mut back = shard.join(static_joining("j", ""));
    assert!(matches!(answered(waiting), Err(GroupError::FencedInstance | GroupError::RebalanceInProgress)));
    assert!(is_waiting(&mut back));
    let again = shard.join(static_joining("i", &first.member_id));
    assert_eq!((joined(again).generation, joined(back).generation), (2, 2));
}

#[test]
fn a_static_member_is_kept_through_rebalances_until_its_session_ends() {
    let mut shard = Harness::new();
    let (first, second) = static_pair(&mut shard);
    let again = shard.join(JoinRequest { protocols: protocols(&["range", "x"]), ..static_joining("i", &first) });
    for _ in 0..REBALANCE_MS / 5_000 {
        // The second one is only heard of.
        let _ = shard.heartbeat_as(&second, Some("j"), 1);
        shard.advance(5_000);
    }
    let again = joined(again);
    assert_eq!((again.generation, again.leader == first), (2, true));
    assert_eq!(again.members.len(), 2, "it keeps its share");
}

/// Looked at without a pause, this would never end.
#[test]
fn a_static_member_without_a_rebalance_timeout_is_kept_until_its_session_ends() {
    let mut shard = Harness::new();
    let quick = shard.join(JoinRequest { rebalance_timeout_ms: 0, ..static_joining("i", "") });
    let other = shard.join(JoinRequest { is_id_required: false, ..joining("a", "") });
    shard.advance(2 * DELAY_MS);
    let (quick, other) = (joined(quick), joined(other));
    assert_eq!(quick.generation, other.generation);
    shard.leave(vec![Leaving { member_id: other.member_id, instance_id: None }]);
    shard.advance(SESSION_MS / 2);
    assert_eq!(shard.state(), "PreparingRebalance");
    shard.advance(SESSION_MS);
    assert_eq!(shard.state(), "Empty");
}

#[test]
fn an_administrator_removes_static_members_by_instance_id() {
    let mut shard = Harness::new();
    static_pair(&mut shard);
    let by_instance = |id: &str| Leaving { member_id: String::new(), instance_id: Some(id.to_owned()) };
    assert_eq!(shard.leave(vec![by_instance("j"), by_instance("k")]), [Ok(()), Err(GroupError::UnknownMember)]);
    assert_eq!(shard.describe().expect("the group exists").members.len(), 1);
}
