//! Which lanes an endpoint has: a main one for each partition of its topics, from where its group is; topics that come later are read from their beginning.

use super::endpoint::Endpoint;
use super::error::HooksError;
use super::offsets::{self, EARLIEST};
use super::progress::{LaneKey, Progress, StoredLane};
use super::scope::Scope;
use super::shared::Shared;
use super::wanted;
use crate::catalog::Topic;
use crate::ids::TopicId;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What was stored of an endpoint when the broker started.
#[derive(Debug, Default)]
pub struct Remembered {
    pub lanes: HashMap<LaneKey, StoredLane>,
    pub positions: HashMap<(TopicId, i32), i64>,
}

/// The lanes' topics, and what is known of their group.
#[derive(Debug, Default)]
pub struct Lanes {
    topics: HashMap<TopicId, Arc<Topic>>,
    /// What the group has committed, by us.
    pub committed: HashMap<LaneKey, i64>,
    /// Somebody else's commits that are followed, until ours replace them.
    pub adopted: HashMap<LaneKey, i64>,
    remembered: Remembered,
}

/// The main lane of a partition.
#[must_use]
pub fn main_lane(topic: TopicId, partition: i32) -> LaneKey {
    LaneKey { topic, partition, replay: 0 }
}

impl Lanes {
    #[must_use]
    pub fn new(remembered: Remembered) -> Lanes {
        Lanes { remembered, ..Lanes::default() }
    }

    #[must_use]
    pub fn topic(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(&id)
    }

    /// Opens lanes for what is new; answers those of what is gone, which are to be closed.
    ///
    /// # Errors
    /// What the coordinator answers: then nothing has changed, and it is to be tried again.
    pub async fn follow(
        &mut self,
        shared: &Shared,
        scope: &Scope,
        endpoint: &Endpoint,
        progress: &mut Progress,
    ) -> Result<HashSet<LaneKey>, HooksError> {
        let catalog = &shared.handlers.broker.catalog;
        let dead_letters = &shared.settings().dead_letter_topic;
        let topics = wanted::topics(endpoint, scope, catalog, &shared.patterns, dead_letters);
        let is_new = |topic: &&Arc<Topic>| topic.partitions().any(|index| !progress.has(main_lane(topic.id, index)));
        let new: Vec<Arc<Topic>> = topics.values().filter(is_new).cloned().collect();
        if !new.is_empty() {
            self.open(shared, &endpoint.record.group(), &new, progress).await?;
        }
        let ids: HashSet<TopicId> = topics.values().map(|topic| topic.id).collect();
        let gone: HashSet<LaneKey> = progress.keys().filter(|key| !ids.contains(&key.topic)).collect();
        for key in &gone {
            self.committed.remove(key);
            self.adopted.remove(key);
        }
        self.topics = topics.into_values().map(|topic| (topic.id, topic)).collect();
        Ok(gone)
    }

    async fn open(
        &mut self,
        shared: &Shared,
        group: &str,
        topics: &[Arc<Topic>],
        progress: &mut Progress,
    ) -> Result<(), HooksError> {
        let found = offsets::committed(&shared.handlers, group, topics).await?;
        for topic in topics {
            let own = found.get(&topic.name);
            let is_known = |index: i32| own.is_some_and(|own| own.contains_key(&index));
            // The beginning is asked for only where it matters.
            let starts = if topic.partitions().all(is_known) {
                BTreeMap::new()
            } else {
                offsets::at(&shared.handlers, topic, EARLIEST).await?
            };
            for index in topic.partitions() {
                let key = main_lane(topic.id, index);
                if progress.has(key) {
                    continue;
                }
                let remembered = self.remembered.lanes.remove(&key);
                match own.and_then(|own| own.get(&index)) {
                    Some(there) if there.is_ours => {
                        self.committed.insert(key, there.offset);
                        match remembered {
                            Some(lane) => progress.restore(&lane, there.offset),
                            None => progress.open(key, there.offset, None),
                        }
                    }
                    Some(there) => {
                        self.adopted.insert(key, there.offset);
                        progress.open(key, there.offset, None);
                    }
                    None => {
                        let position = self.remembered.positions.get(&(topic.id, index)).or_else(|| starts.get(&index));
                        progress.open(key, position.copied().unwrap_or(0), None);
                    }
                }
            }
            self.open_replays(topic.id, progress);
        }
        Ok(())
    }

    /// Goes on with replays that a stop cut short.
    fn open_replays(&mut self, topic: TopicId, progress: &mut Progress) {
        let is_one = |key: &LaneKey| key.topic == topic && key.replay != 0;
        let keys: Vec<LaneKey> = self.remembered.lanes.keys().copied().filter(is_one).collect();
        for lane in keys.iter().filter_map(|key| self.remembered.lanes.remove(key)) {
            progress.restore(&lane, lane.committed);
        }
    }
}
