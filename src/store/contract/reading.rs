//! The contract's part on reading: which batches are found, and how much of them.

use super::{ALL, END, F0, Harness, LOG, firsts, put, ten_by_ten};
use crate::ids::{LogId, Offset, Timestamp};

pub(super) async fn whole_batches_are_read_from_inside_a_batch(h: Harness) {
    ten_by_ten(&h, 5).await;
    let read = h.read(LOG, 13, END, ALL).await;
    assert_eq!(firsts(LOG, &read), [10, 20, 30, 40]);
    assert_eq!(read[0].last, Offset(19));
    assert_eq!(read[0].max_timestamp, Timestamp(1));
    assert_eq!(read[0].bytes.len(), 101);
    assert_eq!(h.read(LOG, 50, END, ALL).await, []);
}

pub(super) async fn first_batch_is_read_whatever_its_size(h: Harness) {
    ten_by_ten(&h, 3).await;
    assert_eq!(firsts(LOG, &h.read(LOG, 0, END, 0).await), [0]);
    assert_eq!(firsts(LOG, &h.read(LOG, 15, END, 1).await), [10]);
}

pub(super) async fn read_stops_before_max_bytes(h: Harness) {
    ten_by_ten(&h, 4).await;
    assert_eq!(firsts(LOG, &h.read(LOG, 0, END, 200).await), [0]);
    assert_eq!(firsts(LOG, &h.read(LOG, 0, END, 201).await), [0, 10]);
    assert_eq!(firsts(LOG, &h.read(LOG, 0, END, 303).await), [0, 10, 20]);
}

pub(super) async fn read_stops_at_the_bound(h: Harness) {
    ten_by_ten(&h, 4).await;
    assert_eq!(firsts(LOG, &h.read(LOG, 0, Offset(20), ALL).await), [0, 10]);
    assert_eq!(firsts(LOG, &h.read(LOG, 0, Offset(21), ALL).await), [0, 10, 20]);
    assert_eq!(h.read(LOG, 5, Offset(0), ALL).await, []);
}

pub(super) async fn gaps_between_batches_are_skipped(h: Harness) {
    h.store.open(LOG, F0).await.expect("opens");
    h.put(LOG, 3, 5, 1, 40).await;
    h.put(LOG, 1_000, 1_001, 2, 50).await;
    h.put(LOG, 5_000_000_000, 5_000_000_000, 3, 60).await;
    assert_eq!(firsts(LOG, &h.read(LOG, 0, END, ALL).await), [3, 1_000, 5_000_000_000]);
    assert_eq!(firsts(LOG, &h.read(LOG, 6, END, 1).await), [1_000]);
    assert_eq!(firsts(LOG, &h.read(LOG, 1_002, END, ALL).await), [5_000_000_000]);
    let bounds = h.store.open(LOG, F0).await.expect("opens again");
    assert_eq!((bounds.start, bounds.next, bounds.bytes), (Offset(0), Offset(5_000_000_001), 150));
}

pub(super) async fn many_batches_of_many_logs_read_back(h: Harness) {
    // Goal: neighbours, interleaving and several segments; method: 20 logs, 2 MiB, then every log is read in pieces.
    let logs = 20;
    for log in 0..logs {
        h.store.open(LogId(log), F0).await.expect("opens");
    }
    for round in 0..50i64 {
        for log in 0..logs {
            let length = usize::try_from((round * 37 + log.cast_signed() * 101) % 4000 + 1).expect("small");
            put(&*h.store, LogId(log), round, round, round, length).await;
        }
    }
    for log in (0..logs).map(LogId) {
        h.told.wait(log, Offset(49)).await;
        let mut from = 0;
        while from < 50 {
            let read = h.read(log, from, END, 9_000).await;
            let expected: Vec<i64> = (from..from + i64::try_from(read.len()).expect("small")).collect();
            assert!(!read.is_empty() && firsts(log, &read) == expected, "log {log} from {from}");
            from += i64::try_from(read.len()).expect("small");
        }
    }
}
