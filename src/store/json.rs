//! Metadata values as JSON: how the catalog and the schema registry keep their records.

use super::{MetaChange, StoreError};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Decodes a stored value; `key` is for the message.
///
/// # Errors
/// [`StoreError::Damaged`] when it is not the JSON of a `T`.
pub fn read<T: DeserializeOwned>(key: &str, value: &Bytes) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|error| StoreError::Damaged(format!("metadata key {key}: {error}")))
}

/// The change that sets `key` to `value`: a record of strings, numbers and maps with string keys.
///
/// # Panics
/// When `value` has no JSON form.
pub fn put(key: String, value: &impl Serialize) -> MetaChange {
    let json = serde_json::to_vec(value).expect("strings, numbers and maps with string keys always have a JSON form");
    MetaChange { key, value: Some(Bytes::from(json)) }
}
