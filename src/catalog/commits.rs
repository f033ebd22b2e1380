//! The writing half of the catalog: revisions of the keys that we have seen, and the counters that ids come from.
//!
//! Owner: the catalog's commit lock. Every commit compares the revision of each key that it changes, so a second writer of the same
//! store is noticed, never overwritten.

use super::dynamic::{self, Overrides, Owner};
use super::quotas::{self, Entity, Limits, limits};
use super::{Topic, cluster, topics};
use crate::ids::{LogId, TopicId};
use crate::store::json::{put, read};
use crate::store::{MetaChange, MetaCompare, MetaStore, StoreError};
use crate::tasks;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

const NEXT_LOG: &str = "ids/next_log";
const NEXT_PRODUCER: &str = "ids/next_producer";
/// `deleted/{topic id}`: the logs of a topic that is gone, until the store has forgotten them too.
pub(super) const DELETED: &str = "deleted/";

/// The first log id ever given; 0 stays free.
const FIRST_LOG: u64 = 1;

/// What commits need to know of the store.
pub(super) struct Commits {
    meta: Arc<dyn MetaStore>,
    /// Of every key that exists; a missing key is compared with revision 0.
    revisions: HashMap<String, u64>,
    /// All log ids below were given already.
    next_log: u64,
    /// All producer ids below were given already.
    next_producer: i64,
}

impl Commits {
    /// Reads the catalog's keys: the counters go into `Commits`, all values into the map.
    pub(super) async fn load(meta: Arc<dyn MetaStore>) -> Result<(Commits, BTreeMap<String, Bytes>), StoreError> {
        let mut values = BTreeMap::new();
        let mut revisions = HashMap::new();
        let own = [cluster::KEY, "ids/", topics::PREFIX, quotas::PREFIX, DELETED];
        for prefix in own.into_iter().chain(dynamic::PREFIXES) {
            for entry in meta.range(prefix).await? {
                revisions.insert(entry.key.clone(), entry.revision);
                values.insert(entry.key, entry.value);
            }
        }
        let counter = |key: &str| values.get(key).map(|value| read::<u64>(key, value)).transpose();
        let next_log = counter(NEXT_LOG)?.unwrap_or(FIRST_LOG);
        let next_producer = counter(NEXT_PRODUCER)?.unwrap_or(0);
        let next_producer = i64::try_from(next_producer).map_err(|_| exhausted(NEXT_PRODUCER))?;
        Ok((Commits { meta, revisions, next_log, next_producer }, values))
    }

    /// A topic's log ids lie below the counter; else the next topic would get a log that holds another one's records.
    pub(super) fn check_log_ids(&self, topic: &Topic) -> Result<(), StoreError> {
        match topic.logs.iter().find(|log| log.0 >= self.next_log) {
            None => Ok(()),
            Some(log) => Err(StoreError::Damaged(format!(
                "topic {} has log {log}, but {NEXT_LOG} says that only ids below {} were given",
                topic.name, self.next_log
            ))),
        }
    }

    /// The ids of the next `count` logs. They are only taken by [`Commits::put_topic`].
    pub(super) fn next_logs(&self, count: u32) -> Result<Vec<LogId>, StoreError> {
        let end = self.next_log.checked_add(u64::from(count)).ok_or_else(|| exhausted(NEXT_LOG))?;
        Ok((self.next_log..end).map(LogId).collect())
    }

    /// Writes a topic, and moves the counter of log ids past its logs, in one commit.
    pub(super) async fn put_topic(&mut self, topic: &Topic) -> Result<(), StoreError> {
        let past_logs = topic.logs.iter().map(|log| log.0.saturating_add(1)).max().unwrap_or(FIRST_LOG);
        let next_log = self.next_log.max(past_logs);
        let changes = vec![put(topics::key(&topic.name), &topic.record()), put(NEXT_LOG.to_owned(), &next_log)];
        self.commit(changes).await?;
        self.next_log = next_log;
        Ok(())
    }

    /// Removes a topic, and notes in the same commit whose logs are to be deleted: a crash in between leaks nothing.
    pub(super) async fn delete_topic(&mut self, topic: &Topic) -> Result<(), StoreError> {
        let removal = MetaChange { key: topics::key(&topic.name), value: None };
        self.commit(vec![removal, put(deleted_key(topic.id), &topic.logs)]).await
    }

    /// The logs of a deleted topic are gone.
    pub(super) async fn forget_deleted(&mut self, id: TopicId) -> Result<(), StoreError> {
        self.commit(vec![MetaChange { key: deleted_key(id), value: None }]).await
    }

    /// Writes what is set for somebody; nothing set is no key.
    pub(super) async fn put_overrides(&mut self, owner: &Owner, overrides: &Overrides) -> Result<(), StoreError> {
        let key = owner.key();
        let change = if overrides.is_empty() { MetaChange { key, value: None } } else { put(key, overrides) };
        self.commit(vec![change]).await
    }

    /// Writes the limits of each of these entities, in one commit; no limits is no key.
    pub(super) async fn put_quotas(&mut self, changed: &BTreeMap<Entity, Limits>) -> Result<(), StoreError> {
        let change = |(entity, limits): (&Entity, &Limits)| match limits.is_empty() {
            true => MetaChange { key: quotas::key(entity), value: None },
            false => put(quotas::key(entity), &limits::stored(limits)),
        };
        self.commit(changed.iter().map(change).collect()).await
    }

    pub(super) async fn put_cluster_id(&mut self, id: &str) -> Result<(), StoreError> {
        self.commit(vec![put(cluster::KEY.to_owned(), &id)]).await
    }

    pub(super) async fn allocate_producer_ids(&mut self, count: u32) -> Result<Range<i64>, StoreError> {
        let first = self.next_producer;
        let end = first.checked_add(i64::from(count)).ok_or_else(|| exhausted(NEXT_PRODUCER))?;
        self.commit(vec![put(NEXT_PRODUCER.to_owned(), &end)]).await?;
        self.next_producer = end;
        Ok(first..end)
    }

    async fn commit(&mut self, changes: Vec<MetaChange>) -> Result<(), StoreError> {
        let revision_of = |key: &String| self.revisions.get(key).copied().unwrap_or(0);
        let compares = changes.iter().map(|c| MetaCompare { key: c.key.clone(), revision: revision_of(&c.key) }).collect();
        let kept: Vec<(String, bool)> = changes.iter().map(|change| (change.key.clone(), change.value.is_some())).collect();
        let revision = match self.meta.commit(compares, changes).await {
            Ok(revision) => revision,
            Err(error) => {
                if let StoreError::Io(why) = &error {
                    // Whether the change is durable is unknown: readers must not be told either way.
                    tasks::fatal(&format!("the metadata store did not take a change: {why}"));
                }
                return Err(error);
            }
        };
        for (key, exists) in kept {
            if exists {
                self.revisions.insert(key, revision);
            } else {
                self.revisions.remove(&key);
            }
        }
        Ok(())
    }
}

fn deleted_key(id: TopicId) -> String {
    format!("{DELETED}{id}")
}

fn exhausted(counter: &str) -> StoreError {
    StoreError::Damaged(format!("metadata key {counter} leaves no room for more ids"))
}
