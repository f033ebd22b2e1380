//! What a run has shown, as a table and as JSON.

use crate::cold::{Read, machine_memory_bytes};
use crate::options::Options;
use crate::producer::Sent;
use crate::seen::Seen;
use protocol_tests::latency::Latencies;
use serde_json::{Value, json};
use std::time::Duration;

pub struct Report {
    pub sent: Sent,
    pub seen: Seen,
    pub fetches: u64,
    /// From when a record was due.
    pub received: Latencies,
    pub acknowledged: Latencies,
    pub cold: Option<Read>,
    /// The broker's, in the measured time.
    pub cpu: Duration,
    pub memory_bytes: u64,
    pub peak_memory_bytes: u64,
}

impl Report {
    /// Whether every record arrived, and once.
    pub fn is_sound(&self) -> bool {
        self.seen.lost() == 0 && self.seen.duplicates == 0
    }

    /// Records per second that were sent, over all of the run.
    fn rate(&self) -> f64 {
        self.sent.records as f64 / self.sent.last.as_secs_f64().max(1e-9)
    }

    pub fn text(&self, options: &Options) -> String {
        let schedule = &options.schedule;
        let mut lines = vec![
            format!(
                "{} records/s of {} B to {} partitions, {} producers (linger {:?}, {} in flight), {} consumers, {:?} after {:?} of warm-up",
                schedule.rate,
                options.record_bytes,
                schedule.partitions,
                schedule.producers,
                options.linger,
                options.in_flight,
                options.consumers,
                schedule.measured,
                schedule.warm_up
            ),
            format!("{:<28}{}", "ms from when it was due to", Latencies::headings()),
            format!("{:<28}{}", "its acknowledgement", self.acknowledged.row()),
            format!("{:<28}{}", "its receipt", self.received.row()),
            format!(
                "sent {}, received {}, lost {}, duplicated {}; measured {} of {}",
                self.sent.records,
                self.seen.received(),
                self.seen.lost(),
                self.seen.duplicates,
                self.received.count(),
                schedule.measured_records()
            ),
            format!(
                "achieved {:.0} records/s in {} produce requests and {} fetches; at worst {:.3} ms behind the schedule",
                self.rate(),
                self.sent.requests,
                self.fetches,
                milliseconds(self.sent.behind)
            ),
            format!(
                "broker: {:.2} CPU s in the measured time ({:.2} of a core), RSS {} MB, peak {} MB",
                self.cpu.as_secs_f64(),
                self.cpu.as_secs_f64() / schedule.measured.as_secs_f64(),
                self.memory_bytes / 1_000_000,
                self.peak_memory_bytes / 1_000_000
            ),
        ];
        lines.extend(self.cold.iter().map(|read| cold_line(read, options)));
        lines.join("\n")
    }

    pub fn json(&self, options: &Options) -> Value {
        let schedule = &options.schedule;
        json!({
            "rate": schedule.rate,
            "record_bytes": options.record_bytes,
            "partitions": schedule.partitions,
            "producers": schedule.producers,
            "consumers": options.consumers,
            "linger_ms": milliseconds(options.linger),
            "measured_s": schedule.measured.as_secs_f64(),
            "acknowledged": self.acknowledged.json(),
            "received": self.received.json(),
            "sent_records": self.sent.records,
            "received_records": self.seen.received(),
            "lost": self.seen.lost(),
            "duplicated": self.seen.duplicates,
            "achieved_rate": self.rate(),
            "behind_ms": milliseconds(self.sent.behind),
            "produce_requests": self.sent.requests,
            "fetches": self.fetches,
            "broker_cpu_s": self.cpu.as_secs_f64(),
            "broker_memory_bytes": self.memory_bytes,
            "broker_peak_memory_bytes": self.peak_memory_bytes,
            "cold_gb": options.cold_gb,
            "cold_mb_s": self.cold.as_ref().map(megabytes_per_second),
            "cold_passes": self.cold.as_ref().map(|read| read.passes),
        })
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn megabytes_per_second(read: &Read) -> f64 {
    read.bytes as f64 / 1e6 / read.took.as_secs_f64().max(1e-9)
}

fn cold_line(read: &Read, options: &Options) -> String {
    let is_cached = options.cold_gb * 1e9 < machine_memory_bytes() as f64;
    let note = if is_cached { "; the system's cache has room for all of it" } else { "" };
    format!("cold reads: {:.0} MB/s, {} whole passes of {} GB{note}", megabytes_per_second(read), read.passes, options.cold_gb)
}
