//! Answers that nobody takes: what they hold of memory others wait for, so a connection with one ends where memory is scarce.
//!
//! ```text
//! body ──frame──▶ tracked bytes (noted with the time) ──▶ hyper ──▶ socket; dropped when sent
//! ```
//! A peer that stops reading, or opens no window (HTTP/2), leaves frames with hyper, which asks the body for no more: only how old they are shows it.
//! Streams that wait for events hold none.

use super::Shared;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::Response;
use hyper::body::{Frame, SizeHint};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a frame may wait to be taken while memory is scarce.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often is looked.
const LOOK: Duration = Duration::from_secs(5);
/// Smaller frames are not worth a note: a connection has few of them at once.
const TRACKED_FROM: usize = 4096;

/// Bytes of all frames that were handed to hyper and not sent yet, over all connections.
#[derive(Debug, Default)]
pub struct Unsent(AtomicUsize);

impl Unsent {
    /// Whether they take more than half of `budget`.
    pub fn is_much(&self, budget: usize) -> bool {
        self.0.load(Ordering::Relaxed) > budget / 2
    }
}

/// The frames of one connection that were not sent yet: when each was handed over, by number.
#[derive(Debug, Default)]
pub struct Frames {
    noted: Mutex<Noted>,
    /// There are some now.
    begun: Notify,
}

#[derive(Debug, Default)]
struct Noted {
    next: u64,
    since: BTreeMap<u64, Instant>,
}

impl Frames {
    /// Returns when the peer has left a frame for too long, and memory is scarce.
    pub async fn stalled(&self, shared: &Shared) {
        loop {
            let Some(oldest) = self.oldest() else {
                // A connection that is idle, or whose answers are small, costs no timer.
                self.begun.notified().await;
                continue;
            };
            tokio::time::sleep(LOOK).await;
            if oldest.elapsed() >= PATIENCE
                && self.oldest() == Some(oldest)
                && (shared.is_memory_scarce() || shared.unsent.is_much(shared.budget_bytes()))
            {
                return;
            }
        }
    }

    fn oldest(&self) -> Option<Instant> {
        // Numbers are given in the order of time.
        self.noted().since.first_key_value().map(|(_, since)| *since)
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same response, whose body's frames are noted.
pub fn watched(response: Response<Body>, frames: &Arc<Frames>, unsent: &Arc<Unsent>) -> Response<Body> {
    let watched = |body| Watched { body, frames: frames.clone(), unsent: unsent.clone() };
    response.map(|body| if body.is_end_stream() { body } else { Body::new(watched(body)) })
}

struct Watched {
    body: Body,
    frames: Arc<Frames>,
    unsent: Arc<Unsent>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        polled.map(|next| next.map(|frame| frame.map(|frame| frame.map_data(|bytes| self.noted(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Watched {
    fn noted(&self, bytes: Bytes) -> Bytes {
        if bytes.len() < TRACKED_FROM {
            return bytes;
        }
        self.unsent.0.fetch_add(bytes.len(), Ordering::Relaxed);
        let mut noted = self.frames.noted();
        let number = noted.next;
        noted.next += 1;
        noted.since.insert(number, tokio::time::Instant::now());
        let is_first = noted.since.len() == 1;
        drop(noted);
        if is_first {
            self.frames.begun.notify_one();
        }
        Bytes::from_owner(Tracked { bytes, number, frames: self.frames.clone(), unsent: self.unsent.clone() })
    }
}

struct Tracked {
    bytes: Bytes,
    number: u64,
    frames: Arc<Frames>,
    unsent: Arc<Unsent>,
}

impl AsRef<[u8]> for Tracked {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.unsent.0.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        self.frames.noted().since.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn a_frame_counts_until_it_is_sent() {
        let (frames, unsent) = (Arc::new(Frames::default()), Arc::new(Unsent::default()));
        let mut body = watched(Response::new(Body::from(vec![b'x'; 10_000])), &frames, &unsent).into_body();
        assert_eq!(body.size_hint().exact(), Some(10_000), "its length is still known");
        assert_eq!(frames.oldest(), None, "nobody has asked for it yet");
        let frame = body.frame().await.expect("one").expect("sound").into_data().expect("data");
        let copy = frame.clone();
        drop((frame, body));
        assert!(frames.oldest().is_some() && unsent.is_much(10_000), "hyper has it, and the body is gone");
        assert_eq!(copy.len(), 10_000);
        drop(copy);
        assert!(frames.oldest().is_none() && !unsent.is_much(1));
    }

    #[tokio::test]
    async fn small_frames_are_not_noted() {
        let (frames, unsent) = (Arc::new(Frames::default()), Arc::new(Unsent::default()));
        let mut body = watched(Response::new(Body::from("small")), &frames, &unsent).into_body();
        let frame = body.frame().await.expect("one").expect("sound");
        assert!(frame.is_data() && frames.oldest().is_none());
    }
}
