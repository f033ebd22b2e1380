//! A consumer: reads its share of the partitions and measures how long each record took from when it was due.

use crate::payload;
use crate::run::Run;
use crate::seen::Seen;
use crate::session::Session;
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use protocol_tests::batch::parse_whole;
use protocol_tests::broker;
use protocol_tests::latency::Latencies;
use protocol_tests::records::FETCH_BY_NAME;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What one consumer has received.
pub struct Received {
    pub latencies: Latencies,
    pub seen: Seen,
    pub fetches: u64,
}

/// Reads until the run is over.
pub fn consume(run: &Run<'_>, index: u64) -> Result<Received, String> {
    let partitions = share(run.options.schedule.partitions, run.options.consumers, index);
    let mut session = Session::new(run.topic, &partitions, run.options.is_incremental);
    let mut received = Received { latencies: Latencies::new(), seen: Seen::new(run.options.schedule.total()), fetches: 0 };
    let mut client = broker::patient(run.address);
    while !run.is_over() {
        let answer: Result<FetchResponse, _> = client.try_call(FETCH_BY_NAME, &session.request());
        let response = answer.map_err(|failure| format!("consumer {index}: {failure}"))?;
        let now = run.elapsed();
        received.fetches += 1;
        if !session.answered(&response)? {
            continue;
        }
        for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
            take(run, &mut session, &mut received, partition, now)?;
        }
    }
    Ok(received)
}

/// The records of one partition, which arrived at `now`.
fn take(
    run: &Run<'_>,
    session: &mut Session,
    received: &mut Received,
    partition: &PartitionData,
    now: Duration,
) -> Result<(), String> {
    let index = partition.partition_index;
    if let Some(error) = partition.error_code.err() {
        return Err(format!("fetching from {}-{index}: {error}", run.topic.name));
    }
    let position = session.position(index);
    let mut new = 0;
    for batch in parse_whole(&partition.records.clone().unwrap_or_default())? {
        // A batch is answered whole, although its first records may have been read before.
        for record in batch.records.iter().filter(|record| record.offset >= position) {
            let value = record.value.as_deref().unwrap_or_default();
            let (number, due) = payload::read(value).ok_or_else(|| {
                format!(
                    "{}-{index} at {}: {} bytes are none of this program's records",
                    run.topic.name,
                    record.offset,
                    value.len()
                )
            })?;
            if received.seen.mark(number)? {
                new += 1;
                if run.options.schedule.is_measured(due) {
                    received.latencies.record(now.saturating_sub(due));
                }
            }
        }
        session.advance(index, batch.last_offset + 1);
    }
    run.received.fetch_add(new, Ordering::Relaxed);
    Ok(())
}

/// The partitions of consumer `index`.
fn share(partitions: u64, consumers: u64, index: u64) -> Vec<i32> {
    let own = (0..partitions).filter(|partition| partition % consumers == index);
    own.map(|partition| i32::try_from(partition).expect("partitions are counted in 31 bits")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_one_consumer() {
        assert_eq!(share(5, 2, 0), [0, 2, 4]);
        assert_eq!(share(5, 2, 1), [1, 3]);
    }
}
