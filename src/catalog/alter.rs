//! A topic's settings, changed while it is there (KIP-339; ConfigurationControlManager.incrementalAlterConfig).

use super::dynamic::Change;
use super::{CatalogError, Inner, Snapshot, Topic};
use crate::config::properties;
use crate::config::topic::{TopicSettings, broker_value};
use std::sync::Arc;
use tracing::info;

/// The topic as it is after `changes`.
pub(super) fn altered(snapshot: &Snapshot, name: &str, changes: &[Change]) -> Result<Topic, CatalogError> {
    let kafka = snapshot.effective_kafka();
    let topic = snapshot.topic(name);
    let mut overrides = topic.as_ref().map(|topic| topic.overrides.clone()).unwrap_or_default();
    for change in changes {
        let default = || properties::topic(&change.name).and_then(|topic| broker_value(topic, kafka)).unwrap_or_default();
        change.apply(&mut overrides, default).map_err(CatalogError::InvalidConfig)?;
    }
    let settings = TopicSettings::resolve(&overrides, kafka).map_err(CatalogError::InvalidConfig)?;
    // What is wrong with the settings comes first (ConfigurationControlManager.validateAlterConfig).
    let topic = topic.ok_or_else(|| CatalogError::UnknownTopic(name.to_owned()))?;
    Ok(Topic { overrides, settings: Arc::new(settings), ..Topic::clone(&topic) })
}

impl Inner {
    pub(super) async fn alter_topic(&self, name: &str, changes: &[Change]) -> Result<Arc<Topic>, CatalogError> {
        let mut commits = self.commits.lock().await;
        let snapshot = self.snapshot.load_full();
        let topic = altered(&snapshot, name, changes)?;
        commits.put_topic(&topic).await?;
        let topic = Arc::new(topic);
        self.publish(&snapshot, name, |next| next.insert(topic.clone()));
        info!(topic = name, overrides = ?topic.overrides, "settings changed");
        Ok(topic)
    }
}
