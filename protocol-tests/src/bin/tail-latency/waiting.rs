//! Records that are due and not sent yet, by partition, until they become one request.

use crate::payload;
use crate::schedule::Schedule;
use bytes::Bytes;
use protocol_tests::batch::Batch;
use protocol_tests::now_ms;
use std::time::Duration;

/// Bytes of one batch, below Kafka's `message.max.bytes`; what each record costs beyond its value is below 30.
const BATCH_BYTES_MAX: usize = 950_000;
const OVERHEAD_BYTES: usize = 30;

pub struct Waiting {
    /// Numbers of records, by partition.
    partitions: Vec<Vec<u64>>,
    record_bytes: usize,
    /// When the oldest record was due.
    pub first: Option<Duration>,
    /// No partition has more records than fit into a batch; one has as many.
    pub is_full: bool,
}

impl Waiting {
    pub fn new(schedule: &Schedule, record_bytes: usize) -> Waiting {
        let partitions = usize::try_from(schedule.partitions).expect("a small number");
        Waiting { partitions: vec![Vec::new(); partitions], record_bytes, first: None, is_full: false }
    }

    /// Takes the records of one producer, whose next one is `next`, that are due at `now`; answers the next one after them.
    pub fn collect(&mut self, schedule: &Schedule, mut next: u64, now: Duration) -> u64 {
        let total = schedule.total();
        let records_max = (BATCH_BYTES_MAX / (self.record_bytes + OVERHEAD_BYTES)).max(1);
        while next < total && !self.is_full && schedule.intended(next) <= now {
            self.first = self.first.or(Some(schedule.intended(next)));
            let partition = &mut self.partitions[schedule.partition(next)];
            partition.push(next);
            self.is_full = partition.len() >= records_max;
            next += schedule.producers;
        }
        next
    }

    /// A batch for each partition that has records, and when each record was due. Nothing waits after.
    pub fn take(&mut self, schedule: &Schedule) -> (Vec<(i32, Bytes)>, Vec<Duration>) {
        let (mut batches, mut due) = (Vec::new(), Vec::new());
        let timestamp = now_ms();
        for (index, numbers) in self.partitions.iter_mut().enumerate().filter(|(_, numbers)| !numbers.is_empty()) {
            let mut batch = Batch::default();
            for number in numbers.drain(..) {
                let intended = schedule.intended(number);
                batch = batch.record(timestamp, None, Some(&payload::write(number, intended, self.record_bytes)));
                due.push(intended);
            }
            batches.push((i32::try_from(index).expect("a small number"), batch.build()));
        }
        (self.first, self.is_full) = (None, false);
        (batches, due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        Schedule { rate: 1000, producers: 2, partitions: 3, warm_up: Duration::ZERO, measured: Duration::from_secs(10) }
    }

    #[test]
    fn only_what_is_due_is_taken_and_by_its_producer() {
        let schedule = schedule();
        let mut waiting = Waiting::new(&schedule, 100);
        let next = waiting.collect(&schedule, 1, Duration::from_millis(8));
        assert_eq!((next, waiting.first), (9, Some(Duration::from_millis(1))));
        let (batches, due) = waiting.take(&schedule);
        assert_eq!(batches.iter().map(|(partition, _)| *partition).collect::<Vec<i32>>(), [0, 1, 2]);
        assert_eq!(due.len(), 4);
        assert_eq!(waiting.first, None);
        assert_eq!(waiting.collect(&schedule, 9, Duration::from_millis(8)), 9);
    }

    #[test]
    fn a_producer_that_is_far_behind_sends_batches_that_are_still_taken() {
        let schedule = schedule();
        let mut waiting = Waiting::new(&schedule, 100_000);
        let next = waiting.collect(&schedule, 0, Duration::from_secs(5));
        assert!(waiting.is_full);
        let (batches, due) = waiting.take(&schedule);
        assert!(batches.iter().all(|(_, batch)| batch.len() < 1_000_000));
        assert_eq!(next, 2 * due.len() as u64);
    }
}
