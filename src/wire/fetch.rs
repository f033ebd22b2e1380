//! Fetch's response, versions 4-18: the one message whose payload leaves from where it lies (memory or a file) instead of being copied.
//!
//! Laid out as FetchResponse.json of Kafka 4 says. Left out, as tagged fields may be: diverging epochs, other leaders, snapshots and endpoints,
//! which a cluster has.

use super::frame::Frame;
use super::message::DecodeError;
use super::requests::{framed, request};
use super::spans::SpanWriter;
use crate::span::{self, Span};
use crate::tasks;
use anyhow::Result;
use bytes::{BufMut, Bytes};
pub use kafka_protocol::messages::FetchRequest as Head;
use kafka_protocol::messages::{ApiKey, TopicName};
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, StrBytes, VersionRange};
use std::io;
use uuid::Uuid;

const SESSIONS: i16 = 7;
const LOG_START: i16 = 5;
const PREFERRED_REPLICA: i16 = 11;
const FLEXIBLE: i16 = 12;
const TOPIC_IDS: i16 = 13;
const VERSIONS: VersionRange = VersionRange { min: 4, max: 18 };
/// What a partition takes beside its records, at most, and its aborted transactions.
const PARTITION_BYTES: usize = 64;

/// The request of any version, as the library reads it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FetchRequest(pub Head);

/// The response of any version.
#[derive(Debug, Clone, Default)]
pub struct FetchResponse {
    pub error_code: i16,
    pub session_id: i32,
    pub topics: Vec<FetchedTopic>,
}

/// A topic by name (up to 12) or by id (from 13); the other one is empty or nil.
#[derive(Debug, Clone, Default)]
pub struct FetchedTopic {
    pub name: TopicName,
    pub id: Uuid,
    pub partitions: Vec<FetchedPartition>,
}

/// What one partition gives.
#[derive(Debug, Clone, Default)]
pub struct FetchedPartition {
    pub index: i32,
    pub error_code: i16,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    /// Producer ids and first offsets; `None` unless asked for with read_committed.
    pub aborted: Option<Vec<(i64, i64)>>,
    /// Whole batches, behind one another.
    pub records: Vec<Span>,
}

impl FetchedPartition {
    /// Whether it has any records.
    #[must_use]
    pub fn has_records(&self) -> bool {
        self.records.iter().any(|span| !span.is_empty())
    }

    /// Bytes of its records, as they are stored.
    #[must_use]
    pub fn record_bytes(&self) -> usize {
        self.records.iter().map(Span::len).sum()
    }

    /// The records in memory, for readers in this process.
    ///
    /// # Errors
    /// See [`span::load`].
    pub async fn loaded(self) -> io::Result<Bytes> {
        if self.records.iter().any(|span| matches!(span, Span::File(_))) {
            return tasks::blocking("read for a reader in this process", move || span::load(&self.records)).await;
        }
        span::load(&self.records)
    }
}

/// The whole frame: size prefix, header, body.
///
/// # Errors
/// A response of more than 2 GiB.
pub fn frame(correlation_id: i32, response: FetchResponse, version: i16) -> Result<Frame, DecodeError> {
    let mut out = Writer::new(correlation_id, &response, version);
    out.tags();
    // Throttled for this long: never.
    out.to.now.put_i32(0);
    if version >= SESSIONS {
        out.to.now.put_i16(response.error_code);
        out.to.now.put_i32(response.session_id);
    }
    out.count(response.topics.len());
    for topic in response.topics {
        out.topic(topic);
    }
    out.tags();
    out.to.finish()
}

/// Writes in the layout of a version.
struct Writer {
    version: i16,
    to: SpanWriter,
}

impl Writer {
    fn new(correlation_id: i32, response: &FetchResponse, version: i16) -> Writer {
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        let body: usize = partitions.map(|one| PARTITION_BYTES + 17 * one.aborted.as_ref().map_or(0, Vec::len)).sum();
        let names: usize = response.topics.iter().map(|topic| topic.name.len() + 32).sum();
        Writer { version, to: SpanWriter::new(correlation_id, 64 + names + body) }
    }

    fn topic(&mut self, topic: FetchedTopic) {
        if self.version >= TOPIC_IDS {
            self.to.now.put_slice(topic.id.as_bytes());
        } else {
            self.name(&topic.name);
        }
        self.count(topic.partitions.len());
        for partition in topic.partitions {
            self.partition(partition);
        }
        self.tags();
    }

    fn partition(&mut self, partition: FetchedPartition) {
        self.to.now.put_i32(partition.index);
        self.to.now.put_i16(partition.error_code);
        self.to.now.put_i64(partition.high_watermark);
        self.to.now.put_i64(partition.last_stable_offset);
        if self.version >= LOG_START {
            self.to.now.put_i64(partition.log_start_offset);
        }
        match &partition.aborted {
            Some(aborted) => {
                self.count(aborted.len());
                for (producer, first) in aborted {
                    self.to.now.put_i64(*producer);
                    self.to.now.put_i64(*first);
                    self.tags();
                }
            }
            None if self.is_flexible() => self.to.now.put_u8(0),
            None => self.to.now.put_i32(-1),
        }
        if self.version >= PREFERRED_REPLICA {
            self.to.now.put_i32(-1);
        }
        self.records(partition.records);
        self.tags();
    }

    fn records(&mut self, spans: Vec<Span>) {
        self.count(spans.iter().map(Span::len).sum());
        self.to.spans(spans);
    }

    /// The length of an array, or of bytes.
    fn count(&mut self, count: usize) {
        if self.is_flexible() {
            self.to.compact_length(count);
        } else {
            // What does not fit makes the frame too large, which `finish` finds.
            self.to.now.put_i32(i32::try_from(count).unwrap_or(i32::MAX));
        }
    }

    fn name(&mut self, name: &StrBytes) {
        if self.is_flexible() {
            self.to.compact_length(name.len());
        } else {
            self.to.now.put_i16(i16::try_from(name.len()).unwrap_or(i16::MAX));
        }
        self.to.now.put_slice(name.as_bytes());
    }

    /// No tagged fields.
    fn tags(&mut self) {
        if self.is_flexible() {
            self.to.now.put_u8(0);
        }
    }

    fn is_flexible(&self) -> bool {
        self.version >= FLEXIBLE
    }
}

impl Decodable for FetchRequest {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self> {
        Head::decode(buf, version).map(FetchRequest)
    }
}

request!(FetchRequest, like Head, up to VERSIONS.max, versions VERSIONS, key ApiKey::Fetch, answered by FetchResponse);

framed!(FetchResponse, versions VERSIONS, flexible from FLEXIBLE);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::{self, FileSpan};
    use crate::wire::frame::PREFIX_BYTES;
    use bytes::Bytes;
    use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
    use kafka_protocol::messages::{FetchResponse as Theirs, ProducerId, ResponseHeader};
    use kafka_protocol::protocol::HeaderVersion;
    use std::io::Write;
    use std::sync::Arc;

    /// Records in memory and in a file, small and large ones, a failed partition, and one with aborted transactions.
    fn response() -> FetchResponse {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&[7; 5000]).expect("written");
        let filed = |at, length| Span::File(FileSpan { file: Arc::new(file.try_clone().expect("a handle")), at, length });
        let memory = |byte, length| Span::Memory(Bytes::from(vec![byte; length]));
        let partition = |index, records| FetchedPartition {
            index,
            high_watermark: 100 + i64::from(index),
            last_stable_offset: 90,
            log_start_offset: 3,
            records,
            ..FetchedPartition::default()
        };
        let failed = FetchedPartition { index: 9, error_code: 1, high_watermark: -1, ..FetchedPartition::default() };
        let aborted = FetchedPartition { aborted: Some(vec![(5, 50), (6, 60)]), ..partition(3, vec![memory(3, 200)]) };
        let topic = |name: &'static str, id, partitions| FetchedTopic {
            name: TopicName(StrBytes::from_static_str(name)),
            id: Uuid::from_u128(id),
            partitions,
        };
        let one =
            vec![partition(0, vec![filed(0, 5000)]), partition(1, vec![memory(1, 3000), memory(2, 20), filed(10, 1)]), failed];
        let two =
            vec![aborted, partition(4, vec![]), FetchedPartition { aborted: Some(vec![]), ..partition(5, vec![memory(4, 1)]) }];
        FetchResponse { error_code: 0, session_id: 77, topics: vec![topic("one", 11, one), topic("two", 22, two)] }
    }

    fn loaded(records: &[Span]) -> Bytes {
        span::load(records).expect("readable")
    }

    #[test]
    fn every_version_is_laid_out_as_the_library_reads_it() {
        for version in VERSIONS.min..=VERSIONS.max {
            let ours = response();
            let frame = frame(1234, ours.clone(), version).expect("encodes");
            let mut all = vec![Span::Memory(frame.head.clone())];
            all.extend(frame.rest.clone());
            let mut bytes = loaded(&all);
            assert_eq!(bytes.len(), frame.len());
            let size = bytes.split_to(PREFIX_BYTES);
            assert_eq!(i32::from_be_bytes(size[..].try_into().expect("four")), i32::try_from(bytes.len()).expect("small"));
            let header = ResponseHeader::decode(&mut bytes, FetchResponse::header_version(version)).expect("a header");
            assert_eq!(header.correlation_id, 1234);
            let theirs = Theirs::decode(&mut bytes, version).unwrap_or_else(|error| panic!("version {version}: {error}"));
            assert!(bytes.is_empty(), "version {version}: {} bytes behind it", bytes.len());
            assert_eq!(theirs, expected(&ours, version), "version {version}");
        }
    }

    /// What the library makes of the same response.
    fn expected(ours: &FetchResponse, version: i16) -> Theirs {
        let topics = ours.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|one| {
                let aborted = one.aborted.as_ref().map(|all| {
                    let each = all.iter();
                    each.map(|(id, first)| {
                        AbortedTransaction::default().with_producer_id(ProducerId(*id)).with_first_offset(*first)
                    })
                    .collect()
                });
                PartitionData::default()
                    .with_partition_index(one.index)
                    .with_error_code(one.error_code)
                    .with_high_watermark(one.high_watermark)
                    .with_last_stable_offset(one.last_stable_offset)
                    .with_log_start_offset(if version >= LOG_START { one.log_start_offset } else { -1 })
                    .with_aborted_transactions(aborted)
                    .with_records(Some(loaded(&one.records)))
            });
            let named = FetchableTopicResponse::default().with_partitions(partitions.collect());
            if version >= TOPIC_IDS { named.with_topic_id(topic.id) } else { named.with_topic(topic.name.clone()) }
        });
        let session_id = if version >= SESSIONS { ours.session_id } else { 0 };
        Theirs::default().with_session_id(session_id).with_responses(topics.collect())
    }

    #[test]
    fn large_records_are_not_copied() {
        let frame = frame(1, response(), 13).expect("encodes");
        let files = frame.rest.iter().filter(|span| matches!(span, Span::File(_))).count();
        assert_eq!(files, 2);
        assert!(frame.rest.iter().any(|span| matches!(span, Span::Memory(bytes) if bytes.len() == 3000)));
    }
}
