//! StreamsGroupHeartbeat, key 88, version 0.
//!
//! Behaviour (KIP-1071): a member of a streams group joins with epoch 0 and its topology, says that it lives with the epoch that it was told,
//! and leaves with −1. Null fields mean "as before". The answer brings the member's epoch, the tasks that it may run now if these are new
//! to it, what is wrong with the group (statuses), and who has which partitions, if members have endpoints. Topics that the topology needs
//! for itself are created in the background; why they cannot be is told with the status that they are missing.
//!
//! Version notes: none.
//! `group.coordinator.rebalance.protocols` without `streams`, or `feature.streams.version=0`: UNSUPPORTED_VERSION.
//! Not implemented, as in Kafka 4.3.1: static members, warm-up tasks, sources by regular expression, changes of the topology.

use super::creation_budget::PARTITIONS_PER_REQUEST;
use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::catalog::{NewTopic, check_name, is_internal};
use crate::config::KafkaSettings;
use crate::coordinator::group::messages::{JOINING, LEAVING_FOR_A_WHILE, Refused};
use crate::coordinator::group::records::streams::{CopartitionGroup, Endpoint, Subtopology, TaskSet, Tasks, TopicInfo, Topology};
use crate::coordinator::group::streams::messages::{EndpointPartitions, InternalTopic, Status, StreamsBeat, StreamsHeartbeat};
use crate::wire::streams::{self, TaskIds};
use crate::wire::streams_group_heartbeat::{
    self as wire, EndpointToPartitions, StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// "As before", for the rebalance timeout.
const UNCHANGED: i32 = -1;
/// The largest topology: its record has to fit into one of Kafka's batches there too (`max.message.bytes`), and each part costs a multiple of its
/// bytes in memory.
const TOPOLOGY_BYTES_MAX: usize = 1 << 20;
const SUBTOPOLOGIES_MAX: usize = 10_000;
/// How many wrong names are told at once.
const NAMES_TOLD: usize = 100;
/// How many failures to create topics are told at once.
const FAILURES_TOLD: usize = 3;

pub struct StreamsGroupHeartbeat;

impl Handler for StreamsGroupHeartbeat {
    type Request = StreamsGroupHeartbeatRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(context: Context, request: StreamsGroupHeartbeatRequest) -> Answer<StreamsGroupHeartbeatResponse> {
        if !is_enabled(&context.broker.config.kafka) {
            return Answer::Now(Self::unsupported());
        }
        if let Err((error, why)) = check_topics(&request).and_then(|()| check(&request)) {
            return Answer::Now(refused(error, Some(why)));
        }
        match context.broker.groups.streams_heartbeat(upgrade(&context, request)).await {
            Err(error) => Answer::Now(refused(errors::group::code(&error), None)),
            Ok(pending) => Answer::Later(Box::pin(async move {
                match pending.wait().await {
                    Err(error) => refused(errors::group::code(&error), None),
                    Ok(Err(Refused { error, message })) => refused(errors::group::code(&error), Some(message)),
                    Ok(Ok(mut beat)) => {
                        make_topics(&context, &mut beat);
                        downgrade(beat)
                    }
                }
            })),
        }
    }

    fn unsupported() -> StreamsGroupHeartbeatResponse {
        refused(ResponseError::UnsupportedVersion, None)
    }
}

/// Whether the broker offers streams groups (KafkaApis.isStreamsGroupProtocolEnabled).
pub(super) fn is_enabled(kafka: &KafkaSettings) -> bool {
    kafka.feature_streams_version >= 1 && kafka.group_coordinator_rebalance_protocols.iter().any(|name| name == "streams")
}

type Wrong = (ResponseError, String);

/// Whether the topology's topics have names that topics of applications can have (KafkaApis.handleStreamsGroupHeartbeat).
fn check_topics(request: &StreamsGroupHeartbeatRequest) -> Result<(), Wrong> {
    let Some(topology) = &request.topology else { return Ok(()) };
    let names = || {
        topology.subtopologies.iter().flat_map(|one| {
            let infos = one.repartition_source_topics.iter().chain(&one.state_changelog_topics).map(|info| &info.name);
            one.source_topics.iter().chain(&one.repartition_sink_topics).chain(infos).map(String::as_str)
        })
    };
    let those = |is_wrong: &dyn Fn(&str) -> bool| {
        let mut wrong: Vec<&str> = Vec::new();
        for name in names().filter(|name| is_wrong(name)) {
            if !wrong.contains(&name) && wrong.len() < NAMES_TOLD {
                wrong.push(name);
            }
        }
        wrong.join(",")
    };
    let prohibited = those(&is_internal);
    if !prohibited.is_empty() {
        let why = format!("Use of Kafka internal topics {prohibited} in a Kafka Streams topology is prohibited.");
        return Err((ResponseError::StreamsInvalidTopology, why));
    }
    if names().any(|name| check_name(name).is_err()) {
        let invalid = those(&|name| check_name(name).is_err());
        return Err((ResponseError::StreamsInvalidTopology, format!("Topic names {invalid} are not valid topic names.")));
    }
    Ok(())
}

/// What can be said of the request without looking at the group (GroupCoordinatorService).
fn check(request: &StreamsGroupHeartbeatRequest) -> Result<(), Wrong> {
    let invalid = |why: &str| Err((ResponseError::InvalidRequest, why.to_owned()));
    let is_empty = |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
    let subtopologies = || request.topology.iter().flat_map(|topology| &topology.subtopologies);
    if request.instance_id.is_some() {
        return invalid("Static membership is not yet supported.");
    }
    if request.task_offsets.is_some() {
        return invalid("TaskOffsets are not supported yet.");
    }
    if request.task_end_offsets.is_some() {
        return invalid("TaskEndOffsets are not supported yet.");
    }
    if request.warmup_tasks.as_ref().is_some_and(|tasks| !tasks.is_empty()) {
        return invalid("WarmupTasks are not supported yet.");
    }
    if subtopologies().any(|one| !one.source_topic_regex.is_empty()) {
        return invalid("Regular expressions for source topics are not supported yet.");
    }
    if request.member_id.trim().is_empty() {
        return invalid("MemberId can't be empty.");
    }
    if request.group_id.trim().is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if is_empty(&request.rack_id) {
        return invalid("RackId can't be empty.");
    }
    let tasks = [&request.active_tasks, &request.standby_tasks, &request.warmup_tasks];
    match request.member_epoch {
        JOINING => check_joining(request)?,
        LEAVING_FOR_A_WHILE => return invalid("InstanceId can't be null."),
        epoch if epoch < LEAVING_FOR_A_WHILE => {
            return invalid(&format!("MemberEpoch is {epoch}, but must be greater than or equal to -2."));
        }
        _ => {}
    }
    if tasks.iter().any(|one| one.is_some()) && tasks.iter().any(|one| one.is_none()) {
        return invalid("If one task-type is non-null, all must be non-null.");
    }
    if request.member_epoch != JOINING && request.topology.is_some() {
        return invalid("Topology can only be provided when (re-)joining.");
    }
    Ok(())
}

fn check_joining(request: &StreamsGroupHeartbeatRequest) -> Result<(), Wrong> {
    let invalid = |why: &str| Err((ResponseError::InvalidRequest, why.to_owned()));
    let wrong = |why: String| Err((ResponseError::StreamsInvalidTopology, why));
    if request.rebalance_timeout_ms == UNCHANGED {
        return invalid("RebalanceTimeoutMs must be provided in first request.");
    }
    let has = |tasks: &Option<Vec<TaskIds>>| tasks.as_ref().is_none_or(|tasks| !tasks.is_empty());
    if has(&request.active_tasks) {
        return invalid("ActiveTasks must be empty when (re-)joining.");
    }
    if has(&request.standby_tasks) {
        return invalid("StandbyTasks must be empty when (re-)joining.");
    }
    if has(&request.warmup_tasks) {
        return invalid("WarmupTasks must be empty when (re-)joining.");
    }
    let Some(topology) = &request.topology else { return invalid("Topology must be non-null when (re-)joining.") };
    if topology.epoch < 0 {
        return Err((ResponseError::StreamsInvalidTopologyEpoch, "Topology epoch must be non-negative.".to_owned()));
    }
    if topology.subtopologies.len() > SUBTOPOLOGIES_MAX
        || topology.subtopologies.iter().map(bytes_of).sum::<usize>() > TOPOLOGY_BYTES_MAX
    {
        return wrong(format!(
            "The topology has more than {SUBTOPOLOGIES_MAX} subtopologies, or more than {TOPOLOGY_BYTES_MAX} bytes."
        ));
    }
    let mut ids = BTreeSet::new();
    for subtopology in &topology.subtopologies {
        if !ids.insert(&subtopology.subtopology_id) {
            return wrong(format!("Subtopology {} occurs twice.", subtopology.subtopology_id));
        }
        if let Some(info) = subtopology.state_changelog_topics.iter().find(|info| info.partitions != 0) {
            let (name, partitions) = (&info.name, info.partitions);
            return wrong(format!(
                "Changelog topic {name} must have an undefined partition count, but it is set to {partitions}."
            ));
        }
    }
    Ok(())
}

/// About what a subtopology takes in a record.
fn bytes_of(subtopology: &wire::Subtopology) -> usize {
    let strings = |strings: &[String]| strings.iter().map(|one| one.len() + 1).sum::<usize>();
    let infos = |infos: &[streams::TopicInfo]| {
        let configs =
            |info: &streams::TopicInfo| info.configs.iter().map(|pair| pair.key.len() + pair.value.len() + 3).sum::<usize>();
        infos.iter().map(|info| info.name.len() + configs(info) + 9).sum::<usize>()
    };
    let places = |group: &wire::CopartitionGroup| {
        2 * (group.source_topics.len() + group.source_topic_regex.len() + group.repartition_source_topics.len()) + 4
    };
    subtopology.subtopology_id.len()
        + strings(&subtopology.source_topics)
        + strings(&subtopology.repartition_sink_topics)
        + infos(&subtopology.state_changelog_topics)
        + infos(&subtopology.repartition_source_topics)
        + subtopology.copartition_groups.iter().map(places).sum::<usize>()
        + 8
}

fn upgrade(context: &Context, request: StreamsGroupHeartbeatRequest) -> StreamsHeartbeat {
    let owned = |active: Vec<TaskIds>| Tasks {
        active: task_set(active),
        standby: task_set(request.standby_tasks.unwrap_or_default()),
        warmup: task_set(request.warmup_tasks.unwrap_or_default()),
    };
    StreamsHeartbeat {
        owned: request.active_tasks.map(owned),
        group_id: request.group_id,
        member_id: request.member_id,
        member_epoch: request.member_epoch,
        endpoint_epoch: request.endpoint_information_epoch,
        rack_id: request.rack_id,
        rebalance_timeout_ms: Some(request.rebalance_timeout_ms).filter(|ms| *ms != UNCHANGED),
        topology: request.topology.map(topology),
        process_id: request.process_id,
        endpoint: request.user_endpoint.map(|endpoint| Endpoint { host: endpoint.host, port: endpoint.port }),
        tags: request.client_tags.map(pairs),
        shuts_down: request.shutdown_application,
        client_id: context.client_id.to_string(),
        client_host: context.client_host(),
    }
}

fn task_set(tasks: Vec<TaskIds>) -> TaskSet {
    let mut set = TaskSet::new();
    for TaskIds { subtopology_id, partitions } in tasks {
        if !partitions.is_empty() {
            set.entry(subtopology_id).or_default().extend(partitions);
        }
    }
    set
}

fn pairs(pairs: Vec<streams::KeyValue>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|pair| (pair.key, pair.value)).collect()
}

fn topology(topology: wire::Topology) -> Topology {
    let subtopologies = topology.subtopologies.into_iter().map(|one| {
        let copartition_groups = one.copartition_groups.into_iter().map(|group| CopartitionGroup {
            source_topics: group.source_topics,
            source_expressions: group.source_topic_regex,
            repartition_sources: group.repartition_source_topics,
        });
        let subtopology = Subtopology {
            source_topics: one.source_topics,
            source_expressions: one.source_topic_regex,
            changelog_topics: infos(one.state_changelog_topics),
            repartition_sinks: one.repartition_sink_topics,
            repartition_sources: infos(one.repartition_source_topics),
            copartition_groups: copartition_groups.collect(),
        };
        (one.subtopology_id, subtopology)
    });
    Topology { epoch: topology.epoch, subtopologies: subtopologies.collect() }
}

fn infos(infos: Vec<streams::TopicInfo>) -> Vec<TopicInfo> {
    let info = |info: streams::TopicInfo| TopicInfo {
        name: info.name,
        partitions: info.partitions,
        replication_factor: info.replication_factor,
        configs: pairs(info.configs),
    };
    infos.into_iter().map(info).collect()
}

/// Has the group's missing topics made, and adds to the status why some cannot be.
fn make_topics(context: &Context, beat: &mut StreamsBeat) {
    if beat.missing_topics.is_empty() {
        return;
    }
    let broker = &context.broker;
    let remembered_ms = i64::from(beat.heartbeat_interval_ms).saturating_mul(2);
    let wanted = std::mem::take(&mut beat.missing_topics).into_iter().map(new_topic).collect();
    let failures = broker.streams_topics.make(broker, wanted, PARTITIONS_PER_REQUEST, remembered_ms);
    if failures.is_empty() {
        return;
    }
    let told: Vec<String> = failures.iter().take(FAILURES_TOLD).map(|(topic, why)| format!("{topic} ({why})")).collect();
    let more = match failures.len().saturating_sub(FAILURES_TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    if let Some((_, detail)) = beat.statuses.iter_mut().find(|(status, _)| *status == Status::MissingInternalTopics) {
        detail.push_str(&format!("; Creation failed: {}{more}.", told.join(", ")));
    }
}

fn new_topic(topic: InternalTopic) -> NewTopic {
    NewTopic {
        name: topic.name,
        partitions: topic.partitions,
        replication_factor: topic.replication_factor.unwrap_or(-1),
        overrides: topic.configs,
    }
}

fn downgrade(beat: StreamsBeat) -> StreamsGroupHeartbeatResponse {
    let (active, standby, warmup) = match beat.assignment {
        Some(Tasks { active, standby, warmup }) => (Some(active), Some(standby), Some(warmup)),
        None => (None, None, None),
    };
    let status =
        beat.statuses.into_iter().map(|(status, detail)| wire::Status { status_code: code(status), status_detail: detail });
    StreamsGroupHeartbeatResponse {
        member_id: beat.member_id,
        member_epoch: beat.member_epoch,
        heartbeat_interval_ms: beat.heartbeat_interval_ms,
        status: status.collect(),
        active_tasks: active.map(task_ids),
        standby_tasks: standby.map(task_ids),
        warmup_tasks: warmup.map(task_ids),
        endpoint_information_epoch: beat.endpoint_epoch,
        partitions_by_user_endpoint: beat.endpoints.map(|all| all.into_iter().map(endpoint).collect()),
        ..StreamsGroupHeartbeatResponse::default()
    }
}

/// Source: StreamsGroupHeartbeatResponse.Status.
fn code(status: Status) -> i8 {
    match status {
        Status::StaleTopology => 0,
        Status::MissingSourceTopics => 1,
        Status::IncorrectlyPartitionedTopics => 2,
        Status::MissingInternalTopics => 3,
        Status::ShutdownApplication => 4,
        Status::AssignmentDelayed => 5,
    }
}

pub(super) fn task_ids(tasks: TaskSet) -> Vec<TaskIds> {
    let one = |(subtopology_id, partitions): (String, BTreeSet<i32>)| TaskIds {
        subtopology_id,
        partitions: partitions.into_iter().collect(),
    };
    tasks.into_iter().map(one).collect()
}

fn endpoint(partitions: EndpointPartitions) -> EndpointToPartitions {
    let Endpoint { host, port } = partitions.endpoint;
    EndpointToPartitions {
        user_endpoint: streams::Endpoint { host, port },
        active_partitions: partitions.active,
        standby_partitions: partitions.standby,
    }
}

fn refused(error: ResponseError, why: Option<String>) -> StreamsGroupHeartbeatResponse {
    StreamsGroupHeartbeatResponse { error_code: error.code(), error_message: why, ..StreamsGroupHeartbeatResponse::default() }
}
