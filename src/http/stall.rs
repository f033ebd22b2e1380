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

/// How long a peer may take nothing while memory is scarce.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a frame may wait, however much of others is taken (HTTP/2 has many answers under way).
const FRAME_PATIENCE: Duration = Duration::from_secs(300);
/// How often is looked.
const LOOK: Duration = Duration::from_secs(5);
/// Frames are handed over in pieces of this size, so that a peer that takes something is seen to.
const PIECE_BYTES: usize = 64 << 10;
/// Smaller ones are not worth a note: an answer has few of them at once.
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
    /// When one was sent the last time.
    taken: Option<Instant>,
}

impl Noted {
    /// Whether the peer has taken nothing of what there is for a long time.
    fn is_stalled(&self, now: Instant) -> bool {
        // Numbers are given in the order of time.
        let Some((_, oldest)) = self.since.first_key_value() else { return false };
        let is_past = |since: Instant, patience| now.saturating_duration_since(since) >= patience;
        is_past(*oldest, FRAME_PATIENCE)
            || (is_past(*oldest, PATIENCE) && self.taken.is_none_or(|taken| is_past(taken, PATIENCE)))
    }
}

impl Frames {
    /// Returns when the peer has taken nothing for too long, and memory is scarce.
    pub async fn stalled(&self, shared: &Shared) {
        loop {
            if self.noted().since.is_empty() {
                // A connection that is idle, or whose answers are small, costs no timer.
                self.begun.notified().await;
                continue;
            }
            tokio::time::sleep(LOOK).await;
            let is_stalled = self.noted().is_stalled(tokio::time::Instant::now());
            if is_stalled && (shared.is_memory_scarce() || shared.unsent.is_much(shared.budget_bytes())) {
                return;
            }
        }
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same response, whose body's frames are noted.
pub fn watched(response: Response<Body>, frames: &Arc<Frames>, unsent: &Arc<Unsent>) -> Response<Body> {
    let watched = |body| Watched { body, rest: Bytes::new(), frames: frames.clone(), unsent: unsent.clone() };
    response.map(|body| if body.is_end_stream() { body } else { Body::new(watched(body)) })
}

struct Watched {
    body: Body,
    /// What is left of the last frame.
    rest: Bytes,
    frames: Arc<Frames>,
    unsent: Arc<Unsent>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers.map_data(|_: Bytes| Bytes::new())))),
                },
                end => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(self.noted(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, hint) = (self.rest.len() as u64, self.body.size_hint());
        let mut with_rest = SizeHint::new();
        with_rest.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            with_rest.set_upper(upper + rest);
        }
        with_rest
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
        let mut noted = self.frames.noted();
        noted.since.remove(&self.number);
        noted.taken = Some(tokio::time::Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn of(bytes: usize) -> (Arc<Frames>, Arc<Unsent>, Body) {
        let (frames, unsent) = (Arc::new(Frames::default()), Arc::new(Unsent::default()));
        let body = watched(Response::new(Body::from(vec![b'x'; bytes])), &frames, &unsent).into_body();
        (frames, unsent, body)
    }

    #[tokio::test]
    async fn a_frame_counts_until_it_is_sent() {
        let (frames, unsent, mut body) = of(10_000);
        assert_eq!(body.size_hint().exact(), Some(10_000), "its length is still known");
        assert!(frames.noted().since.is_empty(), "nobody has asked for it yet");
        let frame = body.frame().await.expect("one").expect("sound").into_data().expect("data");
        let copy = frame.clone();
        drop((frame, body));
        assert!(frames.noted().since.len() == 1 && unsent.is_much(10_000), "hyper has it, and the body is gone");
        drop(copy);
        assert!(frames.noted().since.is_empty() && !unsent.is_much(1));
    }

    #[tokio::test]
    async fn large_answers_leave_in_pieces_and_small_ones_are_not_noted() {
        let (_frames, _unsent, mut body) = of(150_000);
        let (mut pieces, mut left) = (Vec::new(), 150_000_u64);
        while let Some(frame) = body.frame().await {
            left -= left.min(65_536);
            assert_eq!(body.size_hint().exact(), Some(left));
            pieces.push(frame.expect("sound").into_data().expect("data").len());
        }
        assert_eq!((pieces, body.is_end_stream()), (vec![65_536, 65_536, 18_928], true));
        let (frames, _unsent, mut body) = of(100);
        let frame = body.frame().await.expect("one").expect("sound");
        assert!(frame.is_data() && frames.noted().since.is_empty());
    }

    #[tokio::test]
    async fn who_takes_something_is_not_stalled_unless_a_frame_waits_for_ever() {
        let begun = tokio::time::Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut noted = Noted::default();
        assert!(!noted.is_stalled(at(1_000)), "there is nothing to take");
        noted.since.insert(0, begun);
        assert_eq!([29, 30].map(|seconds| noted.is_stalled(at(seconds))), [false, true]);
        noted.taken = Some(at(20));
        assert_eq!([30, 49, 50].map(|seconds| noted.is_stalled(at(seconds))), [false, false, true]);
        noted.taken = Some(at(299));
        assert_eq!([299, 300].map(|seconds| noted.is_stalled(at(seconds))), [false, true]);
    }
}
