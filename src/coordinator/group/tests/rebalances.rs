//! Joining, the two phases, and who is dropped in them.

use super::*;

#[test]
fn a_join_that_cannot_be_is_refused() {
    let mut shard = Harness::new();
    let error = |shard: &mut Harness, request| refused(shard.join(request)).error;
    assert_eq!(error(&mut shard, JoinRequest { group_id: String::new(), ..joining("a", "") }), GroupError::InvalidGroupId);
    for session_timeout_ms in [5_999, 1_800_001] {
        let request = JoinRequest { session_timeout_ms, ..joining("a", "") };
        assert_eq!(error(&mut shard, request), GroupError::InvalidSessionTimeout);
    }
    assert_eq!(error(&mut shard, joining("a", "nobody")), GroupError::UnknownMember);
    let without = JoinRequest { protocols: Vec::new(), ..joining("a", "") };
    assert_eq!(error(&mut shard, without), GroupError::InconsistentProtocol);
    let names: Vec<String> = (0..=100).map(|number| format!("p{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let many = JoinRequest { protocols: protocols(&names), ..joining("a", "") };
    assert_eq!(error(&mut shard, many), GroupError::InconsistentProtocol, "more than any client has");
    let long = JoinRequest { client_id: "x".repeat(40_000), ..joining("a", "") };
    assert_eq!(error(&mut shard, long), GroupError::NameTooLong);
    assert_eq!(error(&mut shard, joining("a", &"x".repeat(40_000))), GroupError::NameTooLong);
    assert_eq!(shard.state(), "Dead", "refused joins leave no group behind");

    shard.stable(&["a"]);
    let other_type = JoinRequest { protocol_type: "connect".to_owned(), ..joining("b", "") };
    assert_eq!(error(&mut shard, other_type), GroupError::InconsistentProtocol);
    let other_protocol = JoinRequest { protocols: protocols(&["sticky"]), ..joining("b", "") };
    assert_eq!(error(&mut shard, other_protocol), GroupError::InconsistentProtocol);
    assert_eq!(error(&mut shard, joining("a", "nobody")), GroupError::UnknownMember);
}

#[test]
fn a_new_dynamic_member_comes_back_with_its_id() {
    let mut shard = Harness::new();
    let told = refused(shard.join(joining("a", "")));
    assert_eq!(told.error, GroupError::MemberIdRequired);
    assert!(told.member_id.starts_with("a-"), "{}", told.member_id);
    assert_eq!(shard.state(), "Empty");
    // Nobody comes back with it: it is forgotten after the session timeout, and the group with it.
    shard.advance(SESSION_MS);
    assert_eq!(refused(shard.join(joining("a", &told.member_id))).error, GroupError::UnknownMember);
    assert_eq!(shard.state(), "Dead");
}

#[test]
fn an_older_client_is_a_member_at_once() {
    let mut shard = Harness::new();
    let answer = shard.join(JoinRequest { is_id_required: false, ..joining("a", "") });
    shard.advance(DELAY_MS);
    let joined = joined(answer);
    assert_eq!((joined.generation, joined.leader == joined.member_id, joined.members.len()), (1, true, 1));
}

#[test]
fn a_whole_rebalance() {
    let mut shard = Harness::new();
    let (first, mut first_join) = shard.enter("a");
    let (second, second_join) = shard.enter("b");
    assert!(is_waiting(&mut first_join));
    shard.advance(2 * DELAY_MS);
    let (led, followed) = (joined(first_join), joined(second_join));
    assert_eq!((led.generation, followed.generation), (1, 1));
    assert_eq!((&led.leader, &followed.leader), (&first, &first));
    assert_eq!(led.members.len(), 2);
    assert!(followed.members.is_empty());
    assert_eq!((led.protocol.as_deref(), led.protocol_type.as_deref()), (Some("range"), Some("consumer")));
    assert_eq!(shard.state(), "CompletingRebalance");
    assert_eq!(shard.log.len(), 1, "that the group has begun; nothing is decided before the leader has assigned");

    let mut follower = shard.sync(&second, 1, &[]);
    assert!(is_waiting(&mut follower));
    let leader = shard.sync(&first, 1, &[(&first, b"1"), (&second, b"2")]);
    assert_eq!(answered(leader).expect("assigned").assignment, Bytes::from_static(b"1"));
    assert_eq!(answered(follower).expect("assigned").assignment, Bytes::from_static(b"2"));
    let group = shard.describe().expect("the group exists");
    assert_eq!((group.state, group.protocol.as_str(), group.members.len()), ("Stable", "range", 2));
    assert_eq!(shard.heartbeat(&first, 1), Ok(()));
}

#[test]
fn the_first_rebalance_waits_while_members_arrive_but_not_forever() {
    let mut shard = Harness::new();
    let request = |id: &str| JoinRequest { rebalance_timeout_ms: 8_000, is_id_required: false, ..joining("a", id) };
    let mut first = shard.join(request(""));
    let mut others = Vec::new();
    for _ in 0..4 {
        // One more just before each wait of 3 s ends: 3 + 3 + 2 s is the rebalance timeout.
        shard.advance(1_900);
        assert!(is_waiting(&mut first));
        others.push(shard.join(request("")));
    }
    shard.advance(400);
    let first = joined(first);
    assert_eq!(first.members.len(), 5);
    assert!(others.into_iter().all(|other| joined(other).generation == 1));
}

#[test]
fn a_joining_member_makes_the_others_join_again() {
    let mut shard = Harness::new();
    let ids = shard.stable(&["a"]);
    let (second, mut second_join) = shard.enter("b");
    assert!(is_waiting(&mut second_join), "the first member has to come back before");
    assert_eq!(shard.heartbeat(&ids[0], 1), Err(GroupError::RebalanceInProgress));
    assert_eq!(answered(shard.sync(&ids[0], 1, &[])), Err(GroupError::RebalanceInProgress));
    let first_join = shard.join(joining("a", &ids[0]));
    assert_eq!((joined(first_join).generation, joined(second_join).generation), (2, 2));
    assert_eq!(shard.heartbeat(&second, 1), Err(GroupError::IllegalGeneration));
    assert_eq!(answered(shard.sync(&second, 1, &[])), Err(GroupError::IllegalGeneration));
}

#[test]
fn a_join_during_the_assignment_voids_it() {
    let mut shard = Harness::new();
    let (first, first_join) = shard.enter("a");
    let (second, second_join) = shard.enter("b");
    shard.advance(2 * DELAY_MS);
    joined(first_join);
    joined(second_join);
    let follower = shard.sync(&second, 1, &[]);
    let (_, _third) = shard.enter("c");
    assert_eq!(answered(follower), Err(GroupError::RebalanceInProgress));
    assert_eq!(answered(shard.sync(&first, 1, &[])), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_follower_that_joins_again_unchanged_disturbs_nobody_and_the_leader_does() {
    let mut shard = Harness::new();
    let ids = shard.stable(&["a", "b"]);
    let (leader, follower) = (&ids[0], &ids[1]);
    let again = joined(shard.join(joining("b", follower)));
    assert_eq!((again.generation, shard.state()), (1, "Stable"));
    let news = shard.join(JoinRequest { protocols: protocols(&["range", "roundrobin"]), ..joining("b", follower) });
    assert_eq!(shard.state(), "PreparingRebalance");
    let led = joined(shard.join(joining("a", leader)));
    assert_eq!((led.generation, joined(news).generation), (2, 2));
    answered(shard.sync(leader, 2, &[])).expect("assigned");
    let mut again = shard.join(joining("a", leader));
    assert!(is_waiting(&mut again), "the leader may know of new partitions");
}

#[test]
fn members_that_do_not_come_back_in_time_are_dropped() {
    let mut shard = Harness::new();
    let ids = shard.stable(&["a", "b"]);
    let (_, mut third) = shard.enter("c");
    let mut second = shard.join(joining("b", &ids[1]));
    for _ in 0..REBALANCE_MS / 5_000 - 1 {
        // The first member is alive but busy.
        assert_eq!(shard.heartbeat(&ids[0], 1), Err(GroupError::RebalanceInProgress));
        shard.advance(5_000);
    }
    assert!(is_waiting(&mut second) && is_waiting(&mut third));
    shard.advance(5_000);
    assert_eq!((joined(second).generation, joined(third).generation), (2, 2));
    assert_eq!(shard.heartbeat(&ids[0], 1), Err(GroupError::UnknownMember));
}

#[test]
fn members_that_never_ask_for_their_assignment_are_dropped() {
    let mut shard = Harness::new();
    let (first, first_join) = shard.enter("a");
    let (second, second_join) = shard.enter("b");
    shard.advance(2 * DELAY_MS);
    joined(first_join);
    joined(second_join);
    answered(shard.sync(&first, 1, &[])).expect("the leader assigns");
    for _ in 0..REBALANCE_MS / 5_000 {
        assert_eq!(shard.heartbeat(&first, 1), Ok(()));
        assert_eq!(shard.heartbeat(&second, 1), Ok(()));
        shard.advance(5_000);
    }
    assert_eq!(shard.heartbeat(&second, 1), Err(GroupError::UnknownMember));
    assert_eq!(shard.heartbeat(&first, 1), Err(GroupError::RebalanceInProgress));
    assert_eq!(joined(shard.join(joining("a", &first))).generation, 2);
}

#[test]
fn the_protocol_with_most_votes_is_chosen() {
    let mut shard = Harness::new();
    let join = |shard: &mut Harness, names: &[&str]| {
        shard.join(JoinRequest { protocols: protocols(names), is_id_required: false, ..joining("a", "") })
    };
    let first = join(&mut shard, &["x", "range", "sticky"]);
    let _others = [join(&mut shard, &["sticky", "range"]), join(&mut shard, &["sticky", "range", "y"])];
    shard.advance(2 * DELAY_MS);
    assert_eq!(joined(first).protocol.as_deref(), Some("sticky"), "x and y are not everyone's");
}

#[test]
fn a_full_group_takes_no_more() {
    let mut shard = Harness::with(GroupSettings { members_max: 2, ..settings() });
    let ids = shard.stable(&["a", "b"]);
    assert_eq!(refused(shard.join(joining("c", ""))).error, GroupError::MaxSizeReached);
    let mut again = shard.join(joining("a", &ids[0]));
    assert!(is_waiting(&mut again), "members come back");
    let second = shard.join(joining("b", &ids[1]));
    assert_eq!((joined(again).generation, joined(second).generation), (2, 2));
}
