//! The client whose metrics come over a connection (KIP-714): when it asked what to send, when it sent, and whether it has said
//! goodbye.
//!
//! Nobody has subscribed to any metrics here, so every client is told the same: none, every five minutes. What a client sends all
//! the same is measured and dropped.
//!
//! Owner: the connection, which has one, under a lock for microseconds. A client that takes another id is a new one. Source:
//! ClientMetricsManager and ClientMetricsInstance, which forget a client with its connection too.

use crate::ids::Timestamp;
use std::ops::RangeInclusive;
use uuid::Uuid;

/// How often a client sends metrics when no subscription says otherwise (ClientMetricsConfigs.INTERVAL_MS_DEFAULT).
pub const PUSH_INTERVAL_MS: i32 = 300_000;
/// The most bytes of metrics in one request (`telemetry.max.bytes`).
pub const METRICS_BYTES_MAX: i32 = 1_048_576;
/// What metrics may be compressed with, the best first (CompressionType): zstd, lz4, gzip, snappy. 0, nothing, may be too.
pub const COMPRESSIONS: [i8; 4] = [4, 3, 1, 2];
const COMPRESSION_CODES: RangeInclusive<i8> = 0..=4;
/// Which metrics, and how often, as the subscription's id is made of it (ClientMetricsManager.computeSubscriptionId).
const SUBSCRIBED: &[u8] = b"[]300000";

/// Why a client's request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TelemetryError {
    /// No client has this id.
    ReservedId,
    /// The client has said that it will not send any more.
    Terminated,
    /// It is not time yet.
    TooEarly,
    UnknownSubscription,
    UnsupportedCompression,
    TooLarge,
}

/// What a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Push {
    pub subscription_id: i32,
    /// Whether it is the last one.
    pub is_terminating: bool,
    pub compression: i8,
    pub metrics_bytes: usize,
}

/// See the file's header.
#[derive(Debug, Default)]
pub struct ClientInstance {
    id: Uuid,
    asked: Option<Timestamp>,
    pushed: Option<Timestamp>,
    is_terminating: bool,
    /// Why the last push was refused, until the client has asked again.
    refused: Option<TelemetryError>,
}

impl ClientInstance {
    /// The client `id`; one that has just come, if it was another one until now.
    pub fn of(&mut self, id: Uuid) -> &mut ClientInstance {
        if self.id != id {
            *self = ClientInstance { id, ..ClientInstance::default() };
        }
        self
    }

    /// The client asks what to send.
    ///
    /// # Errors
    /// [`TelemetryError::TooEarly`]: an interval has not passed, and nothing else gives it reason to ask.
    pub fn ask(&mut self, now: Timestamp) -> Result<(), TelemetryError> {
        if has_passed(self.asked.max(self.pushed), now) {
            self.asked = Some(now);
        } else if !matches!(self.refused, Some(TelemetryError::UnknownSubscription | TelemetryError::UnsupportedCompression)) {
            return Err(TelemetryError::TooEarly);
        }
        self.refused = None;
        Ok(())
    }

    /// The client sends metrics.
    ///
    /// # Errors
    /// Any other [`TelemetryError`] as well; whoever asks again learns what to do better.
    pub fn push(&mut self, push: &Push, now: Timestamp) -> Result<(), TelemetryError> {
        let judged = self.judge(push, now);
        self.is_terminating = push.is_terminating;
        self.refused = judged.err();
        judged
    }

    fn judge(&mut self, push: &Push, now: Timestamp) -> Result<(), TelemetryError> {
        if is_reserved(self.id) {
            return Err(TelemetryError::ReservedId);
        }
        if self.is_terminating {
            return Err(TelemetryError::Terminated);
        }
        // Clients spread their pushes, so the first one after they have asked may come at any time.
        if self.asked > self.pushed || has_passed(self.pushed, now) {
            self.pushed = Some(now);
        } else if !push.is_terminating {
            return Err(TelemetryError::TooEarly);
        }
        if push.subscription_id != subscription_id(self.id) {
            return Err(TelemetryError::UnknownSubscription);
        }
        if !COMPRESSION_CODES.contains(&push.compression) {
            return Err(TelemetryError::UnsupportedCompression);
        }
        if i32::try_from(push.metrics_bytes).is_ok_and(|bytes| bytes <= METRICS_BYTES_MAX) {
            Ok(())
        } else {
            Err(TelemetryError::TooLarge)
        }
    }
}

/// Whether an interval has passed since `last`.
fn has_passed(last: Option<Timestamp>, now: Timestamp) -> bool {
    last.is_none_or(|last| now.ms_since(last) >= i64::from(PUSH_INTERVAL_MS))
}

/// Uuid.RESERVED: none, and the id of the metadata's topic.
fn is_reserved(id: Uuid) -> bool {
    id.as_u128() <= 1
}

/// The id of the subscription of the client `id`: what it is about, and whose it is.
#[must_use]
pub fn subscription_id(id: Uuid) -> i32 {
    let (words, _) = id.as_bytes().as_chunks::<4>();
    let mixed = words.iter().fold(crc32c::crc32c(SUBSCRIBED), |mixed, word| mixed ^ u32::from_be_bytes(*word));
    mixed.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
    const INTERVAL: i64 = PUSH_INTERVAL_MS as i64;

    fn good() -> Push {
        Push { subscription_id: subscription_id(CLIENT), is_terminating: false, compression: 4, metrics_bytes: 100 }
    }

    fn asked_at(now: i64) -> ClientInstance {
        let mut client = ClientInstance::default();
        assert_eq!(client.of(CLIENT).ask(Timestamp(now)), Ok(()));
        client
    }

    #[test]
    fn what_is_pushed_must_be_what_was_subscribed_to() {
        for (push, error) in [
            (Push { subscription_id: good().subscription_id + 1, ..good() }, TelemetryError::UnknownSubscription),
            (Push { compression: 5, ..good() }, TelemetryError::UnsupportedCompression),
            (Push { compression: -1, ..good() }, TelemetryError::UnsupportedCompression),
            (Push { metrics_bytes: METRICS_BYTES_MAX as usize + 1, ..good() }, TelemetryError::TooLarge),
        ] {
            let mut client = asked_at(0);
            assert_eq!(client.push(&push, Timestamp(1)), Err(error));
            let may_ask = error != TelemetryError::TooLarge;
            assert_eq!(client.ask(Timestamp(2)).is_ok(), may_ask, "whoever can learn something may ask again: {error:?}");
            assert_eq!(client.push(&good(), Timestamp(3)), Err(TelemetryError::TooEarly));
        }
        for reserved in [0, 1] {
            let mut client = ClientInstance::default();
            assert_eq!(client.of(Uuid::from_u128(reserved)).push(&good(), Timestamp(0)), Err(TelemetryError::ReservedId));
        }
        assert_eq!(asked_at(0).push(&Push { metrics_bytes: METRICS_BYTES_MAX as usize, ..good() }, Timestamp(0)), Ok(()));
    }

    #[test]
    fn an_interval_lies_between_requests() {
        let mut client = asked_at(1000);
        assert_eq!(client.ask(Timestamp(1000 + INTERVAL - 1)), Err(TelemetryError::TooEarly));
        assert_eq!(client.push(&good(), Timestamp(1001)), Ok(()), "the first push after it asked may come at once");
        assert_eq!(client.push(&good(), Timestamp(1000 + INTERVAL)), Err(TelemetryError::TooEarly));
        assert_eq!(client.push(&good(), Timestamp(1001 + INTERVAL)), Ok(()));
        assert_eq!(client.ask(Timestamp(1000 + 2 * INTERVAL)), Err(TelemetryError::TooEarly));
        assert_eq!(client.ask(Timestamp(1001 + 2 * INTERVAL)), Ok(()));
        assert_eq!(client.of(Uuid::from_u128(7)).ask(Timestamp(1002 + 2 * INTERVAL)), Ok(()), "another client");
    }

    #[test]
    fn the_last_push_may_come_early_and_is_the_last() {
        let mut client = asked_at(0);
        assert_eq!(client.push(&good(), Timestamp(1)), Ok(()));
        assert_eq!(client.push(&Push { is_terminating: true, ..good() }, Timestamp(2)), Ok(()));
        assert_eq!(client.push(&good(), Timestamp(2 * INTERVAL)), Err(TelemetryError::Terminated));
    }

    #[test]
    fn subscriptions_have_the_ids_that_kafka_gives_them() {
        // The words of this id cancel each other out, so what is left is the checksum of "[]300000".
        let id = Uuid::from_u128(0x0000_0005_0000_0005_0000_0007_0000_0007);
        assert_eq!(subscription_id(id), crc32c::crc32c(b"[]300000").cast_signed());
        assert_eq!(subscription_id(Uuid::from_u128(6)), subscription_id(id) ^ 6);
    }
}
