//! AlterReplicaLogDirs, key 34, versions 1-2.
//!
//! Behaviour: there is one directory, the one that DescribeLogDirs names, and every partition is in it: to move one there is done
//! at once. Any other directory is LOG_DIR_NOT_FOUND, before it is asked whether the partition exists
//! (ReplicaManager.alterReplicaLogDirs).
//!
//! Version notes: 2 is flexible.
//! Not implemented: nothing.

use super::describe_log_dirs::directory_name;
use super::errors::{NONE, ResponseError};
use super::{Answer, Context, Handler};
use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, TopicName};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

pub struct AlterReplicaLogDirs;

impl Handler for AlterReplicaLogDirs {
    type Request = AlterReplicaLogDirsRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=2;

    async fn handle(context: Context, request: AlterReplicaLogDirsRequest) -> Answer<AlterReplicaLogDirsResponse> {
        let own = directory_name(&context.broker.config);
        // A topic's partitions may be asked into several directories; its answers come together.
        let mut results: BTreeMap<TopicName, Vec<AlterReplicaLogDirPartitionResult>> = BTreeMap::new();
        for directory in request.dirs {
            let is_own = directory.path.as_str() == own;
            for asked in directory.topics {
                let topic = context.broker.catalog.topic(&asked.name);
                let result = |index: i32| {
                    let exists = topic.as_ref().is_some_and(|topic| topic.has(index));
                    let error_code = if !is_own {
                        ResponseError::LogDirNotFound.code()
                    } else if exists {
                        NONE
                    } else {
                        ResponseError::UnknownTopicOrPartition.code()
                    };
                    AlterReplicaLogDirPartitionResult::default().with_partition_index(index).with_error_code(error_code)
                };
                let partitions = asked.partitions.into_iter().map(result);
                results.entry(asked.name).or_default().extend(partitions);
            }
        }
        let result =
            |(name, partitions)| AlterReplicaLogDirTopicResult::default().with_topic_name(name).with_partitions(partitions);
        Answer::Now(AlterReplicaLogDirsResponse::default().with_results(results.into_iter().map(result).collect()))
    }

    fn unsupported() -> AlterReplicaLogDirsResponse {
        AlterReplicaLogDirsResponse::default()
    }
}
