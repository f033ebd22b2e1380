//! InitProducerId's request, versions 0-6. The protocol library reads 0 to 5; 6 (KIP-939) adds two flags about two-phase commits at the end.

use super::compact;
use super::requests::request;
use anyhow::Result;
use kafka_protocol::messages::{ApiKey, InitProducerIdRequest as Head, InitProducerIdResponse, ProducerId, TransactionalId};
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, VersionRange};

/// The first version with the flags, and the version whose layout it has otherwise.
const TWO_PHASE: i16 = 6;
const LIKE: i16 = 5;

/// The request of any version.
#[derive(Debug, Clone, PartialEq)]
pub struct InitProducerIdRequest {
    pub head: Head,
    /// The transaction may stay open as long as somebody else decides on it.
    pub enable_2_pc: bool,
    /// The open transaction is to be kept.
    pub keep_prepared_txn: bool,
}

impl Decodable for InitProducerIdRequest {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self> {
        if version < TWO_PHASE {
            let head = Head::decode(buf, version)?;
            return Ok(InitProducerIdRequest { head, enable_2_pc: false, keep_prepared_txn: false });
        }
        let head = Head::default()
            .with_transactional_id(compact::nullable_string(buf)?.map(TransactionalId))
            .with_transaction_timeout_ms(compact::i32(buf)?)
            .with_producer_id(ProducerId(compact::i64(buf)?))
            .with_producer_epoch(compact::i16(buf)?);
        let (enable_2_pc, keep_prepared_txn) = (compact::boolean(buf)?, compact::boolean(buf)?);
        compact::skip_tagged_fields(buf)?;
        Ok(InitProducerIdRequest { head, enable_2_pc, keep_prepared_txn })
    }
}

request!(InitProducerIdRequest, like Head, up to LIKE, versions VersionRange { min: 0, max: TWO_PHASE }, key ApiKey::InitProducerId, answered by InitProducerIdResponse);

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// Id "t", one second, no producer yet, two-phase, nothing kept.
    fn bytes() -> Vec<u8> {
        let mut bytes = vec![2, b't', 0, 0, 0x03, 0xe8];
        bytes.extend([0xff; 10]);
        bytes.extend([1, 0, 0]);
        bytes
    }

    #[test]
    fn version_6_has_two_flags_more() {
        let request = InitProducerIdRequest::decode(&mut Bytes::from(bytes()), 6).expect("decodes");
        assert_eq!(
            (request.head.transaction_timeout_ms, request.head.producer_id.0, request.head.producer_epoch),
            (1000, -1, -1)
        );
        assert_eq!(request.head.transactional_id.as_deref().map(|id| id.as_str()), Some("t"));
        assert!(request.enable_2_pc && !request.keep_prepared_txn);
    }

    #[test]
    fn every_cut_is_an_error() {
        let bytes = bytes();
        for length in 0..bytes.len() {
            let cut = InitProducerIdRequest::decode(&mut Bytes::copy_from_slice(&bytes[..length]), 6);
            assert!(cut.is_err(), "{length} bytes decode");
        }
    }
}
