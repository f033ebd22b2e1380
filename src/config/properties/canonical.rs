//! How DescribeConfigs shows the value of a property: as Kafka writes it after it has read it, whatever was typed.
//!
//! Source: ConfigDef.parseType, ConfigDef.parseValue and ConfigDef.convertToString.

use super::{Kind, Property, Valid, items};
use std::collections::HashSet;

impl Property {
    /// ` 05` as `5`, `TRUE` as `true`, `1` as `1.0` where it is a double, `a , b` as `a,b`. What is not of this property's type stays as it is.
    #[must_use]
    pub fn canonical(&self, value: &str) -> String {
        let value = value.trim();
        let parsed = match self.kind {
            Kind::Boolean => Some(value.to_ascii_lowercase()),
            Kind::Int | Kind::Short | Kind::Long => value.parse::<i64>().ok().map(|number| number.to_string()),
            Kind::Double => value.parse::<f64>().ok().map(java_double),
            Kind::List => Some(self.canonical_list(value)),
            Kind::String | Kind::Class | Kind::Password => None,
        };
        parsed.unwrap_or_else(|| value.to_owned())
    }

    /// Only the list of throttled replicas keeps what comes twice: it is no ValidList.
    fn canonical_list(&self, value: &str) -> String {
        let mut seen = HashSet::new();
        let kept = items(value).filter(|item| self.valid == Valid::ThrottledReplicas || seen.insert(*item));
        kept.collect::<Vec<_>>().join(",")
    }
}

/// As Double.toString: with a digit behind the point, and below 10⁻³ or from 10⁷ on as a power of ten.
fn java_double(number: f64) -> String {
    if number.is_infinite() {
        let name = if number > 0.0 { "Infinity" } else { "-Infinity" };
        return name.to_owned();
    }
    let size = number.abs();
    if size > 0.0 && !(1e-3..1e7).contains(&size) {
        let shortest = format!("{number:E}");
        return if shortest.contains('.') { shortest } else { format!("{number:.1E}") };
    }
    format!("{number:?}")
}

#[cfg(test)]
mod tests {
    use crate::config::properties;

    /// What Kafka 4.3.1 makes of these (LogConfig's definition).
    #[test]
    fn values_are_shown_as_kafka_reads_them() {
        let cases = [
            ("retention.ms", " 5 ", "5"),
            ("retention.ms", "+5", "5"),
            ("retention.ms", "-01", "-1"),
            ("preallocate", " TRUE ", "true"),
            ("compression.type", " gzip ", "gzip"),
            ("cleanup.policy", " compact , delete", "compact,delete"),
            ("cleanup.policy", "delete,delete", "delete"),
            ("cleanup.policy", "", ""),
            ("leader.replication.throttled.replicas", "1:2 , 1:2,", "1:2,1:2,"),
            ("min.cleanable.dirty.ratio", "1", "1.0"),
            ("min.cleanable.dirty.ratio", "0", "0.0"),
            ("min.cleanable.dirty.ratio", "0.50", "0.5"),
            ("min.cleanable.dirty.ratio", "1e-3", "0.001"),
            ("min.cleanable.dirty.ratio", "0.0001", "1.0E-4"),
            ("min.cleanable.dirty.ratio", "0.00012", "1.2E-4"),
            ("min.cleanable.dirty.ratio", "0.1234567890123456789", "0.12345678901234568"),
            ("min.cleanable.dirty.ratio", "5e-324", "4.9E-324"),
            ("retention.ms", "soon", "soon"),
        ];
        for (name, value, shown) in cases {
            assert_eq!(properties::topic(name).expect("known").property.canonical(value), shown, "{name}={value}");
        }
        let rate = properties::broker("log.cleaner.io.max.bytes.per.second").expect("known");
        let shown = [
            ("10000000", "1.0E7"),
            ("9999999", "9999999.0"),
            ("1.7976931348623157E308", "1.7976931348623157E308"),
            ("inf", "Infinity"),
        ];
        for (value, shown) in shown {
            assert_eq!(rate.canonical(value), shown, "{value}");
        }
    }

    #[test]
    fn defaults_are_written_as_they_are_shown() {
        let topics = properties::TOPIC.iter().map(|topic| &topic.property);
        for property in properties::BROKER.iter().chain(properties::GROUP).chain(topics) {
            if let Some(default) = property.default {
                assert_eq!(property.canonical(default), default, "{}", property.name);
            }
        }
    }
}
