//! Long polling over many partitions: read until there is enough; otherwise sleep until something arrives or time is up.
//!
//! Source: KIP-74 (response size), FetchRequest; ReplicaManager.fetchMessages, DelayedFetch.

use super::ahead::Looked;
use super::partition::Partition;
use super::read::ReadError;
use super::transactions::Aborted;
use super::waiters::Waiter;
use crate::ids::Offset;
use crate::store::Stretch;
use std::sync::Arc;
use std::time::Duration;

/// Each look at what has arrived reads all of it again, so a fetch that waits for more than there is does not look each time that something
/// comes, but after this pause, or after [`LOOKS_SPARED`] times as long as the last look took.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const LOOKS_SPARED: u32 = 4;
/// A read that ends where the log does.
const NO_END: Offset = Offset(i64::MAX);

/// What one partition is asked for.
#[derive(Clone)]
pub struct Target {
    pub partition: Arc<Partition>,
    pub from: Offset,
    pub max_bytes: usize,
}

/// Which records a reader may see (`isolation.level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

impl Isolation {
    /// Where its reads end.
    pub(super) fn end(self, last_stable: Offset) -> Offset {
        match self {
            Isolation::ReadUncommitted => NO_END,
            Isolation::ReadCommitted => last_stable,
        }
    }
}

/// Limits over all partitions of one fetch.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub min_bytes: usize,
    pub max_bytes: usize,
    pub max_wait: Duration,
    pub isolation: Isolation,
}

/// What one partition gave; the offsets are of the moment of reading.
#[derive(Debug, Clone)]
pub struct Fetched {
    pub stretches: Result<Vec<Stretch>, ReadError>,
    pub watermark: Offset,
    pub last_stable: Offset,
    pub start: Offset,
    /// With [`Isolation::ReadCommitted`]: whose records among these are void.
    pub aborted: Vec<Aborted>,
}

/// Reads all `targets`, in order, each answered at the same position. Waits up to `max_wait` for `min_bytes`; an error of any
/// partition, or no target at all, answers at once. Cancel-safe. `looked`: where some of it may have been found already.
pub async fn fetch(targets: &[Target], limits: Limits, mut looked: Option<&mut Looked>) -> Vec<Fetched> {
    {
        let (fetched, found) = read_all(targets, limits, looked.as_deref_mut()).await;
        // Without a partition there is nothing to wait for (a consumer that closes its session sends such a fetch).
        if found == Found::Enough || targets.is_empty() || limits.max_wait.is_zero() {
            return fetched;
        }
    }
    if let Some(looked) = looked {
        looked.forget();
    }
    let deadline = tokio::time::Instant::now() + limits.max_wait;
    let sleeping = Sleeping::register(targets.iter().map(|target| target.partition.clone()).collect());
    loop {
        // Read again after registering: what arrived in between has woken nobody.
        let began = tokio::time::Instant::now();
        let (fetched, found) = read_all(targets, limits, None).await;
        let pause = pause_after(began.elapsed());
        // The time first: something may always have arrived meanwhile.
        if found == Found::Enough || began >= deadline {
            return fetched;
        }
        // What was found is charged to nobody while this sleeps, and would stay in memory, and on the disk, when the log has let go of it.
        let nothing = (found == Found::Nothing).then_some(fetched);
        let has_news = tokio::time::timeout_at(deadline, sleeping.waiter().changed()).await.is_ok();
        if let (false, Some(nothing)) = (has_news, nothing) {
            return nothing;
        }
        if found == Found::Some || pause > PAUSE_MIN {
            tokio::time::sleep_until(deadline.min(tokio::time::Instant::now() + pause)).await;
        }
    }
}

/// How long a fetch does not look again after a look that took `look` and did not find enough; see [`PAUSE_MIN`].
#[must_use]
pub fn pause_after(look: Duration) -> Duration {
    look.saturating_mul(LOOKS_SPARED).max(PAUSE_MIN)
}

/// What a look at all partitions came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    /// Less than is wanted.
    Some,
    /// Enough, or an error.
    Enough,
}

async fn read_all(targets: &[Target], limits: Limits, mut looked: Option<&mut Looked>) -> (Vec<Fetched>, Found) {
    let mut fetched = Vec::with_capacity(targets.len());
    let mut bytes = 0usize;
    let mut has_failed = false;
    for target in targets {
        let room = limits.max_bytes.saturating_sub(bytes).min(target.max_bytes);
        let one = read_one(target, NO_END, room, limits.isolation, bytes == 0, looked.as_deref_mut()).await;
        match &one.stretches {
            Ok(stretches) => bytes = bytes.saturating_add(total(stretches)),
            Err(_) => has_failed = true,
        }
        fetched.push(one);
    }
    let found = match bytes {
        _ if has_failed || bytes >= limits.min_bytes => Found::Enough,
        0 => Found::Nothing,
        _ => Found::Some,
    };
    (fetched, found)
}

/// Reads one partition now, nothing that begins at or behind `end`. `is_first`: nothing was found yet, so one batch is owed whatever its size
/// (KIP-74: a reader always makes progress). `looked`: where it may have been found already.
pub async fn read_one(
    target: &Target,
    end: Offset,
    room: usize,
    isolation: Isolation,
    is_first: bool,
    mut looked: Option<&mut Looked>,
) -> Fetched {
    let partition = &target.partition;
    let last_stable = partition.last_stable();
    let to = end.min(isolation.end(last_stable));
    let (stretches, aborted) = loop {
        let emptied_times = partition.emptied_times();
        let stretches = if room == 0 && !is_first {
            // Still an answer: offsets, and OFFSET_OUT_OF_RANGE where it applies.
            partition.locate(target.from, 0, target.from, None).await
        } else {
            partition.locate(target.from, room, to, looked.as_deref_mut()).await.map(|mut stretches| {
                // Then it is the one batch that is answered whatever its size.
                let is_too_large = total(&stretches) > room;
                if is_too_large && !is_first {
                    stretches.clear();
                }
                stretches
            })
        };
        let answer = match (stretches, isolation) {
            (Ok(stretches), Isolation::ReadCommitted) => {
                match aborted_among(partition, target.from, stretches.last().map(|newest| newest.last)) {
                    Ok(aborted) => (Ok(stretches), aborted),
                    Err(error) => (Err(error), Vec::new()),
                }
            }
            (stretches, _) => (stretches, Vec::new()),
        };
        if partition.emptied_times() == emptied_times {
            break answer;
        }
    };
    Fetched { stretches, watermark: partition.watermark(), last_stable, start: partition.start(), aborted }
}

/// Bytes of all of these.
pub fn total(stretches: &[Stretch]) -> usize {
    stretches.iter().map(|stretch| stretch.bytes.len()).sum()
}

/// Which transactions are void among what was read from `from` up to and including `newest` (nothing: `None`).
///
/// # Errors
/// [`ReadError::OutOfRange`] when the log was trimmed past `from` after they were read: what was forgotten with it may have been void.
pub(super) fn aborted_among(partition: &Partition, from: Offset, newest: Option<Offset>) -> Result<Vec<Aborted>, ReadError> {
    let Some(newest) = newest else { return Ok(Vec::new()) };
    let aborted = partition.aborted(from, newest.next());
    // The start moves before anything is forgotten.
    let start = partition.start();
    if start > from {
        return Err(ReadError::OutOfRange { asked: from, start, end: partition.watermark() });
    }
    Ok(aborted)
}

/// A waiter that is registered with its partitions until this drops.
pub struct Sleeping {
    waiter: Arc<Waiter>,
    partitions: Vec<Arc<Partition>>,
}

impl Sleeping {
    #[must_use]
    pub fn register(partitions: Vec<Arc<Partition>>) -> Sleeping {
        let waiter = Arc::new(Waiter::default());
        for partition in &partitions {
            partition.watch(waiter.clone());
        }
        Sleeping { waiter, partitions }
    }

    /// Is woken when any of the partitions has more to read.
    #[must_use]
    pub fn waiter(&self) -> &Arc<Waiter> {
        &self.waiter
    }
}

impl Drop for Sleeping {
    fn drop(&mut self) {
        for partition in &self.partitions {
            partition.unwatch(&self.waiter);
        }
    }
}
