//! Client metrics subscriptions (KIP-714): whether one may be as it is asked for. They are kept and shown; no client is asked for its metrics.

use super::properties::{self, items};
use regex::RegexBuilder;
use std::collections::BTreeMap;

/// What a client may be matched by (ClientMetricsConfigs.isValidParam).
const LABELS: [&str; 6] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// Bounds of `match`, which Kafka does not have: each pattern is compiled to see whether it is one, and to compile may take milliseconds.
const PATTERNS_MAX: usize = 32;
const MATCH_BYTES_MAX: usize = 4096;
/// What all patterns of one subscription may come to, compiled: as much as one may by default.
const COMPILED_BYTES_MAX: usize = 10 << 20;

/// Why a subscription may not be as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A name that there is not, or an interval out of bounds.
    Request(String),
    /// What is no number, no list or no pattern.
    Config(String),
}

/// Whether a subscription may have these settings. Source: ClientMetricsConfigs.validate.
///
/// # Errors
/// Kafka's message about the first that it may not have.
pub fn check(overrides: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if let Some(unknown) = overrides.keys().find(|name| properties::client_metrics(name).is_none()) {
        return Err(Refusal::Request(format!("Unknown client metrics configuration: {unknown}")));
    }
    for property in properties::CLIENT_METRICS {
        overrides.get(property.name).map_or(Ok(()), |value| property.check(value)).map_err(Refusal::Config)?;
    }
    let interval = overrides.get("interval.ms").and_then(|value| value.trim().parse::<i32>().ok());
    if let Some(ms) = interval.filter(|ms| !(100..=3_600_000).contains(ms)) {
        let why = format!("Invalid value {ms} for interval.ms, interval must be between 100 and 3600000 (1 hour)");
        return Err(Refusal::Request(why));
    }
    let patterns = overrides.get("match").map(String::as_str).unwrap_or_default();
    let count = items(patterns).count();
    if patterns.len() > MATCH_BYTES_MAX || count > PATTERNS_MAX {
        let why = format!("Too much to match: at most {PATTERNS_MAX} patterns in {MATCH_BYTES_MAX} bytes are taken");
        return Err(Refusal::Config(why));
    }
    for pattern in items(patterns) {
        // As Java splits: equals signs at the end are none.
        let is_valid = pattern.trim_end_matches('=').split_once('=').is_some_and(|(label, expression)| {
            LABELS.contains(&label.trim()) && !expression.contains('=') && is_regex(expression.trim(), COMPILED_BYTES_MAX / count)
        });
        if !is_valid {
            return Err(Refusal::Config(format!("Illegal client matching pattern: {pattern}")));
        }
    }
    Ok(())
}

fn is_regex(expression: &str, compiled_bytes_max: usize) -> bool {
    RegexBuilder::new(expression).size_limit(compiled_bytes_max).build().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, value: &str) -> Result<(), Refusal> {
        check(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn what_no_subscription_can_be_is_refused() {
        let request = |why: &str| Err(Refusal::Request(why.to_owned()));
        assert_eq!(checked("nonsense", "1"), request("Unknown client metrics configuration: nonsense"));
        let range = "Invalid value 99 for interval.ms, interval must be between 100 and 3600000 (1 hour)";
        assert_eq!(checked("interval.ms", "99"), request(range));
        let config = |why: &str| Err(Refusal::Config(why.to_owned()));
        assert_eq!(
            checked("interval.ms", "x"),
            config("Invalid value x for configuration interval.ms: Not a number of type INT")
        );
        assert_eq!(checked("interval.ms", " 100 "), Ok(()));
        for list in ["metrics", "match"] {
            assert_eq!(checked(list, "a,,b"), config(&format!("Configuration '{list}' values must not be empty.")));
            assert_eq!(checked(list, " "), Ok(()));
        }
        for wrong in ["client_id", "client=a", "client_id=a=b", "client_id=(", "client_id=a,b", "client_id=", "=a", "="] {
            assert!(matches!(checked("match", wrong), Err(Refusal::Config(_))), "{wrong}");
        }
        let (many, long) = ([r"client_id=\w{9}"; 33].join(","), format!("client_id={}", "x".repeat(5_000)));
        for wrong in [many.as_str(), long.as_str(), r"client_id=\w{5000}"] {
            assert!(matches!(checked("match", wrong), Err(Refusal::Config(_))), "{}", &wrong[..20]);
        }
        assert_eq!(checked("match", "client_id=app.*, client_software_name = apache-kafka-java"), Ok(()));
        assert_eq!(checked("match", "client_id=a="), Ok(()), "as Java splits it");
        assert_eq!(checked("match", r"client_instance_id=\w{8}-\w{4}-\w{4}-\w{4}-\w{12}"), Ok(()), "a UUID");
        assert_eq!(checked("metrics", "org.apache.kafka.consumer.,x"), Ok(()));
    }
}
