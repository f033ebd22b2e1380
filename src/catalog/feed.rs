//! Which topics changed, in order: so that whoever follows a pattern looks at what is new, not at everything.
//!
//! Owner: the catalog, under a lock for microseconds. Bound: the last [`CHANGES_MAX`] changes; who comes later reads the whole snapshot.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Changes remembered.
const CHANGES_MAX: usize = 10_000;

/// See the file's header.
#[derive(Debug)]
pub struct Feed {
    recent: Mutex<Recent>,
    version: watch::Sender<u64>,
}

#[derive(Debug)]
struct Recent {
    /// The snapshot's version that each change made, and the topic that it is about (empty: of none), ascending.
    changes: VecDeque<(u64, String)>,
    /// What came up to this version is not remembered.
    forgotten: u64,
}

impl Feed {
    /// A feed that begins behind the snapshot of this version.
    pub(super) fn new(version: u64) -> Feed {
        let recent = Recent { changes: VecDeque::new(), forgotten: version };
        Feed { recent: Mutex::new(recent), version: watch::Sender::new(version) }
    }

    /// Told when the newest version changes. It is published when its snapshot can be seen.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The newest version whose change the feed tells of.
    #[must_use]
    pub fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// The names of topics that were created, changed or deleted after `version`; `None`: too long ago, anything may have changed.
    #[must_use]
    pub fn since(&self, version: u64) -> Option<Vec<String>> {
        let recent = self.lock();
        if version < recent.forgotten {
            return None;
        }
        let begin = recent.changes.partition_point(|(at, _)| *at <= version);
        Some(recent.changes.range(begin..).map(|(_, name)| name.clone()).filter(|name| !name.is_empty()).collect())
    }

    pub(super) fn changed(&self, version: u64, name: &str) {
        let mut recent = self.lock();
        recent.changes.push_back((version, name.to_owned()));
        if recent.changes.len() > CHANGES_MAX
            && let Some((at, _)) = recent.changes.pop_front()
        {
            recent.forgotten = at;
        }
        drop(recent);
        self.version.send_replace(version);
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_after_a_version_are_told_until_they_are_too_many() {
        let feed = Feed::new(7);
        assert_eq!(feed.since(6), None, "before its time");
        assert_eq!(feed.since(7), Some(vec![]));
        for version in 8..=10 {
            feed.changed(version, &format!("t{version}"));
        }
        feed.changed(11, "");
        assert_eq!(feed.since(8), Some(vec!["t9".to_owned(), "t10".to_owned()]));
        assert_eq!(*feed.subscribe().borrow(), 11);
        for version in 12..12 + CHANGES_MAX as u64 {
            feed.changed(version, "t");
        }
        assert_eq!(feed.since(10), None);
        assert_eq!(feed.since(11).map(|changes| changes.len()), Some(CHANGES_MAX));
    }
}
