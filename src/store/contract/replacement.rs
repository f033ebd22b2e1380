//! The contract's part on replacing committed batches, which is what compaction does.

use super::{ALL, END, F0, Harness, LOG, OTHER, firsts, payload, put};
use crate::ids::{Fence, Offset, Timestamp};
use crate::store::{Batch, Replacement, StoreError, SuffixChecksum};

/// The batch at `first..=last` becomes one of `length` bytes.
pub(crate) fn rewrite(first: i64, last: i64, time: i64, length: usize) -> Replacement {
    let bytes = payload(LOG, first, length);
    let checksum = SuffixChecksum { from: 0, crc: crc32c::crc32c(&bytes) };
    let batch = Batch { first: Offset(first), last: Offset(last), max_timestamp: Timestamp(time), bytes };
    Replacement::Rewrite { batch, checksum }
}

pub(crate) fn remove(first: i64, last: i64) -> Replacement {
    Replacement::Remove { first: Offset(first), last: Offset(last) }
}

async fn replace(h: &Harness, changes: Vec<Replacement>) {
    h.store.replace(LOG, F0, changes).await.expect("replaces");
}

fn sizes(batches: &[Batch]) -> Vec<usize> {
    firsts(LOG, batches);
    batches.iter().map(|batch| batch.bytes.len()).collect()
}

/// Five batches of 100 bytes at 0..=9, 10..=19, …, of times 0, 10, ….
async fn five(h: &Harness) {
    h.store.open(LOG, F0).await.expect("opens");
    for number in 0..5 {
        h.put(LOG, number * 10, number * 10 + 9, number * 10, 100).await;
    }
}

pub(super) async fn rewritten_batches_take_the_place_of_the_old_ones(h: Harness) {
    five(&h).await;
    replace(&h, vec![rewrite(10, 19, 10, 40), rewrite(40, 49, 40, 30)]).await;
    let expected = [100, 40, 100, 100, 30];
    assert_eq!(sizes(&h.read(LOG, 0, END, ALL).await), expected);
    assert_eq!(h.store.size(LOG), 370);
    assert_eq!(h.store.bytes_from(LOG, Offset(25)).await.expect("counted"), 300, "as they were appended");
    assert_eq!(h.told.of(LOG).len(), 5, "replacements are nobody's news");

    let h = h.reopen().await;
    let bounds = h.store.open(LOG, F0).await.expect("opens");
    assert_eq!((bounds.next, bounds.bytes, bounds.is_replaced), (Offset(50), 370, true));
    assert_eq!(sizes(&h.read(LOG, 0, END, ALL).await), expected);
    // The log goes on, and a batch is replaced once more.
    h.put(LOG, 50, 59, 50, 100).await;
    replace(&h, vec![rewrite(10, 19, 10, 20)]).await;
    assert_eq!(sizes(&h.read(LOG, 15, END, ALL).await), [20, 100, 100, 30, 100]);
    assert_eq!(h.store.size(LOG), 450);
}

pub(super) async fn removed_batches_leave_gaps_and_the_newest_stays(h: Harness) {
    five(&h).await;
    assert!(!h.store.open(LOG, F0).await.expect("opens").is_replaced);
    // A batch that is only partly within the offsets stays.
    replace(&h, vec![remove(0, 25), remove(30, 49)]).await;
    let expected = [20, 40];
    assert_eq!(firsts(LOG, &h.read(LOG, 0, END, ALL).await), expected);
    assert_eq!(h.store.size(LOG), 200);
    let h = h.reopen().await;
    let bounds = h.store.open(LOG, F0).await.expect("opens");
    assert_eq!((bounds.start, bounds.next, bounds.bytes), (Offset(0), Offset(50), 200));
    assert_eq!(firsts(LOG, &h.read(LOG, 0, END, ALL).await), expected);
    assert_eq!(firsts(LOG, &h.read(LOG, 5, Offset(21), ALL).await), [20], "a reader in a gap goes on behind it");
    h.put(LOG, 50, 59, 0, 10).await;
    replace(&h, vec![remove(0, 49)]).await;
    assert_eq!(firsts(LOG, &h.read(LOG, 0, END, ALL).await), [50]);
}

pub(super) async fn what_is_gone_or_of_another_owner_is_not_replaced(h: Harness) {
    five(&h).await;
    h.store.trim(LOG, F0, Offset(20)).await.expect("trims");
    // Other offsets than the batch has: it is none of ours.
    replace(&h, vec![rewrite(0, 9, 0, 50), rewrite(21, 29, 0, 50), remove(0, 19)]).await;
    assert_eq!(sizes(&h.read(LOG, 0, END, ALL).await), [100, 100, 100]);
    h.store.open(LOG, Fence(2)).await.expect("opens");
    let refused = h.store.replace(LOG, Fence(1), vec![remove(20, 29)]).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    let unknown = h.store.replace(OTHER, F0, vec![remove(20, 29)]).await;
    assert!(matches!(unknown, Err(StoreError::UnknownLog(OTHER))), "{unknown:?}");
    assert_eq!(firsts(LOG, &h.read(LOG, 0, END, ALL).await), [20, 30, 40]);
}

pub(super) async fn replaced_logs_are_still_searched_by_time_and_size(h: Harness) {
    five(&h).await;
    replace(&h, vec![rewrite(0, 9, 0, 10), remove(10, 19), rewrite(40, 49, 25, 50)]).await;
    // What is left: 0 (10 bytes, time 0), 20 (100, 20), 30 (100, 30), 40 (50, 25).
    assert_eq!(h.store.max_time(LOG).await.expect("found"), Some((Offset(30), Timestamp(30))));
    for (time, found) in [(0, Some(0)), (1, Some(20)), (25, Some(30)), (31, None), (40, None)] {
        assert_eq!(h.store.at_time(LOG, Offset(0), Timestamp(time)).await.expect("searched"), found.map(Offset), "time {time}");
    }
    let expected = [(0, 50), (1, 40), (50, 40), (51, 30), (150, 30), (151, 20), (250, 20), (251, 0), (260, 0), (9_999, 0)];
    for (bytes, offset) in expected {
        assert_eq!(h.store.keep_bytes(LOG, bytes).await.expect("found"), Offset(offset), "{bytes} bytes");
    }
    h.store.trim(LOG, F0, Offset(30)).await.expect("trims");
    assert_eq!(firsts(LOG, &h.read(LOG, 0, END, ALL).await), [30, 40]);
    put(&*h.store, LOG, 50, 59, 50, 5).await;
    let h = h.reopen().await;
    h.store.open(LOG, F0).await.expect("opens");
    for _ in 0..1000 {
        if h.store.size(LOG) == 155 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("trimmed batches still count: {} bytes", h.store.size(LOG));
}
