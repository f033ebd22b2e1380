//! Which topic partitions are behind the tasks of each process, so that an application can send interactive queries to the right one.
//! Source: EndpointToPartitionsManager.

use super::StreamsGroup;
use super::messages::EndpointPartitions;
use super::topics::{Configured, Part};
use crate::catalog::Snapshot;
use crate::coordinator::group::records::streams::TaskSet;
use std::collections::BTreeMap;

/// Of every member that has an endpoint. While partitions are not counted yet, nobody has any.
#[must_use]
pub(super) fn of(group: &StreamsGroup, configured: Option<&Configured>, catalog: &Snapshot) -> Vec<EndpointPartitions> {
    let none = BTreeMap::new();
    let parts = configured.map_or(&none, |configured| &configured.subtopologies);
    let members = group.members.values().filter_map(|member| {
        let endpoint = member.metadata.endpoint.clone()?;
        let tasks = member.current.assigned.tasks();
        let active = partitions_of(&tasks.active, parts, catalog);
        Some(EndpointPartitions { endpoint, active, standby: partitions_of(&tasks.standby, parts, catalog) })
    });
    members.collect()
}

/// By topic: a task reads its partition of every topic that has so many.
fn partitions_of(tasks: &TaskSet, parts: &BTreeMap<String, Part>, catalog: &Snapshot) -> Vec<(String, Vec<i32>)> {
    let mut topics = Vec::new();
    for (id, partitions) in tasks {
        let Some(part) = parts.get(id) else { continue };
        for name in part.source_topics.iter().chain(part.repartition_sources.keys()) {
            let Some(topic) = catalog.topics.get(name) else { continue };
            let own = partitions.iter().copied().filter(|partition| topic.has(*partition)).collect();
            topics.push((name.clone(), own));
        }
    }
    topics
}
