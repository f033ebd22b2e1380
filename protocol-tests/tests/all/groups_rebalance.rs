//! Goal: members join, are told of each other, leave, fall silent, come back and survive the server's death, as the classic protocol
//! has it (KIP-62, KIP-345, KIP-394).
//! Method: members on their own connections, so that joins can wait for each other in one thread; times are bounds, never waits.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::{JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest};
use protocol_tests::frame::{group_id, text};
use protocol_tests::groups::{JOIN, LEAVE, Member, SYNC};
use protocol_tests::server::Server;
use protocol_tests::topics::unique;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long something that must happen by itself may take.
const LIMIT: Duration = Duration::from_secs(20);
/// How many members come at once.
const MEMBERS: usize = 8;

/// Calls `is_so` until it is.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < LIMIT, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn joins_that_make_no_sense_are_refused() {
    let server = Server::shared();
    let group = unique("group");
    let mut member = Member::of(&server, &group);
    let good = member.join_request();
    let mut refused = |request: JoinGroupRequest, wanted: ResponseError| {
        let answer = member.client.call(JOIN, &request);
        assert_eq!(answer.error_code.err(), Some(wanted));
        assert_eq!(answer.generation_id, -1, "{wanted:?}");
    };
    refused(good.clone().with_group_id(group_id("")), ResponseError::InvalidGroupId);
    refused(good.clone().with_session_timeout_ms(1), ResponseError::InvalidSessionTimeout);
    refused(good.clone().with_session_timeout_ms(i32::MAX), ResponseError::InvalidSessionTimeout);
    refused(good.clone().with_member_id(text("stranger")), ResponseError::UnknownMemberId);
    refused(good.clone().with_protocols(Vec::new()), ResponseError::InconsistentGroupProtocol);
    refused(good.clone().with_protocol_type(text("")), ResponseError::InconsistentGroupProtocol);
    // Beside a living member the protocols must have one in common.
    let mut living = Member::of(&server, &group);
    living.join_alone("all");
    refused(good.clone().with_protocol_type(text("connect")), ResponseError::InconsistentGroupProtocol);
    let other = JoinGroupRequestProtocol::default().with_name(text("sticky"));
    refused(good.with_protocols(vec![other]), ResponseError::InconsistentGroupProtocol);
    assert_eq!(living.heartbeat().err(), None, "none of this disturbed the group");
}

#[test]
fn a_first_join_gets_a_member_id_and_must_come_back_with_it() {
    let server = Server::shared();
    for version in 0..=JOIN {
        let mut member = Member::of(&server, &unique("group"));
        let request = member.join_request();
        let answer = member.client.call(version, &request);
        if version >= 4 {
            assert_eq!(answer.error_code.err(), Some(ResponseError::MemberIdRequired), "version {version}");
            assert!(answer.member_id.starts_with("protocol-tests-"), "{:?} begins with the client id", answer.member_id);
            let request = request.with_member_id(answer.member_id.clone());
            let again = member.client.call(version, &request);
            assert_eq!((again.error_code.err(), &again.member_id), (None, &answer.member_id), "version {version}");
        } else {
            assert_eq!(answer.error_code.err(), None, "version {version}");
            assert_eq!((answer.generation_id, &answer.leader), (1, &answer.member_id), "version {version}");
        }
    }
}

#[test]
fn heartbeats_and_syncs_of_strangers_are_refused() {
    let server = Server::shared();
    let group = unique("group");
    let mut stranger = Member::of(&server, &group);
    (stranger.member_id, stranger.generation) = ("stranger".to_owned(), 1);
    assert_eq!(stranger.heartbeat().err(), Some(ResponseError::UnknownMemberId), "a group that is not there");
    assert_eq!(stranger.sync(&[]).error_code.err(), Some(ResponseError::UnknownMemberId));
    let mut member = Member::of(&server, &group);
    member.join_alone("all");
    assert_eq!(stranger.heartbeat().err(), Some(ResponseError::UnknownMemberId));
    assert_eq!(stranger.sync(&[]).error_code.err(), Some(ResponseError::UnknownMemberId));
    assert_eq!(stranger.leave().err(), Some(ResponseError::UnknownMemberId));
    member.generation += 1;
    assert_eq!(member.heartbeat().err(), Some(ResponseError::IllegalGeneration));
    assert_eq!(member.sync(&[]).error_code.err(), Some(ResponseError::IllegalGeneration));
    member.generation -= 1;
    let other = member.sync_request(&[]).with_protocol_name(Some(text("sticky")));
    assert_eq!(member.client.call(SYNC, &other).error_code.err(), Some(ResponseError::InconsistentGroupProtocol));
    assert_eq!(member.heartbeat().err(), None);
}

#[test]
fn two_members_share_one_generation_and_the_leaders_assignment() {
    let server = Server::shared();
    let group = unique("group");
    let mut one = Member::of(&server, &group);
    one.join_alone("all");
    assert_eq!(one.generation, 1);
    let mut two = Member::of(&server, &group);
    let joining = two.start_join();
    eventually("the first member hears of the rebalance", || one.heartbeat().err() == Some(ResponseError::RebalanceInProgress));
    let led = one.join();
    let followed = two.joined(joining);
    assert_eq!((led.error_code.err(), followed.error_code.err()), (None, None));
    assert_eq!((one.generation, two.generation), (2, 2));
    assert_eq!((&led.leader, &followed.leader), (&led.member_id, &led.member_id), "who led goes on leading");
    assert_eq!(led.protocol_name.as_deref(), Some("range"));
    let members: BTreeSet<&str> = led.members.iter().map(|member| member.member_id.as_str()).collect();
    assert_eq!(members, BTreeSet::from([one.member_id.as_str(), two.member_id.as_str()]));
    assert!(led.members.iter().all(|member| member.metadata == b"subscription"[..]), "the leader sees what each subscribed to");
    assert!(followed.members.is_empty(), "nobody else does");
    // The follower asks first and waits for the leader.
    let request = two.sync_request(&[]);
    let waiting = two.client.send(SYNC, &request).unwrap();
    let assignments = [(one.member_id.clone(), "left"), (two.member_id.clone(), "right")];
    let assignments = assignments.each_ref().map(|(member, assignment)| (member.as_str(), *assignment));
    assert_eq!(one.sync(&assignments).assignment, &b"left"[..]);
    let synced = two.client.receive::<SyncGroupRequest>(SYNC, waiting).unwrap();
    assert_eq!((synced.error_code.err(), &synced.assignment[..]), (None, &b"right"[..]));
    assert_eq!((one.heartbeat().err(), two.heartbeat().err()), (None, None));
    let described = server.connect().describe_group(&group);
    assert_eq!((described.group_state.as_str(), described.protocol_data.as_str()), ("Stable", "range"));
    assert_eq!(described.members.len(), 2);
    for member in &described.members {
        let wanted = if member.member_id.as_str() == one.member_id { &b"left"[..] } else { &b"right"[..] };
        assert_eq!(member.member_assignment, wanted);
        assert_eq!((member.client_id.as_str(), member.client_host.as_str()), ("protocol-tests", "/127.0.0.1"));
    }
}

#[test]
fn a_member_that_leaves_starts_a_rebalance() {
    let server = Server::shared();
    let group = unique("group");
    let (mut one, mut two) = (Member::of(&server, &group), Member::of(&server, &group));
    pair(&mut one, &mut two);
    let generation = one.generation;
    assert_eq!(two.leave().err(), None);
    assert_eq!(two.heartbeat().err(), Some(ResponseError::UnknownMemberId), "who left is forgotten");
    eventually("the other hears of it", || one.heartbeat().err() == Some(ResponseError::RebalanceInProgress));
    let joined = one.join();
    assert_eq!((joined.error_code.err(), joined.members.len()), (None, 1));
    assert_eq!(joined.generation_id, generation + 1);
}

/// Brings two members into one stable generation.
fn pair(one: &mut Member, two: &mut Member) {
    one.join_alone("all");
    let joining = two.start_join();
    eventually("the first member hears of the rebalance", || one.heartbeat().err() == Some(ResponseError::RebalanceInProgress));
    assert_eq!(one.join().error_code.err(), None);
    assert_eq!(two.joined(joining).error_code.err(), None);
    let (first, second) = (one.member_id.clone(), two.member_id.clone());
    assert_eq!(one.sync(&[(first.as_str(), "left"), (second.as_str(), "right")]).error_code.err(), None);
    assert_eq!(two.sync(&[]).assignment, &b"right"[..]);
}

#[test]
fn leaving_is_answered_member_by_member() {
    let server = Server::shared();
    let group = unique("group");
    let mut member = Member::of(&server, &group);
    member.join_alone("all");
    let named = |id: &str| MemberIdentity::default().with_member_id(text(id));
    let request = LeaveGroupRequest::default().with_group_id(group_id(&group)).with_members(vec![
        named("stranger"),
        named(&member.member_id),
        named("another"),
    ]);
    let response = member.client.call(LEAVE, &request);
    assert_eq!(response.error_code.err(), None);
    let codes: Vec<_> = response.members.iter().map(|member| member.error_code.err()).collect();
    let no = Some(ResponseError::UnknownMemberId);
    assert_eq!(codes, [no, None, no]);
    assert_eq!(server.connect().describe_group(&group).group_state.as_str(), "Empty");
    // Before version 3 there is one member and one error code.
    for version in 0..=2 {
        let request = LeaveGroupRequest::default().with_group_id(group_id(&group)).with_member_id(text("stranger"));
        assert_eq!(member.client.call(version, &request).error_code.err(), no, "version {version}");
    }
}

#[test]
fn a_silent_member_is_dropped_when_its_session_ends() {
    let server = Server::shared();
    let group = unique("group");
    let (mut one, mut two) = (Member::of(&server, &group), Member::of(&server, &group));
    two.session_timeout_ms = 1_500;
    pair(&mut one, &mut two);
    // Nothing more comes from the second; its connection stays open.
    eventually("the session ends", || one.heartbeat().err() == Some(ResponseError::RebalanceInProgress));
    let joined = one.join();
    assert_eq!((joined.error_code.err(), joined.members.len()), (None, 1));
    assert_eq!(two.heartbeat().err(), Some(ResponseError::UnknownMemberId));
}

#[test]
fn heartbeats_keep_a_short_session_alive() {
    let server = Server::shared();
    let mut member = Member::of(&server, &unique("group"));
    member.session_timeout_ms = 2_000;
    member.join_alone("all");
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(4) {
        assert_eq!(member.heartbeat().err(), None, "after {:?}", started.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn who_does_not_rejoin_in_time_is_left_behind() {
    let server = Server::shared();
    let group = unique("group");
    let mut one = Member::of(&server, &group);
    one.rebalance_timeout_ms = 700;
    one.join_alone("all");
    let mut two = Member::of(&server, &group);
    two.rebalance_timeout_ms = 700;
    // The first member goes on with its heartbeats, but never joins again.
    let joined = two.join();
    assert_eq!((joined.error_code.err(), joined.members.len()), (None, 1));
    assert_eq!(joined.leader, joined.member_id);
    assert_eq!(one.heartbeat().err(), Some(ResponseError::UnknownMemberId));
}

#[test]
fn a_static_member_comes_back_to_its_place_and_fences_its_older_self() {
    let server = Server::shared();
    let group = unique("group");
    let topic = server.connect().create_topic("fenced", 1, &[]).name;
    let mut first = Member::fixed(&server, &group, "instance-1");
    first.join_alone("all");
    let mut second = Member::fixed(&server, &group, "instance-1");
    let joined = second.join();
    assert_eq!(joined.error_code.err(), None);
    assert_eq!(joined.generation_id, first.generation, "no rebalance for a restart (KIP-345)");
    assert_ne!(second.member_id, first.member_id, "each start has an id of its own");
    assert_eq!(second.sync(&[]).assignment, &b"all"[..], "its assignment is still its own");
    assert_eq!(first.heartbeat().err(), Some(ResponseError::FencedInstanceId));
    assert_eq!(first.commit(&topic, 0, 1).err(), Some(ResponseError::FencedInstanceId));
    assert_eq!(first.sync(&[]).error_code.err(), Some(ResponseError::FencedInstanceId));
    assert_eq!(second.heartbeat().err(), None);
    let described = server.connect().describe_group(&group);
    assert_eq!(described.members.len(), 1);
    // An operator removes a static member by its instance id alone (KIP-345).
    let nameless = MemberIdentity::default().with_group_instance_id(Some(text("instance-1")));
    let request = LeaveGroupRequest::default().with_group_id(group_id(&group)).with_members(vec![nameless]);
    let response = second.client.call(LEAVE, &request);
    assert_eq!(response.members[0].error_code.err(), None);
    assert_eq!(second.heartbeat().err(), Some(ResponseError::UnknownMemberId));
}

#[test]
fn members_survive_the_death_of_the_server() {
    let mut server = Server::start();
    let group = unique("group");
    let topic = server.connect().create_topic("survives", 1, &[]).name;
    let (mut one, mut two) = (Member::of(&server, &group), Member::fixed(&server, &group, "instance-2"));
    pair(&mut one, &mut two);
    assert_eq!(one.commit(&topic, 0, 41).err(), None);
    for is_sudden in [true, false] {
        if is_sudden {
            server.kill9();
        } else {
            server.terminate();
        }
        server.restart();
        (one.client, two.client) = (server.connect(), server.connect());
        let loading = [Some(ResponseError::CoordinatorLoadInProgress), Some(ResponseError::NotCoordinator)];
        eventually("the coordinator has loaded", || !loading.contains(&one.heartbeat().err()));
        assert_eq!((one.heartbeat().err(), two.heartbeat().err()), (None, None), "same generation, same members");
        let described = server.connect().describe_group(&group);
        assert_eq!((described.group_state.as_str(), described.members.len()), ("Stable", 2));
        assert_eq!(two.sync(&[]).assignment, &b"right"[..], "assignments are kept, too");
        assert_eq!(server.connect().committed_offset(&group, &topic, 0).committed_offset, 41);
        assert_eq!(one.commit(&topic, 0, 41).err(), None, "and the group goes on");
    }
}

/// What one of many members does until all of them agree on a generation: joins, syncs, and joins again when told so.
fn settle(member: &mut Member, members: usize) -> String {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < LIMIT, "{members} members do not come to rest");
        let joined = member.join();
        match joined.error_code.err() {
            None => {}
            Some(ResponseError::RebalanceInProgress) => continue,
            error => panic!("joining: {error:?}; a living member must never be forgotten"),
        }
        let ids: Vec<String> = joined.members.iter().map(|other| other.member_id.to_string()).collect();
        let names: Vec<String> = (0..ids.len()).map(|index| format!("part {index} of {}", ids.len())).collect();
        let assignments: Vec<(&str, &str)> = ids.iter().map(String::as_str).zip(names.iter().map(String::as_str)).collect();
        let synced = member.sync(&assignments);
        match synced.error_code.err() {
            None => {}
            Some(ResponseError::RebalanceInProgress) => continue,
            error => panic!("syncing: {error:?}"),
        }
        let assignment = String::from_utf8(synced.assignment.to_vec()).expect("what the leader wrote");
        assert!(!assignment.is_empty(), "an assignment went missing");
        // Stays as long as nobody else comes.
        loop {
            match member.heartbeat().err() {
                None if assignment.ends_with(&format!("of {members}")) => return assignment,
                None => std::thread::sleep(Duration::from_millis(5)),
                Some(ResponseError::RebalanceInProgress) => break,
                error => panic!("heartbeat: {error:?}"),
            }
            assert!(started.elapsed() < LIMIT, "{members} members do not come to rest");
        }
    }
}

#[test]
fn many_members_that_come_at_once_end_in_one_generation_with_one_part_each() {
    let server = Server::shared();
    let group = unique("group");
    let parts: Vec<(String, i32)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..MEMBERS)
            .map(|_| {
                let mut member = Member::of(&server, &group);
                scope.spawn(move || {
                    let part = settle(&mut member, MEMBERS);
                    (part, member.generation)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a member came to rest")).collect()
    });
    let distinct: BTreeSet<&str> = parts.iter().map(|(part, _)| part.as_str()).collect();
    assert_eq!(distinct.len(), MEMBERS, "each part once: {parts:?}");
    let generations: BTreeSet<i32> = parts.iter().map(|(_, generation)| *generation).collect();
    assert_eq!(generations.len(), 1, "{parts:?}");
}
