//! When an endpoint's task commits, and what: part of the dispatcher.

use super::Dispatcher;
use crate::hooks::committing::{Commit, Committed, Due, commit};
use crate::tasks::{self, Owned};
use std::time::Duration;
use tracing::{info, warn};

/// Between two commits.
pub(super) const COMMIT_INTERVAL: Duration = Duration::from_millis(200);
/// How often a group is looked at that nothing is committed for: somebody may have moved it.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How often all offsets are committed again, so that they do not expire.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// How long a stop waits for the last commit.
const FAREWELL: Duration = Duration::from_secs(2);

impl Dispatcher {
    /// A commit, when one is due.
    pub(super) fn next_commit(&mut self) -> Option<Owned<Committed>> {
        let now = tokio::time::Instant::now();
        if !self.is_open {
            return None;
        }
        let is_renewal = self.last_renewal.is_none_or(|last| now - last >= RENEWAL_INTERVAL);
        let is_look = now - self.last_look >= LOOK_INTERVAL;
        let is_awaited = !self.replayed.waiting.is_empty();
        let is_time = now - self.last_commit >= COMMIT_INTERVAL;
        if self.has_failed && !is_time {
            return None;
        }
        let is_due = is_awaited || self.is_touched && is_time;
        if !is_renewal && !is_look && !is_due {
            return None;
        }
        let commit_work = self.commit_work(is_renewal, is_look || is_renewal).map(|work| Commit { is_awaited, ..work });
        self.last_commit = now;
        if is_look || is_renewal {
            self.last_look = now;
        }
        if is_renewal {
            self.last_renewal = Some(now);
        }
        self.is_touched = false;
        self.replayed.covered.append(&mut self.replayed.waiting);
        if commit_work.is_none() {
            self.replayed.answer();
        }
        Some(tasks::owned("commit of a webhook endpoint", commit(self.shared.clone(), commit_work?)))
    }

    /// What is to be committed; with `is_renewal` all of it, with `is_look` everything is looked at.
    fn commit_work(&mut self, is_renewal: bool, is_look: bool) -> Option<Commit> {
        let mut due = Vec::new();
        let mut positions = Vec::new();
        for key in self.progress.keys().filter(|key| key.replay == 0) {
            let (Some(offset), Some(topic)) = (self.progress.committed(key), self.lanes.topic(key.topic)) else { continue };
            let is_news = self.lanes.committed.get(&key) != Some(&offset);
            if is_renewal {
                positions.push((key.topic, key.partition, offset));
            }
            if is_news || is_renewal || is_look {
                let adopted = self.lanes.adopted.get(&key).copied();
                let offset = (is_news || is_renewal).then_some(offset);
                due.push(Due { lane: key, topic: topic.clone(), offset, adopted });
            }
        }
        let stored = Some(self.progress.stored()).filter(|stored| self.stored.as_ref() != Some(stored));
        if due.is_empty() && stored.is_none() {
            return None;
        }
        if stored.is_some() {
            self.stored.clone_from(&stored);
        }
        let record = &self.endpoint.record;
        let positions = is_renewal.then_some(positions);
        Some(Commit { endpoint: record.id.clone(), group: record.group(), due, stored, positions, is_awaited: false })
    }

    /// Takes note of a commit; whether somebody has moved the group.
    pub(super) fn committed(&mut self, committed: Committed) -> bool {
        let Committed { result, done, moved } = committed;
        for (key, offset) in done {
            self.lanes.committed.insert(key, offset);
            self.lanes.adopted.remove(&key);
        }
        if let Err(error) = &result {
            warn!(endpoint = self.endpoint.record.name, %error, "the endpoint's offsets could not be committed; it is tried again");
        }
        self.has_failed = result.is_err();
        if result.is_err() || !moved.is_empty() {
            // What was to be stored was not.
            self.stored = None;
            self.last_renewal = None;
            self.is_touched = true;
            self.replayed.put_back();
        }
        self.replayed.answer();
        for (key, offset) in &moved {
            info!(
                endpoint = self.endpoint.record.name,
                partition = key.partition,
                offset,
                "the endpoint's group was moved; it goes on there"
            );
            self.reset(*key, *offset);
            self.lanes.committed.remove(key);
            self.lanes.adopted.insert(*key, *offset);
        }
        !moved.is_empty()
    }

    /// Lets the commit under way end, and commits once more, unless the endpoint is deleted: then nothing of it is to be kept. Attempts under way were
    /// dropped: they are made again at the next start.
    pub(super) async fn farewell(mut self, committing: Option<Owned<Committed>>, is_deleted: bool) {
        let work = async {
            if let Some(committing) = committing {
                let committed = committing.await;
                self.committed(committed);
            }
            if self.is_open && !is_deleted {
                // The one before may have failed.
                self.stored = None;
                if let Some(last) = self.commit_work(false, false) {
                    commit(self.shared.clone(), last).await;
                }
            }
        };
        if tokio::time::timeout(FAREWELL, work).await.is_err() {
            warn!(endpoint = self.endpoint.record.name, "the endpoint's last commit took too long; some events are sent again");
        }
    }
}
