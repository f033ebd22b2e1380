//! Goal: what compaction leaves is what a reader of the whole log would have made of it. Method: random appends of plain, idempotent and
//! transactional producers, passes with room for few keys, time that goes on, and crashes at any point of a pass, against a model.
//!
//! Invariants, after every step:
//! 1. what a read_committed reader sees was appended, committed, and is in order;
//! 2. of each key, the newest record is what it was, or a tombstone whose time is over;
//! 3. below `cleaned`, no key has two records;
//! 4. a tombstone is seen for `delete.retention.ms` after the first pass that met it;
//! 5. the end of the log, its last stable offset and the producers' sequences are what they were, over a restart too.

use super::{Compacted, CompactionError, Limits, Uncleaned};
use crate::config::KafkaSettings;
use crate::config::topic::TopicSettings;
use crate::env::Env;
use crate::ids::{LogId, Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::log::fetch::{self, Isolation, Target};
use crate::log::{LogOptions, Logs, Origin, Partition};
use crate::records::control::{EndTransaction, Marker};
use crate::records::iterate::records;
use crate::records::{BatchBuilder, BatchHeader, Compression};
use crate::span::{self, Span};
use crate::store::faulty::FaultyStore;
use crate::store::memory::MemoryStore;
use crate::store::{Batch, LogStore, Replacement, SuffixChecksum};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const LOG: LogId = LogId(1);
const RETENTION_MS: i64 = 10_000;
const ROOMY: Limits = Limits { keys_bytes: 1 << 20, bytes_per_second: f64::MAX };

fn settings(overrides: &[(&str, &str)]) -> TopicSettings {
    let retention = RETENTION_MS.to_string();
    let mut all = BTreeMap::from([
        ("cleanup.policy".to_owned(), "compact".to_owned()),
        ("segment.bytes".to_owned(), "14".to_owned()),
        ("min.cleanable.dirty.ratio".to_owned(), "0".to_owned()),
        ("delete.retention.ms".to_owned(), retention),
    ]);
    all.extend(overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    TopicSettings::resolve(&all, &KafkaSettings::default()).expect("valid")
}

/// A log, and its store.
struct House {
    env: Env,
    store: Arc<FaultyStore>,
    partition: Arc<Partition>,
    settings: TopicSettings,
}

impl House {
    async fn new(seed: u64, overrides: &[(&str, &str)]) -> House {
        let env = Env::manual(NOW, seed);
        House::on(FaultyStore::around(MemoryStore::new(), None), env, settings(overrides)).await
    }

    async fn on(store: Arc<FaultyStore>, env: Env, settings: TopicSettings) -> House {
        let options = LogOptions { tail_bytes: 1 << 12, producer_expiration_ms: 86_400_000 };
        let logs = Logs::new(store.clone(), env.clone(), options);
        let partition = logs.open(LOG, Arc::new(settings.clone())).await.expect("the log opens");
        // The partition keeps what it needs; its store tells it of commits as long as the logs live.
        std::mem::forget(logs);
        House { env, store, partition, settings }
    }

    async fn crash(self) -> House {
        let store = self.store.crash();
        House::on(store, self.env, self.settings).await
    }

    async fn append(&self, batch: Bytes) -> (Offset, Offset) {
        let header = BatchHeader::parse(&batch).expect("a batch");
        let verification = header
            .producer()
            .filter(|_| header.attributes.is_transactional())
            .and_then(|id| self.partition.verification(id, ProducerEpoch(header.producer_epoch), header.base_sequence));
        let appended = self.partition.append(batch, verification.map_or(Origin::Client, Origin::Verified)).await.expect("taken");
        self.store.release_all();
        self.partition.wait_committed(appended.last).await.expect("committed");
        (appended.first, appended.last)
    }

    async fn end(&self, id: ProducerId, marker: Marker) -> Offset {
        let end = EndTransaction { marker, coordinator_epoch: 0 };
        let at = self.partition.append_marker(id, ProducerEpoch(0), end, false).await.expect("taken").expect("new");
        self.store.release_all();
        self.partition.wait_committed(at).await.expect("committed");
        at
    }

    async fn put(&self, key: &str, value: Option<&str>) -> Offset {
        self.append(one(self.env.now(), key, value)).await.0
    }

    async fn compact(&self) -> Compacted {
        self.partition.compact(&|| ROOMY).await.expect("compacts").expect("there is something to do")
    }

    /// Offset, key and value of every record that a read_committed reader sees.
    async fn seen(&self) -> Vec<(i64, String, Option<String>)> {
        let (mut from, mut seen) = (self.partition.start(), Vec::new());
        let limits =
            fetch::Limits { min_bytes: 1, max_bytes: 4_000, max_wait: Duration::ZERO, isolation: Isolation::ReadCommitted };
        loop {
            let target = Target { partition: self.partition.clone(), from, max_bytes: 4_000 };
            let fetched = fetch::fetch(&[target], limits, None).await.remove(0);
            let stretches = fetched.stretches.expect("readable");
            let Some(newest) = stretches.last() else { return seen };
            let spans: Vec<Span> = stretches.iter().map(|stretch| stretch.bytes.clone()).collect();
            let mut left = span::load(&spans).expect("readable");
            let mut void = HashSet::new();
            let mut ahead = fetched.aborted;
            ahead.sort_by_key(|one| one.first);
            while !left.is_empty() {
                let header = BatchHeader::parse(&left).expect("a batch");
                let batch = left.split_to(header.batch_bytes);
                while ahead.first().is_some_and(|one| one.first <= header.last_offset()) {
                    void.insert(ahead.remove(0).producer);
                }
                let id = ProducerId(header.producer_id);
                if header.attributes.is_control() {
                    if let Some(EndTransaction { marker: Marker::Abort, .. }) = EndTransaction::read(&batch).expect("reads") {
                        void.remove(&id);
                    }
                } else if !(header.attributes.is_transactional() && void.contains(&id)) {
                    for record in records(&batch, 1 << 20).expect("reads").map(|record| record.expect("reads")) {
                        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("text");
                        seen.push((record.offset.0, record.key.map(text).unwrap_or_default(), record.value.map(text)));
                    }
                }
            }
            from = newest.last.next();
        }
    }

    async fn keys(&self) -> Vec<(i64, String)> {
        self.seen().await.into_iter().map(|(offset, key, _)| (offset, key)).collect()
    }
}

fn one(now: Timestamp, key: &str, value: Option<&str>) -> Bytes {
    BatchBuilder::new(now).record(Some(key.as_bytes()), value.map(str::as_bytes)).build()
}

fn shown(records: &[(i64, &str)]) -> Vec<(i64, String)> {
    records.iter().map(|(offset, key)| (*offset, (*key).to_owned())).collect()
}

// --- by hand ---------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_newest_record_of_each_key_stays_and_the_active_segment_is_left_alone() {
    let house = House::new(1, &[]).await;
    for key in ["a", "b", "a", "c", "a", "b"] {
        house.put(key, Some("v")).await;
    }
    let compacted = house.compact().await;
    assert_eq!(compacted.cleaned, Offset(5), "the last batch is in the active segment");
    assert!(compacted.bytes_after < compacted.bytes_before);
    let expected = shown(&[(1, "b"), (3, "c"), (4, "a"), (5, "b")]);
    assert_eq!(house.keys().await, expected);
    assert_eq!(house.partition.compact(&|| ROOMY).await.expect("looks"), None, "nothing is dirty");
    let house = house.crash().await;
    assert_eq!((house.keys().await, house.partition.next()), (expected, Offset(6)));
    house.put("d", Some("v")).await;
    assert_eq!(house.compact().await.cleaned, Offset(6));
    assert_eq!(house.keys().await, shown(&[(3, "c"), (4, "a"), (5, "b"), (6, "d")]));
}

#[tokio::test]
async fn tombstones_stay_for_their_time_after_the_first_pass() {
    let house = House::new(1, &[]).await;
    house.put("a", Some("v")).await;
    house.put("a", None).await;
    house.put("b", Some("v")).await;
    house.compact().await;
    assert_eq!(house.keys().await, shown(&[(1, "a"), (2, "b")]), "the tombstone is there, its time begins");
    house.env.advance_ms(RETENTION_MS - 1);
    house.put("c", Some("v")).await;
    house.compact().await;
    assert_eq!(house.keys().await, shown(&[(1, "a"), (2, "b"), (3, "c")]));
    house.env.advance_ms(1);
    house.put("d", Some("v")).await;
    house.compact().await;
    assert_eq!(house.keys().await, shown(&[(2, "b"), (3, "c"), (4, "d")]));
}

#[tokio::test]
async fn aborted_records_go_at_once_and_markers_only_when_nothing_is_left_of_their_transaction() {
    let house = House::new(1, &[]).await;
    let id = ProducerId(9);
    let transactional = |sequence: i32, key: &str| {
        let builder = BatchBuilder::new(NOW).producer(id, ProducerEpoch(0), sequence).transactional();
        builder.record(Some(key.as_bytes()), Some(b"v")).build()
    };
    house.append(transactional(0, "a")).await;
    house.end(id, Marker::Abort).await;
    house.append(transactional(1, "b")).await;
    house.end(id, Marker::Commit).await;
    house.put("c", Some("v")).await;
    house.compact().await;
    assert_eq!(house.keys().await, shown(&[(2, "b"), (4, "c")]));
    let offsets = async |house: &House| {
        let batches = house.partition.read(Offset(0), 1 << 20, Offset(i64::MAX)).await.expect("readable");
        batches.iter().map(|batch| batch.first.0).collect::<Vec<_>>()
    };
    assert_eq!(offsets(&house).await, [1, 2, 3, 4], "the aborted record is gone, its marker is not");
    for round in 0..3 {
        house.env.advance_ms(RETENTION_MS);
        house.put("c", Some("v")).await;
        house.compact().await;
        assert_eq!(house.seen().await.len(), 3, "round {round}: the newest two of c, one in the active segment");
    }
    assert_eq!(offsets(&house).await, [2, 3, 6, 7], "the marker of the abort is gone; the commit's has a record before it");
    let house = house.crash().await;
    assert_eq!(house.keys().await, shown(&[(2, "b"), (6, "c"), (7, "c")]));
}

#[tokio::test]
async fn an_undecided_transaction_holds_compaction_up() {
    let house = House::new(1, &[]).await;
    house.put("a", Some("1")).await;
    house.put("a", Some("2")).await;
    let id = ProducerId(9);
    let open = BatchBuilder::new(NOW).producer(id, ProducerEpoch(0), 0).transactional().record(Some(b"a"), Some(b"3")).build();
    house.append(open).await;
    house.put("b", Some("v")).await;
    assert_eq!(house.compact().await.cleaned, Offset(2));
    house.end(id, Marker::Commit).await;
    assert_eq!(house.keys().await, shown(&[(1, "a"), (2, "a"), (3, "b")]));
    house.compact().await;
    assert_eq!(house.keys().await, shown(&[(2, "a"), (3, "b")]));
}

#[tokio::test]
async fn lags_and_ratio_decide_when_a_pass_is_due() {
    let lag = House::new(1, &[("min.compaction.lag.ms", "5000")]).await;
    for _ in 0..3 {
        lag.put("a", Some("v")).await;
        lag.env.advance_ms(2_000);
    }
    assert_eq!(lag.compact().await.cleaned, Offset(1), "the others are younger than the lag");
    lag.env.advance_ms(4_000);
    assert_eq!(lag.compact().await.cleaned, Offset(2), "the last one is in the active segment");

    // One of a clock that went wrong, compacted before anybody asked for a lag.
    let ahead = House::new(1, &[]).await;
    let far = Timestamp(NOW.0 + 3_000_000);
    ahead.append(BatchBuilder::new(far).record_at(far, Some(b"far"), Some(b"v"), &[]).build()).await;
    ahead.put("a", Some("v")).await;
    assert_eq!(ahead.compact().await.cleaned, Offset(1));
    ahead.partition.set_settings(Arc::new(settings(&[("min.compaction.lag.ms", "5000")])));
    ahead.put("a", Some("w")).await;
    ahead.env.advance_ms(6_000);
    ahead.put("a", Some("x")).await;
    assert_eq!(ahead.compact().await.cleaned, Offset(3), "what is compacted already holds nothing up");

    let ratio = House::new(1, &[("min.cleanable.dirty.ratio", "0.6"), ("max.compaction.lag.ms", "60000")]).await;
    ratio.put("a", Some("v")).await;
    ratio.put("b", Some("v")).await;
    assert_eq!(ratio.compact().await.cleaned, Offset(1), "all of it is dirty");
    ratio.put("c", Some("v")).await;
    assert_eq!(ratio.partition.compact(&|| ROOMY).await.expect("looks"), None, "half of it is dirty");
    ratio.env.advance_ms(60_001);
    assert_eq!(ratio.compact().await.cleaned, Offset(2), "it has waited for too long");
}

#[tokio::test]
async fn only_topics_that_say_so_are_compacted() {
    let house = House::new(1, &[("cleanup.policy", "delete")]).await;
    for _ in 0..3 {
        house.put("a", Some("v")).await;
    }
    assert_eq!(house.partition.compact(&|| ROOMY).await.expect("looks"), None);
}

#[tokio::test]
async fn a_batch_that_does_not_read_stays_and_holds_nothing_up() {
    let house = House::new(1, &[("cleanup.policy", "delete")]).await;
    house.put("a", Some("1")).await;
    // Compressed batches are stored unopened as long as nobody asks what is in them.
    let good = BatchBuilder::new(NOW).compression(Compression::Lz4).record(Some(b"a"), Some(b"2")).build();
    let mut garbled = good.to_vec();
    let at = garbled.len() - 1;
    garbled[crate::records::header::HEADER_BYTES..at].fill(7);
    crate::records::header::write_crc(&mut garbled);
    house.append(Bytes::from(garbled)).await;
    house.put("a", Some("3")).await;
    house.put("b", Some("4")).await;
    house.partition.set_settings(Arc::new(settings(&[])));
    let compacted = house.compact().await;
    assert_eq!((compacted.cleaned, compacted.left.map(|one| one.at)), (Offset(3), Some(Offset(1))));
    let batches = house.partition.read(Offset(0), 1 << 20, Offset(i64::MAX)).await.expect("readable");
    assert_eq!(batches.iter().map(|batch| batch.first.0).collect::<Vec<_>>(), [1, 2, 3]);
    // Somebody may be able to read it: what it has of a key that is deleted behind it must not be there again.
    house.put("a", None).await;
    house.put("c", Some("5")).await;
    for _ in 0..3 {
        house.compact().await;
        house.env.advance_ms(house.partition.settings().delete_retention_ms + 1);
        house.put("d", Some("6")).await;
    }
    let batches = house.partition.read(Offset(0), 1 << 20, Offset(i64::MAX)).await.expect("readable");
    assert!(batches.iter().any(|batch| batch.first == Offset(4)), "the tombstone stays: {batches:?}");
}

/// A batch of before a start with smaller segments. What is deleted in it is deleted by a tombstone that stays for as long as it does.
#[tokio::test]
async fn a_batch_that_is_too_large_to_put_back_stays_and_brings_nothing_back() {
    let house = House::new(1, &[]).await;
    let value = "v".repeat(1_000);
    let two =
        BatchBuilder::new(NOW).record(Some(b"a"), Some(value.as_bytes())).record(Some(b"b"), Some(value.as_bytes())).build();
    house.append(two).await;
    house.put("c", Some("1")).await;
    house.put("a", None).await;
    house.put("c", Some("2")).await;
    house.put("d", Some("1")).await;
    house.store.limit_batches(900);
    let expect = async |house: &House, what: &str| {
        let seen: Vec<i64> = house.seen().await.iter().map(|(offset, ..)| *offset).collect();
        // The first "c" is superseded; the tombstone outlives its time.
        assert_eq!(seen[..4], [0, 1, 3, 4], "{what}");
        house.env.advance_ms(RETENTION_MS + 1);
        house.put("d", Some("2")).await;
    };
    let left = house.compact().await.left.expect("something cannot be cleaned");
    assert_eq!(left.at, Offset(0));
    assert!(matches!(left.why, Uncleaned::TooLarge { bytes: 1_000.., limit: 900 }), "{left:?}");
    expect(&house, "the first pass").await;
    house.compact().await;
    expect(&house, "one that knows nothing of its key").await;
    let house = house.crash().await;
    house.store.limit_batches(900);
    house.compact().await;
    expect(&house, "after an open").await;
    // With larger segments again all of it goes.
    let house = house.crash().await;
    for _ in 0..2 {
        house.compact().await;
        house.env.advance_ms(RETENTION_MS + 1);
        house.put("d", Some("3")).await;
    }
    house.compact().await;
    let keys: Vec<String> = house.seen().await.into_iter().map(|(_, key, _)| key).collect();
    assert_eq!(keys[..2], ["b", "c"]);
    assert!(!keys.contains(&"a".to_owned()), "{keys:?}");
}

/// The start may come to lie within such a batch: looked at once more, and not for ever.
#[tokio::test]
async fn what_is_left_is_looked_for_anew_when_the_start_passes_it() {
    let house = House::new(1, &[]).await;
    let value = "v".repeat(1_000);
    let record = |builder: BatchBuilder, key: &'static [u8]| builder.record(Some(key), Some(value.as_bytes()));
    house.append(record(record(BatchBuilder::new(NOW), b"a"), b"b").build()).await;
    house.put("a", None).await;
    house.put("c", Some("1")).await;
    house.store.limit_batches(900);
    assert_eq!(house.compact().await.left.map(|left| left.at), Some(Offset(0)));
    assert_eq!(house.partition.compact(&|| ROOMY).await.expect("looks"), None, "nothing is new");
    house.partition.trim(Offset(1)).await.expect("trims");
    assert_eq!(house.partition.compacted_to(), Offset(3), "the pass was there");
    assert_eq!(house.compact().await.cleaned, Offset(3));
    assert_eq!(house.partition.compact(&|| ROOMY).await.expect("looks"), None, "once for each start");
}

/// Whoever misses a record there must not take it for one that never came.
#[tokio::test]
async fn how_far_compaction_may_have_come_is_told_of_a_pass_that_ended_and_after_an_open() {
    let house = House::new(1, &[]).await;
    let value = "v".repeat(1_000);
    house.append(one(NOW, "a", Some(&value))).await;
    for (key, value) in [("c", "1"), ("c", "2"), ("d", "1")] {
        house.put(key, Some(value)).await;
    }
    house.put("a", None).await;
    assert_eq!(house.partition.compacted_to(), Offset(0));
    house.store.stop_replacing_after(0);
    house.partition.compact(&|| ROOMY).await.expect_err("it ends with its first replacement");
    assert_eq!(house.partition.compacted_to(), Offset(4));

    let house = house.crash().await;
    let two = BatchBuilder::new(NOW).record(Some(b"e"), Some(value.as_bytes())).record(Some(b"f"), Some(value.as_bytes()));
    let (large, _) = house.append(two.build()).await;
    house.put("e", Some("2")).await;
    house.put("g", Some("1")).await;
    house.store.limit_batches(900);
    assert_eq!(house.compact().await.left.map(|left| left.at), Some(large));
    let house = house.crash().await;
    assert_eq!(
        house.partition.compacted_to(),
        Offset(8),
        "where the active segment begins, although it will go on behind what was left"
    );
}

#[tokio::test]
async fn a_batch_that_the_disk_has_damaged_is_not_written_anew() {
    let house = House::new(1, &[]).await;
    let two = BatchBuilder::new(NOW).record(Some(b"a"), Some(b"1")).record(Some(b"b"), Some(b"2")).build();
    house.append(two).await;
    house.put("a", Some("3")).await;
    house.put("c", Some("4")).await;
    let read = || house.partition.read(Offset(0), 1, Offset(i64::MAX));
    let stored = read().await.expect("readable").remove(0);
    let mut damaged = stored.bytes.to_vec();
    *damaged.last_mut().expect("bytes") ^= 1;
    let damaged = Batch { bytes: Bytes::from(damaged), ..stored };
    let checksum = SuffixChecksum { from: 0, crc: 0 };
    let rot = Replacement::Rewrite { batch: damaged.clone(), checksum };
    house.store.replace(LOG, house.partition.fence, vec![rot]).await.expect("replaces");
    house.partition.tail.forget(&house.partition.newest, Offset(i64::MAX));

    let compacted = house.compact().await;
    assert_eq!(compacted.left.map(|one| one.at), Some(Offset(0)));
    let left = read().await.expect("readable").remove(0);
    assert!(left.bytes == damaged.bytes, "with the checksum that tells of it");
}

#[tokio::test]
async fn a_topic_that_is_not_compacted_any_more_ends_the_pass() {
    let house = House::new(1, &[]).await;
    for key in ["a", "a", "b"] {
        house.put(key, Some("v")).await;
    }
    let slow = Limits { bytes_per_second: 2_000.0, ..ROOMY };
    let (partition, pass) = (house.partition.clone(), house.partition.clone());
    let pass = crate::tasks::spawn("a pass", async move { pass.compact(&|| slow).await });
    tokio::task::yield_now().await;
    partition.set_settings(Arc::new(settings(&[("cleanup.policy", "delete")])));
    assert!(matches!(pass.await.expect("ends"), Err(CompactionError::Ended)));
    assert_eq!(house.seen().await.len(), 3);
}

/// An operator who has slowed it down too much can speed it up again, also in the middle of a pass.
#[tokio::test]
async fn a_pass_follows_the_pace_as_it_changes() {
    let house = House::new(1, &[]).await;
    for key in ["a", "a", "b"] {
        house.put(key, Some("v")).await;
    }
    let is_fast = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (fast, pass) = (is_fast.clone(), house.partition.clone());
    let pass = crate::tasks::spawn("a pass", async move {
        let per_second = || if fast.load(std::sync::atomic::Ordering::Relaxed) { f64::MAX } else { 1e-9 };
        pass.compact(&|| Limits { bytes_per_second: per_second(), ..ROOMY }).await
    });
    // It has begun, and would not end in this life of the universe.
    tokio::task::yield_now().await;
    assert!(!pass.is_finished());
    is_fast.store(true, std::sync::atomic::Ordering::Relaxed);
    let compacted = pass.await.expect("ends");
    assert_eq!(compacted.expect("compacts").expect("was due").cleaned, Offset(2));
}

#[tokio::test]
async fn many_neighbours_are_removed_in_pieces() {
    let house = House::new(1, &[]).await;
    for _ in 0..1_500 {
        house.put("a", Some("v")).await;
    }
    house.put("b", Some("v")).await;
    assert_eq!(house.compact().await.cleaned, Offset(1_500));
    assert_eq!(house.keys().await, shown(&[(1_499, "a"), (1_500, "b")]));
}

// --- against a model -------------------------------------------------------------------------------------------------------

#[derive(Debug, Clone)]
struct Appended {
    key: String,
    value: Option<String>,
    /// `None`: its transaction is open.
    is_committed: Option<bool>,
    producer: i64,
    /// The first offset of its batch: a horizon is the batch's.
    batch: i64,
}

#[derive(Default)]
struct Model {
    records: BTreeMap<i64, Appended>,
    sequences: HashMap<i64, i32>,
    open: HashSet<i64>,
    /// When a tombstone was first met by a pass that was done.
    met: HashMap<i64, i64>,
    cleaned: i64,
}

impl Model {
    /// Checks invariants 1 to 4.
    fn check(&self, seen: &[(i64, String, Option<String>)], stable: i64, now: i64, context: &str) {
        assert!(seen.is_sorted_by(|one, other| one.0 < other.0), "{context}: in order");
        let mut newest: HashMap<&str, i64> = HashMap::new();
        let mut below: HashSet<&str> = HashSet::new();
        for (offset, key, value) in seen {
            let known = self.records.get(offset).unwrap_or_else(|| panic!("{context}: {offset} was never appended"));
            assert_eq!((&known.key, &known.value), (key, value), "{context}: offset {offset}");
            assert_eq!(known.is_committed, Some(true), "{context}: offset {offset} was not committed");
            newest.insert(key, *offset);
            if *offset < self.cleaned {
                assert!(below.insert(key), "{context}: {key} has two records below {}", self.cleaned);
            }
        }
        let mut expected: HashMap<&str, i64> = HashMap::new();
        for (offset, record) in self.records.range(..stable) {
            if record.is_committed == Some(true) {
                expected.insert(&record.key, *offset);
            }
        }
        for (key, offset) in expected {
            let is_over =
                self.records[&offset].value.is_none() && self.met.get(&offset).is_some_and(|met| now >= met + RETENTION_MS);
            match newest.get(key) {
                Some(found) => assert_eq!(*found, offset, "{context}: the newest of {key}"),
                None => assert!(is_over, "{context}: {key} at {offset} is gone"),
            }
        }
    }

    /// A pass was done, up to `cleaned`.
    fn compacted(&mut self, cleaned: i64, now: i64) {
        self.cleaned = self.cleaned.max(cleaned);
        self.met(cleaned, now);
    }

    /// A pass has seen the batches that begin below `end`, if it was not cut short before.
    fn met(&mut self, end: i64, now: i64) {
        for (offset, record) in &self.records {
            if record.value.is_none() && record.batch < end {
                self.met.entry(*offset).or_insert(now);
            }
        }
    }
}

async fn live_through(seed: u64) {
    let mut house = House::new(seed, &[("segment.bytes", "600")]).await;
    let env = house.env.clone();
    let below = |bound: u64| i64::try_from(env.below(bound)).expect("small");
    let mut model = Model::default();
    for step in 0..300 {
        let context = format!("FBF_SEED={seed} step {step}");
        let now = env.now().0;
        match below(14) {
            0..=7 => {
                // 0: plain, 1 and 2: idempotent, 3 to 5: transactional.
                let producer = below(6);
                let codec = [Compression::None, Compression::Lz4, Compression::Zstd][usize::try_from(below(3)).expect("small")];
                let mut builder = BatchBuilder::new(env.now()).compression(codec);
                let sequence = *model.sequences.get(&producer).unwrap_or(&0);
                if producer > 0 {
                    builder = builder.producer(ProducerId(producer), ProducerEpoch(0), sequence);
                }
                if producer > 2 {
                    builder = builder.transactional();
                    model.open.insert(producer);
                }
                let mut added = Vec::new();
                for _ in 0..=below(4) {
                    let key = format!("key {}", below(9));
                    let value = (below(4) > 0).then(|| format!("{context} {}", below(1_000)));
                    builder = builder.record(Some(key.as_bytes()), value.as_deref().map(str::as_bytes));
                    let is_committed = (producer <= 2).then_some(true);
                    added.push(Appended { key, value, is_committed, producer, batch: house.partition.next().0 });
                }
                let count = i32::try_from(added.len()).expect("small");
                let (first, _) = house.append(builder.build()).await;
                model.sequences.insert(producer, sequence + count);
                model.records.extend((first.0..).zip(added));
            }
            8..=9 => {
                let Some(producer) = model.open.iter().min().copied() else { continue };
                model.open.remove(&producer);
                let marker = if below(2) == 0 { Marker::Commit } else { Marker::Abort };
                house.end(ProducerId(producer), marker).await;
                for record in model.records.values_mut().filter(|one| one.producer == producer && one.is_committed.is_none()) {
                    record.is_committed = Some(marker == Marker::Commit);
                }
            }
            10 => env.advance_ms(below(8_000)),
            11..=12 => {
                let keys_bytes = 24 * usize::try_from(below(30)).expect("small");
                let is_cut_short = below(3) == 0;
                if is_cut_short {
                    house.store.stop_replacing_after(usize::try_from(below(6)).expect("small"));
                }
                match house.partition.compact(&|| Limits { keys_bytes, ..ROOMY }).await {
                    Ok(Some(compacted)) => model.compacted(compacted.cleaned.0, now),
                    Ok(None) => {}
                    Err(CompactionError::Store(_)) if is_cut_short => {}
                    Err(error) => panic!("{context}: {error}"),
                }
                if is_cut_short {
                    // Tombstones that it met have their horizon from now on.
                    model.met(house.partition.dirty().1.0, now);
                    house = house.crash().await;
                }
            }
            _ => house = house.crash().await,
        }
        let stable = house.partition.last_stable().0;
        model.check(&house.seen().await, stable, env.now().0, &context);
        let first_open = model.records.iter().find(|(_, record)| record.is_committed.is_none()).map(|(offset, _)| *offset);
        assert_eq!(stable, first_open.unwrap_or(house.partition.next().0), "{context}: the last stable offset");
    }
    // Invariant 5: everybody goes on where they were.
    let house = house.crash().await;
    for (producer, sequence) in model.sequences.iter().filter(|(producer, _)| **producer > 0) {
        let mut builder = BatchBuilder::new(env.now()).producer(ProducerId(*producer), ProducerEpoch(0), *sequence);
        if *producer > 2 {
            builder = builder.transactional();
        }
        house.append(builder.record(Some(b"k"), Some(b"v")).build()).await;
    }
}

#[tokio::test]
async fn what_is_left_is_what_a_reader_of_the_whole_log_would_have_made_of_it() {
    let seeds = match std::env::var("FBF_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..20,
    };
    for seed in seeds {
        live_through(seed).await;
    }
}
