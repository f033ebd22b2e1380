//! Typed messages out of request bodies and into response frames.

use super::metered::Metered;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ResponseHeader;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};
use thiserror::Error;

/// The peer sent something that is not the message that its header announces.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct DecodeError(pub(super) String);

impl From<anyhow::Error> for DecodeError {
    fn from(error: anyhow::Error) -> DecodeError {
        DecodeError(format!("{error:#}"))
    }
}

/// Decodes the body of a request of `version`. `body`: what follows the header; slices of it stay shared (record batches).
///
/// Array counts are taken from the wire by the generated decoder. That is harmless under jemalloc, which maps without
/// reserving (see `cli/memory.rs`, which refuses to start where this does not hold); what is really built is bounded by [`Metered`].
/// Both are held to by the hostile-frame tests.
///
/// # Errors
/// When the bytes are not such a message.
pub fn decode<M: Decodable>(body: Bytes, version: i16) -> Result<M, DecodeError> {
    let mut body = Metered::new(body);
    // Bytes behind the message are ignored, as Kafka ignores them (RequestContext.parseRequest).
    M::decode(&mut body, version).map_err(|error| match body.is_exhausted() {
        true => DecodeError("the request holds more small elements than its size allows for".to_owned()),
        false => DecodeError::from(error),
    })
}

/// Encodes a whole response frame: size prefix, header, body.
///
/// # Errors
/// When the response sets a field that `version` does not have: a bug of ours, found by the test that encodes a full answer of
/// every version.
pub fn encode<M: Encodable + HeaderVersion>(correlation_id: i32, response: &M, version: i16) -> Result<Bytes, DecodeError> {
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    let header_version = M::header_version(version);
    let size = header.compute_size(header_version)? + response.compute_size(version)?;
    let mut frame = BytesMut::with_capacity(size + super::frame::PREFIX_BYTES);
    frame.put_i32(i32::try_from(size).map_err(|_| DecodeError(format!("a response of {size} bytes")))?);
    header.encode(&mut frame, header_version)?;
    response.encode(&mut frame, version)?;
    Ok(frame.freeze())
}
