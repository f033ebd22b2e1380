//! Lists as answers, made piece by piece as their readers take them: one that is long, and read slowly, takes a piece of memory.

use super::errors::{HttpError, Refusal};
use super::room::Room;
use super::{PERMIT_BYTES, Shared};
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// A piece leaves when it has as much, or less where memory is scarce.
const PIECE_BYTES: usize = 16 * PERMIT_BYTES;
/// Between two looks for room.
const PAUSE: Duration = Duration::from_millis(50);

/// `{"field": [item, …]}`. What fits into one piece leaves with its length.
///
/// # Errors
/// [`Refusal::Busy`] when there is no room for the first piece; for others is waited.
pub fn answer<I>(shared: Arc<Shared>, field: &str, items: I) -> Result<Response, HttpError>
where
    I: Iterator<Item: Serialize> + Send + 'static,
{
    let room = Room::take(&shared, PIECE_BYTES)?;
    let mut list = List { begun: format!("{{\"{field}\":[").into_bytes(), items, is_first: true, is_done: false };
    let first = list.piece(room.bytes).map_err(|error| HttpError::new(Refusal::Internal, format!("the answer: {error}")))?;
    let first = room.hold(&shared, first);
    let body =
        if list.is_done { Body::from(first) } else { Body::from_stream(stream::iter([Ok(first)]).chain(pieces(shared, list))) };
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// What is left of `list`.
fn pieces<I>(shared: Arc<Shared>, list: List<I>) -> impl Stream<Item = serde_json::Result<Bytes>> + Send
where
    I: Iterator<Item: Serialize> + Send + 'static,
{
    stream::unfold((shared, list), |(shared, mut list)| async move {
        if list.is_done {
            return None;
        }
        let room = room_for_piece(&shared).await;
        let piece = list.piece(room.bytes).map(|piece| room.hold(&shared, piece));
        Some((piece, (shared, list)))
    })
}

/// Whoever reads nothing gives its room back in the end (`stall.rs`).
async fn room_for_piece(shared: &Shared) -> Room {
    loop {
        if let Ok(room) = Room::take(shared, PIECE_BYTES) {
            return room;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

struct List<I> {
    /// What the next piece begins with.
    begun: Vec<u8>,
    items: I,
    is_first: bool,
    is_done: bool,
}

impl<I: Iterator<Item: Serialize>> List<I> {
    /// The next piece: `bytes`, and what is left of its last item.
    fn piece(&mut self, bytes: usize) -> serde_json::Result<Vec<u8>> {
        let mut json = std::mem::take(&mut self.begun);
        while json.len() < bytes {
            let Some(item) = self.items.next() else {
                json.extend_from_slice(b"]}");
                self.is_done = true;
                break;
            };
            if !std::mem::replace(&mut self.is_first, false) {
                json.push(b',');
            }
            serde_json::to_writer(&mut json, &item).inspect_err(|_| self.is_done = true)?;
        }
        Ok(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn made(items: Vec<String>) -> Vec<Vec<u8>> {
        let mut list = List { begun: b"{\"names\":[".to_vec(), items: items.into_iter(), is_first: true, is_done: false };
        let mut pieces = Vec::new();
        while !list.is_done {
            pieces.push(list.piece(PIECE_BYTES).expect("strings"));
        }
        pieces
    }

    #[test]
    fn pieces_are_one_list_and_short_ones_one_piece() {
        for (count, length, pieces_at_least) in
            [(0, 0, 1), (1, 5, 1), (2, 5, 1), (1, 100_000, 1), (10, 10_000, 5), (5_000, 100, 30)]
        {
            let names: Vec<String> = (0..count).map(|number| format!("{number}{}", "-".repeat(length))).collect();
            let pieces = made(names.clone());
            assert!(pieces.len() >= pieces_at_least && pieces.iter().all(|piece| piece.len() < PIECE_BYTES + 100_010));
            let list: Value = serde_json::from_slice(&pieces.concat()).expect("JSON");
            assert_eq!(list, json!({ "names": names }), "{count} of {length}");
        }
    }
}
