//! Goal: the records of streams groups are Kafka's, byte for byte, and no bytes crash us. Method: records written out by hand from Kafka's
//! message definitions, and every prefix of them.

use super::*;
use crate::coordinator::LogRecord;
use crate::coordinator::group::records::Record;
use crate::ids::Timestamp;

fn key(kind: u8, member: bool) -> Vec<u8> {
    let mut key = vec![0, kind, 0, 1, b'g'];
    if member {
        key.extend([0, 1, b'm']);
    }
    key
}

fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn tasks(partition: i32) -> TaskSet {
    TaskSet::from([("0".to_owned(), BTreeSet::from([partition]))])
}

fn topology() -> Topology {
    let info = |name: &str, partitions| TopicInfo {
        name: name.to_owned(),
        partitions,
        replication_factor: 1,
        configs: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
    };
    let group = CopartitionGroup { source_topics: vec![0], source_expressions: vec![], repartition_sources: vec![0] };
    let subtopology = Subtopology {
        source_topics: vec!["t".to_owned()],
        source_expressions: vec![],
        changelog_topics: vec![info("c", 0)],
        repartition_sinks: vec!["s".to_owned()],
        repartition_sources: vec![info("r", 5)],
        copartition_groups: vec![group],
    };
    Topology { epoch: 7, subtopologies: BTreeMap::from([("0".to_owned(), subtopology)]) }
}

/// Each kind, with key and value.
fn records() -> Vec<(StreamsRecord, Vec<u8>, Vec<u8>)> {
    let epoch = StreamsEpoch { epoch: 3, metadata_hash: 9, validated_topology_epoch: NOT_VALIDATED, configs: BTreeMap::new() };
    let validated = StreamsEpoch {
        validated_topology_epoch: 7,
        configs: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        ..epoch.clone()
    };
    let member = StreamsMetadata {
        instance_id: None,
        rack_id: Some("r".to_owned()),
        client_id: "c".to_owned(),
        client_host: "h".to_owned(),
        rebalance_timeout_ms: 9,
        topology_epoch: 7,
        process_id: "p".to_owned(),
        endpoint: None,
        tags: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
    };
    let reachable = StreamsMetadata {
        endpoint: Some(Endpoint { host: "e".to_owned(), port: 0xfffe }),
        tags: BTreeMap::new(),
        ..member.clone()
    };
    let current = CurrentTasks {
        epoch: 3,
        previous_epoch: 2,
        state: MemberState::Unreleased,
        assigned: OwnedTasks {
            active: BTreeMap::from([("0".to_owned(), BTreeMap::from([(1, 3)]))]),
            standby: tasks(2),
            warmup: TaskSet::new(),
        },
        revoking: OwnedTasks::default(),
    };
    let member_of = |value| StreamsRecord::Member { id: "m".to_owned(), value: Some(value) };
    let head: &[u8] = &[0, 0, 0, 2, b'r', 2, b'c', 2, b'h', 0, 0, 0, 9, 0, 0, 0, 7, 2, b'p'];
    let counts: &[u8] = &[0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9];
    vec![
        (StreamsRecord::Epoch(Some(epoch)), key(17, false), bytes(&[counts, &[0]])),
        (
            StreamsRecord::Epoch(Some(validated)),
            key(17, false),
            bytes(&[counts, &[2, 0, 4, 0, 0, 0, 7, 1, 6, 2, 2, b'k', 2, b'v', 0]]),
        ),
        (member_of(member), key(19, true), bytes(&[head, &[0xff, 2, 2, b'k', 2, b'v', 0, 0]])),
        (member_of(reachable), key(19, true), bytes(&[head, &[1, 2, b'e', 0xff, 0xfe, 0, 1, 0]])),
        (
            StreamsRecord::TargetEpoch(Some(TargetEpochValue { epoch: 3, time: Timestamp(6) })),
            key(20, false),
            vec![0, 0, 0, 0, 0, 3, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 6],
        ),
        (
            StreamsRecord::Target {
                id: "m".to_owned(),
                value: Some(Tasks { active: tasks(1), standby: TaskSet::new(), warmup: tasks(2) }),
            },
            key(21, true),
            vec![0, 0, 2, 2, b'0', 2, 0, 0, 0, 1, 0, 1, 2, 2, b'0', 2, 0, 0, 0, 2, 0, 0],
        ),
        (
            StreamsRecord::Current { id: "m".to_owned(), value: Some(current) },
            key(22, true),
            bytes(&[
                &[0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 3],
                &[2, 2, b'0', 2, 0, 0, 0, 1, 1, 0, 5, 2, 0, 0, 0, 3],
                &[2, 2, b'0', 2, 0, 0, 0, 2, 0, 1, 1, 1, 1, 0],
            ]),
        ),
        (
            StreamsRecord::Topology(Some(topology())),
            key(23, false),
            bytes(&[
                &[0, 0, 0, 0, 0, 7, 2, 2, b'0', 2, 2, b't', 1],
                &[2, 2, b'c', 0, 0, 0, 0, 0, 1, 2, 2, b'k', 2, b'v', 0, 0],
                &[2, 2, b's', 2, 2, b'r', 0, 0, 0, 5, 0, 1, 2, 2, b'k', 2, b'v', 0, 0],
                &[2, 2, 0, 0, 1, 2, 0, 0, 0, 0, 0],
            ]),
        ),
    ]
}

fn decoded(key: &[u8], value: Option<&[u8]>) -> Result<Option<Record>, MalformedRecord> {
    Record::decode(&Bytes::copy_from_slice(key), value.map(Bytes::copy_from_slice).as_ref())
}

#[test]
fn records_of_streams_groups_are_kafkas() {
    for (change, key, value) in records() {
        let record = Record::Streams { group: "g".to_owned(), change };
        assert_eq!(record.encode(), (key.clone(), Some(value.clone())));
        assert_eq!(decoded(&key, Some(&value)), Ok(Some(record)));
    }
    let tombstone = Record::Streams { group: "g".to_owned(), change: StreamsRecord::Topology(None) };
    assert_eq!(tombstone.encode(), (key(23, false), None));
    assert_eq!(decoded(&key(23, false), None), Ok(Some(tombstone)));
}

#[test]
fn tasks_without_epochs_of_their_own_have_the_members() {
    let mut value = vec![0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 1, 2, 2, b'0', 2, 0, 0, 0, 1, 0];
    value.extend([1, 1, 1, 1, 1, 0]);
    let Ok(Some(Record::Streams { change: StreamsRecord::Current { value: Some(current), .. }, .. })) =
        decoded(&key(22, true), Some(&value))
    else {
        panic!("a record without epochs is not read");
    };
    assert_eq!(current.assigned.active.into_values().flatten().collect::<Vec<_>>(), [(1, 3)]);
}

#[test]
fn every_cut_is_an_error() {
    for (_, key, value) in records() {
        for cut in 0..value.len() {
            assert!(decoded(&key, Some(&value[..cut])).is_err(), "{cut} bytes of the value of kind {}", key[1]);
        }
        for cut in 0..key.len() {
            assert!(decoded(&key[..cut], Some(&value)).is_err(), "{cut} bytes of the key of kind {}", key[1]);
        }
    }
}

#[test]
fn a_count_that_the_bytes_do_not_bear_out_costs_nothing() {
    let huge = [0, 0, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(decoded(&key(23, false), Some(&huge)).is_err());
}
