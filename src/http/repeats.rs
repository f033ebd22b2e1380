//! `Idempotency-Key`: a request that is sent again is given the answer of the first.
//!
//! The key becomes the mark of the batch that the request appends (see `store::Mark`), so the record and the memory of it are one write. A record
//! without a key of its own goes to a partition that follows from the idempotency key, so that a repetition meets the first in the same one.
//! Where the topic got more partitions in between, the mark of the request's first record tells how many there were: that batch is appended
//! before the others of the request, so it is there if any of them is.

use super::errors::HttpError;
use crate::ids::{Timestamp, TopicId};
use crate::store::Mark;
use axum::http::HeaderMap;
use sha2::{Digest, Sha256};

/// The header's name.
pub const HEADER: &str = "idempotency-key";
const LENGTH_MAX: usize = 255;

/// The value of an `Idempotency-Key` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key that a request carries, if any.
    ///
    /// # Errors
    /// When it is empty, longer than 255 bytes, not visible ASCII, or given twice.
    pub fn of(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, HttpError> {
        let mut values = headers.get_all(HEADER).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let is_legal = |text: &&str| (1..=LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        let text = value.to_str().ok().filter(is_legal).filter(|_| values.next().is_none());
        let text = text.ok_or_else(|| {
            HttpError::invalid(format!(
                "the header Idempotency-Key must be there once, with 1 to {LENGTH_MAX} visible ASCII characters"
            ))
        })?;
        Ok(Some(IdempotencyKey(text.to_owned())))
    }

    /// What decides the partition of records without a key.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The id of the mark for the batch of the request that begins with its record number `ordinal`.
    #[must_use]
    pub fn mark_id(&self, topic: TopicId, ordinal: u32) -> u128 {
        let mut hash = Sha256::new();
        hash.update(topic.0.as_bytes());
        hash.update(ordinal.to_be_bytes());
        hash.update(self.bytes());
        let hash = hash.finalize();
        let mut id = [0u8; 16];
        id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        u128::from_be_bytes(id)
    }

    /// The mark itself, made now, for a topic of so many partitions.
    #[must_use]
    pub fn mark(&self, topic: TopicId, ordinal: u32, partitions: usize, now: Timestamp, keep_ms: i64) -> Mark {
        let note = u32::try_from(partitions).unwrap_or(u32::MAX);
        Mark { id: self.mark_id(topic, ordinal), made: now, expires: now.plus_ms(keep_ms), note }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use uuid::Uuid;

    #[test]
    fn keys_that_cannot_be_told_apart_are_refused() {
        for bad in ["", "with space", &"x".repeat(256)] {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_str(bad).expect("a header's value"));
            assert!(IdempotencyKey::of(&headers).is_err(), "{bad:?}");
        }
        let mut twice = HeaderMap::new();
        twice.append(HEADER, HeaderValue::from_static("a"));
        twice.append(HEADER, HeaderValue::from_static("b"));
        assert!(IdempotencyKey::of(&twice).is_err());
        assert_eq!(IdempotencyKey::of(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn marks_differ_by_topic_key_and_ordinal() {
        let (one, two) = (TopicId(Uuid::from_u128(1)), TopicId(Uuid::from_u128(2)));
        let (a, b) = (IdempotencyKey("a".to_owned()), IdempotencyKey("b".to_owned()));
        let ids = [a.mark_id(one, 0), a.mark_id(two, 0), b.mark_id(one, 0), a.mark_id(one, 1)];
        let distinct: std::collections::HashSet<u128> = ids.into_iter().collect();
        assert_eq!((distinct.len(), a.mark_id(one, 0)), (4, ids[0]));
    }
}
