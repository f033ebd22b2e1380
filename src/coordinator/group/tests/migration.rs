//! A group changes its protocol while it has members (KIP-848): nobody loses what it owns, and both kinds work side by side meanwhile.

use super::consumers::Consumer;
use super::*;
use crate::config::kafka::MigrationPolicy;
use crate::coordinator::group::embedded::Assignment;

/// What a consumer of the classic protocol says: version 3, topic "t", what it owns.
fn subscription(owned: &[i32]) -> Bytes {
    let mut bytes = vec![0, 3, 0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff];
    if owned.is_empty() {
        bytes.extend([0, 0, 0, 0]);
    } else {
        bytes.extend([0, 0, 0, 1, 0, 1, b't']);
        bytes.extend((owned.len() as i32).to_be_bytes());
        owned.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
    }
    bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    bytes.into()
}

fn assignment(partitions: &[i32]) -> Bytes {
    let mut bytes = vec![0, 3, 0, 0, 0, 1, 0, 1, b't'];
    bytes.extend((partitions.len() as i32).to_be_bytes());
    partitions.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
    bytes.extend([0xff, 0xff, 0xff, 0xff]);
    bytes.into()
}

fn classic(client: &str, member_id: &str, owned: &[i32]) -> JoinRequest {
    let protocols = vec![Protocol { name: "range".to_owned(), metadata: subscription(owned) }];
    JoinRequest { protocols, ..joining(client, member_id) }
}

fn assigned(reply: SyncReply) -> Vec<i32> {
    let read = Assignment::read(&reply.expect("synced").assignment).expect("an assignment");
    read.partitions.into_iter().flat_map(|(_, partitions)| partitions).collect()
}

/// A classic group of one member that owns both partitions of "t".
fn classic_group(policy: MigrationPolicy) -> (Harness, String) {
    let (shard, [id]) = classic_group_of(policy, ["a"]);
    (shard, id)
}

/// A classic group in its first generation, of a member of each of these clients; its leader has given each both partitions of "t".
fn classic_group_of<const N: usize>(policy: MigrationPolicy, clients: [&str; N]) -> (Harness, [String; N]) {
    let settings = GroupSettings { initial_rebalance_delay_ms: 0, migration: policy, ..settings() };
    let mut shard = Harness::with(settings);
    shard.topics(&[("t", 2)]);
    let ids = clients.map(|client| refused(shard.join(classic(client, "", &[]))).member_id);
    let answers: Vec<_> = clients.iter().zip(&ids).map(|(client, id)| shard.join(classic(client, id, &[]))).collect();
    shard.advance(0);
    for answer in answers {
        assert_eq!(joined(answer).generation, 1);
    }
    shard.assign_all(&ids.clone().map(|id| (id, assignment(&[0, 1]))));
    (shard, ids)
}

#[test]
fn where_the_policy_forbids_it_a_group_keeps_its_protocol() {
    for policy in [MigrationPolicy::Disabled, MigrationPolicy::Downgrade] {
        let (mut shard, id) = classic_group(policy);
        let records = shard.log.len();
        let refused = shard.beat(Consumer::of("b", &["t"]).request()).expect_err("refused");
        assert_eq!(refused.error, GroupError::UnknownGroup);
        assert_eq!((shard.log.len(), shard.heartbeat(&id, 1)), (records, Ok(())), "nothing has changed");
    }
}

#[test]
fn a_classic_member_may_not_join_a_group_of_the_consumer_protocol_where_the_policy_is_disabled() {
    let mut shard = Harness::with(GroupSettings { migration: MigrationPolicy::Disabled, ..settings() });
    shard.topics(&[("t", 2)]);
    shard.beat(Consumer::of("b", &["t"]).request()).expect("the first member");
    assert_eq!(refused(shard.join(classic("a", "", &[]))).error, GroupError::InconsistentProtocol);
}

/// As an assignor does that gives each member everything. Here the second would be told to give up what the first still reads, and another would get it.
#[test]
fn a_group_in_which_two_members_have_one_partition_keeps_its_protocol() {
    let (mut shard, ids) = classic_group_of(settings().migration, ["a", "b"]);
    let records = shard.log.len();
    let refused = shard.beat(Consumer::of("c", &["t"]).request()).expect_err("refused");
    assert_eq!(refused.error, GroupError::UnknownGroup);
    assert!(refused.message.contains("more than one"), "{}", refused.message);
    assert_eq!((shard.log.len(), shard.heartbeat(&ids[0], 1)), (records, Ok(())), "nothing has changed");
}

#[test]
fn a_group_whose_members_are_no_consumers_keeps_its_protocol() {
    let mut shard = Harness::with(GroupSettings { initial_rebalance_delay_ms: 0, ..settings() });
    shard.topics(&[("t", 2)]);
    let connect = JoinRequest { protocol_type: "connect".to_owned(), is_id_required: false, ..joining("a", "") };
    let _answer = shard.join(connect);
    shard.advance(0);
    assert_eq!(shard.beat(Consumer::of("b", &["t"]).request()).expect_err("refused").error, GroupError::UnknownGroup);
}

#[test]
fn an_online_upgrade_and_the_way_back_keep_every_partition_with_one_owner() {
    let (mut shard, id) = classic_group(MigrationPolicy::Bidirectional);
    let mut second = Consumer::of("b", &["t"]);
    second.beat(&mut shard);
    assert_eq!((shard.described().members.len(), second.epoch), (2, 2));
    assert!(second.owned.is_empty(), "the classic member still owns both");
    let mut shard = shard.restarted();

    // The classic member learns that it has to join again, and then what it keeps.
    assert_eq!(shard.heartbeat(&id, 1), Err(GroupError::RebalanceInProgress));
    let rejoined = joined(shard.join(classic("a", &id, &[0, 1])));
    assert_eq!(rejoined.generation, 1, "it has something to give up first");
    assert_eq!(assigned(answered(shard.sync(&id, 1, &[]))).len(), 1);
    assert_eq!(shard.heartbeat(&id, 1), Err(GroupError::RebalanceInProgress), "it is to say that it gave the other one up");
    let kept = shard.described().members.iter().find(|member| member.is_classic).expect("the classic one").target.clone();
    let kept: Vec<i32> = kept.into_values().flatten().collect();
    let rejoined = joined(shard.join(classic("a", &id, &kept)));
    assert_eq!(rejoined.generation, 2);
    assert_eq!(assigned(answered(shard.sync(&id, 2, &[]))), kept);
    assert_eq!(shard.heartbeat(&id, 2), Ok(()));
    assert_eq!(shard.commit_of(&id, 1), Ok(Vec::new()), "nothing that was assigned later");
    assert_eq!(shard.commit_of(&id, 3), Err(GroupError::IllegalGeneration));
    assert_eq!(shard.commit_of(&id, 2), Ok(Vec::new()));
    second.beat(&mut shard);
    assert_eq!(second.owned.len(), 1);
    assert_eq!(shard.described().state, "Stable");

    // The last member of the consumer protocol goes: the group is classic again, and rebalances.
    shard.beat(ConsumerHeartbeat { member_epoch: -1, ..second.request() }).expect("leaves");
    assert!(shard.shard.durable.consumers.is_empty());
    assert_eq!(shard.heartbeat(&id, 2), Err(GroupError::RebalanceInProgress));
    let mut shard = shard.restarted();
    assert_eq!(shard.heartbeat(&id, 2), Err(GroupError::RebalanceInProgress), "a crash does not leave partitions to nobody");
    let rejoined = joined(shard.join(classic("a", &id, &kept)));
    assert_eq!((rejoined.generation, rejoined.leader.as_str()), (3, id.as_str()));
}

/// As a rolling upgrade does it, a process after the other.
#[test]
fn a_static_member_that_changes_its_protocol_disturbs_nobody() {
    let mut shard = Harness::with(GroupSettings { initial_rebalance_delay_ms: 0, ..settings() });
    shard.topics(&[("t", 2)]);
    let of_instance = |client: &str| JoinRequest { instance_id: Some(client.to_owned()), ..classic(client, "", &[]) };
    let answers = ["a", "b"].map(|client| shard.join(of_instance(client)));
    shard.advance(0);
    let [first, second] = answers.map(|answer| joined(answer).member_id);
    shard.assign_all(&[(first, assignment(&[0])), (second.clone(), assignment(&[1]))]);

    let mut upgraded = Consumer { instance_id: Some("a".to_owned()), ..Consumer::of("c", &["t"]) };
    upgraded.beat(&mut shard);
    assert_eq!((upgraded.epoch, upgraded.owned.get(&topic_id("t"))), (1, Some(&set(&[0]))), "what it had before");
    assert_eq!(shard.described().epoch, 1);
    for mut shard in [shard.restarted(), shard] {
        assert_eq!(shard.heartbeat_as(&second, Some("b"), 1), Ok(()));
    }
}

#[test]
fn a_member_id_that_fits_into_no_record_is_refused() {
    let (mut shard, _) = classic_group(MigrationPolicy::Bidirectional);
    shard.beat(Consumer::of("b", &["t"]).request()).expect("the group is upgraded");
    // In a group of the newer protocol an unknown id is a new member's.
    assert_eq!(refused(shard.join(classic("c", &"x".repeat(40_000), &[]))).error, GroupError::NameTooLong);
}

#[test]
fn classic_members_that_are_left_alone_take_what_became_free() {
    let (mut shard, id) = classic_group(MigrationPolicy::Upgrade);
    let mut second = Consumer::of("b", &["t"]);
    second.beat(&mut shard);
    let generation = joined(shard.join(classic("a", &id, &[0, 1]))).generation;
    let kept = assigned(answered(shard.sync(&id, generation, &[])));
    assert_eq!(kept.len(), 1);
    let generation = joined(shard.join(classic("a", &id, &kept))).generation;
    assert_eq!(assigned(answered(shard.sync(&id, generation, &[]))), kept);
    assert_eq!(shard.heartbeat(&id, generation), Ok(()));
    shard.beat(ConsumerHeartbeat { member_epoch: -1, ..second.request() }).expect("leaves");
    shard.advance(1_000);
    assert_eq!(shard.heartbeat(&id, generation), Err(GroupError::RebalanceInProgress));
    let generation = joined(shard.join(classic("a", &id, &kept))).generation;
    assert_eq!(assigned(answered(shard.sync(&id, generation, &[]))), [0, 1]);
}

impl Harness {
    /// The members of the first generation sync; whoever leads assigns this to each.
    fn assign_all(&mut self, assignments: &[(String, Bytes)]) {
        let of_member = |member_id: &String| SyncRequest {
            group_id: GROUP.to_owned(),
            generation: 1,
            member_id: member_id.clone(),
            instance_id: None,
            protocol_type: None,
            protocol: None,
            assignments: assignments.to_vec(),
        };
        let requests: Vec<_> = assignments.iter().map(|(id, _)| of_member(id)).collect();
        let replies: Vec<_> = requests.into_iter().map(|request| self.ask(|caller| Event::Sync { request, caller })).collect();
        for reply in replies {
            answered(reply).expect("synced");
        }
    }

    fn commit_of(&mut self, member_id: &str, generation: i32) -> CommitReply {
        self.commit(CommitRequest {
            group_id: GROUP.to_owned(),
            generation,
            member_id: member_id.to_owned(),
            instance_id: None,
            retention_ms: None,
            knows_epochs: false,
            is_transactional: false,
            offsets: Vec::new(),
        })
    }
}

#[test]
fn a_classic_member_that_does_not_come_back_is_removed() {
    let (mut shard, id) = classic_group(MigrationPolicy::Upgrade);
    let mut second = Consumer::of("b", &["t"]);
    second.beat(&mut shard);
    let mut was_told = false;
    for _ in 0..8 {
        shard.advance(9_000);
        // It lives, but it does not join again.
        was_told |= shard.heartbeat(&id, 1) == Err(GroupError::RebalanceInProgress);
        second.beat(&mut shard);
    }
    assert!(was_told);
    assert_eq!(shard.heartbeat(&id, 1), Err(GroupError::UnknownMember));
    second.beat(&mut shard);
    assert_eq!(second.owned.get(&topic_id("t")), Some(&set(&[0, 1])));
}

#[test]
fn an_empty_group_changes_its_protocol_without_ado() {
    let mut shard = Harness::with(GroupSettings { initial_rebalance_delay_ms: 0, ..settings() });
    shard.topics(&[("t", 2)]);
    let mut member = Consumer::of("b", &["t"]);
    member.beat(&mut shard);
    shard.beat(ConsumerHeartbeat { member_epoch: -1, ..member.request() }).expect("leaves");
    let answer = shard.join(JoinRequest { is_id_required: false, ..classic("a", "", &[]) });
    shard.advance(0);
    let joined = joined(answer);
    assert_eq!(joined.generation, 1);
    assert!(shard.shard.durable.consumers.is_empty());
    shard.leave(vec![leaving(&joined.member_id)]);
    let beat = shard.beat(Consumer::of("c", &["t"]).request()).expect("joins");
    assert_eq!(beat.member_epoch, 2);
    assert!(shard.shard.durable.groups.is_empty());
    assert_eq!(shard.restarted().described().members.len(), 1);
}
