//! ShareFetch, versions 1-2: its request, of which the protocol library knows version 1, and its response, whose records leave from where
//! they lie. Laid out as ShareFetchRequest.json and ShareFetchResponse.json of Kafka 4.3 say.

use super::compact;
use super::frame::Frame;
use super::message::DecodeError;
use super::requests::{framed, request};
use super::spans::SpanWriter;
use crate::span::Span;
use anyhow::Result;
use bytes::BufMut;
use kafka_protocol::messages::{ApiKey, ShareFetchRequest as Theirs};
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, StrBytes, VersionRange};
use uuid::Uuid;

/// The first version with modes of acquiring and renewals (KIP-1206, KIP-1222).
const MODES: i16 = 2;
const LIKE: i16 = 1;
const VERSIONS: VersionRange = VersionRange { min: 1, max: 2 };
/// What a partition takes beside its records, messages and acquired ranges.
const PARTITION_BYTES: usize = 48;
/// One acquired range.
const RANGE_BYTES: usize = 19;
/// "Unknown": with one node no partition has another leader.
const NO_LEADER: i32 = -1;

/// The request of any version.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ShareFetchRequest {
    pub group_id: Option<StrBytes>,
    pub member_id: Option<StrBytes>,
    pub session_epoch: i32,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    pub max_bytes: i32,
    pub max_records: i32,
    pub batch_size: i32,
    /// 0: whole batches; 1: exactly so many records.
    pub acquire_mode: i8,
    /// Some acknowledgement asks for more time; then nothing is fetched.
    pub is_renewal: bool,
    pub topics: Vec<AskedTopic>,
    /// Partitions that leave the session.
    pub forgotten: Vec<(Uuid, Vec<i32>)>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct AskedTopic {
    pub id: Uuid,
    pub partitions: Vec<AskedPartition>,
}

/// A partition, and what the member says about records of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AskedPartition {
    pub index: i32,
    pub acknowledgements: Vec<AcknowledgedBatch>,
}

/// Records that are acknowledged, and how: one number for all, or one for each offset.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AcknowledgedBatch {
    pub first: i64,
    pub last: i64,
    pub types: Vec<i8>,
}

impl AskedTopic {
    pub(super) fn read<B: ByteBuf>(buf: &mut B) -> Result<AskedTopic> {
        let topic = AskedTopic { id: compact::uuid(buf)?, partitions: compact::array(buf, AskedPartition::read)? };
        compact::skip_tagged_fields(buf)?;
        Ok(topic)
    }
}

impl AskedPartition {
    fn read<B: ByteBuf>(buf: &mut B) -> Result<AskedPartition> {
        let partition =
            AskedPartition { index: compact::i32(buf)?, acknowledgements: compact::array(buf, AcknowledgedBatch::read)? };
        compact::skip_tagged_fields(buf)?;
        Ok(partition)
    }
}

impl AcknowledgedBatch {
    fn read<B: ByteBuf>(buf: &mut B) -> Result<AcknowledgedBatch> {
        let (first, last) = (compact::i64(buf)?, compact::i64(buf)?);
        let types = compact::array(buf, compact::i8)?;
        compact::skip_tagged_fields(buf)?;
        Ok(AcknowledgedBatch { first, last, types })
    }
}

impl Decodable for ShareFetchRequest {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self> {
        let mut request = ShareFetchRequest {
            group_id: compact::nullable_string(buf)?,
            member_id: compact::nullable_string(buf)?,
            session_epoch: compact::i32(buf)?,
            max_wait_ms: compact::i32(buf)?,
            min_bytes: compact::i32(buf)?,
            max_bytes: compact::i32(buf)?,
            max_records: compact::i32(buf)?,
            batch_size: compact::i32(buf)?,
            ..ShareFetchRequest::default()
        };
        if version >= MODES {
            request.acquire_mode = compact::i8(buf)?;
            request.is_renewal = compact::boolean(buf)?;
        }
        request.topics = compact::array(buf, AskedTopic::read)?;
        request.forgotten = compact::array(buf, |buf| {
            let topic = (compact::uuid(buf)?, compact::array(buf, compact::i32)?);
            compact::skip_tagged_fields(buf)?;
            Ok(topic)
        })?;
        compact::skip_tagged_fields(buf)?;
        Ok(request)
    }
}

request!(ShareFetchRequest, like Theirs, up to LIKE, versions VERSIONS, key ApiKey::ShareFetch, answered by ShareFetchResponse);

/// The response of any version: all have one layout.
#[derive(Debug, Clone, Default)]
pub struct ShareFetchResponse {
    pub error_code: i16,
    pub error_message: Option<StrBytes>,
    pub lock_timeout_ms: i32,
    pub topics: Vec<SharedTopic>,
}

#[derive(Debug, Clone, Default)]
pub struct SharedTopic {
    pub id: Uuid,
    pub partitions: Vec<SharedPartition>,
}

/// What one partition gives.
#[derive(Debug, Clone, Default)]
pub struct SharedPartition {
    pub index: i32,
    pub error_code: i16,
    pub error_message: Option<StrBytes>,
    pub acknowledge_error_code: i16,
    pub acknowledge_error_message: Option<StrBytes>,
    /// Whole batches, behind one another.
    pub records: Vec<Span>,
    /// First offset, last offset, and how often they were delivered.
    pub acquired: Vec<(i64, i64, i16)>,
}

/// The whole frame: size prefix, header, body.
///
/// # Errors
/// A response of more than 2 GiB.
pub fn frame(correlation_id: i32, response: ShareFetchResponse) -> Result<Frame, DecodeError> {
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    let body: usize = partitions.map(|one| PARTITION_BYTES + RANGE_BYTES * one.acquired.len()).sum();
    let mut out = SpanWriter::new(correlation_id, 32 + 24 * response.topics.len() + body);
    // No tagged fields in the header; throttled for this long: never.
    out.now.put_u8(0);
    out.now.put_i32(0);
    out.now.put_i16(response.error_code);
    out.compact_string(response.error_message.as_deref());
    out.now.put_i32(response.lock_timeout_ms);
    out.compact_length(response.topics.len());
    for topic in response.topics {
        out.now.put_slice(topic.id.as_bytes());
        out.compact_length(topic.partitions.len());
        for partition in topic.partitions {
            put_partition(&mut out, partition);
        }
        out.now.put_u8(0);
    }
    // No endpoints of other nodes, no tagged fields.
    out.compact_length(0);
    out.now.put_u8(0);
    out.finish()
}

fn put_partition(out: &mut SpanWriter, partition: SharedPartition) {
    out.now.put_i32(partition.index);
    out.now.put_i16(partition.error_code);
    out.compact_string(partition.error_message.as_deref());
    out.now.put_i16(partition.acknowledge_error_code);
    out.compact_string(partition.acknowledge_error_message.as_deref());
    out.now.put_i32(NO_LEADER);
    out.now.put_i32(NO_LEADER);
    out.now.put_u8(0);
    out.compact_length(partition.records.iter().map(Span::len).sum());
    out.spans(partition.records);
    out.compact_length(partition.acquired.len());
    for (first, last, count) in partition.acquired {
        out.now.put_i64(first);
        out.now.put_i64(last);
        out.now.put_i16(count);
        out.now.put_u8(0);
    }
    out.now.put_u8(0);
}

framed!(ShareFetchResponse, versions VERSIONS, flexible from VERSIONS.min);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span;
    use crate::wire::frame::PREFIX_BYTES;
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::messages::share_fetch_request::{AcknowledgementBatch, FetchPartition, FetchTopic, ForgottenTopic};
    use kafka_protocol::messages::{GroupId, ResponseHeader, ShareFetchResponse as TheirResponse};
    use kafka_protocol::protocol::Encodable;

    fn theirs() -> Theirs {
        let batch = AcknowledgementBatch::default().with_first_offset(5).with_last_offset(6).with_acknowledge_types(vec![1, 3]);
        let partition = FetchPartition::default().with_partition_index(2).with_acknowledgement_batches(vec![batch]);
        let topic = FetchTopic::default().with_topic_id(Uuid::from_u128(7)).with_partitions(vec![partition]);
        let forgotten = ForgottenTopic::default().with_topic_id(Uuid::from_u128(8)).with_partitions(vec![1, 2]);
        Theirs::default()
            .with_group_id(Some(GroupId(StrBytes::from_static_str("g"))))
            .with_member_id(Some(StrBytes::from_static_str("m")))
            .with_share_session_epoch(3)
            .with_max_wait_ms(500)
            .with_min_bytes(1)
            .with_max_bytes(1000)
            .with_max_records(50)
            .with_batch_size(40)
            .with_topics(vec![topic])
            .with_forgotten_topics_data(vec![forgotten])
    }

    fn encoded(request: &Theirs) -> Bytes {
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, 1).expect("encodes");
        bytes.freeze()
    }

    #[test]
    fn every_cut_is_an_error() {
        let bytes = encoded(&theirs());
        for length in 0..bytes.len() {
            assert!(ShareFetchRequest::decode(&mut bytes.slice(..length), 1).is_err(), "{length} bytes decode");
        }
    }

    #[test]
    fn version_1_is_what_the_library_writes() {
        let mut bytes = encoded(&theirs());
        let ours = ShareFetchRequest::decode(&mut bytes, 1).expect("decodes");
        assert!(bytes.is_empty());
        let acknowledgements = vec![AcknowledgedBatch { first: 5, last: 6, types: vec![1, 3] }];
        let expected = ShareFetchRequest {
            group_id: Some(StrBytes::from_static_str("g")),
            member_id: Some(StrBytes::from_static_str("m")),
            session_epoch: 3,
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes: 1000,
            max_records: 50,
            batch_size: 40,
            acquire_mode: 0,
            is_renewal: false,
            topics: vec![AskedTopic { id: Uuid::from_u128(7), partitions: vec![AskedPartition { index: 2, acknowledgements }] }],
            forgotten: vec![(Uuid::from_u128(8), vec![1, 2])],
        };
        assert_eq!(ours, expected);
    }

    #[test]
    fn version_2_has_a_mode_and_renewals() {
        let bytes = encoded(&theirs());
        // Behind two strings of one character and six numbers.
        let at = 4 + 24;
        let later = [&bytes[..at], &[1, 1], &bytes[at..]].concat();
        let ours = ShareFetchRequest::decode(&mut Bytes::from(later), 2).expect("decodes");
        assert_eq!((ours.acquire_mode, ours.is_renewal, ours.batch_size), (1, true, 40));
        assert_eq!(ours.topics.len(), 1);
    }

    #[test]
    fn the_response_is_laid_out_as_the_library_reads_it() {
        let records = vec![Span::Memory(Bytes::from(vec![1; 3000])), Span::Memory(Bytes::from_static(b"abc"))];
        let good = SharedPartition { index: 1, records, acquired: vec![(0, 9, 1), (20, 29, 2)], ..SharedPartition::default() };
        let bad = SharedPartition {
            index: 2,
            error_code: 3,
            error_message: Some(StrBytes::from_static_str("no")),
            acknowledge_error_code: 121,
            acknowledge_error_message: Some(StrBytes::from_static_str("why")),
            ..SharedPartition::default()
        };
        let topic = SharedTopic { id: Uuid::from_u128(7), partitions: vec![good, bad] };
        let response = ShareFetchResponse { error_code: 0, error_message: None, lock_timeout_ms: 30_000, topics: vec![topic] };
        let frame = frame(99, response).expect("encodes");
        assert_eq!(frame.rest.len(), 3, "large records are not copied");
        let mut all = vec![Span::Memory(frame.head.clone())];
        all.extend(frame.rest.clone());
        let mut bytes = span::load(&all).expect("in memory");
        let size = bytes.split_to(PREFIX_BYTES);
        assert_eq!(i32::from_be_bytes(size[..].try_into().expect("four")), i32::try_from(bytes.len()).expect("small"));
        assert_eq!(ResponseHeader::decode(&mut bytes, 1).expect("a header").correlation_id, 99);
        let theirs = TheirResponse::decode(&mut bytes, 1).expect("decodes");
        assert!(bytes.is_empty());
        assert_eq!((theirs.error_code, theirs.acquisition_lock_timeout_ms), (0, 30_000));
        let partitions = &theirs.responses[0].partitions;
        assert_eq!(partitions[0].records.as_ref().map(Bytes::len), Some(3003));
        let range = &partitions[0].acquired_records[1];
        assert_eq!((range.first_offset, range.last_offset, range.delivery_count), (20, 29, 2));
        assert_eq!((partitions[1].error_code, partitions[1].acknowledge_error_code), (3, 121));
        assert_eq!(partitions[1].acknowledge_error_message.as_deref(), Some("why"));
    }
}
