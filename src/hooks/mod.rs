//! Webhooks: events of topics, sent to whoever registered an endpoint; signed, at least once, with retries, dead letters and replay.
//!
//! ```text
//!   registry (what endpoints there are) ──▶ one dispatcher per endpoint ──▶ client (one request)
//!                                              │ reads by Fetch, commits by OffsetCommit, writes by Produce
//!                                              └──▶ history (what became of each event)
//! ```
//! A client within the process of the API's handlers, as HTTP is: so what Kafka clients, HTTP and transactions publish comes the same way, and each
//! endpoint is a consumer group whose lag every tool shows.
//!
//! Owner: [`Hooks`]. What endpoints there are is in memory behind a short lock; a change has its turn, goes to the `MetaStore` first, and only then becomes visible.
//! Each endpoint's state is its task's. Bounds: `hooks.endpoints_max` per project, and those in the files' headers.

use crate::broker::Broker;
use crate::config::HttpAuth;
use crate::env::Env;
use crate::store::StoreError;
use crate::store::json;
use crate::tasks;
use client::Client;
use dispatcher::{Dispatcher, Inbox, Replay};
use handlers::Handlers;
use history::History;
use lanes::Remembered;
use metrics::Meters;
use progress::Stored;
use saver::{POSITIONS, PROGRESS, Saver};
use shared::{Memory, Shared};
use slots::Pools;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use target::Rules;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};
use vault::{Vault, key_file};

mod address;
mod answer;
mod attempt;
mod client;
mod committing;
pub mod delivery;
mod dispatcher;
pub mod endpoint;
pub mod error;
pub mod filter;
mod handlers;
mod history;
mod lanes;
mod message;
mod metrics;
mod offsets;
mod part;
mod progress;
mod publishing;
mod reading;
pub mod registry;
mod saver;
mod schedule;
pub mod scope;
pub mod secret;
pub mod sending;
mod shared;
mod slots;
mod target;
mod vault;
mod wanted;

pub use client::authorities;
pub use delivery::{Delivery, Status, Totals};
pub use endpoint::{Endpoint, Settings};
pub use error::HooksError;
pub use filter::Filters;
pub use scope::Scope;

/// Endpoints whose receivers said that they are gone, until they are disabled.
const GONE_MAX: usize = 1024;
/// Replays that wait for an endpoint's task.
const REPLAYS_WAITING_MAX: usize = 16;
/// After an endpoint could not be disabled.
const DISABLE_PAUSE: Duration = Duration::from_secs(2);
/// How long a stop waits for all tasks.
const DRAIN: Duration = Duration::from_secs(5);

/// A project, and the name of an endpoint in it.
type Key = (Option<String>, String);

/// See the file's header.
pub struct Hooks {
    shared: Arc<Shared>,
    vault: Vault,
    endpoints: RwLock<BTreeMap<Key, Arc<Endpoint>>>,
    /// Orders the changes; the revision of each record, by its key.
    turn: tokio::sync::Mutex<HashMap<String, u64>>,
    running: Mutex<HashMap<String, Running>>,
    /// What was stored of endpoints that have not been started yet, by id.
    remembered: Mutex<HashMap<String, Remembered>>,
    stop: watch::Sender<bool>,
    background: Mutex<Vec<JoinHandle<()>>>,
}

/// An endpoint's task.
struct Running {
    endpoint: watch::Sender<Arc<Endpoint>>,
    replays: mpsc::Sender<Replay>,
    task: JoinHandle<()>,
}

impl Hooks {
    /// Reads what endpoints there are, and starts delivering.
    ///
    /// # Errors
    /// When the key for secrets or the certificate authorities cannot be used, or what is stored does not read back.
    pub async fn open(broker: Arc<Broker>) -> anyhow::Result<Arc<Hooks>> {
        let (env, config) = (broker.env.clone(), broker.config.clone());
        let settings = &config.hooks;
        let vault = open_vault(&broker, &env).await?;
        let rules = Rules { allow_private_addresses: settings.allow_private_addresses, allow_http: settings.allow_http };
        let client = Client::new(settings, rules, env.clone()).await?;
        let handlers = Handlers::new(broker.clone());
        let (stop, stopping) = watch::channel(false);
        let (gone, disabled) = mpsc::channel(GONE_MAX);
        let shared = Arc::new(Shared {
            history: History::new(handlers.clone()),
            saver: Saver::new(broker.meta.clone()),
            client,
            rules,
            pools: Pools::new(settings.concurrency),
            patterns: Default::default(),
            memory: Memory::new(settings.memory_bytes),
            meters: Meters::new(broker.metrics.clone()),
            handlers,
            gone,
            stopping,
        });
        let hooks = Arc::new(Hooks {
            shared,
            vault,
            endpoints: RwLock::default(),
            turn: tokio::sync::Mutex::default(),
            running: Mutex::default(),
            remembered: Mutex::default(),
            stop,
            background: Mutex::default(),
        });
        hooks.load().await?;
        hooks.start_all(disabled);
        Ok(hooks)
    }

    async fn load(&self) -> Result<(), StoreError> {
        let meta = &self.shared.handlers.broker.meta;
        let mut revisions = self.turn.lock().await;
        let mut endpoints = BTreeMap::new();
        for entry in meta.range(endpoint::PREFIX).await? {
            let record: endpoint::Record = json::read(&entry.key, &entry.value)?;
            let endpoint = Endpoint::open(record, &self.vault);
            if endpoint.is_sealed {
                error!(
                    endpoint = endpoint.record.name,
                    "the endpoint's secret was encrypted with another key (hooks.secret_key, or hooks.key in the data directory); nothing is sent to it until its secret is rotated"
                );
            }
            revisions.insert(entry.key, entry.revision);
            endpoints.insert((endpoint.record.project.clone(), endpoint.record.name.clone()), Arc::new(endpoint));
        }
        let mut remembered: HashMap<String, Remembered> = HashMap::new();
        for entry in meta.range(PROGRESS).await? {
            let id = entry.key.trim_start_matches(PROGRESS).to_owned();
            let stored: Stored = json::read(&entry.key, &entry.value)?;
            let lanes = stored.lanes.into_iter().map(|lane| (lane.key(), lane));
            remembered.entry(id).or_default().lanes.extend(lanes);
        }
        for entry in meta.range(POSITIONS).await? {
            let id = entry.key.trim_start_matches(POSITIONS).to_owned();
            let positions: Vec<(crate::ids::TopicId, i32, i64)> = json::read(&entry.key, &entry.value)?;
            let positions = positions.into_iter().map(|(topic, partition, offset)| ((topic, partition), offset));
            remembered.entry(id).or_default().positions.extend(positions);
        }
        let count = endpoints.len();
        *self.endpoints.write().unwrap_or_else(PoisonError::into_inner) = endpoints;
        *self.remembered.lock().unwrap_or_else(PoisonError::into_inner) = remembered;
        if count > 0 {
            info!(endpoints = count, "webhooks opened");
        }
        Ok(())
    }

    fn start_all(self: &Arc<Hooks>, mut disabled: mpsc::Receiver<Arc<Endpoint>>) {
        let hooks = self.clone();
        let start = tasks::spawn("start webhooks", async move {
            let known: std::collections::HashSet<String> = hooks.all().iter().map(|one| one.record.id.clone()).collect();
            hooks.shared.history.follow_settings().await;
            hooks.shared.history.load(|id| known.contains(id)).await;
            for endpoint in hooks.all() {
                // In its turn, as it is then: one that is deleted meanwhile must not be started.
                let _turn = hooks.turn.lock().await;
                if let Some(endpoint) = hooks.now(&endpoint).filter(|one| !hooks.is_running(&one.record.id)) {
                    hooks.start(endpoint);
                }
            }
        });
        let hooks = self.clone();
        let disable = tasks::spawn("disable webhooks that are gone", async move {
            while let Some(gone) = disabled.recv().await {
                // Its task sends nothing meanwhile.
                while let Err(error) = hooks.disable_gone(&gone).await {
                    warn!(endpoint = gone.record.name, %error, "an endpoint whose receiver is gone could not be disabled; that is tried again");
                    tokio::time::sleep(DISABLE_PAUSE).await;
                }
            }
        });
        let shared = self.shared.clone();
        let history = tasks::spawn("history of webhooks", async move { shared.history.keep().await });
        let shared = self.shared.clone();
        let saver = tasks::spawn("progress of webhooks", async move { shared.saver.keep().await });
        self.background.lock().unwrap_or_else(PoisonError::into_inner).extend([start, disable, history, saver]);
    }

    fn is_running(&self, id: &str) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }

    /// Starts an endpoint's task; not one of a project that is not configured now.
    fn start(&self, endpoint: Arc<Endpoint>) {
        let record = &endpoint.record;
        let Some(scope) = Scope::of(&self.shared.handlers.broker.config.http, record.project.as_deref()) else {
            let auth = match self.shared.handlers.broker.config.http.auth {
                HttpAuth::None => "none",
                HttpAuth::Keys => "keys",
            };
            warn!(endpoint = record.name, project = ?record.project, auth, "the endpoint's project is not configured; nothing is sent to it");
            return;
        };
        let id = record.id.clone();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if *self.stop.borrow() {
            return;
        }
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).remove(&id).unwrap_or_default();
        let (sender, receiver) = watch::channel(endpoint.clone());
        let (replays, asked) = mpsc::channel(REPLAYS_WAITING_MAX);
        let dispatcher = Dispatcher::new(self.shared.clone(), scope, endpoint, remembered);
        let task = tasks::spawn("webhook endpoint", dispatcher.run(Inbox { endpoint: receiver, replays: asked }));
        running.insert(id, Running { endpoint: sender, replays, task });
    }

    /// An endpoint as it is now; `None`: it was deleted.
    fn now(&self, endpoint: &Endpoint) -> Option<Arc<Endpoint>> {
        let key = (endpoint.record.project.clone(), endpoint.record.name.clone());
        let endpoints = self.endpoints.read().unwrap_or_else(PoisonError::into_inner);
        endpoints.get(&key).filter(|one| one.record.id == endpoint.record.id).cloned()
    }

    /// All endpoints of all projects.
    fn all(&self) -> Vec<Arc<Endpoint>> {
        self.endpoints.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Stops delivering, and keeps what is known. After it the broker may be closed.
    pub async fn close(&self) {
        // Under the lock, so that no task is started behind it.
        let tasks: Vec<JoinHandle<()>> = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            self.stop.send_replace(true);
            running.drain().map(|(_, one)| one.task).collect()
        };
        let drained = tokio::time::timeout(DRAIN, async {
            for task in tasks {
                // A panic has ended the process.
                let _ = task.await;
            }
        });
        if drained.await.is_err() {
            warn!("webhooks took too long to stop; some events are sent again");
        }
        for task in self.background.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
        if let Err(error) = self.shared.saver.flush().await {
            warn!(%error, "the progress of webhooks could not be stored; some events are sent again");
        }
        if let Err(error) = self.shared.history.flush().await {
            warn!(%error, "the history of webhooks' deliveries could not be written; it has a gap");
        }
    }
}

/// The key for secrets: configured, in memory with an ephemeral store, or in the data directory's file.
async fn open_vault(broker: &Broker, env: &Env) -> anyhow::Result<Vault> {
    let (storage, settings) = (&broker.config.storage, &broker.config.hooks);
    let key = match &settings.secret_key {
        Some(key) => key.clone(),
        None if storage.ephemeral => crate::config::hooks::SecretKey(env.secret_bytes::<32>()),
        None => {
            let (directory, env) = (storage.path.clone(), env.clone());
            tasks::blocking("read the key for webhooks", move || key_file(&directory, &env)).await?
        }
    };
    Ok(Vault::new(&key, env.clone()))
}
