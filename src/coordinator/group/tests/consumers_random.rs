//! Goal: whatever clients, topics, time and crashes do, a partition has one owner, epochs only grow, targets cover what is subscribed,
//! and a replay of the log gives what was lived through. Method: seeded steps of both kinds of clients that remember what they were told,
//! with the invariants of `consumer.rs` checked after each. A failure names its seed.

use super::consumers::Consumer;
use super::*;
use crate::coordinator::group::machine::Group;
use crate::env::Env;
use std::collections::HashMap;

const CLIENTS: usize = 5;
const STEPS: usize = 250;
const SEEDS: std::ops::Range<u64> = 0..60;

/// A client, and what its application believes to own: what it was assigned and has not been told to give up.
struct Client {
    consumer: Consumer,
    is_alive: bool,
    /// Has been told to give partitions up, and has not said yet that it did.
    holds_on: Partitions,
}

struct World {
    random: Env,
    shard: Harness,
    clients: Vec<Client>,
    names: usize,
    epoch: i32,
    assignment_epoch: i32,
    member_epochs: HashMap<String, i32>,
}

#[test]
fn nothing_that_happens_gives_a_partition_two_owners() {
    for seed in SEEDS {
        let guard = Seed(seed);
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
            world.check();
        }
        world.finish();
        std::mem::forget(guard);
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut shard = Harness::new();
        shard.topics(&[("a", 3), ("b", 2)]);
        let mut world = World {
            random: Env::manual(Timestamp(0), seed),
            shard,
            clients: Vec::new(),
            names: 0,
            epoch: 0,
            assignment_epoch: 0,
            member_epochs: HashMap::new(),
        };
        world.clients = (0..CLIENTS).map(|index| world.client(index)).collect();
        world
    }

    /// A new process: another member id, the same instance id.
    fn client(&mut self, index: usize) -> Client {
        self.names += 1;
        let mut consumer = Consumer::of(&format!("m{}", self.names), &[]);
        consumer.instance_id = (index < 2).then(|| format!("i{index}"));
        match self.below(3) {
            0 => consumer.topics = Some(BTreeSet::from(["a".to_owned()])),
            1 => consumer.topics = Some(BTreeSet::from(["a".to_owned(), "b".to_owned()])),
            _ => consumer.regex = Some("a|b|c.*".to_owned()),
        }
        Client { consumer, is_alive: true, holds_on: Partitions::new() }
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).expect("a small number")
    }

    fn step(&mut self) {
        let index = self.below(CLIENTS);
        match self.below(100) {
            0..60 => self.beat(index),
            60..65 => self.leave(index, -1),
            65..69 => self.leave(index, -2),
            69..73 => {
                // The process dies and starts again; what it held is nobody's business any more.
                self.clients[index] = self.client(index);
            }
            73..77 => {
                let partitions = [1, 3, 4][self.below(3)];
                let topics = [("a", partitions), ("b", 2), ("c1", 2)];
                let count = 1 + self.below(3);
                self.shard.topics(&topics[..count]);
            }
            77..95 => {
                let ms = [10, 1_000, 5_000, 20_000, 61_000][self.below(5)];
                self.shard.advance(ms);
            }
            _ => self.restart(),
        }
    }

    fn beat(&mut self, index: usize) {
        let is_lost = self.below(10) == 0;
        let gives_up = self.below(3) > 0;
        let client = &mut self.clients[index];
        let mut request = client.consumer.request();
        if !gives_up && client.consumer.epoch > 0 {
            // It still works on what it was told to give up.
            let mut owned = client.consumer.owned.clone();
            for (topic, partitions) in &client.holds_on {
                owned.entry(*topic).or_default().extend(partitions);
            }
            request.owned = Some(owned);
        } else {
            client.holds_on.clear();
        }
        match self.shard.beat(request) {
            Ok(_) if is_lost => {}
            Ok(beat) => {
                let client = &mut self.clients[index];
                let before = client.consumer.owned.clone();
                client.consumer.heard(beat);
                for (topic, partitions) in before {
                    let now = client.consumer.owned.get(&topic).cloned().unwrap_or_default();
                    client.holds_on.entry(topic).or_default().extend(partitions.difference(&now));
                }
                client.is_alive = true;
            }
            Err(refused) => self.refused(index, refused.error),
        }
    }

    /// What a client does when it is refused: it gives everything up, and joins again or waits.
    fn refused(&mut self, index: usize, error: GroupError) {
        use GroupError::{FencedEpoch, FencedInstance, UnknownGroup, UnknownMember, UnreleasedInstance};
        assert!(
            [FencedEpoch, FencedInstance, UnknownMember, UnreleasedInstance, UnknownGroup].contains(&error),
            "a client that does nothing wrong is refused with {error:?}"
        );
        let client = &mut self.clients[index];
        client.consumer.epoch = 0;
        client.consumer.owned.clear();
        client.holds_on.clear();
    }

    fn leave(&mut self, index: usize, epoch: i32) {
        let client = &self.clients[index];
        if epoch == -2 && client.consumer.instance_id.is_none() {
            return;
        }
        let request = ConsumerHeartbeat { member_epoch: epoch, topics: None, regex: None, ..client.consumer.request() };
        let _ = self.shard.beat(request);
        self.clients[index] = self.client(index);
    }

    fn restart(&mut self) {
        let replayed = self.shard.restarted();
        assert_eq!(replayed.shard.durable, self.shard.shard.durable, "the log replays to what it was written from");
        let mut checkpoint = GroupShard::new(Arc::new(settings()), self.shard.catalog.clone());
        for record in self.shard.shard.checkpoint() {
            checkpoint.apply(record);
        }
        assert_eq!(checkpoint.durable, self.shard.shard.durable, "a checkpoint is all of it");
        self.shard = replayed;
    }

    fn check(&mut self) {
        let Some(Group::Consumer(_)) = self.shard.shard.live.get(GROUP) else {
            self.forget_epochs();
            return;
        };
        let group = self.shard.described();
        assert!(group.epoch >= self.epoch, "epoch {} became {}", self.epoch, group.epoch);
        assert!(group.assignment_epoch >= self.assignment_epoch && group.assignment_epoch <= group.epoch);
        (self.epoch, self.assignment_epoch) = (group.epoch, group.assignment_epoch);
        let mut owners: HashMap<(TopicId, i32), &str> = HashMap::new();
        let mut targets: HashMap<(TopicId, i32), &str> = HashMap::new();
        for member in &group.members {
            assert!(member.member_epoch <= group.assignment_epoch);
            let before = self.member_epochs.insert(member.member_id.clone(), member.member_epoch).unwrap_or(0);
            assert!(member.member_epoch >= before || member.member_epoch == -2, "{} went back", member.member_id);
            for (map, partitions) in [(&mut owners, &member.assignment), (&mut targets, &member.target)] {
                for one in partitions.iter().flat_map(|(topic, own)| own.iter().map(|partition| (*topic, *partition))) {
                    let other = map.insert(one, &member.member_id);
                    assert_eq!(other, None, "{one:?} is of {} too", member.member_id);
                }
            }
        }
        // What applications work on: nobody works on what another one was given.
        let mut working: HashMap<(TopicId, i32), usize> = HashMap::new();
        for (index, client) in self.clients.iter().enumerate() {
            let is_member = group.members.iter().any(|member| member.member_id == client.consumer.id && member.member_epoch > 0);
            if !is_member || client.consumer.epoch == 0 {
                continue;
            }
            for one in client.consumer.owned.iter().flat_map(|(topic, own)| own.iter().map(|partition| (*topic, *partition))) {
                assert_eq!(working.insert(one, index), None, "{one:?} is worked on twice");
            }
        }
    }

    fn forget_epochs(&mut self) {
        (self.epoch, self.assignment_epoch) = (0, 0);
        self.member_epochs.clear();
    }

    /// Everyone heartbeats and does what it is told: the group becomes stable, and everything subscribed is assigned.
    fn finish(&mut self) {
        self.shard.topics(&[("a", 4), ("b", 2), ("c1", 2)]);
        for _ in 0..30 {
            self.shard.advance(4_000);
            for index in 0..CLIENTS {
                self.clients[index].holds_on.clear();
                let request = self.clients[index].consumer.request();
                match self.shard.beat(request) {
                    Ok(beat) => self.clients[index].consumer.heard(beat),
                    Err(refused) => self.refused(index, refused.error),
                }
            }
        }
        let group = self.shard.described();
        assert_eq!(group.state, "Stable", "{group:?}");
        let subscribes = |topic: &str| {
            group
                .members
                .iter()
                .any(|member| member.topics.iter().any(|name| name == topic) || member.regex.as_deref() == Some("a|b|c.*"))
        };
        for (topic, partitions) in [("a", 4), ("b", 2), ("c1", 2)] {
            let owned: usize =
                group.members.iter().filter_map(|member| member.assignment.get(&topic_id(topic))).map(BTreeSet::len).sum();
            assert_eq!(owned, if subscribes(topic) { partitions } else { 0 }, "partitions of {topic} in {group:?}");
        }
        self.restart();
    }
}
