//! What is counted, measured and shown by `GET /metrics`: one table of names, with types, units and labels. Whatever counts takes its handle from
//! [`Metrics`], which is generated from the table, so that no name is written twice.
//!
//! Owner: the broker has one [`Metrics`]; handles are shared atomics. Bound: labels have few values each (API keys, routes, statuses); only
//! webhook endpoints, of which a project has `hooks.endpoints_max`, have a series each, which goes when it is deleted.

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit as Suffix};

mod kinds;

use kinds::Kind;
pub use kinds::{Counter, Gauge, Histogram, Hold, Labelled};

/// What a value is in; its name ends so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Bytes,
    /// It counts what its name says.
    Count,
}

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// With its unit; the samples of a counter have `_total` behind it, those of a histogram `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    pub kind: MetricType,
    pub unit: Unit,
    pub labels: &'static [&'static str],
    /// A sentence, without its full stop.
    pub help: &'static str,
}

/// `field: type = name, unit, [labels], help;` makes a field of [`Metrics`] and a line of [`TABLE`].
macro_rules! table {
    ($($field:ident: $kind:ty = $name:literal, $unit:ident, [$($label:literal),*], $help:literal;)*) => {
        /// Handles to everything in [`TABLE`].
        #[derive(Debug)]
        pub struct Metrics {
            $(#[doc = $help] pub $field: $kind,)*
            registry: Registry,
        }

        /// Every metric.
        pub const TABLE: &[Row] = &[
            $(Row { name: $name, kind: <$kind as Kind>::TYPE, unit: Unit::$unit, labels: &[$($label),*], help: $help }),*
        ];

        impl Default for Metrics {
            fn default() -> Metrics {
                let mut registry = Registry::default();
                $(
                    let $field = <$kind as Kind>::labelled([$($label),*]);
                    register(&mut registry, $name, Unit::$unit, $help, &$field);
                )*
                Metrics { $($field,)* registry }
            }
        }
    };
}

table! {
    build_info: Labelled<Gauge, 1> = "fbf_build_info", Count, ["version"], "1, with the version of the server";
    start_time: Gauge = "fbf_start_time_seconds", Seconds, [], "When the server started, in seconds since 1970";

    kafka_connections: Gauge = "fbf_kafka_connections", Count, [], "Connections of Kafka clients that are open";
    kafka_connections_accepted: Counter = "fbf_kafka_connections_accepted", Count, [], "Connections of Kafka clients that were accepted";
    kafka_requests: Labelled<Counter, 1> = "fbf_kafka_requests", Count, ["api"], "Kafka requests that came in";
    kafka_refused_requests: Labelled<Counter, 1> = "fbf_kafka_refused_requests", Count, ["reason"],
        "Kafka requests that no handler saw: of an unknown API or version, too large, or malformed";
    kafka_request_duration: Labelled<Histogram, 1> = "fbf_kafka_request_duration_seconds", Seconds, ["api"],
        "From a request's last byte to its answer being ready, waiting for the disk, for records and for earlier answers included";
    kafka_received: Counter = "fbf_kafka_received_bytes", Bytes, [], "Bytes of Kafka requests";
    kafka_sent: Counter = "fbf_kafka_sent_bytes", Bytes, [], "Bytes of answers to Kafka clients";

    produced_records: Counter = "fbf_produced_records", Count, [],
        "Records that producers appended, over Kafka's protocol, over HTTP and as webhooks' own";
    produced: Counter = "fbf_produced_bytes", Bytes, [], "Their batches, as they were sent";
    refused_batches: Labelled<Counter, 1> = "fbf_refused_batches", Count, ["error"],
        "Batches of produce requests that were answered with an error";

    fetched_ahead: Counter = "fbf_fetched_ahead", Count, [],
        "Reads of a partition for Kafka's Fetch that got what had been located before they were asked for";

    journal_commit_duration: Histogram = "fbf_journal_commit_duration_seconds", Seconds, [],
        "Writing one commit of the journal, its sync included where storage.sync is commit";
    journal_batches: Counter = "fbf_journal_batches", Count, [], "Batches written to the journal";
    journal_written: Counter = "fbf_journal_written_bytes", Bytes, [], "Bytes written to the journal";

    topics: Gauge = "fbf_topics", Count, [], "Topics, the internal ones included";
    partitions: Gauge = "fbf_partitions", Count, [], "Their partitions";
    groups: Gauge = "fbf_groups", Count, [], "Consumer groups";
    fetch_memory_used: Gauge = "fbf_fetch_memory_used_bytes", Bytes, [], "Of limits.memory_bytes, what fetched batches take on their way to clients";

    http_connections: Gauge = "fbf_http_connections", Count, [], "Connections of HTTP clients that are open";
    http_requests: Labelled<Counter, 3> = "fbf_http_requests", Count, ["method", "route", "status"],
        "HTTP requests that were answered, by the route's pattern and the class of the status";
    http_request_duration: Labelled<Histogram, 2> = "fbf_http_request_duration_seconds", Seconds, ["method", "route"],
        "From a request's head to the head of its answer; a live stream goes on after that";
    http_memory_used: Gauge = "fbf_http_memory_used_bytes", Bytes, [], "Of http.memory_bytes, what bodies and answers take";

    webhook_endpoints: Labelled<Gauge, 1> = "fbf_webhook_endpoints", Count, ["state"], "Endpoints that are enabled and disabled";
    webhook_attempts: Labelled<Counter, 1> = "fbf_webhook_attempts", Count, ["outcome"], "Requests that were made to deliver an event";
    webhook_attempt_duration: Histogram = "fbf_webhook_attempt_duration_seconds", Seconds, [], "From a request's beginning to its answer";
    webhook_deliveries: Labelled<Counter, 1> = "fbf_webhook_deliveries", Count, ["status"], "Events that are settled, by what became of them";
    webhook_retries: Counter = "fbf_webhook_retries", Count, [], "Attempts that failed and are made again";
    webhook_postponed: Counter = "fbf_webhook_postponed_attempts", Count, [],
        "Attempts that were broken off, to be made among those of slow receivers";
    webhook_dead_letters: Labelled<Counter, 1> = "fbf_webhook_dead_letters", Count, ["reason"], "Dead letters that were written";
    webhook_replays: Counter = "fbf_webhook_replayed_ranges", Count, [], "Ranges of offsets that were to be sent again";
    webhook_replayed_offsets: Counter = "fbf_webhook_replayed_offsets", Count, [], "Offsets in them";
    webhook_unsettled: Labelled<Gauge, 1> = "fbf_webhook_unsettled_events", Count, ["endpoint"],
        "Events that were read for an endpoint, by its id, and are not settled";
    webhook_slots: Labelled<Gauge, 1> = "fbf_webhook_slots", Count, ["pool"], "Requests that may be under way at once";
    webhook_slots_used: Labelled<Gauge, 1> = "fbf_webhook_slots_used", Count, ["pool"], "Requests that are under way";
    webhook_memory_used: Labelled<Gauge, 1> = "fbf_webhook_memory_used_bytes", Bytes, ["use"],
        "Of hooks.memory_bytes, what events take that were read ahead, or again for a retry";
}

impl Metrics {
    /// All that is there now, as OpenMetrics 1.0.0.
    ///
    /// # Errors
    /// Never; that a string takes what is written to it is not in its types.
    pub fn open_metrics(&self) -> Result<String, std::fmt::Error> {
        let mut shown = String::new();
        text::encode(&mut shown, &self.registry)?;
        Ok(shown)
    }

    /// The same in Prometheus' older format, 0.0.4, which everybody reads.
    ///
    /// # Errors
    /// As [`Metrics::open_metrics`].
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut shown = String::new();
        prometheus_text::encode(&mut shown, &self.registry)?;
        Ok(shown)
    }
}

/// How many there are, for a gauge.
#[must_use]
pub fn level(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Unit {
    /// What a name ends with.
    fn suffix(self) -> Option<Suffix> {
        match self {
            Unit::Seconds => Some(Suffix::Seconds),
            Unit::Bytes => Some(Suffix::Bytes),
            Unit::Count => None,
        }
    }
}

/// The registry puts the unit behind the name by itself.
fn register<K: Kind>(registry: &mut Registry, name: &str, unit: Unit, help: &str, metric: &K) {
    match unit.suffix() {
        None => registry.register(name, help, metric.registered()),
        Some(suffix) => {
            let end = format!("_{}", suffix.as_str());
            let short = name.strip_suffix(&end).unwrap_or(name);
            registry.register_with_unit(short, help, suffix, metric.registered());
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: that names are what Prometheus' operators expect. Method: the table, and the text that comes of it.

    use super::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    /// What the formats put behind names themselves.
    const RESERVED: [&str; 5] = ["_total", "_count", "_sum", "_bucket", "_created"];

    fn is_word(text: &str) -> bool {
        text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && !text.contains("__")
    }

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let unique: BTreeSet<&str> = TABLE.iter().map(|row| row.name).collect();
        assert_eq!(unique.len(), TABLE.len());
        for row in TABLE {
            let name = row.name;
            assert!(name.starts_with("fbf_") && is_word(name), "{name}");
            assert!(!RESERVED.iter().any(|end| name.ends_with(end)), "{name}");
            let units = [(Unit::Seconds, "_seconds"), (Unit::Bytes, "_bytes")];
            for (unit, end) in units {
                assert_eq!(name.ends_with(end), row.unit == unit, "{name} is in {:?}", row.unit);
            }
            assert!(row.kind != MetricType::Histogram || row.unit == Unit::Seconds, "the bounds of {name} are seconds");
            assert!(row.labels.iter().all(|label| is_word(label) && !["le", "quantile"].contains(label)), "{name}");
            assert!(row.help.starts_with(|c: char| c.is_ascii_uppercase() || c == '1') && !row.help.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn what_has_no_labels_is_shown_from_the_start_with_type_and_unit() {
        let shown = Metrics::default().open_metrics().expect("it is written");
        for row in TABLE.iter().filter(|row| row.labels.is_empty()) {
            assert!(shown.contains(&format!("# TYPE {} {}\n", row.name, row.kind.as_str())), "{}", row.name);
            assert_eq!(shown.contains(&format!("# UNIT {} ", row.name)), row.unit != Unit::Count, "{}", row.name);
        }
        assert!(shown.ends_with("# EOF\n"));
    }

    #[test]
    fn both_formats_show_what_was_counted() {
        let metrics = Metrics::default();
        metrics.kafka_requests.of(["Produce"]).inc();
        metrics.kafka_requests.of(["Produce"]).inc();
        metrics.kafka_received.inc_by(7);
        metrics.http_requests.of(["GET", "/topics/{topic}", "2xx"]).inc();
        metrics.webhook_unsettled.of(["ep_1"]).set(3);
        metrics.webhook_unsettled.of(["ep_2"]).set(4);
        metrics.webhook_unsettled.forget(["ep_2"]);
        metrics.journal_commit_duration.observe(Duration::from_micros(300));
        metrics.journal_commit_duration.observe(Duration::from_secs(100));
        let formats = [metrics.open_metrics(), metrics.text()].map(|shown| shown.expect("it is written"));
        for shown in &formats {
            for line in [
                "fbf_kafka_requests_total{api=\"Produce\"} 2",
                "fbf_kafka_received_bytes_total 7",
                "fbf_http_requests_total{method=\"GET\",route=\"/topics/{topic}\",status=\"2xx\"} 1",
                "fbf_webhook_unsettled_events{endpoint=\"ep_1\"} 3",
                "fbf_journal_commit_duration_seconds_bucket{le=\"0.00025\"} 0",
                "fbf_journal_commit_duration_seconds_bucket{le=\"0.0005\"} 1",
                "fbf_journal_commit_duration_seconds_bucket{le=\"+Inf\"} 2",
                "fbf_journal_commit_duration_seconds_count 2",
            ] {
                assert!(shown.lines().any(|one| one == line), "{line} in:\n{shown}");
            }
            assert!(!shown.contains("ep_2"));
        }
    }

    #[test]
    fn what_is_held_counts_until_it_is_dropped() {
        let metrics = Metrics::default();
        let held = [Hold::of(&metrics.kafka_connections), Hold::of(&metrics.kafka_connections)];
        assert_eq!(metrics.kafka_connections.get(), 2);
        drop(held);
        assert_eq!(metrics.kafka_connections.get(), 0);
    }
}
