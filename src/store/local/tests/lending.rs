//! Goal: pages that a socket may still refer to stay as they are, though their segment is used again. Method: pipes stand for sockets whose peers do not
//! read; they get pages of what is lent, and are looked at after their segment was given back and written over.

use super::*;
use rustix::fs::{FallocateFlags, Timespec, Timestamps};
use rustix::pipe::SpliceFlags;
use std::collections::HashSet;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

/// A socket with `length` bytes at `at` of `file` in it, not copied.
fn sent(file: &File, mut at: u64, length: usize) -> File {
    let (read, write) = rustix::pipe::pipe().expect("a pipe");
    rustix::pipe::fcntl_setpipe_size(&write, 128 << 10).expect("made larger");
    let mut left = length;
    while left > 0 {
        let bytes = rustix::pipe::splice(file, Some(&mut at), &write, None, left, SpliceFlags::empty()).expect("spliced");
        assert!(bytes > 0, "the file ends {left} bytes early");
        left -= bytes;
    }
    File::from(read)
}

/// What the peer of [`sent`] reads.
fn received(mut socket: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).expect("read");
    bytes
}

/// Whether the file system of `dir` can cut a block out of a file; where it cannot, lent segments are not used again.
fn can_cut(dir: &Path) -> bool {
    let file = File::create(dir.join("cut")).expect("made");
    file.set_len(MIB).expect("set");
    rustix::fs::fallocate(&file, FallocateFlags::COLLAPSE_RANGE, 0, SEGMENT_HEADER_BYTES).is_ok()
}

/// The files of the journal, whatever they are called.
fn inodes(dir: &Path) -> HashSet<u64> {
    let list = std::fs::read_dir(dir.join("journal")).expect("the journal is listed");
    list.map(|item| item.expect("an item").metadata().expect("there").ino()).collect()
}

/// Also across a restart, after which nobody knows what was lent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_lent_is_never_written_over() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (start, is_restarted) in [(0, false), (200, true)] {
        let (store, told) = open(options(dir.path()));
        store.open(LOG, F0).await.expect("opens");
        for first in start..start + 20 {
            put_one(&store, &told, LOG, first, 60_000).await;
        }
        let lent = located(&store, LOG).await;
        let look = |span: &FileSpan| (span.read().expect("read"), sent(&span.file, span.at, span.length));
        let kept: Vec<_> = lent.iter().map(look).collect();
        let lent_files: HashSet<u64> = lent.iter().map(|span| span.file.metadata().expect("there").ino()).collect();
        drop(lent);
        let (store, told) = if is_restarted {
            store.close().await.expect("closes");
            drop(store);
            let reopened = open(options(dir.path()));
            reopened.0.open(LOG, F0).await.expect("opens");
            reopened
        } else {
            (store, told)
        };
        store.trim(LOG, F0, Offset(start + 20)).await.expect("trims");
        for first in start + 20..start + 200 {
            put_one(&store, &told, LOG, first, 60_000).await;
            store.trim(LOG, F0, Offset(first - 5)).await.expect("trims");
        }
        let is_used_again = !lent_files.is_disjoint(&inodes(dir.path()));
        assert!(is_used_again || !can_cut(dir.path()), "the files of what was lent are gone");
        assert!(kept.len() >= 20);
        for (number, (expected, socket)) in kept.into_iter().enumerate() {
            assert!(received(socket) == expected, "the {number}th was written over");
        }
        store.close().await.expect("closes");
    }
}

/// A segment that was lent, with what a socket has of it.
fn lent_segment(dir: &Path) -> (Segments, Vec<u8>, File) {
    let segments = Segments::new(dir.to_owned());
    let segment = Segment::create(dir, 5, MIB, 1, None, None).expect("made");
    let content: Vec<u8> = (0..250_000_u32).flat_map(u32::to_le_bytes).collect();
    segment.file.write_all_at(&content, SEGMENT_HEADER_BYTES).expect("written");
    segments.insert_open(&segment);
    drop(segment);
    let file = segments.lend(5).expect("opens").expect("there");
    // From the middle of a page to the middle of another.
    let socket = sent(&file, SEGMENT_HEADER_BYTES + 5_000, 60_000);
    (segments, content[5_000..65_000].to_vec(), socket)
}

#[test]
fn a_lent_segment_becomes_a_spare_without_the_pages_that_were_lent() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (segments, expected, socket) = lent_segment(dir.path());
    match segments.retire(5, Afterwards::Spare).expect("retired") {
        Retired::Spare(spare) => {
            let file = OpenOptions::new().write(true).open(spare).expect("opens");
            assert_eq!(file.metadata().expect("there").len(), MIB);
            file.write_all_at(&vec![0xee; 1 << 20], 0).expect("written");
        }
        Retired::Removed => assert!(!can_cut(dir.path())),
    }
    assert!(received(socket) == expected, "written over");
}

#[test]
fn a_segment_of_which_no_spare_is_wanted_is_removed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (segments, expected, socket) = lent_segment(dir.path());
    assert!(matches!(segments.retire(5, Afterwards::Nothing).expect("retired"), Retired::Removed));
    assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 0);
    assert!(received(socket) == expected);
}

#[test]
fn a_segment_that_somebody_reads_is_not_cut_under_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (segments, expected, _) = lent_segment(dir.path());
    let held = segments.file(5).expect("opens").expect("there");
    assert!(matches!(segments.retire(5, Afterwards::Spare).expect("retired"), Retired::Removed));
    let mut bytes = vec![0; expected.len()];
    held.read_exact_at(&mut bytes, SEGMENT_HEADER_BYTES + 5_000).expect("read");
    assert!(bytes == expected);
}

/// A kill between the cut and the new name, and a power failure after them, leave a segment without a header. Nothing lives in it, so the next start does not
/// need one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_after_a_kill_gives_back_a_dead_segment_that_was_cut() {
    for bytes in [MIB - SEGMENT_HEADER_BYTES, MIB] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (store, told) = open(options(dir.path()));
        store.open(LOG, F0).await.expect("opens");
        for first in 0..40 {
            put_one(&store, &told, LOG, first, 60_000).await;
        }
        store.trim(LOG, F0, Offset(39)).await.expect("trims");
        let first_segment = |dir: &Path| segment_path(&dir.join("journal"), 1);
        eventually("the first segment is given away", || !first_segment(dir.path()).exists()).await;
        let dir = crash(store);
        std::fs::write(first_segment(dir.path()), vec![0xee; usize::try_from(bytes).expect("small")]).expect("written");

        let (store, told) = open(options(dir.path()));
        store.open(LOG, F0).await.expect("opens");
        eventually("it is given away", || !first_segment(dir.path()).exists()).await;
        put_one(&store, &told, LOG, 40, 60_000).await;
        assert_eq!(read_firsts(&store, LOG).await, [39, 40]);
        store.close().await.expect("closes");
    }
}

/// Nothing behind the end of what was closed can have been lent; what a kill leaves there may have been, before it was cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spares_keep_their_pages_over_a_clean_close_and_leave_them_after_a_kill() {
    // By their names alone: while the store is open, files come and go.
    let spares = |dir: &Path| names(dir, ".spare").iter().map(|name| dir.join("journal").join(name)).collect::<Vec<_>>();
    // In 2001.
    let old = Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
    for is_closed in [true, false] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (store, told) = open(options(dir.path()));
        store.open(LOG, F0).await.expect("opens");
        for first in 0..60 {
            put_one(&store, &told, LOG, first, 60_000).await;
        }
        store.trim(LOG, F0, Offset(60)).await.expect("trims");
        eventually("dead segments are given away", || !spares(dir.path()).is_empty()).await;
        let dir = if is_closed {
            store.close().await.expect("closes");
            drop(store);
            dir
        } else {
            crash(store)
        };
        for item in std::fs::read_dir(dir.path().join("journal")).expect("listed") {
            let file = OpenOptions::new().write(true).open(item.expect("an item").path()).expect("opens");
            rustix::fs::futimens(&file, &Timestamps { last_access: old, last_modification: old }).expect("set");
        }
        let (store, _) = open(options(dir.path()));
        let found = spares(dir.path());
        assert!(!found.is_empty() || !(is_closed || can_cut(dir.path())), "the next segments are made anew");
        for spare in found {
            let modified = std::fs::metadata(&spare).expect("there").mtime();
            assert_eq!(modified == old.tv_sec, is_closed, "{}", spare.display());
        }
        store.close().await.expect("closes");
    }
}
