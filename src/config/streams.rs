//! Broker properties about streams groups (KIP-1071), typed: `group.streams.*`.
//!
//! Source: GroupCoordinatorConfig of Kafka 4.3; the messages are its.

use super::kafka::Given;
use super::share::Bounded;

/// What the broker was told about streams groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamsSettings {
    pub session_timeout_ms: Bounded,
    pub heartbeat_interval_ms: Bounded,
    pub assignment_interval_ms: Bounded,
    pub initial_rebalance_delay_ms: Bounded,
    /// How many standbys each task has.
    pub standby_replicas: Bounded,
    /// The most members of a group.
    pub members_max: i32,
}

impl StreamsSettings {
    pub(super) fn read(given: &Given<'_>) -> Result<StreamsSettings, String> {
        let bounded = |name: &str| {
            let bounded = Bounded::read(given, "streams", name)?;
            bounded.check("streams", name).map(|()| bounded)
        };
        let number = |name: &str| given.number(&format!("group.streams.{name}"), 0, i32::MAX.into());
        let settings = StreamsSettings {
            heartbeat_interval_ms: bounded("heartbeat.interval.ms")?,
            session_timeout_ms: bounded("session.timeout.ms")?,
            assignment_interval_ms: bounded("assignment.interval.ms")?,
            initial_rebalance_delay_ms: Bounded { least: 0, value: number("initial.rebalance.delay.ms")?, most: i32::MAX },
            standby_replicas: Bounded { least: 0, value: number("num.standby.replicas")?, most: number("max.standby.replicas")? },
            members_max: number("max.size")?,
        };
        if settings.standby_replicas.value > settings.standby_replicas.most {
            return Err(
                "group.streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas".to_owned()
            );
        }
        if settings.heartbeat_interval_ms.value >= settings.session_timeout_ms.value {
            return Err("group.streams.heartbeat.interval.ms must be less than group.streams.session.timeout.ms".to_owned());
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::KafkaSettings;
    use std::collections::BTreeMap;

    fn why(properties: &[(&str, &str)]) -> String {
        let given = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        KafkaSettings::new(given.collect::<BTreeMap<_, _>>()).err().unwrap_or_default()
    }

    #[test]
    fn settings_that_do_not_fit_together_are_refused_in_kafkas_words() {
        assert_eq!(
            why(&[("group.streams.session.timeout.ms", "1000")]),
            "group.streams.session.timeout.ms must be greater than or equal to group.streams.min.session.timeout.ms"
        );
        assert_eq!(
            why(&[("group.streams.num.standby.replicas", "3")]),
            "group.streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas"
        );
        let short = [("group.streams.min.session.timeout.ms", "1000"), ("group.streams.session.timeout.ms", "5000")];
        assert_eq!(why(&short), "group.streams.heartbeat.interval.ms must be less than group.streams.session.timeout.ms");
        assert_eq!(why(&[("group.streams.num.standby.replicas", "2")]), "");
    }
}
