//! Goal: empty arrays, duplicates, nil ids and negative numbers get a typed answer in every request (CVE-2026-83525): no panic, no
//! UNKNOWN_SERVER_ERROR, and a connection that lives on.
//! Method: requests that are well formed and make no sense, each followed by a harmless one. What sense they are given where Kafka
//! has a rule is tested with the key that has it.

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteGroupsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    DescribeGroupsRequest, DescribeTopicPartitionsRequest, FetchRequest, FindCoordinatorRequest, HeartbeatRequest,
    InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, ListOffsetsRequest, MetadataRequest,
    OffsetCommitRequest, OffsetFetchRequest, OffsetForLeaderEpochRequest, ProduceRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::Request;
use protocol_tests::batch::Batch;
use protocol_tests::client::Client;
use protocol_tests::frame::{group_id, text, topic_name};
use protocol_tests::server::Server;
use uuid::Uuid;

/// Partition numbers that are none.
const ODD: [i32; 4] = [-1, i32::MIN, i32::MAX, 1];

/// Asks; `codes` are all error codes of the answer.
fn typed<R: Request>(client: &mut Client, version: i16, request: &R, codes: impl Fn(&R::Response) -> Vec<i16>) {
    let response = client.call(version, request);
    for code in codes(&response) {
        assert_ne!(code, -1, "key {} version {version}: UNKNOWN_SERVER_ERROR", R::KEY);
    }
    client.assert_alive("an odd request");
}

#[test]
fn odd_produces_and_fetches() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("odd", 1, &[]);
    let codes = |response: &kafka_protocol::messages::ProduceResponse| -> Vec<i16> {
        response.responses.iter().flat_map(|topic| &topic.partition_responses).map(|partition| partition.error_code).collect()
    };
    let none = PartitionProduceData::default().with_records(None);
    let empty = PartitionProduceData::default();
    let twice = PartitionProduceData::default().with_records(Some(Batch::of(&["x"]).build()));
    let data = vec![
        TopicProduceData::default().with_name(topic_name(&topic.name)).with_topic_id(topic.id),
        TopicProduceData::default().with_name(topic_name("")).with_partition_data(vec![none.clone()]),
        TopicProduceData::default().with_name(topic_name(&topic.name)).with_topic_id(topic.id).with_partition_data(vec![
            none,
            empty,
            twice.clone(),
            twice,
        ]),
    ];
    for version in [3, 9, 12, 13] {
        let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(-1).with_topic_data(data.clone());
        typed(&mut client, version, &request, codes);
        typed(&mut client, version, &request.clone().with_topic_data(Vec::new()), codes);
        typed(&mut client, version, &request.with_transactional_id(Some(text("").into())), codes);
    }
    let codes = |response: &kafka_protocol::messages::FetchResponse| -> Vec<i16> {
        let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.error_code).chain([response.error_code]).collect()
    };
    let partitions: Vec<FetchPartition> =
        ODD.iter().map(|index| FetchPartition::default().with_partition(*index).with_partition_max_bytes(*index)).collect();
    let same = vec![FetchPartition::default(), FetchPartition::default()];
    let topics = vec![
        FetchTopic::default().with_topic(topic_name(&topic.name)).with_topic_id(topic.id).with_partitions(partitions),
        FetchTopic::default().with_topic(topic_name(&topic.name)).with_topic_id(topic.id).with_partitions(same),
        FetchTopic::default(),
    ];
    for version in [4, 7, 12, 13, 18] {
        for (max_wait, min_bytes, max_bytes) in [(-1, -1, -1), (0, 0, 0), (i32::MIN, i32::MAX, i32::MIN)] {
            let request = FetchRequest::default().with_max_wait_ms(max_wait).with_min_bytes(min_bytes).with_max_bytes(max_bytes);
            typed(&mut client, version, &request, codes);
            typed(&mut client, version, &request.clone().with_isolation_level(99), codes);
            let request = request.with_topics(topics.clone());
            typed(&mut client, version, &request, codes);
            if version >= 7 {
                let forgotten = ForgottenTopic::default().with_topic(topic_name("")).with_partitions(ODD.to_vec());
                let request = request.with_session_epoch(0).with_forgotten_topics_data(vec![forgotten]);
                typed(&mut client, version, &request, codes);
                typed(&mut client, version, &request.with_session_id(-5).with_session_epoch(i32::MIN), codes);
            }
        }
    }
}

#[test]
fn odd_questions_about_offsets() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("odd", 1, &[]);
    let codes = |response: &kafka_protocol::messages::ListOffsetsResponse| -> Vec<i16> {
        response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
    };
    let partitions = ODD.iter().flat_map(|index| {
        [i64::MIN, -100, i64::MAX].map(|time| ListOffsetsPartition::default().with_partition_index(*index).with_timestamp(time))
    });
    let topics = vec![
        ListOffsetsTopic::default().with_name(topic_name(&topic.name)).with_partitions(partitions.collect()),
        ListOffsetsTopic::default().with_name(topic_name(&topic.name)),
        ListOffsetsTopic::default().with_partitions(vec![ListOffsetsPartition::default()]),
    ];
    for version in 1..=10 {
        typed(
            &mut client,
            version,
            &ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(topics.clone()),
            codes,
        );
    }
    let codes = |response: &kafka_protocol::messages::OffsetForLeaderEpochResponse| -> Vec<i16> {
        response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
    };
    let partitions = ODD.iter().map(|odd| {
        OffsetForLeaderPartition::default().with_partition(*odd).with_current_leader_epoch(*odd).with_leader_epoch(*odd)
    });
    let topics = vec![
        OffsetForLeaderTopic::default().with_topic(topic_name(&topic.name)).with_partitions(partitions.collect()),
        OffsetForLeaderTopic::default()
            .with_partitions(vec![OffsetForLeaderPartition::default(), OffsetForLeaderPartition::default()]),
    ];
    for version in 2..=4 {
        typed(&mut client, version, &OffsetForLeaderEpochRequest::default().with_topics(topics.clone()), codes);
    }
}

#[test]
fn odd_topics() {
    let server = Server::shared();
    let mut client = server.connect();
    let codes = |response: &kafka_protocol::messages::MetadataResponse| -> Vec<i16> {
        response.topics.iter().map(|topic| topic.error_code).collect()
    };
    for version in [0, 4, 9] {
        let empty = vec![MetadataRequestTopic::default(), MetadataRequestTopic::default()];
        typed(&mut client, version, &MetadataRequest::default().with_topics(Some(empty)), codes);
    }
    for version in 10..=13 {
        let nobody = MetadataRequestTopic::default().with_name(None);
        let topics = vec![
            nobody.clone(),
            nobody.clone(),
            nobody.with_topic_id(Uuid::from_u128(u128::MAX)),
            MetadataRequestTopic::default(),
        ];
        typed(&mut client, version, &MetadataRequest::default().with_topics(Some(topics)), codes);
    }
    let codes = |response: &kafka_protocol::messages::CreateTopicsResponse| -> Vec<i16> {
        response.topics.iter().map(|topic| topic.error_code).collect()
    };
    for version in 2..=7 {
        let topics = vec![
            CreatableTopic::default(),
            CreatableTopic::default().with_num_partitions(i32::MIN).with_replication_factor(i16::MIN),
        ];
        typed(&mut client, version, &CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(-1), codes);
    }
    let codes = |response: &kafka_protocol::messages::DeleteTopicsResponse| -> Vec<i16> {
        response.responses.iter().map(|topic| topic.error_code).collect()
    };
    for version in 1..=5 {
        typed(
            &mut client,
            version,
            &DeleteTopicsRequest::default().with_topic_names(vec![topic_name(""), topic_name("")]),
            codes,
        );
    }
    let states = vec![DeleteTopicState::default().with_name(None), DeleteTopicState::default().with_name(Some(topic_name("")))];
    typed(&mut client, 6, &DeleteTopicsRequest::default().with_topics(states), codes);
    let codes = |response: &kafka_protocol::messages::CreatePartitionsResponse| -> Vec<i16> {
        response.results.iter().map(|topic| topic.error_code).collect()
    };
    for version in 0..=3 {
        let topic = kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic::default().with_count(i32::MIN);
        typed(&mut client, version, &CreatePartitionsRequest::default().with_topics(vec![topic.clone(), topic]), codes);
    }
    let codes = |response: &kafka_protocol::messages::DescribeConfigsResponse| -> Vec<i16> {
        response.results.iter().map(|result| result.error_code).collect()
    };
    let resources: Vec<DescribeConfigsResource> = [i8::MIN, -1, 0, 1, 2, 4, 8, 16, 32, i8::MAX]
        .iter()
        .map(|kind| DescribeConfigsResource::default().with_resource_type(*kind))
        .collect();
    let null = resources.iter().cloned().map(|resource| resource.with_configuration_keys(None)).collect();
    for resources in [resources, null] {
        typed(&mut client, 4, &DescribeConfigsRequest::default().with_resources(resources), codes);
    }
    let codes = |response: &kafka_protocol::messages::DescribeTopicPartitionsResponse| -> Vec<i16> {
        response.topics.iter().map(|topic| topic.error_code).collect()
    };
    for limit in [-1, 0, i32::MIN, i32::MAX] {
        let cursor = Cursor::default().with_topic_name(topic_name("zzz")).with_partition_index(limit);
        let request = DescribeTopicPartitionsRequest::default().with_response_partition_limit(limit);
        let request = request.with_topics(vec![TopicRequest::default(), TopicRequest::default()]);
        typed(&mut client, 0, &request, codes);
        typed(&mut client, 0, &request.with_cursor(Some(cursor)), codes);
    }
}

#[test]
fn odd_group_requests() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("odd", 1, &[]);
    for group in ["", "odd-group"] {
        for number in [i32::MIN, -1, 0, i32::MAX] {
            let join = JoinGroupRequest::default().with_group_id(group_id(group)).with_session_timeout_ms(number);
            typed(&mut client, 9, &join.with_rebalance_timeout_ms(number), |response| vec![response.error_code]);
            let sync = SyncGroupRequest::default().with_group_id(group_id(group)).with_generation_id(number);
            typed(&mut client, 5, &sync, |response| vec![response.error_code]);
            let beat = HeartbeatRequest::default().with_group_id(group_id(group)).with_generation_id(number);
            typed(&mut client, 4, &beat, |response| vec![response.error_code]);
        }
        for version in 0..=5 {
            let leave = LeaveGroupRequest::default().with_group_id(group_id(group));
            let nobody = vec![MemberIdentity::default(), MemberIdentity::default()];
            let leave = if version >= 3 { leave.with_members(nobody) } else { leave };
            typed(&mut client, version, &leave, |response| vec![response.error_code]);
        }
        let partitions = ODD.iter().map(|odd| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(*odd)
                .with_committed_offset(i64::MIN)
                .with_committed_metadata(None)
        });
        let topics = vec![
            OffsetCommitRequestTopic::default().with_name(topic_name(&topic.name)).with_partitions(partitions.collect()),
            OffsetCommitRequestTopic::default(),
            OffsetCommitRequestTopic::default().with_partitions(vec![OffsetCommitRequestPartition::default()]),
        ];
        for version in 2..=9 {
            let commit = OffsetCommitRequest::default().with_group_id(group_id(group)).with_topics(topics.clone());
            typed(&mut client, version, &commit, |response| {
                response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
            });
        }
        let asked = vec![
            OffsetFetchRequestTopics::default().with_name(topic_name(&topic.name)).with_partition_indexes(ODD.to_vec()),
            OffsetFetchRequestTopics::default(),
        ];
        let one = OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(Some(asked));
        let fetch = OffsetFetchRequest::default().with_groups(vec![one.clone(), one.clone().with_topics(None), one]);
        for version in [8, 9] {
            typed(&mut client, version, &fetch, |response| response.groups.iter().map(|group| group.error_code).collect());
            typed(&mut client, version, &OffsetFetchRequest::default(), |response| vec![response.error_code]);
        }
        let twice = vec![group_id(group), group_id(group)];
        for version in 0..=6 {
            let describe = DescribeGroupsRequest::default().with_groups(twice.clone());
            typed(&mut client, version, &describe, |response| response.groups.iter().map(|group| group.error_code).collect());
        }
        for version in 0..=2 {
            let delete = DeleteGroupsRequest::default().with_groups_names(twice.clone());
            typed(&mut client, version, &delete, |response| response.results.iter().map(|group| group.error_code).collect());
        }
        for kind in [i8::MIN, -1, 1, 2, 3, i8::MAX] {
            let find =
                FindCoordinatorRequest::default().with_key_type(kind).with_coordinator_keys(vec![text(group), text(group)]);
            typed(&mut client, 6, &find, |response| response.coordinators.iter().map(|found| found.error_code).collect());
        }
    }
    let list =
        ListGroupsRequest::default().with_states_filter(vec![text(""), text("Nonsense")]).with_types_filter(vec![text("?")]);
    typed(&mut client, 5, &list, |response| vec![response.error_code]);
    for id in [i64::MIN, -2, 0, i64::MAX] {
        let init =
            InitProducerIdRequest::default().with_transactional_id(None).with_producer_id(id.into()).with_producer_epoch(-7);
        typed(&mut client, 5, &init, |response| vec![response.error_code]);
        typed(&mut client, 5, &init.with_transactional_id(Some(text("").into())), |response| vec![response.error_code]);
    }
}
