//! Room for bodies and answers, out of the budget of all requests (`http.memory_bytes`): taken or refused, and held until the
//! answer has left. Only the next piece of an answer that has begun waits for it.

use super::errors::{HttpError, Refusal};
use super::{PERMIT_BYTES, Shared};
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

/// As JSON an event takes more than as stored, and both are held for a moment.
const GROWTH: usize = 3;
/// With less than this there is no progress.
const BYTES_MIN: usize = 4096;

/// Some of the budget.
#[derive(Debug)]
pub struct Room {
    /// How much may be read.
    pub bytes: usize,
    permit: OwnedSemaphorePermit,
}

impl Room {
    /// Room for reading at most `bytes`, and less as the budget fills up.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when it is used up.
    pub fn take(shared: &Shared, bytes: usize) -> Result<Room, HttpError> {
        let bytes = bytes.min(shared.free_for_answers() / (4 * GROWTH)).max(BYTES_MIN);
        let permit = shared.try_take_for_answer(bytes * GROWTH).ok_or_else(super::busy)?;
        Ok(Room { bytes, permit })
    }

    /// Room for `bytes`, all of them: an answer that cannot be given in parts.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when it is used up.
    pub fn take_all(shared: &Shared, bytes: usize) -> Result<Room, HttpError> {
        let permit = shared.try_take_for_answer(bytes.max(BYTES_MIN) * GROWTH).ok_or_else(super::busy)?;
        Ok(Room { bytes, permit })
    }

    /// `bytes` as a piece of an answer, which gives the room back when the last of it has left. More than was charged is charged now, if that
    /// is to be had: it is there already.
    #[must_use]
    pub fn hold(mut self, shared: &Shared, bytes: Vec<u8>) -> Bytes {
        let charged = self.permit.num_permits() * PERMIT_BYTES;
        match bytes.len().checked_sub(charged) {
            Some(missing) if missing > 0 => {
                if let Some(more) = shared.try_take_for_answer(missing) {
                    self.permit.merge(more);
                }
            }
            _ => drop(self.permit.split((charged - bytes.len()) / PERMIT_BYTES)),
        }
        Bytes::from_owner(Held { bytes, _permit: self.permit })
    }
}

struct Held {
    bytes: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// An answer and its room; as a response it is JSON.
pub struct Charged<T> {
    pub value: T,
    pub room: Room,
}

impl<T: Serialize> Charged<T> {
    /// The response, which holds the room until it has left.
    pub fn respond(self, shared: &Shared) -> Response {
        match serde_json::to_vec(&self.value) {
            Ok(json) => ([(CONTENT_TYPE, "application/json")], Body::from(self.room.hold(shared, json))).into_response(),
            Err(error) => HttpError::new(Refusal::Internal, format!("the answer: {error}")).into_response(),
        }
    }
}
