//! Where Kafka's active segment would begin: compaction leaves what is in it alone, so `segment.bytes` and `segment.ms` decide when a record
//! may be compacted. A log has no files of its own here; this is all there is of its segments. Source: LogSegment.shouldRoll.

use crate::config::topic::TopicSettings;
use crate::ids::{Offset, Timestamp};
use crate::records::BatchHeader;

/// The active segment of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveSegment {
    /// Its first offset.
    pub base: Offset,
    pub bytes: u64,
    /// The largest timestamp of its first batch.
    pub begun: Timestamp,
}

impl ActiveSegment {
    /// An empty one at the end of a log.
    #[must_use]
    pub fn empty(base: Offset) -> ActiveSegment {
        ActiveSegment { base, bytes: 0, begun: Timestamp::NONE }
    }

    /// A batch is appended at `first`; `now` is its time when it has none.
    pub fn add(&mut self, first: Offset, header: &BatchHeader, settings: &TopicSettings, now: Timestamp) {
        let batch_bytes = header.batch_bytes as u64;
        let time = if header.max_timestamp == Timestamp::NONE { now } else { header.max_timestamp };
        let bytes_max = u64::try_from(settings.segment_bytes).unwrap_or(u64::MAX);
        let is_full = self.bytes + batch_bytes > bytes_max || time.ms_since(self.begun) > settings.segment_ms_max();
        if self.bytes == 0 || is_full {
            *self = ActiveSegment { base: first, bytes: 0, begun: time };
        }
        self.bytes += batch_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KafkaSettings;
    use crate::records::BatchBuilder;

    fn settings(overrides: &[(&str, &str)]) -> TopicSettings {
        let overrides = overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        TopicSettings::resolve(&overrides, &KafkaSettings::default()).expect("valid")
    }

    /// The active segment's base after batches of one small record at these times.
    fn bases(settings: &TopicSettings, times: &[i64]) -> Vec<i64> {
        let mut segment = ActiveSegment::empty(Offset(0));
        let mut bases = Vec::new();
        for (offset, time) in (0_i64..).zip(times) {
            let batch = BatchBuilder::new(Timestamp(*time)).record(Some(b"k"), Some(&[0; 100])).build();
            let header = BatchHeader::parse(&batch).expect("our own batch");
            segment.add(Offset(offset), &header, settings, Timestamp(*time));
            bases.push(segment.base.0);
        }
        bases
    }

    #[test]
    fn a_segment_ends_by_size_by_time_and_by_the_compaction_lag() {
        let by_size = settings(&[("segment.bytes", "400")]);
        assert_eq!(bases(&by_size, &[1, 1, 1, 1, 1]), [0, 0, 2, 2, 4]);
        let by_time = settings(&[("segment.ms", "100")]);
        assert_eq!(bases(&by_time, &[1, 50, 101, 102, 202, 203]), [0, 0, 0, 3, 3, 5], "counted from the first batch");
        let by_lag = settings(&[("segment.ms", "100000"), ("max.compaction.lag.ms", "100"), ("cleanup.policy", "compact")]);
        assert_eq!(bases(&by_lag, &[1, 101, 102]), [0, 0, 2]);
        let without_compaction = settings(&[("max.compaction.lag.ms", "100")]);
        assert_eq!(bases(&without_compaction, &[1, 101, 102]), [0, 0, 0]);
    }

    #[test]
    fn a_batch_larger_than_a_segment_has_one_of_its_own() {
        assert_eq!(bases(&settings(&[("segment.bytes", "14")]), &[1, 1, 1]), [0, 1, 2]);
    }
}
