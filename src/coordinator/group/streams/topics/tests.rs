//! Goal: partitions are counted as Kafka counts them, and what does not fit is named. Method: topologies by hand.

use super::*;
use crate::catalog::Topic;
use crate::config::KafkaSettings;
use crate::config::topic::TopicSettings;
use crate::coordinator::group::records::streams::CopartitionGroup;
use crate::ids::{LogId, Timestamp, TopicId};
use std::sync::Arc;
use uuid::Uuid;

fn catalog(topics: &[(&str, u64)]) -> Snapshot {
    let topic = |(number, (name, partitions)): (usize, &(&str, u64))| Topic {
        name: (*name).to_owned(),
        id: TopicId(Uuid::from_u128(number as u128 + 1)),
        created: Timestamp(0),
        logs: (0..*partitions).map(LogId).collect(),
        overrides: BTreeMap::new(),
        settings: Arc::new(TopicSettings::resolve(&BTreeMap::new(), &KafkaSettings::default()).expect("defaults")),
        replication_factor: 1,
        internal: false,
    };
    Snapshot::of(1, topics.iter().enumerate().map(topic).collect())
}

fn info(name: &str, partitions: i32) -> TopicInfo {
    TopicInfo { name: name.to_owned(), partitions, ..TopicInfo::default() }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn topology(subtopologies: Vec<Subtopology>) -> Topology {
    let numbered = subtopologies.into_iter().enumerate().map(|(number, one)| (number.to_string(), one));
    Topology { epoch: 0, subtopologies: numbered.collect() }
}

/// Two parts: "in" → "r" → changelog "c".
fn chain(repartition: TopicInfo) -> Topology {
    let writer = Subtopology { source_topics: names(&["in"]), repartition_sinks: names(&["r"]), ..Subtopology::default() };
    let reader =
        Subtopology { repartition_sources: vec![repartition], changelog_topics: vec![info("c", 0)], ..Subtopology::default() };
    topology(vec![writer, reader])
}

fn problem(topology: &Topology, topics: &[(&str, u64)]) -> (Status, String) {
    let configured = Configured::of(topology, 0, &catalog(topics)).expect("a topology");
    configured.problem.expect("something is wrong")
}

#[test]
fn missing_sources_are_named_and_the_rest_is_counted() {
    let sources = Subtopology { source_topics: names(&["d", "b", "a", "c", "in"]), ..Subtopology::default() };
    let (status, why) = problem(&topology(vec![sources]), &[("in", 1)]);
    assert_eq!(
        (status, why.as_str()),
        (Status::MissingSourceTopics, "Source topics a, b, c and 1 additional topics are missing.")
    );
}

#[test]
fn a_repartition_topic_has_as_many_partitions_as_its_writer_has_tasks() {
    let configured = Configured::of(&chain(info("r", 0)), 0, &catalog(&[("in", 3)])).expect("a topology");
    let problem = configured.problem.clone().expect("topics are missing");
    assert_eq!(problem, (Status::MissingInternalTopics, "Internal topics are missing: c, r".to_owned()));
    let partitions: Vec<_> = configured.missing.values().map(|topic| (topic.name.as_str(), topic.partitions)).collect();
    assert_eq!(partitions, [("c", 3), ("r", 3)]);
    assert!(configured.ready().is_none());
    let ready = Configured::of(&chain(info("r", 0)), 0, &catalog(&[("in", 3), ("r", 3), ("c", 3)])).expect("a topology");
    assert_eq!(ready.ready().expect("ready")["1"].tasks, 3);
}

#[test]
fn an_application_may_say_how_many_and_existing_topics_have_to_agree() {
    let configured = Configured::of(&chain(info("r", 5)), 0, &catalog(&[("in", 3)])).expect("a topology");
    assert_eq!(configured.missing.values().map(|topic| topic.partitions).collect::<Vec<_>>(), [5, 5]);
    let (status, why) = problem(&chain(info("r", 5)), &[("in", 3), ("r", 4)]);
    assert_eq!(status, Status::IncorrectlyPartitionedTopics);
    assert!(why.starts_with("Existing topic "), "{why}");
}

#[test]
fn what_no_application_can_have_is_refused() {
    let wrong = |topology: &Topology| Configured::of(topology, 0, &catalog(&[("in", 3)])).expect_err("refused");
    let orphan = Subtopology { source_topics: names(&["in"]), repartition_sources: vec![info("r", 0)], ..Subtopology::default() };
    assert!(wrong(&topology(vec![orphan])).ends_with("a repartition source topic is never used as a sink topic."));
    let looped =
        Subtopology { repartition_sources: vec![info("r", 0)], repartition_sinks: names(&["r"]), ..Subtopology::default() };
    assert!(wrong(&topology(vec![looped])).contains("There may be loops"));
    assert_eq!(wrong(&topology(vec![Subtopology::default()])), "No source topics found for subtopology 0");
    let negative = chain(info("r", -1));
    assert!(wrong(&negative).contains("Number of partitions must be at least 1"));
    assert!(wrong(&chain(info("r", 100_000))).contains("100003 tasks"));
    let group = CopartitionGroup { source_topics: vec![1], ..CopartitionGroup::default() };
    let beyond = Subtopology { source_topics: names(&["in"]), copartition_groups: vec![group], ..Subtopology::default() };
    assert!(wrong(&topology(vec![beyond])).contains("does not have"));
}

/// "in" and a repartition topic that must fit together.
fn joined(repartition: TopicInfo) -> Topology {
    let group = CopartitionGroup { source_topics: vec![0], repartition_sources: vec![0], ..CopartitionGroup::default() };
    let join = Subtopology {
        source_topics: names(&["in"]),
        repartition_sources: vec![repartition],
        copartition_groups: vec![group],
        ..Subtopology::default()
    };
    let writer = Subtopology { source_topics: names(&["other"]), repartition_sinks: names(&["r"]), ..Subtopology::default() };
    topology(vec![join, writer])
}

#[test]
fn repartition_topics_follow_what_they_are_joined_with() {
    let configured = Configured::of(&joined(info("r", 0)), 0, &catalog(&[("in", 3), ("other", 7)])).expect("a topology");
    assert_eq!(configured.missing["r"].partitions, 3);
    let (status, why) = problem(&joined(info("r", 4)), &[("in", 3), ("other", 7)]);
    assert_eq!(status, Status::IncorrectlyPartitionedTopics);
    assert_eq!(
        why,
        "Number of partitions [4] of repartition topic [r] doesn't match number of partitions [3] of the source topic."
    );
}

#[test]
fn sources_that_are_joined_must_agree() {
    let group = CopartitionGroup { source_topics: vec![0, 1], ..CopartitionGroup::default() };
    let join = Subtopology { source_topics: names(&["b", "a"]), copartition_groups: vec![group], ..Subtopology::default() };
    let (status, why) = problem(&topology(vec![join]), &[("a", 1), ("b", 2)]);
    assert_eq!(status, Status::IncorrectlyPartitionedTopics);
    assert_eq!(why, "Following topics do not have the same number of partitions: [{a=1, b=2}]");
}

#[test]
fn the_hash_follows_topics_that_come_go_and_grow() {
    let topology = chain(info("r", 0));
    let hashes: Vec<i64> = [&[][..], &[("in", 3)], &[("in", 4)], &[("in", 3), ("r", 3)]]
        .iter()
        .map(|topics| hash(&topology, &catalog(topics)))
        .collect();
    assert_eq!(hashes[0], 0);
    assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), 4);
    assert_eq!(hashes[1], hash(&topology, &catalog(&[("in", 3), ("other", 9)])));
}
