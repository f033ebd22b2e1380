//! Topics that streams applications need and that the broker makes for them (KIP-1071), in the background: a member's heartbeat does not
//! wait, and the group sees the topics when they are there.
//!
//! Owner of: which of them are being made, and why the last attempts failed, both under one short lock. A topic is attempted once at a time, and
//! after a failure not again before it is forgotten, two heartbeats later. Failures are at most [`FAILURES_MAX`]; the one that would be
//! forgotten first gives way. Source: AutoTopicCreationManager.createStreamsInternalTopics.

use super::Broker;
use crate::catalog::NewTopic;
use crate::ids::Timestamp;
use crate::tasks;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::{info, warn};

const FAILURES_MAX: usize = 1000;

/// See the file's header.
#[derive(Debug, Default)]
pub struct StreamsTopics(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    under_way: HashSet<String>,
    /// By topic: why, and until when that is remembered.
    failures: BTreeMap<String, (Timestamp, String)>,
}

impl StreamsTopics {
    /// Begins to make those of `topics` that are neither being made nor have just failed. Answers the failures that are remembered, by topic.
    pub fn make(&self, broker: &Arc<Broker>, topics: Vec<NewTopic>, remembered_ms: i64) -> Vec<(String, String)> {
        let now = broker.env.now();
        let (new, failures) = {
            let mut state = self.lock();
            let failed = topics.iter().filter_map(|topic| {
                let (until, why) = state.failures.get(&topic.name)?;
                (*until > now).then(|| (topic.name.clone(), why.clone()))
            });
            let failed: Vec<_> = failed.collect();
            let mut new = topics;
            new.retain(|topic| !failed.iter().any(|(name, _)| *name == topic.name) && state.under_way.insert(topic.name.clone()));
            (new, failed)
        };
        if !new.is_empty() {
            let broker = broker.clone();
            tasks::spawn("streams topics", async move {
                for topic in new {
                    make_one(&broker, topic, remembered_ms).await;
                }
            });
        }
        failures
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fail(&mut self, topic: &str, why: String, now: Timestamp, remembered_ms: i64) {
        self.failures.retain(|_, (until, _)| *until > now);
        if self.failures.len() >= FAILURES_MAX
            && let Some(first) = self.failures.iter().min_by_key(|(_, (until, _))| *until).map(|(name, _)| name.clone())
        {
            self.failures.remove(&first);
        }
        self.failures.insert(topic.to_owned(), (now.plus_ms(remembered_ms), why));
    }
}

async fn make_one(broker: &Arc<Broker>, topic: NewTopic, remembered_ms: i64) {
    let (name, partitions) = (topic.name.clone(), topic.partitions);
    let made = broker.create_topic(topic).await;
    let mut state = broker.streams_topics.lock();
    state.under_way.remove(&name);
    match made {
        Ok(_) => info!(topic = name, partitions, "created a topic that a streams application needs"),
        Err(error) => {
            warn!(topic = name, partitions, %error, "a topic that a streams application needs cannot be created");
            state.fail(&name, error.to_string(), broker.env.now(), remembered_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_forgotten_in_time_and_never_too_many() {
        let mut state = State::default();
        for index in 0..=FAILURES_MAX {
            state.fail(&format!("t{index}"), "no".to_owned(), Timestamp(0), 10 + i64::try_from(index).expect("small"));
        }
        assert_eq!(state.failures.len(), FAILURES_MAX);
        assert!(!state.failures.contains_key("t0"), "the one that would be forgotten first gives way");
        state.fail("late", "no".to_owned(), Timestamp(1_000_000), 10);
        assert_eq!(state.failures.keys().collect::<Vec<_>>(), ["late"]);
    }
}
