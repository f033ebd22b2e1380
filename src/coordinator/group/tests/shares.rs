//! Goal: share groups do what Kafka's do: who is let in and who is not, epochs, assignments, and what other requests say of them. Method:
//! one shard driven by hand; members remember what they were told. Error paths first.

use super::*;
use crate::coordinator::group::share::messages::*;

/// A member as its client sees it.
#[derive(Debug, Clone)]
pub(super) struct Sharer {
    pub id: String,
    pub epoch: i32,
    pub topics: Vec<String>,
    pub assigned: Partitions,
}

impl Sharer {
    pub fn of(id: &str, topics: &[&str]) -> Sharer {
        let topics = topics.iter().map(|&name| name.to_owned()).collect();
        Sharer { id: id.to_owned(), epoch: 0, topics, assigned: Partitions::new() }
    }

    pub fn request(&self) -> ShareHeartbeat {
        ShareHeartbeat {
            group_id: GROUP.to_owned(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            rack_id: None,
            topics: (self.epoch == 0).then(|| self.topics.iter().cloned().collect()),
            client_id: "c".to_owned(),
            client_host: "/h".to_owned(),
        }
    }

    pub fn heard(&mut self, beat: ShareBeat) {
        assert_eq!(beat.member_id, self.id);
        self.epoch = beat.member_epoch;
        if let Some(assigned) = beat.assignment {
            self.assigned = assigned;
        }
    }
}

impl Harness {
    pub(super) fn share_beat(&mut self, request: ShareHeartbeat) -> ShareReply {
        answered(self.ask(|caller| Event::Share(ShareEvent::Heartbeat { request, caller })))
    }

    pub(super) fn share(&mut self, sharer: &mut Sharer) -> ShareBeat {
        let beat = self.share_beat(sharer.request()).expect("taken");
        sharer.heard(beat.clone());
        beat
    }

    pub(super) fn share_leave(&mut self, id: &str) -> ShareReply {
        self.share_beat(ShareHeartbeat { member_epoch: -1, topics: None, ..Sharer::of(id, &[]).request() })
    }

    pub(super) fn share_described(&mut self) -> ShareDescribed {
        let group_id = GROUP.to_owned();
        answered(self.ask(|caller| Event::Share(ShareEvent::Describe { group_id, caller }))).expect("a share group")
    }

    fn share_why(&mut self, request: ShareHeartbeat) -> (GroupError, String) {
        let Refused { error, message } = self.share_beat(request).expect_err("refused");
        (error, message)
    }

    fn initialized(&mut self) -> Partitions {
        let group_id = GROUP.to_owned();
        answered(self.ask(|caller| Event::Share(ShareEvent::Initialized { group_id, caller })))
    }

    fn alter(&mut self, partitions: Partitions) -> Result<i32, Refused> {
        let group_id = GROUP.to_owned();
        answered(self.ask(|caller| Event::Share(ShareEvent::Alter { group_id, partitions, caller })))
    }

    fn forget(&mut self, topic: &str) -> Result<Forgotten, Refused> {
        let (group_id, topics) = (GROUP.to_owned(), BTreeSet::from([topic_id(topic)]));
        answered(self.ask(|caller| Event::Share(ShareEvent::Forget { group_id, topics, caller })))
    }
}

fn all_of(topics: &[(&str, i32)]) -> Partitions {
    topics.iter().map(|(name, count)| (topic_id(name), (0..*count).collect())).collect()
}

/// Settings under which targets are made at once.
fn at_once() -> GroupSettings {
    let given = BTreeMap::from([("group.share.assignment.interval.ms".to_owned(), "0".to_owned())]);
    GroupSettings::new(&KafkaSettings::new(given).expect("valid"), 1)
}

#[test]
fn whoever_does_not_belong_to_the_group_is_refused() {
    let mut shard = Harness::new();
    let member = Sharer { epoch: 5, ..Sharer::of("m", &["t"]) };
    assert_eq!(shard.share_why(member.request()), (GroupError::UnknownGroup, "Share group g not found.".to_owned()));
    let left = shard.share_leave("m").expect_err("refused");
    assert_eq!((left.error, left.message.as_str()), (GroupError::UnknownGroup, "Group g not found."));
    let mut first = Sharer::of("first", &["t"]);
    shard.share(&mut first);
    let unknown = (GroupError::UnknownMember, "Member m is not a member of group g.".to_owned());
    assert_eq!(shard.share_why(member.request()), unknown);
    let left = shard.share_leave("m").expect_err("refused");
    assert_eq!((left.error, left.message), unknown);
    let long = ShareHeartbeat { rack_id: Some("x".repeat(NAME_BYTES_MAX + 1)), ..first.request() };
    assert_eq!(shard.share_why(long).0, GroupError::NameTooLong);
    let before = shard.log.len();
    shard.share(&mut first);
    assert_eq!(shard.log.len(), before, "refusals and a heartbeat without news write nothing");
}

#[test]
fn members_in_another_epoch_are_fenced() {
    let mut shard = Harness::with(at_once());
    let mut member = Sharer::of("m", &["t"]);
    shard.share(&mut member);
    assert_eq!(member.epoch, 2);
    shard.topics(&[("t", 1)]);
    shard.share(&mut member);
    assert_eq!(member.epoch, 4, "one for the topic, one for the group's position in it");
    let at = |epoch| Sharer { epoch, ..member.clone() }.request();
    assert!(shard.share_beat(at(2)).is_ok(), "the answer may have been lost");
    let (error, message) = shard.share_why(at(3));
    assert_eq!(error, GroupError::FencedEpoch);
    assert_eq!(
        message,
        "The share group member has a smaller member epoch (3) than the one known by the group coordinator (4), and it does not match the \
         previous member epoch (2). The member must abandon all its partitions and rejoin."
    );
    let (error, message) = shard.share_why(at(5));
    assert_eq!(error, GroupError::FencedEpoch);
    assert!(message.starts_with("The share group member has a greater member epoch (5) than"), "{message}");
    let again = shard.share(&mut Sharer { epoch: 0, ..member.clone() });
    assert_eq!((again.member_epoch, again.assignment), (4, Some(all_of(&[("t", 1)]))), "a fenced member joins anew");
}

#[test]
fn a_full_group_lets_only_members_in() {
    let mut shard = Harness::with(GroupSettings { share_members_max: 1, ..settings() });
    let mut member = Sharer::of("m", &["t"]);
    shard.share(&mut member);
    let full = (GroupError::MaxSizeReached, "The share group has reached its maximum capacity of 1 members.".to_owned());
    assert_eq!(shard.share_why(Sharer::of("n", &["t"]).request()), full);
    shard.share(&mut member);
    shard.share_leave("m").expect("left");
    shard.share(&mut Sharer::of("n", &["t"]));
}

#[test]
fn a_share_group_is_no_group_of_another_kind() {
    let mut shard = Harness::new();
    let mut member = Sharer::of("m", &["t"]);
    shard.share(&mut member);
    assert_eq!(
        refused(shard.join(joining("c", ""))),
        JoinRefused { error: GroupError::InconsistentProtocol, member_id: String::new() }
    );
    assert_eq!(answered(shard.sync("m", 2, &[])), Err(GroupError::UnknownMember));
    assert_eq!(shard.heartbeat("m", 2), Err(GroupError::UnknownMember));
    assert_eq!(shard.leave(vec![leaving("m")]), [Err(GroupError::UnknownMember)]);
    assert_eq!(shard.commit(by_hand("t", 1)), Err(GroupError::NoOffsets));
    assert_eq!(shard.committed("t"), None);
    assert_eq!(shard.describe(), None);
    let request = ConsumerHeartbeat { group_id: GROUP.to_owned(), member_id: "n".to_owned(), ..ConsumerHeartbeat::default() };
    for member_epoch in [0, 1, -1, -2] {
        let request = ConsumerHeartbeat { member_epoch, ..request.clone() };
        let refused =
            answered(shard.ask(|caller| Event::ConsumerHeartbeat { request, fresh: Uuid::nil(), caller })).expect_err("refused");
        assert_eq!((refused.error, refused.message.as_str()), (GroupError::UnknownGroup, "Group g is not a consumer group."));
    }
    let request = DeleteOffsetsRequest { group_id: GROUP.to_owned(), partitions: vec![("t".to_owned(), 0)] };
    assert_eq!(answered(shard.ask(|caller| Event::DeleteOffsets { request, caller })), Err(GroupError::UnknownGroup));
    assert_eq!(shard.share_described().members.len(), 1);
    shard.share_leave("m").expect("left");
    assert_eq!(refused(shard.join(joining("c", ""))).error, GroupError::InconsistentProtocol, "an empty one neither");
}

#[test]
fn a_group_of_another_kind_is_no_share_group() {
    let no_share_group = (GroupError::UnknownGroup, "Group g is not a share group.".to_owned());
    let mut classic = Harness::new();
    classic.commit(by_hand("t", 1)).expect("committed");
    let mut stable = Harness::new();
    stable.stable(&["a"]);
    for shard in [&mut classic, &mut stable] {
        for epoch in [0, 1, -1] {
            let member = Sharer { epoch, ..Sharer::of("m", &["t"]) };
            assert_eq!(shard.share_why(member.request()), no_share_group);
        }
        let refused = shard.alter(all_of(&[("t", 1)])).expect_err("refused");
        assert_eq!((refused.error, refused.message), no_share_group);
        assert_eq!(shard.initialized(), Partitions::new());
    }
}

#[test]
fn several_members_read_from_one_partition() {
    let mut shard = Harness::with(at_once());
    shard.topics(&[("t", 1), ("u", 3)]);
    let mut members = ["m1", "m2", "m3"].map(|id| Sharer::of(id, &["t"]));
    let beat = shard.share(&mut members[0]);
    assert_eq!(beat.assignment, Some(all_of(&[("t", 1)])), "the first answer has what there is to read");
    assert_eq!((beat.initialized, beat.member_epoch, beat.heartbeat_interval_ms), (all_of(&[("t", 1)]), 3, 5_000));
    for member in &mut members[1..] {
        let beat = shard.share(member);
        assert_eq!((beat.assignment, beat.initialized), (Some(all_of(&[("t", 1)])), Partitions::new()));
    }
    let group = shard.share_described();
    assert_eq!((group.state, group.epoch, group.assignment_epoch, group.assignor), ("Stable", 5, 5, "simple"));
    assert_eq!(group.members.iter().map(|member| member.member_epoch).collect::<Vec<_>>(), [3, 4, 5]);
    let beat = shard.share(&mut members[0]);
    assert_eq!((beat.member_epoch, beat.assignment), (5, None), "what a member has is not said twice");
    assert_eq!((group.members[0].client_id.as_str(), group.members[0].topics.as_slice()), ("c", &["t".to_owned()][..]));
}

#[test]
fn a_subscription_changes_at_once_even_between_two_targets() {
    let mut shard = Harness::new();
    shard.topics(&[("t", 2), ("u", 1)]);
    let mut member = Sharer::of("m", &["t", "u"]);
    shard.share(&mut member);
    assert_eq!((member.epoch, member.assigned.clone()), (3, all_of(&[("t", 2), ("u", 1)])));
    let request = ShareHeartbeat { topics: Some(BTreeSet::from(["t".to_owned()])), ..member.request() };
    let beat = shard.share_beat(request).expect("taken");
    assert_eq!((beat.member_epoch, beat.assignment), (3, Some(all_of(&[("t", 2)]))), "the target comes later");
    assert_eq!(beat.heartbeat_interval_ms, 1_000, "the member asks again when it may be made");
    shard.advance(1_000);
    let beat = shard.share(&mut member);
    assert_eq!((beat.member_epoch, beat.assignment, beat.heartbeat_interval_ms), (4, None, 5_000));
}

#[test]
fn topics_come_grow_and_go() {
    let mut shard = Harness::with(at_once());
    let mut member = Sharer::of("m", &["t", "u"]);
    assert_eq!(shard.share(&mut member).assignment, Some(Partitions::new()));
    assert_eq!(member.epoch, 2);
    shard.topics(&[("t", 2)]);
    assert_eq!(shard.share(&mut member).initialized, all_of(&[("t", 2)]));
    assert_eq!((member.epoch, member.assigned.clone()), (4, all_of(&[("t", 2)])));
    shard.topics(&[("t", 3), ("u", 1)]);
    assert_eq!(shard.share(&mut member).initialized, Partitions::from([(topic_id("t"), set(&[2])), (topic_id("u"), set(&[0]))]));
    assert_eq!((member.epoch, member.assigned.clone()), (6, all_of(&[("t", 3), ("u", 1)])));
    shard.topics(&[("u", 1)]);
    answered(shard.ask(|caller| Event::TopicDeleted { topic: "t".to_owned(), id: topic_id("t"), caller }));
    assert_eq!(shard.initialized(), all_of(&[("u", 1)]));
    shard.share(&mut member);
    assert_eq!((member.epoch, member.assigned.clone()), (7, all_of(&[("u", 1)])));
    shard.topics(&[("t#2", 1), ("u", 1)]);
    assert_eq!(shard.share(&mut member).initialized, all_of(&[("t#2", 1)]), "a topic made anew is another one");
    assert_eq!(member.assigned, all_of(&[("t#2", 1), ("u", 1)]));
}

#[test]
fn a_topic_that_is_gone_is_taken_between_two_targets() {
    let mut shard = Harness::new();
    shard.topics(&[("t", 1), ("u", 1)]);
    let mut member = Sharer::of("m", &["t", "u"]);
    shard.share(&mut member);
    shard.topics(&[("u", 1)]);
    let beat = shard.share(&mut member);
    assert_eq!((beat.member_epoch, beat.assignment), (3, Some(all_of(&[("u", 1)]))));
    shard.advance(1_000);
    assert_eq!(shard.share(&mut member).member_epoch, 4);
}

#[test]
fn members_that_come_at_once_share_the_next_target() {
    let mut shard = Harness::new();
    shard.topics(&[("t", 2)]);
    let mut members = ["m1", "m2", "m3"].map(|id| Sharer::of(id, &["t"]));
    for member in &mut members {
        shard.share(member);
    }
    assert_eq!(members.iter().map(|member| member.epoch).collect::<Vec<_>>(), [3, 3, 3]);
    assert_eq!(members[0].assigned, all_of(&[("t", 2)]));
    assert_eq!((&members[1].assigned, &members[2].assigned), (&Partitions::new(), &Partitions::new()));
    shard.advance(1_000);
    for member in &mut members {
        shard.share(member);
    }
    assert_eq!(members.iter().map(|member| member.epoch).collect::<Vec<_>>(), [5, 5, 5]);
    let counts = members.each_ref().map(|member| member.assigned.values().map(BTreeSet::len).sum::<usize>());
    assert_eq!(counts, [2, 1, 1]);
}

#[test]
fn silent_members_go_and_others_get_their_work() {
    let mut shard = Harness::with(at_once());
    shard.topics(&[("t", 2)]);
    let (mut one, mut two) = (Sharer::of("one", &["t"]), Sharer::of("two", &["t"]));
    shard.share(&mut one);
    shard.share(&mut two);
    shard.advance(30_000);
    shard.share(&mut one);
    shard.advance(15_000);
    let described = shard.share_described();
    assert_eq!(described.members.iter().map(|member| member.member_id.as_str()).collect::<Vec<_>>(), ["one"]);
    assert_eq!(shard.share_beat(two.request()).expect_err("gone").error, GroupError::UnknownMember);
    shard.share(&mut one);
    assert_eq!(one.assigned, all_of(&[("t", 2)]));
    assert_eq!(shard.share_leave("one").expect("left").member_epoch, -1);
    let empty = shard.share_described();
    assert_eq!((empty.state, empty.members.len()), ("Empty", 0));
    assert!(empty.epoch > empty.assignment_epoch);
    shard.advance(8 * DAY_MS);
    assert_eq!(shard.share_described().state, "Empty", "a share group stays until it is deleted");
}

#[test]
fn sessions_outlive_a_restart_and_start_anew() {
    let mut shard = Harness::with(at_once());
    shard.topics(&[("t", 2)]);
    let mut member = Sharer::of("m", &["t"]);
    shard.share(&mut member);
    shard.advance(40_000);
    let mut shard = shard.restarted();
    shard.advance(40_000);
    let before = shard.log.len();
    let beat = shard.share(&mut member);
    assert_eq!((beat.assignment, shard.log.len()), (None, before), "nothing has changed");
    let mut shard = shard.restarted();
    shard.advance(45_000);
    assert_eq!(shard.share_beat(member.request()).expect_err("gone").error, GroupError::UnknownMember);
    shard.topics(&[]);
    let mut shard = shard.restarted();
    assert_eq!(shard.initialized(), Partitions::new(), "topics that went while the shard was away are forgotten");
}

#[test]
fn only_an_empty_group_is_deleted() {
    let mut shard = Harness::with(at_once());
    shard.topics(&[("t", 2)]);
    assert_eq!(shard.delete(), Err(GroupError::UnknownGroup));
    shard.share(&mut Sharer::of("m", &["t"]));
    assert_eq!(shard.delete(), Err(GroupError::NonEmptyGroup));
    let listed = answered(shard.ask(|caller| Event::List { caller }));
    let of = |group: &Listed| (group.group_id.clone(), group.protocol_type.clone(), group.state, group.kind.name());
    assert_eq!(listed.iter().map(of).collect::<Vec<_>>(), [("g".to_owned(), "share".to_owned(), "Stable", "share")]);
    shard.share_leave("m").expect("left");
    assert_eq!(answered(shard.ask(|caller| Event::List { caller }))[0].state, "Empty");
    shard.delete().expect("deleted");
    assert!(answered(shard.ask(|caller| Event::List { caller })).is_empty());
    let replayed = shard.restarted();
    assert!(replayed.shard.durable.shares.is_empty() && replayed.shard.live.is_empty());
    shard.stable(&["a"]);
}

#[test]
fn administrators_set_and_forget_positions_of_empty_groups_only() {
    let mut shard = Harness::with(at_once());
    shard.topics(&[("t", 2), ("u", 1)]);
    let forgotten = shard.forget("t").expect_err("refused");
    assert_eq!((forgotten.error, forgotten.message.as_str()), (GroupError::UnknownGroup, "Group g not found."));
    shard.alter(all_of(&[("gone", 1)])).expect("taken, though there is nothing to do");
    assert!(answered(shard.ask(|caller| Event::List { caller })).is_empty());
    let one = Partitions::from([(topic_id("t"), set(&[1]))]);
    assert_eq!(shard.alter(one.clone()), Ok(1));
    let group = shard.share_described();
    assert_eq!((group.epoch, group.assignment_epoch), (1, 1), "nothing is assigned to nobody");
    assert_eq!(shard.initialized(), one);
    assert_eq!(shard.restarted().initialized(), one);
    let mut member = Sharer::of("m", &["t"]);
    assert_eq!(shard.share(&mut member).initialized, Partitions::from([(topic_id("t"), set(&[0]))]));
    assert_eq!(member.assigned, all_of(&[("t", 2)]));
    assert_eq!(shard.alter(one.clone()), Err(Refused::non_empty()));
    assert_eq!(shard.forget("t"), Err(Refused::non_empty()));
    shard.share_leave("m").expect("left");
    let forgotten = shard.forget("t").expect("forgotten");
    assert_eq!(
        forgotten.topics.values().map(|named| (named.name.as_str(), named.partitions.len())).collect::<Vec<_>>(),
        [("t", 2)]
    );
    assert_eq!(shard.forget("u"), Ok(Forgotten::default()), "there was nothing to forget");
    assert_eq!(shard.initialized(), Partitions::new());
    member.epoch = 0;
    assert_eq!(shard.share(&mut member).initialized, all_of(&[("t", 2)]), "and is made again");
    assert_eq!(member.assigned, all_of(&[("t", 2)]));
}
