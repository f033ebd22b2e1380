//! StreamsGroupDescribe: what a group is, for people and tools.

use super::messages::{DescribedMember, DescribedSubtopology, DescribedTopology, InternalTopic, StreamsDescribed};
use super::topics::Configured;
use super::{Member, Soft, StreamsGroup};
use crate::coordinator::group::records::streams::{TopicInfo, Topology};

impl StreamsGroup {
    #[must_use]
    pub fn describe(&self, soft: &Soft) -> StreamsDescribed {
        // No order is promised. Kafka's is that of a hash table, in which the later of two like ids comes first.
        let members = self.members.iter().rev().map(|(id, member)| {
            let Member { metadata, current } = member;
            DescribedMember {
                member_id: id.to_string(),
                member_epoch: current.epoch,
                instance_id: metadata.instance_id.clone(),
                rack_id: metadata.rack_id.clone(),
                client_id: metadata.client_id.clone(),
                client_host: metadata.client_host.clone(),
                topology_epoch: metadata.topology_epoch,
                process_id: metadata.process_id.clone(),
                endpoint: metadata.endpoint.clone(),
                tags: metadata.tags.clone(),
                assignment: current.assigned.tasks(),
                target: self.target(id),
            }
        });
        let configured = soft.configured.as_ref().filter(|configured| configured.problem.is_none());
        StreamsDescribed {
            state: self.state(),
            epoch: self.epoch.epoch,
            assignment_epoch: self.assignment.epoch,
            topology: configured.map(of_configured).or_else(|| self.topology.as_ref().map(of_topology)),
            members: members.collect(),
        }
    }
}

/// With its partitions counted.
fn of_configured(configured: &Configured) -> DescribedTopology {
    let subtopologies = configured.subtopologies.iter().map(|(id, part)| DescribedSubtopology {
        id: id.clone(),
        source_topics: part.source_topics.iter().cloned().collect(),
        repartition_sinks: part.repartition_sinks.iter().cloned().collect(),
        changelog_topics: part.changelogs.values().cloned().collect(),
        repartition_sources: part.repartition_sources.values().cloned().collect(),
    });
    DescribedTopology { epoch: configured.topology_epoch, subtopologies: subtopologies.collect() }
}

/// As the application brought it.
fn of_topology(topology: &Topology) -> DescribedTopology {
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort_unstable();
        names
    };
    let subtopologies = topology.subtopologies.iter().map(|(id, subtopology)| DescribedSubtopology {
        id: id.clone(),
        source_topics: sorted(&subtopology.source_topics),
        repartition_sinks: sorted(&subtopology.repartition_sinks),
        changelog_topics: infos(&subtopology.changelog_topics),
        repartition_sources: infos(&subtopology.repartition_sources),
    });
    DescribedTopology { epoch: topology.epoch, subtopologies: subtopologies.collect() }
}

fn infos(infos: &[TopicInfo]) -> Vec<InternalTopic> {
    let mut topics: Vec<_> = infos
        .iter()
        .map(|info| InternalTopic {
            name: info.name.clone(),
            partitions: info.partitions,
            replication_factor: Some(info.replication_factor),
            configs: info.configs.clone(),
        })
        .collect();
    topics.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    topics
}
