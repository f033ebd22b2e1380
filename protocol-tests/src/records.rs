//! Steps with records that many tests take: produce, fetch, read all.

use crate::batch::{ReadBatch, parse};
use crate::client::Client;
use crate::frame::topic_name;
use crate::topics::Topic;
use bytes::Bytes;
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use kafka_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, ProduceResponse};
use kafka_protocol::messages::{FetchRequest, InitProducerIdRequest, ProduceRequest};

/// The newest versions that name topics by name, and the first ones that do so by id.
pub const PRODUCE_BY_NAME: i16 = 12;
pub const PRODUCE_BY_ID: i16 = 13;
pub const FETCH_BY_NAME: i16 = 12;
pub const FETCH_BY_ID: i16 = 13;

/// One topic of a Produce request. Name and id are both set: the version decides which of them is encoded.
#[must_use]
pub fn produce_topic(topic: &Topic, partitions: Vec<(i32, Bytes)>) -> TopicProduceData {
    let partitions = partitions
        .into_iter()
        .map(|(index, records)| PartitionProduceData::default().with_index(index).with_records(Some(records)));
    TopicProduceData::default()
        .with_name(topic_name(&topic.name))
        .with_topic_id(topic.id)
        .with_partition_data(partitions.collect())
}

/// A Produce request for one partition.
#[must_use]
pub fn produce_request(topic: &Topic, partition: i32, acks: i16, records: Bytes) -> ProduceRequest {
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![produce_topic(topic, vec![(partition, records)])])
}

/// The answer for the only partition of a Produce request.
///
/// # Panics
/// When there is not exactly one.
#[must_use]
pub fn only_produced(mut response: ProduceResponse) -> PartitionProduceResponse {
    assert_eq!(response.responses.len(), 1, "one topic was produced to: {response:?}");
    let mut topic = response.responses.remove(0);
    assert_eq!(topic.partition_responses.len(), 1, "one partition was produced to");
    topic.partition_responses.remove(0)
}

/// A Fetch request to be built: what of which partitions, and how long to wait for how much.
#[derive(Debug, Clone)]
pub struct Fetch {
    pub topic: Topic,
    pub partitions: Vec<FetchPartition>,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    pub max_bytes: i32,
    pub isolation_level: i8,
    pub session_id: i32,
    /// −1: without a session.
    pub session_epoch: i32,
}

impl Fetch {
    /// Of one partition, from `offset`, without waiting.
    #[must_use]
    pub fn of(topic: &Topic, partition: i32, offset: i64) -> Fetch {
        let fetch = Fetch {
            topic: topic.clone(),
            partitions: Vec::new(),
            max_wait_ms: 0,
            min_bytes: 1,
            max_bytes: 50 << 20,
            isolation_level: 0,
            session_id: 0,
            session_epoch: -1,
        };
        fetch.and(partition, offset)
    }

    /// And of one more partition.
    #[must_use]
    pub fn and(mut self, partition: i32, offset: i64) -> Fetch {
        self.partitions.push(
            FetchPartition::default().with_partition(partition).with_fetch_offset(offset).with_partition_max_bytes(10 << 20),
        );
        self
    }

    /// Waits up to `max_wait_ms` for `min_bytes`.
    #[must_use]
    pub fn waiting(mut self, max_wait_ms: i32, min_bytes: i32) -> Fetch {
        self.max_wait_ms = max_wait_ms;
        self.min_bytes = min_bytes;
        self
    }

    /// Takes at most `max_bytes` in all, and `partition_max_bytes` of each partition.
    #[must_use]
    pub fn at_most(mut self, max_bytes: i32, partition_max_bytes: i32) -> Fetch {
        self.max_bytes = max_bytes;
        for partition in &mut self.partitions {
            partition.partition_max_bytes = partition_max_bytes;
        }
        self
    }

    /// Within a fetch session (KIP-227).
    #[must_use]
    pub fn in_session(mut self, session_id: i32, session_epoch: i32) -> Fetch {
        self.session_id = session_id;
        self.session_epoch = session_epoch;
        self
    }

    /// Names no partition: an incremental fetch with no changes.
    #[must_use]
    pub fn unchanged(mut self) -> Fetch {
        self.partitions.clear();
        self
    }

    /// The request. Name and id are both set: the version decides which of them is encoded.
    #[must_use]
    pub fn request(&self) -> FetchRequest {
        let topic = FetchTopic::default()
            .with_topic(topic_name(&self.topic.name))
            .with_topic_id(self.topic.id)
            .with_partitions(self.partitions.clone());
        FetchRequest::default()
            .with_max_wait_ms(self.max_wait_ms)
            .with_min_bytes(self.min_bytes)
            .with_max_bytes(self.max_bytes)
            .with_isolation_level(self.isolation_level)
            .with_session_id(self.session_id)
            .with_session_epoch(self.session_epoch)
            .with_topics(if self.partitions.is_empty() { Vec::new() } else { vec![topic] })
    }
}

/// The answer for the only partition of a Fetch request.
///
/// # Panics
/// When there is not exactly one.
#[must_use]
pub fn only_fetched(mut response: FetchResponse) -> PartitionData {
    assert_eq!(response.error_code.err(), None, "the fetch as a whole");
    assert_eq!(response.responses.len(), 1, "one topic was fetched: {response:?}");
    let mut topic = response.responses.remove(0);
    assert_eq!(topic.partitions.len(), 1, "one partition was fetched");
    topic.partitions.remove(0)
}

/// The batches that a partition answered; none when it has none.
///
/// # Panics
/// When the bytes are no whole, sound batches.
#[must_use]
pub fn batches(partition: &PartitionData) -> Vec<ReadBatch> {
    parse(partition.records.clone().unwrap_or_default()).expect("whole, sound batches")
}

/// The values of all records of `batches`, as text.
#[must_use]
pub fn values(batches: &[ReadBatch]) -> Vec<String> {
    let records = batches.iter().flat_map(|batch| &batch.records);
    records.map(|record| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned()).collect()
}

impl Client {
    /// Produces one batch with acks=all and answers what the server said of it.
    pub fn produce(&mut self, topic: &Topic, partition: i32, records: Bytes) -> PartitionProduceResponse {
        only_produced(self.call(PRODUCE_BY_NAME, &produce_request(topic, partition, -1, records)))
    }

    /// Produces one batch with acks=all and answers its base offset.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn produced(&mut self, topic: &Topic, partition: i32, records: Bytes) -> i64 {
        let answer = self.produce(topic, partition, records);
        assert_eq!(answer.error_code.err(), None, "producing to {}-{partition}: {:?}", topic.name, answer.error_message);
        answer.base_offset
    }

    /// Fetches from one partition.
    pub fn fetch(&mut self, fetch: &Fetch) -> PartitionData {
        only_fetched(self.call(FETCH_BY_NAME, &fetch.request()))
    }

    /// Everything that a partition holds.
    ///
    /// # Panics
    /// When a fetch fails, or does not go forward.
    pub fn read_all(&mut self, topic: &Topic, partition: i32) -> Vec<ReadBatch> {
        let mut all = Vec::new();
        let mut next = 0;
        loop {
            let answer = self.fetch(&Fetch::of(topic, partition, next));
            assert_eq!(answer.error_code.err(), None, "fetching {}-{partition} from {next}", topic.name);
            let read = batches(&answer);
            let Some(last) = read.last() else {
                assert_eq!(next, answer.high_watermark, "nothing at {next} of {}-{partition}, below its end", topic.name);
                return all;
            };
            assert!(last.last_offset >= next, "a fetch from {next} answered only older batches");
            next = last.last_offset + 1;
            all.extend(read);
        }
    }

    /// The offset after the last readable record.
    ///
    /// # Panics
    /// When the partition does not answer.
    pub fn end_offset(&mut self, topic: &Topic, partition: i32) -> i64 {
        let answer = self.fetch(&Fetch::of(topic, partition, 0));
        assert_eq!(answer.error_code.err(), None, "fetching {}-{partition}", topic.name);
        answer.high_watermark
    }

    /// A new idempotent producer's id and epoch.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn producer_id(&mut self) -> (i64, i16) {
        let response: InitProducerIdResponse =
            self.call(4, &InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000));
        assert_eq!(response.error_code.err(), None, "InitProducerId");
        (response.producer_id.0, response.producer_epoch)
    }
}
