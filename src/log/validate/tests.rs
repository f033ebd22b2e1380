//! Goal: a batch with timestamps that its topic does not take is refused in Kafka's words, and its records are named where they were read.
//! Method: single batches around the bounds of one topic, 1000 ms back and 500 ms ahead.

use super::*;
use crate::config::KafkaSettings;
use crate::records::BatchBuilder;
use bytes::BytesMut;
use std::collections::BTreeMap;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const MISDATED: &str = "One or more records have been rejected due to invalid timestamp";

fn settings() -> TopicSettings {
    let defaults = TopicSettings::resolve(&BTreeMap::new(), &KafkaSettings::default()).expect("the defaults are valid");
    TopicSettings { timestamp_before_max_ms: 1000, timestamp_after_max_ms: 500, ..defaults }
}

fn compacted() -> TopicSettings {
    let mut settings = settings();
    settings.cleanup.compact = true;
    settings
}

/// Records with a key, so many ms from now.
fn batch(codec: Compression, from_now_ms: &[i64]) -> Bytes {
    let empty = BatchBuilder::new(NOW).compression(codec);
    from_now_ms.iter().fold(empty, |batch, ms| batch.record_at(NOW.plus_ms(*ms), Some(b"k"), None, &[])).build()
}

fn misdated(batch: &Bytes, settings: &TopicSettings) -> InvalidRecords {
    match client_batch(batch, settings, NOW) {
        Err(AppendError::InvalidTimestamp(invalid)) => invalid,
        other => panic!("an invalid timestamp was expected, not {other:?}"),
    }
}

fn indexes(invalid: &InvalidRecords) -> Vec<i32> {
    invalid.records.iter().map(|record| record.0).collect()
}

#[test]
fn records_out_of_range_are_named_in_kafkas_words() {
    let invalid = misdated(&batch(Compression::None, &[0, 501, -1000, 500, -1001]), &settings());
    assert_eq!(invalid.message, MISDATED);
    let within = "is out of range. The timestamp should be within [1699999999000, 1700000000500]";
    let expected = [
        (1, format!("Timestamp 1700000000501 of message with offset 1 {within}")),
        (4, format!("Timestamp 1699999998999 of message with offset 4 {within}")),
    ];
    assert_eq!(invalid.records, expected);
}

#[test]
fn records_without_a_timestamp_are_taken_and_hide_no_others() {
    let dateless = BatchBuilder::new(NOW).record_at(Timestamp::NONE, None, None, &[]).record_at(NOW, None, None, &[]);
    assert!(client_batch(&dateless.clone().build(), &settings(), NOW).is_ok());
    let with_an_old_one = dateless.record_at(NOW.plus_ms(-1001), None, None, &[]).build();
    assert_eq!(indexes(&misdated(&with_an_old_one, &settings())), [2]);
}

#[test]
fn one_timestamp_outweighs_missing_keys_which_are_named_all_the_same() {
    let keyless = BatchBuilder::new(NOW).record_at(NOW.plus_ms(501), None, None, &[]);
    match client_batch(&keyless.clone().build(), &compacted(), NOW) {
        Err(AppendError::InvalidRecords(invalid)) => assert_eq!(indexes(&invalid), [0]),
        other => panic!("of a record without key the timestamp is not looked at: {other:?}"),
    }
    let invalid = misdated(&keyless.record_at(NOW.plus_ms(501), Some(b"k"), None, &[]).build(), &compacted());
    assert_eq!((invalid.message.as_str(), indexes(&invalid)), (MISDATED, vec![0, 1]));
    assert!(invalid.records[0].1.contains("without key") && invalid.records[1].1.contains("out of range"), "{invalid:?}");
}

#[test]
fn no_more_than_a_thousand_records_are_named() {
    let invalid = misdated(&batch(Compression::None, &[501; 1500]), &settings());
    assert_eq!((invalid.records.len(), invalid.records[999].0), (1000, 999));
    let both = (0..1500).fold(BatchBuilder::new(NOW), |batch, number| {
        let key: Option<&[u8]> = (number % 2 == 0).then_some(b"k".as_slice());
        batch.record_at(NOW.plus_ms(501), key, None, &[])
    });
    let invalid = misdated(&both.build(), &compacted());
    assert_eq!((invalid.records.len(), invalid.records[999].0), (1000, 999), "in their order");
}

#[test]
fn compressed_records_are_named_where_they_are_read() {
    let sent = batch(Compression::Zstd, &[0, 501, 1]);
    let unread = misdated(&sent, &settings());
    let range = "timestamp 1700000000501 is out of range: the timestamp should be within [1699999999000, 1700000000500]";
    assert_eq!((unread.message.as_str(), indexes(&unread)), (range, vec![]), "judged by the header");
    assert_eq!(indexes(&misdated(&sent, &compacted())), [1], "read for its keys");
    let mut dateless = BytesMut::from(&sent[..]);
    header::stamp_max_timestamp(&mut dateless, Timestamp::NONE);
    assert_eq!(indexes(&misdated(&dateless.freeze(), &settings())), [1], "read for its largest timestamp");
}

#[test]
fn a_topic_that_stamps_records_takes_any_timestamp() {
    let settings = TopicSettings { timestamp_type: TimestampType::LogAppendTime, ..settings() };
    for codec in [Compression::None, Compression::Zstd] {
        assert!(client_batch(&batch(codec, &[-1_000_000, 1_000_000]), &settings, NOW).is_ok(), "{codec}");
    }
}
