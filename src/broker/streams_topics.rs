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
    /// Begins to make those of `topics` that are neither being made nor have just failed, up to `partitions` of all together. Answers the failures that
    /// are remembered, by topic, and the first that is beyond: a later call begins with that.
    pub fn make(
        &self,
        broker: &Arc<Broker>,
        topics: Vec<NewTopic>,
        partitions: u32,
        remembered_ms: i64,
    ) -> Vec<(String, String)> {
        let (new, failures) = self.lock().begin(topics, partitions, broker.env.now(), remembered_ms);
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
    /// Notes which topics are under way from now on, and answers them and the failures.
    fn begin(
        &mut self,
        topics: Vec<NewTopic>,
        partitions: u32,
        now: Timestamp,
        remembered_ms: i64,
    ) -> (Vec<NewTopic>, Vec<(String, String)>) {
        let (mut new, mut failures) = (Vec::new(), Vec::new());
        let mut left = i64::from(partitions);
        for topic in topics {
            if let Some((_, why)) = self.failures.get(&topic.name).filter(|(until, _)| *until > now) {
                failures.push((topic.name, why.clone()));
            } else if self.under_way.contains(&topic.name) {
                // Whoever asked before hears of it.
            } else if i64::from(topic.partitions) > i64::from(partitions) {
                let why = format!("more than {partitions} partitions");
                self.fail(&topic.name, why.clone(), now, remembered_ms);
                failures.push((topic.name, why));
            } else if i64::from(topic.partitions) > left {
                failures.push((topic.name, format!("more than {partitions} partitions of an application's topics at once")));
                break;
            } else {
                left -= i64::from(topic.partitions);
                self.under_way.insert(topic.name.clone());
                new.push(topic);
            }
        }
        (new, failures)
    }

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
