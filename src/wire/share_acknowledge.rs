//! ShareAcknowledge, versions 1-2, of which the protocol library knows version 1. Laid out as ShareAcknowledgeRequest.json and
//! ShareAcknowledgeResponse.json of Kafka 4.3 say.

use super::compact;
use super::frame::Frame;
use super::message::DecodeError;
use super::requests::{framed, request};
use super::share_fetch::AskedTopic;
use super::spans::SpanWriter;
use anyhow::Result;
use bytes::BufMut;
use kafka_protocol::messages::{ApiKey, ShareAcknowledgeRequest as Theirs};
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, StrBytes, VersionRange};
use uuid::Uuid;

/// The first version with renewals (KIP-1222).
const RENEWALS: i16 = 2;
const LIKE: i16 = 1;
const VERSIONS: VersionRange = VersionRange { min: 1, max: 2 };
/// "Unknown": with one node no partition has another leader.
const NO_LEADER: i32 = -1;

/// The request of any version.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ShareAcknowledgeRequest {
    pub group_id: Option<StrBytes>,
    pub member_id: Option<StrBytes>,
    pub session_epoch: i32,
    /// Some acknowledgement asks for more time.
    pub is_renewal: bool,
    pub topics: Vec<AskedTopic>,
}

impl Decodable for ShareAcknowledgeRequest {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self> {
        let (group_id, member_id) = (compact::nullable_string(buf)?, compact::nullable_string(buf)?);
        let session_epoch = compact::i32(buf)?;
        let is_renewal = version >= RENEWALS && compact::boolean(buf)?;
        let topics = compact::array(buf, AskedTopic::read)?;
        compact::skip_tagged_fields(buf)?;
        Ok(ShareAcknowledgeRequest { group_id, member_id, session_epoch, is_renewal, topics })
    }
}

request!(ShareAcknowledgeRequest, like Theirs, up to LIKE, versions VERSIONS, key ApiKey::ShareAcknowledge, answered by ShareAcknowledgeResponse);

/// The response of any version.
#[derive(Debug, Clone, Default)]
pub struct ShareAcknowledgeResponse {
    pub error_code: i16,
    pub error_message: Option<StrBytes>,
    pub lock_timeout_ms: i32,
    /// By topic id.
    pub topics: Vec<(Uuid, Vec<AcknowledgedPartition>)>,
}

#[derive(Debug, Clone, Default)]
pub struct AcknowledgedPartition {
    pub index: i32,
    pub error_code: i16,
    pub error_message: Option<StrBytes>,
}

/// The whole frame: size prefix, header, body.
///
/// # Errors
/// A response of more than 2 GiB.
pub fn frame(correlation_id: i32, response: ShareAcknowledgeResponse, version: i16) -> Result<Frame, DecodeError> {
    let mut out = SpanWriter::new(correlation_id, 256);
    // No tagged fields in the header; throttled for this long: never.
    out.now.put_u8(0);
    out.now.put_i32(0);
    out.now.put_i16(response.error_code);
    out.compact_string(response.error_message.as_deref());
    if version >= RENEWALS {
        out.now.put_i32(response.lock_timeout_ms);
    }
    out.compact_length(response.topics.len());
    for (id, partitions) in response.topics {
        out.now.put_slice(id.as_bytes());
        out.compact_length(partitions.len());
        for partition in partitions {
            out.now.put_i32(partition.index);
            out.now.put_i16(partition.error_code);
            out.compact_string(partition.error_message.as_deref());
            out.now.put_i32(NO_LEADER);
            out.now.put_i32(NO_LEADER);
            out.now.put_u8(0);
            out.now.put_u8(0);
        }
        out.now.put_u8(0);
    }
    // No endpoints of other nodes, no tagged fields.
    out.compact_length(0);
    out.now.put_u8(0);
    out.finish()
}

framed!(ShareAcknowledgeResponse, versions VERSIONS, flexible from VERSIONS.min);

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::messages::share_acknowledge_request::{AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch};
    use kafka_protocol::messages::{GroupId, ResponseHeader, ShareAcknowledgeResponse as TheirResponse};
    use kafka_protocol::protocol::Encodable;

    fn encoded() -> Bytes {
        let batch = AcknowledgementBatch::default().with_first_offset(5).with_last_offset(6).with_acknowledge_types(vec![2]);
        let partition = AcknowledgePartition::default().with_partition_index(2).with_acknowledgement_batches(vec![batch]);
        let topic = AcknowledgeTopic::default().with_topic_id(Uuid::from_u128(7)).with_partitions(vec![partition]);
        let request = Theirs::default()
            .with_group_id(Some(GroupId(StrBytes::from_static_str("g"))))
            .with_member_id(Some(StrBytes::from_static_str("m")))
            .with_share_session_epoch(3)
            .with_topics(vec![topic]);
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, 1).expect("encodes");
        bytes.freeze()
    }

    #[test]
    fn every_cut_is_an_error() {
        let bytes = encoded();
        for length in 0..bytes.len() {
            assert!(ShareAcknowledgeRequest::decode(&mut bytes.slice(..length), 1).is_err(), "{length} bytes decode");
        }
    }

    #[test]
    fn version_2_may_renew() {
        let mut bytes = encoded();
        let first = ShareAcknowledgeRequest::decode(&mut bytes.clone(), 1).expect("decodes");
        assert_eq!((first.session_epoch, first.is_renewal), (3, false));
        // Behind two strings of one character and the epoch.
        let head = bytes.split_to(8);
        let later = [&head[..], &[1], &bytes[..]].concat();
        let second = ShareAcknowledgeRequest::decode(&mut Bytes::from(later), 2).expect("decodes");
        assert_eq!(second, ShareAcknowledgeRequest { is_renewal: true, ..first });
        let batch = &second.topics[0].partitions[0].acknowledgements[0];
        assert_eq!((batch.first, batch.last, batch.types.as_slice()), (5, 6, &[2][..]));
    }

    #[test]
    fn the_response_is_laid_out_as_the_library_reads_it() {
        let message = Some(StrBytes::from_static_str("why"));
        let partition = AcknowledgedPartition { index: 1, error_code: 121, error_message: message };
        let response = ShareAcknowledgeResponse {
            lock_timeout_ms: 9,
            topics: vec![(Uuid::from_u128(7), vec![partition])],
            ..Default::default()
        };
        let one = frame(99, response.clone(), 1).expect("encodes");
        let mut bytes = one.head.slice(4..);
        assert_eq!(ResponseHeader::decode(&mut bytes, 1).expect("a header").correlation_id, 99);
        let theirs = TheirResponse::decode(&mut bytes, 1).expect("decodes");
        assert!(bytes.is_empty());
        assert_eq!(theirs.responses[0].partitions[0].error_message.as_deref(), Some("why"));
        assert_eq!(theirs.responses[0].partitions[0].current_leader.leader_id, -1);
        let two = frame(99, response, 2).expect("encodes");
        assert_eq!(two.len(), one.len() + 4, "version 2 says for how long records are locked");
    }
}
