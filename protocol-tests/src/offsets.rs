//! Steps with ListOffsets: both ends of partitions, offsets by time, and whether partitions have a leader.

use crate::client::Client;
use crate::frame::topic_name;
use crate::topics::Topic;
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use std::time::{Duration, Instant};

/// Asks for the offset after the last record.
pub const LATEST: i64 = -1;
const LIST_OFFSETS: i16 = 7;
const POLL: Duration = Duration::from_millis(20);

/// A ListOffsets request for some partitions, all by the same timestamp.
#[must_use]
pub fn list_offsets_request(topic: &Topic, partitions: std::ops::Range<i32>, timestamp: i64) -> ListOffsetsRequest {
    let asked = partitions.map(|index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(timestamp));
    let topic = ListOffsetsTopic::default().with_name(topic_name(&topic.name)).with_partitions(asked.collect());
    ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
}

impl Client {
    /// What the broker says of each of `partitions` at `timestamp`, in its order.
    pub fn list_offsets(
        &mut self,
        topic: &Topic,
        partitions: std::ops::Range<i32>,
        timestamp: i64,
    ) -> Vec<ListOffsetsPartitionResponse> {
        let response = self.call(LIST_OFFSETS, &list_offsets_request(topic, partitions, timestamp));
        response.topics.into_iter().flat_map(|topic| topic.partitions).collect()
    }

    /// The offset of the first record of partition 0 that is not older than `timestamp`; −1 when there is none.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn offset_at(&mut self, topic: &Topic, timestamp: i64) -> i64 {
        let answers = self.list_offsets(topic, 0..1, timestamp);
        let answer = answers.first().expect("an answer for the partition");
        assert_eq!(answer.error_code.err(), None, "{} at {timestamp}", topic.name);
        answer.offset
    }

    /// Waits until every partition is answered for: Kafka creates topics first and elects leaders after.
    ///
    /// # Errors
    /// When one is not within `patience`.
    pub fn wait_led(&mut self, topic: &Topic, partitions: i32, patience: Duration) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let answers = self.list_offsets(topic, 0..partitions, LATEST);
            let refused = answers.iter().find_map(|answer| answer.error_code.err());
            match refused {
                None => return Ok(()),
                Some(error) if began.elapsed() > patience => return Err(format!("{} has no leader: {error}", topic.name)),
                Some(_) => std::thread::sleep(POLL),
            }
        }
    }
}
