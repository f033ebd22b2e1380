//! Produce to a topic whose records must fit a schema: `value.schema.validation`, `key.schema.validation`, `on.invalid.record`.
//!
//! A batch with a record that does not fit is refused whole with INVALID_RECORD, and each such record is named (KIP-467). With
//! `on.invalid.record=dead-letter` the others are appended as if compaction had removed the bad ones: offsets and sequences are those that the
//! whole batch would have had. The bad ones follow to the same partition of `{topic}.dlq`, behind the batch in the store's queue, under a mark that
//! names the batch's place: a producer that sends again after a crash in between completes what is missing, and doubles nothing.

use super::Context;
use super::errors::ResponseError;
use crate::catalog::{NewTopic, Topic};
use crate::config::validation::{Depth, OnInvalid, Rule, Rules, SubjectName};
use crate::ids::{Offset, Timestamp};
use crate::log::{AppendError, Appended, DECOMPRESSED_BYTES_MAX, InvalidRecords, Origin, Partition};
use crate::records::{BatchBuilder, BatchHeader, Compression, RecordError, iterate, kept};
use crate::schema::Validation;
use crate::schema::validation::{INVALID_MAX, Invalid, Judgement};
use crate::store::Mark;
use crate::tasks;
use crate::tasks::deadline::within;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use tokio::time::Instant;

/// What a dead letter says about itself, in headers.
const REASON: &str = "__dlq.reason";
const TOPIC: &str = "__dlq.topic";
const PARTITION: &str = "__dlq.partition";
const OFFSET: &str = "__dlq.offset";
const SUFFIX: &str = ".dlq";
/// A batch of at most so many bytes is looked through at once, where nothing but ids is asked for.
const QUICK_BYTES_MAX: usize = 64 * 1024;
/// The most that lengths of a header and of a record's own fields take.
const FIELD_BYTES: usize = 10;
const RECORD_BYTES: usize = 40;

/// Where a batch went, and the last dead letter of it that is to be durable with it.
pub(super) struct Accepted {
    pub appended: Appended,
    pub dead_letters: Option<(Arc<Partition>, Offset)>,
}

/// A partition of a topic with rules.
#[derive(Clone)]
pub(super) struct Validated {
    pub context: Context,
    pub topic: Arc<Topic>,
    pub rules: Arc<Rules>,
    pub index: i32,
    pub partition: Arc<Partition>,
    /// How long the client waits.
    pub deadline: Instant,
}

impl Validated {
    /// Appends what fits of a client's batch.
    pub(super) async fn append(self, records: Bytes, origin: Origin) -> Result<Accepted, Refusal> {
        // What costs little to find out comes first, and whatever is damaged is said to be that.
        let checked = self.partition.check(&records)?;
        let compression = checked.header().attributes.compression().map_err(AppendError::Corrupt)?;
        let broker = self.context.broker.clone();
        let judgement = self.judge(&records, compression).await.map_err(AppendError::Corrupt)?;
        if broker.catalog.topic_by_id(self.topic.id).is_some() {
            broker.invalid_records.add(self.topic.id, &judgement.invalid);
        }
        let moves = self.rules.on_invalid == OnInvalid::DeadLetter && !checked.header().attributes.is_transactional();
        if judgement.invalid.is_empty() {
            let resent = moves.then(|| records.clone());
            let appended = self.partition.append_checked(checked, records, origin).await?;
            return match resent {
                Some(records) if appended.is_repeated => {
                    let completed = self.complete(records, appended, judgement.invalid);
                    tasks::to_the_end("complete what was appended", completed).await
                }
                _ => Ok(Accepted { appended, dead_letters: None }),
            };
        }
        if self.rules.on_invalid == OnInvalid::Refuse {
            return Err(refused(&judgement, None).into());
        }
        if !moves {
            return Err(refused(&judgement, Some("on.invalid.record=dead-letter is not possible inside a transaction")).into());
        }
        if judgement.is_cut {
            return Err(refused(&judgement, Some("more than 10000 of a batch are not moved to the dead-letter topic")).into());
        }
        // The dead-letter topic first: without it nothing is taken.
        self.dead_letter_partition().await?;
        // To its end, whether or not the client is still there: between the batch and its dead letters lies nothing but a crash.
        let accepted = tasks::to_the_end("append what fits", async move {
            let (whole, dropped) = (records.clone(), judgement.invalid.iter().map(|one| one.index).collect::<HashSet<_>>());
            let drop_records = move || kept::without(&whole, DECOMPRESSED_BYTES_MAX, &dropped);
            let kept =
                self.context.broker.opening(compression, "drop records", drop_records).await.map_err(AppendError::Corrupt)?;
            if tokio::time::Instant::now() >= self.deadline {
                return Err(ResponseError::RequestTimedOut.into());
            }
            // Nothing is there yet, and past the deadline nobody waits for it. What follows it has no deadline.
            let appending = self.partition.append_checked(checked.kept(&kept)?, kept, origin);
            let appended = within(self.deadline, pin!(appending)).await.ok_or(ResponseError::RequestTimedOut)??;
            self.complete(records, appended, judgement.invalid).await
        });
        accepted.await
    }

    async fn judge(&self, records: &Bytes, compression: Compression) -> Result<Judgement, RecordError> {
        let is_cheap =
            |rule: &Rule| rule.depth == Depth::Id && matches!(rule.subject, SubjectName::Fixed(_) | SubjectName::Topic);
        let is_quick = compression == Compression::None
            && records.len() <= QUICK_BYTES_MAX
            && [&self.rules.key, &self.rules.value].into_iter().flatten().all(is_cheap);
        let (broker, rules, index) = (self.context.broker.clone(), self.rules.clone(), self.index);
        let (name, records) = (self.topic.name.clone(), records.clone());
        let judge = move || Validation::new(&broker.schemas, &name, index).judge(&rules, &records, DECOMPRESSED_BYTES_MAX);
        // A look at five bytes of each record is nothing; decompression and whole values are no work for a runtime thread.
        if is_quick { judge() } else { self.context.broker.opening(compression, "validate records", judge).await }
    }

    /// Appends the dead letters of a batch that is in the log, unless they are there.
    async fn complete(self, records: Bytes, appended: Appended, invalid: Vec<Invalid>) -> Result<Accepted, Refusal> {
        let messages = match appended.is_repeated {
            false => invalid.into_iter().map(|one| (one.index, one.message)).collect(),
            // What was judged now may differ from what was judged when the batch came first: what is in the log decides.
            true => self.lacking(&records, &appended, invalid).await?,
        };
        if messages.is_empty() {
            return Ok(Accepted { appended, dead_letters: None });
        }
        let dead = self.dead_letter_partition().await?;
        let (now, limit) = (self.context.broker.env.now(), dead.settings().max_message_bytes);
        let codec =
            BatchHeader::parse(&records).and_then(|header| header.attributes.compression()).map_err(AppendError::Corrupt)?;
        let (topic, partition) = (self.topic.name.clone(), self.index);
        let letters = Letters { topic, partition, first: appended.first, now, limit, codec };
        let batches =
            self.context.broker.opening(codec, "write dead letters", move || letters.batches(&records, &messages)).await;
        let mut last = None;
        for (nth, batch) in (0_u32..).zip(batches.map_err(AppendError::Corrupt)?) {
            let mark = self.mark(appended.first, nth, now);
            last = Some(dead.append(batch, Origin::DeadLetter(mark)).await?.last);
        }
        Ok(Accepted { appended, dead_letters: last.map(|last| (dead, last)) })
    }

    /// The records of a repeated batch that the log does not have, by index; none when the batch is no longer there to be compared.
    async fn lacking(
        &self,
        records: &Bytes,
        appended: &Appended,
        invalid: Vec<Invalid>,
    ) -> Result<HashMap<i32, String>, Refusal> {
        let committed = within(self.deadline, pin!(self.partition.wait_committed(appended.last))).await;
        committed.ok_or(ResponseError::RequestTimedOut)?.map_err(AppendError::from)?;
        let Ok(stored) = self.partition.read(appended.first, 1, appended.last.next()).await else { return Ok(HashMap::new()) };
        if appended.first < self.partition.compacted_to() {
            // What is missing may be missing because it was superseded. Looked at after the read, since
            // compaction moves this offset before it rewrites what lies below.
            return Ok(HashMap::new());
        }
        let Some(stored) = stored.into_iter().find(|batch| batch.first == appended.first) else { return Ok(HashMap::new()) };
        let (count, first) = (BatchHeader::parse(records).map_err(AppendError::Corrupt)?.record_count, appended.first);
        let compression =
            BatchHeader::parse(&stored.bytes).and_then(|header| header.attributes.compression()).map_err(AppendError::Corrupt)?;
        let there = self.context.broker.opening(compression, "read a repeated batch", move || {
            let mut there = HashSet::new();
            iterate::each(&stored.bytes, DECOMPRESSED_BYTES_MAX, |record| {
                there.insert(record.offset.0.saturating_sub(first.0));
                Ok(())
            })?;
            Ok::<_, RecordError>(there)
        });
        let there = there.await.map_err(AppendError::Corrupt)?;
        let mut messages: HashMap<i32, String> = invalid.into_iter().map(|one| (one.index, one.message)).collect();
        let lacking = (0..count).filter(|index| !there.contains(&i64::from(*index)));
        let mut message = |index: i32| {
            let then = || format!("{}-{}, record {index}: it did not fit when it came first", self.topic.name, self.index);
            messages.remove(&index).unwrap_or_else(then)
        };
        Ok(lacking.map(|index| (index, message(index))).collect())
    }

    async fn dead_letter_partition(&self) -> Result<Arc<Partition>, Refusal> {
        let broker = &self.context.broker;
        let name = format!("{}{SUFFIX}", self.topic.name);
        let topic = match broker.catalog.topic(&name) {
            Some(topic) => topic,
            None => {
                let partitions = i32::try_from(self.topic.logs.len()).unwrap_or(1);
                let new = NewTopic { partitions, ..NewTopic::of_ours(&name, &broker.config.kafka) };
                match broker.create_topic(new).await {
                    Ok(topic) => topic,
                    Err(error) => broker.catalog.topic(&name).ok_or_else(|| {
                        AppendError::Invalid(format!("the dead-letter topic {name} cannot be created: {error}"))
                    })?,
                }
            }
        };
        // It may have fewer partitions, when it was there before.
        let count = i32::try_from(topic.logs.len()).unwrap_or(i32::MAX).max(1);
        let partition = broker.partition(&topic, self.index % count).await.map_err(AppendError::from)?;
        partition.ok_or(Refusal::Error(ResponseError::UnknownTopicOrPartition))
    }

    /// Names the `nth` batch of dead letters of the batch at `first`: the same one when it is sent again.
    fn mark(&self, first: Offset, nth: u32, now: Timestamp) -> Mark {
        let mut hash = Sha256::new();
        hash.update(b"dead letters");
        hash.update(self.partition.log().0.to_be_bytes());
        hash.update(first.0.to_be_bytes());
        hash.update(nth.to_be_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(hash.finalize().get(..16).expect("SHA-256 has 32 bytes"));
        let keep_ms = self.context.broker.catalog.effective_kafka().producer_id_expiration_ms;
        Mark { id: u128::from_be_bytes(id), made: now, expires: now.plus_ms(keep_ms), note: 0 }
    }
}

/// Why nothing was appended.
pub(super) enum Refusal {
    Append(AppendError),
    Error(ResponseError),
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Refusal {
        Refusal::Error(error)
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Refusal {
        Refusal::Append(error)
    }
}

/// The refusal of a batch, with the records that are to blame.
fn refused(judgement: &Judgement, why_not_moved: Option<&str>) -> AppendError {
    let invalid = &judgement.invalid;
    let first = invalid.first().map(|one| one.message.as_str()).unwrap_or_default();
    let count = if judgement.is_cut { format!("more than {INVALID_MAX}") } else { invalid.len().to_string() };
    let verb = if invalid.len() == 1 { "does" } else { "do" };
    let mut message = format!("{count} of {} records {verb} not fit the schema: {first}", judgement.records);
    if let Some(why) = why_not_moved {
        message = format!("{message}; {why}");
    }
    let records = invalid.iter().take(iterate::NAMED_MAX).map(|one| (one.index, one.message.clone())).collect();
    AppendError::InvalidRecords(InvalidRecords { message, records })
}

/// Dead letters of one batch.
struct Letters {
    topic: String,
    partition: i32,
    /// The offset of the batch's first record.
    first: Offset,
    now: Timestamp,
    /// A batch grows no further; a single record may be larger.
    limit: usize,
    /// As the batch was compressed.
    codec: Compression,
}

impl Letters {
    /// The records at the keys of `messages` as they came, with headers that say why and whence.
    fn batches(&self, records: &Bytes, messages: &HashMap<i32, String>) -> Result<Vec<Bytes>, RecordError> {
        let partition = self.partition.to_string();
        let mut batches = Vec::new();
        let mut batch = self.batch();
        for (index, record) in (0_i32..).zip(iterate::records(records, DECOMPRESSED_BYTES_MAX)?) {
            let record = record?;
            let Some(message) = messages.get(&index) else { continue };
            let offset = self.first.0.saturating_add(i64::from(index)).to_string();
            let own: Vec<(Bytes, Option<Bytes>)> = record.headers.iter().collect();
            let mut headers: Vec<(&[u8], Option<&[u8]>)> =
                own.iter().map(|(name, value)| (&name[..], value.as_deref())).collect();
            let added = [(REASON, message.as_str()), (TOPIC, &self.topic), (PARTITION, &partition), (OFFSET, &offset)];
            headers.extend(added.map(|(name, value)| (name.as_bytes(), Some(value.as_bytes()))));
            let of_headers = headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len) + FIELD_BYTES);
            let size = [&record.key, &record.value].into_iter().flatten().map(Bytes::len).sum::<usize>()
                + of_headers.sum::<usize>()
                + RECORD_BYTES;
            if !batch.is_empty() && batch.estimated_bytes() + size > self.limit {
                batches.push(std::mem::replace(&mut batch, self.batch()).build());
            }
            batch = batch.record_with(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
        }
        if !batch.is_empty() {
            batches.push(batch.build());
        }
        Ok(batches)
    }

    fn batch(&self) -> BatchBuilder {
        BatchBuilder::new(self.now).compression(self.codec)
    }
}
