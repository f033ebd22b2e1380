//! Many partitions: topics of at most a thousand, because Kafka creates at most 10,000 partitions in one operation.

use bytes::Bytes;
use kafka_protocol::messages::ProduceRequest;
use protocol_tests::client::Client;
use protocol_tests::records::produce_topic;
use protocol_tests::topics::Topic;
use std::time::Duration;

const PARTITIONS_MAX: u64 = 1000;
const PATIENCE: Duration = Duration::from_secs(120);

/// A topic and its partitions.
#[derive(Debug, Clone)]
pub struct Partitioned {
    pub topic: Topic,
    pub partitions: i32,
}

/// Creates topics with so many partitions in all, and waits until each of them has a leader.
///
/// # Errors
/// When one gets none.
pub fn create(client: &mut Client, purpose: &str, total: u64) -> Result<Vec<Partitioned>, String> {
    let mut topics = Vec::new();
    for partitions in sizes(total) {
        let topic = client.create_topic(purpose, partitions, &[("retention.ms", "-1")]);
        client.wait_led(&topic, partitions, PATIENCE)?;
        topics.push(Partitioned { topic, partitions });
    }
    Ok(topics)
}

/// A Produce request (acks=all) with these batches, by partition.
pub fn request(topic: &Topic, batches: Vec<(i32, Bytes)>) -> ProduceRequest {
    ProduceRequest::default().with_acks(-1).with_timeout_ms(60_000).with_topic_data(vec![produce_topic(topic, batches)])
}

fn sizes(total: u64) -> Vec<i32> {
    let mut left = total;
    let mut sizes = Vec::new();
    while left > 0 {
        let size = left.min(PARTITIONS_MAX);
        sizes.push(i32::try_from(size).expect("at most a thousand"));
        left -= size;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_spread_over_topics_of_at_most_a_thousand() {
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(2000), [1000, 1000]);
        assert_eq!(sizes(2001), [1000, 1000, 1]);
    }
}
