//! Request headers. The first eight bytes (key, version, correlation id) have one form in every version, so they can be
//! read before anything is known about the request (KIP-482 added tagged fields behind them).

use super::message::DecodeError;
use bytes::{Buf, Bytes};
use kafka_protocol::messages::RequestHeader;
use kafka_protocol::protocol::Decodable;

/// What every request starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
}

impl Prefix {
    /// Reads the prefix without consuming it; `None` when the frame is shorter.
    #[must_use]
    pub fn peek(frame: &Bytes) -> Option<Prefix> {
        let mut head = frame.get(..8)?;
        Some(Prefix { api_key: head.get_i16(), api_version: head.get_i16(), correlation_id: head.get_i32() })
    }
}

/// Consumes the header of `header_version` from `frame` and answers the client id, if the client sent one.
///
/// # Errors
/// When the bytes are no such header.
pub fn read_client_id(frame: &mut Bytes, header_version: i16) -> Result<Option<String>, DecodeError> {
    let header = RequestHeader::decode(frame, header_version).map_err(DecodeError::from)?;
    Ok(header.client_id.map(|id| id.to_string()))
}
