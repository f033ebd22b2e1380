//! Groups of the consumer protocol: what members are told, what they are refused, and what is left of them after a crash.

use super::*;
use std::collections::BTreeMap;

const CONSUMER_SESSION_MS: i64 = 45_000;

/// A member as its client sees it: joins, heartbeats, gives up at once what it is told to.
#[derive(Debug, Clone, Default)]
pub(super) struct Consumer {
    pub id: String,
    pub epoch: i32,
    pub instance_id: Option<String>,
    pub topics: Option<BTreeSet<String>>,
    pub regex: Option<String>,
    pub owned: Partitions,
    pub heartbeat_interval_ms: i32,
}

impl Consumer {
    pub(super) fn of(id: &str, topics: &[&str]) -> Consumer {
        let topics = Some(topics.iter().map(|topic| (*topic).to_owned()).collect());
        Consumer { id: id.to_owned(), topics, ..Consumer::default() }
    }

    pub(super) fn matching(id: &str, regex: &str) -> Consumer {
        Consumer { id: id.to_owned(), regex: Some(regex.to_owned()), ..Consumer::default() }
    }

    pub(super) fn request(&self) -> ConsumerHeartbeat {
        let joins = self.epoch == 0;
        ConsumerHeartbeat {
            group_id: GROUP.to_owned(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance_id.clone(),
            rebalance_timeout_ms: joins.then_some(60_000),
            topics: self.topics.clone().filter(|_| joins),
            regex: self.regex.clone().filter(|_| joins),
            owned: Some(if joins { Partitions::new() } else { self.owned.clone() }),
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            ..ConsumerHeartbeat::default()
        }
    }

    pub(super) fn heard(&mut self, beat: ConsumerBeat) {
        self.epoch = beat.member_epoch;
        self.heartbeat_interval_ms = beat.heartbeat_interval_ms;
        if let Some(assignment) = beat.assignment {
            self.owned = assignment;
        }
    }

    pub(super) fn beat(&mut self, shard: &mut Harness) {
        let beat = shard.beat(self.request()).unwrap_or_else(|refused| panic!("{}: {}", self.id, refused.message));
        self.heard(beat);
    }

    pub(super) fn count(&self) -> usize {
        self.owned.values().map(BTreeSet::len).sum()
    }
}

impl Harness {
    pub(super) fn beat(&mut self, request: ConsumerHeartbeat) -> ConsumerReply {
        self.ids += 1;
        let fresh = Uuid::from_u128(self.ids);
        answered(self.ask(|caller| Event::ConsumerHeartbeat { request, fresh, caller }))
    }

    pub(super) fn described(&mut self) -> ConsumerDescribed {
        answered(self.ask(|caller| Event::ConsumerDescribe { group_id: GROUP.to_owned(), caller })).expect("a consumer group")
    }

    /// Lets everyone heartbeat until the group is stable, a second apart.
    pub(super) fn settle(&mut self, consumers: &mut [&mut Consumer]) {
        for _ in 0..20 {
            self.advance(1000);
            consumers.iter_mut().for_each(|consumer| consumer.beat(self));
            if self.described().state == "Stable" {
                return;
            }
        }
        panic!("the group does not become stable: {:?}", self.described());
    }
}

fn error_of(reply: ConsumerReply) -> GroupError {
    reply.expect_err("refused").error
}

pub(super) fn shard_with(topics: &[(&str, usize)]) -> Harness {
    let mut shard = Harness::new();
    shard.topics(topics);
    shard
}

#[test]
fn who_is_not_a_member_is_told_so() {
    let mut shard = shard_with(&[("t", 3)]);
    let stranger = Consumer { epoch: 1, ..Consumer::of("a", &["t"]) };
    assert_eq!(error_of(shard.beat(stranger.request())), GroupError::UnknownGroup);
    let mut member = Consumer::of("b", &["t"]);
    member.beat(&mut shard);
    assert_eq!(error_of(shard.beat(stranger.request())), GroupError::UnknownMember);
    let leaving = ConsumerHeartbeat { member_epoch: -1, ..stranger.request() };
    assert_eq!(error_of(shard.beat(leaving)), GroupError::UnknownMember);
}

#[test]
fn a_wrong_epoch_is_fenced_unless_only_the_answer_was_lost() {
    let mut shard = shard_with(&[("t", 3)]);
    let mut member = Consumer::of("a", &["t"]);
    member.beat(&mut shard);
    assert_eq!(error_of(shard.beat(ConsumerHeartbeat { member_epoch: 3, ..member.request() })), GroupError::FencedEpoch);
    // The topic grows; the answer with the new epoch is lost.
    shard.topics(&[("t", 4)]);
    shard.advance(5000);
    let before = member.request();
    let lost = shard.beat(before.clone()).expect("taken");
    assert_eq!(lost.member_epoch, 3);
    let again = shard.beat(before.clone()).expect("its previous epoch, with what it had");
    assert_eq!(again.member_epoch, 3);
    let owned = Some(Partitions::from([(topic_id("t"), set(&[0, 1, 2, 9]))]));
    assert_eq!(error_of(shard.beat(ConsumerHeartbeat { owned, ..before.clone() })), GroupError::FencedEpoch);
    assert_eq!(error_of(shard.beat(ConsumerHeartbeat { owned: None, ..before })), GroupError::FencedEpoch);
}

#[test]
fn assignors_expressions_and_sizes_are_checked_before_anything_changes() {
    let mut shard = Harness::with(GroupSettings { consumer_members_max: 1, ..settings() });
    shard.topics(&[("t", 3)]);
    let request = Consumer::of("a", &["t"]).request();
    let unknown = ConsumerHeartbeat { assignor: Some("sticky".to_owned()), ..request.clone() };
    assert_eq!(error_of(shard.beat(unknown)), GroupError::UnsupportedAssignor);
    for regex in ["(", "a{1000}{1000}{1000}", "a)(?:b", "(?=x)"] {
        let regex = ConsumerHeartbeat { regex: Some(regex.to_owned()), topics: None, ..request.clone() };
        assert_eq!(error_of(shard.beat(regex)), GroupError::InvalidRegex);
    }
    assert!(shard.log.is_empty() && shard.shard.live.is_empty(), "nothing was made");
    shard.beat(request).expect("the first member");
    assert_eq!(error_of(shard.beat(Consumer::of("b", &["t"]).request())), GroupError::MaxSizeReached);
    assert!(shard.restarted().beat(Consumer { epoch: 2, ..Consumer::of("a", &["t"]) }.request()).is_ok());
}

#[test]
fn a_lone_member_is_given_everything_at_once() {
    let mut shard = shard_with(&[("t", 3)]);
    let mut member = Consumer::of("a", &["t", "not-there"]);
    member.beat(&mut shard);
    assert_eq!((member.epoch, member.owned.get(&topic_id("t"))), (2, Some(&set(&[0, 1, 2]))));
    let records = shard.log.len();
    let beat = shard.beat(member.request()).expect("taken");
    assert_eq!(beat.assignment, None, "nothing is new to it");
    assert_eq!(shard.log.len(), records, "nothing has changed, so nothing is written");
    shard.topics(&[("t", 3), ("not-there", 2)]);
    shard.advance(5000);
    member.beat(&mut shard);
    assert_eq!((member.epoch, member.count()), (3, 5), "a topic that comes to be is assigned");
}

#[test]
fn a_partition_is_withheld_until_its_owner_has_given_it_up() {
    let mut shard = shard_with(&[("t", 4)]);
    let (mut first, mut second) = (Consumer::of("a", &["t"]), Consumer::of("b", &["t"]));
    first.beat(&mut shard);
    shard.advance(1000);
    second.beat(&mut shard);
    assert_eq!((second.epoch, second.count()), (3, 0), "all is still owned by the first");
    let still_owned = first.owned.clone();
    first.beat(&mut shard);
    assert_eq!((first.epoch, first.count()), (2, 2), "it is told to give two up, and stays in its epoch");
    second.beat(&mut shard);
    assert_eq!(second.count(), 0);
    // It says that it still has them: they stay withheld.
    let kept = ConsumerHeartbeat { owned: Some(still_owned), ..first.request() };
    assert_eq!(shard.beat(kept).expect("taken").member_epoch, 2);
    second.beat(&mut shard);
    assert_eq!(second.count(), 0);
    first.beat(&mut shard);
    assert_eq!(first.epoch, 3);
    second.beat(&mut shard);
    assert_eq!(second.count(), 2);
    assert_eq!(shard.described().state, "Stable");
}

#[test]
fn who_has_to_give_up_more_than_at_first_is_told_so_in_the_epoch_that_it_has() {
    let mut shard = shard_with(&[("t", 4)]);
    let mut first = Consumer::of("a", &["t"]);
    first.beat(&mut shard);
    let mut others = ["b", "c", "d"].map(|id| Consumer::of(id, &["t"]));
    shard.advance(5000);
    others[0].beat(&mut shard);
    first.beat(&mut shard);
    assert_eq!((first.epoch, first.count()), (2, 2));
    let described = shard.described().members.into_iter().find(|member| member.member_id == "a").expect("a member");
    assert_eq!(described.assignment.values().map(BTreeSet::len).sum::<usize>(), 4, "with what it is giving up");
    for other in &mut others[1..] {
        shard.advance(5000);
        other.beat(&mut shard);
    }
    first.beat(&mut shard);
    assert_eq!((first.epoch, first.count()), (2, 1), "the target is of epoch 5");
    first.beat(&mut shard);
    assert_eq!((first.epoch, first.count()), (5, 1));
    let [second, third, fourth] = &mut others;
    shard.settle(&mut [&mut first, second, third, fourth]);
    assert_eq!(others.map(|other| other.count()), [1, 1, 1]);
}

/// Clients that were not answered say everything again.
#[test]
fn who_has_to_give_up_more_than_at_first_may_ask_again_when_the_answer_was_lost() {
    let mut shard = shard_with(&[("t", 3)]);
    let mut first = Consumer::of("a", &["t"]);
    first.beat(&mut shard);
    shard.advance(5000);
    shard.beat(Consumer::of("b", &["t"]).request()).expect("joins");
    first.beat(&mut shard);
    assert_eq!((first.epoch, first.count()), (2, 2));
    shard.advance(5000);
    shard.beat(Consumer::of("c", &["t"]).request()).expect("joins");
    let before = ConsumerHeartbeat { rebalance_timeout_ms: Some(60_000), topics: first.topics.clone(), ..first.request() };
    let lost = shard.beat(before.clone()).expect("taken");
    let again = shard.beat(before).expect("it is where it was");
    assert_eq!((again.member_epoch, &again.assignment), (2, &lost.assignment));
    first.heard(again);
    assert_eq!(first.count(), 1, "it has to give up another one");
    first.beat(&mut shard);
    assert_eq!((first.epoch, first.count()), (4, 1));
}

#[test]
fn who_does_not_give_up_in_time_is_removed() {
    let mut shard = shard_with(&[("t", 2)]);
    let (mut first, mut second) = (Consumer::of("a", &["t"]), Consumer::of("b", &["t"]));
    first.beat(&mut shard);
    shard.advance(1000);
    second.beat(&mut shard);
    let stubborn = ConsumerHeartbeat { owned: Some(first.owned.clone()), ..first.request() };
    shard.beat(stubborn.clone()).expect("told to give one up");
    for _ in 0..7 {
        shard.advance(9_000);
        second.beat(&mut shard);
        let _ = shard.beat(stubborn.clone());
    }
    assert_eq!(error_of(shard.beat(stubborn)), GroupError::UnknownMember);
    second.beat(&mut shard);
    assert_eq!(second.count(), 2);
}

#[test]
fn a_silent_member_is_removed_when_its_session_ends() {
    let mut shard = shard_with(&[("t", 2)]);
    let (mut first, mut second) = (Consumer::of("a", &["t"]), Consumer::of("b", &["t"]));
    first.beat(&mut shard);
    second.beat(&mut shard);
    shard.settle(&mut [&mut first, &mut second]);
    for _ in 0..4 {
        shard.advance(CONSUMER_SESSION_MS / 4);
        second.beat(&mut shard);
    }
    shard.advance(1000);
    second.beat(&mut shard);
    assert_eq!(second.count(), 2);
    assert_eq!(error_of(shard.beat(first.request())), GroupError::UnknownMember);
}

#[test]
fn the_settings_of_a_group_are_its_own() {
    let mut shard = shard_with(&[("t", 1)]);
    let overrides = [("consumer.session.timeout.ms", "50000"), ("consumer.heartbeat.interval.ms", "7000")];
    let overrides = overrides.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    shard.catalog = Arc::new(Snapshot::of(shard.catalog.version + 1, vec![topic("t", 1)]).with_group(GROUP, overrides));
    let mut member = Consumer::of("a", &["t"]);
    member.beat(&mut shard);
    assert_eq!(member.heartbeat_interval_ms, 7000);
    shard.advance(CONSUMER_SESSION_MS + 4000);
    member.beat(&mut shard);
    shard.advance(50_001);
    assert_eq!(error_of(shard.beat(member.request())), GroupError::UnknownMember);
}

#[test]
fn members_that_come_together_share_a_target() {
    let mut shard = shard_with(&[("t", 60)]);
    let mut consumers: Vec<_> = (0..20).map(|index| Consumer::of(&format!("m{index:02}"), &["t"])).collect();
    for consumer in &mut consumers {
        consumer.beat(&mut shard);
    }
    let targets = |shard: &Harness| shard.log.iter().filter(|record| is_target_epoch(record)).count();
    assert_eq!(targets(&shard), 1, "the first one's");
    assert!(consumers[1].heartbeat_interval_ms <= 1000, "the others are to ask again soon");
    shard.advance(1000);
    for consumer in &mut consumers {
        consumer.beat(&mut shard);
    }
    assert_eq!(targets(&shard), 2, "and one for the nineteen others");
    shard.settle(&mut consumers.iter_mut().collect::<Vec<_>>());
    assert!(consumers.iter().all(|consumer| consumer.count() == 3));
}

fn is_target_epoch(record: &Record) -> bool {
    use crate::coordinator::group::records::consumer::ConsumerRecord;
    matches!(record, Record::Consumer { change: ConsumerRecord::TargetEpoch(_), .. })
}

#[test]
fn a_static_member_that_leaves_for_a_while_is_not_late_to_give_up_partitions() {
    let mut shard = shard_with(&[("t", 4)]);
    let mut first = Consumer { instance_id: Some("i".to_owned()), ..Consumer::of("a", &["t"]) };
    let beat = shard.beat(ConsumerHeartbeat { rebalance_timeout_ms: Some(10_000), ..first.request() }).expect("joins");
    first.heard(beat);
    let mut other = Consumer::of("b", &["t"]);
    other.beat(&mut shard);
    shard.advance(1_000);
    other.beat(&mut shard);
    first.beat(&mut shard);
    assert_eq!(first.count(), 2, "it has to give up the others");
    shard.beat(ConsumerHeartbeat { member_epoch: -2, ..first.request() }).expect("for a while");
    for _ in 0..4 {
        shard.advance(5_000);
        other.beat(&mut shard);
    }
    assert_eq!(shard.described().members.len(), 2, "its session has not ended");
}

#[test]
fn a_static_member_comes_back_to_what_it_owned() {
    let mut shard = shard_with(&[("t", 4)]);
    let fixed = |id: &str| Consumer { instance_id: Some("i".to_owned()), ..Consumer::of(id, &["t"]) };
    let (mut first, mut other) = (fixed("a"), Consumer::of("b", &["t"]));
    first.beat(&mut shard);
    other.beat(&mut shard);
    shard.settle(&mut [&mut first, &mut other]);
    assert_eq!(error_of(shard.beat(fixed("c").request())), GroupError::UnreleasedInstance);
    let impostor = ConsumerHeartbeat { member_id: "c".to_owned(), ..first.request() };
    assert_eq!(error_of(shard.beat(impostor)), GroupError::FencedInstance);

    let left = shard.beat(ConsumerHeartbeat { member_epoch: -2, ..first.request() }).expect("for a while");
    assert_eq!(left.member_epoch, -2);
    let mut shard = shard.restarted();
    shard.advance(1000);
    other.beat(&mut shard);
    assert_eq!(other.count(), 2, "its place is kept");
    let mut second = fixed("c");
    second.beat(&mut shard);
    assert_eq!(second.owned, first.owned);
    assert_eq!(error_of(shard.beat(first.request())), GroupError::FencedInstance);

    shard.beat(ConsumerHeartbeat { member_epoch: -2, ..second.request() }).expect("for a while");
    shard.advance(CONSUMER_SESSION_MS - 1);
    other.beat(&mut shard);
    shard.advance(2);
    shard.advance(1000);
    other.beat(&mut shard);
    assert_eq!(other.count(), 4, "and lost when its session ends");
}

#[test]
fn commits_are_taken_at_the_members_epoch_or_for_what_it_has_had_since() {
    let mut shard = shard_with(&[("t", 2)]);
    let (mut first, mut second) = (Consumer::of("a", &["t"]), Consumer::of("b", &["t"]));
    first.beat(&mut shard);
    let commit = |member: &Consumer, epoch: i32, partition: i32, knows_epochs: bool| CommitRequest {
        group_id: GROUP.to_owned(),
        generation: epoch,
        member_id: member.id.clone(),
        instance_id: None,
        retention_ms: None,
        knows_epochs,
        is_transactional: false,
        offsets: vec![CommitOffset {
            topic: "t".to_owned(),
            topic_id: Some(topic_id("t")),
            partition,
            offset: 7,
            leader_epoch: None,
            metadata: String::new(),
        }],
    };
    assert_eq!(shard.commit(commit(&first, 2, 0, false)), Err(GroupError::UnsupportedVersion));
    assert_eq!(shard.commit(commit(&first, 3, 0, true)), Err(GroupError::StaleEpoch));
    assert_eq!(shard.commit(commit(&Consumer::of("x", &[]), 1, 0, true)), Err(GroupError::UnknownMember));
    assert_eq!(shard.commit(commit(&Consumer::of("", &[]), -1, 0, true)), Err(GroupError::UnknownMember));
    assert_eq!(shard.commit(commit(&first, 2, 0, true)), Ok(vec![Ok(())]));
    second.beat(&mut shard);
    shard.settle(&mut [&mut first, &mut second]);
    let own = *first.owned[&topic_id("t")].first().expect("one");
    assert_eq!(first.epoch, 3);
    assert_eq!(shard.commit(commit(&first, 2, own, true)), Ok(vec![Ok(())]), "it has had this one since epoch 2");
    assert_eq!(shard.commit(commit(&first, 2, 1 - own, true)), Err(GroupError::StaleEpoch));
    assert_eq!(shard.commit(commit(&second, 2, 1 - own, true)), Err(GroupError::StaleEpoch), "assigned at epoch 3");

    let fetch = |member: Option<(&str, i32)>| FetchOffsetsRequest {
        group_id: GROUP.to_owned(),
        member: member.map(|(id, epoch)| (id.to_owned(), epoch)),
        topics: None,
        require_stable: false,
    };
    let mut fetched =
        |member| answered(shard.ask(|caller| Event::FetchOffsets { request: fetch(member), caller })).map(|topics| topics.len());
    assert_eq!(fetched(Some(("x", 1))), Err(GroupError::UnknownMember));
    assert_eq!(fetched(Some(("a", 2))), Err(GroupError::StaleEpoch));
    assert_eq!(fetched(Some(("a", 3))), Ok(1));
    assert_eq!(fetched(None), Ok(1));
}

#[test]
fn offsets_are_deleted_only_where_nobody_consumes() {
    let mut shard = shard_with(&[("t", 1), ("u", 1)]);
    let delete = |partitions: &[(&str, i32)]| DeleteOffsetsRequest {
        group_id: GROUP.to_owned(),
        partitions: partitions.iter().map(|(topic, partition)| ((*topic).to_owned(), *partition)).collect(),
    };
    let ask = |shard: &mut Harness, partitions: &[(&str, i32)]| {
        let request = delete(partitions);
        answered(shard.ask(|caller| Event::DeleteOffsets { request, caller }))
    };
    assert_eq!(ask(&mut shard, &[("t", 0)]), Err(GroupError::UnknownGroup));
    shard.commit(by_hand("t", 1)).expect("committed");
    shard.commit(by_hand("u", 1)).expect("committed");
    let mut member = Consumer::of("a", &["t"]);
    member.beat(&mut shard);
    assert_eq!(ask(&mut shard, &[("t", 0), ("u", 0), ("u", 9)]), Ok(vec![Err(GroupError::SubscribedTopic), Ok(()), Ok(())]));
    assert_eq!((shard.committed("t"), shard.committed("u")), (Some(1), None));
    shard.beat(ConsumerHeartbeat { member_epoch: -1, ..member.request() }).expect("leaves");
    assert_eq!(ask(&mut shard, &[("t", 0)]), Ok(vec![Ok(())]));
    assert_eq!(shard.restarted().committed("t"), None);
}

#[test]
fn an_empty_group_is_deleted_or_expires_with_its_offsets() {
    let mut shard = shard_with(&[("t", 1)]);
    let mut member = Consumer::of("a", &["t"]);
    member.beat(&mut shard);
    assert_eq!(shard.delete(), Err(GroupError::NonEmptyGroup));
    shard.beat(ConsumerHeartbeat { member_epoch: -1, ..member.request() }).expect("leaves");
    assert_eq!(shard.described().state, "Empty");
    let mut expiring = shard.restarted();
    assert_eq!(shard.delete(), Ok(()));
    assert!(shard.shard.durable.consumers.is_empty() && shard.shard.live.is_empty());
    assert!(shard.restarted().shard.durable.consumers.is_empty());
    expiring.advance(8 * DAY_MS);
    assert!(expiring.shard.durable.consumers.is_empty() && expiring.shard.live.is_empty());
}

/// Clients commit when there is something new: one of a quiet topic must find its place again, however old that is.
#[test]
fn offsets_outlive_the_last_member_by_their_retention() {
    let mut shard = Harness::with(GroupSettings { retention_ms: 60_000, cleanup_interval_ms: 1000, ..settings() });
    shard.topics(&[("t", 1)]);
    let mut member = Consumer::of("a", &["t"]);
    member.beat(&mut shard);
    let commit = CommitRequest { member_id: member.id.to_string(), generation: member.epoch, ..by_hand("t", 5) };
    shard.commit(CommitRequest { offsets: vec![offset("t", 5), offset("other", 5)], ..commit }).expect("taken");
    for _ in 0..20 {
        shard.advance(5000);
        member.beat(&mut shard);
    }
    assert_eq!(shard.committed("other"), None, "of a topic that nobody subscribes to, from the commit on");
    for mut shard in [shard.restarted(), shard] {
        shard.beat(ConsumerHeartbeat { member_epoch: -1, ..member.request() }).expect("leaves");
        shard.advance(58_000);
        assert_eq!(shard.committed("t"), Some(5));
        shard.advance(3000);
        assert_eq!(shard.committed("t"), None);
    }
}

#[test]
fn a_group_survives_a_crash_in_the_middle_of_a_change() {
    let mut shard = shard_with(&[("t", 4)]);
    let (mut first, mut second) = (Consumer::of("a", &["t"]), Consumer::of("b", &["t"]));
    first.beat(&mut shard);
    shard.advance(1000);
    second.beat(&mut shard);
    let mut shard = shard.restarted();
    first.beat(&mut shard);
    let mut shard = shard.restarted();
    shard.settle(&mut [&mut first, &mut second]);
    assert_eq!((first.count(), second.count()), (2, 2));
    let owned: BTreeMap<_, _> = first.owned.iter().chain(&second.owned).map(|(topic, own)| (*topic, own.len())).collect();
    assert_eq!(owned.len(), 1);
}
