//! Goal: whatever threads, topics, time and crashes do, a task is active at one thread, a process has it once, epochs only grow, and a replay
//! of the log gives what was lived through. Method: seeded steps of threads that remember what they were told, with the invariants of `streams.rs`
//! checked after each. A failure names its seed.

use super::streams::Thread;
use super::*;
use crate::coordinator::group::machine::Group;
use crate::coordinator::group::records::streams::{TaskSet, Tasks};
use crate::coordinator::group::streams::messages::StreamsHeartbeat;
use crate::env::Env;
use std::collections::{HashMap, HashSet};

const THREADS: usize = 5;
const STEPS: usize = 250;
const SEEDS: std::ops::Range<u64> = 0..60;

/// A thread, and what it was told to stop and has not said yet that it did.
struct Client {
    thread: Thread,
    holds_on: Tasks,
}

struct World {
    random: Env,
    shard: Harness,
    clients: Vec<Client>,
    names: usize,
    epoch: i32,
    assignment_epoch: i32,
}

#[test]
fn nothing_that_happens_runs_a_task_twice() {
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

fn each(tasks: &TaskSet) -> impl Iterator<Item = (&str, i32)> {
    tasks.iter().flat_map(|(id, own)| own.iter().map(move |partition| (id.as_str(), *partition)))
}

fn add(tasks: &mut TaskSet, more: &TaskSet, but: &TaskSet) {
    for (id, partition) in each(more) {
        if !but.get(id).is_some_and(|own| own.contains(&partition)) {
            tasks.entry(id.to_owned()).or_default().insert(partition);
        }
    }
}

impl World {
    fn new(seed: u64) -> World {
        let random = Env::manual(Timestamp(0), seed);
        let mut world = World { random, shard: Harness::new(), clients: Vec::new(), names: 0, epoch: 0, assignment_epoch: 0 };
        world.change_topics();
        world.clients = (0..THREADS).map(|index| world.client(index)).collect();
        world
    }

    /// A new thread, in one of three processes.
    fn client(&mut self, index: usize) -> Client {
        self.names += 1;
        Client { thread: Thread::of(&format!("m{}", self.names), &format!("p{}", index % 3)), holds_on: Tasks::default() }
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).expect("a small number")
    }

    fn change_topics(&mut self) {
        let partitions = [1, 3, 4, 6][self.below(4)];
        let topics = [("in", partitions), ("changelog", partitions)];
        let count = 2 - usize::from(self.below(8) == 0);
        self.shard.topics(&topics[..count]);
        let standbys = BTreeMap::from([("streams.num.standby.replicas".to_owned(), self.below(3).to_string())]);
        self.shard.catalog = Arc::new(Snapshot::clone(&self.shard.catalog).with_group(GROUP, standbys));
    }

    fn step(&mut self) {
        let index = self.below(THREADS);
        match self.below(100) {
            0..66 => self.beat(index),
            66..70 => {
                let request = StreamsHeartbeat { member_epoch: -1, topology: None, ..self.clients[index].thread.request() };
                let _ = self.shard.streams_beat(request);
                self.clients[index] = self.client(index);
            }
            // The thread dies and another one starts.
            70..73 => self.clients[index] = self.client(index),
            73..76 => self.change_topics(),
            76..95 => {
                let ms = [10, 1_000, 3_000, 20_000, 61_000][self.below(5)];
                self.shard.advance(ms);
            }
            _ => self.restart(),
        }
    }

    fn beat(&mut self, index: usize) {
        let is_lost = self.below(10) == 0;
        let gives_up = self.below(3) > 0;
        let client = &mut self.clients[index];
        let mut request = client.thread.request();
        if !gives_up && client.thread.epoch > 0 {
            let owned = request.owned.get_or_insert_with(Tasks::default);
            let none = TaskSet::new();
            add(&mut owned.active, &client.holds_on.active, &none);
            add(&mut owned.standby, &client.holds_on.standby, &none);
        } else {
            client.holds_on = Tasks::default();
        }
        match self.shard.streams_beat(request) {
            Ok(_) if is_lost => {}
            Ok(beat) => {
                let client = &mut self.clients[index];
                let before = client.thread.owned.clone();
                client.thread.heard(&beat);
                add(&mut client.holds_on.active, &before.active, &client.thread.owned.active);
                add(&mut client.holds_on.standby, &before.standby, &client.thread.owned.standby);
            }
            Err(refused) => self.refused(index, refused.error),
        }
    }

    /// What a thread does when it is refused: it gives everything up and joins again.
    fn refused(&mut self, index: usize, error: GroupError) {
        use GroupError::{FencedEpoch, Invalid, UnknownGroup, UnknownMember};
        // Invalid: the topic has fewer partitions than what it still says to run.
        assert!([FencedEpoch, UnknownMember, UnknownGroup, Invalid].contains(&error), "refused with {error:?}");
        let client = &mut self.clients[index];
        client.thread.epoch = 0;
        client.thread.owned = Tasks::default();
        client.holds_on = Tasks::default();
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
        let Some(Group::Streams(_)) = self.shard.shard.live.get(GROUP) else {
            (self.epoch, self.assignment_epoch) = (0, 0);
            return;
        };
        let group = self.shard.streams_described();
        assert!(group.epoch >= self.epoch, "epoch {} became {}", self.epoch, group.epoch);
        assert!(group.assignment_epoch >= self.assignment_epoch && group.assignment_epoch <= group.epoch);
        (self.epoch, self.assignment_epoch) = (group.epoch, group.assignment_epoch);
        let mut active: HashMap<(&str, i32), &str> = HashMap::new();
        let mut at: HashSet<(&str, &str, i32)> = HashSet::new();
        let mut targets: HashSet<(&str, i32)> = HashSet::new();
        for member in &group.members {
            assert!(member.member_epoch <= group.epoch);
            for (id, partition) in each(&member.assignment.active) {
                assert_eq!(active.insert((id, partition), &member.member_id), None, "{id}_{partition} is active twice");
                assert!(at.insert((&member.process_id, id, partition)));
            }
            for (id, partition) in each(&member.assignment.standby) {
                assert!(at.insert((&member.process_id, id, partition)), "{} has {id}_{partition} twice", member.process_id);
            }
            for task in each(&member.target.active) {
                assert!(targets.insert(task), "{task:?} should be active twice");
            }
        }
        // What threads work on: nobody works on what another one was given.
        let mut working: HashMap<(&str, i32), usize> = HashMap::new();
        for (index, client) in self.clients.iter().enumerate() {
            let is_member = group.members.iter().any(|member| member.member_id == client.thread.id && member.member_epoch > 0);
            if !is_member || client.thread.epoch == 0 {
                continue;
            }
            for task in each(&client.thread.owned.active) {
                assert_eq!(working.insert(task, index), None, "{task:?} is worked on twice");
            }
        }
    }

    /// Everyone heartbeats and does what it is told: the group becomes stable, and every task runs.
    fn finish(&mut self) {
        self.shard.topics(&[("in", 6), ("changelog", 6)]);
        let standbys = BTreeMap::from([("streams.num.standby.replicas".to_owned(), "1".to_owned())]);
        self.shard.catalog = Arc::new(Snapshot::clone(&self.shard.catalog).with_group(GROUP, standbys));
        for _ in 0..30 {
            self.shard.advance(4_000);
            for index in 0..THREADS {
                self.clients[index].holds_on = Tasks::default();
                let request = self.clients[index].thread.request();
                match self.shard.streams_beat(request) {
                    Ok(beat) => self.clients[index].thread.heard(&beat),
                    Err(refused) => self.refused(index, refused.error),
                }
            }
        }
        let group = self.shard.streams_described();
        assert_eq!(group.state, "Stable", "{group:?}");
        let count =
            |of: fn(&Tasks) -> &TaskSet| group.members.iter().map(|member| each(of(&member.assignment)).count()).sum::<usize>();
        assert_eq!((count(|tasks| &tasks.active), count(|tasks| &tasks.standby)), (6, 6));
        self.restart();
    }
}
