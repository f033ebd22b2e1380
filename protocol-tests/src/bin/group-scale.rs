//! Measures how the group coordinator carries much: `group-scale offsets --count 1000000` (committed offsets, and how long they take to
//! load after `kill -9`), `group-scale members --count 500` (one group of the consumer protocol), `group-scale groups --count 1000` (as many
//! groups of two members each), `group-scale classic --count 500` (one group of the classic protocol, a connection each). Prints what it
//! measured; asserts nothing about time.

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use protocol_tests::client::Client;
use protocol_tests::frame::{group_id, text, topic_name};
use protocol_tests::groups::{COMMIT, Member as ClassicMember, commit_request};
use protocol_tests::server::{Launch, Server};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Offsets of one group in the measurement of offsets.
const OFFSETS_PER_GROUP: usize = 1000;
/// ConsumerGroupHeartbeat with members' own ids.
const HEARTBEAT: i16 = 1;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let what = arguments.first().map(String::as_str).unwrap_or_default();
    let count = match arguments.get(1..) {
        Some([name, value]) if name == "--count" => value.parse().ok(),
        Some([]) => Some(match what {
            "offsets" => 1_000_000,
            "members" | "classic" => 500,
            _ => 1000,
        }),
        _ => None,
    };
    match (what, count) {
        ("offsets", Some(count)) => offsets(count),
        ("members", Some(count)) => members(1, count),
        ("groups", Some(count)) => members(count, 2),
        ("classic", Some(count)) => classic(count),
        _ => {
            eprintln!("usage: group-scale offsets|members|groups|classic [--count N]");
            std::process::exit(2);
        }
    }
}

/// Commits, kills, and waits until the last group's offsets are answered again.
fn offsets(count: usize) {
    let mut server = Server::start();
    let mut client = server.connect();
    let partitions = i32::try_from(OFFSETS_PER_GROUP).expect("a small number");
    let topic = client.create_topic("offsets", partitions, &[]).name;
    let groups = count.div_ceil(OFFSETS_PER_GROUP);
    let offsets: Vec<(i32, i64)> = (0..partitions).map(|partition| (partition, 7)).collect();
    let started = Instant::now();
    for group in 0..groups {
        let response = client.call(COMMIT, &commit_request(&format!("group-{group}"), &topic, &offsets));
        let refused = response.topics[0].partitions.iter().find_map(|partition| partition.error_code.err());
        assert_eq!(refused, None, "committing for group-{group}");
    }
    println!("{} offsets of {groups} groups committed in {:.1} s", groups * OFFSETS_PER_GROUP, started.elapsed().as_secs_f64());
    server.kill9();
    let started = Instant::now();
    server.restart();
    println!("listening again {:.3} s after kill -9", started.elapsed().as_secs_f64());
    let mut client = server.connect();
    for group in 0..groups {
        let name = format!("group-{group}");
        // COORDINATOR_LOAD_IN_PROGRESS is an error here: ask again, as clients do.
        while client.try_committed_offsets(&name, &topic, &[0, partitions - 1]).ok() != Some(vec![7, 7]) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if group == 0 {
            println!("the first group answers after {:.3} s", started.elapsed().as_secs_f64());
        }
    }
    println!("all {groups} groups have answered after {:.3} s", started.elapsed().as_secs_f64());
}

struct Member {
    group: String,
    id: String,
    epoch: i32,
    owned: BTreeMap<Uuid, Vec<i32>>,
    due: Instant,
    interval: Duration,
}

impl Member {
    fn beat(&mut self, client: &mut Client, topic: &str) {
        let owned = self
            .owned
            .iter()
            .map(|(id, partitions)| TopicPartitions::default().with_topic_id(*id).with_partitions(partitions.clone()));
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_member_id(text(&self.id))
            .with_member_epoch(self.epoch)
            .with_topic_partitions(Some(owned.collect()));
        if self.epoch == 0 {
            request = request.with_rebalance_timeout_ms(60_000).with_subscribed_topic_names(Some(vec![topic_name(topic)]));
        }
        let response = client.call(HEARTBEAT, &request);
        assert_eq!(response.error_code.err(), None, "{}: {:?}", self.id, response.error_message);
        self.epoch = response.member_epoch;
        self.interval = Duration::from_millis(u64::try_from(response.heartbeat_interval_ms).expect("an interval"));
        self.due = Instant::now() + self.interval;
        if let Some(assignment) = response.assignment {
            let is_less = self.owned.iter().any(|(id, own)| {
                let now = assignment.topic_partitions.iter().find(|topic| topic.topic_id == *id);
                own.iter().any(|partition| now.is_none_or(|topic| !topic.partitions.contains(partition)))
            });
            self.owned = assignment.topic_partitions.into_iter().map(|topic| (topic.topic_id, topic.partitions)).collect();
            if is_less {
                // As clients do: what was revoked is acknowledged at once.
                self.due = Instant::now();
            }
        }
    }
}

/// `groups` groups of `size` members, who come one after the other and heartbeat as they are told, until each group has spread its topic.
fn members(groups: usize, size: usize) {
    let server = Server::start();
    let mut client = server.connect();
    let partitions = 2 * size;
    let topic = client.create_topic("spread", i32::try_from(partitions).expect("a small number"), &[]).name;
    let now = Instant::now();
    let names = (0..size).flat_map(|member| (0..groups).map(move |group| (group, member)));
    let mut members: Vec<Member> = names
        .map(|(group, member)| Member {
            group: format!("group-{group}"),
            id: format!("member-{group}-{member}"),
            epoch: 0,
            owned: BTreeMap::new(),
            due: now,
            interval: Duration::ZERO,
        })
        .collect();
    let before = server.cpu();
    let mut heartbeats = 0;
    let started = Instant::now();
    let is_spread = |member: &Member| member.owned.values().map(Vec::len).sum::<usize>() == 2;
    while !members.iter().all(is_spread) {
        assert!(started.elapsed() < Duration::from_secs(300), "the groups are not spread after 300 s");
        let now = Instant::now();
        let Some(member) = members.iter_mut().filter(|member| member.due <= now).min_by_key(|member| member.due) else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        member.beat(&mut client, &topic);
        heartbeats += 1;
    }
    let epochs: i32 = members.iter().map(|member| member.epoch).max().unwrap_or(0);
    println!(
        "{groups} groups of {size}: {partitions} partitions each spread after {:.1} s and {heartbeats} heartbeats ({:.1} a member), \
         highest epoch {epochs}, {:.2} CPU s of the server",
        started.elapsed().as_secs_f64(),
        f64::from(heartbeats) / f64::from(u32::try_from(members.len()).expect("a small number")),
        (server.cpu() - before).as_secs_f64(),
    );
    let (began, before) = (Instant::now(), server.cpu());
    let mut quiet = 0;
    while began.elapsed() < Duration::from_secs(10) {
        let now = Instant::now();
        match members.iter_mut().find(|member| member.due <= now) {
            Some(member) => {
                member.beat(&mut client, &topic);
                quiet += 1;
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    let moved = members.iter().map(|member| member.epoch).max().unwrap_or(0) - epochs;
    println!(
        "then 10 s of quiet: {quiet} heartbeats, {moved} new epochs, {:.2} CPU s of the server",
        (server.cpu() - before).as_secs_f64()
    );
}

/// One rebalance of members that all join at once and sync; the generation that they agree on.
fn rebalance(members: &mut [ClassicMember]) -> i32 {
    loop {
        let asked: Vec<i32> = members.iter_mut().map(ClassicMember::start_join).collect();
        let joined: Vec<_> = members.iter_mut().zip(asked).map(|(member, asked)| member.joined(asked)).collect();
        let leader = joined.iter().position(|answer| answer.error_code == 0 && answer.leader == answer.member_id);
        let newest = joined.iter().map(|answer| answer.generation_id).max().unwrap_or(-1);
        let (Some(leader), true) = (leader, joined.iter().all(|answer| answer.generation_id == newest)) else { continue };
        let ids: Vec<String> = joined[leader].members.iter().map(|member| member.member_id.to_string()).collect();
        assert_eq!(ids.len(), members.len(), "the leader sees everybody");
        let assignments: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "partitions")).collect();
        let synced = members[leader].sync(&assignments);
        assert_eq!(synced.error_code.err(), None, "the leader's sync");
        for (_, member) in members.iter_mut().enumerate().filter(|(at, _)| *at != leader) {
            assert_eq!(member.sync(&[]).assignment.as_ref(), b"partitions");
        }
        return newest;
    }
}

/// One classic group of `size` members: how long until it stands, how long a rebalance takes, and what heartbeats cost.
fn classic(size: usize) {
    // Kafka's default: with none, the first to come begins alone, and 499 are a rebalance more.
    let server = Launch::new().set("group.initial.rebalance.delay.ms", "3000").start();
    let mut members: Vec<ClassicMember> = (0..size).map(|_| ClassicMember::of(&server, "classic")).collect();
    let measured = |what: &str, members: &mut [ClassicMember]| {
        let (began, before) = (Instant::now(), server.cpu());
        let generation = rebalance(members);
        println!(
            "{what}: {} members stable after {:.2} s in generation {generation}, {:.2} CPU s of the server",
            members.len(),
            began.elapsed().as_secs_f64(),
            (server.cpu() - before).as_secs_f64()
        );
    };
    measured("all come at once", &mut members);
    let gone = members.pop().map(|mut member| member.leave());
    assert_eq!(gone, Some(0), "one leaves");
    let told = members.iter_mut().map(ClassicMember::heartbeat).filter(|code| *code != 0).count();
    assert_eq!(told, members.len(), "everybody hears of the rebalance");
    measured("after one left", &mut members);
    let (began, before) = (Instant::now(), server.cpu());
    let mut heartbeats = 0;
    while began.elapsed() < Duration::from_secs(9) {
        // Each member each 3 s, as clients do.
        let round = Instant::now();
        assert!(members.iter_mut().all(|member| member.heartbeat() == 0), "no rebalance without a reason");
        heartbeats += members.len();
        std::thread::sleep(Duration::from_secs(3).saturating_sub(round.elapsed()));
    }
    println!("then 9 s of quiet: {heartbeats} heartbeats, {:.2} CPU s of the server", (server.cpu() - before).as_secs_f64());
}
