//! When each record is due. Records have numbers; number and rate fix time, producer and partition, so that nobody has to remember them.

use std::time::Duration;

const NANOSECONDS: u128 = 1_000_000_000;

/// See the file's header. Times count from the start of the run; the warm-up comes first and is not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Records per second.
    pub rate: u64,
    pub producers: u64,
    pub partitions: u64,
    pub warm_up: Duration,
    pub measured: Duration,
}

impl Schedule {
    /// The moment at which the last record is past.
    pub fn end(&self) -> Duration {
        self.warm_up + self.measured
    }

    /// Records of the whole run, warm-up included: those that are due before its end.
    pub fn total(&self) -> u64 {
        self.due_before(self.end())
    }

    /// Records that are measured.
    pub fn measured_records(&self) -> u64 {
        self.total() - self.due_before(self.warm_up)
    }

    /// When record `number` is due.
    pub fn intended(&self, number: u64) -> Duration {
        let nanoseconds = u128::from(number) * NANOSECONDS / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    pub fn is_measured(&self, intended: Duration) -> bool {
        intended >= self.warm_up
    }

    /// Producers take turns, record by record, and each of them takes the partitions in turn.
    pub fn partition(&self, number: u64) -> usize {
        usize::try_from(number / self.producers % self.partitions).expect("a small number")
    }

    /// How many records are due before `moment`.
    fn due_before(&self, moment: Duration) -> u64 {
        let records = (moment.as_nanos() * u128::from(self.rate)).div_ceil(NANOSECONDS);
        u64::try_from(records).expect("a run is shorter than that")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(rate: u64) -> Schedule {
        Schedule { rate, producers: 4, partitions: 16, warm_up: Duration::from_secs(2), measured: Duration::from_secs(3) }
    }

    #[test]
    fn records_are_due_at_equal_distances_up_to_the_end() {
        let schedule = schedule(20_000);
        assert_eq!((schedule.total(), schedule.measured_records()), (100_000, 60_000));
        assert_eq!(schedule.intended(0), Duration::ZERO);
        assert_eq!(schedule.intended(1), Duration::from_micros(50));
        assert_eq!(schedule.intended(40_000), schedule.warm_up);
        assert!(schedule.intended(schedule.total() - 1) < schedule.end());
        assert!(schedule.intended(schedule.total()) >= schedule.end());
    }

    #[test]
    fn a_rate_that_divides_no_second_does_not_drift() {
        let schedule = schedule(7);
        assert_eq!(schedule.intended(7), Duration::from_secs(1));
        assert_eq!(schedule.intended(7_000_000), Duration::from_secs(1_000_000));
        assert_eq!((schedule.total(), schedule.measured_records()), (35, 21));
    }

    #[test]
    fn the_warm_up_is_not_measured() {
        let schedule = schedule(20_000);
        assert!(!schedule.is_measured(schedule.intended(39_999)));
        assert!(schedule.is_measured(schedule.intended(40_000)));
    }

    #[test]
    fn every_producer_takes_every_partition_in_turn() {
        let schedule = schedule(20_000);
        for producer in 0..4 {
            let partitions: Vec<usize> = (0..16).map(|turn| schedule.partition(producer + 4 * turn)).collect();
            assert_eq!(partitions, (0..16).collect::<Vec<usize>>());
        }
    }
}
