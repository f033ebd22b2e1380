//! Live streams: events as they come, as server-sent events or as lines of JSON, until the reader goes away, or takes nothing for
//! five minutes, or the broker stops.
//!
//! Each event carries an id, which sent back as `Last-Event-ID` goes on exactly behind it. The answer's header of that name says where the stream begins, for a
//! reader that is cut off before its first event. The next page is read when the socket has taken
//! the one before: a slow reader costs a page, and nothing else.

use super::caller::Caller;
use super::consume::{refuse_head, wait};
use super::cursor;
use super::errors::{ErrorBody, HttpError, Refusal};
use super::input::{Name, Params};
use super::json::Record;
use super::records::{Limits, read};
use super::room::Room;
use super::source::{From, Positions, Source};
use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use std::convert::Infallible;
use std::time::Duration;
use utoipa::IntoParams;

/// Events and bytes of one page.
const PAGE_RECORDS: usize = 500;
const PAGE_BYTES: usize = 256 * 1024;
/// When ids are longer than this, only the last event of a page has one, and the answer's head none: each names all partitions.
const ID_BYTES_FOR_ALL: usize = 1024;
/// New partitions of a topic are looked for that often.
const NAP: Duration = Duration::from_secs(1);
pub(super) const LAST_EVENT_ID: &str = "last-event-id";
/// While the budget of bytes is used up.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LiveParams {
    /// `latest` without: only what comes from now on. Or `earliest`, an RFC 3339 time, or an offset.
    from: Option<String>,
    /// Only this partition.
    #[param(minimum = 0)]
    partition: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    ServerSentEvents,
    Lines,
}

impl Format {
    /// The first one that the client accepts, in its order.
    fn of(headers: &HeaderMap) -> Result<Format, HttpError> {
        let mut accepted =
            headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).peekable();
        if accepted.peek().is_none() {
            return Ok(Format::ServerSentEvents);
        }
        let found = accepted.find_map(|range| match range.split(';').next().unwrap_or_default().trim() {
            "*/*" | "text/*" | "text/event-stream" => Some(Format::ServerSentEvents),
            "application/*" | "application/x-ndjson" | "application/jsonl" => Some(Format::Lines),
            _ => None,
        });
        found.ok_or_else(|| HttpError::new(Refusal::NotAcceptable, "a stream is text/event-stream or application/x-ndjson"))
    }

    fn content_type(self) -> &'static str {
        match self {
            Format::ServerSentEvents => "text/event-stream",
            Format::Lines => "application/x-ndjson",
        }
    }

    fn heartbeat(self) -> &'static str {
        match self {
            Format::ServerSentEvents => ": heartbeat\n\n",
            Format::Lines => "\n",
        }
    }

    fn put(self, out: &mut Vec<u8>, record: &Record) {
        match self {
            Format::ServerSentEvents => {
                if let Some(id) = &record.id {
                    out.extend_from_slice(format!("id: {id}\n").as_bytes());
                }
                out.extend_from_slice(b"data: ");
                put_json(out, record);
                out.extend_from_slice(b"\n\n");
            }
            Format::Lines => {
                put_json(out, record);
                out.push(b'\n');
            }
        }
    }

    fn put_error(self, out: &mut Vec<u8>, error: &HttpError) {
        if self == Format::ServerSentEvents {
            out.extend_from_slice(b"event: error\ndata: ");
        }
        put_json(out, &error.body());
        out.extend_from_slice(if self == Format::ServerSentEvents { b"\n\n" } else { b"\n" });
    }
}

fn put_json(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    // Maps with text keys and values that are JSON already always serialize, and a vector takes what is written.
    let _ = serde_json::to_writer(out, value);
}

/// Events as they come. `{name}` may be a pattern; topics that come later and match are read from their beginning.
///
/// `Accept: application/x-ndjson` gives lines of JSON instead of server-sent events. While nothing happens, there is a sign of life each
/// `http.heartbeat_ms`: a comment, or an empty line.
#[utoipa::path(get, path = "/topics/{name}/stream", tag = "events",
    params(("name" = String, Path), LiveParams, ("Last-Event-ID" = Option<String>, Header, description = "the id of the last event that was seen")),
    responses(
    (status = 200, content((String = "text/event-stream"), (String = "application/x-ndjson")),
        headers(("Last-Event-ID" = String, description = "where the stream begins; without it when there are too many partitions for a header"))),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 406, body = ErrorBody),
    (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn live(
    caller: Caller,
    method: Method,
    Name(name): Name,
    Params(params): Params<LiveParams>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    refuse_head(&method)?;
    let source = Source::parse(name, params.partition)?;
    source.topics(&caller)?;
    let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    let positions = match last {
        Some(id) => Positions::resume(&caller, source, id)?,
        None => Positions::begin(&caller, source, &From::parse(params.from.as_deref().unwrap_or("latest"))?).await?,
    };
    let format = Format::of(&headers)?;
    let begins = cursor::encode(&positions.places);
    let head = (begins.len() <= ID_BYTES_FOR_ALL).then(|| [(LAST_EVENT_ID, begins.clone())]);
    let begins = (format == Format::ServerSentEvents).then_some(begins);
    let reader = Reader { caller, positions, format, begins, is_over: false };
    let body = Body::from_stream(stream::unfold(reader, |mut reader| async move {
        let page = reader.next().await?;
        Some((Ok::<Bytes, Infallible>(page), reader))
    }));
    Ok((head, [(CONTENT_TYPE, format.content_type()), (CACHE_CONTROL, "no-store")], body).into_response())
}

/// One stream.
struct Reader {
    caller: Caller,
    positions: Positions,
    format: Format,
    /// The id of the place where it begins, of server-sent events that have not begun.
    begins: Option<String>,
    is_over: bool,
}

impl Reader {
    /// The next piece of the body: events, or a sign of life; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        if let Some(begins) = self.begins.take() {
            // An id without data is no event; it lets a reader that is cut off before the first one go on exactly here.
            return Some(format!("id: {begins}\n\n").into());
        }
        match self.page().await {
            Ok(page) => page,
            Err(error) => {
                self.is_over = true;
                let mut out = Vec::new();
                self.format.put_error(&mut out, &error);
                Some(out.into())
            }
        }
    }

    async fn page(&mut self) -> Result<Option<Bytes>, HttpError> {
        let caller = self.caller.clone();
        let mut feed = caller.shared.broker.catalog.feed().subscribe();
        let heartbeat = tokio::time::Instant::now() + Duration::from_millis(caller.shared.broker.config.http.heartbeat_ms);
        loop {
            if caller.shared.is_stopping() {
                return Ok(None);
            }
            feed.mark_unchanged();
            if let Some(page) = self.read().await? {
                return Ok(Some(page));
            }
            let nap = NAP.min(heartbeat.saturating_duration_since(tokio::time::Instant::now()));
            if nap.is_zero() {
                return Ok(Some(Bytes::from_static(self.format.heartbeat().as_bytes())));
            }
            let waiting = self.positions.wanted(&caller)?;
            wait(&caller, &waiting, nap, self.positions.is_of_pattern().then_some(&mut feed)).await;
        }
    }

    /// What there is now.
    async fn read(&mut self) -> Result<Option<Bytes>, HttpError> {
        let wanted = self.positions.wanted(&self.caller)?;
        let Ok(room) = Room::take(&self.caller.shared, PAGE_BYTES) else {
            // Not an error: the reader has been served already, and waits.
            tokio::time::sleep(BUSY_PAUSE).await;
            return Ok(None);
        };
        let limits = Limits { records: PAGE_RECORDS, bytes: room.bytes, wait: Duration::ZERO };
        let pages = match read(&self.caller, &wanted, limits).await {
            // Nor is this: there was no room for what the next batch decompresses to, which is known once that is done. So it is not done often.
            Err(error) if error.refusal == Refusal::Busy => {
                drop(room);
                tokio::time::sleep(NAP).await;
                return Ok(None);
            }
            pages => pages?,
        };
        let has_ids = cursor::encode(&self.positions.places).len() <= ID_BYTES_FOR_ALL;
        let mut left: usize = pages.iter().map(|page| page.records.len()).sum();
        let mut out = Vec::new();
        for (one, page) in wanted.iter().zip(&pages) {
            let Some(name) = self.caller.http_name(&one.topic.name).map(str::to_owned) else { continue };
            for event in &page.records {
                left -= 1;
                self.positions.advance(&name, &one.topic, one.partition, event.offset.0 + 1);
                let id = (has_ids || left == 0).then(|| cursor::encode(&self.positions.places));
                self.format.put(&mut out, &Record { id, ..Record::of(&name, one.partition, event) });
            }
        }
        self.positions.go_on(&self.caller, &wanted, &pages);
        Ok((!out.is_empty()).then(|| room.hold(&self.caller.shared, out)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn lines_are_given_to_those_who_ask_for_them() {
        let format = |accept: &'static str| Format::of(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))])).ok();
        assert_eq!(Format::of(&HeaderMap::new()), Ok(Format::ServerSentEvents));
        assert_eq!(["text/event-stream", "*/*", "text/html, */*;q=0.8"].map(format), [Some(Format::ServerSentEvents); 3]);
        assert_eq!(["application/x-ndjson", "text/html, application/x-ndjson;q=0.5, */*"].map(format), [Some(Format::Lines); 2]);
        assert_eq!(["text/html", "application/json"].map(format), [None; 2]);
    }
}
