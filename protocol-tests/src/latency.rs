//! Distributions of latencies, to a thousandth of each value (HdrHistogram), in microseconds up to an hour.

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::time::Duration;

const MICROSECONDS_MAX: u64 = 3_600_000_000;
/// What is told of a distribution, before its largest value.
const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

/// See the file's header.
#[derive(Debug, Clone)]
pub struct Latencies {
    microseconds: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies::new()
    }
}

impl Latencies {
    /// # Panics
    /// Never: the bounds are sound.
    #[must_use]
    pub fn new() -> Latencies {
        Latencies { microseconds: Histogram::new_with_bounds(1, MICROSECONDS_MAX, 3).expect("sound bounds") }
    }

    pub fn record(&mut self, latency: Duration) {
        self.microseconds.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds all of `other`.
    ///
    /// # Panics
    /// Never: all have the same bounds.
    pub fn add(&mut self, other: &Latencies) {
        self.microseconds.add(&other.microseconds).expect("the same bounds");
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.microseconds.len()
    }

    /// Milliseconds below which the `quantile` (0 to 1) of all latencies are.
    #[must_use]
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        self.microseconds.value_at_quantile(quantile) as f64 / 1000.0
    }

    #[must_use]
    pub fn max_ms(&self) -> f64 {
        self.microseconds.max() as f64 / 1000.0
    }

    /// The headings of [`Latencies::row`].
    #[must_use]
    pub fn headings() -> String {
        let names: Vec<String> = QUANTILES.iter().map(|(name, _)| format!("{name:>10}")).collect();
        format!("{}{:>10}", names.concat(), "max")
    }

    /// Quantiles and largest value in milliseconds, each in ten columns.
    #[must_use]
    pub fn row(&self) -> String {
        let values: Vec<String> =
            QUANTILES.iter().map(|(_, quantile)| format!("{:>10.3}", self.quantile_ms(*quantile))).collect();
        format!("{}{:>10.3}", values.concat(), self.max_ms())
    }

    #[must_use]
    pub fn json(&self) -> Value {
        let mut object = serde_json::Map::new();
        for (name, quantile) in QUANTILES {
            object.insert(format!("{name}_ms"), json!(self.quantile_ms(quantile)));
        }
        object.insert("max_ms".to_owned(), json!(self.max_ms()));
        object.insert("count".to_owned(), json!(self.count()));
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_all_that_was_recorded() {
        let (mut first, mut second) = (Latencies::new(), Latencies::new());
        for milliseconds in 1..=50 {
            first.record(Duration::from_millis(milliseconds));
            second.record(Duration::from_millis(milliseconds + 50));
        }
        first.add(&second);
        assert_eq!(first.count(), 100);
        assert!((first.quantile_ms(0.5) - 50.0).abs() < 0.1, "{}", first.quantile_ms(0.5));
        assert!((first.max_ms() - 100.0).abs() < 0.2, "{}", first.max_ms());
    }

    #[test]
    fn nothing_and_too_much_are_recorded_as_well() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::ZERO);
        latencies.record(Duration::from_secs(1_000_000));
        assert_eq!(latencies.count(), 2);
        assert!(latencies.max_ms() >= 3_600_000.0, "{}", latencies.row());
    }
}
