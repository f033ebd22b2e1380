//! Settings of single groups (KIP-848): overrides by name, kept for a group whether or not it has members, as in Kafka.

use super::{CatalogError, Inner, Snapshot, commits};
use crate::config::group;
use crate::store::StoreError;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::info;

pub(super) const PREFIX: &str = "groups/";

/// Settings that were set for a group, by Kafka's names.
pub type Overrides = BTreeMap<String, String>;

/// One change of a group's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub name: String,
    /// `None`: back to the default.
    pub value: Option<String>,
}

pub(super) fn key(id: &str) -> String {
    format!("{PREFIX}{id}")
}

pub(super) fn read(id: &str, value: &Bytes) -> Result<Arc<Overrides>, StoreError> {
    commits::read(&key(id), value).map(Arc::new)
}

impl Snapshot {
    /// What was set for the group `id`; `None`: nothing.
    #[must_use]
    pub fn group_overrides(&self, id: &str) -> Option<&Arc<Overrides>> {
        self.groups.get(id)
    }

    /// The overrides of `id` after `changes`.
    ///
    /// # Errors
    /// [`CatalogError::InvalidConfig`].
    fn changed(&self, id: &str, changes: &[Change], kafka: &crate::config::KafkaSettings) -> Result<Overrides, CatalogError> {
        let mut overrides = self.group_overrides(id).map(|overrides| Overrides::clone(overrides)).unwrap_or_default();
        for change in changes {
            match &change.value {
                Some(value) => overrides.insert(change.name.clone(), value.clone()),
                None => overrides.remove(&change.name),
            };
        }
        // Also a name that is taken away must be one that exists (ControllerConfigurationValidator).
        group::check(&overrides, kafka).map_err(CatalogError::InvalidConfig)?;
        Ok(overrides)
    }
}

impl Inner {
    pub(super) fn validate_group(&self, id: &str, changes: &[Change]) -> Result<(), CatalogError> {
        self.snapshot.load().changed(id, changes, &self.kafka).map(|_| ())
    }

    pub(super) async fn alter_group(&self, id: &str, changes: &[Change]) -> Result<(), CatalogError> {
        let mut commits = self.commits.lock().await;
        let snapshot = self.snapshot.load_full();
        let overrides = snapshot.changed(id, changes, &self.kafka)?;
        commits.put_group(id, &overrides).await?;
        info!(group = id, ?overrides, "group settings changed");
        self.publish(&snapshot, |next| {
            if overrides.is_empty() {
                next.groups.remove(id);
            } else {
                next.groups.insert(id.to_owned(), Arc::new(overrides));
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::config::KafkaSettings;
    use crate::env::Env;
    use crate::ids::Timestamp;
    use crate::store::memory::MemoryStore;

    const SESSION: &str = "consumer.session.timeout.ms";

    fn set(name: &str, value: &str) -> Vec<Change> {
        vec![Change { name: name.to_owned(), value: Some(value.to_owned()) }]
    }

    #[tokio::test]
    async fn settings_of_a_group_are_checked_durable_and_can_be_taken_back() {
        let (store, env) = (MemoryStore::new(), Env::manual(Timestamp(0), 1));
        let open = || Catalog::open(store.clone(), env.clone(), Arc::new(KafkaSettings::default()), None);
        let catalog = open().await.expect("opens");
        let version = catalog.snapshot().version;
        for (name, value) in [("nonsense", "1"), (SESSION, "x"), (SESSION, "1"), (SESSION, "70000")] {
            let refused = catalog.alter_group("g", set(name, value)).await;
            assert!(matches!(refused, Err(CatalogError::InvalidConfig(_))), "{name}={value}");
        }
        assert!(catalog.validate_group("g", &set(SESSION, "50000")).is_ok());
        assert_eq!((catalog.snapshot().group_overrides("g"), catalog.snapshot().version), (None, version), "nothing has changed");

        catalog.alter_group("g", set(SESSION, "50000")).await.expect("taken");
        assert!(catalog.snapshot().version > version);
        let catalog = open().await.expect("opens");
        let own = catalog.snapshot().group_overrides("g").and_then(|overrides| overrides.get(SESSION).cloned());
        assert_eq!(own.as_deref(), Some("50000"));
        catalog.alter_group("g", vec![Change { name: SESSION.to_owned(), value: None }]).await.expect("taken back");
        assert_eq!(open().await.expect("opens").snapshot().group_overrides("g"), None);
    }
}
