//! Goal: the disk holds what the settings ask for, and little more, however long the server runs. Method: two days on a manual clock, on the
//! embedded store with small segments; five topics that keep by time, by size, by key, by both, and for ever.

use super::*;
use crate::config::KafkaSettings;
use crate::config::topic::TopicSettings;
use crate::env::Env;
use crate::ids::{LogId, Offset, Timestamp};
use crate::log::compaction::{self, Limits};
use crate::log::{LogOptions, Origin};
use crate::records::BatchBuilder;
use crate::store::local::{LocalOptions, LocalStore};
use std::path::Path;

const MIB: u64 = 1 << 20;
const STEP_MS: i64 = 10 * 60 * 1000;
const STEPS: i64 = 2 * 24 * 6;
const LIMITS: Limits = Limits { keys_bytes: 1 << 20, bytes_per_second: f64::MAX };

fn settings(overrides: &[(&str, &str)]) -> Arc<TopicSettings> {
    let all = overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Arc::new(TopicSettings::resolve(&all, &KafkaSettings::default()).expect("valid"))
}

fn journal_bytes(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir.join("journal")).expect("a journal");
    files.map(|file| file.and_then(|file| file.metadata()).map_or(0, |data| data.len())).sum()
}

/// 200 KiB in ten batches, of 50 keys.
async fn fill(partition: &Partition, env: &Env) {
    for number in 0..10 {
        let value = vec![b'v'; 4_096];
        let mut builder = BatchBuilder::new(env.now());
        for key in 0..5_u8 {
            builder = builder.record(Some(&[number * 5 + key]), Some(&value));
        }
        let appended = partition.append(builder.build(), Origin::Client).await.expect("taken");
        partition.wait_committed(appended.last).await.expect("committed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_is_bounded_over_two_days() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = LocalOptions { segment_bytes: MIB, zero_ahead: false, ..LocalOptions::new(dir.path()) };
    let store = LocalStore::open(options).expect("the store opens");
    let env = Env::manual(Timestamp(1_700_000_000_000), 1);
    let logs = Logs::new(store, env.clone(), LogOptions { tail_bytes: 1 << 16, producer_expiration_ms: 86_400_000 });
    let hour = "3600000";
    let compact = [("segment.ms", hour), ("delete.retention.ms", hour), ("cleanup.policy", "compact")];
    let kept = [
        settings(&[("retention.ms", hour)]),
        settings(&[("retention.ms", "-1"), ("retention.bytes", "1048576")]),
        settings(&compact),
        settings(&[compact[0], compact[1], ("cleanup.policy", "compact,delete"), ("retention.ms", hour)]),
    ];
    let mut partitions = Vec::new();
    for (id, settings) in (1..).zip(kept) {
        partitions.push(logs.open(LogId(id), settings).await.expect("opens"));
    }
    let forever = logs.open(LogId(9), settings(&[("retention.ms", "-1")])).await.expect("opens");
    let mut largest = 0;
    for step in 0..STEPS {
        for partition in &partitions {
            fill(partition, &env).await;
        }
        if step % 6 == 0 {
            let one = BatchBuilder::new(env.now()).record(Some(b"k"), Some(b"v")).build();
            let appended = forever.append(one, Origin::Client).await.expect("taken");
            forever.wait_committed(appended.last).await.expect("committed");
        }
        env.advance_ms(STEP_MS);
        sweep(&logs).await;
        compaction::sweep(partitions.clone(), &|| LIMITS).await;
        largest = largest.max(journal_bytes(dir.path()));
    }
    let written: i64 = partitions.iter().map(|partition| partition.next().0 * 4_096).sum();
    assert!(written > 200 << 20, "{written} bytes were written");
    assert!(largest <= 40 * MIB, "the journal took {largest} bytes");
    for (partition, most) in partitions.iter().zip([7, 6, 14, 14]) {
        assert!(partition.size() <= most * 205_000, "log {}: {} bytes", partition.log(), partition.size());
    }
    assert_eq!((forever.start(), forever.next()), (Offset(0), Offset(STEPS / 6)));
    let read = forever.read(Offset(0), 1 << 20, Offset(i64::MAX)).await.expect("readable");
    assert_eq!(read.len(), 48, "what is kept for ever is all there");
    logs.close().await.expect("closes");
}
