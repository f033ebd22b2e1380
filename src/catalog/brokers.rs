//! What is set for brokers while they run (KIP-226): what it comes to, and what it makes of the topics that default to it.
//!
//! A snapshot has the properties that the broker was started with and those that count now; a change of the second re-resolves
//! the settings of all topics in the same step, so that no reader sees the one without the other.

use super::dynamic::{Overrides, Owner};
use super::{Catalog, CatalogError, Snapshot, Topic};
use crate::config::describe::Brokers;
use crate::config::dynamic::{self, Scope};
use crate::config::topic::TopicSettings;
use crate::config::{KafkaSettings, properties};
use std::collections::HashMap;
use std::sync::Arc;
use tracing::error;

impl Catalog {
    /// The broker's properties as they are now: what was given at its start, and over it what was set since. Whoever follows a
    /// property that may change reads it anew each time.
    #[must_use]
    pub fn effective_kafka(&self) -> Arc<KafkaSettings> {
        self.inner.snapshot.load().kafka.clone()
    }
}

impl Snapshot {
    /// The broker's properties as they are at this moment.
    #[must_use]
    pub fn effective_kafka(&self) -> &Arc<KafkaSettings> {
        &self.kafka
    }

    /// The same with where they come from.
    #[must_use]
    pub fn brokers(&self) -> Brokers<'_> {
        let changed = self.broker_overrides_in_force(self.given.node_id());
        Brokers { given: &self.given, effective: &self.kafka, changed }
    }

    /// Takes over what is stored for brokers. Where that does not fit what the broker was started with this time, it counts for
    /// nothing, as in Kafka: else nobody could start the broker to mend it.
    pub(super) fn load_brokers(&mut self) {
        let brokers = self.brokers();
        match dynamic::effective(brokers.given, brokers.changed) {
            Ok(kafka) => self.kafka = Arc::new(kafka),
            Err(why) => {
                self.are_brokers_ignored = true;
                error!(
                    why,
                    "what was set while the broker ran does not fit what it was started with and is ignored; change either"
                );
            }
        }
    }

    /// The broker's properties once `overrides` are all that is set for `owner`.
    ///
    /// # Errors
    /// [`CatalogError::InvalidRequest`], also for values: so it is in Kafka, for compatibility's sake (KAFKA-13609).
    pub(super) fn with_brokers(&self, owner: &Owner, overrides: &Overrides) -> Result<Arc<KafkaSettings>, CatalogError> {
        let id = self.given.node_id();
        let [mut broker, mut all] = self.broker_overrides(id);
        let scope = if *owner == Owner::Broker(None) {
            all = Some(overrides);
            Scope::AllBrokers
        } else {
            if *owner == Owner::Broker(Some(id)) {
                broker = Some(overrides);
            }
            Scope::ThisBroker
        };
        let checked = || -> Result<Arc<KafkaSettings>, String> {
            dynamic::check(scope, overrides, &self.kafka)?;
            let kafka = dynamic::effective(&self.given, [broker, all])?;
            dynamic::check_step(&self.kafka, &kafka)?;
            Ok(Arc::new(kafka))
        };
        checked().map_err(CatalogError::InvalidRequest)
    }

    /// What counts for `owner` where nothing is set for it: what lists are appended to.
    pub(super) fn inherited(&self, owner: &Owner, name: &str) -> String {
        let of_all = || self.overrides(&Owner::Broker(None)).and_then(|all| all.get(name)).map(String::as_str);
        let value = match owner {
            Owner::Group(_) => properties::group(name).and_then(|property| property.default),
            Owner::Broker(Some(_)) => of_all().or_else(|| self.given.value(name)),
            Owner::Broker(None) => self.given.value(name),
            Owner::ClientMetrics(_) => properties::client_metrics(name).and_then(|property| property.default),
        };
        value.unwrap_or_default().to_owned()
    }
}

/// The topics of `snapshot` whose settings are others with `kafka`, as they become.
///
/// # Errors
/// [`CatalogError::InvalidRequest`] when one cannot be resolved.
pub(super) fn resolved(snapshot: &Snapshot, kafka: &KafkaSettings) -> Result<Vec<Arc<Topic>>, CatalogError> {
    if !dynamic::concerns_topics(&snapshot.kafka, kafka) {
        return Ok(Vec::new());
    }
    // Many topics have few different sets of overrides between them: each is resolved once, and its settings are shared.
    let mut known: HashMap<&Overrides, Arc<TopicSettings>> = HashMap::new();
    let mut changed = Vec::new();
    for topic in snapshot.topics.values() {
        let settings = if let Some(settings) = known.get(&topic.overrides) {
            settings.clone()
        } else {
            let settings = TopicSettings::of_checked(&topic.overrides, kafka);
            let settings = settings.map_err(|why| CatalogError::InvalidRequest(format!("topic {}: {why}", topic.name)))?;
            let settings = Arc::new(settings);
            known.insert(&topic.overrides, settings.clone());
            settings
        };
        if settings != topic.settings {
            changed.push(Arc::new(Topic { settings, ..Topic::clone(topic) }));
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::super::NewTopic;
    use super::super::dynamic::{Change, Edit};
    use super::*;
    use crate::env::Env;
    use crate::ids::Timestamp;
    use crate::store::memory::MemoryStore;

    const ALL: Owner = Owner::Broker(None);
    const THIS: Owner = Owner::Broker(Some(1));
    const BYTES: &str = "message.max.bytes";

    async fn open(store: &Arc<MemoryStore>, given: &[(&str, &str)]) -> Catalog {
        let given = given.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let kafka = Arc::new(KafkaSettings::new(given).expect("valid properties"));
        Catalog::open(store.clone(), Env::manual(Timestamp(0), 1), kafka, None).await.expect("the catalog opens")
    }

    fn set(name: &str, value: &str) -> Vec<Change> {
        vec![Change { name: name.to_owned(), edit: Edit::Set(value.to_owned()) }]
    }

    fn delete(name: &str) -> Vec<Change> {
        vec![Change { name: name.to_owned(), edit: Edit::Delete }]
    }

    async fn create(catalog: &Catalog, name: &str, overrides: &[(&str, &str)]) {
        let overrides = overrides.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let new = NewTopic { name: name.to_owned(), partitions: 1, replication_factor: 1, overrides };
        catalog.create_topic(new).await.expect("created");
    }

    fn most(catalog: &Catalog, topic: &str) -> usize {
        catalog.topic(topic).expect("there").settings.max_message_bytes
    }

    #[tokio::test]
    async fn what_is_refused_changes_nothing() {
        let catalog = open(&MemoryStore::new(), &[("num.io.threads", "4")]).await;
        let version = catalog.snapshot().version;
        let refused = [
            ("num.partitions", "3"),
            (BYTES, "x"),
            ("log.retention.ms", "0"),
            ("group.consumer.assignment.interval.ms", "99999"),
            ("num.io.threads", "9"),
            ("listeners", "PLAINTEXT://:1"),
            ("ssl.keystore.type", "PEM"),
            ("log.cleaner.dedupe.buffer.size", "1024"),
        ];
        for (name, value) in refused {
            for owner in [ALL, THIS] {
                let error = catalog.validate_overrides(&owner, &set(name, value)).expect_err("refused");
                assert!(matches!(error, CatalogError::InvalidRequest(_)), "{name}={value}: {error}");
                catalog.alter(owner, set(name, value)).await.expect_err("refused");
            }
        }
        assert_eq!(catalog.snapshot().version, version);
        catalog.alter(ALL, delete("num.partitions")).await.expect("there is nothing to delete, as in Kafka");
    }

    #[tokio::test]
    async fn topics_without_overrides_follow_the_brokers() {
        let store = MemoryStore::new();
        let catalog = open(&store, &[(BYTES, "1000")]).await;
        create(&catalog, "follows", &[]).await;
        create(&catalog, "owns", &[("max.message.bytes", "5")]).await;
        let untouched = catalog.topic("owns").expect("there").settings.clone();

        let changed = catalog.alter(ALL, set(BYTES, "2000")).await.expect("taken");
        assert_eq!(changed.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>(), ["follows"]);
        assert_eq!((most(&catalog, "follows"), most(&catalog, "owns")), (2000, 5));
        assert!(Arc::ptr_eq(&untouched, &catalog.topic("owns").expect("there").settings));
        let by_id = catalog.topic_by_id(catalog.topic("follows").expect("there").id).expect("there");
        assert_eq!(by_id.settings.max_message_bytes, 2000, "both ways to the topic show it");

        catalog.alter(THIS, set(BYTES, "3000")).await.expect("taken");
        catalog.alter(ALL, set(BYTES, "2500")).await.expect("taken");
        assert_eq!(most(&catalog, "follows"), 3000, "this broker's come before those of all");
        create(&catalog, "new", &[]).await;
        assert_eq!(most(&catalog, "new"), 3000);
        assert_eq!(catalog.effective_kafka().value(BYTES), Some("3000"));

        let catalog = open(&store, &[(BYTES, "1000")]).await;
        assert_eq!((most(&catalog, "follows"), most(&catalog, "owns"), most(&catalog, "new")), (3000, 5, 3000));
        catalog.alter(THIS, delete(BYTES)).await.expect("taken back");
        assert_eq!(most(&catalog, "follows"), 2500);
        catalog.alter(ALL, delete(BYTES)).await.expect("taken back");
        assert_eq!((most(&catalog, "follows"), most(&catalog, "new")), (1000, 1000));
        let catalog = open(&store, &[]).await;
        assert_eq!(most(&catalog, "follows"), 1_048_588);
    }

    #[tokio::test]
    async fn a_topic_may_be_at_odds_with_what_brokers_become() {
        let store = MemoryStore::new();
        let catalog = open(&store, &[]).await;
        create(&catalog, "t", &[("min.compaction.lag.ms", "100")]).await;
        catalog.alter(ALL, set("log.cleaner.max.compaction.lag.ms", "50")).await.expect("taken, as in Kafka");
        assert!(open(&store, &[]).await.topic("t").is_some(), "and it is no reason not to start");
    }

    #[tokio::test]
    async fn lists_start_from_what_counts_without_them() {
        let catalog = open(&MemoryStore::new(), &[("log.cleanup.policy", "compact")]).await;
        let edit = |edit| vec![Change { name: "log.cleanup.policy".to_owned(), edit }];
        let shown = || catalog.effective_kafka().value("log.cleanup.policy").map(str::to_owned).unwrap_or_default();
        catalog.alter(ALL, edit(Edit::Append("delete".to_owned()))).await.expect("taken");
        assert_eq!(shown(), "compact,delete");
        catalog.alter(THIS, edit(Edit::Subtract("compact".to_owned()))).await.expect("taken");
        assert_eq!(shown(), "delete");
    }

    #[tokio::test]
    async fn what_does_not_fit_another_start_is_ignored_and_can_be_mended() {
        let store = MemoryStore::new();
        let catalog = open(&store, &[]).await;
        catalog.alter(ALL, set("group.consumer.assignment.interval.ms", "2000")).await.expect("taken");
        let other = [("group.consumer.max.assignment.interval.ms", "1500")];
        let catalog = open(&store, &other).await;
        assert_eq!(catalog.effective_kafka().group_consumer_assignment_interval_ms, 1000);
        assert_eq!(catalog.snapshot().broker_overrides_in_force(1), [None, None], "nor do groups follow it");
        assert!(catalog.snapshot().overrides(&ALL).is_some(), "it is still there to be changed");
        catalog.alter(ALL, delete("group.consumer.assignment.interval.ms")).await.expect("taken back");
        assert_eq!(catalog.snapshot().overrides(&ALL), None);
        catalog.alter(ALL, set("group.consumer.assignment.interval.ms", "1200")).await.expect("taken");
        assert!(catalog.snapshot().broker_overrides_in_force(1).iter().any(Option::is_some), "from now on it counts again");
    }
}
