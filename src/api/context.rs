//! What a handler knows about who asks: the same for a Kafka connection and for HTTP.

use super::client_instance::ClientInstance;
use super::errors::{self, ResponseError};
use super::fetch_sessions::FetchSessions;
use super::share_sessions::ShareSessions;
use crate::broker::Broker;
use crate::catalog::Topic;
use crate::log::Partition;
use crate::log::ahead::Ahead;
use crate::store::Mark;
use crate::tasks::deadline::within;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// How long stage one waits for the disk, a producer's request at least, one of a coordinator at most: long for a disk, and shorter than clients wait for an
/// answer (30 s).
pub const DISK_PATIENCE: Duration = Duration::from_secs(25);

/// One request's surroundings. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub broker: Arc<Broker>,
    /// The request's version; within [`super::Handler::VERSIONS`].
    pub version: i16,
    /// `client.id` of the request header; empty when the client sent none.
    pub client_id: Arc<str>,
    pub connection: Arc<Connection>,
    pub sessions: Arc<FetchSessions>,
    pub share_sessions: Arc<ShareSessions>,
    /// Bytes of the request's frame, which every slice of it keeps in memory.
    pub frame_bytes: usize,
    /// Memory that the answer occupies until it is on the socket.
    pub held: Held,
    /// What the consumer that comes over this connection will ask for next; `None` within the process, where a connection stands for no one consumer.
    pub ahead: Option<Arc<Ahead>>,
    /// How the batches of a produce request are recognised when it is sent again, by partition of its only topic. Kafka's clients have
    /// producer ids for that.
    pub marks: Option<Arc<BTreeMap<i32, Mark>>>,
}

/// Permits that are given back when the answer has been written and the last clone of this is gone.
#[derive(Debug, Clone, Default)]
pub struct Held(Arc<Mutex<Vec<OwnedSemaphorePermit>>>);

/// What lives as long as a connection.
#[derive(Debug)]
pub struct Connection {
    /// Unique within the process.
    pub id: u64,
    pub peer: SocketAddr,
    /// The address at which the client reached us; what Metadata advertises when nothing else is configured.
    pub local: SocketAddr,
    client_instance: Mutex<ClientInstance>,
    is_over: AtomicBool,
}

impl Connection {
    /// A connection that has just been accepted.
    #[must_use]
    pub fn new(id: u64, peer: SocketAddr, local: SocketAddr) -> Connection {
        Connection { id, peer, local, client_instance: Mutex::default(), is_over: AtomicBool::new(false) }
    }

    /// Nothing more is to be read from it: what the client has sent behind this request must not be done before the client sends this one again.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// See [`Connection::end`].
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// The client whose metrics come over it.
    pub fn client_instance(&self) -> MutexGuard<'_, ClientInstance> {
        self.client_instance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Keeps `permit` as long as any clone of this.
    pub fn keep(&self, permit: OwnedSemaphorePermit) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(permit);
    }
}

impl Context {
    /// Keeps `permit` until the answer to this request has been written, or its connection is gone.
    pub fn hold(&self, permit: Option<OwnedSemaphorePermit>) {
        if let Some(permit) = permit {
            self.held.keep(permit);
        }
    }

    /// Until when a request that begins now may wait in stage one for what a coordinator writes.
    #[must_use]
    pub fn coordinator_deadline() -> Instant {
        tokio::time::Instant::now() + DISK_PATIENCE
    }

    /// What `work` answers, which waits for a coordinator in stage one. `None`: it still does at the `deadline`, as on a full disk. It is dropped then, which
    /// takes nothing back that a coordinator was handed, and the connection ends, as that of a producer: nobody sees that a client has gone while its
    /// connection is not read, and those that come again would use up all connections.
    pub async fn done_by<F: Future + ?Sized>(&self, deadline: Instant, work: Pin<&mut F>) -> Option<F::Output> {
        let done = within(deadline, work).await;
        if done.is_none() {
            self.connection.end();
        }
        done
    }

    /// A partition of a topic.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION, and what the store answers.
    pub async fn partition_of(&self, topic: &Topic, index: i32) -> Result<Arc<Partition>, ResponseError> {
        let partition = self.broker.partition(topic, index).await.map_err(|error| errors::store(&error))?;
        partition.ok_or(ResponseError::UnknownTopicOrPartition)
    }

    /// The client's host as Kafka shows it in group descriptions: "/127.0.0.1".
    #[must_use]
    pub fn client_host(&self) -> String {
        format!("/{}", self.connection.peer.ip().to_canonical())
    }
}

#[cfg(test)]
impl Context {
    /// A request's of `version`, on a connection of its own to a new broker in memory, whose clock stands at `now`.
    pub(super) async fn in_memory(version: i16, now: crate::ids::Timestamp) -> Context {
        let mut config = crate::config::Config::default();
        config.storage.ephemeral = true;
        // So that the coordinator is there at once.
        config.kafka.transaction_state_log_num_partitions = 1;
        let env = crate::env::Env::manual(now, 1);
        let address = SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
        Context {
            broker: Broker::open(Arc::new(config), env).await.expect("a broker in memory"),
            version,
            client_id: Arc::from("test"),
            connection: Arc::new(Connection::new(1, address, address)),
            sessions: Arc::new(FetchSessions::new(0)),
            share_sessions: Arc::default(),
            frame_bytes: 0,
            held: Held::default(),
            ahead: None,
            marks: None,
        }
    }
}
