//! A topology held against the topics that exist: how many tasks each part has, which topics the broker has to make and with how many
//! partitions, and what is wrong. Pure.
//!
//! A subtopology has as many tasks as the largest of its sources has partitions, and its changelogs as many partitions. A repartition topic
//! has as many as whoever writes it has tasks, unless the application says how many, or [`copartition`] makes it follow others.
//! Source: InternalTopicManager, RepartitionTopics, ChangelogTopics.

use super::copartition;
use super::messages::{InternalTopic, Status};
use crate::catalog::Snapshot;
use crate::coordinator::group::records::streams::{Subtopology, TopicInfo, Topology};
use std::collections::{BTreeMap, BTreeSet};

/// The most tasks of an application: all of them are held in memory and assigned in one go. (Kafka knows no bound.)
const TASKS_MAX: i64 = 100_000;
/// Topics that are named in a message; the others are counted.
const NAMED_MAX: usize = 3;

/// What a topology comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Configured {
    pub topology_epoch: i32,
    /// Of the topics that it was held against: see [`hash`].
    pub metadata_hash: i64,
    /// By id; empty when partitions could not be counted.
    pub subtopologies: BTreeMap<String, Part>,
    /// What the broker has to make, by name.
    pub missing: BTreeMap<String, InternalTopic>,
    /// Why no task can run yet.
    pub problem: Option<(Status, String)>,
}

/// A subtopology.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub tasks: i32,
    pub source_topics: BTreeSet<String>,
    pub repartition_sinks: BTreeSet<String>,
    pub repartition_sources: BTreeMap<String, InternalTopic>,
    pub changelogs: BTreeMap<String, InternalTopic>,
}

/// Why a topology is not configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It waits for somebody to create or change topics.
    Topics(Status, String),
    /// It cannot be of any application.
    Topology(String),
}

/// Partitions of topics: as they are, or else as they were decided on.
pub(super) struct Counts<'a> {
    catalog: &'a Snapshot,
    decided: BTreeMap<String, i32>,
}

impl Counts<'_> {
    pub fn of(&self, topic: &str) -> Option<i32> {
        self.existing(topic).or_else(|| self.decided.get(topic).copied())
    }

    /// # Errors
    /// The topic has no number: nobody writes it.
    pub fn expect(&self, topic: &str) -> Result<i32, Wrong> {
        self.of(topic).ok_or_else(|| Wrong::Topology(format!("Number of partitions is not set for topic: {topic}")))
    }

    pub fn decide(&mut self, topic: &str, partitions: i32) {
        self.decided.insert(topic.to_owned(), partitions);
    }

    fn existing(&self, topic: &str) -> Option<i32> {
        let topic = self.catalog.topics.get(topic)?;
        Some(i32::try_from(topic.logs.len()).unwrap_or(i32::MAX))
    }
}

/// Changes when a topic of the topology comes, goes or grows. Of those that exist: id and number of partitions (FNV-1a, 64 bits).
#[must_use]
pub(super) fn hash(topology: &Topology, catalog: &Snapshot) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut is_any = false;
    for topic in topology.required_topics().into_iter().filter_map(|name| catalog.topics.get(name)) {
        is_any = true;
        for byte in topic.id.0.as_bytes().iter().copied().chain(topic.logs.len().to_be_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    if is_any { hash.cast_signed() } else { 0 }
}

impl Configured {
    /// # Errors
    /// Why the topology cannot be one, in Kafka's words where it has some.
    pub fn of(topology: &Topology, metadata_hash: i64, catalog: &Snapshot) -> Result<Configured, String> {
        let mut configured = Configured {
            topology_epoch: topology.epoch,
            metadata_hash,
            subtopologies: BTreeMap::new(),
            missing: BTreeMap::new(),
            problem: None,
        };
        match configured.fill(topology, catalog) {
            Ok(()) => {}
            Err(Wrong::Topics(status, detail)) => {
                configured.subtopologies.clear();
                configured.missing.clear();
                configured.problem = Some((status, detail));
            }
            Err(Wrong::Topology(message)) => return Err(message),
        }
        Ok(configured)
    }

    /// The subtopologies, if tasks of them can run.
    #[must_use]
    pub fn ready(&self) -> Option<&BTreeMap<String, Part>> {
        self.problem.is_none().then_some(&self.subtopologies)
    }

    fn fill(&mut self, topology: &Topology, catalog: &Snapshot) -> Result<(), Wrong> {
        check_sources(topology, catalog)?;
        let mut counts = Counts { catalog, decided: BTreeMap::new() };
        count_repartition_topics(topology, &mut counts)?;
        copartition::enforce(topology, &mut counts)?;
        for (id, subtopology) in &topology.subtopologies {
            let tasks = tasks(id, subtopology, &counts)?;
            subtopology.changelog_topics.iter().for_each(|info| counts.decide(&info.name, tasks));
        }
        for (id, subtopology) in &topology.subtopologies {
            self.subtopologies.insert(id.clone(), part(id, subtopology, &counts)?);
        }
        let all: i64 = self.subtopologies.values().map(|part| i64::from(part.tasks)).sum();
        if all > TASKS_MAX {
            return Err(Wrong::Topology(format!("The topology has {all} tasks; {TASKS_MAX} are the most.")));
        }
        let parts = self.subtopologies.values();
        let internal = parts.flat_map(|part| part.repartition_sources.values().chain(part.changelogs.values()));
        self.missing = internal.map(|topic| (topic.name.clone(), topic.clone())).collect();
        for topic in topology.required_topics() {
            let Some(found) = counts.existing(topic) else { continue };
            let Some(InternalTopic { partitions: expected, .. }) = self.missing.remove(topic) else { continue };
            if expected != found {
                return Err(incorrect(format!(
                    "Existing topic {topic} has different number of partitions: expected {expected}, found {found}"
                )));
            }
        }
        if !self.missing.is_empty() {
            let detail = format!("Internal topics are missing: {}", summary(self.missing.keys()));
            self.problem = Some((Status::MissingInternalTopics, detail));
        }
        Ok(())
    }
}

pub(super) fn incorrect(detail: String) -> Wrong {
    Wrong::Topics(Status::IncorrectlyPartitionedTopics, detail)
}

fn check_sources(topology: &Topology, catalog: &Snapshot) -> Result<(), Wrong> {
    let sources = topology.subtopologies.values().flat_map(|subtopology| &subtopology.source_topics);
    let missing: BTreeSet<&String> = sources.filter(|topic| !catalog.topics.contains_key(*topic)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let detail = format!("Source topics {} are missing.", summary(missing.into_iter()));
    Err(Wrong::Topics(Status::MissingSourceTopics, detail))
}

fn summary<'a>(topics: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = topics.len().saturating_sub(NAMED_MAX);
    let named = topics.take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} and {more} additional topics") } else { named }
}

/// Decides on each repartition topic: what the application says, or else what its writer comes to as soon as one of the topics that it
/// reads is decided on, which may be such a topic itself.
fn count_repartition_topics(topology: &Topology, counts: &mut Counts) -> Result<(), Wrong> {
    let parts: Vec<&Subtopology> = topology.subtopologies.values().collect();
    let mut decided: BTreeMap<&str, i32> = BTreeMap::new();
    let mut readers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, info) in
        parts.iter().enumerate().flat_map(|(index, part)| part.repartition_sources.iter().map(move |info| (index, info)))
    {
        readers.entry(&info.name).or_default().push(index);
        if info.partitions != 0 {
            decided.insert(&info.name, info.partitions);
        }
    }
    // Each part is looked at once, and again when a topic that it reads is decided on, but never after its own are.
    let mut waiting: BTreeSet<usize> = (0..parts.len()).collect();
    let mut settled = vec![false; parts.len()];
    let mut from = 0;
    while let Some(index) = waiting.range(from..).next().or_else(|| waiting.first()).copied() {
        waiting.remove(&index);
        from = index + 1;
        if settled[index] {
            continue;
        }
        let part = parts[index];
        let repartitioned = part.repartition_sources.iter().filter_map(|info| decided.get(info.name.as_str()).copied());
        let external = part.source_topics.iter().filter_map(|topic| counts.of(topic));
        let Some(partitions) = repartitioned.chain(external).max() else { continue };
        settled[index] = true;
        for sink in &part.repartition_sinks {
            if !decided.contains_key(sink.as_str()) {
                decided.insert(sink, partitions);
                waiting.extend(readers.get(sink.as_str()).into_iter().flatten());
            }
        }
    }
    let wrong =
        |why: &str| Err(Wrong::Topology(format!("Failed to compute number of partitions for all repartition topics{why}")));
    if parts.iter().flat_map(|part| &part.repartition_sinks).any(|sink| !decided.contains_key(sink.as_str())) {
        return wrong(". There may be loops in the topology that cannot be resolved.");
    }
    if readers.keys().any(|topic| !decided.contains_key(topic)) {
        return wrong(", because a repartition source topic is never used as a sink topic.");
    }
    decided.into_iter().for_each(|(topic, partitions)| counts.decide(topic, partitions));
    Ok(())
}

fn tasks(id: &str, subtopology: &Subtopology, counts: &Counts) -> Result<i32, Wrong> {
    let mut tasks = None;
    for topic in subtopology.sources() {
        tasks = tasks.max(Some(counts.expect(topic)?));
    }
    tasks.ok_or_else(|| Wrong::Topology(format!("No source topics found for subtopology {id}")))
}

fn part(id: &str, subtopology: &Subtopology, counts: &Counts) -> Result<Part, Wrong> {
    let internal = |infos: &[TopicInfo]| -> Result<BTreeMap<String, InternalTopic>, Wrong> {
        infos.iter().map(|info| Ok((info.name.clone(), internal_topic(info, counts)?))).collect()
    };
    Ok(Part {
        tasks: tasks(id, subtopology, counts)?,
        source_topics: subtopology.source_topics.iter().cloned().collect(),
        repartition_sinks: subtopology.repartition_sinks.iter().cloned().collect(),
        repartition_sources: internal(&subtopology.repartition_sources)?,
        changelogs: internal(&subtopology.changelog_topics)?,
    })
}

fn internal_topic(info: &TopicInfo, counts: &Counts) -> Result<InternalTopic, Wrong> {
    let decided = || counts.decided.get(&info.name).copied().unwrap_or_default();
    let partitions = if info.partitions == 0 { decided() } else { info.partitions };
    if partitions < 1 {
        return Err(Wrong::Topology(format!("Number of partitions must be at least 1 for topic {}.", info.name)));
    }
    Ok(InternalTopic {
        name: info.name.clone(),
        partitions,
        replication_factor: Some(info.replication_factor).filter(|factor| *factor != 0),
        configs: info.configs.clone(),
    })
}

#[cfg(test)]
mod tests;
