//! Produce to a topic whose records must fit a schema: `value.schema.validation`, `key.schema.validation`, `on.invalid.record`.
//!
//! A batch with a record that does not fit is refused whole with INVALID_RECORD, and each such record is named (KIP-467). With
//! `on.invalid.record=dead-letter` the others are appended as if compaction had removed the bad ones: offsets and sequences are those that the
//! whole batch would have had. The bad ones follow to the same partition of `{topic}.dlq`, behind the batch in the store's queue, under a mark that
//! names the batch's place: a producer that sends again after a crash in between completes what is missing, and doubles nothing.

use super::Context;
use super::errors::ResponseError;
use crate::catalog::{NewTopic, Topic};
use crate::config::KafkaSettings;
use crate::config::validation::{Depth, OnInvalid, Rules};
use crate::ids::{Offset, Timestamp};
use crate::log::{AppendError, Appended, DECOMPRESSED_BYTES_MAX, InvalidRecords, Origin, Partition};
use crate::records::{BatchBuilder, BatchHeader, Compression, RecordError, iterate, kept};
use crate::schema::Validation;
use crate::schema::validation::{INVALID_MAX, Invalid, Judgement};
use crate::store::Mark;
use crate::tasks;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Records that an answer names one by one.
const NAMED_MAX: usize = 1000;
/// What a dead letter says about itself, in headers.
const REASON: &str = "__dlq.reason";
const TOPIC: &str = "__dlq.topic";
const PARTITION: &str = "__dlq.partition";
const OFFSET: &str = "__dlq.offset";
const SUFFIX: &str = ".dlq";

/// Where a batch went, and the last dead letter of it that is to be durable with it.
pub(super) struct Accepted {
    pub appended: Appended,
    pub dead_letters: Option<(Arc<Partition>, Offset)>,
}

/// A partition of a topic with rules.
pub(super) struct Validated<'a> {
    pub context: &'a Context,
    pub topic: &'a Topic,
    pub rules: &'a Arc<Rules>,
    pub index: i32,
    pub partition: &'a Partition,
}

impl Validated<'_> {
    /// Appends what fits of a client's batch.
    pub(super) async fn append(self, records: Bytes, origin: Origin) -> Result<Accepted, Refusal> {
        let judgement = self.judge(&records).await.map_err(AppendError::Corrupt)?;
        self.context.broker.invalid_records.add(self.topic.id, &judgement.invalid);
        if judgement.invalid.is_empty() {
            return Ok(Accepted { appended: self.partition.append(records, origin).await?, dead_letters: None });
        }
        if self.rules.on_invalid == OnInvalid::Refuse {
            return Err(refused(&judgement, None).into());
        }
        let header = BatchHeader::parse(&records).map_err(AppendError::Corrupt)?;
        if header.attributes.is_transactional() {
            return Err(refused(&judgement, Some("on.invalid.record=dead-letter is not possible inside a transaction")).into());
        }
        if judgement.is_cut {
            return Err(refused(&judgement, Some("more than 10000 of a batch are not moved to the dead-letter topic")).into());
        }
        self.append_fitting(records, judgement.invalid, origin).await
    }

    async fn judge(&self, records: &Bytes) -> Result<Judgement, RecordError> {
        let is_plain = BatchHeader::parse(records)?.attributes.compression()? == Compression::None;
        let asks_for_ids = [&self.rules.key, &self.rules.value].into_iter().flatten().all(|rule| rule.depth == Depth::Id);
        let (broker, rules, index) = (self.context.broker.clone(), self.rules.clone(), self.index);
        let (name, records) = (self.topic.name.clone(), records.clone());
        let judge = move || Validation::new(&broker.schemas, &name, index).judge(&rules, &records, DECOMPRESSED_BYTES_MAX);
        // A look at five bytes of each record is nothing; decompression and whole values are no work for a runtime thread.
        if is_plain && asks_for_ids { judge() } else { tasks::blocking("validate records", judge).await }
    }

    async fn append_fitting(self, records: Bytes, invalid: Vec<Invalid>, origin: Origin) -> Result<Accepted, Refusal> {
        // The dead-letter topic first: without it nothing is taken.
        let dead = self.dead_letter_partition().await?;
        let (whole, dropped) = (records.clone(), invalid.iter().map(|one| one.index).collect::<HashSet<_>>());
        let kept = tasks::blocking("drop records", move || kept::without(&whole, DECOMPRESSED_BYTES_MAX, &dropped)).await;
        let appended = self.partition.append_kept(&records, kept.map_err(AppendError::Corrupt)?, origin).await?;
        let now = self.context.broker.env.now();
        let mut last = None;
        let limit = dead.settings().max_message_bytes;
        let codec =
            BatchHeader::parse(&records).and_then(|header| header.attributes.compression()).map_err(AppendError::Corrupt)?;
        let letters = Letters { topic: self.topic.name.clone(), partition: self.index, first: appended.first, now, limit, codec };
        let batches = tasks::blocking("write dead letters", move || letters.batches(&records, invalid)).await;
        for (nth, batch) in (0_u32..).zip(batches.map_err(AppendError::Corrupt)?) {
            let mark = self.mark(appended.first, nth, now);
            last = Some(dead.append(batch, Origin::DeadLetter(mark)).await?.last);
        }
        Ok(Accepted { appended, dead_letters: last.map(|last| (dead, last)) })
    }

    async fn dead_letter_partition(&self) -> Result<Arc<Partition>, Refusal> {
        let broker = &self.context.broker;
        let name = format!("{}{SUFFIX}", self.topic.name);
        let topic = match broker.catalog.topic(&name) {
            Some(topic) => topic,
            None => {
                let new = NewTopic {
                    partitions: i32::try_from(self.topic.logs.len()).unwrap_or(1),
                    ..NewTopic::with_defaults(&name, &KafkaSettings::default())
                };
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
        partition.ok_or_else(|| Refusal::Error(ResponseError::UnknownTopicOrPartition))
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
        let keep_ms = self.context.broker.config.kafka.producer_id_expiration_ms;
        Mark { id: u128::from_be_bytes(id), made: now, expires: now.plus_ms(keep_ms), note: 0 }
    }
}

/// Why nothing was appended.
pub(super) enum Refusal {
    Append(AppendError),
    Error(ResponseError),
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
    let records = invalid.iter().take(NAMED_MAX).map(|one| (one.index, one.message.clone())).collect();
    AppendError::InvalidRecords(InvalidRecords { message, records })
}

/// Dead letters of one batch.
struct Letters {
    topic: String,
    partition: i32,
    /// The offset of the batch's first record.
    first: Offset,
    now: Timestamp,
    /// A batch that is larger gets no further record.
    limit: usize,
    /// As the batch was compressed.
    codec: Compression,
}

impl Letters {
    /// The records as they came, with headers that say why and whence.
    fn batches(&self, records: &Bytes, invalid: Vec<Invalid>) -> Result<Vec<Bytes>, RecordError> {
        let messages: HashMap<i32, String> = invalid.into_iter().map(|one| (one.index, one.message)).collect();
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
            batch = batch.record_with(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
            if batch.estimated_bytes() > self.limit {
                batches.push(std::mem::replace(&mut batch, self.batch()).build());
            }
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
