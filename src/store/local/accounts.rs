//! How much of each segment lives, and where the index stands: [`Accounts`], 16 bytes per segment, behind one lock.
//!
//! The lock is held across *every* change of the index (a commit's, a reclaim's), so that the counters on disk are those of the entries
//! beside them, and so that "look at an entry, then change it" is safe: reclaim cannot remove what a commit is about to move, nor the
//! other way round. Reclaim works in small pieces, and lets those go first who wait for the lock ([`SharedAccounts::let_others`]), so
//! that a commit waits for one piece.
//!
//! Order of locks: accounts, then ledger, then those of the index.

use super::index::JournalState;
use super::lock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Between two looks whether somebody still waits for the accounts.
const TURN_PAUSE: Duration = Duration::from_micros(100);
/// Looks before reclaim goes on all the same.
const TURN_LOOKS_MAX: usize = 100;

/// Bytes of batches in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Account {
    pub written: u64,
    pub dead: u64,
}

impl Account {
    pub fn live(&self) -> u64 {
        self.written.saturating_sub(self.dead)
    }
}

/// How much of each segment lives, and where the index stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Accounts {
    pub segments: BTreeMap<u64, Account>,
    /// What the index says about the journal.
    pub state: JournalState,
}

impl Accounts {
    pub fn bury(&mut self, seq: u64, bytes: u64) -> u64 {
        let account = self.segments.entry(seq).or_default();
        account.dead += bytes;
        account.dead
    }
}

/// [`Accounts`] behind their lock, and how many wait for it.
///
/// The lock of the standard library is not fair: a thread that gives it back and takes it again at once, as reclaim would between two
/// pieces, has it before the one that was woken runs, again and again. So whoever wants it says so before, and reclaim, which can wait,
/// asks between two pieces. It waits a bounded time for that, so that neither keeps the other from going on: commits without a break
/// cost reclaim some 15 ms per piece at most.
#[derive(Debug, Default)]
pub(super) struct SharedAccounts {
    accounts: Mutex<Accounts>,
    /// Who wants the lock and does not have it yet. Not ordered with anything: who reads an old number lets others go first one piece later.
    waiting: AtomicUsize,
}

impl SharedAccounts {
    pub fn new(accounts: Accounts) -> SharedAccounts {
        SharedAccounts { accounts: Mutex::new(accounts), waiting: AtomicUsize::new(0) }
    }

    pub fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let accounts = lock(&self.accounts);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        accounts
    }

    /// Lets those have the lock who wait for it. For who does not hold it, and is about to take it again.
    pub fn let_others(&self) {
        for _ in 0..TURN_LOOKS_MAX {
            if !self.is_waited_for() {
                return;
            }
            std::thread::sleep(TURN_PAUSE);
        }
    }

    fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// For who alone has them: no lock is needed.
    pub fn get_mut(&mut self) -> &mut Accounts {
        self.accounts.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn into_inner(self) -> Accounts {
        self.accounts.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks;
    use std::sync::Arc;

    /// How long anybody waits is not told here: that who waits is seen, and that he never stops the one who lets him go first.
    #[test]
    fn who_waits_for_the_accounts_is_seen_and_let_go_first_for_a_while() {
        let accounts = Arc::new(SharedAccounts::default());
        let held = accounts.lock();
        assert!(!accounts.is_waited_for(), "who has the lock does not wait for it");
        let own = Arc::clone(&accounts);
        let waiting = tasks::thread("test-waiting", move || own.lock().state.written = 1);
        while !accounts.is_waited_for() {
            std::thread::yield_now();
        }
        // He cannot have it while it is held here: this returns all the same.
        accounts.let_others();
        assert!(accounts.is_waited_for());
        drop(held);
        waiting.join().expect("ends");
        assert!(!accounts.is_waited_for());
        assert_eq!(accounts.lock().state.written, 1);
    }
}
