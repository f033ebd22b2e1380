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
    assert_eq!(decode(&[0, 3, 0, 1, b'g'], Some(&[0, 0])), Ok(None));
    assert!(decode(OFFSET_KEY, Some(&[0, 9, 0, 0])).is_err());
}

#[test]
fn every_cut_is_an_error() {
    let group = group_bytes();
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
