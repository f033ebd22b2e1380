//! Goal: whatever members, topics, time and crashes do, epochs only grow, what is subscribed and there is read by somebody, nobody reads
//! what is not, and a replay of the log, or of a checkpoint, gives what was lived through. Method: seeded steps, with the invariants of
//! `share.rs` checked after each. A failure names its seed.

use super::shares::Sharer;
use super::*;
use crate::coordinator::group::share::messages::ShareHeartbeat;
use crate::env::Env;
use std::collections::HashMap;

const CLIENTS: usize = 6;
const STEPS: usize = 250;
const SEEDS: std::ops::Range<u64> = 0..60;

/// A topic as it is now, or was last.
struct Known {
    name: &'static str,
    /// A topic made anew is another one.
    incarnation: usize,
    partitions: usize,
    exists: bool,
}

impl Known {
    fn full_name(&self) -> String {
        format!("{}#{}", self.name, self.incarnation)
    }
}

struct World {
    random: Env,
    shard: Harness,
    topics: [Known; 3],
    clients: Vec<Sharer>,
    names: usize,
    epoch: i32,
    assignment_epoch: i32,
    member_epochs: HashMap<String, i32>,
}

#[test]
fn nothing_that_happens_leaves_a_partition_unread() {
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
        let topics = [("a", 3, true), ("b", 2, true), ("c", 0, false)];
        let mut world = World {
            random: Env::manual(Timestamp(0), seed),
            shard: Harness::new(),
            topics: topics.map(|(name, partitions, exists)| Known { name, incarnation: 0, partitions, exists }),
            clients: Vec::new(),
            names: 0,
            epoch: 0,
            assignment_epoch: 0,
            member_epochs: HashMap::new(),
        };
        world.tell_topics();
        world.clients = (0..CLIENTS).map(|_| world.client()).collect();
        world
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).expect("a small number")
    }

    fn client(&mut self) -> Sharer {
        self.names += 1;
        let topics: &[&str] = [&["a"][..], &["a", "b"], &["b", "c"], &["a", "b", "c"]][self.below(4)];
        Sharer::of(&format!("m{}", self.names), topics)
    }

    fn step(&mut self) {
        let index = self.below(CLIENTS);
        match self.below(100) {
            0..60 => self.beat(index),
            60..66 => {
                let _ = self.shard.share_leave(&self.clients[index].id.clone());
                self.clients[index] = self.client();
            }
            // The process dies and starts again.
            66..70 => self.clients[index] = self.client(),
            70..76 => self.change_topics(),
            76..95 => {
                let ms = [10, 1_000, 5_000, 20_000, 46_000][self.below(5)];
                self.shard.advance(ms);
            }
            95..97 => {
                if self.shard.delete().is_ok() {
                    (self.epoch, self.assignment_epoch) = (0, 0);
                    self.member_epochs.clear();
                }
            }
            _ => self.restart(),
        }
    }

    fn change_topics(&mut self) {
        let (which, what, is_told) = (self.below(3), self.below(3), self.below(2) == 0);
        let topic = &mut self.topics[which];
        let id = topic_id(&topic.full_name());
        match (topic.exists, what) {
            (false, _) => {
                *topic = Known { incarnation: topic.incarnation + 1, partitions: 1 + what, exists: true, ..*topic };
            }
            (true, 0) => topic.exists = false,
            (true, _) => topic.partitions = (topic.partitions + what).min(6),
        }
        let (name, is_gone) = (topic.name.to_owned(), !topic.exists);
        self.tell_topics();
        if is_gone && is_told {
            answered(self.shard.ask(|caller| Event::TopicDeleted { topic: name, id, caller }));
        }
    }

    fn tell_topics(&mut self) {
        let there = self.topics.iter().filter(|topic| topic.exists);
        let there: Vec<(String, usize)> = there.map(|topic| (topic.full_name(), topic.partitions)).collect();
        let there: Vec<(&str, usize)> = there.iter().map(|(name, partitions)| (name.as_str(), *partitions)).collect();
        self.shard.topics(&there);
    }

    fn beat(&mut self, index: usize) {
        let is_lost = self.below(10) == 0;
        let mut request = self.clients[index].request();
        if self.below(10) == 0 {
            let topics = self.client().topics;
            self.clients[index].topics.clone_from(&topics);
            request = ShareHeartbeat { topics: Some(topics.into_iter().collect()), ..request };
        }
        match self.shard.share_beat(request) {
            Ok(_) if is_lost => {}
            Ok(beat) => self.clients[index].heard(beat),
            Err(refused) => self.refused(index, refused.error),
        }
    }

    fn refused(&mut self, index: usize, error: GroupError) {
        use GroupError::{FencedEpoch, UnknownGroup, UnknownMember};
        assert!([FencedEpoch, UnknownMember, UnknownGroup].contains(&error), "refused with {error:?}");
        self.clients[index].epoch = 0;
        self.clients[index].assigned.clear();
    }

    fn restart(&mut self) {
        // What is only dropped when a shard is loaded is dropped first.
        let once = self.shard.restarted();
        let replayed = once.restarted();
        assert_eq!(replayed.shard.durable, once.shard.durable, "the log replays to what it was written from");
        let mut checkpoint = GroupShard::new(Arc::new(settings()), self.shard.catalog.clone());
        for record in once.shard.checkpoint() {
            checkpoint.apply(record);
        }
        assert_eq!(checkpoint.durable, once.shard.durable, "a checkpoint is all of it");
        self.shard = replayed;
    }

    fn check(&mut self) {
        if !self.shard.shard.live.contains_key(GROUP) {
            return;
        }
        let group = self.shard.share_described();
        assert!(group.epoch >= self.epoch && group.assignment_epoch >= self.assignment_epoch);
        assert!(group.assignment_epoch <= group.epoch);
        (self.epoch, self.assignment_epoch) = (group.epoch, group.assignment_epoch);
        for member in &group.members {
            assert!(member.member_epoch <= group.assignment_epoch);
            let before = self.member_epochs.insert(member.member_id.clone(), member.member_epoch).unwrap_or(0);
            assert!(member.member_epoch >= before, "{} went back", member.member_id);
        }
        if group.epoch == group.assignment_epoch {
            self.check_targets(&group.members.iter().flat_map(|member| member.topics.clone()).collect());
        }
    }

    /// What the group has a position in is somebody's target.
    fn check_targets(&self, subscribed: &BTreeSet<String>) {
        let durable = &self.shard.shard.durable.shares[GROUP];
        let exists = |topic: &TopicId| self.shard.catalog.topic_by_id(*topic).is_some();
        let initialized = durable.states.initialized.iter();
        for (topic, named) in initialized.filter(|(topic, named)| subscribed.contains(&named.name) && exists(topic)) {
            for partition in &named.partitions {
                let is_read =
                    durable.members.keys().any(|id| durable.target(id).get(topic).is_some_and(|own| own.contains(partition)));
                assert!(is_read, "nobody reads {}-{partition}", named.name);
            }
        }
    }

    /// Everyone heartbeats: everything subscribed is read, by members that know.
    fn finish(&mut self) {
        for topic in self.topics.iter_mut().filter(|topic| !topic.exists) {
            *topic = Known { incarnation: topic.incarnation + 1, partitions: 2, exists: true, ..*topic };
        }
        self.tell_topics();
        for _ in 0..12 {
            self.shard.advance(4_000);
            for index in 0..CLIENTS {
                let request = self.clients[index].request();
                match self.shard.share_beat(request) {
                    Ok(beat) => self.clients[index].heard(beat),
                    Err(refused) => self.refused(index, refused.error),
                }
            }
        }
        let group = self.shard.share_described();
        assert_eq!((group.state, group.members.len(), group.epoch), ("Stable", CLIENTS, group.assignment_epoch));
        for client in &self.clients {
            assert_eq!(client.epoch, group.epoch);
            let member = group.members.iter().find(|member| member.member_id == client.id).expect("a member");
            assert_eq!(member.assignment, client.assigned, "the client knows what it reads from");
        }
        for topic in &self.topics {
            let is_wanted = self.clients.iter().any(|client| client.topics.iter().any(|name| name == topic.name));
            let id = topic_id(&topic.full_name());
            let read: BTreeSet<i32> =
                self.clients.iter().filter_map(|client| client.assigned.get(&id)).flatten().copied().collect();
            let all = (0..i32::try_from(topic.partitions).expect("few")).collect();
            assert_eq!(read, if is_wanted { all } else { BTreeSet::new() }, "partitions of {}", topic.name);
        }
        self.restart();
    }
}
