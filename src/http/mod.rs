//! HTTP: topics, events, consumers and live streams for everything that is no Kafka client.
//!
//! ```text
//!   socket ──▶ hyper (HTTP/1.1, HTTP/2) ──▶ router ──▶ caller (who asks) ──▶ one file per resource ──▶ api handlers
//! ```
//! A route makes the same `Context` and request value as a Kafka connection does, and asks the same handler: there is no second way to the log.
//!
//! Owner: one accept task and one task per connection. Bounds: `http.connections`; `http.memory_bytes` for bodies and answers, beyond which
//! requests are answered 429; `http.request_bytes` for one body; header sizes and times below.

use crate::api::context::Connection;
use crate::api::fetch_sessions::FetchSessions;
use crate::broker::Broker;
use crate::catalog::patterns::Patterns;
use crate::config::split_address;
use crate::hooks::Hooks;
use crate::telemetry::metrics::{Gauge, Hold};
use crate::{sockets, tasks};
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use axum::{Extension, Router};
use errors::{HttpError, Refusal};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::{Layer, ServiceExt};
use tracing::{debug, warn};

mod budget;
mod caller;
mod compression;
mod consume;
mod cursor;
mod docs;
mod errors;
mod groups;
mod health;
mod input;
mod json;
mod leases;
mod list;
mod live;
mod metrics;
mod partitioner;
mod produce;
mod records;
mod registry;
mod repeats;
mod room;
mod router;
mod source;
mod stall;
mod topic_schema;
mod topics;
mod webhooks;

/// A connection whose first request has not come by then ends, and one of HTTP/1.1 whose next has not.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
const HEAD_BYTES: usize = 64 * 1024;
const HEADERS_MAX: usize = 100;
/// Streams of one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;
/// How long a peer may take nothing of what there is for it before its connection ends: it keeps a place from others.
const SEND_PATIENCE: Duration = Duration::from_secs(300);
/// How long answers under way may take at a stop.
const DRAIN: Duration = Duration::from_millis(500);
/// Connections are numbered apart from those of Kafka's clients.
const FIRST_CONNECTION: u64 = 1 << 32;
const FIRST_REGISTRY_CONNECTION: u64 = 1 << 48;

/// One permit of the budget.
const PERMIT_BYTES: usize = 1024;

/// What all requests share.
pub struct Shared {
    pub broker: Arc<Broker>,
    pub hooks: Arc<Hooks>,
    pub sessions: Arc<FetchSessions>,
    groups: groups::Groups,
    patterns: Patterns,
    /// Where the next event without a key goes.
    next_partition: AtomicUsize,
    /// `http.memory_bytes`, in permits of [`PERMIT_BYTES`].
    memory: Arc<Semaphore>,
    unsent: Arc<stall::Unsent>,
    stopping: watch::Receiver<bool>,
}

impl Shared {
    /// Room for `bytes`, if there is any now.
    fn try_take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES).max(1)).ok()?;
        self.memory.clone().try_acquire_many_owned(permits).ok()
    }

    /// As [`Shared::try_take`], for an answer: a quarter of the budget is for bodies alone, so that events are taken however many readers there are.
    fn try_take_for_answer(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        if bytes > self.free_for_answers() { None } else { self.try_take(bytes) }
    }

    fn free_for_answers(&self) -> usize {
        self.free_bytes().saturating_sub(self.budget_bytes() / 4)
    }

    /// All of it.
    fn budget_bytes(&self) -> usize {
        self.broker.config.http.memory_bytes
    }

    /// Whether more than half of the budget is in use.
    fn is_memory_scarce(&self) -> bool {
        self.free_bytes() < self.budget_bytes() / 2
    }

    fn free_bytes(&self) -> usize {
        self.memory.available_permits().saturating_mul(PERMIT_BYTES)
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Returns when the broker stops.
    async fn stopped(&self) {
        // The sender goes away only after it has said so.
        let _ = self.stopping.clone().wait_for(|stopping| *stopping).await;
    }
}

fn busy() -> HttpError {
    HttpError::new(Refusal::Busy, "the memory for requests (http.memory_bytes) is used up; try again")
}

/// Bound listeners that do not accept yet: for the API, and for the schema registry.
pub struct Server {
    api: Vec<TcpListener>,
    registry: Vec<TcpListener>,
    broker: Arc<Broker>,
    hooks: Arc<Hooks>,
}

/// A listener that the configuration asks for.
struct Wanted<'a> {
    /// The key of its address.
    key: &'static str,
    what: &'static str,
    address: &'a str,
    /// Somebody asked for this address.
    is_asked: bool,
}

impl Server {
    /// Binds `http.listen` and `schema.listen`, each unless it is off: switched off, or the default address, which nobody asked for, is in use.
    ///
    /// # Errors
    /// When an address that was asked for is in use, cannot be resolved or is not ours; one line that names it.
    pub fn bind(broker: Arc<Broker>, hooks: Arc<Hooks>) -> anyhow::Result<Server> {
        let (http, schema) = (&broker.config.http, &broker.config.schema);
        let api = Wanted { key: "http.listen", what: "HTTP", address: http.address(), is_asked: http.listen.is_some() };
        let registry = Wanted {
            key: "schema.listen",
            what: "the schema registry",
            address: schema.address(),
            is_asked: schema.listen.is_some(),
        };
        let (api, registry) = (bind(&api)?, bind(&registry)?);
        Ok(Server { api, registry, broker, hooks })
    }

    /// Where the API is served.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.api.first().and_then(|listener| listener.local_addr().ok())
    }

    /// Where the schema registry is served.
    #[must_use]
    pub fn registry_address(&self) -> Option<SocketAddr> {
        self.registry.first().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `shutdown`, then lets answers under way finish.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (stop, stopping) = watch::channel(false);
        let http = &self.broker.config.http;
        let shared = Arc::new(Shared {
            sessions: Arc::new(FetchSessions::new(0)),
            groups: groups::Groups::default(),
            patterns: Patterns::default(),
            next_partition: AtomicUsize::new(0),
            memory: Arc::new(Semaphore::new((http.memory_bytes / PERMIT_BYTES).min(Semaphore::MAX_PERMITS))),
            unsent: Arc::default(),
            broker: self.broker.clone(),
            hooks: self.hooks.clone(),
            stopping,
        });
        let room = Arc::new(Semaphore::new(http.connections));
        // Each describes all of its routes: milliseconds, which a broker without HTTP need not spend.
        let api = (!self.api.is_empty()).then(|| router::router(shared.clone()));
        let registry = (!self.registry.is_empty()).then(|| registry::router(shared.clone()));
        let graceful = GracefulShutdown::new();
        let open = &self.broker.metrics.http_connections;
        tokio::select! {
            () = accept(&shared, (&self.api, api), FIRST_CONNECTION, &graceful, &room, open) => {}
            () = accept(&shared, (&self.registry, registry), FIRST_REGISTRY_CONNECTION, &graceful, &room, open) => {}
            () = shutdown => {}
        }
        drop((self.api, self.registry));
        // Nobody listens only when no request is under way.
        let _ = stop.send(true);
        let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
    }
}

/// Nothing where it is off.
fn bind(wanted: &Wanted<'_>) -> anyhow::Result<Vec<TcpListener>> {
    let Wanted { key, what, address, is_asked } = wanted;
    if address.is_empty() {
        return Ok(Vec::new());
    }
    let (host, port) = split_address(address).map_err(|error| anyhow::anyhow!("{key} {error}"))?;
    match sockets::listen(host, port) {
        Ok(listeners) => Ok(listeners),
        Err(error) if error.is_in_use() && !is_asked => {
            warn!(listen = address, "{what} is not served: the address is in use; choose another with --set {key}=HOST:PORT");
            Ok(Vec::new())
        }
        Err(error) => Err(anyhow::anyhow!("{key} {address:?}: {error}; choose another")),
    }
}

/// The next connection of any of these, from `turn` on.
async fn next_of(listeners: &[TcpListener], turn: usize) -> io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|context| {
        let in_turn = listeners.iter().cycle().skip(turn).take(listeners.len());
        in_turn.map(|listener| listener.poll_accept(context)).find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}

/// Takes connections for ever; without a router there are none.
async fn accept(
    shared: &Arc<Shared>,
    (listeners, router): (&[TcpListener], Option<Router>),
    first: u64,
    graceful: &GracefulShutdown,
    room: &Arc<Semaphore>,
    open: &Gauge,
) {
    let Some(router) = router else { return std::future::pending().await };
    let mut next = first;
    let mut turns = (0..listeners.len()).cycle();
    loop {
        match next_of(listeners, turns.next().unwrap_or(0)).await {
            Ok((stream, peer)) => {
                // Now, not before: an address that nobody comes to must not keep a place from the others.
                let Ok(place) = room.clone().acquire_owned().await else { return };
                next += 1;
                serve(shared.clone(), stream, (next, peer), &router, graceful, (place, Hold::of(open)));
            }
            Err(error) => {
                warn!(%error, "an HTTP connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    (id, peer): (u64, SocketAddr),
    router: &Router,
    graceful: &GracefulShutdown,
    place: (OwnedSemaphorePermit, Hold),
) {
    sockets::prepare(&stream);
    sockets::give_up_after(&stream, SEND_PATIENCE);
    let Ok(local) = stream.local_addr() else { return };
    let connection = Arc::new(Connection::new(id, peer, local));
    let begun = Arc::new(AtomicBool::new(false));
    let note = begun.clone();
    let router = router.clone().map_request(move |request: Request<Incoming>| {
        note.store(true, Ordering::Relaxed);
        request
    });
    let frames = Arc::new(stall::Frames::default());
    let (noted, unsent) = (frames.clone(), shared.unsent.clone());
    let router = router.map_response(move |response: Response<Body>| stall::watched(response, &noted, &unsent));
    let service = TowerToHyperService::new(Extension(connection).layer(router));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES).max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES as u32);
    let served = graceful.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    tasks::spawn_connection(async move {
        let mut served = std::pin::pin!(served);
        // Which version it speaks is waited for without a limit of hyper's own.
        let ended = async {
            match tokio::time::timeout(HEAD_TIMEOUT, &mut served).await {
                Ok(ended) => Some(ended),
                Err(_elapsed) if begun.load(Ordering::Relaxed) => Some(served.await),
                Err(_elapsed) => None,
            }
        };
        tokio::select! {
            ended = ended => match ended {
                Some(Ok(())) => {}
                Some(Err(error)) => debug!(%peer, %error, "an HTTP connection ended"),
                None => debug!(%peer, "an HTTP connection without a request is closed"),
            },
            () = frames.stalled(&shared) => debug!(%peer, "an HTTP connection whose answers nobody takes is closed: others need the memory"),
        }
        drop(place);
    });
}
