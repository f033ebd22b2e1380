//! Manual replica assignments: with one node, all that they can say is how many partitions there are, and that this node has them.
//! Texts as in ReplicationControlManager (createTopic, validateManualPartitionAssignment).

use super::CatalogError;
use crate::ids::{NodeId, PartitionIndex};
use std::collections::BTreeSet;

/// How many partitions a new topic has whose partitions were assigned by hand: `(index, broker ids)`, in any order.
///
/// # Errors
/// [`CatalogError::InvalidReplicaAssignment`] when an index is missing or repeated, or a replica is on a node that is not there.
pub fn partitions(assignments: &[(PartitionIndex, Vec<NodeId>)], node: NodeId) -> Result<i32, CatalogError> {
    let mut indices = BTreeSet::new();
    for (index, replicas) in assignments {
        if !indices.insert(*index) {
            return refuse(format!("Found multiple manual partition assignments for partition {index}"));
        }
        check_replicas(replicas, node)?;
    }
    if !(0..).zip(&indices).all(|(expected, index)| index.0 == expected) {
        return refuse("partitions should be a consecutive 0-based integer sequence".to_owned());
    }
    // More assignments than an i32 counts do not fit into a request; the catalog refuses such a number anyway.
    Ok(i32::try_from(indices.len()).unwrap_or(i32::MAX))
}

/// The replicas of one partition: this node, once.
///
/// # Errors
/// [`CatalogError::InvalidReplicaAssignment`].
pub fn check_replicas(replicas: &[NodeId], node: NodeId) -> Result<(), CatalogError> {
    if replicas.is_empty() {
        return refuse("The manual partition assignment includes an empty replica list.".to_owned());
    }
    if let Some(other) = replicas.iter().filter(|replica| **replica != node).min() {
        return refuse(format!("The manual partition assignment includes broker {other}, but no such broker is registered."));
    }
    if replicas.len() > 1 {
        return refuse(format!("The manual partition assignment includes the broker {node} more than once."));
    }
    Ok(())
}

fn refuse<T>(why: String) -> Result<T, CatalogError> {
    Err(CatalogError::InvalidReplicaAssignment(why))
}
