//! One partition that a share group's member reads: where to read, what is there, and what the member gets of it.

use super::errors::{self, ResponseError};
use super::share_sessions::{Member, Part};
use super::{Context, errors::share};
use crate::config::group::{ShareGroupSettings, ShareOffsetReset};
use crate::coordinator::share::ShareError;
use crate::coordinator::share::messages::{AcquireMode, AcquireRequest, Acquired, Next, Policy};
use crate::coordinator::share::ranges::Span as Offsets;
use crate::coordinator::share::records::Key;
use crate::ids::{Offset, ProducerId};
use crate::log::batches::{Lying, batches_of, cut_out};
use crate::log::fetch::{Isolation, Target, read_one, total};
use crate::log::{Aborted, Partition, ReadError, Waiter};
use crate::span::Span;
use crate::store::Stretch;
use std::collections::HashSet;
use std::sync::Arc;

/// How often it is asked again where to read, when a group is deleted or the log trimmed in between.
const ATTEMPTS_MAX: usize = 3;

/// See the file's header.
pub struct Source {
    pub part: Part,
    pub partition: Arc<Partition>,
    key: Key,
}

/// What there is to read.
#[derive(Debug)]
pub enum Found {
    Something(Read),
    /// Nothing now; somebody is woken when that changes.
    Nothing,
}

/// Batches that were read for a member which does not have them yet.
#[derive(Debug)]
pub struct Read {
    from: Offset,
    stretches: Vec<Stretch>,
    aborted: Vec<Aborted>,
    /// More would be of no use to the member, however many bytes it wants.
    pub is_all: bool,
}

/// How many records a member wants, and in what form.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub records: i64,
    pub range_records: i64,
    pub mode: AcquireMode,
}

/// What a member got.
#[derive(Debug, Default)]
pub struct Got {
    pub records: Vec<Span>,
    pub acquired: Vec<Acquired>,
}

impl Source {
    /// The partition behind `part`.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION, or what opening its log answers.
    pub async fn open(context: &Context, member: &Member, part: Part) -> Result<Source, ResponseError> {
        let (topic, partition) = part;
        let topic = context.broker.catalog.topic_by_id(topic).ok_or(ResponseError::UnknownTopicId)?;
        let key = Key { group: member.group.clone(), topic: topic.id, partition };
        let partition = context.partition_of(&topic, partition).await?;
        Ok(Source { part, partition, key })
    }

    /// Where to read for the group; where nobody has read yet, it begins. `waiter`: is woken from now on when that may have changed.
    pub async fn next(
        &self,
        context: &Context,
        settings: &ShareGroupSettings,
        waiter: &Arc<Waiter>,
    ) -> Result<Next, ResponseError> {
        let shares = &context.broker.share_partitions;
        for _ in 0..ATTEMPTS_MAX {
            let pending = shares.next(&self.key, Policy::of(settings), waiter).await;
            let next = match pending {
                Ok(pending) => pending.wait().await.map_err(ShareError::from).and_then(|reply| reply),
                Err(error) => Err(error),
            };
            match next {
                Ok(Next::At(from)) if from < self.partition.start() => {
                    let start = self.partition.start();
                    let trimmed = shares.trimmed(&self.key, start).await.map_err(|error| share::fetch(&error))?;
                    trimmed.wait().await.map_err(|error| share::fetch(&error.into()))?;
                }
                Err(ShareError::NotInitialised) => {
                    self.check_subscribed(context).await?;
                    let start = self.first(context, settings.auto_offset_reset).await?;
                    let begun = shares.begin(&self.key, start).await.map_err(|error| share::fetch(&error))?;
                    begun.wait().await.map_err(|error| share::fetch(&error.into()))?;
                }
                Ok(next) => return Ok(next),
                Err(error) => return Err(share::fetch(&error)),
            }
        }
        // Somebody resets or deletes the group again and again.
        Ok(Next::Full)
    }

    /// Nobody reads for a group that no member has joined, or that is not subscribed to the topic. As from Kafka, whose share coordinator knows no
    /// such share-partition.
    async fn check_subscribed(&self, context: &Context) -> Result<(), ResponseError> {
        let pending = context.broker.groups.share_initialized(self.key.group.to_string()).await;
        let initialized = match pending {
            Ok(pending) => pending.wait().await,
            Err(error) => Err(error),
        };
        // As with the share coordinator: one that is being loaded is looked for in newer metadata.
        let initialized = initialized.map_err(|_| ResponseError::NotLeaderOrFollower)?;
        let is_subscribed = initialized.get(&self.key.topic).is_some_and(|partitions| partitions.contains(&self.key.partition));
        if is_subscribed { Ok(()) } else { Err(ResponseError::UnknownServerError) }
    }

    /// Where a group starts that has no state for the partition. Source: SharePartition.startOffsetDuringInitialization.
    async fn first(&self, context: &Context, reset: ShareOffsetReset) -> Result<Offset, ResponseError> {
        Ok(match reset {
            ShareOffsetReset::Earliest => self.partition.start(),
            ShareOffsetReset::Latest => self.partition.watermark(),
            ShareOffsetReset::ByDuration { ms } => {
                let time = context.broker.env.now().plus_ms(ms.saturating_neg());
                let found = self.partition.offset_for_time(time).await.map_err(|error| errors::read(&error))?;
                found.map_or_else(|| self.partition.watermark(), |(offset, _)| offset)
            }
        })
    }

    /// Reads from `from` what a member may get that wants so many `records`, at most `room` bytes. `is_first`: one batch, whatever its size.
    pub async fn read(
        &self,
        settings: &ShareGroupSettings,
        from: Offset,
        records: i64,
        room: usize,
        is_first: bool,
    ) -> Result<Found, ResponseError> {
        let isolation = if settings.is_read_committed { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
        let target = Target { partition: self.partition.clone(), from, max_bytes: room };
        // Others may have all that is under way; behind that lies what is wanted.
        let end = Offset(from.0.saturating_add(i64::from(settings.partition_max_record_locks)).saturating_add(records));
        let mut fetched = read_one(&target, end, room, isolation, is_first, None).await;
        if fetched.stretches.as_ref().is_ok_and(Vec::is_empty) {
            // What compaction removed may be more than that: the batch behind it is what comes next.
            fetched = read_one(&target, Offset(i64::MAX), room, isolation, is_first, None).await;
        }
        match fetched.stretches {
            Ok(stretches) if stretches.is_empty() => Ok(Found::Nothing),
            Ok(stretches) => {
                let is_all = stretches.last().is_some_and(|newest| newest.last.next() >= end);
                Ok(Found::Something(Read { from, stretches, aborted: fetched.aborted, is_all }))
            }
            // Trimmed meanwhile, which the next look finds; or an administrator moved the group behind the end of the log.
            Err(ReadError::OutOfRange { .. }) => Ok(Found::Nothing),
            Err(error) => Err(errors::read(&error)),
        }
    }

    /// Acquires of what was read as much as `member` wants and may have.
    pub async fn acquire(
        &self,
        context: &Context,
        member: &Member,
        settings: &ShareGroupSettings,
        read: Read,
        wanted: Wanted,
    ) -> Result<Got, ResponseError> {
        let batches = batches_of(&read.stretches).await.map_err(|error| errors::read(&error))?;
        let all = || batches.iter().flatten();
        let request = AcquireRequest {
            member: member.id.clone(),
            from: read.from,
            batches: all().map(offsets).collect(),
            void: if settings.is_read_committed { void(all(), &read.aborted) } else { Vec::new() },
            records_max: wanted.records,
            range_records: wanted.range_records,
            mode: wanted.mode,
        };
        let pending = context.broker.share_partitions.acquire(&self.key, Policy::of(settings), request).await;
        let reply = match pending {
            Ok(pending) => pending.wait().await.map_err(ShareError::from).and_then(|reply| reply),
            Err(error) => Err(error),
        };
        let acquired = match reply {
            // Deleted or reset in between; the next look begins anew.
            Err(ShareError::NotInitialised) => Vec::new(),
            reply => reply.map_err(|error| share::fetch(&error))?,
        };
        let is_acquired = |batch: &Lying| {
            let from = acquired.partition_point(|range| range.span.last < batch.first);
            acquired.get(from).is_some_and(|range| range.span.first <= batch.last)
        };
        let records = cut_out(&read.stretches, &batches, is_acquired);
        Ok(Got { records, acquired })
    }
}

impl Read {
    #[must_use]
    pub fn bytes(&self) -> usize {
        total(&self.stretches)
    }
}

fn offsets(batch: &Lying) -> Offsets {
    Offsets::new(batch.first, batch.last)
}

/// The batches that aborted transactions have written. Their markers are not among them: members skip these by themselves.
/// Source: SharePartition.fetchAbortedTransactionRecordBatches.
fn void<'a>(batches: impl Iterator<Item = &'a Lying>, aborted: &[Aborted]) -> Vec<Offsets> {
    let mut coming: Vec<&Aborted> = aborted.iter().collect();
    coming.sort_unstable_by_key(|one| std::cmp::Reverse(one.first));
    let mut ongoing: HashSet<ProducerId> = HashSet::new();
    let mut void: Vec<Offsets> = Vec::new();
    for batch in batches {
        while let Some(begun) = coming.pop_if(|next| next.first <= batch.last) {
            ongoing.insert(begun.producer);
        }
        let Some(producer) = batch.transaction else { continue };
        if batch.is_control {
            // The end of its transaction; another aborted one comes by itself.
            ongoing.remove(&producer);
        } else if ongoing.contains(&producer) {
            void.push(offsets(batch));
        }
    }
    void
}
