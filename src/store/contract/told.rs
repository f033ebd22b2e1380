//! What a store told its listener.

use super::PATIENCE;
use crate::ids::{LogId, Offset};
use crate::store::{CommitListener, StoreError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A listener that remembers what it was told.
#[derive(Default)]
pub(crate) struct Told {
    commits: Mutex<Vec<(LogId, Offset)>>,
    failure: Mutex<Option<StoreError>>,
    changed: Notify,
}

impl CommitListener for Told {
    fn committed(&self, log: LogId, last: Offset) {
        self.lock().push((log, last));
        self.changed.notify_waiters();
    }

    fn failed(&self, error: StoreError) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.changed.notify_waiters();
    }
}

impl Told {
    /// Everything that was told, in order.
    pub(crate) fn all(&self) -> Vec<(LogId, Offset)> {
        self.lock().clone()
    }

    /// Everything that was told about `log`, in order.
    pub(crate) fn of(&self, log: LogId) -> Vec<Offset> {
        self.lock().iter().filter(|(about, _)| *about == log).map(|(_, last)| *last).collect()
    }

    pub(crate) fn failure(&self) -> Option<StoreError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(LogId, Offset)>> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `log` is committed up to `last`.
    pub(crate) async fn wait(&self, log: LogId, last: Offset) {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.of(log).last().is_some_and(|told| *told >= last) {
                    return;
                }
                if let Some(error) = self.failure() {
                    panic!("log {log}: waiting for offset {last}: the store failed: {error}");
                }
                changed.await;
            }
        };
        let told = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(told.is_ok(), "log {log}: offset {last} was never told committed; told so far: {:?}", self.of(log));
    }
}
