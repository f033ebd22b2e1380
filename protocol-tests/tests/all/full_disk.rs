//! Goal: a full disk ends nothing: who writes waits, who reads or makes room is answered, and then the others go on. A stop waits for nobody.
//! Method: a disk of its own, small, where the machine lets us make one.

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteTopicsRequest, ProduceRequest};
use protocol_tests::batch::Batch;
use protocol_tests::client::{Client, Failure};
use protocol_tests::frame::topic_name;
use protocol_tests::records::{Fetch, PRODUCE_BY_NAME, batches, only_produced, produce_request, values};
use protocol_tests::server::{Launch, Server};
use protocol_tests::topics::Topic;
use std::time::Duration;

const DISK_BYTES: u64 = 320 << 20;
const SEGMENT_BYTES: &str = "16777216";
const BATCH_BYTES: usize = 500_000;
/// The status of a process that could not write.
const STORE_FAILED: i32 = 70;
/// An answer that takes longer is not on its way.
const STALLED: Duration = Duration::from_secs(5);

fn on_a_small_disk() -> Option<Launch> {
    let launch = Launch::new().set("storage.segment_bytes", SEGMENT_BYTES).on_disk_of(DISK_BYTES);
    if launch.is_none() {
        println!("left out: this machine lets nobody mount a disk of their own");
    }
    launch
}

/// Produces to `topics` by turns until nothing is answered any more; answers how many batches were taken.
fn fill(client: &mut Client, topics: &[&Topic], server: &Server) -> u64 {
    client.set_patience(STALLED);
    let batch = Batch::of_bytes(BATCH_BYTES).build();
    let mut taken = 0_u64;
    for topic in topics.iter().cycle() {
        let sent = client.send(PRODUCE_BY_NAME, &produce_request(topic, 0, -1, batch.clone())).expect("sent");
        match client.receive::<ProduceRequest>(PRODUCE_BY_NAME, sent) {
            Ok(response) => assert_eq!(only_produced(response).error_code.err(), None),
            Err(Failure::TimedOut) => break,
            Err(other) => panic!("after {taken} batches: {other:?}\n{}", server.said()),
        }
        taken += 1;
        assert!(taken * (BATCH_BYTES as u64) < DISK_BYTES, "more than the disk has room for");
    }
    println!("{taken} batches, then the disk is full");
    taken
}

#[test]
fn producers_wait_for_room_and_a_deleted_topic_makes_it() {
    let Some(launch) = on_a_small_disk() else { return };
    let mut server = launch.start();
    let mut client = server.connect();
    let (bulk, kept) = (client.create_topic("bulk", 1, &[]), client.create_topic("kept", 1, &[]));
    client.produced(&kept, 0, Batch::of(&["before"]).build());
    fill(&mut client, &[&bulk], &server);
    assert!(server.is_running(), "{}", server.said());
    let mut other = server.connect();
    assert_eq!(values(&other.read_all(&kept, 0)), ["before"], "what is there is read");

    let mut waiting = server.connect();
    let sent = waiting.send(PRODUCE_BY_NAME, &produce_request(&kept, 0, -1, Batch::of(&["after"]).build())).expect("sent");
    other.delete_topic(&bulk);
    let answer =
        waiting.receive::<ProduceRequest>(PRODUCE_BY_NAME, sent).unwrap_or_else(|error| panic!("{error:?}\n{}", server.said()));
    assert_eq!(only_produced(answer).error_code.err(), None);
    assert_eq!(values(&other.read_all(&kept, 0)), ["before", "after"]);
    assert_eq!(server.terminate().status.code(), Some(0));
}

/// No segment is empty then, and each is half dead.
#[test]
fn a_deleted_topic_makes_room_where_it_shares_every_segment_with_others() {
    let Some(launch) = on_a_small_disk() else { return };
    let mut server = launch.start();
    let mut client = server.connect();
    let (bulk, kept) = (client.create_topic("bulk", 1, &[]), client.create_topic("kept", 1, &[]));
    let before = fill(&mut client, &[&bulk, &kept], &server);
    server.connect().delete_topic(&bulk);
    let after = fill(&mut server.connect(), &[&kept], &server);
    // A half is what was deleted; moves, and the segments that they come to, take some.
    assert!(after > before / 4, "{after} more, after {before}\n{}", server.said());
    let mut reader = server.connect();
    let (of_kept, last) = (before / 2 + after, |count: u64| i64::try_from(count).expect("small") - 1);
    for offset in [0, last(before / 2), last(of_kept)] {
        let read = batches(&reader.fetch(&Fetch::of(&kept, 0, offset).at_most(1, 1)));
        assert_eq!(read.first().map(|batch| batch.base_offset), Some(offset), "{}", server.said());
    }
    assert_eq!(server.terminate().status.code(), Some(STORE_FAILED), "somebody waits again");
}

/// A group's coordinator has to write that it forgets the first topic, for which only the second one makes room.
#[test]
fn topics_that_are_deleted_together_make_room_whatever_groups_have_committed() {
    let Some(launch) = on_a_small_disk() else { return };
    let server = launch.start();
    let mut client = server.connect();
    let [small, bulk, kept] = ["small", "bulk", "kept"].map(|purpose| client.create_topic(purpose, 1, &[]));
    client.produced(&small, 0, Batch::of(&["a"]).build());
    client.find_coordinator("group");
    client.committed("group", &small.name, 0, 1);
    fill(&mut client, &[&bulk], &server);

    let mut other = server.connect();
    let topics = [&small, &bulk].map(|topic| DeleteTopicState::default().with_name(Some(topic_name(&topic.name))));
    let request = DeleteTopicsRequest::default().with_topics(topics.to_vec()).with_timeout_ms(30_000);
    let answer = other.try_call(6, &request).unwrap_or_else(|error| panic!("{error:?}\n{}", server.said()));
    let errors: Vec<i16> = answer.responses.iter().map(|topic| topic.error_code).collect();
    assert_eq!(errors, [0, 0]);
    other.produced(&kept, 0, Batch::of(&["after"]).build());
    assert_eq!(other.committed_offset("group", &small.name, 0).committed_offset, -1, "what was committed is gone");
}

#[test]
fn a_stop_does_not_wait_for_room() {
    let Some(launch) = on_a_small_disk() else { return };
    let mut server = launch.start();
    let mut client = server.connect();
    let bulk = client.create_topic("bulk", 1, &[]);
    fill(&mut client, &[&bulk], &server);
    let exit = server.terminate();
    assert_eq!(exit.status.code(), Some(STORE_FAILED), "what waits cannot be written: {}", exit.stderr);
}

/// Deletes what lies below `offset` in partition 0.
fn delete_records(client: &mut Client, topic: &Topic, offset: i64) {
    let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(offset);
    let topic = DeleteRecordsTopic::default().with_name(topic_name(&topic.name)).with_partitions(vec![partition]);
    let response = client.call(2, &DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000));
    assert_eq!(response.topics[0].partitions[0].error_code.err(), None);
}

/// Two fifths of each segment stay for long, so that none is empty soon, and none is mostly dead by the measure of a disk with room.
#[test]
fn segments_that_are_half_dead_make_room_before_the_disk_is_full() {
    // 80 MB: without moving anything, the segments that hold them are 200 MB.
    const KEPT: i64 = 400;
    let Some(launch) = on_a_small_disk() else { return };
    let server = launch.start();
    let mut client = server.connect();
    let (bulk, kept) = (client.create_topic("bulk", 1, &[]), client.create_topic("kept", 1, &[]));
    let (large, small) = (Batch::of_bytes(BATCH_BYTES * 3 / 5).build(), Batch::of_bytes(BATCH_BYTES * 2 / 5).build());
    // Three times what the disk has room for.
    let rounds = 3 * i64::try_from(DISK_BYTES / BATCH_BYTES as u64).expect("small");
    for round in 0..rounds {
        client.produced(&bulk, 0, large.clone());
        client.produced(&kept, 0, small.clone());
        delete_records(&mut client, &bulk, round + 1);
        delete_records(&mut client, &kept, (round - KEPT).max(0));
    }
    for offset in rounds - KEPT..rounds {
        let read = batches(&client.fetch(&Fetch::of(&kept, 0, offset).at_most(1, 1)));
        assert_eq!(read.first().map(|batch| batch.base_offset), Some(offset), "{}", server.said());
    }
}
