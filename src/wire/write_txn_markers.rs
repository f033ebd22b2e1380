//! WriteTxnMarkers, versions 1-2. The protocol library knows 1; 2 (KIP-1228) adds the version of the transaction's protocol to each marker.
//! Responses of both are laid out alike.

use super::compact;
use super::requests::request;
use anyhow::Result;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{ApiKey, ProducerId, WriteTxnMarkersRequest as Named, WriteTxnMarkersResponse as Answer};
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, VersionRange};

/// The first version with the protocol's version, and the version whose layout it has otherwise.
const TRANSACTION_VERSION: i16 = 2;
const LIKE: i16 = 1;
const VERSIONS: VersionRange = VersionRange { min: 1, max: TRANSACTION_VERSION };

/// The request of any version.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteTxnMarkersRequest {
    /// Each with the version of its transaction's protocol; 0 where the request does not say.
    pub markers: Vec<(WritableTxnMarker, i8)>,
}

/// The response, in the same layout whatever the version.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WriteTxnMarkersResponse(pub Answer);

impl Decodable for WriteTxnMarkersRequest {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self> {
        if version < TRANSACTION_VERSION {
            let markers = Named::decode(buf, version)?.markers;
            return Ok(WriteTxnMarkersRequest { markers: markers.into_iter().map(|marker| (marker, 0)).collect() });
        }
        let markers = compact::array(buf, marker)?;
        compact::skip_tagged_fields(buf)?;
        Ok(WriteTxnMarkersRequest { markers })
    }
}

fn marker<B: ByteBuf>(buf: &mut B) -> Result<(WritableTxnMarker, i8)> {
    let marker = WritableTxnMarker::default()
        .with_producer_id(ProducerId(compact::i64(buf)?))
        .with_producer_epoch(compact::i16(buf)?)
        .with_transaction_result(compact::boolean(buf)?)
        .with_topics(compact::array(buf, |buf| WritableTxnMarkerTopic::decode(buf, LIKE))?)
        .with_coordinator_epoch(compact::i32(buf)?);
    let version = compact::i8(buf)?;
    compact::skip_tagged_fields(buf)?;
    Ok((marker, version))
}

request!(WriteTxnMarkersRequest, like Named, up to LIKE, versions VERSIONS, key ApiKey::WriteTxnMarkers, answered by WriteTxnMarkersResponse);

impl Encodable for WriteTxnMarkersResponse {
    fn encode<B: ByteBufMut>(&self, buf: &mut B, _version: i16) -> Result<()> {
        self.0.encode(buf, LIKE)
    }

    fn compute_size(&self, _version: i16) -> Result<usize> {
        self.0.compute_size(LIKE)
    }
}

/// [`Request`](kafka_protocol::protocol::Request) asks for it; a server reads no responses.
impl Decodable for WriteTxnMarkersResponse {
    fn decode<B: ByteBuf>(buf: &mut B, _version: i16) -> Result<Self> {
        Answer::decode(buf, LIKE).map(WriteTxnMarkersResponse)
    }
}

impl Message for WriteTxnMarkersResponse {
    const VERSIONS: VersionRange = VERSIONS;
    const DEPRECATED_VERSIONS: Option<VersionRange> = None;
}

impl HeaderVersion for WriteTxnMarkersResponse {
    fn header_version(version: i16) -> i16 {
        Answer::header_version(version.min(LIKE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// One marker: producer 7, epoch 3, abort, topic "t" with partition 1, coordinator epoch 5, protocol 2.
    fn bytes() -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 3, 0];
        bytes.extend([2, 2, b't', 2, 0, 0, 0, 1, 0]);
        bytes.extend([0, 0, 0, 5, 2, 0, 0]);
        bytes
    }

    #[test]
    fn version_2_names_the_protocol_of_each_marker() {
        let request = WriteTxnMarkersRequest::decode(&mut Bytes::from(bytes()), 2).expect("decodes");
        let (marker, version) = &request.markers[0];
        assert_eq!((marker.producer_id.0, marker.producer_epoch, marker.coordinator_epoch, *version), (7, 3, 5, 2));
        assert_eq!((marker.topics[0].name.as_str(), marker.topics[0].partition_indexes.as_slice()), ("t", [1].as_slice()));
    }

    #[test]
    fn every_cut_is_an_error() {
        let bytes = bytes();
        for length in 0..bytes.len() {
            let cut = WriteTxnMarkersRequest::decode(&mut Bytes::copy_from_slice(&bytes[..length]), 2);
            assert!(cut.is_err(), "{length} bytes decode");
        }
    }
}
