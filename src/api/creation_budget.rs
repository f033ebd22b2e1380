//! What one request may create: CreateTopics, CreatePartitions, and Metadata where it makes topics.
//!
//! Source: ReplicationControlManager.MAX_PARTITIONS_PER_BATCH, which is 10,000; ours cost no files, so that there may be more.

use crate::catalog::CatalogError;

/// The most partitions that one request creates, so that it cannot hold up other changes for long.
pub const PARTITIONS_PER_REQUEST: u32 = 100_000;
/// A topic costs a synced commit of its own, as much as some partitions: 10,000 of the smallest are the most.
const PARTITIONS_AT_LEAST: u32 = 10;

/// How much a request may still create.
#[derive(Debug)]
pub struct CreationBudget(u32);

impl Default for CreationBudget {
    /// That of a request that has created nothing yet.
    fn default() -> CreationBudget {
        CreationBudget(PARTITIONS_PER_REQUEST)
    }
}

impl CreationBudget {
    /// Takes what a topic of so many partitions costs, or so many more partitions of one.
    ///
    /// # Errors
    /// [`CatalogError::InvalidPartitions`]: more than is left, of which nothing is taken.
    pub fn take(&mut self, partitions: u32) -> Result<(), CatalogError> {
        let left = self.0.checked_sub(partitions.max(PARTITIONS_AT_LEAST)).ok_or_else(|| {
            CatalogError::InvalidPartitions(format!(
                "The request creates more than {PARTITIONS_PER_REQUEST} partitions (a topic counts as {PARTITIONS_AT_LEAST} at least); \
                 create them in several requests."
            ))
        })?;
        self.0 = left;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_topics_or_one_large_one_use_it_up() {
        let mut small = CreationBudget::default();
        assert_eq!((0..20_000).filter(|_| small.take(1).is_ok()).count(), 10_000);
        let mut large = CreationBudget::default();
        assert!(large.take(PARTITIONS_PER_REQUEST + 1).is_err());
        assert!(large.take(PARTITIONS_PER_REQUEST).is_ok(), "what is refused takes nothing");
        assert!(large.take(1).is_err());
    }
}
