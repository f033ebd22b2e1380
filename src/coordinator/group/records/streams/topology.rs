//! The topology of a streams application, as its group's record has it.
//!
//! ```text
//! epoch i32 | subtopologies []: id string | source topics []string | source expressions []string | changelog topics []info
//!           | repartition sinks []string | repartition sources []info | copartition groups [](sources []i16, expressions []i16, repartition sources []i16)
//! info: name string | partitions i32 | replication factor i16 | configs [](key string, value string)
//! ```

use super::{read_pairs, write_pairs};
use crate::coordinator::MalformedRecord;
use crate::coordinator::group::records::fields::value;
use crate::coordinator::wire::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What an application reads, writes and keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    pub epoch: i32,
    /// By id.
    pub subtopologies: BTreeMap<String, Subtopology>,
}

/// A part of a topology whose tasks run on their own: parts are joined by repartition topics only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subtopology {
    pub source_topics: Vec<String>,
    /// None is taken by Kafka 4.3 yet.
    pub source_expressions: Vec<String>,
    pub changelog_topics: Vec<TopicInfo>,
    pub repartition_sinks: Vec<String>,
    pub repartition_sources: Vec<TopicInfo>,
    pub copartition_groups: Vec<CopartitionGroup>,
}

/// A topic that the broker makes for the application.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicInfo {
    pub name: String,
    /// 0: as many as follow from other topics.
    pub partitions: i32,
    /// 0: the default.
    pub replication_factor: i16,
    pub configs: BTreeMap<String, String>,
}

/// Topics that must have equally many partitions: places in the lists of their subtopology.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopartitionGroup {
    pub source_topics: Vec<i16>,
    pub source_expressions: Vec<i16>,
    pub repartition_sources: Vec<i16>,
}

impl Topology {
    /// The topics that have to exist before anything can run (StreamsTopology.requiredTopics).
    #[must_use]
    pub fn required_topics(&self) -> BTreeSet<&str> {
        self.subtopologies.values().flat_map(|one| one.sources().chain(one.changelogs())).collect()
    }

    /// By topic, the subtopology that reads it.
    #[must_use]
    pub fn readers(&self) -> HashMap<String, String> {
        let of_part =
            |(id, part): (&String, &Subtopology)| part.sources().map(|topic| (topic.to_owned(), id.clone())).collect::<Vec<_>>();
        self.subtopologies.iter().flat_map(of_part).collect()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = value();
        out.i32(self.epoch);
        out.array_length(self.subtopologies.len());
        for (id, subtopology) in &self.subtopologies {
            out.string(id);
            write_strings(&mut out, &subtopology.source_topics);
            write_strings(&mut out, &subtopology.source_expressions);
            write_infos(&mut out, &subtopology.changelog_topics);
            write_strings(&mut out, &subtopology.repartition_sinks);
            write_infos(&mut out, &subtopology.repartition_sources);
            out.array_length(subtopology.copartition_groups.len());
            for group in &subtopology.copartition_groups {
                for places in [&group.source_topics, &group.source_expressions, &group.repartition_sources] {
                    out.array_length(places.len());
                    places.iter().for_each(|place| out.i16(*place));
                }
                out.tagged(&[]);
            }
            out.tagged(&[]);
        }
        out.tagged(&[]);
        out.into_bytes()
    }

    pub(super) fn decode(fields: &mut Reader) -> Result<Topology, MalformedRecord> {
        let mut topology = Topology { epoch: fields.i32()?, subtopologies: BTreeMap::new() };
        for _ in 0..fields.array_length()? {
            let id = fields.string()?;
            let subtopology = Subtopology {
                source_topics: read_strings(fields)?,
                source_expressions: read_strings(fields)?,
                changelog_topics: read_infos(fields)?,
                repartition_sinks: read_strings(fields)?,
                repartition_sources: read_infos(fields)?,
                copartition_groups: read_groups(fields)?,
            };
            fields.tagged()?;
            topology.subtopologies.insert(id, subtopology);
        }
        fields.tagged()?;
        Ok(topology)
    }
}

impl Subtopology {
    /// Every topic that it reads.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.source_topics.iter().map(String::as_str).chain(self.repartition_sources.iter().map(|info| info.name.as_str()))
    }

    fn changelogs(&self) -> impl Iterator<Item = &str> {
        self.changelog_topics.iter().map(|info| info.name.as_str())
    }
}

fn write_strings(out: &mut Writer, strings: &[String]) {
    out.array_length(strings.len());
    strings.iter().for_each(|string| out.string(string));
}

fn read_strings(fields: &mut Reader) -> Result<Vec<String>, MalformedRecord> {
    (0..fields.array_length()?).map(|_| fields.string()).collect()
}

fn write_infos(out: &mut Writer, infos: &[TopicInfo]) {
    out.array_length(infos.len());
    for info in infos {
        out.string(&info.name);
        out.i32(info.partitions);
        out.i16(info.replication_factor);
        write_pairs(out, info.configs.iter());
        out.tagged(&[]);
    }
}

fn read_infos(fields: &mut Reader) -> Result<Vec<TopicInfo>, MalformedRecord> {
    let mut infos = Vec::new();
    for _ in 0..fields.array_length()? {
        infos.push(TopicInfo {
            name: fields.string()?,
            partitions: fields.i32()?,
            replication_factor: fields.i16()?,
            configs: read_pairs(fields)?.into_iter().collect(),
        });
        fields.tagged()?;
    }
    Ok(infos)
}

fn read_groups(fields: &mut Reader) -> Result<Vec<CopartitionGroup>, MalformedRecord> {
    let mut groups = Vec::new();
    for _ in 0..fields.array_length()? {
        let mut places = || -> Result<Vec<i16>, MalformedRecord> { (0..fields.array_length()?).map(|_| fields.i16()).collect() };
        let group = CopartitionGroup { source_topics: places()?, source_expressions: places()?, repartition_sources: places()? };
        fields.tagged()?;
        groups.push(group);
    }
    Ok(groups)
}
