//! Random sequences of events from a handful of clients, with restarts in between. A failure prints its seed: put it into `SEEDS`.

use super::*;
use crate::coordinator::group::classic::{ClassicGroup, State};
use crate::coordinator::group::machine::Group;
use crate::env::Env;
use std::collections::HashMap;
use tokio::sync::oneshot::error::TryRecvError;

const SEEDS: std::ops::Range<u64> = 0..60;
const STEPS: usize = 400;
const CLIENTS: usize = 5;

#[derive(Default)]
struct Client {
    id: String,
    instance_id: Option<String>,
    generation: i32,
    /// Whom to assign to, where this client leads.
    members: Vec<String>,
    join: Option<Receiver<JoinReply>>,
    /// With the id that asked.
    sync: Option<(String, Receiver<SyncReply>)>,
}

struct World {
    random: Env,
    shard: Harness,
    clients: Vec<Client>,
    /// What the last acknowledged commit said.
    committed: Option<i64>,
    commits: i64,
    /// Since the last restart: a generation that was not durable may come again.
    generation: i32,
    leaders: HashMap<i32, String>,
}

#[test]
fn nothing_that_clients_do_breaks_a_group() {
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
        let client = |index: usize| Client { instance_id: (index < 2).then(|| format!("static-{index}")), ..Client::default() };
        World {
            random: Env::manual(Timestamp(0), seed),
            shard: Harness::new(),
            clients: (0..CLIENTS).map(client).collect(),
            committed: None,
            commits: 0,
            generation: 0,
            leaders: HashMap::new(),
        }
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).expect("a small number")
    }

    fn step(&mut self) {
        let client = self.below(CLIENTS);
        match self.below(100) {
            0..25 => self.join(client),
            25..50 => self.sync(client),
            50..65 => self.heartbeat(client),
            65..80 => self.commit(client),
            80..84 => self.leave(client),
            // The process behind a client restarts: it no longer knows its id.
            84..87 => self.clients[client].id.clear(),
            87..98 => self.shard.advance([10, 1_000, 4_000, 12_000][self.below(4)]),
            98 => self.delete(),
            _ => self.restart(),
        }
        self.collect();
    }

    fn join(&mut self, client: usize) {
        let Client { id, instance_id, .. } = &self.clients[client];
        let names: &[&str] = [&["range"][..], &["range", "sticky"], &["sticky", "range"]][self.below(3)];
        let request = JoinRequest {
            instance_id: instance_id.clone(),
            protocols: protocols(names),
            is_id_required: self.below(4) > 0,
            can_skip_assignment: self.below(2) > 0,
            rebalance_timeout_ms: 15_000,
            ..joining("client", id)
        };
        self.clients[client].join = Some(self.shard.join(request));
    }

    fn sync(&mut self, client: usize) {
        let Client { id, instance_id, generation, members, .. } = &self.clients[client];
        let request = SyncRequest {
            group_id: GROUP.to_owned(),
            generation: *generation,
            member_id: id.clone(),
            instance_id: instance_id.clone(),
            protocol_type: None,
            protocol: None,
            assignments: members.iter().map(|member| (member.clone(), Bytes::from(member.clone()))).collect(),
        };
        let id = id.clone();
        self.clients[client].sync = Some((id, self.shard.ask(|caller| Event::Sync { request, caller })));
    }

    fn heartbeat(&mut self, client: usize) {
        let Client { id, instance_id, generation, .. } = &self.clients[client];
        if self.shard.heartbeat_as(id, instance_id.as_deref(), *generation) == Err(GroupError::UnknownMember) {
            self.clients[client].id.clear();
        }
    }

    fn commit(&mut self, client: usize) {
        let Client { id, generation, .. } = &self.clients[client];
        self.commits += 1;
        let offset = CommitOffset {
            topic: "topic".to_owned(),
            topic_id: None,
            partition: 0,
            offset: self.commits,
            leader_epoch: None,
            metadata: String::new(),
        };
        let request = CommitRequest {
            group_id: GROUP.to_owned(),
            generation: if id.is_empty() { -1 } else { *generation },
            member_id: id.clone(),
            instance_id: None,
            retention_ms: None,
            knows_epochs: true,
            is_transactional: false,
            offsets: vec![offset],
        };
        if self.shard.commit(request).is_ok() {
            self.committed = Some(self.commits);
        }
    }

    fn leave(&mut self, client: usize) {
        let Client { id, instance_id, .. } = &self.clients[client];
        let leaving = Leaving { member_id: id.clone(), instance_id: instance_id.clone() };
        self.shard.leave(vec![leaving]);
        self.clients[client].id.clear();
    }

    fn delete(&mut self) {
        if self.shard.delete().is_ok() {
            self.committed = None;
            self.forget_generations();
        }
    }

    fn restart(&mut self) {
        let replayed = self.shard.restarted();
        assert_eq!(replayed.shard.durable, self.shard.shard.durable, "the log replays to what it was written from");
        self.shard = replayed;
        self.forget_generations();
        for client in &mut self.clients {
            (client.join, client.sync) = (None, None);
        }
    }

    fn forget_generations(&mut self) {
        self.generation = 0;
        self.leaders.clear();
    }

    /// Takes the answers that have come.
    fn collect(&mut self) {
        for client in &mut self.clients {
            match client.join.as_mut().map(Receiver::try_recv) {
                Some(Ok(Ok(joined))) => {
                    client.join = None;
                    client.generation = joined.generation;
                    client.members = joined.members.into_iter().map(|member| member.member_id).collect();
                    client.id = joined.member_id;
                    if !client.members.is_empty() && !joined.skip_assignment {
                        let leader = self.leaders.entry(joined.generation).or_insert_with(|| client.id.clone());
                        assert_eq!(*leader, client.id, "two leaders of generation {}", joined.generation);
                    }
                }
                Some(Ok(Err(refused))) => {
                    client.join = None;
                    client.id = if refused.error == GroupError::MemberIdRequired { refused.member_id } else { String::new() };
                }
                _ => {}
            }
            let Some((id, sync)) = &mut client.sync else { continue };
            if let Ok(Ok(synced)) = sync.try_recv() {
                let assignment = String::from_utf8(synced.assignment.to_vec()).expect("a member's id");
                // A static member that came back has what its former self was assigned.
                let is_own = assignment.is_empty() || assignment == *id || client.instance_id.is_some();
                assert!(is_own, "{id} was given the share of {assignment}");
                client.sync = None;
            }
        }
    }

    fn group(&self) -> Option<&ClassicGroup> {
        self.shard.shard.live.get(GROUP).map(|group| match group {
            Group::Classic(group) => group,
            Group::Consumer(_) | Group::Streams(_) | Group::Share(_) => panic!("nobody speaks another protocol here"),
        })
    }

    fn check(&mut self) {
        assert_eq!(self.shard.committed("topic"), self.committed, "what was committed is what is fetched");
        let Some(group) = self.group() else {
            self.forget_generations();
            return;
        };
        let generation = group.generation;
        assert!(generation >= self.generation, "generation {} became {generation}", self.generation);
        assert_eq!(group.leader.is_some(), !group.members.is_empty());
        assert!(group.leader.iter().all(|leader| group.members.contains_key(leader)), "the leader is a member");
        let stands = group.state == State::Stable || (group.state == State::Empty && generation > 0);
        if stands {
            let durable = self.shard.shard.durable.groups.get(GROUP).cloned();
            let record = Record::Group { group: GROUP.to_owned(), value: durable };
            assert_eq!(group.record(), record, "a generation that stands is in the log");
        }
        self.generation = generation;
    }

    /// Everyone falls silent: nobody waits forever, and the group empties.
    fn finish(&mut self) {
        self.shard.advance(HOUR_MS);
        for client in &mut self.clients {
            // Closed is fine: another join of the same member took its place.
            let is_join_open = client.join.as_mut().is_some_and(|join| join.try_recv() == Err(TryRecvError::Empty));
            let is_sync_open = client.sync.as_mut().is_some_and(|(_, sync)| sync.try_recv() == Err(TryRecvError::Empty));
            assert!(!is_join_open && !is_sync_open, "{} waits forever", client.id);
        }
        assert!(self.group().is_none_or(|group| group.members.is_empty() && group.state == State::Empty));
        self.restart();
    }
}
