//! DescribeShareGroupOffsets, versions 0-1, of which the protocol library knows version 0. Laid out as DescribeShareGroupOffsetsRequest.json
//! and DescribeShareGroupOffsetsResponse.json of Kafka 4.3 say; 1 (KIP-1226) adds the lag to the response.

use super::frame::Frame;
use super::message::DecodeError;
use super::requests::{framed, request};
use super::spans::SpanWriter;
use anyhow::Result;
use bytes::BufMut;
use kafka_protocol::messages::{ApiKey, DescribeShareGroupOffsetsRequest as Head};
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, StrBytes, VersionRange};
use uuid::Uuid;

/// The first version with the lag, and the version whose layout it has otherwise.
const LAG: i16 = 1;
const LIKE: i16 = 0;
const VERSIONS: VersionRange = VersionRange { min: 0, max: 1 };

/// The request of any version.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DescribeShareGroupOffsetsRequest(pub Head);

impl Decodable for DescribeShareGroupOffsetsRequest {
    fn decode<B: ByteBuf>(buf: &mut B, _version: i16) -> Result<Self> {
        Head::decode(buf, LIKE).map(DescribeShareGroupOffsetsRequest)
    }
}

request!(DescribeShareGroupOffsetsRequest, like Head, up to LIKE, versions VERSIONS, key ApiKey::DescribeShareGroupOffsets, answered by DescribeShareGroupOffsetsResponse);

/// The response of any version.
#[derive(Debug, Clone, Default)]
pub struct DescribeShareGroupOffsetsResponse {
    pub groups: Vec<DescribedGroup>,
}

#[derive(Debug, Clone, Default)]
pub struct DescribedGroup {
    pub id: StrBytes,
    pub topics: Vec<DescribedTopic>,
    pub error_code: i16,
    pub error_message: Option<StrBytes>,
}

#[derive(Debug, Clone, Default)]
pub struct DescribedTopic {
    pub name: StrBytes,
    pub id: Uuid,
    pub partitions: Vec<DescribedPartition>,
}

#[derive(Debug, Clone, Default)]
pub struct DescribedPartition {
    pub index: i32,
    pub start_offset: i64,
    pub leader_epoch: i32,
    pub lag: i64,
    pub error_code: i16,
    pub error_message: Option<StrBytes>,
}

/// The whole frame: size prefix, header, body.
///
/// # Errors
/// A response of more than 2 GiB.
pub fn frame(correlation_id: i32, response: DescribeShareGroupOffsetsResponse, version: i16) -> Result<Frame, DecodeError> {
    let mut out = SpanWriter::new(correlation_id, 256);
    // No tagged fields in the header; throttled for this long: never.
    out.now.put_u8(0);
    out.now.put_i32(0);
    out.compact_length(response.groups.len());
    for group in response.groups {
        out.compact_string(Some(&group.id));
        out.compact_length(group.topics.len());
        for topic in group.topics {
            out.compact_string(Some(&topic.name));
            out.now.put_slice(topic.id.as_bytes());
            out.compact_length(topic.partitions.len());
            for partition in topic.partitions {
                put_partition(&mut out, &partition, version);
            }
            out.now.put_u8(0);
        }
        out.now.put_i16(group.error_code);
        out.compact_string(group.error_message.as_deref());
        out.now.put_u8(0);
    }
    out.now.put_u8(0);
    out.finish()
}

fn put_partition(out: &mut SpanWriter, partition: &DescribedPartition, version: i16) {
    out.now.put_i32(partition.index);
    out.now.put_i64(partition.start_offset);
    out.now.put_i32(partition.leader_epoch);
    if version >= LAG {
        out.now.put_i64(partition.lag);
    }
    out.now.put_i16(partition.error_code);
    out.compact_string(partition.error_message.as_deref());
    out.now.put_u8(0);
}

framed!(DescribeShareGroupOffsetsResponse, versions VERSIONS, flexible from VERSIONS.min);

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{DescribeShareGroupOffsetsResponse as Theirs, ResponseHeader};

    #[test]
    fn the_response_is_laid_out_as_the_library_reads_it() {
        let partition = DescribedPartition { index: 1, start_offset: 5, lag: 7, error_code: 3, ..DescribedPartition::default() };
        let topic = DescribedTopic { name: StrBytes::from_static_str("t"), id: Uuid::from_u128(7), partitions: vec![partition] };
        let group =
            DescribedGroup { id: StrBytes::from_static_str("g"), topics: vec![topic], error_code: 69, error_message: None };
        let response = DescribeShareGroupOffsetsResponse { groups: vec![group] };
        let first = frame(9, response.clone(), 0).expect("encodes");
        let mut bytes = first.head.slice(4..);
        ResponseHeader::decode(&mut bytes, 1).expect("a header");
        let theirs = Theirs::decode(&mut bytes, 0).expect("decodes");
        assert!(bytes.is_empty());
        assert_eq!((theirs.groups[0].error_code, theirs.groups[0].group_id.as_str()), (69, "g"));
        let partition = &theirs.groups[0].topics[0].partitions[0];
        assert_eq!((partition.partition_index, partition.start_offset, partition.error_code), (1, 5, 3));
        assert_eq!(frame(9, response, 1).expect("encodes").len(), first.len() + 8, "version 1 has the lag");
    }
}
