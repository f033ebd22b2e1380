//! What the broker has used up to a moment, and between two of them.

use protocol_tests::process::Process;
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy)]
pub struct Usage {
    at: Instant,
    cpu: Duration,
    pub memory_bytes: u64,
}

impl Usage {
    /// Until now.
    pub fn of(process: Process) -> Usage {
        Usage { at: Instant::now(), cpu: process.cpu(), memory_bytes: process.memory_bytes() }
    }

    pub fn memory_mb(&self) -> f64 {
        self.memory_bytes as f64 / 1e6
    }

    /// Processor seconds from `before` on.
    pub fn cpu_since(&self, before: &Usage) -> f64 {
        self.cpu.saturating_sub(before.cpu).as_secs_f64()
    }

    pub fn seconds_since(&self, before: &Usage) -> f64 {
        self.at.saturating_duration_since(before.at).as_secs_f64()
    }

    /// Bytes of memory from `before` on, for each of `count`; negative when it gave some back.
    pub fn bytes_each_since(&self, before: &Usage, count: u64) -> f64 {
        (self.memory_bytes as f64 - before.memory_bytes as f64) / count as f64
    }
}

/// A line of a table: each word right-aligned under its heading.
pub fn line(words: &[String]) -> String {
    let columns: Vec<String> = words.iter().map(|word| format!("{word:>14}")).collect();
    columns.join(" ")
}

/// The headings of a table.
pub fn headings(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    line(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_a_difference() {
        let at = Instant::now();
        let before = Usage { at, cpu: Duration::from_secs(1), memory_bytes: 1_000_000 };
        let after = Usage { at: at + Duration::from_secs(2), cpu: Duration::from_millis(1500), memory_bytes: 500_000 };
        assert!((after.cpu_since(&before) - 0.5).abs() < 1e-9);
        assert!((after.seconds_since(&before) - 2.0).abs() < 1e-9);
        assert!((after.bytes_each_since(&before, 10) + 50_000.0).abs() < 1e-9);
    }

    #[test]
    fn headings_stand_over_their_columns() {
        assert_eq!(headings(&["a", "b"]).len(), line(&["1".to_owned(), "2".to_owned()]).len());
    }
}
