//! Goal: offsets by topic id (OffsetCommit and OffsetFetch 10), and offsets that are forgotten (OffsetDelete).
//! Method: raw requests, error paths first.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::OffsetDeleteRequest;
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use protocol_tests::client::Client;
use protocol_tests::frame::{group_id, topic_name};
use protocol_tests::groups::Member;
use protocol_tests::server::Server;
use protocol_tests::topic_ids::{CommitById, FetchById, VERSION};
use protocol_tests::topics::unique;
use uuid::Uuid;

fn commit(client: &mut Client, group: &str, topic: Uuid, offsets: &[(i32, i64)]) -> Vec<Option<ResponseError>> {
    let request =
        CommitById { group: group.to_owned(), member_epoch: -1, topic, offsets: offsets.to_vec(), ..CommitById::default() };
    let response = client.call(VERSION, &request);
    assert_eq!((response.topics[0].topic_id, response.topics[0].name.as_str()), (topic, ""));
    response.topics[0].partitions.iter().map(|partition| partition.error_code.err()).collect()
}

fn fetch(
    client: &mut Client,
    group: &str,
    topics: Option<Vec<(Uuid, Vec<i32>)>>,
) -> Vec<(Uuid, i32, i64, Option<ResponseError>)> {
    let request = FetchById { group: group.to_owned(), member: None, topics };
    let mut response = client.call(VERSION, &request);
    let group = response.groups.remove(0);
    assert_eq!(group.error_code.err(), None);
    let rows = group.topics.into_iter().flat_map(|topic| {
        let row = move |one: kafka_protocol::messages::offset_fetch_response::OffsetFetchResponsePartitions| {
            (topic.topic_id, one.partition_index, one.committed_offset, one.error_code.err())
        };
        topic.partitions.into_iter().map(row)
    });
    rows.collect()
}

/// The top-level error, and the errors of the partitions.
fn delete(
    client: &mut Client,
    group: &str,
    topic: &str,
    partitions: &[i32],
) -> (Option<ResponseError>, Vec<Option<ResponseError>>) {
    let partitions = partitions.iter().map(|index| OffsetDeleteRequestPartition::default().with_partition_index(*index));
    let topic = OffsetDeleteRequestTopic::default().with_name(topic_name(topic)).with_partitions(partitions.collect());
    let response = client.call(0, &OffsetDeleteRequest::default().with_group_id(group_id(group)).with_topics(vec![topic]));
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    (response.error_code.err(), partitions.map(|partition| partition.error_code.err()).collect())
}

#[test]
fn unknown_ids_are_told_from_unknown_partitions() {
    let server = Server::shared();
    let mut client = server.connect();
    let (group, topic) = (unique("group"), client.create_topic("offsets", 2, &[]));
    let nobody = Uuid::from_u128(77);
    assert_eq!(commit(&mut client, &group, nobody, &[(0, 1)]), [Some(ResponseError::UnknownTopicId)]);
    assert_eq!(commit(&mut client, &group, topic.id, &[(0, 5), (9, 1)]), [None, Some(ResponseError::UnknownTopicOrPartition)]);
    let fetched = fetch(&mut client, &group, Some(vec![(nobody, vec![3]), (topic.id, vec![0, 1])]));
    assert_eq!(fetched, [(topic.id, 0, 5, None), (topic.id, 1, -1, None), (nobody, 3, -1, Some(ResponseError::UnknownTopicId))]);
}

#[test]
fn a_topic_that_was_created_anew_does_not_inherit_offsets() {
    let server = Server::shared();
    let mut client = server.connect();
    let (group, old) = (unique("group"), client.create_topic("offsets", 1, &[]));
    assert_eq!(commit(&mut client, &group, old.id, &[(0, 5)]), [None]);
    client.delete_topic(&old);
    assert_eq!(commit(&mut client, &group, old.id, &[(0, 6)]), [Some(ResponseError::UnknownTopicId)]);
    assert_eq!(fetch(&mut client, &group, None), [], "a topic that is gone has no id to be named by");
    let new = client.create_topic_named(&old.name, 1, &[]);
    assert_ne!(new.id, old.id);
    assert_eq!(fetch(&mut client, &group, Some(vec![(new.id, vec![0])])), [(new.id, 0, -1, None)]);
    assert_eq!(commit(&mut client, &group, new.id, &[(0, 1)]), [None]);
    assert_eq!(fetch(&mut client, &group, None), [(new.id, 0, 1, None)]);
}

#[test]
fn offsets_that_cannot_be_forgotten_say_why() {
    let server = Server::shared();
    let mut client = server.connect();
    let (group, topic) = (unique("group"), client.create_topic("offsets", 2, &[]).name);
    client.find_coordinator(&group);
    assert_eq!(delete(&mut client, "", &topic, &[0]).0, Some(ResponseError::InvalidGroupId));
    assert_eq!(delete(&mut client, &group, &topic, &[0]).0, Some(ResponseError::GroupIdNotFound));
    client.committed(&group, &topic, 0, 5);
    let unknown = Some(ResponseError::UnknownTopicOrPartition);
    assert_eq!(delete(&mut client, &group, &unique("unknown"), &[0]), (None, vec![unknown]));
    assert_eq!(delete(&mut client, &group, &topic, &[2, 1]), (None, vec![unknown, None]), "nothing to forget is forgotten");
    let mut member = Member::of(&server, &group);
    member.join_alone("all");
    // Its subscription is not one that the server can read: it may consume anything.
    assert_eq!(delete(&mut client, &group, &topic, &[0]), (None, vec![Some(ResponseError::GroupSubscribedToTopic)]));
    assert_eq!(client.committed_offset(&group, &topic, 0).committed_offset, 5);
}

#[test]
fn a_forgotten_offset_stays_forgotten_after_a_crash() {
    let mut server = Server::start();
    let mut client = server.connect();
    let (group, topic) = (unique("group"), client.create_topic("offsets", 2, &[]).name);
    client.committed(&group, &topic, 0, 5);
    client.committed(&group, &topic, 1, 6);
    assert_eq!(delete(&mut client, &group, &topic, &[0]), (None, vec![None]));
    server.kill9();
    server.restart();
    let mut client = server.connect();
    let offsets = client.try_committed_offsets(&group, &topic, &[0, 1]).expect("fetched");
    assert_eq!(offsets, [-1, 6]);
}
