//! Keeps endpoints' progress in the metadata store: what changed of all of them becomes one commit, so that a thousand endpoints cost as many syncs
//! as one.
//!
//! Keys: `hooks/progress/{endpoint's id}` (what is unsettled, see `progress.rs`), `hooks/positions/{endpoint's id}` (offsets of its group, in case the group's
//! own expire). Owner: [`Saver`]. Bound: the newest value per key.

use crate::store::json::put;
use crate::store::{MetaChange, MetaCompare, MetaStore, StoreError};
use crate::tasks;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::warn;

pub const PROGRESS: &str = "hooks/progress/";
pub const POSITIONS: &str = "hooks/positions/";
/// How often what changed is written.
const INTERVAL: Duration = Duration::from_millis(200);

/// See the file's header.
pub struct Saver {
    meta: Arc<dyn MetaStore>,
    waiting: Mutex<HashMap<String, MetaChange>>,
    /// Held while a commit is under way, so that an older value never follows a newer one.
    turn: tokio::sync::Mutex<()>,
}

impl Saver {
    #[must_use]
    pub fn new(meta: Arc<dyn MetaStore>) -> Saver {
        Saver { meta, waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// To be written with the next commit.
    pub fn put(&self, prefix: &str, endpoint: &str, value: &impl Serialize) {
        let change = put(format!("{prefix}{endpoint}"), value);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(change.key.clone(), change);
    }

    /// Forgets an endpoint, whose task has ended, together with `more`, in one commit.
    ///
    /// # Errors
    /// What the store answers: nothing has changed then.
    pub async fn forget(&self, endpoint: &str, compares: Vec<MetaCompare>, mut more: Vec<MetaChange>) -> Result<u64, StoreError> {
        let _turn = self.turn.lock().await;
        let keys = [PROGRESS, POSITIONS].map(|prefix| format!("{prefix}{endpoint}"));
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            for key in &keys {
                waiting.remove(key);
            }
        }
        more.extend(keys.into_iter().map(|key| MetaChange { key, value: None }));
        or_fatal(self.meta.commit(compares, more).await)
    }

    /// Writes what changed, for ever.
    pub async fn keep(&self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Err(error) = self.flush().await {
                warn!(%error, "the progress of webhooks could not be stored; after a crash some are sent again");
            }
        }
    }

    /// Writes what has changed so far. Durable when it returns.
    ///
    /// # Errors
    /// What the store answers, unless it failed: that ends the process.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if waiting.is_empty() {
            return Ok(());
        }
        or_fatal(self.meta.commit(Vec::new(), waiting.into_values().collect()).await).map(drop)
    }
}

/// Ends the process where the store failed: whether a change is durable is unknown then, and readers must not be told either way.
///
/// # Errors
/// What else the store answered.
pub fn or_fatal<T>(result: Result<T, StoreError>) -> Result<T, StoreError> {
    if let Err(StoreError::Io(why)) = &result {
        tasks::fatal(&format!("the metadata store did not take a change of webhooks: {why}"));
    }
    result
}
