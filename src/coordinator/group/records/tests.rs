//! Goal: our records are Kafka's, byte for byte, and no bytes crash us. Method: records written out by hand from Kafka's message
//! definitions, and every prefix of them.

use super::*;

fn offset_record(value: Option<Committed>) -> Record {
    Record::Offset { group: "g".to_owned(), topic: "t".to_owned(), partition: 3, value }
}

fn committed() -> Committed {
    Committed {
        offset: 42,
        leader_epoch: Some(5),
        metadata: "m".to_owned(),
        commit_time: Timestamp(1000),
        expire_time: None,
        topic_id: None,
    }
}

const OFFSET_KEY: &[u8] = &[0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 3];
const OFFSET_VALUE_3: &[u8] = &[0, 3, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 5, 0, 1, b'm', 0, 0, 0, 0, 0, 0, 3, 0xe8];

fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Record>, MalformedRecord> {
    Record::decode(&Bytes::copy_from_slice(key), value.map(Bytes::copy_from_slice).as_ref())
}

fn assert_both_ways(record: &Record, key: &[u8], value: Option<&[u8]>) {
    assert_eq!(record.encode(), (key.to_vec(), value.map(<[u8]>::to_vec)));
    assert_eq!(decode(key, value), Ok(Some(record.clone())));
}

#[test]
fn an_offset_without_topic_id_is_version_3() {
    assert_both_ways(&offset_record(Some(committed())), OFFSET_KEY, Some(OFFSET_VALUE_3));
    assert_both_ways(&offset_record(None), OFFSET_KEY, None);
}

#[test]
fn an_offset_with_its_own_retention_is_version_1() {
    let value = Committed { leader_epoch: None, expire_time: Some(Timestamp(2000)), ..committed() };
    let bytes = [0, 1, 0, 0, 0, 0, 0, 0, 0, 42, 0, 1, b'm', 0, 0, 0, 0, 0, 0, 3, 0xe8, 0, 0, 0, 0, 0, 0, 7, 0xd0];
    assert_both_ways(&offset_record(Some(value)), OFFSET_KEY, Some(&bytes));
}

#[test]
fn an_offset_with_topic_id_is_version_4_with_a_tagged_field() {
    let id = Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
    let value = Committed { topic_id: Some(TopicId(id)), ..committed() };
    let mut bytes = vec![0, 4, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 5, 2, b'm', 0, 0, 0, 0, 0, 0, 3, 0xe8, 1, 0, 16];
    bytes.extend(1..=16);
    assert_both_ways(&offset_record(Some(value)), OFFSET_KEY, Some(&bytes));
}

fn group_record() -> Record {
    let member = MemberValue {
        id: "c-1".to_owned(),
        instance_id: Some("i".to_owned()),
        client_id: "c".to_owned(),
        client_host: "/h".to_owned(),
        rebalance_timeout_ms: 300,
        session_timeout_ms: 10,
        subscription: Bytes::from_static(&[1, 2]),
        assignment: Bytes::from_static(&[3]),
    };
    let value = GroupValue {
        protocol_type: "consumer".to_owned(),
        generation: 7,
        protocol: Some("range".to_owned()),
        leader: Some("c-1".to_owned()),
        state_since: Some(Timestamp(1000)),
        members: vec![member],
    };
    Record::Group { group: "g".to_owned(), value: Some(value) }
}

fn group_bytes() -> Vec<u8> {
    let mut bytes = vec![0, 3, 0, 8];
    bytes.extend(b"consumer");
    bytes.extend([0, 0, 0, 7, 0, 5]);
    bytes.extend(b"range");
    bytes.extend([0, 3, b'c', b'-', b'1', 0, 0, 0, 0, 0, 0, 3, 0xe8, 0, 0, 0, 1]);
    bytes.extend([0, 3, b'c', b'-', b'1', 0, 1, b'i', 0, 1, b'c', 0, 2, b'/', b'h', 0, 0, 1, 44, 0, 0, 0, 10]);
    bytes.extend([0, 0, 0, 2, 1, 2, 0, 0, 0, 1, 3]);
    bytes
}

#[test]
fn a_group_is_version_3() {
    assert_both_ways(&group_record(), &[0, 2, 0, 1, b'g'], Some(&group_bytes()));
}

#[test]
fn an_empty_group_has_nulls() {
    let value = GroupValue {
        protocol_type: String::new(),
        generation: 1,
        protocol: None,
        leader: None,
        state_since: None,
        members: Vec::new(),
    };
    let bytes = [0, 3, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0];
    assert_both_ways(&Record::Group { group: "g".to_owned(), value: Some(value) }, &[0, 2, 0, 1, b'g'], Some(&bytes));
}

#[test]
fn older_and_newer_versions_are_read() {
    // Version 0 of a group: no times, no instance ids; the rebalance timeout is the session's.
    let mut old = vec![0, 0, 0, 0, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1];
    old.extend([0, 1, b'x', 0, 1, b'c', 0, 1, b'h', 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0]);
    let Ok(Some(Record::Group { value: Some(group), .. })) = decode(&[0, 2, 0, 1, b'g'], Some(&old)) else {
        panic!("version 0 is not read");
    };
    assert_eq!((group.state_since, group.members[0].rebalance_timeout_ms), (None, 10));
    // Version 4: compact, with tagged fields.
    let new = [
        0, 4, 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0xe8, 2, 2, b'x', 0, 2, b'c', 2, b'h', 0, 0, 0, 9, 0, 0, 0, 10, 1, 1, 0,
        0,
    ];
    let Ok(Some(Record::Group { value: Some(group), .. })) = decode(&[0, 2, 0, 1, b'g'], Some(&new)) else {
        panic!("version 4 is not read");
    };
    assert_eq!((group.state_since, group.members[0].rebalance_timeout_ms), (Some(Timestamp(1000)), 9));
}

#[test]
fn kinds_of_newer_protocols_are_ignored_and_unknown_values_are_not() {
    // The topics' metadata that early versions of Kafka kept of streams groups, and 4.0 of consumer groups.
    for kind in [18, 4] {
        assert_eq!(decode(&[0, kind, 0, 1, b'g'], Some(&[0, 0])), Ok(None));
    }
    assert!(decode(OFFSET_KEY, Some(&[0, 9, 0, 0])).is_err());
}

/// Of each kind of the consumer protocol one record, with its bytes by Kafka's message definitions.
fn consumer_records() -> Vec<(ConsumerRecord, Vec<u8>, Vec<u8>)> {
    use super::consumer::*;
    use crate::coordinator::group::messages::{Partitions, Protocol};
    use std::collections::{BTreeMap, BTreeSet};
    let topic = TopicId(Uuid::from_bytes([7; 16]));
    let key = |kind: u8, rest: Option<u8>| {
        let mut key = vec![0, kind, 0, 1, b'g'];
        key.extend(rest.into_iter().flat_map(|letter| [0, 1, letter]));
        key
    };
    let bytes = |parts: &[&[u8]]| parts.concat();
    let metadata = MemberMetadata {
        instance_id: Some("i".to_owned()),
        rack_id: None,
        client_id: "c".to_owned(),
        client_host: "h".to_owned(),
        topics: BTreeSet::from(["t".to_owned()]),
        regex: None,
        rebalance_timeout_ms: 9,
        assignor: Some("a".to_owned()),
        classic: None,
    };
    let protocols = vec![Protocol { name: "p".to_owned(), metadata: Bytes::from_static(&[1]) }];
    let classic = MemberMetadata { classic: Some(ClassicMetadata { session_timeout_ms: 8, protocols }), ..metadata.clone() };
    let head: &[u8] = &[0, 0, 2, b'i', 0, 2, b'c', 2, b'h', 2, 2, b't', 0, 0, 0, 0, 9, 2, b'a'];
    let current = Current {
        epoch: 3,
        previous_epoch: 2,
        state: MemberState::Unrevoked,
        assigned: BTreeMap::from([(topic, BTreeMap::from([(1, 3)]))]),
        revoking: Owned::new(),
    };
    let resolved = ResolvedRegex { topics: BTreeSet::from(["t".to_owned()]), version: 5, time: Timestamp(6) };
    let member = |value| ConsumerRecord::Member { id: "m".to_owned(), value: Some(value) };
    vec![
        (
            ConsumerRecord::Epoch(Some(EpochValue { epoch: 3, metadata_hash: 9 })),
            key(3, None),
            vec![0, 0, 0, 0, 0, 3, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9],
        ),
        (ConsumerRecord::Epoch(Some(EpochValue { epoch: 3, metadata_hash: 0 })), key(3, None), vec![0, 0, 0, 0, 0, 3, 0]),
        (member(metadata), key(5, Some(b'm')), bytes(&[head, &[1, 0, 1, 0]])),
        (member(classic), key(5, Some(b'm')), bytes(&[head, &[1, 0, 12, 1, 0, 0, 0, 8, 2, 2, b'p', 2, 1, 0, 0]])),
        (
            ConsumerRecord::TargetEpoch(Some(TargetEpochValue { epoch: 3, time: Timestamp(6) })),
            key(6, None),
            vec![0, 0, 0, 0, 0, 3, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 6],
        ),
        (
            ConsumerRecord::Target { id: "m".to_owned(), value: Some(Partitions::from([(topic, BTreeSet::from([1]))])) },
            key(7, Some(b'm')),
            bytes(&[&[0, 0, 2], &[7; 16], &[2, 0, 0, 0, 1, 0, 0]]),
        ),
        (
            ConsumerRecord::Current { id: "m".to_owned(), value: Some(current) },
            key(8, Some(b'm')),
            bytes(&[&[0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 1, 2], &[7; 16], &[2, 0, 0, 0, 1, 1, 0, 5, 2, 0, 0, 0, 3, 1, 0]]),
        ),
        (
            ConsumerRecord::Regex { regex: "r".to_owned(), value: Some(resolved) },
            key(16, Some(b'r')),
            vec![0, 0, 2, 2, b't', 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0],
        ),
    ]
}

#[test]
fn records_of_the_consumer_protocol_are_kafkas() {
    for (change, key, value) in consumer_records() {
        assert_both_ways(&Record::Consumer { group: "g".to_owned(), change }, &key, Some(&value));
    }
    let change = ConsumerRecord::Member { id: "m".to_owned(), value: None };
    assert_both_ways(&Record::Consumer { group: "g".to_owned(), change }, &[0, 5, 0, 1, b'g', 0, 1, b'm'], None);
}

/// Of each kind of a share group one record, with its bytes by Kafka's message definitions.
fn share_records() -> Vec<(ShareRecord, Vec<u8>, Vec<u8>)> {
    use super::consumer::{EpochValue, TargetEpochValue};
    use super::share::*;
    use crate::coordinator::group::messages::Partitions;
    use std::collections::{BTreeMap, BTreeSet};
    let topic = TopicId(Uuid::from_bytes([7; 16]));
    let key = |kind: u8, member: &[u8]| [&[0, kind, 0, 1, b'g'], member].concat();
    let member: &[u8] = &[0, 1, b'm'];
    let (id, one) = ("m".to_owned(), Partitions::from([(topic, BTreeSet::from([1]))]));
    let metadata = ShareMetadata {
        rack_id: None,
        client_id: "c".to_owned(),
        client_host: "h".to_owned(),
        topics: BTreeSet::from(["t".to_owned()]),
    };
    let named = |partition| BTreeMap::from([(topic, Named { name: "t".to_owned(), partitions: BTreeSet::from([partition]) })]);
    let states = States { initializing: named(1), initialized: named(2), deleting: BTreeMap::from([(topic, "t".to_owned())]) };
    let (id_bytes, current) = ([7; 16], ShareCurrent { epoch: 3, previous_epoch: 2, assigned: one.clone() });
    vec![
        (
            ShareRecord::Member { id: id.clone(), value: Some(metadata) },
            key(10, member),
            vec![0, 0, 0, 2, b'c', 2, b'h', 2, 2, b't', 0],
        ),
        (
            ShareRecord::Epoch(Some(EpochValue { epoch: 3, metadata_hash: 9 })),
            key(11, &[]),
            vec![0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9, 0],
        ),
        (
            ShareRecord::TargetEpoch(Some(TargetEpochValue { epoch: 3, time: Timestamp(6) })),
            key(12, &[]),
            vec![0, 0, 0, 0, 0, 3, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 6],
        ),
        (
            ShareRecord::Target { id: id.clone(), value: Some(one) },
            key(13, member),
            [&[0, 0, 2], &id_bytes[..], &[2, 0, 0, 0, 1, 0, 0]].concat(),
        ),
        (
            ShareRecord::Current { id, value: Some(current) },
            key(14, member),
            [&[0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 2], &id_bytes[..], &[2, 0, 0, 0, 1, 0, 0]].concat(),
        ),
        (
            ShareRecord::States(Some(states)),
            key(15, &[]),
            [
                &[0, 0, 2],
                &id_bytes[..],
                &[2, b't', 2, 0, 0, 0, 1, 0, 2],
                &id_bytes[..],
                &[2, b't', 2, 0, 0, 0, 2, 0, 2],
                &id_bytes[..],
                &[2, b't', 0, 0],
            ]
            .concat(),
        ),
    ]
}

#[test]
fn records_of_share_groups_are_kafkas() {
    for (change, key, value) in share_records() {
        assert_both_ways(&Record::Share { group: "g".to_owned(), change }, &key, Some(&value));
    }
    let change = ShareRecord::Member { id: "m".to_owned(), value: None };
    assert_both_ways(&Record::Share { group: "g".to_owned(), change }, &[0, 10, 0, 1, b'g', 0, 1, b'm'], None);
}

#[test]
fn partitions_without_epochs_of_their_own_have_the_members() {
    let mut value = vec![0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 2];
    value.extend([7; 16]);
    value.extend([2, 0, 0, 0, 1, 0, 1, 0]);
    let Ok(Some(Record::Consumer { change: ConsumerRecord::Current { value: Some(current), .. }, .. })) =
        decode(&[0, 8, 0, 1, b'g', 0, 1, b'm'], Some(&value))
    else {
        panic!("a record of Kafka 4.1 is not read");
    };
    assert_eq!(current.assigned.into_values().flatten().collect::<Vec<_>>(), [(1, 3)]);
}

#[test]
fn every_cut_is_an_error() {
    let group = group_bytes();
    let consumers = consumer_records().into_iter().map(|(_, key, value)| (key, value));
    let shares = share_records().into_iter().map(|(_, key, value)| (key, value));
    for (key, value) in consumers.chain(shares) {
        for cut in 0..value.len() {
            assert!(decode(&key, Some(&value[..cut])).is_err(), "{cut} bytes of the value of kind {}", key[1]);
        }
    }
    for (key, value) in [(OFFSET_KEY, OFFSET_VALUE_3), (&[0, 2, 0, 1, b'g'][..], group.as_slice())] {
        for cut in 0..value.len() {
            assert!(decode(key, Some(&value[..cut])).is_err(), "{cut} bytes of the value");
        }
        for cut in 0..key.len() {
            assert!(decode(&key[..cut], Some(value)).is_err(), "{cut} bytes of the key");
        }
    }
}

#[test]
fn hostile_lengths_allocate_nothing() {
    let count = [0, 3, 0, 0, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff];
    assert!(decode(&[0, 2, 0, 1, b'g'], Some(&count)).is_err());
}
