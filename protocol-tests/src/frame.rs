//! Request frames out of typed messages, typed messages out of response frames.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{GroupId, RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

/// A string as the messages hold it.
#[must_use]
pub fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

/// A topic's name as the messages hold it.
#[must_use]
pub fn topic_name(value: &str) -> TopicName {
    TopicName(text(value))
}

/// A group's id as the messages hold it.
#[must_use]
pub fn group_id(value: &str) -> GroupId {
    GroupId(text(value))
}

/// A whole request frame: size prefix, header, body.
///
/// # Panics
/// When the request sets a field that `version` lacks: a bug of the test.
#[must_use]
pub fn request<R: Request>(correlation_id: i32, version: i16, request: &R) -> Bytes {
    let mut body = BytesMut::new();
    request
        .encode(&mut body, version)
        .unwrap_or_else(|error| panic!("key {} version {version} does not encode: {error}", R::KEY));
    with_header(R::KEY, version, R::header_version(version), correlation_id, &body)
}

/// A request frame around bytes that need not be a valid body.
///
/// # Panics
/// When the header cannot be encoded, which it always can.
#[must_use]
pub fn with_header(key: i16, version: i16, header_version: i16, correlation_id: i32, body: &[u8]) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(key)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("protocol-tests")));
    let mut payload = BytesMut::new();
    header.encode(&mut payload, header_version).expect("a request header encodes");
    payload.put_slice(body);
    sized(&payload)
}

/// `payload` behind its size.
///
/// # Panics
/// When `payload` is larger than a frame can be.
#[must_use]
pub fn sized(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + 4);
    frame.put_i32(i32::try_from(payload.len()).expect("a frame's size fits 31 bits"));
    frame.put_slice(payload);
    frame.freeze()
}

/// Decodes a response frame (without its size prefix) of `R` at `version`: correlation id and response.
///
/// # Errors
/// When the bytes are no such response, or when bytes are left behind it.
pub fn response<R: Request>(mut frame: Bytes, version: i16) -> Result<(i32, R::Response), String> {
    let whole = frame.clone();
    let header = ResponseHeader::decode(&mut frame, <R::Response as HeaderVersion>::header_version(version))
        .map_err(|error| format!("key {} version {version}: response header: {error}; bytes {whole:02x?}", R::KEY))?;
    let response = R::Response::decode(&mut frame, version)
        .map_err(|error| format!("key {} version {version}: response: {error}; bytes {whole:02x?}", R::KEY))?;
    if !frame.is_empty() {
        return Err(format!("key {} version {version}: {} bytes behind the response; bytes {whole:02x?}", R::KEY, frame.len()));
    }
    Ok((header.correlation_id, response))
}
