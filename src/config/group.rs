//! Settings of single groups (KIP-848, KIP-932, KIP-1071): what they come to, and whether they fit together and the broker's bounds.
//!
//! Most default to the broker property `group.` + name, whose `.min.` and `.max.` siblings bound them; [`properties::GROUP`] has each by
//! itself. Source: GroupConfig of Kafka 4.3; `check` answers its messages.

use super::duration;
use super::kafka::KafkaSettings;
use super::properties::{self, Property};
use super::share::Bounded;
use std::collections::BTreeMap;

const SESSION: &str = "consumer.session.timeout.ms";
const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";
const ASSIGNMENT: &str = "consumer.assignment.interval.ms";

/// The settings that consumer groups follow here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerGroupSettings {
    pub session_timeout_ms: i32,
    pub heartbeat_interval_ms: i32,
    pub assignment_interval_ms: i32,
}

/// The settings of a share group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareGroupSettings {
    pub session_timeout_ms: i32,
    pub heartbeat_interval_ms: i32,
    pub assignment_interval_ms: i32,
    /// For how long a record is locked for whom it was delivered to.
    pub record_lock_duration_ms: i32,
    /// How often a record is delivered before it is given up.
    pub delivery_count_limit: i32,
    /// How many records of one partition may be under way.
    pub partition_max_record_locks: i32,
    pub auto_offset_reset: ShareOffsetReset,
    /// `share.isolation.level`: whether only records of committed transactions are delivered, besides those of none.
    pub is_read_committed: bool,
    /// Whether a member may ask for more time with a record.
    pub renew_acknowledge_enable: bool,
}

/// Where a share group starts in a partition of which it has no offset (ShareGroupAutoOffsetResetStrategy).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareOffsetReset {
    Earliest,
    Latest,
    /// At the first record that is not older than so many milliseconds.
    ByDuration {
        ms: i64,
    },
}

impl ShareOffsetReset {
    /// `earliest`, `latest`, or `by_duration:` and a duration that is not negative.
    #[must_use]
    pub fn read(text: &str) -> Option<ShareOffsetReset> {
        match text.trim() {
            "earliest" => Some(ShareOffsetReset::Earliest),
            "latest" => Some(ShareOffsetReset::Latest),
            other => {
                let ms = duration::parse_ms(other.strip_prefix("by_duration:")?).filter(|ms| *ms >= 0)?;
                Some(ShareOffsetReset::ByDuration { ms })
            }
        }
    }
}

/// The settings that streams groups follow here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamsGroupSettings {
    pub session_timeout_ms: i32,
    pub heartbeat_interval_ms: i32,
    pub assignment_interval_ms: i32,
    pub initial_rebalance_delay_ms: i32,
    pub standby_replicas: i32,
}

/// What a setting is for groups that do not set it.
fn default_of<'a>(property: &'static Property, kafka: &'a KafkaSettings) -> Option<&'a str> {
    kafka.value(&format!("group.{}", property.name)).or(property.default)
}

/// The settings of a consumer group. `own`: its overrides; `brokers`: what was set while the broker runs, what counts first in front. What
/// an override of the group says is held within the broker's bounds, which may have changed since it was set (GroupConfig.evaluate).
#[must_use]
pub fn consumer(
    own: Option<&BTreeMap<String, String>>,
    brokers: &[&BTreeMap<String, String>],
    kafka: &KafkaSettings,
) -> ConsumerGroupSettings {
    let value =
        |name: &str, default: i32, least: i32, most: i32| evaluate(own, brokers, name, Bounded { least, value: default, most });
    ConsumerGroupSettings {
        session_timeout_ms: value(
            SESSION,
            kafka.group_consumer_session_timeout_ms,
            kafka.group_consumer_min_session_timeout_ms,
            kafka.group_consumer_max_session_timeout_ms,
        ),
        heartbeat_interval_ms: value(
            HEARTBEAT,
            kafka.group_consumer_heartbeat_interval_ms,
            kafka.group_consumer_min_heartbeat_interval_ms,
            kafka.group_consumer_max_heartbeat_interval_ms,
        ),
        assignment_interval_ms: value(
            ASSIGNMENT,
            kafka.group_consumer_assignment_interval_ms,
            kafka.group_consumer_min_assignment_interval_ms,
            kafka.group_consumer_max_assignment_interval_ms,
        ),
    }
}

/// The settings of a share group; otherwise as [`consumer`].
#[must_use]
pub fn share(
    own: Option<&BTreeMap<String, String>>,
    brokers: &[&BTreeMap<String, String>],
    kafka: &KafkaSettings,
) -> ShareGroupSettings {
    let text = |name: &str| {
        let default = properties::group(name).and_then(|property| property.default).unwrap_or_default();
        own.and_then(|own| own.get(name)).map_or(default, |value| value.trim())
    };
    let number = |name: &str, bounded: Bounded| evaluate(own, brokers, name, bounded);
    let broker = &kafka.share;
    ShareGroupSettings {
        session_timeout_ms: number("share.session.timeout.ms", broker.session_timeout_ms),
        heartbeat_interval_ms: number("share.heartbeat.interval.ms", broker.heartbeat_interval_ms),
        assignment_interval_ms: number("share.assignment.interval.ms", broker.assignment_interval_ms),
        record_lock_duration_ms: number("share.record.lock.duration.ms", broker.record_lock_duration_ms),
        delivery_count_limit: number("share.delivery.count.limit", broker.delivery_count_limit),
        partition_max_record_locks: number("share.partition.max.record.locks", broker.partition_max_record_locks),
        auto_offset_reset: ShareOffsetReset::read(text("share.auto.offset.reset")).unwrap_or(ShareOffsetReset::Latest),
        is_read_committed: text("share.isolation.level") == "read_committed",
        renew_acknowledge_enable: text("share.renew.acknowledge.enable").eq_ignore_ascii_case("true"),
    }
}

/// The settings of a streams group; see [`consumer`].
#[must_use]
pub fn streams(
    own: Option<&BTreeMap<String, String>>,
    brokers: &[&BTreeMap<String, String>],
    kafka: &KafkaSettings,
) -> StreamsGroupSettings {
    let value = |name: &str, bounded: Bounded| evaluate(own, brokers, name, bounded);
    let defaults = &kafka.streams;
    StreamsGroupSettings {
        session_timeout_ms: value("streams.session.timeout.ms", defaults.session_timeout_ms),
        heartbeat_interval_ms: value("streams.heartbeat.interval.ms", defaults.heartbeat_interval_ms),
        assignment_interval_ms: value("streams.assignment.interval.ms", defaults.assignment_interval_ms),
        initial_rebalance_delay_ms: value("streams.initial.rebalance.delay.ms", defaults.initial_rebalance_delay_ms),
        standby_replicas: value("streams.num.standby.replicas", defaults.standby_replicas),
    }
}

/// What a group has of `name`: its own within the bounds, or else what was set for brokers while they run, or what the broker was started with.
fn evaluate(own: Option<&BTreeMap<String, String>>, brokers: &[&BTreeMap<String, String>], name: &str, bounded: Bounded) -> i32 {
    let read =
        |overrides: &BTreeMap<String, String>, name: &str| overrides.get(name).and_then(|value| value.trim().parse::<i32>().ok());
    let broker_name = format!("group.{name}");
    let default = brokers.iter().find_map(|overrides| read(overrides, &broker_name)).unwrap_or(bounded.value);
    own.and_then(|own| read(own, name)).map_or(default, |own| bounded.clamped(own))
}

/// Whether a group that had the overrides `before` may have these.
///
/// # Errors
/// Kafka's message about the first that it may not have.
pub fn check(
    overrides: &BTreeMap<String, String>,
    before: Option<&BTreeMap<String, String>>,
    kafka: &KafkaSettings,
) -> Result<(), String> {
    for (name, value) in overrides {
        let Some(property) = properties::group(name) else {
            // What an earlier version knew stays until somebody takes it back; until then it does nothing, and keeps nobody from changing the rest.
            if before.and_then(|before| before.get(name)) == Some(value) {
                continue;
            }
            return Err(format!("Unknown group config name: {name}"));
        };
        property.check(value)?;
        check_bounds(property, value, kafka)?;
    }
    for kind in ["consumer", "share", "streams"] {
        let (session, heartbeat) = (format!("{kind}.session.timeout.ms"), format!("{kind}.heartbeat.interval.ms"));
        let value = |name: &str| {
            let default = properties::group(name).and_then(|property| default_of(property, kafka));
            overrides.get(name).map(String::as_str).or(default).and_then(|value| value.trim().parse::<i64>().ok())
        };
        if let (Some(session_ms), Some(heartbeat_ms)) = (value(&session), value(&heartbeat))
            && session_ms <= heartbeat_ms
        {
            return Err(format!("{session} must be greater than {heartbeat}"));
        }
    }
    Ok(())
}

/// Of the broker's bounds for a setting, `group.consumer.min.session.timeout.ms` and its like.
fn check_bounds(property: &Property, value: &str, kafka: &KafkaSettings) -> Result<(), String> {
    let (Some(value), Some((kind, rest))) = (value.trim().parse::<i64>().ok(), property.name.split_once('.')) else {
        return Ok(());
    };
    // The one whose bound is not named like the others (GroupCoordinatorConfig.STREAMS_GROUP_MAX_STANDBY_REPLICAS_CONFIG).
    let rest = if rest == "num.standby.replicas" { "standby.replicas" } else { rest };
    let bound = |which: &str| {
        let name = format!("group.{kind}.{which}.{rest}");
        let bound = kafka.value(&name).and_then(|bound| bound.trim().parse::<i64>().ok());
        bound.map(|bound| (name, bound))
    };
    if let Some((name, _)) = bound("min").filter(|(_, least)| value < *least) {
        return Err(format!("{} must be greater than or equal to {name}", property.name));
    }
    if let Some((name, _)) = bound("max").filter(|(_, most)| value > *most) {
        return Err(format!("{} must be less than or equal to {name}", property.name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(name: &str, value: &str) -> String {
        let overrides = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        check(&overrides, None, &KafkaSettings::default()).err().unwrap_or_default()
    }

    #[test]
    fn what_a_group_may_not_have_is_said_in_kafkas_words() {
        assert_eq!(why("nonsense", "1"), "Unknown group config name: nonsense");
        assert_eq!(why(SESSION, "x"), "Invalid value x for configuration consumer.session.timeout.ms: Not a number of type INT");
        assert_eq!(why(SESSION, "0"), "Invalid value 0 for configuration consumer.session.timeout.ms: Value must be at least 1");
        assert_eq!(
            why(SESSION, "1"),
            "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"
        );
        assert_eq!(
            why(SESSION, "70000"),
            "consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms"
        );
        assert_eq!(why("share.auto.offset.reset", "by_duration:P1D"), "");
        assert_eq!(
            why("share.auto.offset.reset", "by_duration:-P1D"),
            "Invalid value by_duration:-P1D for configuration share.auto.offset.reset: Invalid value `by_duration:-P1D` for \
             configuration share.auto.offset.reset. The value must be either 'earliest', 'latest' or of the format \
             'by_duration:<PnDTnHnMn.nS>'."
        );
        assert_eq!(
            why("share.record.lock.duration.ms", "60001"),
            "share.record.lock.duration.ms must be less than or equal to group.share.max.record.lock.duration.ms"
        );
        assert_eq!(
            why("share.delivery.count.limit", "11"),
            "share.delivery.count.limit must be less than or equal to group.share.max.delivery.count.limit"
        );
        assert_eq!(why(SESSION, "50000"), "");
    }

    #[test]
    fn a_session_is_longer_than_a_heartbeat_interval() {
        let kafka = [("group.consumer.min.session.timeout.ms", "1000"), ("group.consumer.session.timeout.ms", "45000")];
        let kafka = KafkaSettings::new(kafka.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        let overrides = BTreeMap::from([(SESSION.to_owned(), "5000".to_owned())]);
        let refused = check(&overrides, None, &kafka.expect("valid")).expect_err("as long as the interval");
        assert_eq!(refused, "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms");
    }

    /// Goal: an override that was stored when its name was known is in nobody's way.
    #[test]
    fn what_nobody_knows_any_more_stays_as_it_is() {
        const GONE: &str = "consumer.assignor.offload.enable";
        assert_eq!(properties::group(GONE), None);
        let overrides =
            |gone: &str| BTreeMap::from([(GONE, gone), (SESSION, "50000")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        let (before, kafka) = (overrides("true"), KafkaSettings::default());
        assert_eq!(check(&before, Some(&before), &kafka), Ok(()));
        let unknown = Err(format!("Unknown group config name: {GONE}"));
        assert_eq!(check(&overrides("false"), Some(&before), &kafka), unknown, "it is not set anew");
        assert_eq!(check(&before, None, &kafka), unknown);
        assert_eq!(consumer(Some(&before), &[], &kafka).session_timeout_ms, 50_000);
    }

    #[test]
    fn overrides_win_within_the_brokers_bounds() {
        let kafka = KafkaSettings::default();
        let defaults = consumer(None, &[], &kafka);
        assert_eq!(
            (defaults.session_timeout_ms, defaults.heartbeat_interval_ms, defaults.assignment_interval_ms),
            (45_000, 5_000, 1_000)
        );
        let overrides = BTreeMap::from([(SESSION.to_owned(), "99999".to_owned()), (HEARTBEAT.to_owned(), "6000".to_owned())]);
        let interval = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let of_brokers = interval("group.consumer.assignment.interval.ms", "1500");
        let own = consumer(Some(&overrides), &[&of_brokers], &kafka);
        assert_eq!((own.session_timeout_ms, own.heartbeat_interval_ms), (60_000, 6_000));
        assert_eq!(own.assignment_interval_ms, 1_500, "what was set for brokers counts where the group has nothing of its own");
    }

    #[test]
    fn a_share_groups_settings_are_read() {
        let kafka = KafkaSettings::default();
        let defaults = share(None, &[], &kafka);
        assert_eq!((defaults.session_timeout_ms, defaults.heartbeat_interval_ms), (45_000, 5_000));
        assert_eq!((defaults.record_lock_duration_ms, defaults.delivery_count_limit), (30_000, 5));
        assert_eq!((defaults.partition_max_record_locks, defaults.assignment_interval_ms), (2_000, 1_000));
        assert_eq!((defaults.auto_offset_reset, defaults.is_read_committed), (ShareOffsetReset::Latest, false));
        assert!(defaults.renew_acknowledge_enable);
        let own = [
            ("share.auto.offset.reset", "by_duration:PT1H"),
            ("share.isolation.level", "read_committed"),
            ("share.renew.acknowledge.enable", "false"),
            ("share.partition.max.record.locks", "9999"),
        ];
        let own = BTreeMap::from(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let set = share(Some(&own), &[], &kafka);
        assert_eq!(set.auto_offset_reset, ShareOffsetReset::ByDuration { ms: 3_600_000 });
        assert_eq!((set.is_read_committed, set.renew_acknowledge_enable), (true, false));
        assert_eq!(set.partition_max_record_locks, 4_000, "no more than the broker allows");
    }
}
