//! Where batches lie, looked up with and without the disk: both say the same, and the quick look-up knows when it must not answer.

use super::super::reader::{self, Wanted};
use super::*;
use crate::store::Stretch;

/// First and last offset, place and length of each stretch.
fn places(stretches: Vec<Stretch>) -> Vec<(Offset, Offset, u64, usize)> {
    let place = |stretch: Stretch| match stretch.bytes {
        Span::File(span) => (stretch.first, stretch.last, span.at, span.length),
        Span::Memory(_) => panic!("the journal is a file"),
    };
    stretches.into_iter().map(place).collect()
}

/// Batches `from` to before `to`, looked up without the disk.
fn quickly(store: &LocalStore, from: i64, to: i64) -> Option<Vec<(Offset, Offset, u64, usize)>> {
    let wanted = Wanted { log: LOG, from: Offset(from), to: Offset(to), max_bytes: ALL };
    let index = store.shared.index().expect("the index is open");
    reader::locate_in_memory(&store.shared, &index, wanted).map(places)
}

/// A new store with a thousand batches of one record and 100 bytes.
async fn with_a_thousand(dir: &Path) -> Arc<LocalStore> {
    let (store, told) = open(options(dir));
    store.open(LOG, F0).await.expect("opens");
    for first in 0..1000 {
        put(&*store, LOG, first, first, first, 100).await;
    }
    told.wait(LOG, Offset(999)).await;
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_in_memory_is_looked_up_on_the_disk() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = with_a_thousand(dir.path()).await;
    let written = quickly(&store, 400, 410).expect("in memory: it was only just written");
    assert_eq!(written.iter().map(|(_, _, _, length)| length).sum::<usize>(), 10 * 100);
    assert_eq!((written[0].0, written[written.len() - 1].1), (Offset(400), Offset(409)));
    // More than a quick look is for.
    assert_eq!(quickly(&store, 0, 1000), None);
    assert!(!places(store.locate(LOG, Offset(0), END, ALL).await.expect("located")).is_empty());
    store.close().await.expect("closes");
    drop(store);

    let (store, _) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    // Opening looks at both ends; the middle of the index is on the disk only.
    assert_eq!(quickly(&store, 400, 410), None);
    let read = places(store.locate(LOG, Offset(400), Offset(410), ALL).await.expect("located"));
    assert_eq!(read, written);
    assert_eq!(quickly(&store, 400, 410), Some(written));
    // Of a log that is not open, the other says what is wrong.
    store.delete(vec![LOG]).await.expect("deleted");
    assert_eq!(quickly(&store, 400, 410), None);
    assert!(store.locate(LOG, Offset(400), Offset(410), ALL).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_new_batches_lie_stays_in_memory_when_it_is_written_to_the_disk() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = with_a_thousand(dir.path()).await;
    let written = quickly(&store, 400, 410).expect("in memory: it was only just written");
    let index = store.shared.index().expect("the index is open");
    index.flush().expect("flushes");
    assert_eq!(quickly(&store, 400, 410).as_ref(), Some(&written), "after a flush");
    index.compact().expect("compacts");
    assert_eq!(quickly(&store, 400, 410).as_ref(), Some(&written), "after a compaction");
    drop(index);
    store.close().await.expect("closes");
}
