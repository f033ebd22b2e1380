//! One endpoint's task: reads what is new, starts what is due, commits what is settled. What follows from what is decided by `progress.rs`,
//! `schedule.rs` and `slots.rs`; here it is put together.
//!
//! ```text
//!   Fetch ──▶ take_in ──▶ Progress ──start_due──▶ attempts ──▶ done ──▶ Progress ──▶ committing
//! ```
//! Reads, attempts and commits are tasks of their own, which end with this one.
//!
//! Owner of all of an endpoint's state. Bounds: eight times its concurrency of messages in memory, some more than are under way where it is slow, for which all
//! endpoints share `hooks.memory_bytes`; `hooks.in_retry_max` unsettled events, at which it reads no further.

use super::attempt::{Began, Done, Job, Loaded, Reason, attempt};
use super::committing::Committed;
use super::endpoint::Endpoint;
use super::lanes::{Lanes, Remembered};
use super::message::{Message, order_of};
use super::offsets::{self, EARLIEST, LATEST};
use super::progress::{LaneKey, Place, Progress, Stored};
use super::reading::{Limits, Page, Wanted, read_in};
use super::scope::Scope;
use super::shared::{Memory, Shared};
use super::slots::{SLOW_MAX, Window};
use super::wanted::takes;
use crate::config::hooks::EVENTS_TOPIC;
use crate::env::ClockWatch;
use crate::ids::Timestamp;
use crate::tasks::{self, Owned};
use crate::telemetry::metrics::{Gauge, level};
use futures_util::stream::{FuturesUnordered, StreamExt};
use reqwest::Url;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tracing::warn;

mod commits;
mod outcomes;
mod replays;

use commits::{COMMIT_INTERVAL, LOOK_INTERVAL};
use replays::Replayed;
pub use replays::{Range, Replay};

/// Messages of an endpoint with quick answers that are read ahead, at least.
const AHEAD_MIN: usize = 64;
/// Of one page, beyond its first batch.
const PAGE_BYTES: usize = 256 * 1024;
/// The longest wait for new records.
const LONG_POLL: Duration = Duration::from_secs(30);
/// After a look at the log that gave nothing and did not wait.
const BREATH: Duration = Duration::from_millis(100);
/// After something that should have worked did not.
const PAUSE_MS: i64 = 2000;
const PAUSE: Duration = Duration::from_millis(2000);

/// What reaches the task.
pub struct Inbox {
    /// The endpoint as it is now; the sender goes when it is deleted.
    pub endpoint: watch::Receiver<Arc<Endpoint>>,
    pub replays: mpsc::Receiver<Replay>,
}

/// See the file's header.
pub struct Dispatcher {
    shared: Arc<Shared>,
    scope: Scope,
    endpoint: Arc<Endpoint>,
    /// `None`: the rules forbid it now.
    url: Option<Url>,
    /// The receiver said so, and nobody has changed the endpoint since.
    is_gone: bool,
    progress: Progress,
    lanes: Lanes,
    loaded: HashMap<Place, Loaded>,
    /// Events that are given up and not among the dead letters yet.
    doomed: HashMap<Place, Reason>,
    /// The receiver asked to be left alone until then.
    not_before: Option<Timestamp>,
    /// What is under way. What ends and is not here, by identity, is about something that was reset meanwhile.
    running: HashMap<Place, Began>,
    /// What attempts that wait for a slot look at when they have it: whether they may still send.
    leave: Arc<AtomicBool>,
    window: Window,
    /// Which lane is read first: another one each time.
    turn: usize,
    /// What was stored last; `None`: that is not known.
    stored: Option<Stored>,
    is_touched: bool,
    /// The last commit did not work: the next one is not made at once.
    has_failed: bool,
    /// Replays that are not durable yet: those that the commit under way is for, and later ones.
    replayed: Replayed,
    clock: ClockWatch,
    /// Its lanes are open: before, what is known of them is not all that there is.
    is_open: bool,
    last_commit: tokio::time::Instant,
    last_look: tokio::time::Instant,
    last_renewal: Option<tokio::time::Instant>,
    /// How many events are unsettled, for whoever looks.
    unsettled: Gauge,
}

/// What was read, in the order in which it was asked for.
struct Pages {
    wanted: Vec<(LaneKey, Wanted)>,
    pages: Vec<Page>,
    room: Option<OwnedSemaphorePermit>,
}

/// What something was done for, by which beginning it is known, and what became of it.
type Ended = (Place, Began, Done);
type Jobs = FuturesUnordered<Owned<Ended>>;

impl Dispatcher {
    #[must_use]
    pub fn new(shared: Arc<Shared>, scope: Scope, endpoint: Arc<Endpoint>, remembered: Remembered) -> Dispatcher {
        let now = tokio::time::Instant::now();
        let mut dispatcher = Dispatcher {
            window: Window::new(1, shared.history.standing(&endpoint.record.id)),
            unsettled: shared.meters.unsettled(&endpoint.record.id),
            clock: ClockWatch::new(&shared.handlers.broker.env),
            shared,
            scope,
            endpoint: endpoint.clone(),
            url: None,
            is_gone: false,
            progress: Progress::default(),
            lanes: Lanes::new(remembered),
            loaded: HashMap::new(),
            doomed: HashMap::new(),
            not_before: None,
            running: HashMap::new(),
            leave: Arc::default(),
            turn: 0,
            stored: None,
            is_touched: false,
            has_failed: false,
            replayed: Replayed::default(),
            is_open: false,
            last_commit: now,
            last_look: now,
            last_renewal: None,
        };
        dispatcher.change(endpoint);
        dispatcher
    }

    /// Runs until the endpoint is deleted or the broker stops.
    pub async fn run(mut self, mut inbox: Inbox) {
        let shared = self.shared.clone();
        let mut jobs = Jobs::new();
        let mut reading: Option<Owned<Pages>> = None;
        let mut committing: Option<Owned<Committed>> = None;
        let mut feed = shared.handlers.broker.catalog.feed().subscribe();
        let mut are_topics_stale = true;
        let mut is_deleted = false;
        loop {
            if are_topics_stale {
                feed.mark_unchanged();
                are_topics_stale = !self.follow_topics().await;
                reading = None;
            }
            self.follow_clock();
            self.start_due(&jobs);
            self.unsettled.set(level(self.progress.unsettled()));
            reading = reading.or_else(|| self.next_read());
            committing = committing.or_else(|| self.next_commit());
            let nap = if are_topics_stale { PAUSE } else { self.nap(committing.is_some()) };
            tokio::select! {
                Some(ended) = jobs.next(), if !jobs.is_empty() => self.done(ended, &jobs),
                pages = async { reading.as_mut().expect("it is there: the guard").await }, if reading.is_some() => {
                    reading = None;
                    are_topics_stale |= self.take_in(pages).await;
                }
                committed = async { committing.as_mut().expect("it is there: the guard").await }, if committing.is_some() => {
                    committing = None;
                    if self.committed(committed) {
                        reading = None;
                    }
                }
                changed = inbox.endpoint.changed() => {
                    if changed.is_err() {
                        is_deleted = !*shared.stopping.borrow();
                        break;
                    }
                    let endpoint = inbox.endpoint.borrow_and_update().clone();
                    self.change(endpoint);
                    are_topics_stale = true;
                }
                Some(replay) = inbox.replays.recv() => {
                    self.replay(replay);
                    reading = None;
                }
                // The catalog lives as long as its broker.
                _ = feed.changed() => are_topics_stale = true,
                () = tokio::time::sleep(nap) => {}
                () = shared.stopped() => break,
            }
        }
        drop((jobs, reading));
        self.farewell(committing, is_deleted).await;
    }

    /// What waits for its next attempt waits for as long when somebody sets the clock: to be called before anything is made to wait from now on.
    fn follow_clock(&mut self) {
        if let (_, Some(by_ms)) = self.clock.look(&self.shared.handlers.broker.env) {
            self.progress.shift(by_ms);
            self.not_before = self.not_before.map(|time| time.plus_ms(by_ms));
        }
    }

    fn now(&self) -> Timestamp {
        self.shared.handlers.broker.env.now()
    }

    /// The endpoint is another one now.
    fn change(&mut self, endpoint: Arc<Endpoint>) {
        let settings = &endpoint.record.settings;
        self.url = match self.shared.rules.check(&settings.url) {
            Ok(url) => Some(url),
            // Without the reason, which shows the url: its query may be secret.
            Err(_reason) => {
                warn!(endpoint = endpoint.record.name, "the endpoint's url is not allowed any more; nothing is sent to it");
                None
            }
        };
        self.window.set_most(endpoint.concurrency(self.shared.settings()));
        self.is_gone = false;
        self.not_before = None;
        self.endpoint = endpoint;
        self.withdraw();
        self.unload_idle();
    }

    /// What waits for a slot is not sent.
    fn withdraw(&mut self) {
        self.leave.store(false, Ordering::Relaxed);
        self.leave = Arc::new(AtomicBool::new(true));
    }

    /// Gives the memory back of messages that will not be sent soon; they are read again when it is their turn.
    fn unload_idle(&mut self) {
        if !self.may_send() || !self.window.is_quick() {
            self.loaded.clear();
        }
    }

    /// Whether requests may begin now.
    fn may_send(&self) -> bool {
        self.is_active() && self.not_before.is_none_or(|time| time <= self.now())
    }

    fn is_active(&self) -> bool {
        self.endpoint.is_enabled() && !self.is_gone && self.url.is_some()
    }

    /// Follows the catalog; whether it worked.
    async fn follow_topics(&mut self) -> bool {
        match self.lanes.follow(&self.shared, &self.scope, &self.endpoint, &mut self.progress).await {
            Ok(gone) => {
                let waited: Vec<Place> = gone.iter().flat_map(|key| self.progress.close(*key)).collect();
                self.forget(|lane| gone.contains(&lane), &waited);
                self.is_touched = true;
                self.is_open = true;
                true
            }
            Err(error) => {
                warn!(endpoint = self.endpoint.record.name, %error, "where the endpoint's group is could not be read; it is tried again");
                false
            }
        }
    }

    /// Starts attempts, as many as there is room for.
    fn start_due(&mut self, jobs: &Jobs) {
        let Some(url) = self.url.clone().filter(|_| self.may_send()) else { return };
        let room = self.room();
        if room == 0 {
            return;
        }
        for place in self.progress.startable(self.now(), room) {
            let Some(topic) = self.lanes.topic(place.lane.topic).cloned() else { continue };
            if let Some(reason) = self.doomed.remove(&place) {
                self.progress.start(place);
                self.give_up(place, reason, jobs);
                continue;
            }
            let Some(topic_name) = self.scope.own_name(&topic.name).map(str::to_owned) else { continue };
            let began = Began::default();
            self.progress.start(place);
            self.running.insert(place, began.clone());
            let job = Job {
                shared: self.shared.clone(),
                endpoint: self.endpoint.clone(),
                url: url.clone(),
                topic,
                topic_name,
                place,
                loaded: self.loaded.remove(&place),
                standing: self.window.standing(),
                began: began.clone(),
                leave: self.leave.clone(),
            };
            jobs.push(tasks::owned("webhook attempt", async move { (place, began, attempt(job).await) }));
        }
    }

    /// How many more attempts may be under way.
    fn room(&self) -> usize {
        let oldest = self.running.values().filter_map(|began| began.get()).map(Instant::elapsed).max();
        self.window.room(oldest).saturating_sub(self.progress.running())
    }

    /// Reads on where there is room, and waits for what is new.
    fn next_read(&mut self) -> Option<Owned<Pages>> {
        if !self.may_send() {
            return None;
        }
        let settings = self.shared.settings();
        let own = self.endpoint.concurrency(settings);
        let is_quick = self.window.is_quick();
        let most = if is_quick { own.saturating_mul(8).max(AHEAD_MIN) } else { SLOW_MAX };
        let ahead = most.saturating_sub(self.loaded.len());
        let records = ahead.min(settings.in_retry_max.saturating_sub(self.progress.unsettled()));
        // In larger steps than one: each reads its batch from the beginning.
        let step = most.min(settings.in_retry_max) / 2;
        if records == 0 || (records < step && self.progress.running() > 0) {
            return None;
        }
        let mut wanted: Vec<(LaneKey, Wanted)> = self
            .progress
            .keys()
            .filter_map(|key| {
                let (from, to) = self.progress.reads(key)?;
                let topic = self.lanes.topic(key.topic)?.clone();
                Some((key, Wanted { topic, partition: key.partition, from, to }))
            })
            .collect();
        if wanted.is_empty() {
            return None;
        }
        let turn = self.turn % wanted.len();
        self.turn = self.turn.wrapping_add(1);
        wanted.rotate_left(turn);
        Some(tasks::owned("read for webhooks", look(self.shared.clone(), wanted, records, is_quick)))
    }

    /// Takes over what was read; whether some topic is gone.
    async fn take_in(&mut self, read: Pages) -> bool {
        let Pages { wanted, pages, mut room } = read;
        self.follow_clock();
        let now = self.now();
        let may_send = self.may_send();
        let mut is_stale = false;
        let mut unwanted = Vec::new();
        for ((key, one), page) in wanted.iter().zip(pages) {
            is_stale |= page.is_gone;
            if page.is_outside {
                self.go_inside(*key, one).await;
                continue;
            }
            let Some(name) = self.scope.own_name(&one.topic.name) else { continue };
            for record in &page.records {
                let place = Place { lane: *key, offset: record.offset };
                if !takes(&self.endpoint, name, &self.shared.settings().dead_letter_topic, record) {
                    unwanted.push(place);
                    continue;
                }
                let order = self.endpoint.record.settings.ordered.then(|| order_of(record));
                self.progress.read(place, order, now);
                if may_send
                    && record.omitted.is_none()
                    && !self.progress.is_held_back(place, now)
                    && let Some(own) = Memory::part(room.as_mut(), record.bytes())
                {
                    let id = self.endpoint.message_id(one.topic.id, one.partition, record.offset);
                    let message = Message::new(id, name, one.partition, record, name == EVENTS_TOPIC);
                    self.loaded.insert(place, Loaded { message, room: Some(own) });
                }
            }
            if page.next != one.from {
                self.progress.advance(*key, page.next);
                self.is_touched = true;
            }
        }
        // Some may have been noted as pending, or been tried, before the endpoint was changed.
        self.cancel(&unwanted);
        self.is_touched |= self.progress.close_finished();
        is_stale
    }

    /// Goes on at the nearest offset that there is.
    async fn go_inside(&mut self, key: LaneKey, one: &Wanted) {
        let start = offsets::at(&self.shared.handlers, &one.topic, EARLIEST).await;
        let end = offsets::at(&self.shared.handlers, &one.topic, LATEST).await;
        let (Ok(start), Ok(end)) = (start, end) else { return };
        let (Some(start), Some(end)) = (start.get(&one.partition), end.get(&one.partition)) else { return };
        if one.from < *start {
            let endpoint = &self.endpoint.record.name;
            warn!(
                endpoint,
                topic = one.topic.name,
                partition = one.partition,
                from = one.from,
                to = start,
                "events were deleted before they were delivered"
            );
            self.progress.advance(key, (*start).min(one.to));
        } else if one.from > *end {
            self.reset(key, *end);
        }
        self.is_touched = true;
    }

    fn reset(&mut self, key: LaneKey, offset: i64) {
        let waited = self.progress.reset(key, offset);
        self.forget(|lane| lane == key, &waited);
    }

    /// Forgets what there is of lanes that were closed or reset; `waited`: their events that were not under way. What is under way in them ends with no effect
    /// on them.
    fn forget(&mut self, is_forgotten: impl Fn(LaneKey) -> bool, waited: &[Place]) {
        self.loaded.retain(|place, _| !is_forgotten(place.lane));
        self.doomed.retain(|place, _| !is_forgotten(place.lane));
        self.running.retain(|place, _| !is_forgotten(place.lane));
        self.cancel(waited);
    }

    /// How long nothing is to be done unless something happens.
    fn nap(&self, is_committing: bool) -> Duration {
        let now = tokio::time::Instant::now();
        let mut until = self.last_look + LOOK_INTERVAL;
        if !self.replayed.waiting.is_empty() && !is_committing && self.is_open && !self.has_failed {
            return Duration::ZERO;
        }
        if self.is_touched || !self.replayed.waiting.is_empty() {
            until = until.min(self.last_commit + COMMIT_INTERVAL);
        }
        let mut nap = if is_committing { LOOK_INTERVAL } else { until.saturating_duration_since(now) };
        let has_room = self.may_send() && self.room() > 0;
        if let Some(due) = self.progress.next_due().filter(|_| has_room) {
            nap = nap.min(self.until(due));
        }
        if let Some(time) = self.not_before.filter(|time| *time > self.now()) {
            // Then it reads on.
            nap = nap.min(self.until(time));
        }
        nap.max(Duration::from_millis(1))
    }

    fn until(&self, time: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(time.ms_since(self.now())).unwrap_or(0).max(1))
    }
}

/// Reads `wanted`, waiting while there is nothing. What is there is loaded once there is room for it.
async fn look(shared: Arc<Shared>, wanted: Vec<(LaneKey, Wanted)>, records: usize, is_quick: bool) -> Pages {
    let begun = tokio::time::Instant::now();
    let asked: Vec<Wanted> = wanted.iter().map(|(_, one)| one.clone()).collect();
    let limits = Limits { records, bytes: PAGE_BYTES, wait: LONG_POLL };
    let (pages, room) = read_in(&shared.handlers, &asked, limits, |bytes| shared.memory.ahead(is_quick, bytes)).await;
    let mut room = room.flatten();
    let has_more = asked.iter().zip(&pages).any(|(one, page)| page.next != one.from);
    if !has_more && begun.elapsed() < BREATH {
        tokio::time::sleep(BREATH).await;
    }
    let bytes: usize = pages.iter().flat_map(|page| &page.records).map(super::reading::Read::bytes).sum();
    Memory::keep(room.as_mut(), bytes);
    Pages { wanted, pages, room }
}
