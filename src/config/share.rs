//! Broker properties about share groups (KIP-932), typed: `group.share.*` and `share.coordinator.*`.
//!
//! Source: GroupCoordinatorConfig, ShareGroupConfig and ShareCoordinatorConfig of Kafka 4.3; the messages are theirs.

use super::kafka::Given;

/// A property of groups: what it is for a group that does not set it, and what a group may set it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounded {
    pub value: i32,
    pub least: i32,
    pub most: i32,
}

impl Bounded {
    /// `group.{kind}.{name}` with its siblings `group.{kind}.min.{name}` and `.max.`.
    pub(super) fn read(given: &Given<'_>, kind: &str, name: &str) -> Result<Bounded, String> {
        let number = |which: &str| given.number(&format!("group.{kind}.{which}{name}"), 0, i32::MAX.into());
        Ok(Bounded { value: number("")?, least: number("min.")?, most: number("max.")? })
    }

    /// `own`, but not beyond the bounds, which may have changed since it was set (GroupConfig.evaluate).
    #[must_use]
    pub fn clamped(self, own: i32) -> i32 {
        own.min(self.most).max(self.least)
    }

    /// The order of the three, as GroupCoordinatorConfig wants it.
    pub(super) fn check(self, kind: &str, name: &str) -> Result<(), String> {
        let Bounded { value, least, most } = self;
        if most < least {
            return Err(format!("group.{kind}.max.{name} must be greater than or equal to group.{kind}.min.{name}"));
        }
        if value < least {
            return Err(format!("group.{kind}.{name} must be greater than or equal to group.{kind}.min.{name}"));
        }
        if value > most {
            return Err(format!("group.{kind}.{name} must be less than or equal to group.{kind}.max.{name}"));
        }
        Ok(())
    }

    /// The same in the words of ShareGroupConfig.
    fn check_share(self, name: &str) -> Result<(), String> {
        let at_least = |larger: &str, smaller: &str| {
            Err(format!("group.share.{larger}{name} must be greater than or equal to group.share.{smaller}{name}"))
        };
        if self.most < self.value {
            return at_least("max.", "");
        }
        if self.value < self.least {
            return at_least("", "min.");
        }
        Ok(())
    }
}

/// What the broker was told about share groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareSettings {
    pub session_timeout_ms: Bounded,
    pub heartbeat_interval_ms: Bounded,
    pub assignment_interval_ms: Bounded,
    /// For how long a record is locked for whom it was delivered to.
    pub record_lock_duration_ms: Bounded,
    /// How often a record is delivered before it is given up.
    pub delivery_count_limit: Bounded,
    /// How many records of one partition may be under way.
    pub partition_max_record_locks: Bounded,
    /// The most members of a group.
    pub max_size: i32,
    /// The most share sessions of the broker.
    pub max_share_sessions: i32,
    pub state_topic_num_partitions: i32,
    /// After how many updates of a share-partition's state its whole state is written.
    pub snapshot_update_records_per_snapshot: i32,
}

const SESSION: &str = "session.timeout.ms";
const HEARTBEAT: &str = "heartbeat.interval.ms";
const ASSIGNMENT: &str = "assignment.interval.ms";
const LOCK_DURATION: &str = "record.lock.duration.ms";
const DELIVERY_COUNT: &str = "delivery.count.limit";
const RECORD_LOCKS: &str = "partition.max.record.locks";
const ASSIGNORS: [&str; 2] = ["simple", "org.apache.kafka.coordinator.group.assignor.SimpleAssignor"];

impl ShareSettings {
    pub(super) fn read(given: &Given<'_>) -> Result<ShareSettings, String> {
        let bounded = |name: &str| Bounded::read(given, "share", name);
        let number = |name: &str| given.number(name, 0, i32::MAX.into());
        let settings = ShareSettings {
            session_timeout_ms: bounded(SESSION)?,
            heartbeat_interval_ms: bounded(HEARTBEAT)?,
            assignment_interval_ms: bounded(ASSIGNMENT)?,
            record_lock_duration_ms: bounded(LOCK_DURATION)?,
            delivery_count_limit: bounded(DELIVERY_COUNT)?,
            partition_max_record_locks: bounded(RECORD_LOCKS)?,
            max_size: number("group.share.max.size")?,
            max_share_sessions: number("group.share.max.share.sessions")?,
            state_topic_num_partitions: given.number("share.coordinator.state.topic.num.partitions", 1, 10_000)?,
            snapshot_update_records_per_snapshot: number("share.coordinator.snapshot.update.records.per.snapshot")?,
        };
        settings.check()?;
        check_assignors(&given.list("group.share.assignors"))?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), String> {
        self.heartbeat_interval_ms.check("share", HEARTBEAT)?;
        self.session_timeout_ms.check("share", SESSION)?;
        self.assignment_interval_ms.check("share", ASSIGNMENT)?;
        if self.heartbeat_interval_ms.value >= self.session_timeout_ms.value {
            return Err(format!("group.share.{HEARTBEAT} must be less than group.share.{SESSION}"));
        }
        self.delivery_count_limit.check_share(DELIVERY_COUNT)?;
        self.partition_max_record_locks.check_share(RECORD_LOCKS)?;
        self.record_lock_duration_ms.check_share(LOCK_DURATION)?;
        if self.max_share_sessions < self.max_size {
            return Err("group.share.max.share.sessions must be greater than or equal to group.share.max.size".to_owned());
        }
        Ok(())
    }
}

fn check_assignors(named: &[String]) -> Result<(), String> {
    match named {
        [one] if ASSIGNORS.contains(&one.as_str()) => Ok(()),
        [one] => Err(format!(
            "Invalid value {one} for configuration group.share.assignors: there is simple; an assignor of your own would be a Java class, \
             which cannot run here"
        )),
        more => Err(format!("group.share.assignors must contain exactly one assignor, but found {}", more.len())),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::KafkaSettings;

    fn why(pairs: &[(&str, &str)]) -> String {
        let given = pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        KafkaSettings::new(given).err().unwrap_or_default()
    }

    #[test]
    fn properties_that_do_not_fit_are_refused_in_kafkas_words() {
        assert_eq!(
            why(&[("group.share.session.timeout.ms", "44999")]),
            "group.share.session.timeout.ms must be greater than or equal to group.share.min.session.timeout.ms"
        );
        assert_eq!(
            why(&[("group.share.max.heartbeat.interval.ms", "4999")]),
            "group.share.max.heartbeat.interval.ms must be greater than or equal to group.share.min.heartbeat.interval.ms"
        );
        assert_eq!(
            why(&[("group.share.heartbeat.interval.ms", "45000"), ("group.share.max.heartbeat.interval.ms", "45000")]),
            "group.share.heartbeat.interval.ms must be less than group.share.session.timeout.ms"
        );
        assert_eq!(
            why(&[("group.share.assignment.interval.ms", "15001")]),
            "group.share.assignment.interval.ms must be less than or equal to group.share.max.assignment.interval.ms"
        );
        assert_eq!(
            why(&[("group.share.record.lock.duration.ms", "14999")]),
            "group.share.record.lock.duration.ms must be greater than or equal to group.share.min.record.lock.duration.ms"
        );
        assert_eq!(
            why(&[("group.share.partition.max.record.locks", "4001")]),
            "group.share.max.partition.max.record.locks must be greater than or equal to group.share.partition.max.record.locks"
        );
        assert_eq!(
            why(&[("group.share.delivery.count.limit", "11")]),
            "Invalid value 11 for configuration group.share.delivery.count.limit: Value must be no more than 10"
        );
        assert_eq!(
            why(&[("group.share.max.share.sessions", "199")]),
            "group.share.max.share.sessions must be greater than or equal to group.share.max.size"
        );
        assert_eq!(
            why(&[("group.share.assignors", "simple,simple")]),
            "group.share.assignors must contain exactly one assignor, but found 2"
        );
        assert!(why(&[("group.share.assignors", "range")]).starts_with("Invalid value range"));
        assert_eq!(why(&[("group.share.assignors", "org.apache.kafka.coordinator.group.assignor.SimpleAssignor")]), "");
        assert!(why(&[("feature.share.version", "2")]).ends_with("Value must be no more than 1"));
    }
}
