//! DescribeLogDirs, key 35, versions 1-5.
//!
//! Behaviour: one directory, the data's, with the bytes of batches that each partition holds, and the size and the free space of its file system.
//! A request that names partitions gets those; without names, all. What is in memory only is in the directory `memory`, without a size.
//!
//! Version notes: 3 (KIP-784) has an error of the whole; 4 (KIP-827) the sizes of the file system; 5 (KIP-1066) whether the directory is
//! cordoned, which it never is: `cordoned.log.dirs` has no meaning here.
//! Not implemented: nothing.

use super::errors::{NONE, ResponseError};
use super::{Answer, Context, Handler};
use crate::catalog::Topic;
use crate::config::Config;
use crate::tasks;
use crate::wire::describe_log_dirs as wire;
use crate::wire::frame::Frame;
use crate::wire::message::DecodeError;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;

/// Where sizes come in.
const VOLUME: i16 = 4;
/// "Not known".
const UNKNOWN: i64 = -1;

pub struct DescribeLogDirs;

impl Handler for DescribeLogDirs {
    type Request = DescribeLogDirsRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=5;
    const LAYOUT_MAX: i16 = wire::LIKE;

    async fn handle(context: Context, request: DescribeLogDirsRequest) -> Answer<DescribeLogDirsResponse> {
        Answer::Later(Box::pin(async move {
            let mut topics = Vec::new();
            for (topic, partitions) in asked(&context, request.topics) {
                let mut described = Vec::with_capacity(partitions.len());
                for index in partitions {
                    // One that cannot be opened is not there to be described.
                    let Ok(partition) = context.partition_of(&topic, index).await else { continue };
                    let size = i64::try_from(partition.size()).unwrap_or(i64::MAX);
                    described.push(DescribeLogDirsPartition::default().with_partition_index(index).with_partition_size(size));
                }
                let name = TopicName(StrBytes::from_string(topic.name.clone()));
                topics.push(DescribeLogDirsTopic::default().with_name(name).with_partitions(described));
            }
            let config = &context.broker.config;
            let sizes = sizes(config).await;
            let result = DescribeLogDirsResult::default()
                .with_error_code(NONE)
                .with_log_dir(StrBytes::from_string(directory_name(config)))
                .with_topics(topics);
            let result = match context.version {
                VOLUME.. => result.with_total_bytes(sizes.0).with_usable_bytes(sizes.1),
                _ => result,
            };
            DescribeLogDirsResponse::default().with_results(vec![result])
        }))
    }

    fn unsupported() -> DescribeLogDirsResponse {
        DescribeLogDirsResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }

    fn frame(correlation_id: i32, response: DescribeLogDirsResponse, version: i16) -> Result<Frame, DecodeError> {
        wire::frame(correlation_id, &response, version)
    }
}

/// The partitions that a request means, as far as they exist.
fn asked(context: &Context, topics: Option<Vec<DescribableLogDirTopic>>) -> Vec<(Arc<Topic>, Vec<i32>)> {
    let snapshot = context.broker.catalog.snapshot();
    match topics {
        None => snapshot.topics.values().map(|topic| (topic.clone(), topic.partitions().collect())).collect(),
        Some(topics) => {
            // A topic may be named twice; it is described once.
            let mut named: BTreeMap<String, Vec<i32>> = BTreeMap::new();
            for topic in topics {
                named.entry(topic.topic.to_string()).or_default().extend(topic.partitions);
            }
            let existing = named.into_iter().filter_map(|(name, mut partitions)| {
                let topic = snapshot.topic(&name)?;
                partitions.sort_unstable();
                partitions.dedup();
                partitions.retain(|index| topic.has(*index));
                Some((topic, partitions))
            });
            existing.collect()
        }
    }
}

/// The name of the one directory.
pub(super) fn directory_name(config: &Config) -> String {
    match config.storage.ephemeral {
        true => "memory".to_owned(),
        false => path(config).to_string_lossy().into_owned(),
    }
}

fn path(config: &Config) -> PathBuf {
    absolute(&config.storage.path).unwrap_or_else(|_| config.storage.path.clone())
}

/// How large the directory's file system is and how much of it is free.
async fn sizes(config: &Config) -> (i64, i64) {
    if config.storage.ephemeral {
        return (UNKNOWN, UNKNOWN);
    }
    let path = path(config);
    tasks::blocking("size of the data directory", move || volume(&path)).await
}

fn volume(path: &Path) -> (i64, i64) {
    let Ok(volume) = rustix::fs::statvfs(path) else { return (UNKNOWN, UNKNOWN) };
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(volume.f_frsize)).unwrap_or(i64::MAX);
    (bytes(volume.f_blocks), bytes(volume.f_bavail))
}
