//! What was acknowledged, and whether it is there.

use super::number_of;
use crate::topics::Partitioned;
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::fetch_response::FetchResponse;
use protocol_tests::batch::parse_whole;
use protocol_tests::broker;
use protocol_tests::client::Client;
use protocol_tests::records::{FETCH_BY_NAME, Fetch};
use std::collections::HashMap;
use std::net::SocketAddr;

/// Partitions that are read at once, and the bytes of an answer.
const PARTITIONS: usize = 16;
const FETCH_BYTES: i32 = 32 << 20;
const PARTITION_BYTES: i32 = 4 << 20;
/// Missing batches that are named.
const NAMED_MAX: usize = 5;

/// A batch of one record.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    /// Index of its topic.
    pub topic: usize,
    pub partition: i32,
    pub offset: i64,
    pub number: u64,
}

/// Reads everything, checksums included, and holds it against what was acknowledged. `ends`: by topic and partition, after the restart.
///
/// # Errors
/// What could not be read, or is not where it was acknowledged.
pub fn check(
    address: SocketAddr,
    topics: &[Partitioned],
    ends: &[Vec<i64>],
    acknowledged: &[Acknowledged],
) -> Result<(), String> {
    let mut client = broker::patient(address);
    let mut missing: Vec<&Acknowledged> = Vec::new();
    for (index, (partitioned, ends)) in topics.iter().zip(ends).enumerate() {
        let kept = read(&mut client, partitioned, ends)?;
        let own = acknowledged.iter().filter(|batch| batch.topic == index);
        missing.extend(own.filter(|batch| kept.get(&(batch.partition, batch.offset)) != Some(&batch.number)));
    }
    if missing.is_empty() {
        println!("all {} acknowledged batches are there", acknowledged.len());
        return Ok(());
    }
    let named: Vec<String> = missing.iter().take(NAMED_MAX).map(|batch| format!("{batch:?}")).collect();
    Err(format!("{} of {} acknowledged batches are gone: {}", missing.len(), acknowledged.len(), named.join(", ")))
}

/// The number of each record of a topic, by partition and offset.
fn read(client: &mut Client, partitioned: &Partitioned, ends: &[i64]) -> Result<HashMap<(i32, i64), u64>, String> {
    let mut kept = HashMap::new();
    // Partition, next offset, end.
    let mut left: Vec<(i32, i64, i64)> =
        (0..partitioned.partitions).zip(ends).filter(|(_, end)| **end > 0).map(|(partition, end)| (partition, 0, *end)).collect();
    while !left.is_empty() {
        let mut fetch = Fetch::of(&partitioned.topic, 0, 0).unchanged();
        for (partition, next, _) in left.iter().take(PARTITIONS) {
            fetch = fetch.and(*partition, *next);
        }
        let fetch = fetch.at_most(FETCH_BYTES, PARTITION_BYTES);
        let answer: Result<FetchResponse, _> = client.try_call(FETCH_BY_NAME, &fetch.request());
        let response = answer.map_err(|failure| failure.to_string())?;
        if take(&response, &mut left, &mut kept)? == 0 {
            return Err(format!("nothing was answered for {left:?} (partition, next offset, end) of {}", partitioned.topic.name));
        }
        left.retain(|(_, next, end)| next < end);
    }
    Ok(kept)
}

/// Notes the records of an answer and moves on; answers how many they were.
fn take(response: &FetchResponse, left: &mut [(i32, i64, i64)], kept: &mut HashMap<(i32, i64), u64>) -> Result<usize, String> {
    let mut count = 0;
    for answer in response.responses.iter().flat_map(|topic| &topic.partitions) {
        let index = answer.partition_index;
        if let Some(error) = answer.error_code.err() {
            return Err(format!("reading partition {index}: {error}"));
        }
        for batch in parse_whole(&answer.records.clone().unwrap_or_default())? {
            for record in &batch.records {
                let value = record.value.as_deref().unwrap_or_default();
                let number = number_of(value).ok_or_else(|| format!("partition {index} at {}: no number", record.offset))?;
                kept.insert((index, record.offset), number);
                count += 1;
            }
            if let Some(place) = left.iter_mut().find(|place| place.0 == index) {
                place.1 = batch.last_offset + 1;
            }
        }
    }
    Ok(count)
}
