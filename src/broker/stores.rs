//! What the configuration says of the store and of the schema registry.

use crate::config::{Config, Sync};
use crate::schema::{Level, Settings};
use crate::store::local::{LocalOptions, LocalStore, Meters, OnDamage, SyncPolicy};
use crate::store::memory::MemoryStore;
use crate::store::{LogStore, MetaStore};
use crate::tasks;
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn registry_settings(config: &Config) -> Settings {
    let schema = &config.schema;
    Settings {
        level: schema.compatibility.parse::<Level>().unwrap_or_default(),
        memory_bytes: schema.memory_bytes,
        cache_bytes: schema.cache_bytes,
    }
}

/// The store that the configuration asks for, as its two halves.
pub(super) async fn open_store(config: &Config, metrics: &Metrics) -> anyhow::Result<(Arc<dyn LogStore>, Arc<dyn MetaStore>)> {
    if config.storage.ephemeral {
        let store = MemoryStore::new();
        return Ok((store.clone(), store));
    }
    let storage = &config.storage;
    let options = LocalOptions {
        dir: storage.path.clone(),
        segment_bytes: storage.segment_bytes,
        queue_bytes: storage.queue_bytes,
        sync: match storage.sync {
            Sync::Commit => SyncPolicy::Commit,
            Sync::Interval => SyncPolicy::Interval(Duration::from_millis(storage.sync_interval_ms)),
            Sync::Os => SyncPolicy::Os,
        },
        zero_ahead: true,
        on_damage: OnDamage::Refuse,
        meters: Meters::new(metrics),
    };
    let store = tasks::blocking("open the store", move || LocalStore::open(options)).await?;
    Ok((store.clone(), store))
}
