//! StreamsGroupDescribe, key 89, version 0.
//!
//! Behaviour (KIP-1071): a streams group with its epochs and its topology, and each member with the tasks that it runs and those that it should. While the
//! topology's topics are all there, its own topics are shown with as many partitions as they have; before, as the application asked for them.
//!
//! Version notes: none.
//! A group that the request names twice is answered once.
//! Not implemented: nothing.

use super::errors::{self, NONE, ResponseError};
use super::repeated::once_each;
use super::streams_group_heartbeat::{is_enabled, task_ids};
use super::{Answer, Context, Handler, operations};
use crate::coordinator::group::GroupError;
use crate::coordinator::group::messages::Refused;
use crate::coordinator::group::records::streams::Tasks;
use crate::coordinator::group::streams::messages::{DescribedMember, DescribedTopology, InternalTopic, StreamsDescribed};
use crate::wire::streams::{Endpoint, KeyValue, TopicInfo};
use crate::wire::streams_group_describe::{
    Assignment, DescribedGroup, Member, StreamsGroupDescribeRequest, StreamsGroupDescribeResponse, Subtopology, Topology,
};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// "Not asked for", of the operations that the client may perform.
const NO_OPERATIONS: i32 = i32::MIN;

pub struct StreamsGroupDescribe;

impl Handler for StreamsGroupDescribe {
    type Request = StreamsGroupDescribeRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(context: Context, request: StreamsGroupDescribeRequest) -> Answer<StreamsGroupDescribeResponse> {
        if !is_enabled(&context.broker.config.kafka) {
            let groups = request.group_ids.into_iter().map(|id| refused(id, ResponseError::UnsupportedVersion, None));
            return Answer::Now(StreamsGroupDescribeResponse { groups: groups.collect() });
        }
        let allowed = operations::if_asked(request.include_authorized_operations, operations::GROUP);
        let asked = once_each(request.group_ids, Clone::clone);
        let mut pending = Vec::with_capacity(asked.len());
        for id in asked {
            let answer = match id.is_empty() {
                true => Err(GroupError::InvalidGroupId),
                false => context.broker.groups.streams_describe(id.clone()).await,
            };
            pending.push((id, answer));
        }
        Answer::Later(Box::pin(async move {
            let mut groups = Vec::with_capacity(pending.len());
            for (id, answer) in pending {
                let described = match answer {
                    Ok(answer) => answer.wait().await,
                    Err(error) => Err(error),
                };
                groups.push(match described {
                    Ok(Ok(group)) => downgrade(id, group, allowed),
                    Ok(Err(Refused { error, message })) => refused(id, errors::group::code(&error), Some(message)),
                    Err(error) => refused(id, errors::group::code(&error), None),
                });
            }
            StreamsGroupDescribeResponse { groups }
        }))
    }

    fn unsupported() -> StreamsGroupDescribeResponse {
        StreamsGroupDescribeResponse::default()
    }
}

fn refused(group_id: String, error: ResponseError, error_message: Option<String>) -> DescribedGroup {
    DescribedGroup {
        error_code: error.code(),
        error_message,
        group_id,
        group_state: String::new(),
        group_epoch: 0,
        assignment_epoch: 0,
        topology: None,
        members: Vec::new(),
        authorized_operations: NO_OPERATIONS,
    }
}

fn downgrade(group_id: String, group: StreamsDescribed, authorized_operations: i32) -> DescribedGroup {
    DescribedGroup {
        error_code: NONE,
        error_message: None,
        group_id,
        group_state: group.state.to_owned(),
        group_epoch: group.epoch,
        assignment_epoch: group.assignment_epoch,
        topology: group.topology.map(topology),
        members: group.members.into_iter().map(member).collect(),
        authorized_operations,
    }
}

fn topology(topology: DescribedTopology) -> Topology {
    let infos = |topics: Vec<InternalTopic>| topics.into_iter().map(info).collect();
    let subtopologies = topology.subtopologies.into_iter().map(|one| Subtopology {
        subtopology_id: one.id,
        source_topics: one.source_topics,
        repartition_sink_topics: one.repartition_sinks,
        state_changelog_topics: infos(one.changelog_topics),
        repartition_source_topics: infos(one.repartition_sources),
    });
    Topology { epoch: topology.epoch, subtopologies: subtopologies.collect() }
}

fn info(topic: InternalTopic) -> TopicInfo {
    let InternalTopic { name, partitions, replication_factor, configs } = topic;
    TopicInfo { name, partitions, replication_factor: replication_factor.unwrap_or(0), configs: pairs(configs) }
}

fn pairs(pairs: BTreeMap<String, String>) -> Vec<KeyValue> {
    pairs.into_iter().map(|(key, value)| KeyValue { key, value }).collect()
}

fn member(member: DescribedMember) -> Member {
    Member {
        member_id: member.member_id,
        member_epoch: member.member_epoch,
        instance_id: member.instance_id,
        rack_id: member.rack_id,
        client_id: member.client_id,
        client_host: member.client_host,
        topology_epoch: member.topology_epoch,
        process_id: member.process_id,
        user_endpoint: member.endpoint.map(|endpoint| Endpoint { host: endpoint.host, port: endpoint.port }),
        client_tags: pairs(member.tags),
        assignment: assignment(member.assignment),
        target_assignment: assignment(member.target),
    }
}

fn assignment(tasks: Tasks) -> Assignment {
    Assignment {
        active_tasks: task_ids(tasks.active),
        standby_tasks: task_ids(tasks.standby),
        warmup_tasks: task_ids(tasks.warmup),
    }
}
