//! Consume: events of a group, leased to whoever asked, or of a replay without one.

use super::caller::Caller;
use super::cursor;
use super::errors::{ErrorBody, HttpError, Refusal};
use super::groups::{self, Group};
use super::input::{Body, Group as GroupName, Name, Params};
use super::json::Record;
use super::leases::{PartitionLeases, Range};
use super::records::{Arrived, Limits, Offsets, Page, Wanted, arrived, read};
use super::room::{Charged, Room};
use super::source::{From, Positions, Source};
use crate::catalog::Topic;
use crate::ids::Timestamp;
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

const LIMIT_DEFAULT: usize = 100;
/// What one answer reads at most, beyond its first batch.
const PAGE_BYTES: usize = 1024 * 1024;
/// How long one sleep of a long poll lasts at most: a group may have been moved meanwhile.
const NAP: Duration = Duration::from_secs(1);
/// Pages without a record that one request passes over.
const ROUNDS_MAX: usize = 64;
/// Between two looks at partitions that do not let a reader wait.
const BREATH: Duration = Duration::from_millis(20);

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ConsumeParams {
    /// The group that the events are for. Instead of it: `from` or `cursor`.
    #[param(min_length = 1, max_length = 255)]
    group: Option<String>,
    /// Only this partition.
    #[param(minimum = 0)]
    partition: Option<i32>,
    /// The most events of the answer; 100 without.
    #[param(minimum = 1)]
    limit: Option<usize>,
    /// How long to wait while there is none, in milliseconds.
    #[param(minimum = 0)]
    wait_ms: Option<u64>,
    /// Acknowledge first what this worker was handed before; without a name, what callers without one were handed within the lease.
    auto_commit: Option<bool>,
    /// Who asks, of several that share the group: a name for one run of a process. What comes back under the name of one that crashed acknowledges what that
    /// one was handed, too; so take another name after an answer that was lost.
    #[param(max_length = 255)]
    worker: Option<String>,
    /// Without a group: `earliest`, `latest`, an RFC 3339 time, or an offset.
    from: Option<String>,
    /// Without a group: where an answer before ended.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Consumed {
    pub records: Vec<Record>,
    /// One past the last event of the list.
    pub next_offset: i64,
    /// For every topic and partition in the list, one past its last event.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub next_offsets: Offsets,
    /// Goes on here, without a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    #[schema(min_length = 1, max_length = 255)]
    pub group: String,
    #[schema(minimum = 0)]
    pub partition: i32,
    /// The next event that is to be read: `next_offset`.
    #[schema(minimum = 0)]
    pub offset: i64,
    /// The name under which the events were handed out. With it, a commit acknowledges all of them up to `offset`, and never takes the group back, as one
    /// without it does where nobody holds anything.
    #[schema(max_length = 255)]
    pub worker: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    /// `earliest`, `latest`, an RFC 3339 time, or an offset.
    #[schema(value_type = serde_json::Value, example = "earliest")]
    pub to: ResetTo,
    /// Only this partition.
    #[schema(minimum = 0)]
    pub partition: Option<i32>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ResetTo {
    Offset(i64),
    Text(String),
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ResetDone {
    /// Where the group goes on, by topic and partition.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub offsets: Offsets,
}

/// Events for a group, or from a point on. `{name}` may be a pattern: `order.*`, `**.failed`.
///
/// Events of a group are leased to the caller (`http.consume_lease_ms`): the next call, whoever makes it, goes on behind them, and what is not
/// acknowledged within the lease is handed out again.
#[utoipa::path(get, path = "/topics/{name}/consume", tag = "events", params(("name" = String, Path), ConsumeParams), responses(
    (status = 200, body = Consumed),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn consume(
    caller: Caller,
    method: Method,
    Name(name): Name,
    Params(params): Params<ConsumeParams>,
) -> Result<Response, HttpError> {
    refuse_head(&method)?;
    let http = &caller.shared.broker.config.http;
    let limit = params.limit.unwrap_or(LIMIT_DEFAULT).min(http.consume_limit_max);
    if limit == 0 {
        return Err(HttpError::invalid("limit must be at least 1"));
    }
    let source = Source::parse(name, params.partition)?;
    let wait = Duration::from_millis(params.wait_ms.unwrap_or(0).min(http.wait_ms_max));
    let deadline = tokio::time::Instant::now() + wait;
    let point = match (&params.group, &params.from, &params.cursor) {
        (Some(group), None, None) => {
            let ask = Ask { group, worker: checked_worker(params.worker.as_deref())?, limit, deadline };
            return Ok(of_group(&caller, &source, ask, params.auto_commit.unwrap_or(false)).await?.respond(&caller.shared));
        }
        (None, Some(from), None) => Positions::begin(&caller, source, &From::parse(from)?).await?,
        (None, None, Some(cursor)) => Positions::resume(&caller, source, cursor)?,
        _ => return Err(HttpError::invalid("give one of group, from and cursor")),
    };
    Ok(replay(&caller, point, limit, deadline).await?.respond(&caller.shared))
}

/// Acknowledges events of a group: those that were handed out together with the one before `offset`, up to it. Where the group was moved meanwhile (a
/// reset, a Kafka client), it changes nothing within the lease that they had, unless somebody holds that one again.
#[utoipa::path(post, path = "/topics/{name}/offsets", tag = "events", params(("name" = String, Path)), request_body = Commit, responses(
    (status = 204),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody), (status = 408, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 429, body = ErrorBody),
    (status = 503, body = ErrorBody)))]
pub async fn commit(caller: Caller, Name(name): Name, Body(commit): Body<Commit>) -> Result<StatusCode, HttpError> {
    if commit.offset < 0 {
        return Err(HttpError::invalid("offset must be at least 0"));
    }
    let worker = checked_worker(commit.worker.as_deref())?;
    let source = Source::parse(name, Some(commit.partition))?;
    let topics = source.topics(&caller)?;
    for topic in &topics {
        let end = From::Latest.offset(&caller, topic, commit.partition).await?;
        if commit.offset > end {
            let message = format!("offset {} is behind the end of partition {}, which is {end}", commit.offset, commit.partition);
            return Err(HttpError::invalid(message));
        }
    }
    groups::check_memberless(&caller, &commit.group).await?;
    let mut group = caller.shared.groups.lock(&caller, &commit.group).await?;
    group.observe(&caller, &commit.group, &source, &topics).await?;
    let acknowledge = |leases: &mut PartitionLeases| leases.acknowledge(commit.offset, worker);
    settle(&caller, &mut group, &commit.group, &source, &topics, acknowledge).await?;
    group.tidy(&caller);
    Ok(StatusCode::NO_CONTENT)
}

/// Moves a group to another point. Events that are leased are given up: a commit of them that comes within their lease changes nothing.
#[utoipa::path(post, path = "/topics/{name}/groups/{group}/reset", tag = "events", request_body = Reset,
    params(("name" = String, Path), ("group" = String, Path)), responses(
    (status = 200, body = ResetDone),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody), (status = 408, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 429, body = ErrorBody),
    (status = 503, body = ErrorBody)))]
pub async fn reset(
    caller: Caller,
    Name(name): Name,
    GroupName(id): GroupName,
    Body(reset): Body<Reset>,
) -> Result<Json<ResetDone>, HttpError> {
    let to = match &reset.to {
        ResetTo::Offset(offset) if *offset >= 0 => From::Offset(*offset),
        ResetTo::Offset(_) => return Err(HttpError::invalid("to: an offset is at least 0")),
        ResetTo::Text(text) => From::parse(text)?,
    };
    let source = Source::parse(name, reset.partition)?;
    let topics = source.topics(&caller)?;
    groups::check_memberless(&caller, &id).await?;
    let mut group = caller.shared.groups.lock(&caller, &id).await?;
    let (mut offsets, mut shown) = (groups::Offsets::new(), Offsets::new());
    for (topic, partition) in source.partitions(&topics) {
        // An offset outside of what there is would be met as an error by the next reader.
        let start = From::Earliest.offset(&caller, topic, partition).await?;
        let end = From::Latest.offset(&caller, topic, partition).await?;
        let offset = to.offset(&caller, topic, partition).await?.clamp(start, end.max(start));
        offsets.entry(topic.id).or_default().insert(partition, offset);
        shown.entry(caller.http_name(&topic.name).unwrap_or_default().to_owned()).or_default().insert(partition, offset);
    }
    groups::commit(&caller, &id, &offsets).await?;
    let now = caller.shared.broker.env.steady();
    group.at_each(&offsets, |leases, offset| leases.moved_to(offset, now));
    group.tidy(&caller);
    Ok(Json(ResetDone { offsets: shown }))
}

/// What a caller of a group wants.
#[derive(Clone, Copy)]
struct Ask<'a> {
    group: &'a str,
    worker: Option<&'a str>,
    limit: usize,
    deadline: tokio::time::Instant,
}

async fn of_group(caller: &Caller, source: &Source, ask: Ask<'_>, auto_commit: bool) -> Result<Charged<Consumed>, HttpError> {
    let mut feed = caller.shared.broker.catalog.feed().subscribe();
    let mut is_first = true;
    loop {
        feed.mark_unchanged();
        let topics = source.topics(caller)?;
        groups::check_memberless(caller, ask.group).await?;
        let mut group = caller.shared.groups.lock(caller, ask.group).await?;
        group.observe(caller, ask.group, source, &topics).await?;
        if is_first && auto_commit {
            let now = caller.shared.broker.env.steady();
            let all = |leases: &mut PartitionLeases| leases.acknowledge_all(ask.worker, now);
            settle(caller, &mut group, ask.group, source, &topics, all).await?;
        }
        is_first = false;
        let (mut consumed, mut has_advanced) = hand_out(caller, &mut group, source, &topics, ask).await?;
        for _ in 0..ROUNDS_MAX {
            if !consumed.value.records.is_empty() || !has_advanced {
                break;
            }
            // Deleted or aborted records, or markers: what is to be read lies behind them.
            (consumed, has_advanced) = hand_out(caller, &mut group, source, &topics, ask).await?;
        }
        let now = tokio::time::Instant::now();
        let (waiting, expiry) = outlook(caller, &group, source, &topics);
        group.tidy(caller);
        if !consumed.value.records.is_empty() || now >= ask.deadline || caller.shared.is_stopping() {
            return Ok(consumed);
        }
        // Whoever else is in the group goes on meanwhile.
        drop((group, consumed));
        let until_expiry = expiry.map_or(NAP, |at| {
            Duration::from_millis(u64::try_from(at.ms_since(caller.shared.broker.env.steady())).unwrap_or(0).max(1))
        });
        let nap = NAP.min(until_expiry).min(ask.deadline - now);
        wait(caller, &waiting, nap, source.is_pattern().then_some(&mut feed)).await;
    }
}

/// Commits what `change` makes due, in all partitions of the source.
async fn settle(
    caller: &Caller,
    group: &mut Group,
    id: &str,
    source: &Source,
    topics: &[Arc<Topic>],
    mut change: impl FnMut(&mut PartitionLeases) -> Option<i64>,
) -> Result<(), HttpError> {
    let mut due = groups::Offsets::new();
    for (topic, partition) in source.partitions(topics) {
        let Some(leases) = group.partitions.get_mut(&(topic.id, partition)) else { continue };
        if let Some(offset) = change(leases) {
            due.entry(topic.id).or_default().insert(partition, offset);
        }
    }
    if due.is_empty() {
        return Ok(());
    }
    groups::commit(caller, id, &due).await?;
    group.at_each(&due, PartitionLeases::committed);
    Ok(())
}

/// Hands out what there is, without waiting; and whether it went on, with records or without.
async fn hand_out(
    caller: &Caller,
    group: &mut Group,
    source: &Source,
    topics: &[Arc<Topic>],
    ask: Ask<'_>,
) -> Result<(Charged<Consumed>, bool), HttpError> {
    let now = caller.shared.broker.env.steady();
    let mut ranges = Vec::new();
    for (topic, partition) in source.partitions(topics) {
        let leases = group.partitions.get(&(topic.id, partition));
        if let Some(range) = leases.and_then(|leases| leases.available(now)) {
            ranges.push((topic, partition, range));
        }
    }
    if !ranges.is_empty() {
        // Each partition has its turn to be the first.
        let turn = group.turn % ranges.len();
        group.turn = group.turn.wrapping_add(1);
        ranges.rotate_left(turn);
    }
    let wanted: Vec<Wanted> = ranges
        .iter()
        .map(|(topic, partition, Range { from, to })| Wanted {
            topic: (*topic).clone(),
            partition: *partition,
            from: *from,
            to: *to,
        })
        .collect();
    let room = Room::take(&caller.shared, PAGE_BYTES)?;
    let pages = read(caller, &wanted, Limits { records: ask.limit, bytes: room.bytes, wait: Duration::ZERO }).await?;
    let expires = now.plus_ms(caller.shared.broker.config.http.consume_lease_ms);
    for ((topic, partition, range), page) in ranges.iter().zip(&pages) {
        if let Some(leases) = group.partitions.get_mut(&(topic.id, *partition)) {
            let to = page.records.last().map_or(range.from, |last| last.offset.0 + 1);
            leases.hand_out(*range, to, page.next, expires, ask.worker);
        }
    }
    let has_advanced = wanted.iter().zip(&pages).any(|(one, page)| page.next > one.from);
    let fallback = source.partitions(topics).next().and_then(|(topic, partition)| group.partitions.get(&(topic.id, partition)));
    let consumed = answer(caller, &wanted, &pages, fallback.map_or(0, PartitionLeases::position));
    Ok((Charged { value: consumed, room }, has_advanced))
}

/// What a long poll waits for: records behind what was handed out, and the first lease that comes back.
fn outlook(caller: &Caller, group: &Group, source: &Source, topics: &[Arc<Topic>]) -> (Vec<Wanted>, Option<Timestamp>) {
    let now = caller.shared.broker.env.steady();
    let mut waiting = Vec::new();
    let mut expiry: Option<Timestamp> = None;
    for (topic, partition) in source.partitions(topics) {
        let Some(leases) = group.partitions.get(&(topic.id, partition)) else { continue };
        // Where too much is out, what arrives is not handed out.
        if leases.available(now).is_some() {
            waiting.push(Wanted { topic: topic.clone(), partition, from: leases.position(), to: i64::MAX });
        }
        expiry = leases.next_expiry().into_iter().chain(expiry).min();
    }
    (waiting, expiry)
}

/// Returns when there may be something to read, or after `nap`, or when the broker stops.
pub async fn wait(caller: &Caller, waiting: &[Wanted], nap: Duration, feed: Option<&mut tokio::sync::watch::Receiver<u64>>) {
    let changed = async {
        match feed {
            // The catalog lives as long as its broker.
            Some(feed) => drop(feed.changed().await),
            None => std::future::pending().await,
        }
    };
    let arrived = async {
        if waiting.is_empty() {
            return std::future::pending().await;
        }
        // What arrives is read by whoever gets the group first.
        match arrived(caller, waiting, nap).await {
            Arrived::Records => {}
            // Nothing that lets a reader wait: a partition is gone, or there are markers only.
            Arrived::Nothing => tokio::time::sleep(BREATH).await,
            Arrived::Beyond => tokio::time::sleep(nap).await,
        }
    };
    tokio::select! {
        () = arrived => {}
        () = changed => {}
        () = tokio::time::sleep(nap) => {}
        () = caller.shared.stopped() => {}
    }
}

async fn replay(
    caller: &Caller,
    mut positions: Positions,
    limit: usize,
    deadline: tokio::time::Instant,
) -> Result<Charged<Consumed>, HttpError> {
    let mut feed = caller.shared.broker.catalog.feed().subscribe();
    let mut rounds = 0;
    loop {
        feed.mark_unchanged();
        let wanted = positions.wanted(caller)?;
        let room = Room::take(&caller.shared, PAGE_BYTES)?;
        let pages = read(caller, &wanted, Limits { records: limit, bytes: room.bytes, wait: Duration::ZERO }).await?;
        let has_advanced = positions.go_on(caller, &wanted, &pages);
        let has_records = pages.iter().any(|page| !page.records.is_empty());
        rounds += 1;
        if has_advanced && !has_records && rounds < ROUNDS_MAX {
            continue;
        }
        let nap = NAP.min(deadline.saturating_duration_since(tokio::time::Instant::now()));
        if has_records || nap.is_zero() || caller.shared.is_stopping() {
            let fallback = pages.first().map_or(0, |page| page.next);
            let consumed = answer(caller, &wanted, &pages, fallback);
            let cursor = Some(cursor::encode(&positions.places));
            return Ok(Charged { value: Consumed { cursor, ..consumed }, room });
        }
        drop((room, pages));
        let waiting = positions.wanted(caller)?;
        wait(caller, &waiting, nap, positions.is_of_pattern().then_some(&mut feed)).await;
    }
}

fn answer(caller: &Caller, wanted: &[Wanted], pages: &[Page], fallback: i64) -> Consumed {
    let mut consumed = Consumed { records: Vec::new(), next_offset: fallback, next_offsets: Offsets::new(), cursor: None };
    for (one, page) in wanted.iter().zip(pages) {
        let Some(name) = caller.http_name(&one.topic.name) else { continue };
        let Some(last) = page.records.last() else { continue };
        consumed.next_offset = last.offset.0 + 1;
        consumed.next_offsets.entry(name.to_owned()).or_default().insert(one.partition, consumed.next_offset);
        consumed.records.extend(page.records.iter().map(|stored| Record::of(name, one.partition, stored)));
    }
    consumed
}

/// An answer to HEAD is thrown away: what it would lease or stream is not.
///
/// # Errors
/// [`Refusal::MethodNotAllowed`]
pub fn refuse_head(method: &Method) -> Result<(), HttpError> {
    if method == Method::HEAD {
        return Err(HttpError::new(Refusal::MethodNotAllowed, "HEAD is not possible here: it would read events for nobody"));
    }
    Ok(())
}

fn checked_worker(worker: Option<&str>) -> Result<Option<&str>, HttpError> {
    match worker {
        Some(name) if name.is_empty() || name.len() > 255 => {
            Err(HttpError::new(Refusal::Invalid, "worker must have 1 to 255 characters"))
        }
        worker => Ok(worker),
    }
}
