//! The features that clients are told of, and the levels at which they stand (KIP-584).
//!
//! A level is a setting: it is given when the server starts and does not change while it runs.

use crate::config::KafkaSettings;
use std::ops::RangeInclusive;

/// MetadataVersion.IBP_4_3_IV0, of the Kafka whose protocol this is.
const METADATA_VERSION: i16 = 30;

/// One feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    pub name: &'static str,
    /// The setting that gives its level; `None`: it comes with the server.
    pub setting: Option<&'static str>,
    /// The levels that we have. Those that do not begin at 0 are always finalised.
    pub levels: RangeInclusive<i16>,
    /// The one at which it stands; 0: not finalised.
    pub level: i16,
}

/// Every feature.
#[must_use]
pub fn all(kafka: &KafkaSettings) -> [Feature; 5] {
    [
        // Without and with the consumer protocol (KIP-848).
        Feature {
            name: "group.version",
            setting: Some("feature.group.version"),
            levels: 0..=1,
            level: kafka.feature_group_version,
        },
        // Of a quorum of controllers, which is not here; but it is how tools learn which Kafka they speak with, and so what they may ask
        // for (kafka-ui). MetadataVersion: from 3.3-IV3, the first of KRaft, to 4.3-IV0.
        Feature { name: "metadata.version", setting: None, levels: 7..=METADATA_VERSION, level: METADATA_VERSION },
        // Without and with share groups (KIP-932); Kafka 4.2 and later finalise level 1.
        Feature {
            name: "share.version",
            setting: Some("feature.share.version"),
            levels: 0..=1,
            level: kafka.feature_share_version,
        },
        // Without and with streams groups (KIP-1071).
        Feature {
            name: "streams.version",
            setting: Some("feature.streams.version"),
            levels: 0..=1,
            level: kafka.feature_streams_version,
        },
        // Level 2 switches clients to the second protocol of transactions (KIP-890).
        Feature {
            name: "transaction.version",
            setting: Some("feature.transaction.version"),
            levels: 0..=2,
            level: kafka.feature_transaction_version,
        },
    ]
}
