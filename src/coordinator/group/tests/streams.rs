//! Streams groups: what members are told, what they are refused, and what is left of them after a crash.

use super::*;
use crate::coordinator::group::records::streams::{Endpoint, Subtopology, Tasks, TopicInfo, Topology};
use crate::coordinator::group::streams::messages::{Status, StreamsBeat, StreamsDescribed, StreamsHeartbeat, StreamsReply};

const STREAMS_DELAY_MS: i64 = 3_000;
const STREAMS_SESSION_MS: i64 = 45_000;

/// A thread of an application: joins, heartbeats, gives up at once what it is told to.
#[derive(Debug, Clone, Default)]
pub(super) struct Thread {
    pub id: String,
    pub process: String,
    pub epoch: i32,
    pub owned: Tasks,
    pub topology: Topology,
    pub endpoint: Option<Endpoint>,
    endpoint_epoch: i32,
}

/// A topology with one part that reads `source` and keeps state.
pub(super) fn stateful(source: &str) -> Topology {
    let changelog = TopicInfo { name: "changelog".to_owned(), ..TopicInfo::default() };
    let part =
        Subtopology { source_topics: vec![source.to_owned()], changelog_topics: vec![changelog], ..Subtopology::default() };
    Topology { epoch: 0, subtopologies: BTreeMap::from([("0".to_owned(), part)]) }
}

impl Thread {
    pub(super) fn of(id: &str, process: &str) -> Thread {
        Thread { id: id.to_owned(), process: process.to_owned(), topology: stateful("in"), ..Thread::default() }
    }

    pub(super) fn request(&self) -> StreamsHeartbeat {
        let joins = self.epoch == 0;
        StreamsHeartbeat {
            group_id: GROUP.to_owned(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            endpoint_epoch: self.endpoint_epoch,
            rebalance_timeout_ms: joins.then_some(60_000),
            topology: joins.then(|| self.topology.clone()),
            owned: Some(if joins { Tasks::default() } else { self.owned.clone() }),
            process_id: joins.then(|| self.process.clone()),
            endpoint: self.endpoint.clone().filter(|_| joins),
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            ..StreamsHeartbeat::default()
        }
    }

    pub(super) fn heard(&mut self, beat: &StreamsBeat) {
        self.epoch = beat.member_epoch;
        self.endpoint_epoch = beat.endpoint_epoch;
        if let Some(assignment) = &beat.assignment {
            self.owned = assignment.clone();
        }
    }

    fn beat(&mut self, shard: &mut Harness) -> StreamsBeat {
        let beat = shard.streams_beat(self.request()).unwrap_or_else(|refused| panic!("{}: {}", self.id, refused.message));
        self.heard(&beat);
        beat
    }

    fn active(&self) -> usize {
        self.owned.active.values().map(BTreeSet::len).sum()
    }

    fn standby(&self) -> usize {
        self.owned.standby.values().map(BTreeSet::len).sum()
    }
}

impl Harness {
    pub(super) fn streams_beat(&mut self, request: StreamsHeartbeat) -> StreamsReply {
        answered(self.ask(|caller| Event::StreamsHeartbeat { request, caller }))
    }

    pub(super) fn streams_described(&mut self) -> StreamsDescribed {
        answered(self.ask(|caller| Event::StreamsDescribe { group_id: GROUP.to_owned(), caller })).expect("a streams group")
    }

    /// Lets everyone heartbeat until the group is stable, two seconds apart.
    fn stable_streams(&mut self, threads: &mut [&mut Thread]) {
        for _ in 0..20 {
            self.advance(2000);
            threads.iter_mut().for_each(|thread| drop(thread.beat(self)));
            if self.streams_described().state == "Stable" {
                return;
            }
        }
        panic!("the group does not become stable: {:?}", self.streams_described());
    }

    /// From now on these groups keep so many standbys.
    fn standbys(&mut self, replicas: i32, topics: &[(&str, usize)]) {
        self.topics(topics);
        let overrides = BTreeMap::from([("streams.num.standby.replicas".to_owned(), replicas.to_string())]);
        self.catalog = Arc::new(Snapshot::clone(&self.catalog).with_group(GROUP, overrides));
    }
}

fn error_of(reply: StreamsReply) -> GroupError {
    reply.expect_err("refused").error
}

fn statuses(beat: &StreamsBeat) -> Vec<Status> {
    beat.statuses.iter().map(|(status, _)| *status).collect()
}

const READY: [(&str, usize); 2] = [("in", 4), ("changelog", 4)];

fn ready() -> Harness {
    let mut shard = Harness::new();
    shard.topics(&READY);
    shard
}

#[test]
fn who_is_not_a_member_is_told_so() {
    let mut shard = ready();
    let stranger = Thread { epoch: 1, ..Thread::of("a", "p") };
    let refused = shard.streams_beat(stranger.request()).expect_err("no such group");
    assert_eq!((refused.error, refused.message.as_str()), (GroupError::UnknownGroup, "Streams group g not found."));
    let mut member = Thread::of("b", "p");
    member.beat(&mut shard);
    let refused = shard.streams_beat(stranger.request()).expect_err("no such member");
    assert_eq!((refused.error, refused.message.as_str()), (GroupError::UnknownMember, "Member a is not a member of group g."));
    let leaving = StreamsHeartbeat { member_epoch: -1, ..stranger.request() };
    assert_eq!(error_of(shard.streams_beat(leaving)), GroupError::UnknownMember);
}

#[test]
fn the_first_rebalance_waits_for_others() {
    let mut shard = ready();
    let (mut first, mut second) = (Thread::of("a", "p"), Thread::of("b", "q"));
    for thread in [&mut first, &mut second] {
        let beat = thread.beat(&mut shard);
        assert_eq!((statuses(&beat), thread.epoch, thread.active()), (vec![Status::AssignmentDelayed], 1, 0));
    }
    assert_eq!(shard.streams_described().state, "Assigning");
    shard.advance(STREAMS_DELAY_MS);
    for thread in [&mut first, &mut second] {
        assert_eq!((statuses(&thread.beat(&mut shard)), thread.active()), (vec![], 2));
    }
    assert_eq!(shard.streams_described().state, "Stable");
}

#[test]
fn a_wrong_epoch_is_fenced_unless_only_the_answer_was_lost() {
    let mut shard = ready();
    let (mut first, mut second) = (Thread::of("a", "p"), Thread::of("b", "q"));
    shard.stable_streams(&mut [&mut first]);
    let ahead = StreamsHeartbeat { member_epoch: 99, ..first.request() };
    let refused = shard.streams_beat(ahead).expect_err("fenced");
    assert_eq!(refused.error, GroupError::FencedEpoch);
    assert!(refused.message.starts_with("The streams group member has a greater member epoch (99) than"), "{}", refused.message);
    // Another one comes and goes; the answer with the new epoch is lost.
    second.beat(&mut shard);
    shard.streams_beat(StreamsHeartbeat { member_epoch: -1, ..second.request() }).expect("leaves");
    shard.advance(2000);
    let before = first.request();
    let beat = shard.streams_beat(before.clone()).expect("taken");
    assert!(beat.member_epoch > first.epoch);
    let again = shard.streams_beat(before.clone()).expect("the same request once more");
    assert_eq!(again.member_epoch, beat.member_epoch);
    assert_eq!(error_of(shard.streams_beat(StreamsHeartbeat { owned: None, ..before })), GroupError::FencedEpoch);
}

#[test]
fn a_topology_stays_what_the_first_member_brought() {
    let mut shard = ready();
    shard.stable_streams(&mut [&mut Thread::of("a", "p")]);
    let other = Thread { topology: stateful("other"), ..Thread::of("b", "q") };
    let refused = shard.streams_beat(other.request()).expect_err("another topology");
    assert_eq!((refused.error, refused.message.as_str()), (GroupError::Invalid, "Topology updates are not supported yet."));
    let wrong = Topology { epoch: 0, subtopologies: BTreeMap::from([("0".to_owned(), Subtopology::default())]) };
    let mut empty = ready();
    let refused = empty.streams_beat(Thread { topology: wrong, ..Thread::of("b", "q") }.request());
    assert_eq!(error_of(refused), GroupError::InvalidTopology);
    assert_eq!(empty.log, [], "a group that never came to be");
    assert!(!empty.shard.live.contains_key(GROUP));
}

#[test]
fn an_older_topology_is_called_stale() {
    let mut shard = ready();
    let newer = Topology { epoch: 1, ..stateful("in") };
    shard.stable_streams(&mut [&mut Thread { topology: newer, ..Thread::of("a", "p") }]);
    let beat = Thread::of("b", "q").beat(&mut shard);
    assert_eq!(beat.statuses[0].0, Status::StaleTopology);
    assert_eq!(beat.statuses[0].1, "The member's topology epoch 0 is behind the group's topology epoch 1.");
}

#[test]
fn tasks_wait_for_topics() {
    let mut shard = Harness::new();
    let mut thread = Thread::of("a", "p");
    shard.topics(&[("other", 1)]);
    let beat = thread.beat(&mut shard);
    assert_eq!(statuses(&beat), [Status::AssignmentDelayed, Status::MissingSourceTopics]);
    assert_eq!(shard.streams_described().state, "NotReady");
    shard.topics(&[("in", 3)]);
    shard.advance(4000);
    let beat = thread.beat(&mut shard);
    assert_eq!(statuses(&beat), [Status::MissingInternalTopics]);
    assert_eq!(
        beat.missing_topics.iter().map(|topic| (topic.name.as_str(), topic.partitions)).collect::<Vec<_>>(),
        [("changelog", 3)]
    );
    shard.topics(&[("in", 3), ("changelog", 2)]);
    shard.advance(2000);
    assert_eq!(statuses(&thread.beat(&mut shard)), [Status::IncorrectlyPartitionedTopics]);
    shard.topics(&[("in", 3), ("changelog", 3)]);
    shard.stable_streams(&mut [&mut thread]);
    assert_eq!(thread.active(), 3);
    // They go again: nobody runs anything.
    shard.topics(&[("in", 3)]);
    shard.advance(2000);
    thread.beat(&mut shard);
    thread.beat(&mut shard);
    assert_eq!((thread.active(), shard.streams_described().state), (0, "NotReady"));
}

/// The answer that gives tasks is lost with its connection: the thread says what it runs, and hears again what it is to run. Else nobody would run them.
#[test]
fn tasks_of_an_answer_that_was_lost_are_told_again() {
    let mut shard = ready();
    let (mut first, mut second) = (Thread::of("a", "p"), Thread::of("b", "q"));
    shard.stable_streams(&mut [&mut first, &mut second]);
    assert_eq!((first.active(), second.active()), (2, 2));
    shard.streams_beat(StreamsHeartbeat { member_epoch: -1, ..second.request() }).expect("leaves");
    shard.advance(2000);
    let lost = shard.streams_beat(first.request()).expect("taken");
    assert_eq!(lost.assignment.map(|own| own.active["0"].len()), Some(4));
    let again = first.beat(&mut shard);
    assert_eq!(first.active(), 4);
    assert_eq!(again.endpoint_epoch, lost.endpoint_epoch, "it is no news for the others");
    assert_eq!(first.beat(&mut shard).assignment, None, "it runs all of them now");
    let other = StreamsHeartbeat { owned: Some(Tasks::default()), ..first.request() };
    assert_eq!(
        shard.streams_beat(other).expect("taken").assignment,
        None,
        "it has heard of this epoch, and what it runs is its affair, as in Kafka"
    );
    let quiet = StreamsHeartbeat { owned: None, ..first.request() };
    assert_eq!(shard.streams_beat(quiet).expect("taken").assignment, None);
}

#[test]
fn a_task_moves_only_when_it_was_given_up() {
    let mut shard = ready();
    let (mut first, mut second) = (Thread::of("a", "p"), Thread::of("b", "q"));
    shard.stable_streams(&mut [&mut first]);
    shard.advance(2000);
    second.beat(&mut shard);
    assert_eq!(second.active(), 0, "everything is still run by the first");
    // It is told to give two up, and holds on to them.
    let holding = first.request();
    let beat = shard.streams_beat(holding.clone()).expect("taken");
    assert_eq!(beat.assignment.as_ref().map(|own| own.active["0"].len()), Some(2));
    assert_eq!(beat.member_epoch, first.epoch);
    shard.streams_beat(holding).expect("taken");
    second.beat(&mut shard);
    assert_eq!(second.active(), 0);
    first.heard(&beat);
    first.beat(&mut shard);
    second.beat(&mut shard);
    assert_eq!((first.active(), second.active()), (2, 2));
    assert_eq!(shard.streams_described().state, "Stable");
}

#[test]
fn who_does_not_give_up_in_time_is_removed() {
    let mut shard = ready();
    let (mut first, mut second) = (Thread::of("a", "p"), Thread::of("b", "q"));
    shard.stable_streams(&mut [&mut first]);
    shard.advance(2000);
    second.beat(&mut shard);
    let holding = first.request();
    shard.streams_beat(holding.clone()).expect("taken");
    for _ in 0..3 {
        shard.advance(20_000);
        let _ = shard.streams_beat(holding.clone());
        second.beat(&mut shard);
    }
    assert_eq!(error_of(shard.streams_beat(holding)), GroupError::UnknownMember);
    shard.stable_streams(&mut [&mut second]);
    assert_eq!(second.active(), 4);
}

#[test]
fn who_is_silent_is_removed() {
    let mut shard = ready();
    let mut thread = Thread::of("a", "p");
    shard.stable_streams(&mut [&mut thread]);
    shard.advance(STREAMS_SESSION_MS - 1);
    thread.beat(&mut shard);
    shard.advance(STREAMS_SESSION_MS);
    assert_eq!(error_of(shard.streams_beat(thread.request())), GroupError::UnknownMember);
    assert_eq!(shard.streams_described().state, "Empty");
}

#[test]
fn standbys_are_copies_in_other_processes_and_follow_the_setting() {
    let mut shard = ready();
    let (mut first, mut same, mut other) = (Thread::of("a", "p"), Thread::of("b", "p"), Thread::of("c", "q"));
    shard.stable_streams(&mut [&mut first, &mut same, &mut other]);
    assert_eq!(first.standby() + same.standby() + other.standby(), 0);
    shard.standbys(1, &READY);
    shard.stable_streams(&mut [&mut first, &mut same, &mut other]);
    assert_eq!(first.standby() + same.standby() + other.standby(), 4);
    for partition in 0..4 {
        let has = |tasks: &BTreeMap<String, BTreeSet<i32>>| tasks.get("0").is_some_and(|own| own.contains(&partition));
        let here = [&first, &same].iter().any(|thread| has(&thread.owned.active));
        let standby_here = [&first, &same].iter().any(|thread| has(&thread.owned.standby));
        assert!(here != standby_here, "task {partition} is active at one process and standby at the other");
    }
    assert_eq!(shard.streams_described().members.len(), 3);
}

#[test]
fn whoever_asks_for_it_stops_everyone() {
    let mut shard = ready();
    let (mut first, mut second) = (Thread::of("a", "p"), Thread::of("b", "q"));
    shard.stable_streams(&mut [&mut first, &mut second]);
    shard.streams_beat(StreamsHeartbeat { shuts_down: true, ..first.request() }).expect("taken");
    let beat = second.beat(&mut shard);
    assert_eq!(statuses(&beat), [Status::ShutdownApplication]);
    assert!(beat.statuses[0].1.starts_with("Streams group member a encountered a fatal error"));
    for thread in [&first, &second] {
        shard.streams_beat(StreamsHeartbeat { member_epoch: -1, ..thread.request() }).expect("leaves");
    }
    assert_eq!(statuses(&Thread::of("c", "p").beat(&mut shard)), [Status::AssignmentDelayed], "an empty group starts over");
}

#[test]
fn members_with_endpoints_know_who_has_what() {
    let mut shard = ready();
    let endpoint = |port| Some(Endpoint { host: "host".to_owned(), port });
    let mut first = Thread { endpoint: endpoint(1), ..Thread::of("a", "p") };
    let mut second = Thread { endpoint: endpoint(2), ..Thread::of("b", "q") };
    shard.stable_streams(&mut [&mut first, &mut second]);
    // One more round: the last of them may have been told before the others moved.
    let mut told = None;
    for _ in 0..2 {
        told = first.beat(&mut shard).endpoints.or(told);
        second.beat(&mut shard);
    }
    let told = told.expect("the first was told something since it joined");
    let ports: Vec<u16> = told.iter().map(|one| one.endpoint.port).collect();
    assert_eq!(ports, [1, 2]);
    assert!(told.iter().flat_map(|one| &one.active).all(|(topic, _)| topic == "in"));
    assert_eq!(first.beat(&mut shard).endpoints, None, "nothing new");
}

#[test]
fn offsets_are_of_members_at_their_epochs() {
    let mut shard = ready();
    let mut thread = Thread::of("a", "p");
    shard.stable_streams(&mut [&mut thread]);
    let commit = |member: &str, epoch: i32, topic: &str| CommitRequest {
        generation: epoch,
        member_id: member.to_owned(),
        ..by_hand(topic, 1)
    };
    assert_eq!(shard.commit(commit("b", thread.epoch, "in")), Err(GroupError::UnknownMember));
    assert_eq!(shard.commit(commit("a", thread.epoch + 1, "in")), Err(GroupError::StaleEpoch));
    let old = CommitRequest { knows_epochs: false, ..commit("a", thread.epoch, "in") };
    assert_eq!(shard.commit(old), Err(GroupError::UnsupportedVersion));
    assert_eq!(shard.commit(commit("a", thread.epoch, "in")), Ok(vec![Ok(())]));
    // It moves on without losing the task: what it sent before counts.
    let since = thread.epoch;
    let mut second = Thread::of("b", "q");
    shard.stable_streams(&mut [&mut thread, &mut second]);
    let kept = thread.owned.active["0"].contains(&0);
    let (owner, other) = if kept { ("a", "b") } else { ("b", "a") };
    let expected = if kept { Ok(vec![Ok(())]) } else { Err(GroupError::StaleEpoch) };
    assert_eq!(shard.commit(commit(owner, since, "in")), expected);
    assert_eq!(shard.commit(commit(other, since, "in")), Err(GroupError::StaleEpoch));
    assert_eq!(shard.commit(commit("a", since, "elsewhere")), Err(GroupError::StaleEpoch));
    let partitions = vec![("in".to_owned(), 0), ("elsewhere".to_owned(), 0)];
    let request = DeleteOffsetsRequest { group_id: GROUP.to_owned(), partitions };
    let deleted = answered(shard.ask(|caller| Event::DeleteOffsets { request, caller })).expect("a group");
    assert_eq!(deleted, [Err(GroupError::SubscribedTopic), Ok(())]);
}

#[test]
fn kinds_of_groups_keep_to_themselves_until_they_are_empty() {
    let mut shard = ready();
    let mut thread = Thread::of("a", "p");
    thread.beat(&mut shard);
    let join = refused(shard.join(joining("classic", "")));
    assert_eq!((join.error, join.member_id.as_str()), (GroupError::InconsistentProtocol, ""));
    let consumer = ConsumerHeartbeat {
        group_id: GROUP.to_owned(),
        member_id: "c".to_owned(),
        rebalance_timeout_ms: Some(1000),
        topics: Some(BTreeSet::from(["in".to_owned()])),
        owned: Some(Partitions::new()),
        ..ConsumerHeartbeat::default()
    };
    let refusal = shard.beat(consumer).expect_err("another kind");
    assert_eq!(refusal.message, "Group g is not a consumer group.");
    assert_eq!(shard.heartbeat("a", 1), Err(GroupError::UnknownMember));
    assert_eq!(shard.delete(), Err(GroupError::NonEmptyGroup));
    shard.streams_beat(StreamsHeartbeat { member_epoch: -1, ..thread.request() }).expect("leaves");
    // Empty: it becomes a classic group, and later a streams group again.
    let ids = shard.stable(&["x"]);
    let refusal = shard.streams_beat(Thread::of("b", "p").request()).expect_err("a classic group with a member");
    assert_eq!(refusal.message, "Group g is not a streams group.");
    shard.leave(vec![leaving(&ids[0])]);
    let mut back = Thread::of("c", "p");
    back.beat(&mut shard);
    assert_eq!(shard.streams_described().members.len(), 1);
    let restarted = shard.restarted();
    assert_eq!(restarted.shard.durable, shard.shard.durable);
    shard.streams_beat(StreamsHeartbeat { member_epoch: -1, ..back.request() }).expect("leaves");
    shard.delete().expect("empty");
    assert!(shard.shard.durable.streams.is_empty());
    assert_eq!(shard.restarted().shard.durable, shard.shard.durable);
}

#[test]
fn a_crash_changes_nothing_for_members() {
    let mut shard = ready();
    let (mut first, mut second) = (Thread::of("a", "p"), Thread::of("b", "q"));
    shard.stable_streams(&mut [&mut first, &mut second]);
    let (epoch, described) = (first.epoch, shard.streams_described());
    let mut shard = shard.restarted();
    let beat = first.beat(&mut shard);
    assert_eq!((beat.member_epoch, beat.assignment), (epoch, None));
    second.beat(&mut shard);
    assert_eq!(shard.streams_described(), described);
    // Sessions go on.
    shard.advance(STREAMS_SESSION_MS);
    assert_eq!(shard.streams_described().state, "Empty");
}

#[test]
fn topics_that_a_refused_heartbeat_saw_are_looked_at_again() {
    let mut shard = ready();
    let mut thread = Thread::of("a", "p");
    shard.stable_streams(&mut [&mut thread]);
    // It says to run tasks that there are no more, and the topics come back before anyone says anything else.
    shard.topics(&[("in", 1), ("changelog", 1)]);
    assert_eq!(error_of(shard.streams_beat(thread.request())), GroupError::Invalid);
    shard.topics(&READY);
    thread.beat(&mut shard);
    let topology = shard.streams_described().topology.expect("a topology");
    assert_eq!(topology.subtopologies[0].changelog_topics[0].partitions, 4);
}
