//! The Kafka listener: bind, accept, limits, drain. What happens on a connection is in `connection.rs`.
//!
//! Owner: one accept task per bound address; one reader and one writer task per connection. Bound: `limits.connections`; when all are
//! taken, each address waits with one more connection until another one closes, so that the kernel's backlog, not our memory, holds the queue.

use crate::api::fetch_sessions::FetchSessions;
use crate::api::share_sessions::ShareSessions;
use crate::broker::Broker;
use crate::config::split_address;
use crate::log::ahead::Ahead;
use crate::sockets::{self, ListenError};
use crate::tasks;
use crate::telemetry::metrics::Hold;
use metrics::Meters;
use request_memory::RequestMemory;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tracing::{debug, warn};

mod connection;
mod incoming;
mod metrics;
mod outgoing;
mod request_memory;
mod unsent;

/// How long answers under way may take at a stop, before connections are cut.
const DRAIN: Duration = Duration::from_millis(500);

/// What all connections share.
pub(crate) struct Shared {
    pub broker: Arc<Broker>,
    pub sessions: Arc<FetchSessions>,
    pub share_sessions: Arc<ShareSessions>,
    /// For requests, over all connections.
    request_memory: Arc<RequestMemory>,
    /// Reads of what consumers have not asked for yet.
    looks: Arc<Semaphore>,
    /// Turns true at a stop.
    pub stopping: watch::Receiver<bool>,
    next_connection: AtomicU64,
    meters: Meters,
}

/// A bound listener that does not accept yet.
pub struct Server {
    listeners: Vec<TcpListener>,
    broker: Arc<Broker>,
}

impl Server {
    /// Binds every address of `server.listen`.
    ///
    /// # Errors
    /// When an address is in use, cannot be resolved or is not ours; one line that names it.
    pub fn bind(broker: Arc<Broker>) -> anyhow::Result<Server> {
        let mut listeners = Vec::new();
        for address in &broker.config.server.listen {
            listeners.extend(bind(address)?);
        }
        Ok(Server { listeners, broker })
    }

    /// The addresses that are bound, with the ports that the system chose where 0 was asked for.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Accepts until `shutdown`, then stops accepting, lets answers under way leave (at most half a second) and cuts the rest.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (stop, stopping) = watch::channel(false);
        let limits = &self.broker.config.limits;
        let connections = u32::try_from(limits.connections).unwrap_or(u32::MAX);
        let room = Arc::new(Semaphore::new(connections as usize));
        let slots = self.broker.config.kafka.max_incremental_fetch_session_cache_slots;
        let share_slots = self.broker.config.kafka.share.max_share_sessions;
        let shared = Arc::new(Shared {
            sessions: Arc::new(FetchSessions::new(slots).numbered_from(self.broker.env.below(1 << 31))),
            share_sessions: Arc::new(ShareSessions::new(usize::try_from(share_slots).unwrap_or(0))),
            request_memory: RequestMemory::new(limits.memory_bytes, limits.request_bytes),
            looks: Ahead::reads(),
            meters: Meters::new(self.broker.metrics.clone()),
            broker: self.broker,
            stopping,
            next_connection: AtomicU64::new(1),
        });
        let accepting: Vec<_> = self
            .listeners
            .into_iter()
            .map(|listener| tasks::spawn("accept", accept(listener, shared.clone(), room.clone())))
            .collect();
        shutdown.await;
        for task in &accepting {
            task.abort();
        }
        // Nobody listens only when no connection is left.
        let _ = stop.send(true);
        let _ = tokio::time::timeout(DRAIN, room.acquire_many(connections)).await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, room: Arc<Semaphore>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Now, not before: an address that nobody comes to must not keep a place from the others.
                let Ok(place) = room.clone().acquire_owned().await else { return };
                let id = shared.next_connection.fetch_add(1, Ordering::Relaxed);
                debug!(connection = id, %peer, "accepted");
                shared.broker.metrics.kafka_connections_accepted.inc();
                let open = Hold::of(&shared.broker.metrics.kafka_connections);
                let shared = shared.clone();
                tasks::spawn_connection(async move {
                    sockets::prepare(&stream);
                    connection::serve(stream, peer, id, shared).await;
                    drop((open, place));
                });
            }
            Err(error) => {
                // Out of file handles, or a peer that was gone already: neither ends the listener.
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn bind(address: &str) -> anyhow::Result<Vec<TcpListener>> {
    let (host, port) = split_address(address).map_err(|error| anyhow::anyhow!("server.listen {error}"))?;
    sockets::listen(host, port).map_err(|error| match error {
        ListenError::Refused { address, .. } if error.is_in_use() => {
            anyhow::anyhow!("address {address} is in use by another process; stop it or choose another with --listen")
        }
        ListenError::Refused { .. } => anyhow::anyhow!("{error}; choose another with --listen"),
        ListenError::Unresolved(_) => anyhow::anyhow!("server.listen {address:?}: {error}"),
    })
}
