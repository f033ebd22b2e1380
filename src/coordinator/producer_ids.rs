//! Producer ids (KIP-98, KIP-730): unique for the life of the cluster, handed out from blocks that the catalog made durable.
//!
//! Owner: the current block, under a mutex that is held across the (rare) allocation of the next one on purpose: whoever comes
//! meanwhile needs that block as well. A crash loses the rest of a block, never repeats an id.

use crate::catalog::{Catalog, CatalogError};
use crate::ids::ProducerId;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Ids per durable block, as in Kafka (ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE).
const BLOCK: u32 = 1000;

/// Hands out producer ids.
pub struct ProducerIds {
    catalog: Arc<Catalog>,
    block: Mutex<Range<i64>>,
}

impl ProducerIds {
    /// Starts without a block; the first id allocates one.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>) -> ProducerIds {
        ProducerIds { catalog, block: Mutex::new(0..0) }
    }

    /// An id that nobody had before.
    ///
    /// # Errors
    /// What committing the next block answers.
    pub async fn next(&self) -> Result<ProducerId, CatalogError> {
        let mut block = self.block.lock().await;
        loop {
            if let Some(id) = block.next() {
                return Ok(ProducerId(id));
            }
            *block = self.catalog.allocate_producer_ids(BLOCK).await?;
        }
    }
}
