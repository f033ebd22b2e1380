//! One connection: read a frame, dispatch it (stage one), answer in request order (stage two).
//!
//! ```text
//!  reader task:  size → room → body → find row → handle().await ──▶ bounded queue ──▶ writer task: wait, write
//! ```
//! Owner: the reader task owns the read half, the writer task the write half; between them is a queue of
//! `limits.responses_per_connection` answers. When it is full the reader stops reading, and TCP tells the client to wait. Answers leave in
//! request order because the writer awaits stage two in that order. The frame's room in memory is held until the answer is written; for
//! Produce through stage one only: what outlives that is charged to the store's queue. Of requests that are not answered yet, one connection has at most
//! as much as the largest one of all keys but Produce, and of those up to [`FIRST_BYTES`] [`SMALL_BYTES_MAX`], or it could take the memory of everybody.
//! Ends when the peer closes, sends what is no frame, is silent for `limits.idle_ms`, or the server stops.

use super::Shared;
use super::incoming::Incoming;
use super::metrics::{Asked, Refused};
use super::outgoing::{self, Outgoing};
use super::request_memory::permits;
use crate::api::context::{Connection, Held};
use crate::api::{self, Answer, Context, Encoded, Row};
use crate::log::ahead::Ahead;
use crate::tasks;
use crate::wire::frame::{self, FIRST_BYTES, Frame, FrameError};
use crate::wire::header::{self, Prefix};
use bytes::{BufMut, Bytes, BytesMut};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::{debug, info};

/// Produce, the one key whose requests may be large.
const PRODUCE: i16 = 0;
/// Of small requests, what one connection may have that are not answered yet; where there is little memory for all, less.
const SMALL_BYTES_MAX: usize = 4 * FIRST_BYTES;
/// So many connections can have as much, whatever the memory.
const CONNECTIONS_AT_LEAST: usize = 64;
/// How long stage two may still take once the server stops.
const LAST_ANSWERS: Duration = Duration::from_millis(300);

/// An answer that is to be written, with the memory that it occupies, and what it answers.
type Queued = (Encoded, Held, Asked);

/// Serves `stream` until it ends. Never panics on what the peer sends.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, id: u64, shared: Arc<Shared>) {
    let Ok(local) = stream.local_addr() else { return };
    let connection = Arc::new(Connection::new(id, peer, local));
    exchange(stream, connection, shared.clone()).await;
    api::connection_closed(&shared.broker, &shared.share_sessions, id).await;
}

/// Reads and answers requests until either side ends it. No answer is being made any more when it returns.
async fn exchange(stream: TcpStream, connection: Arc<Connection>, shared: Arc<Shared>) {
    let id = connection.id;
    let (read, write) = stream.into_split();
    let (queue, answers) = mpsc::channel(shared.broker.config.limits.responses_per_connection);
    let mut writer = tasks::spawn_connection(write_answers(write, answers, shared.clone()));
    let large = Places::new(shared.broker.config.limits.admin_request_bytes / 1024);
    let small = Places::new((shared.request_memory.common_kib() / CONNECTIONS_AT_LEAST).min(SMALL_BYTES_MAX / 1024));
    let ahead = Arc::new(Ahead::new(shared.looks.clone()));
    let mut reader =
        Reader { stream: Incoming::new(read), connection, client_id: Arc::from(""), shared, queue, ahead, large, small };
    let is_answered = tokio::select! {
        end = reader.run() => {
            debug!(connection = id, reason = %end.reason, "connection ends");
            end.is_answered
        }
        // The write half failed: the peer is gone, and nobody needs what is still being read.
        _ = &mut writer => return,
    };
    drop(reader);
    if is_answered {
        // Answers that were promised still leave.
        let _ = writer.await;
    } else {
        writer.abort();
        // Until the aborted task is gone, it may still be acquiring records for this share consumer.
        let _ = writer.await;
    }
}

/// Why the reader stopped, and whether the peer still waits for earlier answers.
struct End {
    reason: String,
    is_answered: bool,
}

impl End {
    /// The peer is gone, or not to be talked to.
    fn silent(reason: impl ToString) -> End {
        End { reason: reason.to_string(), is_answered: false }
    }

    /// We end it, after the answers before.
    fn answered(reason: impl ToString) -> End {
        End { reason: reason.to_string(), is_answered: true }
    }
}

struct Reader {
    stream: Incoming,
    connection: Arc<Connection>,
    /// The last request's; nearly always the next one's, too.
    client_id: Arc<str>,
    shared: Arc<Shared>,
    queue: mpsc::Sender<Queued>,
    /// What its consumer will ask for next.
    ahead: Arc<Ahead>,
    /// For requests above [`FIRST_BYTES`].
    large: Places,
    /// For the others.
    small: Places,
}

/// What requests of one connection may take together until they are answered, in KiB.
struct Places {
    free: Arc<Semaphore>,
    kib: usize,
}

impl Places {
    fn new(kib: usize) -> Places {
        let kib = kib.max(1);
        Places { free: Arc::new(Semaphore::new(kib)), kib }
    }

    /// Waits for answers of this connection while there is none.
    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, End> {
        let kib = bytes.div_ceil(1024).clamp(1, self.kib);
        self.free.clone().acquire_many_owned(permits(kib)).await.map_err(End::silent)
    }
}

impl Reader {
    async fn run(&mut self) -> End {
        let mut stopping = self.shared.stopping.clone();
        loop {
            let step = tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return End::answered("the server stops"),
                step = self.step() => step,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// One request through stage one.
    async fn step(&mut self) -> Result<(), End> {
        let limits = &self.shared.broker.config.limits;
        let idle = Duration::from_millis(limits.idle_ms);
        let next = tokio::time::timeout(idle, frame::read_size(&mut self.stream, limits.request_bytes)).await;
        let size = next.map_err(|_| End::answered("idle"))?.map_err(|error| self.unreadable(&error))?;
        // Before anything of it is read: what waits here waits for this connection's own answers.
        let place = if size > FIRST_BYTES { &self.large } else { &self.small }.take(size).await?;
        let mut room = self.shared.request_memory.begin(size).await.map_err(End::silent)?;
        let body = match self.stream.take_whole(size) {
            Some(body) => body,
            None => {
                // On the heap, since the future around it is moved for each request, also for those that need no such reading.
                let body = Box::pin(frame::read_body(&mut self.stream, size, &mut room, patience(size))).await;
                body.map_err(|error| self.unreadable(&error))?
            }
        };
        let held = Held::default();
        let api_key = Prefix::peek(&body).map_or(-1, |prefix| prefix.api_key);
        let is_produce = api_key == PRODUCE;
        let asked = Asked { api_key, begun: self.shared.broker.env.instant() };
        self.shared.meters.received(asked, size + frame::PREFIX_BYTES);
        let answer = self.dispatch(body, held.clone()).await;
        if is_produce {
            // What it carried is charged to the store's queue by now.
            drop((room, place));
        } else {
            // What such a request asks for may live until it is answered.
            room.into_permits().chain([place]).for_each(|permit| held.keep(permit));
        }
        match answer {
            Ok(Answer::Silent) => {}
            Ok(Answer::Close(reason)) => return Err(End::answered(reason)),
            Ok(answer) => self.queue.send((answer, held, asked)).await.map_err(|_| End::silent("the writer is gone"))?,
            Err(end) => return Err(end),
        }
        if self.connection.is_over() { Err(End::answered("what it has sent has to be sent again, in order")) } else { Ok(()) }
    }

    async fn dispatch(&mut self, mut body: Bytes, held: Held) -> Result<Encoded, End> {
        let prefix = Prefix::peek(&body).ok_or_else(|| End::silent("a frame without a header"))?;
        let Prefix { api_key, api_version, correlation_id } = prefix;
        let Some(row) = api::find(api_key) else { return self.absent(prefix) };
        if !(row.min..=row.max).contains(&api_version) {
            debug!(connection = self.connection.id, api = row.name, api_version, "unsupported version");
            self.shared.meters.refused(Refused::Version);
            if api_key == PRODUCE && api_version < row.min && expects_no_answer(&mut body) {
                return Err(End::answered("a produce request with acks=0 of a version that is not supported"));
            }
            return (row.unsupported)(correlation_id).map(Answer::Now).map_err(End::answered);
        }
        let frame_bytes = body.len();
        self.check_size(row, frame_bytes)?;
        let client_id = header::read_client_id(&mut body, (row.header_version)(api_version));
        let client_id = client_id.map_err(|error| self.malformed(row, prefix, &error))?.unwrap_or_default();
        if *self.client_id != *client_id {
            self.client_id = Arc::from(client_id);
        }
        let context = Context {
            broker: self.shared.broker.clone(),
            version: api_version,
            client_id: self.client_id.clone(),
            connection: self.connection.clone(),
            sessions: self.shared.sessions.clone(),
            share_sessions: self.shared.share_sessions.clone(),
            frame_bytes,
            held,
            ahead: Some(self.ahead.clone()),
            marks: None,
        };
        (row.dispatch)(context, correlation_id, body).await.map_err(|error| self.malformed(row, prefix, &error))
    }

    /// Only Produce carries bulk; a large frame of anything else would be decoded into much more memory than it has bytes.
    fn check_size(&self, row: &Row, size: usize) -> Result<(), End> {
        let limit = self.shared.broker.config.limits.admin_request_bytes;
        if row.key == PRODUCE || size <= limit {
            return Ok(());
        }
        self.shared.meters.refused(Refused::TooLarge);
        info!(peer = %self.connection.peer, api = row.name, size, limit, "request refused: larger than limits.admin_request_bytes");
        Err(End::answered("a request above limits.admin_request_bytes"))
    }

    /// A key that Kafka has and we do not is answered in its own format; one that nobody has, with a bare error code.
    fn absent(&self, prefix: Prefix) -> Result<Encoded, End> {
        let Prefix { api_key, api_version, correlation_id } = prefix;
        debug!(connection = self.connection.id, api_key, api_version, "unsupported key");
        self.shared.meters.refused(Refused::Api);
        if let Some(absent) = api::absent::find(api_key) {
            return (absent.answer)(correlation_id, api_version)
                .map(|frame| Answer::Now(Frame::from(frame)))
                .map_err(End::answered);
        }
        let mut frame = BytesMut::with_capacity(10);
        frame.put_i32(6);
        frame.put_i32(correlation_id);
        frame.put_i16(api::errors::ResponseError::UnsupportedVersion.code());
        Ok(Answer::Now(Frame::from(frame.freeze())))
    }

    fn malformed(&self, row: &Row, prefix: Prefix, error: &dyn std::fmt::Display) -> End {
        self.shared.meters.refused(Refused::Malformed);
        info!(peer = %self.connection.peer, api = row.name, version = prefix.api_version, %error, "request does not decode; closing");
        End::answered("a request that does not decode")
    }

    fn unreadable(&self, error: &FrameError) -> End {
        let why = match error {
            FrameError::Impossible(_) => Some(Refused::Malformed),
            FrameError::TooLarge { .. } => Some(Refused::TooLarge),
            FrameError::Closed | FrameError::Io(_) => None,
        };
        if let Some(why) = why {
            self.shared.meters.refused(why);
            info!(peer = %self.connection.peer, %error, "closing");
        }
        End::silent(error)
    }
}

/// Whether a Produce request of version 0 to 2 has acks=0: it begins with them. Its client would take an answer for that of its next request.
fn expects_no_answer(body: &mut Bytes) -> bool {
    /// Of the request header, with a client id and without tagged fields.
    const HEADER: i16 = 1;
    header::read_client_id(body, HEADER).is_ok() && body.get(..2) == Some(&[0, 0])
}

/// Writes answers in their order until the reader is gone and the queue is empty, or the peer is.
async fn write_answers(write: OwnedWriteHalf, mut answers: mpsc::Receiver<Queued>, shared: Arc<Shared>) {
    let mut out = Outgoing::new(write);
    let mut stopping = shared.stopping.clone();
    // An error means that the peer is gone; the reader learns it by our end.
    let _ = async {
        loop {
            let next = match answers.try_recv() {
                Ok(next) => next,
                Err(_) => {
                    taken(&shared, outgoing::BUFFER_BYTES, pin!(out.flush())).await?;
                    match answers.recv().await {
                        Some(next) => next,
                        None => return out.shutdown().await,
                    }
                }
            };
            let (answer, _held, asked) = next;
            let frame = match answer {
                Answer::Now(frame) => frame,
                Answer::Later(wait) => {
                    let mut wait = pin!(wait);
                    match poll_once(wait.as_mut()).await {
                        Poll::Ready(frame) => frame,
                        Poll::Pending => {
                            // What is ready must not wait for what is not.
                            taken(&shared, outgoing::BUFFER_BYTES, pin!(out.flush())).await?;
                            tokio::select! {
                                frame = wait => frame,
                                () = last_moment(&mut stopping) => return out.shutdown().await,
                            }
                        }
                    }
                }
                Answer::Silent | Answer::Close(_) => continue,
            };
            if frame.is_empty() {
                return out.shutdown().await;
            }
            let bytes = frame.len();
            shared.meters.answered(asked, bytes);
            taken(&shared, bytes, pin!(out.push(frame))).await?;
        }
    }
    .await as std::io::Result<()>;
}

/// Waits until the peer has taken `bytes` that `sending` sends it.
///
/// A consumer that works on what it got reads its socket only when it polls again, so it may take as long as it may be silent (Kafka: as long as it
/// likes). But where memory is scarce, what it does not take is what others wait for: then it has as long as it would have for sending as much.
async fn taken(
    shared: &Shared,
    bytes: usize,
    mut sending: std::pin::Pin<&mut impl Future<Output = std::io::Result<()>>>,
) -> std::io::Result<()> {
    let idle = Duration::from_millis(shared.broker.config.limits.idle_ms);
    let mut waited = Duration::ZERO;
    loop {
        let patience = patience(bytes);
        match tokio::time::timeout(patience, sending.as_mut()).await {
            Ok(sent) => return sent,
            Err(_) => waited += patience,
        }
        if waited >= idle || shared.request_memory.is_scarce() || shared.broker.is_fetch_memory_scarce() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
    }
}

/// How long a frame of `size` bytes may take to arrive once its size has: it holds memory that others wait for, so half a minute, and a
/// second more for each mebibyte.
fn patience(size: usize) -> Duration {
    Duration::from_secs(30 + (size as u64 >> 20))
}

/// Polls `future` once, so that an answer that is ready needs no flush before it.
async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// Returns some time after the server begins to stop: when waiting answers are given up.
async fn last_moment(stopping: &mut tokio::sync::watch::Receiver<bool>) {
    if stopping.wait_for(|stopping| *stopping).await.is_ok() {
        tokio::time::sleep(LAST_ANSWERS).await;
    }
}
