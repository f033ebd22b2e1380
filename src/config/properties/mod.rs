//! Every broker and topic property that Apache Kafka 4.3.1 documents, and the settings of groups: name, type, default, bounds, what
//! it is for, and what it does here.
//!
//! The facts (names, types, defaults, bounds, which can change at run time) are Kafka's (KafkaConfig, LogConfig, DynamicBrokerConfig); the
//! sentences are ours. `check` answers Kafka's own messages, because clients and their tests read them.

use super::group::ShareOffsetReset;
use std::fmt;

/// One table of [`Property`]s, a row per property: `"name": Type = default, bounds, mutability, effect, "what it is for";`.
macro_rules! properties {
    (@default null) => { None };
    (@default $value:literal) => { Some($value) };
    ($($name:literal: $kind:ident = $default:tt, $valid:expr, $mutability:ident, $effect:ident, $doc:literal;)*) => {
        [$($crate::config::properties::Property {
            name: $name,
            kind: $crate::config::properties::Kind::$kind,
            default: properties!(@default $default),
            valid: $valid,
            doc: $doc,
            mutability: $crate::config::properties::Mutability::$mutability,
            effect: $crate::config::properties::Effect::$effect,
        }),*]
    };
}

pub mod broker;
mod canonical;
pub mod client_metrics;
pub mod group;
pub mod topic;

pub use broker::BROKER;
pub use client_metrics::CLIENT_METRICS;
pub use group::GROUP;
pub use topic::{DESCRIPTION, TOPIC, TOPIC_OWN};

/// What a value may have beside what it says, and a number at all.
const PADDING_BYTES_MAX: usize = 100;

/// A property's type, as DescribeConfigs names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    String,
    Int,
    Short,
    Long,
    Double,
    List,
    Class,
    /// Never shown: DescribeConfigs answers it without a value, marked sensitive.
    Password,
}

/// What setting a property does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does what it does in Kafka.
    Works,
    /// Kept and shown; has no effect yet. Named in a warning at start when it is set.
    Stored,
    /// Accepted, and named in a warning at start when it is set: the thing that it steers does not exist here.
    NoMeaning,
}

/// Whether Kafka lets a property change while the broker runs, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutability {
    ReadOnly,
    PerBroker,
    ClusterWide,
}

/// What values a property takes beyond what its type says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Valid {
    Any,
    AtLeast(i64),
    /// Both ends inclusive.
    Between(i64, i64),
    /// A fraction, 0 to 1 inclusive.
    Fraction,
    /// Gzip's levels 1 to 9, or −1 for its own default.
    GzipLevel,
    OneOf(&'static [&'static str]),
    OneOfIgnoringCase(&'static [&'static str]),
    /// Each item of a list is one of these. Items of any list are not empty, but for [`Valid::ThrottledReplicas`].
    EachOf(&'static [&'static str]),
    NonEmpty,
    /// `*`, or `partition:broker` pairs separated by commas, any of which may be missing.
    ThrottledReplicas,
    /// At most so many characters.
    AtMost(usize),
    /// `earliest`, `latest`, or `by_duration:` and an ISO 8601 duration (ShareGroupAutoOffsetResetStrategy).
    ShareOffsetReset,
}

/// One property of Kafka.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Property {
    pub name: &'static str,
    pub kind: Kind,
    /// `None`: unset (Kafka's null), which differs from the empty string.
    pub default: Option<&'static str>,
    pub valid: Valid,
    pub doc: &'static str,
    pub mutability: Mutability,
    pub effect: Effect,
}

/// A property of a topic, and what it is when the topic does not set it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopicProperty {
    pub property: Property,
    /// Broker properties that give the default, the most specific first (`log.retention.ms`, `.minutes`, `.hours`). Empty: only
    /// `property.default` counts.
    pub synonym: &'static [&'static str],
}

/// The broker property `name`.
#[must_use]
pub fn broker(name: &str) -> Option<&'static Property> {
    BROKER.iter().find(|property| property.name == name)
}

/// The broker property `name`, also when it names a listener (`listener.name.{listener}.ssl.keystore.type`) and a mechanism
/// (`listener.name.{listener}.plain.sasl.jaas.config`); DynamicBrokerConfig.brokerConfigSynonyms.
#[must_use]
pub fn broker_or_listener(name: &str) -> Option<&'static Property> {
    broker(name).or_else(|| {
        let own = own_of_listener(name)?;
        broker(own).or_else(|| broker(own.split_once('.')?.1))
    })
}

/// What of one listener `name` sets: `max.connections` of `listener.name.{listener}.max.connections`.
#[must_use]
pub fn own_of_listener(name: &str) -> Option<&str> {
    name.strip_prefix("listener.name.")?.split_once('.').map(|(_, own)| own)
}

/// The setting `name` of client metrics subscriptions.
#[must_use]
pub fn client_metrics(name: &str) -> Option<&'static Property> {
    CLIENT_METRICS.iter().find(|property| property.name == name)
}

/// The setting `name` of groups.
#[must_use]
pub fn group(name: &str) -> Option<&'static Property> {
    GROUP.iter().find(|property| property.name == name)
}

/// The topic property `name`.
#[must_use]
pub fn topic(name: &str) -> Option<&'static TopicProperty> {
    TOPIC.iter().chain(TOPIC_OWN).find(|topic| topic.property.name == name)
}

impl fmt::Display for Kind {
    /// As Kafka's error messages name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Boolean => "BOOLEAN",
            Kind::String => "STRING",
            Kind::Int => "INT",
            Kind::Short => "SHORT",
            Kind::Long => "LONG",
            Kind::Double => "DOUBLE",
            Kind::List => "LIST",
            Kind::Class => "CLASS",
            Kind::Password => "PASSWORD",
        })
    }
}

impl Property {
    /// Whether `value` is of this property's type and within its bounds.
    ///
    /// # Errors
    /// Kafka's message: "Invalid value x for configuration retention.ms: Not a number of type LONG" (ConfigDef.parseType and its validators).
    pub fn check(&self, value: &str) -> Result<(), String> {
        let trimmed = value.trim();
        self.check_padding(value, trimmed)?;
        match (self.kind, self.valid) {
            (Kind::List, Valid::ThrottledReplicas) => self.check_throttled(trimmed),
            (Kind::List, _) => self.check_items(trimmed),
            _ => self.verdict(value, self.reason_against(trimmed)),
        }
    }

    /// Values are kept as they were given, in memory and in each start's snapshot: blanks and leading zeros by the kilobyte say nothing.
    fn check_padding(&self, value: &str, trimmed: &str) -> Result<(), String> {
        let is_text = matches!(self.kind, Kind::String | Kind::List | Kind::Class | Kind::Password);
        let said = if is_text { trimmed.len() } else { 0 };
        if value.len() - said > PADDING_BYTES_MAX {
            return Err(format!(
                "The value of {} has {} bytes, far more than it says; leave out what pads it.",
                self.name,
                value.len()
            ));
        }
        Ok(())
    }

    /// Item by item, which Kafka's message shows instead of the list (ConfigDef.ValidList). An empty list is allowed. What comes twice is, too, although
    /// ValidList would refuse it: ConfigDef.parseValue has dropped it before.
    fn check_items(&self, list: &str) -> Result<(), String> {
        for item in items(list) {
            if item.is_empty() {
                return Err(format!("Configuration '{}' values must not be empty.", self.name));
            }
            self.verdict(item, self.not_allowed(item))?;
        }
        Ok(())
    }

    /// The list as a whole: `*` and nothing else, or pairs (ThrottledReplicaListValidator). The message shows it as Java writes lists.
    fn check_throttled(&self, list: &str) -> Result<(), String> {
        let replicas: Vec<&str> = items(list).collect();
        if replicas.concat() == "*" || replicas.iter().all(|item| item.is_empty() || is_replica(item)) {
            return Ok(());
        }
        let why = format!(
            "{} must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
            self.name
        );
        self.verdict(&format!("[{}]", replicas.join(", ")), Some(why))
    }

    fn verdict(&self, value: &str, reason: Option<String>) -> Result<(), String> {
        let Some(reason) = reason else { return Ok(()) };
        let shown = if self.is_sensitive() { "[hidden]" } else { value };
        Err(format!("Invalid value {shown} for configuration {}: {reason}", self.name))
    }

    /// Whether its value is a secret.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    fn reason_against(&self, value: &str) -> Option<String> {
        let not_a_number = || Some(format!("Not a number of type {}", self.kind));
        match self.kind {
            Kind::Boolean => {
                let is_boolean = value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false");
                (!is_boolean).then(|| "Expected value to be either true or false".to_owned())
            }
            Kind::Int => value.parse::<i32>().map_or_else(|_| not_a_number(), |number| self.out_of_bounds(number.into())),
            Kind::Short => value.parse::<i16>().map_or_else(|_| not_a_number(), |number| self.out_of_bounds(number.into())),
            Kind::Long => value.parse::<i64>().map_or_else(|_| not_a_number(), |number| self.out_of_bounds(number)),
            Kind::Double => value.parse::<f64>().map_or_else(|_| not_a_number(), |number| self.out_of_fraction(number)),
            Kind::String | Kind::Class | Kind::Password => self.not_allowed(value),
            // Item by item: see `check_items`.
            Kind::List => None,
        }
    }

    fn out_of_bounds(&self, number: i64) -> Option<String> {
        let (least, most) = match self.valid {
            Valid::AtLeast(least) => (least, i64::MAX),
            Valid::Between(least, most) => (least, most),
            Valid::GzipLevel if number == -1 || (1..=9).contains(&number) => return None,
            Valid::GzipLevel => return Some("Value must be between 1 and 9 or equal to -1".to_owned()),
            _ => return None,
        };
        if number < least {
            Some(format!("Value must be at least {least}"))
        } else if number > most {
            Some(format!("Value must be no more than {most}"))
        } else {
            None
        }
    }

    fn out_of_fraction(&self, number: f64) -> Option<String> {
        match self.valid {
            // Java compares so that NaN passes both bounds; here it does not, since nothing could be done with it.
            Valid::Fraction if number > 1.0 => Some("Value must be no more than 1".to_owned()),
            Valid::Fraction if !(0.0..=1.0).contains(&number) => Some("Value must be at least 0".to_owned()),
            _ => None,
        }
    }

    fn not_allowed(&self, value: &str) -> Option<String> {
        match self.valid {
            Valid::OneOf(allowed) | Valid::EachOf(allowed) if !allowed.contains(&value) => {
                Some(format!("String must be one of: {}", allowed.join(", ")))
            }
            Valid::OneOfIgnoringCase(allowed) if !allowed.iter().any(|one| one.eq_ignore_ascii_case(value)) => {
                Some(format!("String must be one of (case insensitive): {}", allowed.join(", ")))
            }
            Valid::NonEmpty if value.is_empty() => Some("String must be non-empty".to_owned()),
            Valid::AtMost(most) if value.chars().count() > most => Some(format!("String must have at most {most} characters")),
            Valid::ShareOffsetReset if ShareOffsetReset::read(value).is_none() => Some(format!(
                "Invalid value `{value}` for configuration {}. The value must be either 'earliest', 'latest' or of the format \
                     'by_duration:<PnDTnHnMn.nS>'.",
                self.name
            )),
            _ => None,
        }
    }
}

/// The items of a list value: separated by commas, with spaces around them dropped; none in an empty value.
pub fn items(value: &str) -> impl Iterator<Item = &str> {
    let trimmed = value.trim();
    let split = (!trimmed.is_empty()).then(|| trimmed.split(',').map(str::trim));
    split.into_iter().flatten()
}

/// `partition:broker`, both plain numbers.
fn is_replica(value: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    value.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand groups with seventeen settings of 32 KB each were gigabytes, at each start again.
    #[test]
    fn values_that_are_mostly_padding_are_refused() {
        let retention = &topic("retention.ms").expect("there").property;
        let policy = &topic("cleanup.policy").expect("there").property;
        let blanks = " ".repeat(PADDING_BYTES_MAX - 10);
        let much = " ".repeat(1000);
        let zeros = "0".repeat(1000);
        for value in ["1", " 1 ", &format!("{blanks}1")] {
            assert_eq!(retention.check(value), Ok(()), "{value:?}");
        }
        for value in [format!("{much}1"), format!("1{much}"), format!("{zeros}1")] {
            assert!(retention.check(&value).is_err(), "{value:?}");
        }
        assert_eq!(policy.check(&format!("{blanks}compact")), Ok(()));
        assert!(policy.check(&format!("compact{much}")).is_err());
    }
}
