//! Topics that are joined must have equally many partitions. Repartition topics without a number of their own follow the others; where
//! all are repartition topics, the largest. Source: CopartitionedTopicsEnforcer.

use super::topics::{Counts, Wrong, incorrect};
use crate::coordinator::group::records::streams::{Subtopology, Topology};
use std::collections::{BTreeMap, BTreeSet};

/// Decides anew on the repartition topics of each group of topics that must fit together.
///
/// # Errors
/// Topics that do not fit, or a topology that contradicts itself.
pub(super) fn enforce(topology: &Topology, counts: &mut Counts) -> Result<(), Wrong> {
    let sources = topology.subtopologies.values().flat_map(|subtopology| &subtopology.repartition_sources);
    let (mut fixed, mut flexible) = (BTreeSet::new(), BTreeSet::new());
    for info in sources {
        let side = if info.partitions != 0 { &mut fixed } else { &mut flexible };
        side.insert(info.name.as_str());
    }
    let mut agreed = None;
    for subtopology in topology.subtopologies.values() {
        for group in groups(subtopology)? {
            enforce_group(&group, &fixed, &flexible, &mut agreed, counts)?;
        }
    }
    Ok(())
}

/// The groups of a subtopology, by name.
fn groups(subtopology: &Subtopology) -> Result<Vec<BTreeSet<&str>>, Wrong> {
    let wrong = || Wrong::Topology("A copartition group names a topic that its subtopology does not have.".to_owned());
    let at = |place: i16| usize::try_from(place).map_err(|_| wrong());
    let mut groups = Vec::new();
    for group in &subtopology.copartition_groups {
        let mut topics = BTreeSet::new();
        for place in &group.source_topics {
            topics.insert(subtopology.source_topics.get(at(*place)?).ok_or_else(wrong)?.as_str());
        }
        for place in &group.repartition_sources {
            topics.insert(subtopology.repartition_sources.get(at(*place)?).ok_or_else(wrong)?.name.as_str());
        }
        groups.push(topics);
    }
    Ok(groups)
}

/// `agreed`: how many partitions all topics with a fixed number have, once that was looked at.
fn enforce_group(
    group: &BTreeSet<&str>,
    fixed: &BTreeSet<&str>,
    flexible: &BTreeSet<&str>,
    agreed: &mut Option<i32>,
    counts: &mut Counts,
) -> Result<(), Wrong> {
    if group.is_empty() {
        return Ok(());
    }
    let (mut repartition, mut external) = (BTreeMap::new(), BTreeMap::new());
    for topic in group {
        let side = if fixed.contains(topic) || flexible.contains(topic) { &mut repartition } else { &mut external };
        side.insert(*topic, counts.expect(topic)?);
    }
    let partitions = match external.values().next() {
        Some(first) => {
            check_alike(&external, *first, &external)?;
            *first
        }
        // As Kafka, all topics of the topology whose number is fixed have to agree, in this group or not.
        None if !fixed.is_empty() => {
            let known = match *agreed {
                Some(known) => known,
                None => agree(fixed, &repartition, counts)?,
            };
            *agreed = Some(known);
            known
        }
        None => match repartition.values().max() {
            Some(largest) => *largest,
            None => return Ok(()),
        },
    };
    for (topic, own) in &repartition {
        if fixed.contains(topic) && *own != partitions {
            return Err(incorrect(format!(
                "Number of partitions [{own}] of repartition topic [{topic}] doesn't match number of partitions [{partitions}] of the source topic."
            )));
        }
        counts.decide(topic, partitions);
    }
    Ok(())
}

/// How many partitions all of `fixed` have.
fn agree(fixed: &BTreeSet<&str>, shown: &BTreeMap<&str, i32>, counts: &Counts) -> Result<i32, Wrong> {
    let mut of_fixed = BTreeMap::new();
    for topic in fixed {
        of_fixed.insert(*topic, counts.expect(topic)?);
    }
    let first = of_fixed.values().next().copied().unwrap_or_default();
    check_alike(&of_fixed, first, shown)?;
    Ok(first)
}

/// Whether all of `topics` have `first` partitions; `shown` is what a message names.
fn check_alike(topics: &BTreeMap<&str, i32>, first: i32, shown: &BTreeMap<&str, i32>) -> Result<(), Wrong> {
    if topics.values().all(|partitions| *partitions == first) {
        return Ok(());
    }
    let shown: Vec<String> = shown.iter().map(|(topic, partitions)| format!("{topic}={partitions}")).collect();
    Err(incorrect(format!("Following topics do not have the same number of partitions: [{{{}}}]", shown.join(", "))))
}
