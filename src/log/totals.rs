//! How much was ever appended to a log, and how fast it grows: what a topic's statistics show.
//!
//! Counted are records of producers, not the markers of transactions. Trimmed records stay counted. The counts go with the log's snapshot, so
//! that a restart reads only what came after it. Without a snapshot of a log whose front was trimmed, each trimmed offset counts as a record.

use crate::ids::{Offset, Timestamp};
use crate::records::BatchHeader;

/// Seconds over which the rate is the mean.
const WINDOW: usize = 10;

/// Records and bytes of their batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub records: u64,
    pub bytes: u64,
}

impl Totals {
    /// Those of a log that begins at `start`, of which nothing else is known.
    #[must_use]
    pub fn before(start: Offset) -> Totals {
        Totals { records: u64::try_from(start.0).unwrap_or(0), bytes: 0 }
    }

    /// A batch was appended.
    pub fn add(&mut self, header: &BatchHeader) {
        if !header.attributes.is_control() {
            self.records += u64::from(records_in(header));
            self.bytes += header.batch_bytes as u64;
        }
    }
}

/// Records per second, over the last whole seconds.
#[derive(Debug, Default)]
pub struct Rate {
    /// The second that each slot counts, and how many records came in it.
    slots: [(i64, u32); WINDOW + 1],
}

impl Rate {
    /// A batch arrived at `now`.
    pub fn add(&mut self, header: &BatchHeader, now: Timestamp) {
        if header.attributes.is_control() {
            return;
        }
        let second = now.0.div_euclid(1000);
        let slot = &mut self.slots[slot_of(second)];
        if slot.0 != second {
            *slot = (second, 0);
        }
        slot.1 = slot.1.saturating_add(records_in(header));
    }

    /// The mean of the last seconds that are over.
    #[must_use]
    pub fn per_second(&self, now: Timestamp) -> f64 {
        let second = now.0.div_euclid(1000);
        let window = second - WINDOW as i64..second;
        let records: u64 = self.slots.iter().filter(|slot| window.contains(&slot.0)).map(|slot| u64::from(slot.1)).sum();
        // Ten seconds' worth of a u32 each: exact in a double.
        records as f64 / WINDOW as f64
    }
}

fn slot_of(second: i64) -> usize {
    usize::try_from(second.rem_euclid(WINDOW as i64 + 1)).unwrap_or(0)
}

fn records_in(header: &BatchHeader) -> u32 {
    u32::try_from(header.record_count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::BatchBuilder;

    fn header(records: usize) -> BatchHeader {
        let builder = (0..records).fold(BatchBuilder::new(Timestamp(0)), |builder, _| builder.record(None, Some(b"v")));
        BatchHeader::parse(&builder.build()).expect("our own batch")
    }

    #[test]
    fn the_rate_is_the_mean_of_the_last_ten_whole_seconds() {
        let mut rate = Rate::default();
        rate.add(&header(40), Timestamp(100_000));
        assert_eq!(rate.per_second(Timestamp(100_999)), 0.0, "this second is not over");
        rate.add(&header(60), Timestamp(101_500));
        assert_eq!(rate.per_second(Timestamp(102_000)), 10.0);
        assert_eq!(rate.per_second(Timestamp(110_999)), 10.0);
        assert_eq!(rate.per_second(Timestamp(111_000)), 6.0, "the first is too old");
        rate.add(&header(10), Timestamp(111_000));
        assert_eq!(rate.per_second(Timestamp(112_000)), 1.0);
    }
}
