//! DescribeLogDirs' response, versions 1-5, of which the protocol library writes 1 to 4. 5 (KIP-1066) says of each directory whether it is cordoned: takes no
//! new partitions. Laid out as DescribeLogDirsResponse.json of Kafka 4.3 says.

use super::frame::Frame;
use super::message::{self, DecodeError};
use super::spans::SpanWriter;
use bytes::BufMut;
use kafka_protocol::messages::DescribeLogDirsResponse;
use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsTopic;

/// The last version that the library knows; the request of 5 is as this one's.
pub const LIKE: i16 = 4;

/// The whole frame: size prefix, header, body. No directory is cordoned.
///
/// # Errors
/// A response of more than 2 GiB.
pub fn frame(correlation_id: i32, response: &DescribeLogDirsResponse, version: i16) -> Result<Frame, DecodeError> {
    if version <= LIKE {
        return message::encode(correlation_id, response, version).map(Frame::from);
    }
    let mut out = SpanWriter::new(correlation_id, 256);
    // No tagged fields in the header.
    out.now.put_u8(0);
    out.now.put_i32(response.throttle_time_ms);
    out.now.put_i16(response.error_code);
    out.compact_length(response.results.len());
    for result in &response.results {
        out.now.put_i16(result.error_code);
        out.compact_string(Some(&result.log_dir));
        out.compact_length(result.topics.len());
        result.topics.iter().for_each(|topic| put_topic(&mut out, topic));
        out.now.put_i64(result.total_bytes);
        out.now.put_i64(result.usable_bytes);
        out.now.put_u8(u8::from(false));
        out.now.put_u8(0);
    }
    out.now.put_u8(0);
    out.finish()
}

fn put_topic(out: &mut SpanWriter, topic: &DescribeLogDirsTopic) {
    out.compact_string(Some(&topic.name));
    out.compact_length(topic.partitions.len());
    for partition in &topic.partitions {
        out.now.put_i32(partition.partition_index);
        out.now.put_i64(partition.partition_size);
        out.now.put_i64(partition.offset_lag);
        out.now.put_u8(u8::from(partition.is_future_key));
        out.now.put_u8(0);
    }
    out.now.put_u8(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use kafka_protocol::messages::describe_log_dirs_response::{DescribeLogDirsPartition, DescribeLogDirsResult};
    use kafka_protocol::messages::{ResponseHeader, TopicName};
    use kafka_protocol::protocol::{Decodable, StrBytes};

    fn result(name: &'static str) -> DescribeLogDirsResult {
        let partition = |index: i32| {
            DescribeLogDirsPartition::default()
                .with_partition_index(index)
                .with_partition_size(i64::from(index) + 10)
                .with_offset_lag(i64::from(index) + 20)
                .with_is_future_key(index == 1)
        };
        let topic = DescribeLogDirsTopic::default()
            .with_name(TopicName(StrBytes::from_static_str("t")))
            .with_partitions(vec![partition(0), partition(1)]);
        DescribeLogDirsResult::default()
            .with_error_code(56)
            .with_log_dir(StrBytes::from_static_str(name))
            .with_topics(vec![topic.clone(), topic])
            .with_total_bytes(7)
            .with_usable_bytes(6)
    }

    fn body(response: &DescribeLogDirsResponse, version: i16) -> Bytes {
        let mut bytes = frame(9, response, version).expect("encodes").head.slice(4..);
        ResponseHeader::decode(&mut bytes, 1).expect("a header");
        bytes
    }

    /// Each directory has one byte more, before its tagged fields: with one directory that is the last but two of all.
    #[test]
    fn version_5_is_version_4_with_a_flag_for_each_directory() {
        let one =
            DescribeLogDirsResponse::default().with_throttle_time_ms(3).with_error_code(35).with_results(vec![result("/a")]);
        let mut expected = body(&one, 4).to_vec();
        expected.insert(expected.len() - 2, 0);
        assert_eq!(body(&one, 5), expected);
        let two = one.clone().with_results(vec![result("/a"), result("/b")]);
        assert_eq!(body(&two, 5).len(), body(&two, 4).len() + 2);
        let none = one.with_results(Vec::new());
        assert_eq!(body(&none, 5), body(&none, 4));
    }
}
