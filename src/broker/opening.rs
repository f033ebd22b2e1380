//! Opens logs for their topics, and hands them the topics' settings as these change.

use crate::catalog::{Catalog, Topic};
use crate::ids::LogId;
use crate::log::{Logs, Partition};
use crate::store::StoreError;
use futures_util::stream::{self, Stream, StreamExt};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::warn;

/// Logs of one topic that are opened at once.
const OPENED_AT_ONCE: usize = 16;

/// Opens logs, and sees to it that they have their topics' newest settings.
#[derive(Clone)]
pub(super) struct Opening {
    logs: Arc<Logs>,
    catalog: Arc<Catalog>,
    /// Held while settings are read and handed to logs, so that older ones never follow newer ones.
    turn: Arc<Mutex<()>>,
}

impl Opening {
    pub fn new(logs: Arc<Logs>, catalog: Arc<Catalog>) -> Opening {
        Opening { logs, catalog, turn: Arc::default() }
    }

    pub async fn open(&self, topic: &Topic, log: LogId) -> Result<Arc<Partition>, StoreError> {
        let partition = self.logs.open(log, topic.settings.clone()).await?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // They may have changed while the log was being opened.
        if let Some(newest) = self.catalog.topic_by_id(topic.id)
            && !Arc::ptr_eq(&newest.settings, &partition.settings())
        {
            partition.set_settings(newest.settings.clone());
        }
        Ok(partition)
    }

    /// Opens every partition of `topic`, some at once: one after the other, the hand-overs to the blocking threads would cost ten times what
    /// is done there.
    pub fn open_all<'a>(&'a self, topic: &'a Topic) -> impl Stream<Item = Result<Arc<Partition>, (LogId, StoreError)>> + 'a {
        let one = move |log: LogId| async move { self.open(topic, log).await.map_err(|error| (log, error)) };
        stream::iter(topic.logs.iter().copied()).map(one).buffer_unordered(OPENED_AT_ONCE)
    }

    pub fn settings_changed(&self, topic: &Topic) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Not those of one change: a later one may have come in between.
        let Some(newest) = self.catalog.topic_by_id(topic.id) else { return };
        for partition in newest.logs.iter().filter_map(|log| self.logs.get(*log)) {
            partition.set_settings(newest.settings.clone());
        }
    }

    /// After a change of the brokers' properties, which has changed the settings of `topics`.
    pub fn brokers_changed(&self, topics: &[Arc<Topic>]) {
        for topic in topics {
            self.settings_changed(topic);
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.logs.set_producer_expiration_ms(self.catalog.effective_kafka().producer_id_expiration_ms);
    }

    /// Opens every log once, so that first requests find them open and retention reaches them.
    pub async fn open_everything(self) {
        for topic in self.catalog.snapshot().topics.values() {
            let mut opened = pin!(self.open_all(topic));
            while let Some(opened) = opened.next().await {
                if let Err((log, error)) = opened {
                    warn!(topic = topic.name, %log, %error, "a log could not be opened; it is tried again when it is asked for");
                }
            }
        }
    }
}
