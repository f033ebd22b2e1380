//! Produce, key 0, versions 3-13 (0-2 are listed, for librdkafka's sake, and refused: see `api_versions.rs`).
//!
//! Behaviour: stage one appends every partition's batch in request order; stage two waits until all of them are durable. acks=1 and
//! acks=all wait for the same thing: this node's disk. acks=0 answers nothing, and an error closes the connection, as in Kafka.
//! A batch that is not durable within the request's `timeout_ms`, or [`TIMEOUT_MIN`] if that is longer, answers REQUEST_TIMED_OUT; it may still become
//! durable, and an idempotent producer's retry is then recognised. Both stages share that time, counted from the start of stage one: a batch that finds
//! no room in the store's queue by then (a full disk) answers the same and is not appended, nor is what follows it in the request, and the connection ends:
//! what was sent behind it must not come first (a producer that the partition does not know may begin with any sequence). So a client that gave
//! up and sends again on another connection leaves no connection behind that waits, and finds nothing doubled by it.
//!
//! Version notes: 7 (KIP-110) brings zstd; 8 (KIP-467) names the bad records of a batch; 9 is flexible; 10 (KIP-951) can name a new leader, which one node never
//! needs to; 11 and 12 (KIP-890): see `transactional_produce.rs`; 13 (KIP-516) uses topic ids.
//! Not implemented: nothing.

use super::context::DISK_PATIENCE;
use super::errors::{self, ResponseError};
use super::recompressed::recompressed;
use super::transactional_produce::{self, Clearance};
use super::validated_produce::{Accepted, Refusal, Validated};
use super::{Answer, Context, Handler};
use crate::broker::Broker;
use crate::catalog::Topic;
use crate::ids::{Offset, TopicId};
use crate::log::{AppendError, Appended, Origin, Partition};
use crate::records::{BatchHeader, Compression};
use crate::tasks::deadline::within;
use crate::telemetry::metrics::Metrics;
use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::produce_request::TopicProduceData;
use kafka_protocol::messages::produce_response::{BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// The most partitions of one request: an answer is many times as large as an entry without records.
const PARTITIONS_MAX: usize = 100_000;

/// From here on topics are named by id (KIP-516).
const TOPIC_IDS: i16 = 13;
/// From here on clients know zstd (KIP-110).
const ZSTD: i16 = 7;

/// The shortest time-out.
const TIMEOUT_MIN: Duration = DISK_PATIENCE;

pub struct Produce;

/// Where a batch stands in its request, and the answer to it in the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Position {
    pub topic: usize,
    /// Within the topic; not its index.
    pub partition: usize,
}

/// A batch that was appended and is not durable yet.
struct Pending {
    partition: Arc<Partition>,
    last: Offset,
    at: Position,
}

/// Why a partition's data was not appended.
struct Refused {
    error: ResponseError,
    message: Option<String>,
    records: Vec<(i32, String)>,
}

impl Handler for Produce {
    type Request = ProduceRequest;
    const VERSIONS: RangeInclusive<i16> = 3..=13;

    fn handle(context: Context, request: ProduceRequest) -> impl Future<Output = Answer<ProduceResponse>> + Send {
        // A leader without followers answers at once in Kafka, whatever the time-out and the acks; here the disk comes first, and a client that sets a
        // small one must not take a slow sync for a failure and send its records twice.
        let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)).max(TIMEOUT_MIN);
        produce(context, request, tokio::time::Instant::now() + timeout)
    }

    fn unsupported() -> ProduceResponse {
        // The response has no top-level error; an empty one names no partition, which clients treat as a failed request.
        ProduceResponse::default()
    }
}

/// Both stages of a request, which have until `deadline` together.
async fn produce(context: Context, mut request: ProduceRequest, deadline: Instant) -> Answer<ProduceResponse> {
    // Each has an answer of its own.
    let named = request.topic_data.len() + request.topic_data.iter().map(|topic| topic.partition_data.len()).sum::<usize>();
    if named > PARTITIONS_MAX {
        return Answer::Close("a produce request names more than 100,000 topics and partitions");
    }
    let mut appending = Appending {
        context,
        deadline,
        clearance: Clearance::default(),
        refusal: refusal_of_all(&request),
        answers: Vec::with_capacity(request.topic_data.len()),
        pending: Vec::new(),
        records: 0,
        bytes: 0,
    };
    if appending.refusal.is_none() && request.transactional_id.is_some() {
        appending.ask(&request).await;
    }
    for (at, data) in request.topic_data.iter_mut().enumerate() {
        appending.topic(at, data).await;
    }
    appending.answer(request.acks)
}

/// A request in stage one: what came of its batches so far.
struct Appending {
    context: Context,
    deadline: Instant,
    clearance: Clearance,
    /// Why none of what is left is appended.
    refusal: Option<ResponseError>,
    answers: Vec<TopicProduceResponse>,
    /// What was appended, for stage two.
    pending: Vec<Pending>,
    records: u64,
    bytes: u64,
}

impl Appending {
    /// Asks the transaction coordinator.
    async fn ask(&mut self, request: &ProduceRequest) {
        // In a box, so that the others' requests carry none of its state.
        let mut asking = Box::pin(transactional_produce::ask(&self.context, request));
        let clearance = within(self.deadline, asking.as_mut()).await;
        drop(asking);
        match clearance {
            Some(clearance) => self.clearance = clearance,
            None => self.run_out_of_time(),
        }
    }

    /// What is left of the request has no time, and must not slip in: the client sends it again. Nor may the connection's later requests, which may find room.
    fn run_out_of_time(&mut self) {
        self.refusal = Some(ResponseError::RequestTimedOut);
        self.context.connection.end();
    }

    /// Appends the batches of a topic, in order. `at`: its position in the request. Takes the records out of `data`.
    async fn topic(&mut self, at: usize, data: &mut TopicProduceData) {
        let topic = find(&self.context, &data.name, data.topic_id);
        let mut answers = Vec::with_capacity(data.partition_data.len());
        for (partition, data) in data.partition_data.iter_mut().enumerate() {
            let (at, index, records) = (Position { topic: at, partition }, data.index, data.records.take());
            let bytes = records.as_ref().map_or(0, Bytes::len);
            let appended = match self.may_append(&topic, at, index) {
                Ok((topic, origin)) => append(&self.context, topic, index, records, origin, self.deadline).await,
                Err(error) => Err(error.into()),
            };
            answers.push(self.note(at, index, bytes, appended));
        }
        // Not the slice of the frame that the decoder made: the answer may wait long after the frame's memory was given back.
        let name = TopicName(StrBytes::from_string(data.name.to_string()));
        let answer = TopicProduceResponse::default().with_name(name).with_topic_id(data.topic_id);
        self.answers.push(answer.with_partition_responses(answers));
    }

    /// To which topic, and as whom, the batch for partition `index` is appended.
    fn may_append<'a>(
        &self,
        topic: &'a Result<Arc<Topic>, ResponseError>,
        at: Position,
        index: i32,
    ) -> Result<(&'a Arc<Topic>, Origin), ResponseError> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let topic = topic.as_ref().map_err(|error| *error)?;
        Ok((topic, self.origin(at, index)?))
    }

    /// Takes note of what came of a batch of `bytes`; its answer, if all that was appended becomes durable.
    fn note(
        &mut self,
        at: Position,
        index: i32,
        bytes: usize,
        appended: Result<(Arc<Partition>, Accepted), Refused>,
    ) -> PartitionProduceResponse {
        match appended {
            Ok((partition, Accepted { appended, dead_letters })) => {
                if !appended.is_repeated {
                    self.records += count(&appended);
                    self.bytes += bytes as u64;
                }
                self.pending.push(Pending { partition, last: appended.last, at });
                self.pending.extend(dead_letters.map(|(partition, last)| Pending { partition, last, at }));
                accepted(index, &appended)
            }
            Err(refused) => {
                if refused.error == ResponseError::RequestTimedOut {
                    self.run_out_of_time();
                }
                refused.counted(&self.context.broker.metrics).into_response(index)
            }
        }
    }

    /// As whom the batch for partition `index` is appended.
    fn origin(&self, at: Position, index: i32) -> Result<Origin, ResponseError> {
        match self.context.marks.as_ref().and_then(|marks| marks.get(&index)) {
            Some(mark) => Ok(Origin::Marked(*mark)),
            None => self.clearance.at(at),
        }
    }

    /// Ends stage one.
    fn answer(&mut self, acks: i16) -> Answer<ProduceResponse> {
        let response = ProduceResponse::default().with_responses(std::mem::take(&mut self.answers));
        let metrics = &self.context.broker.metrics;
        metrics.produced_records.inc_by(self.records);
        metrics.produced.inc_by(self.bytes);
        if acks == 0 {
            let all = response.responses.iter().flat_map(|topic| &topic.partition_responses);
            let has_failed = all.into_iter().any(|one| one.error_code != 0);
            return if has_failed { Answer::Close("a produce request with acks=0 failed") } else { Answer::Silent };
        }
        if self.pending.is_empty() {
            return Answer::Now(response);
        }
        let (broker, pending) = (self.context.broker.clone(), std::mem::take(&mut self.pending));
        Answer::Later(Box::pin(all_durable(broker, pending, response, self.deadline)))
    }
}

/// Stage two: waits until all that was appended is durable. What is not by `deadline` gets another answer than `response` has for it.
async fn all_durable(
    broker: Arc<Broker>,
    pending: Vec<Pending>,
    mut response: ProduceResponse,
    deadline: Instant,
) -> ProduceResponse {
    for one in pending {
        if let Err(error) = durable(&one, deadline).await {
            let topic = response.responses.get_mut(one.at.topic);
            let answer = topic.and_then(|topic| topic.partition_responses.get_mut(one.at.partition));
            let answer = answer.expect("every pending batch has its answer");
            let refused = Refused::from(error);
            // A batch and its dead letters are one.
            let refused = if answer.error_code == 0 { refused.counted(&broker.metrics) } else { refused };
            *answer = refused.into_response(answer.index);
        }
    }
    response
}

/// The note of the mark `id`, if a batch was appended with it.
#[must_use]
pub fn note_of_mark(context: &Context, id: u128) -> Option<u32> {
    Some(context.broker.logs.find_mark(id).ok()??.mark.note)
}

/// What is wrong with the request as a whole.
fn refusal_of_all(request: &ProduceRequest) -> Option<ResponseError> {
    if !matches!(request.acks, -1..=1) {
        return Some(ResponseError::InvalidRequiredAcks);
    }
    // Nobody would ask the transaction's coordinator (KafkaApis.handleProduceRequest).
    let is_nameless = request.transactional_id.is_none() && batches(request).any(|batch| BatchHeader::is_of_transaction(batch));
    is_nameless.then_some(ResponseError::TransactionalIdAuthorizationFailed)
}

fn batches(request: &ProduceRequest) -> impl Iterator<Item = &Bytes> {
    request.topic_data.iter().flat_map(|topic| &topic.partition_data).filter_map(|partition| partition.records.as_ref())
}

/// The topic that a request names: by id from version 13 on, by name before.
pub(super) fn find(context: &Context, name: &TopicName, id: Uuid) -> Result<Arc<Topic>, ResponseError> {
    if context.version >= TOPIC_IDS {
        return context.broker.catalog.topic_by_id(TopicId(id)).ok_or(ResponseError::UnknownTopicId);
    }
    context.broker.catalog.topic(name).ok_or(ResponseError::UnknownTopicOrPartition)
}

/// Waits until `deadline` at most. What has no room by then is not appended; a batch with dead letters may still be, together with them, which go on by
/// themselves.
async fn append(
    context: &Context,
    topic: &Arc<Topic>,
    index: i32,
    records: Option<Bytes>,
    origin: Origin,
    deadline: Instant,
) -> Result<(Arc<Partition>, Accepted), Refused> {
    if topic.internal {
        // What the coordinators replay must come from them (ReplicaManager.appendToLocalLog).
        return Err(ResponseError::InvalidTopicException.into());
    }
    let Some(records) = records.filter(|records| !records.is_empty()) else {
        return Err(AppendError::Invalid("a partition without a record batch".to_owned()).into());
    };
    let opening = within(deadline, pin!(context.broker.partition(topic, index))).await;
    let partition = opening.ok_or(ResponseError::RequestTimedOut)?.map_err(AppendError::from)?;
    let Some(partition) = partition else { return Err(ResponseError::UnknownTopicOrPartition.into()) };
    if context.version < ZSTD {
        refuse_zstd(&records)?;
    }
    // What is kept (in the store's queue, in the tail) is charged by its own length: a small part of a large frame is copied out of it.
    let records = if records.len() < context.frame_bytes / 2 { Bytes::copy_from_slice(&records) } else { records };
    // In its room until it is appended, where it is another one than came.
    let (records, _room) = match &topic.settings.compression {
        None => (records, None),
        // In a box, as below.
        Some(codec) => {
            let mut recompressing = Box::pin(recompressed(context, &partition, codec, records));
            within(deadline, recompressing.as_mut()).await.ok_or(ResponseError::RequestTimedOut)??
        }
    };
    let accepted = match &topic.settings.validation {
        None => Accepted { appended: partition.append_by(deadline, records, origin).await?, dead_letters: None },
        Some(rules) => {
            let (context, topic, rules) = (context.clone(), topic.clone(), rules.clone());
            let validated = Validated { context, topic, rules, index, partition: partition.clone(), deadline };
            // In a box, so that the others' requests carry none of its state.
            let mut appending = Box::pin(validated.append(records, origin));
            within(deadline, appending.as_mut()).await.ok_or(ResponseError::RequestTimedOut)??
        }
    };
    Ok((partition, accepted))
}

/// A client that old could not read back what it wrote (KIP-110; ProduceRequest.validateRecords).
fn refuse_zstd(records: &Bytes) -> Result<(), Refused> {
    let header = BatchHeader::parse(records).map_err(AppendError::Corrupt)?;
    match header.attributes.compression() {
        Ok(Compression::Zstd) => Err(ResponseError::UnsupportedCompressionType.into()),
        _ => Ok(()),
    }
}

async fn durable(one: &Pending, deadline: Instant) -> Result<(), ResponseError> {
    if one.partition.watermark() > one.last {
        return Ok(());
    }
    match tokio::time::timeout_at(deadline, one.partition.wait_committed(one.last)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(stopped)) => Err(errors::append(&stopped.into())),
        Err(_elapsed) => Err(ResponseError::RequestTimedOut),
    }
}

/// Records of a batch as it was sent: it has no gaps, or it would have been refused (`log/validate.rs`).
fn count(appended: &Appended) -> u64 {
    u64::try_from(appended.last.0 - appended.first.0).map_or(0, |distance| distance + 1)
}

fn accepted(index: i32, appended: &Appended) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_base_offset(appended.first.0)
        .with_log_append_time_ms(appended.append_time.map_or(-1, |time| time.0))
        .with_log_start_offset(appended.start.0)
}

impl Refused {
    fn counted(self, metrics: &Metrics) -> Refused {
        metrics.refused_batches.of([format!("{:?}", self.error)]).inc();
        self
    }

    fn into_response(self, index: i32) -> PartitionProduceResponse {
        let records = self.records.into_iter().map(|(index, message)| {
            BatchIndexAndErrorMessage::default()
                .with_batch_index(index)
                .with_batch_index_error_message(Some(StrBytes::from_string(message)))
        });
        PartitionProduceResponse::default()
            .with_index(index)
            .with_error_code(self.error.code())
            .with_base_offset(-1)
            .with_log_append_time_ms(-1)
            .with_log_start_offset(-1)
            .with_record_errors(records.collect())
            .with_error_message(self.message.map(StrBytes::from_string))
    }
}

impl From<ResponseError> for Refused {
    fn from(error: ResponseError) -> Refused {
        Refused { error, message: None, records: Vec::new() }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        match refusal {
            Refusal::Append(error) => error.into(),
            Refusal::Error(error) => error.into(),
        }
    }
}

impl From<AppendError> for Refused {
    fn from(error: AppendError) -> Refused {
        let code = errors::append(&error);
        let message = Some(error.to_string());
        let records = match error {
            AppendError::InvalidRecords(invalid) | AppendError::InvalidTimestamp(invalid) => invalid.records,
            _ => Vec::new(),
        };
        Refused { error: code, message, records }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: what a request answers that finds no room for its batches. Method: the handler over a store in memory whose queue is taken; deadlines are past,
    //! or far off.

    use super::*;
    use crate::catalog::NewTopic;
    use crate::ids::Timestamp;
    use crate::records::BatchBuilder;
    use kafka_protocol::messages::produce_request::PartitionProduceData;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const ALL: i16 = -1;

    /// A version 12 request's, of a broker with the topic "t", which has two partitions and these settings.
    async fn context(settings: &[(&str, &str)]) -> Context {
        let context = Context::in_memory(12, NOW).await;
        let overrides = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let topic = NewTopic { partitions: 2, overrides, ..NewTopic::with_defaults("t", &context.broker.config.kafka) };
        context.broker.create_topic(topic).await.expect("a new topic");
        context
    }

    /// One record for each partition.
    fn request(acks: i16) -> ProduceRequest {
        compressed(acks, Compression::None)
    }

    fn compressed(acks: i16, codec: Compression) -> ProduceRequest {
        let batch = || BatchBuilder::new(NOW).compression(codec).record(None, Some(b"v")).build();
        request_of(acks, [batch(), batch()])
    }

    /// A batch for each partition, from the first on.
    fn request_of<const N: usize>(acks: i16, batches: [Bytes; N]) -> ProduceRequest {
        let data = (0..).zip(batches);
        let data = data.map(|(index, batch)| PartitionProduceData::default().with_index(index).with_records(Some(batch)));
        let name = TopicName(StrBytes::from_static_str("t"));
        let topic = TopicProduceData::default().with_name(name).with_partition_data(data.collect());
        ProduceRequest::default().with_acks(acks).with_topic_data(vec![topic])
    }

    fn answers(response: ProduceResponse) -> Vec<(i16, i64)> {
        let partitions = response.responses.into_iter().flat_map(|topic| topic.partition_responses);
        partitions.map(|one| (one.error_code, one.base_offset)).collect()
    }

    #[tokio::test]
    async fn a_batch_that_finds_no_room_in_time_is_refused_and_never_appended() {
        let context = context(&[]).await;
        let room = context.broker.logs.take_room().await;
        let late = Instant::now();
        let Answer::Now(response) = produce(context.clone(), request(ALL), late).await else {
            panic!("nothing is to be waited for")
        };
        let refused = (ResponseError::RequestTimedOut.code(), -1);
        assert_eq!(answers(response), [refused, refused]);
        assert!(context.connection.is_over(), "what was sent behind it must not come first");
        let silent = produce(context.clone(), request(0), late).await;
        assert!(matches!(silent, Answer::Close(_)), "an error closes the connection of a producer that wants no answers");

        drop(room);
        let in_time = Instant::now() + TIMEOUT_MIN;
        let Answer::Later(wait) = produce(context.clone(), request(ALL), in_time).await else { panic!("the disk is waited for") };
        assert_eq!(answers(wait.await), [(0, 0), (0, 0)], "the first that is in the logs");
        let topic = context.broker.catalog.topic("t").expect("it is there");
        for index in [0, 1] {
            let partition = context.broker.partition(&topic, index).await.expect("it opens").expect("it is there");
            assert_eq!(partition.next(), Offset(1), "and the only one");
        }
        context.broker.close().await.expect("it closes");
    }

    /// Leave for the work, and room for what comes of it: each is waited for, and given back.
    #[tokio::test]
    async fn a_batch_that_may_not_be_given_another_codec_in_time_is_refused() {
        let context = context(&[("compression.type", "gzip")]).await;
        let Broker { unpacked, plain, recompressed, .. } = &*context.broker;
        let cases = [
            (Compression::Lz4, unpacked),
            (Compression::None, plain),
            (Compression::Lz4, recompressed),
            (Compression::None, recompressed),
        ];
        for (codec, limit) in cases {
            let all = limit.available_permits();
            let others = limit.acquire_many(u32::try_from(all).expect("few")).await.expect("open");
            let sent = produce(context.clone(), compressed(ALL, codec), Instant::now()).await;
            let Answer::Now(response) = sent else { panic!("nothing is to be waited for") };
            let refused = (ResponseError::RequestTimedOut.code(), -1);
            assert_eq!(answers(response), [refused, refused], "{codec}");
            drop(others);
            let in_time = Instant::now() + TIMEOUT_MIN;
            let Answer::Later(wait) = produce(context.clone(), compressed(ALL, codec), in_time).await else {
                panic!("the disk is waited for")
            };
            assert!(answers(wait.await).iter().all(|(error, _)| *error == 0), "{codec}");
            assert_eq!(limit.available_permits(), all, "{codec}");
        }
        context.broker.close().await.expect("it closes");
    }

    #[tokio::test]
    async fn what_a_topic_does_not_take_is_not_unpacked_for_it() {
        let context = context(&[("compression.type", "uncompressed"), ("max.message.bytes", "1000")]).await;
        let batch = BatchBuilder::new(NOW).compression(Compression::Gzip).record(None, Some(&[b'x'; 10_000])).build();
        assert!(batch.len() < 1000);
        let in_time = Instant::now() + TIMEOUT_MIN;
        let Answer::Now(response) = produce(context.clone(), request_of(ALL, [batch]), in_time).await else {
            panic!("nothing is to be waited for")
        };
        assert_eq!(answers(response), [(ResponseError::MessageTooLarge.code(), -1)]);
        context.broker.close().await.expect("it closes");
    }
}
