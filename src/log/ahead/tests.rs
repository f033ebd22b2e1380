//! Goal: what a look ahead found is used only where it is what a read answers now. Method: logs on the local store, whose batches lie in files.

use super::*;
use crate::config::KafkaSettings;
use crate::config::topic::TopicSettings;
use crate::env::Env;
use crate::ids::Timestamp;
use crate::log::fetch::{Isolation, fetch, read_one};
use crate::log::{LogOptions, Logs, Origin, ReadError};
use crate::records::BatchBuilder;
use crate::store::local::{LocalOptions, LocalStore};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use tempfile::TempDir;
use tokio::sync::Semaphore;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const NO_END: Offset = Offset(i64::MAX);
/// Batches of one record each.
const BATCHES: i64 = 40;
/// What a fetch asks for: nine of them.
const WANTED: usize = 100_000;
const PERMITS: usize = 100;
const LIMITS: Limits =
    Limits { min_bytes: 1, max_bytes: WANTED, max_wait: Duration::ZERO, isolation: Isolation::ReadUncommitted };

struct House {
    logs: Arc<Logs>,
    ahead: Ahead,
    memory: Arc<Semaphore>,
    _dir: TempDir,
}

fn house(tail_bytes: usize) -> House {
    let dir = tempfile::tempdir().expect("a directory");
    let options = LocalOptions { segment_bytes: 1 << 20, zero_ahead: false, ..LocalOptions::new(dir.path()) };
    let store = LocalStore::open(options).expect("the store opens");
    let logs = Logs::new(store, Env::manual(NOW, 1), LogOptions { tail_bytes, producer_expiration_ms: 86_400_000 });
    House { logs, ahead: Ahead::new(Ahead::reads()), memory: Arc::new(Semaphore::new(PERMITS)), _dir: dir }
}

impl House {
    /// A log of [`BATCHES`].
    async fn partition(&self, log: u64) -> Arc<Partition> {
        let settings = TopicSettings::resolve(&BTreeMap::new(), &KafkaSettings::default()).expect("the defaults are valid");
        let partition = self.logs.open(LogId(log), Arc::new(settings)).await.expect("a log opens");
        for _ in 0..BATCHES {
            let batch = BatchBuilder::new(NOW).record(None, Some(&[b'v'; 10_000])).build();
            let appended = partition.append(batch, Origin::Client).await.expect("taken");
            partition.wait_committed(appended.last).await.expect("committed");
        }
        partition
    }

    /// Fetches from the start, and has what follows looked for; answers where that begins.
    async fn fetch(&self, partition: &Arc<Partition>) -> Offset {
        let targets = vec![target(partition, Offset(0))];
        let fetched = fetch(&targets, LIMITS, None).await;
        let memory = self.memory.clone();
        self.ahead.look(targets, &fetched, LIMITS, move |_| memory.clone().try_acquire_owned().ok());
        end(&fetched[0]).expect("something")
    }

    /// The same, and what was found.
    async fn looked(&self, partition: &Arc<Partition>) -> (Offset, Looked) {
        let next = self.fetch(partition).await;
        eventually(|| self.found() > 0).await;
        let mut looked = self.ahead.take().expect("somebody looked");
        // However slow the machine is, it is not too old.
        looked.found.values_mut().for_each(|found| found.at += Duration::from_secs(3_600));
        (next, looked)
    }

    /// Of how many partitions something was found.
    fn found(&self) -> usize {
        self.ahead.lock().as_ref().map_or(0, |looking| lock(&looking.found).len())
    }
}

fn target(partition: &Arc<Partition>, from: Offset) -> Target {
    Target { partition: partition.clone(), from, max_bytes: WANTED }
}

async fn eventually(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("in the end");
}

/// Behind the last batch of what was fetched.
fn end(fetched: &Fetched) -> Option<Offset> {
    fetched.stretches.as_ref().expect("readable").last().map(|newest| newest.last.next())
}

async fn read(partition: &Arc<Partition>, from: Offset, looked: &mut Looked) -> Fetched {
    read_one(&target(partition, from), NO_END, WANTED, Isolation::ReadUncommitted, true, Some(looked)).await
}

#[tokio::test]
async fn a_reader_that_goes_on_gets_what_was_found() {
    let house = house(0);
    let partition = house.partition(1).await;
    let (next, mut looked) = house.looked(&partition).await;
    let afresh = partition.locate(next, WANTED, NO_END, None).await.expect("readable");
    let found = &mut looked.found.get_mut(&partition.log()).expect("it was found").stretches;
    let bytes = |stretches: &[Stretch]| {
        let spans: Vec<Span> = stretches.iter().map(|stretch| stretch.bytes.clone()).collect();
        crate::span::load(&spans).expect("readable")
    };
    assert!(bytes(found) == bytes(&afresh), "the same as a read");
    // So that it is known which of the two the reader gets.
    found.pop();
    let expected = found.last().expect("more than one").last.next();
    assert_eq!(end(&read(&partition, next, &mut looked).await), Some(expected));
    let again = read(&partition, next, &mut looked).await;
    assert_eq!(end(&again), afresh.last().map(|newest| newest.last.next()), "what was taken is gone");
}

#[tokio::test]
async fn what_was_found_is_left_where_a_read_answers_something_else() {
    let house = house(0);
    let partition = house.partition(1).await;
    let (next, found) = house.looked(&partition).await;
    let bytes = total(&found.found[&partition.log()].stretches);
    let last = found.found[&partition.log()].stretches.last().expect("something").last;
    let cases = [
        ("nothing else", next, bytes, NO_END, true),
        ("nothing else, with more room", next, 2 * bytes, last.next(), true),
        ("from elsewhere", next.next(), bytes, NO_END, false),
        ("less", next, bytes - 1, NO_END, false),
        ("much more", next, 2 * bytes + 2, NO_END, false),
        ("nothing behind an undecided record", next, bytes, last, false),
    ];
    for (what, from, max_bytes, to, is_taken) in cases {
        let (_, mut looked) = house.looked(&partition).await;
        assert_eq!(looked.answer_to(&partition, from, max_bytes, to).is_some(), is_taken, "{what}");
    }
    let (_, mut looked) = house.looked(&partition).await;
    partition.emptied_times.fetch_add(1, Ordering::AcqRel);
    assert!(looked.answer_to(&partition, next, bytes, NO_END).is_none(), "compaction forgot whose records are void");
}

#[tokio::test]
async fn nothing_is_read_from_below_the_start_or_of_a_log_that_is_gone() {
    let house = house(0);
    let partition = house.partition(1).await;
    let (next, mut looked) = house.looked(&partition).await;
    partition.trim(next.next()).await.expect("trimmed");
    let stretches = read(&partition, next, &mut looked).await.stretches;
    assert!(matches!(stretches, Err(ReadError::OutOfRange { .. })), "{stretches:?}");

    let partition = house.partition(2).await;
    let (next, mut looked) = house.looked(&partition).await;
    house.logs.delete(&[partition.log()]).await.expect("deleted");
    let stretches = read(&partition, next, &mut looked).await.stretches;
    assert!(matches!(stretches, Err(ReadError::Stopped(_))), "{stretches:?}");
}

#[tokio::test]
async fn nothing_is_looked_for_when_a_reader_keeps_up_or_nothing_is_left() {
    let in_memory = house(1 << 20);
    let partition = in_memory.partition(1).await;
    in_memory.fetch(&partition).await;
    assert!(in_memory.ahead.take().is_none(), "what was answered came from memory");

    let on_disk = house(0);
    let partition = on_disk.partition(1).await;
    let fetched = fetch(&[target(&partition, Offset(BATCHES - 1))], LIMITS, None).await;
    assert_eq!(end(&fetched[0]), Some(Offset(BATCHES)));
    assert_eq!(behind(vec![target(&partition, Offset(BATCHES - 1))], &fetched).len(), 0, "the log ends there");
}

#[tokio::test]
async fn what_found_no_room_in_the_answer_comes_first() {
    let house = house(0);
    let (first, second) = (house.partition(1).await, house.partition(2).await);
    let targets = vec![target(&first, Offset(0)), target(&second, Offset(7))];
    let fetched = fetch(&targets, LIMITS, None).await;
    let next: Vec<(LogId, Offset)> = behind(targets, &fetched).iter().map(|one| (one.partition.log(), one.from)).collect();
    assert_eq!(next, [(second.log(), Offset(7)), (first.log(), end(&fetched[0]).expect("something"))]);
}

#[tokio::test]
async fn a_look_ends_where_a_fetch_would() {
    let house = house(0);
    let (first, second) = (house.partition(1).await, house.partition(2).await);
    let one_batch = total(&first.locate(Offset(0), 1, NO_END, None).await.expect("readable"));
    let cases =
        [("as much as two partitions have", 2 * WANTED, 2), ("room for one", WANTED, 1), ("no batch fits", one_batch - 1, 0)];
    for (what, max_bytes, count) in cases {
        let targets = vec![target(&first, Offset(0)), target(&second, Offset(0))];
        let fetched = fetch(&targets, Limits { max_bytes: 2 * WANTED, ..LIMITS }, None).await;
        let (done, is_done) = oneshot::channel::<()>();
        let charged = Arc::new(Mutex::new(Vec::new()));
        let (memory, seen, done) = (house.memory.clone(), charged.clone(), Mutex::new(Some(done)));
        let charge = move |bytes| {
            // Goes with the look.
            let _ = &done;
            seen.lock().expect("no panic").push(bytes);
            memory.clone().try_acquire_owned().ok()
        };
        house.ahead.look(targets, &fetched, Limits { max_bytes, ..LIMITS }, charge);
        assert!(is_done.await.is_err(), "it is only dropped");
        let charged = charged.lock().expect("no panic");
        assert_eq!(charged.len(), count, "{what}");
        assert!(charged.iter().all(|bytes| *bytes > size_of::<Stretch>()), "what is noted: {charged:?}");
    }
}

#[tokio::test]
async fn without_memory_for_what_was_found_the_look_ends() {
    let house = house(0);
    let (first, second) = (house.partition(1).await, house.partition(2).await);
    let targets = vec![target(&first, Offset(0)), target(&second, Offset(0))];
    let limits = Limits { max_bytes: 2 * WANTED, ..LIMITS };
    let fetched = fetch(&targets, limits, None).await;
    let (asked, mut times) = tokio::sync::mpsc::unbounded_channel();
    house.ahead.look(targets, &fetched, limits, move |_| {
        let _ = asked.send(());
        None
    });
    assert_eq!(times.recv().await, Some(()));
    assert_eq!(times.recv().await, None, "nothing more is read");
    assert_eq!(house.found(), 0);
}

#[tokio::test]
async fn what_nobody_comes_for_is_given_back() {
    let house = house(0);
    let partition = house.partition(1).await;
    let next = house.fetch(&partition).await;
    eventually(|| house.found() > 0).await;
    assert_eq!(house.memory.available_permits(), PERMITS - 1);
    eventually(|| house.found() == 0).await;
    assert_eq!(house.memory.available_permits(), PERMITS);

    let (_, mut looked) = house.looked(&partition).await;
    looked.found.get_mut(&partition.log()).expect("it was found").at = tokio::time::Instant::now() - 2 * KEPT;
    assert!(looked.answer_to(&partition, next, WANTED, NO_END).is_none(), "it may have left the page cache");
}

#[tokio::test]
async fn a_fetch_ends_the_look_and_what_it_does_not_ask_for_is_given_back() {
    let house = house(0);
    let partition = house.partition(1).await;
    let (next, mut looked) = house.looked(&partition).await;
    let limits = Limits { min_bytes: 1 << 20, max_bytes: 1 << 20, max_wait: Duration::from_millis(1), ..LIMITS };
    let fetched = fetch(&[target(&partition, Offset(BATCHES))], limits, Some(&mut looked)).await;
    assert_eq!((end(&fetched[0]), looked.used()), (None, 0));
    assert_eq!(house.memory.available_permits(), PERMITS, "before it waits");
    let (_, mut looked) = house.looked(&partition).await;
    let fetched = fetch(&[target(&partition, next)], LIMITS, Some(&mut looked)).await;
    assert!(end(&fetched[0]) > Some(next));
    assert_eq!(looked.used(), 1);
}
