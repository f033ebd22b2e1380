//! The deliveries of all endpoints: in memory, and behind in a topic of the broker's own, whose end is read back at start.
//!
//! Owner: [`History`]; rings under one short mutex, and a queue of what is to be written under another. Bound: `hooks.deliveries_kept` per endpoint; the
//! queue holds [`QUEUE_BYTES_MAX`], beyond which the oldest entries are shown, and not kept over a restart. The topic keeps
//! `hooks.deliveries_retention_ms`.

use super::delivery::{Delivery, Ring, Totals};
use super::error::HooksError;
use super::handlers::Handlers;
use super::offsets::{self, EARLIEST, LATEST};
use super::publishing::{self, NewRecord};
use super::reading::{Limits, Wanted, read};
use super::slots::Standing;
use crate::catalog::dynamic::{Change, Edit};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::warn;

/// Not shown to anybody but Kafka clients that ask for it.
const TOPIC: &str = "__hook_deliveries";
const PARTITION: i32 = 0;
/// How often what was collected is written.
const INTERVAL: Duration = Duration::from_millis(250);
const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Of one batch.
const BATCH_BYTES: usize = 512 * 1024;
/// Entries that are read back at start.
const TAIL_MAX: i64 = 200_000;
const PAGE_RECORDS: usize = 5000;
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Entry {
    endpoint: String,
    delivery: Delivery,
}

/// See the file's header.
pub struct History {
    handlers: Handlers,
    /// By endpoint's id.
    rings: Mutex<HashMap<String, Ring>>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Bytes>,
    bytes: usize,
    dropped: u64,
}

impl History {
    #[must_use]
    pub fn new(handlers: Handlers) -> History {
        History { handlers, rings: Mutex::default(), queue: Mutex::default() }
    }

    fn rings(&self) -> MutexGuard<'_, HashMap<String, Ring>> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> usize {
        self.handlers.broker.config.hooks.deliveries_kept
    }

    /// Takes note of a delivery as it is now; of one that is known, when it was first seen stays, also over a restart.
    pub fn record(&self, endpoint: &str, mut delivery: Delivery) {
        if let Some(known) = self.rings().get(endpoint).and_then(|ring| ring.get(&delivery.id)) {
            delivery.created = known.created;
        }
        let entry = Entry { endpoint: endpoint.to_owned(), delivery };
        // Texts and numbers always have a JSON form.
        let json = serde_json::to_vec(&entry).map(Bytes::from).unwrap_or_default();
        {
            let mut queue = self.queue();
            queue.bytes += json.len();
            queue.entries.push_back(json);
            while queue.bytes > QUEUE_BYTES_MAX
                && let Some(oldest) = queue.entries.pop_front()
            {
                queue.bytes -= oldest.len();
                queue.dropped += 1;
            }
        }
        self.note(endpoint, entry.delivery);
    }

    /// As [`History::record`], in memory only.
    pub fn note(&self, endpoint: &str, delivery: Delivery) {
        let kept = self.kept();
        self.rings().entry(endpoint.to_owned()).or_default().put(delivery, kept);
    }

    /// As [`History::note`], unless there is something newer of it.
    pub fn note_new(&self, endpoint: &str, delivery: Delivery) {
        let kept = self.kept();
        let mut rings = self.rings();
        let ring = rings.entry(endpoint.to_owned()).or_default();
        if ring.get(&delivery.id).is_none() {
            ring.put(delivery, kept);
        }
    }

    #[must_use]
    pub fn get(&self, endpoint: &str, id: &str) -> Option<Delivery> {
        self.rings().get(endpoint)?.get(id).cloned()
    }

    /// By the newest delivery that was tried.
    #[must_use]
    pub fn standing(&self, endpoint: &str) -> Standing {
        let rings = self.rings();
        let mut tried = rings.get(endpoint).into_iter().flat_map(Ring::iter).filter_map(|one| Some((one, one.duration_ms?)));
        tried
            .next()
            .map_or(Standing::Unknown, |(one, ms)| Standing::after(one.response_status.is_some(), Duration::from_millis(ms)))
    }

    /// Up to `limit` of the endpoint's deliveries that `wanted` takes, the newest first.
    #[must_use]
    pub fn list(&self, endpoint: &str, limit: usize, wanted: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
        let rings = self.rings();
        let Some(ring) = rings.get(endpoint) else { return Vec::new() };
        ring.iter().filter(|one| wanted(one)).take(limit).cloned().collect()
    }

    #[must_use]
    pub fn totals(&self, endpoint: &str) -> Totals {
        self.rings().get(endpoint).map(|ring| ring.totals).unwrap_or_default()
    }

    pub fn forget(&self, endpoint: &str) {
        self.rings().remove(endpoint);
    }

    /// Gives the topic of a start before what the configuration says now. Where that fails it is said in the log: nothing is delivered by it.
    pub async fn follow_settings(&self) {
        let broker = &self.handlers.broker;
        let Some(topic) = broker.catalog.topic(TOPIC) else { return };
        let changes: Vec<Change> = self
            .overrides()
            .into_iter()
            .filter(|(name, value)| topic.overrides.get(name) != Some(value))
            .map(|(name, value)| Change { name, edit: Edit::Set(value) })
            .collect();
        if !changes.is_empty()
            && let Err(error) = broker.alter_topic(TOPIC, changes).await
        {
            warn!(topic = TOPIC, %error, "the settings of the history of webhooks' deliveries could not be changed");
        }
    }

    /// Reads the end of the topic back. What cannot be read is left out: it is history, and nothing is delivered by it.
    pub async fn load(&self, is_known: impl Fn(&str) -> bool) {
        let Some(topic) = self.handlers.broker.catalog.topic(TOPIC) else { return };
        let (starts, ends) =
            (offsets::at(&self.handlers, &topic, EARLIEST).await, offsets::at(&self.handlers, &topic, LATEST).await);
        let (Ok(starts), Ok(ends)) = (starts, ends) else { return };
        let (Some(start), Some(end)) = (starts.get(&PARTITION), ends.get(&PARTITION)) else { return };
        let mut from = (*start).max(end.saturating_sub(TAIL_MAX));
        while from < *end {
            let wanted = [Wanted { topic: topic.clone(), partition: PARTITION, from, to: *end }];
            let limits = Limits { records: PAGE_RECORDS, bytes: PAGE_BYTES, wait: Duration::ZERO };
            let Some(page) = read(&self.handlers, &wanted, limits).await.pop() else { return };
            for record in &page.records {
                let entry = record.value.as_deref().and_then(|value| serde_json::from_slice::<Entry>(value).ok());
                if let Some(entry) = entry.filter(|entry| is_known(&entry.endpoint)) {
                    self.note(&entry.endpoint, entry.delivery);
                }
            }
            if page.next <= from {
                return;
            }
            from = page.next;
        }
    }

    /// Writes what was collected, for ever.
    pub async fn keep(&self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Err(error) = self.flush().await {
                warn!(%error, "the history of webhooks' deliveries could not be written; it has a gap");
            }
            let dropped = std::mem::take(&mut self.queue().dropped);
            if dropped > 0 {
                warn!(dropped, "deliveries of webhooks came faster than their history could be written; it has a gap");
            }
        }
    }

    /// Writes what was collected so far.
    ///
    /// # Errors
    /// What the topic or the handler answers; what was being written is not tried again.
    pub async fn flush(&self) -> Result<(), HooksError> {
        loop {
            let batch = self.next_batch();
            if batch.is_empty() {
                return Ok(());
            }
            let topic = publishing::topic(&self.handlers, TOPIC, Some(1), self.overrides()).await?;
            let now = self.handlers.broker.env.now();
            publishing::publish(&self.handlers, &topic, PARTITION, &batch, now).await?;
        }
    }

    /// The topic's settings, whatever those of topics are by default: its records have no keys.
    fn overrides(&self) -> BTreeMap<String, String> {
        let retention_ms = self.handlers.broker.config.hooks.deliveries_retention_ms;
        let settings = [
            ("retention.ms", retention_ms.to_string()),
            ("cleanup.policy", "delete".to_owned()),
            ("max.message.bytes", i32::MAX.to_string()),
        ];
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn next_batch(&self) -> Vec<NewRecord> {
        let mut queue = self.queue();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES
            && let Some(entry) = queue.entries.pop_front()
        {
            bytes += entry.len();
            queue.bytes -= entry.len();
            batch.push(NewRecord { value: Some(entry), ..NewRecord::default() });
        }
        batch
    }
}
