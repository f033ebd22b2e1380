//! What a consumer will ask for next, located while it works on what it has.
//!
//! A consumer that is behind does nothing from its request until the answer begins: the Java client (4.3) asks for more only when it has worked on all
//! that it got (`AbstractFetch`, `bufferedNodes`). So where the next batches lie is looked up meanwhile, and what of them is not in the page cache is
//! read into it.
//!
//! ```text
//! fetch answered from files ──look──▶ a task: locate what follows, partition by partition ──▶ found
//! next fetch ──take──▶ the task ends; a read that goes on where something was found gets that
//! ```
//! Nothing here decides what may be seen: `read.rs` asks for what was found only within the log's bounds, and gets only whole batches below the end that it
//! names. What was found stays as it is, whatever becomes of the log (`LogStore::locate`): it is as good as a read that began when it was found.
//!
//! Owner: the connection. Bounds: what one fetch would answer; for notes of it, permits of the memory for answers, and where there are none, the look ends;
//! [`LOOKS_MAX`] reads at once. Files are kept from being given back for [`KEPT`] after a look, which takes [`LOOK_MAX`] and one read at most; so long the
//! partitions that are still to be looked at are kept, too, charged to nobody.

use super::fetch::{Fetched, Limits, Target, total};
use super::partition::Partition;
use crate::ids::{LogId, Offset};
use crate::span::Span;
use crate::store::Stretch;
use crate::tasks;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

#[cfg(test)]
mod tests;

/// How long what was found may be used: as long as consumers work on an answer. It was in the page cache then, and whoever sends it does not look again.
const KEPT: Duration = Duration::from_millis(500);
/// How long a look goes on.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// Reads of all looks at once: fewer than a store makes, so that there are always some for whoever waits.
const LOOKS_MAX: usize = 4;

/// One connection's look ahead.
#[derive(Debug)]
pub struct Ahead {
    reads: Arc<Semaphore>,
    looking: Mutex<Option<Looking>>,
}

#[derive(Debug)]
struct Looking {
    found: FoundByLog,
    /// Dropping it ends the look.
    _wants: oneshot::Sender<()>,
}

type FoundByLog = Arc<Mutex<HashMap<LogId, Found>>>;

/// What a read from `from` answers.
#[derive(Debug)]
struct Found {
    from: Offset,
    stretches: Vec<Stretch>,
    /// [`Partition::emptied_times`] before they were located.
    emptied_times: u64,
    at: Instant,
    _memory: OwnedSemaphorePermit,
}

/// What a look has found.
#[derive(Debug)]
pub struct Looked {
    found: HashMap<LogId, Found>,
    used: u64,
}

impl Ahead {
    /// `reads`: see [`Ahead::reads`].
    #[must_use]
    pub fn new(reads: Arc<Semaphore>) -> Ahead {
        Ahead { reads, looking: Mutex::default() }
    }

    /// What the looks of all connections share.
    #[must_use]
    pub fn reads() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(LOOKS_MAX))
    }

    /// Ends the look, and takes what it has found.
    pub fn take(&self) -> Option<Looked> {
        let looking = self.lock().take()?;
        let found = std::mem::take(&mut *lock(&looking.found));
        Some(Looked { found, used: 0 })
    }

    /// Looks for what follows when `targets` were answered with `fetched`, as far as one fetch with `limits` will answer it. Does nothing where nothing came
    /// from a file: who keeps up reads from memory. `charge` gives permits for so many bytes of memory, if there are any.
    pub fn look(
        &self,
        targets: Vec<Target>,
        fetched: &[Fetched],
        limits: Limits,
        charge: impl Fn(usize) -> Option<OwnedSemaphorePermit> + Send + Sync + 'static,
    ) {
        if !fetched.iter().any(|one| one.stretches.as_deref().is_ok_and(is_in_files)) {
            return;
        }
        let targets = behind(targets, fetched);
        if targets.is_empty() {
            return;
        }
        let found = FoundByLog::default();
        let (wants, wanted) = oneshot::channel();
        tasks::spawn("look ahead", find(found.clone(), wanted, self.reads.clone(), targets, limits, charge));
        *self.lock() = Some(Looking { found, _wants: wants });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Looking>> {
        self.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Looked {
    /// What a read of `partition` from `from` answers, of at most `max_bytes` and what lies below `to`. `None`: it must be read, for nothing was found, or
    /// not this, or not lately, or less than half of `max_bytes`: there may be more by now.
    pub(super) fn answer_to(
        &mut self,
        partition: &Partition,
        from: Offset,
        max_bytes: usize,
        to: Offset,
    ) -> Option<Vec<Stretch>> {
        let found = self.found.remove(&partition.log())?;
        let bytes = total(&found.stretches);
        let is_below = found.stretches.last().is_some_and(|newest| newest.last < to);
        let is_asked_for = found.from == from && is_below && bytes <= max_bytes && bytes >= max_bytes / 2;
        let is_current = found.at.elapsed() <= KEPT && found.emptied_times == partition.emptied_times();
        (is_asked_for && is_current).then(|| {
            self.used += 1;
            found.stretches
        })
    }

    /// Lets go of what was not asked for.
    pub(super) fn forget(&mut self) {
        self.found.clear();
        self.used = 0;
    }

    /// How many reads were answered with it, unless something was missing, and all was read again.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }
}

/// What `targets` will be when those who asked for them have got `fetched`. Those of which there was nothing come first, as in a session's next turn.
fn behind(targets: Vec<Target>, fetched: &[Fetched]) -> Vec<Target> {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for (target, one) in targets.into_iter().zip(fetched) {
        let Ok(stretches) = &one.stretches else { continue };
        match stretches.last() {
            None if target.from < one.watermark => first.push(target),
            Some(newest) if newest.last.next() < one.watermark && is_in_files(stretches) => {
                last.push(Target { from: newest.last.next(), ..target });
            }
            _ => {}
        }
    }
    first.append(&mut last);
    first
}

/// Whether all of them lie in files, and there are any.
fn is_in_files(stretches: &[Stretch]) -> bool {
    !stretches.is_empty() && stretches.iter().all(|stretch| matches!(stretch.bytes, Span::File(_)))
}

/// Puts into `found` what will be read of `targets`, as long as it is `wanted`.
async fn find(
    found: FoundByLog,
    mut wanted: oneshot::Receiver<()>,
    reads: Arc<Semaphore>,
    targets: Vec<Target>,
    limits: Limits,
    charge: impl Fn(usize) -> Option<OwnedSemaphorePermit>,
) {
    let end = tokio::time::Instant::now() + LOOK_MAX;
    let mut room = limits.max_bytes;
    for Target { partition, from, max_bytes } in targets {
        // Others have their turn: nobody waits for this.
        tokio::task::yield_now().await;
        // Not dropped while it reads: the read would go on, and be one more than there may be.
        let _read = tokio::select! {
            biased;
            _ = &mut wanted => return,
            () = tokio::time::sleep_until(end) => break,
            read = reads.acquire() => read,
        };
        let max_bytes = max_bytes.min(room);
        if max_bytes == 0 {
            break;
        }
        let emptied_times = partition.emptied_times();
        // The next fetch will see for itself why there is nothing.
        let to = limits.isolation.end(partition.last_stable());
        let Ok(mut stretches) = partition.locate(from, max_bytes, to, None).await else { continue };
        let bytes = total(&stretches);
        if bytes > max_bytes {
            break;
        }
        room -= bytes;
        // What is in memory is found at once, and must not be kept there.
        if !is_in_files(&stretches) {
            continue;
        }
        stretches.shrink_to_fit();
        let Some(memory) = charge(size_of::<Found>() + size_of_val(stretches.as_slice())) else { break };
        lock(&found)
            .insert(partition.log(), Found { from, stretches, emptied_times, at: tokio::time::Instant::now(), _memory: memory });
    }
    // Until then whoever wants it has come, or may not use it any more.
    let _ = tokio::time::timeout(KEPT, wanted).await;
    lock(&found).clear();
}

fn lock(found: &Mutex<HashMap<LogId, Found>>) -> MutexGuard<'_, HashMap<LogId, Found>> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}
