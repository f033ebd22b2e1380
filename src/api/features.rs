//! The features that clients are told of, and the levels at which they stand (KIP-584).
//!
//! A level is a setting: it is given when the server starts and does not change while it runs.

use crate::config::KafkaSettings;
use std::ops::RangeInclusive;

/// One feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    pub name: &'static str,
    /// The setting that gives its level.
    pub setting: &'static str,
    /// The levels that we have.
    pub levels: RangeInclusive<i16>,
    /// The one at which it stands; 0: not finalised.
    pub level: i16,
}

/// Every feature.
#[must_use]
pub fn all(kafka: &KafkaSettings) -> [Feature; 4] {
    [
        // Without and with the consumer protocol (KIP-848).
        Feature { name: "group.version", setting: "feature.group.version", levels: 0..=1, level: kafka.feature_group_version },
        // Without and with share groups (KIP-932); Kafka 4.2 and later finalise level 1.
        Feature { name: "share.version", setting: "feature.share.version", levels: 0..=1, level: kafka.feature_share_version },
        // Without and with streams groups (KIP-1071).
        Feature {
            name: "streams.version",
            setting: "feature.streams.version",
            levels: 0..=1,
            level: kafka.feature_streams_version,
        },
        // Level 2 switches clients to the second protocol of transactions (KIP-890).
        Feature {
            name: "transaction.version",
            setting: "feature.transaction.version",
            levels: 0..=2,
            level: kafka.feature_transaction_version,
        },
    ]
}
