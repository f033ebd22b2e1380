//! OffsetCommit's request, versions 2-10. The protocol library reads 2 to 9; 10 (KIP-848) names topics by id instead of name, and is
//! otherwise laid out as 9.

use super::compact;
use super::requests::request;
use anyhow::Result;
pub use kafka_protocol::messages::OffsetCommitRequest as Head;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::{ApiKey, GroupId, OffsetCommitResponse, TopicName};
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, VersionRange};
use uuid::Uuid;

/// The first version with topic ids, and the version whose layout it has otherwise.
const TOPIC_IDS: i16 = 10;
const LIKE: i16 = 9;

/// The request of any version.
#[derive(Debug, Clone, PartialEq)]
pub struct OffsetCommitRequest {
    /// Everything but the topics, which are taken out.
    pub head: Head,
    pub topics: Vec<Topic>,
}

/// A topic by name (up to 9) or by id (from 10); the other one is empty or nil.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    pub name: TopicName,
    pub id: Uuid,
    pub partitions: Vec<OffsetCommitRequestPartition>,
}

impl Decodable for OffsetCommitRequest {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self> {
        if version < TOPIC_IDS {
            let mut head = Head::decode(buf, version)?;
            let named = std::mem::take(&mut head.topics).into_iter();
            let topics = named.map(|topic| Topic { name: topic.name, id: Uuid::nil(), partitions: topic.partitions });
            return Ok(OffsetCommitRequest { topics: topics.collect(), head });
        }
        let head = Head::default()
            .with_group_id(GroupId(compact::string(buf)?))
            .with_generation_id_or_member_epoch(compact::i32(buf)?)
            .with_member_id(compact::string(buf)?)
            .with_group_instance_id(compact::nullable_string(buf)?);
        let topics = compact::array(buf, Topic::read)?;
        compact::skip_tagged_fields(buf)?;
        Ok(OffsetCommitRequest { head, topics })
    }
}

impl Topic {
    fn read<B: ByteBuf>(buf: &mut B) -> Result<Topic> {
        let id = compact::uuid(buf)?;
        let partitions = compact::array(buf, |buf| OffsetCommitRequestPartition::decode(buf, LIKE))?;
        compact::skip_tagged_fields(buf)?;
        Ok(Topic { name: TopicName::default(), id, partitions })
    }
}

request!(OffsetCommitRequest, like Head, up to LIKE, versions VersionRange { min: 2, max: TOPIC_IDS }, key ApiKey::OffsetCommit, answered by OffsetCommitResponse);

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
    use kafka_protocol::protocol::Encodable;

    /// Group "g", epoch 3, member "m", no instance, one topic with one partition: index 1, offset 5, leader epoch −1, metadata "x".
    fn bytes() -> Vec<u8> {
        let mut bytes = vec![2, b'g', 0, 0, 0, 3, 2, b'm', 0, 2];
        bytes.extend([7; 16]);
        bytes.extend([2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 2, b'x', 0, 0, 0]);
        bytes
    }

    #[test]
    fn version_10_names_topics_by_id() {
        let request = OffsetCommitRequest::decode(&mut Bytes::from(bytes()), 10).expect("decodes");
        assert_eq!((request.head.member_id.as_str(), request.head.generation_id_or_member_epoch), ("m", 3));
        assert_eq!(request.topics[0].id, Uuid::from_bytes([7; 16]));
        assert_eq!(request.topics[0].partitions[0].committed_offset, 5);
        assert_eq!(request.topics[0].partitions[0].committed_metadata.as_deref(), Some("x"));
    }

    #[test]
    fn version_9_keeps_names() {
        let topic =
            OffsetCommitRequestTopic::default().with_name(TopicName(kafka_protocol::protocol::StrBytes::from_static_str("t")));
        let mut written = BytesMut::new();
        Head::default().with_topics(vec![topic]).encode(&mut written, 9).expect("encodes");
        let request = OffsetCommitRequest::decode(&mut written.freeze(), 9).expect("decodes");
        assert_eq!((request.topics[0].name.as_str(), request.topics[0].id), ("t", Uuid::nil()));
    }

    #[test]
    fn a_count_that_the_bytes_do_not_bear_out_costs_nothing() {
        let huge = [2, b'g', 0, 0, 0, 3, 2, b'm', 0, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(OffsetCommitRequest::decode(&mut Bytes::copy_from_slice(&huge), 10).is_err());
    }

    #[test]
    fn every_cut_is_an_error() {
        let bytes = bytes();
        for length in 0..bytes.len() {
            let cut = OffsetCommitRequest::decode(&mut Bytes::copy_from_slice(&bytes[..length]), 10);
            assert!(cut.is_err(), "{length} bytes decode");
        }
    }
}
