//! Settings that change while the broker runs: overrides by name, of a group (KIP-848), of this broker, of all brokers, or of a client metrics
//! subscription (KIP-714). A group's are kept whether or not it has members, as in Kafka.
//!
//! Keys: `groups/{id}`, `brokers/{id}`, `brokers/default`, `client-metrics/{name}`.

use super::{CatalogError, Inner, Snapshot, Topic, brokers};
use crate::config::properties::items;
use crate::config::{KafkaSettings, client_metrics, describe, dynamic, group};
use crate::store::{StoreError, json};
use crate::tasks;
use bytes::Bytes;
use rpds::RedBlackTreeMapSync;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use tracing::{info, warn};

const GROUPS: &str = "groups/";
const BROKERS: &str = "brokers/";
const CLIENT_METRICS: &str = "client-metrics/";
/// All of them.
pub(super) const PREFIXES: [&str; 3] = [GROUPS, BROKERS, CLIENT_METRICS];
const DEFAULT: &str = "default";

/// The most groups, and the most subscriptions, that have settings of their own. Both need not exist, so that nothing else bounds them.
const OWNERS_MAX: usize = 10_000;
/// The most bytes of a name or a value: longer ones fit into no answer of a version before the flexible ones, and Kafka's clients refuse
/// them in any (Short.MAX_VALUE).
pub const STRING_BYTES_MAX: usize = 32_767;

/// Settings that were set, by Kafka's names.
pub type Overrides = BTreeMap<String, String>;

/// Whose settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    Group(String),
    /// A broker by its id; `None`: all that have nothing of their own.
    Broker(Option<i32>),
    /// A subscription, by its name.
    ClientMetrics(String),
}

/// One change of somebody's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub name: String,
    pub edit: Edit,
}

/// Source: AlterConfigOp.OpType.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    Set(String),
    /// Back to the default.
    Delete,
    /// Items that a list gets, unless it has them.
    Append(String),
    /// Items that a list loses.
    Subtract(String),
}

impl Change {
    /// Makes this change; `current`: what counts for whoever has no override.
    ///
    /// # Errors
    /// What is too long, in words.
    pub(super) fn apply(&self, overrides: &mut Overrides, current: impl FnOnce() -> String) -> Result<(), String> {
        let edited = match &self.edit {
            Edit::Set(value) => value.clone(),
            Edit::Delete => {
                overrides.remove(&self.name);
                return Ok(());
            }
            Edit::Append(added) => {
                let old = overrides.get(&self.name).cloned().unwrap_or_else(current);
                let there: HashSet<&str> = items(&old).collect();
                let new = items(added).filter(|item| !there.contains(item));
                items(&old).chain(new).collect::<Vec<_>>().join(",")
            }
            Edit::Subtract(taken) => {
                let old = overrides.get(&self.name).cloned().unwrap_or_else(current);
                let gone: HashSet<&str> = items(taken).collect();
                items(&old).filter(|item| !gone.contains(item)).collect::<Vec<_>>().join(",")
            }
        };
        check_length(&self.name, &edited)?;
        overrides.insert(self.name.clone(), edited);
        Ok(())
    }
}

/// Whether a name and its value fit into an answer ([`STRING_BYTES_MAX`]).
///
/// # Errors
/// Which of them does not, in words.
pub fn check_length(name: &str, value: &str) -> Result<(), String> {
    if name.len() > STRING_BYTES_MAX {
        return Err(format!("A config name has {} bytes; the most is {STRING_BYTES_MAX}.", name.len()));
    }
    if value.len() > STRING_BYTES_MAX {
        return Err(format!("The value of {name} would have {} bytes; the most is {STRING_BYTES_MAX}.", value.len()));
    }
    Ok(())
}

impl Owner {
    pub(super) fn key(&self) -> String {
        match self {
            Owner::Group(id) => format!("{GROUPS}{id}"),
            Owner::Broker(Some(id)) => format!("{BROKERS}{id}"),
            Owner::Broker(None) => format!("{BROKERS}{DEFAULT}"),
            Owner::ClientMetrics(name) => format!("{CLIENT_METRICS}{name}"),
        }
    }
}

/// Every override of a cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct Dynamic(RedBlackTreeMapSync<String, Arc<Overrides>>);

impl Dynamic {
    /// Takes over a stored value; whether `key` is one of ours.
    pub(super) fn read(&mut self, key: &str, value: &Bytes) -> Result<bool, StoreError> {
        if !PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            return Ok(false);
        }
        self.0.insert_mut(key.to_owned(), Arc::new(json::read(key, value)?));
        Ok(true)
    }

    pub(super) fn insert(&mut self, owner: &Owner, overrides: Overrides) {
        if overrides.is_empty() {
            self.0.remove_mut(&owner.key());
        } else {
            self.0.insert_mut(owner.key(), Arc::new(overrides));
        }
    }
}

impl Snapshot {
    /// What was set for `owner`; `None`: nothing.
    #[must_use]
    pub fn overrides(&self, owner: &Owner) -> Option<&Overrides> {
        self.dynamic.0.get(&owner.key()).map(|overrides| &**overrides)
    }

    /// The groups that have settings of their own.
    pub fn groups_with_overrides(&self) -> impl Iterator<Item = &str> {
        self.dynamic.0.keys().filter_map(|key| key.strip_prefix(GROUPS))
    }

    /// The client metrics subscriptions.
    pub fn client_metrics(&self) -> impl Iterator<Item = &str> {
        self.dynamic.0.keys().filter_map(|key| key.strip_prefix(CLIENT_METRICS))
    }

    /// What was set for brokers, what counts first in front: for the broker `id`, then for all.
    #[must_use]
    pub fn broker_overrides(&self, id: i32) -> [Option<&Overrides>; 2] {
        [self.overrides(&Owner::Broker(Some(id))), self.overrides(&Owner::Broker(None))]
    }

    /// The same as far as it counts: nothing, if it does not fit what the broker was started with.
    #[must_use]
    pub fn broker_overrides_in_force(&self, id: i32) -> [Option<&Overrides>; 2] {
        if self.are_brokers_ignored { [None, None] } else { self.broker_overrides(id) }
    }

    /// The overrides of `owner` after `changes`, and what they make of the broker's properties; `None`: nothing.
    ///
    /// # Errors
    /// [`CatalogError::InvalidConfig`] for a group, [`CatalogError::InvalidRequest`] for brokers, both for client metrics;
    /// [`CatalogError::LimitReached`].
    fn changed(&self, owner: &Owner, changes: &[Change]) -> Result<(Overrides, Option<Arc<KafkaSettings>>), CatalogError> {
        let mut overrides = self.overrides(owner).cloned().unwrap_or_default();
        for change in changes {
            let made = change.apply(&mut overrides, || self.inherited(owner, &change.name));
            made.map_err(|why| match owner {
                Owner::Broker(_) => CatalogError::InvalidRequest(why),
                Owner::Group(_) | Owner::ClientMetrics(_) => CatalogError::InvalidConfig(why),
            })?;
        }
        self.check_place(owner, &overrides)?;
        let kafka = match owner {
            Owner::Group(_) => {
                group::check(&overrides, self.overrides(owner), self.effective_kafka()).map_err(CatalogError::InvalidConfig)?;
                None
            }
            Owner::Broker(_) => Some(self.with_brokers(owner, &overrides)?),
            Owner::ClientMetrics(_) => {
                client_metrics::check(&overrides).map_err(|refusal| match refusal {
                    client_metrics::Refusal::Request(why) => CatalogError::InvalidRequest(why),
                    client_metrics::Refusal::Config(why) => CatalogError::InvalidConfig(why),
                })?;
                None
            }
        };
        Ok((overrides, kafka))
    }
}

impl Snapshot {
    /// Whether `owner` may have settings of its own: one that has none yet needs a place among [`OWNERS_MAX`] of its kind.
    fn check_place(&self, owner: &Owner, overrides: &Overrides) -> Result<(), CatalogError> {
        if overrides.is_empty() || self.overrides(owner).is_some() {
            return Ok(());
        }
        let (kind, count) = match owner {
            Owner::Broker(_) => return Ok(()),
            Owner::Group(_) => ("groups", self.groups_with_overrides().count()),
            Owner::ClientMetrics(_) => ("client metrics subscriptions", self.client_metrics().count()),
        };
        if count < OWNERS_MAX {
            return Ok(());
        }
        Err(CatalogError::LimitReached(format!(
            "{OWNERS_MAX} {kind} have settings already, the most that are kept; take some away first."
        )))
    }
}

/// Tells of a change, without what is secret.
fn report(owner: &Owner, overrides: &Overrides) {
    let is_secret = |name: &str| matches!(owner, Owner::Broker(_)) && describe::is_secret(name);
    let shown = |name: &str, value: &str| if is_secret(name) { "[hidden]".to_owned() } else { value.to_owned() };
    let shown: Overrides = overrides.iter().map(|(name, value)| (name.clone(), shown(name, value))).collect();
    info!(?owner, overrides = ?shown, "settings changed");
    if matches!(owner, Owner::Broker(_)) {
        let idle: Vec<&String> = overrides.keys().filter(|name| !dynamic::has_effect(name)).collect();
        if !idle.is_empty() {
            warn!(names = ?idle, "these settings are kept and shown, but do nothing here");
        }
    }
}

impl Inner {
    pub(super) fn validate_overrides(&self, owner: &Owner, changes: &[Change]) -> Result<(), CatalogError> {
        self.snapshot.load().changed(owner, changes).map(|_| ())
    }

    /// Answers the topics whose settings are others because of it.
    pub(super) async fn alter(&self, owner: &Owner, changes: &[Change]) -> Result<Vec<Arc<Topic>>, CatalogError> {
        let mut commits = self.commits.lock().await;
        let snapshot = self.snapshot.load_full();
        let (overrides, kafka) = snapshot.changed(owner, changes)?;
        let topics = match kafka.clone() {
            Some(kafka) => {
                let snapshot = snapshot.clone();
                tasks::blocking("resolve topics' settings", move || brokers::resolved(&snapshot, &kafka)).await?
            }
            None => Vec::new(),
        };
        commits.put_overrides(owner, &overrides).await?;
        report(owner, &overrides);
        self.publish(&snapshot, "", |next| {
            next.dynamic.insert(owner, overrides);
            if let Some(kafka) = kafka {
                // It was made of all that is set, which therefore fits.
                (next.kafka, next.are_brokers_ignored) = (kafka, false);
            }
            for topic in &topics {
                next.insert(topic.clone());
            }
        });
        Ok(topics)
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
        vec![Change { name: name.to_owned(), edit: Edit::Set(value.to_owned()) }]
    }

    fn group() -> Owner {
        Owner::Group("g".to_owned())
    }

    #[tokio::test]
    async fn settings_of_a_group_are_checked_durable_and_can_be_taken_back() {
        let (store, env) = (MemoryStore::new(), Env::manual(Timestamp(0), 1));
        let open = || Catalog::open(store.clone(), env.clone(), Arc::new(KafkaSettings::default()), None);
        let catalog = open().await.expect("opens");
        let version = catalog.snapshot().version;
        for (name, value) in [("nonsense", "1"), (SESSION, "x"), (SESSION, "1"), (SESSION, "70000")] {
            let refused = catalog.alter(group(), set(name, value)).await;
            assert!(matches!(refused, Err(CatalogError::InvalidConfig(_))), "{name}={value}");
        }
        assert!(catalog.validate_overrides(&group(), &set(SESSION, "50000")).is_ok());
        assert_eq!((catalog.snapshot().overrides(&group()), catalog.snapshot().version), (None, version), "nothing has changed");

        catalog.alter(group(), set(SESSION, "50000")).await.expect("taken");
        assert!(catalog.snapshot().version > version);
        let catalog = open().await.expect("opens");
        let own = catalog.snapshot().overrides(&group()).and_then(|overrides| overrides.get(SESSION).cloned());
        assert_eq!(own.as_deref(), Some("50000"));
        catalog.alter(group(), vec![Change { name: SESSION.to_owned(), edit: Edit::Delete }]).await.expect("taken back");
        assert_eq!(open().await.expect("opens").snapshot().overrides(&group()), None);
    }

    /// As an earlier version left it: there were names that are none any more.
    #[test]
    fn a_stored_setting_that_nobody_knows_can_be_taken_back_and_is_in_nobodys_way() {
        const GONE: &str = "consumer.assignor.offload.enable";
        let stored = Snapshot::default().with_group("g", Overrides::from([(GONE.to_owned(), "true".to_owned())]));
        let (overrides, _) = stored.changed(&group(), &set(SESSION, "50000")).expect("another one changes");
        assert_eq!(overrides.keys().collect::<Vec<_>>(), [GONE, SESSION]);
        let back = |name: &str| vec![Change { name: name.to_owned(), edit: Edit::Delete }];
        let (overrides, _) = stored.changed(&group(), &back(GONE)).expect("taken back");
        assert_eq!(overrides, Overrides::new());
        assert!(stored.changed(&group(), &back("nonsense")).is_ok(), "as in Kafka");
        assert!(matches!(stored.changed(&group(), &set(GONE, "false")), Err(CatalogError::InvalidConfig(_))));
    }

    /// What is longer would be in no answer that clients can read: Terraform would see nothing of a whole cluster any more.
    #[tokio::test]
    async fn what_no_answer_can_carry_is_refused() {
        let catalog = Catalog::open(MemoryStore::new(), Env::manual(Timestamp(0), 1), Arc::new(KafkaSettings::default()), None);
        let catalog = catalog.await.expect("opens");
        let fits = "x".repeat(STRING_BYTES_MAX);
        catalog.alter(Owner::Broker(None), set("unknown", &fits)).await.expect("taken");
        for (name, value) in [("unknown", "x".repeat(STRING_BYTES_MAX + 1)), (fits.as_str(), "ü".repeat(20_000))] {
            let refused = catalog.alter(Owner::Broker(None), set(name, &value)).await.expect_err("refused");
            assert!(refused.to_string().contains("the most is 32767"), "{refused}");
        }
        let list = |edit| vec![Change { name: "log.cleanup.policy".to_owned(), edit }];
        let grown = catalog.alter(Owner::Broker(None), list(Edit::Append("y".repeat(STRING_BYTES_MAX)))).await;
        assert!(matches!(grown, Err(CatalogError::InvalidRequest(why)) if why.contains("would have")), "by appending, too");
    }

    #[tokio::test]
    async fn so_many_groups_have_settings_and_no_more() {
        let mut snapshot = Snapshot::default();
        for n in 0..OWNERS_MAX {
            snapshot = snapshot.with_group(&n.to_string(), Overrides::from([(SESSION.to_owned(), "50000".to_owned())]));
        }
        let refused = snapshot.changed(&group(), &set(SESSION, "50000")).expect_err("full");
        assert!(matches!(refused, CatalogError::LimitReached(_)), "{refused}");
        let known = Owner::Group("7".to_owned());
        assert!(snapshot.changed(&known, &set(SESSION, "51000")).is_ok(), "whoever is there may change");
        let metrics = Owner::ClientMetrics("m".to_owned());
        assert!(snapshot.changed(&metrics, &set("interval.ms", "1000")).is_ok(), "the others have places of their own");
    }

    #[tokio::test]
    async fn only_what_can_change_while_a_broker_runs_is_taken() {
        let catalog = Catalog::open(MemoryStore::new(), Env::manual(Timestamp(0), 1), Arc::new(KafkaSettings::default()), None);
        let catalog = catalog.await.expect("opens");
        let refused = catalog.alter(Owner::Broker(None), set("num.partitions", "3")).await.expect_err("refused");
        assert!(matches!(refused, CatalogError::InvalidRequest(_)), "{refused}");
        const INTERVAL: &str = "group.consumer.assignment.interval.ms";
        let refused = catalog.alter(Owner::Broker(None), set(INTERVAL, "99999")).await.expect_err("refused");
        assert!(matches!(refused, CatalogError::InvalidRequest(_)), "{refused}");
        catalog.alter(Owner::Broker(None), set(INTERVAL, "2000")).await.expect("taken");
        catalog.alter(Owner::Broker(Some(1)), set(INTERVAL, "1500")).await.expect("taken");
        let snapshot = catalog.snapshot();
        let values = snapshot.broker_overrides(1).map(|own| own.and_then(|own| own.get(INTERVAL).cloned()).unwrap_or_default());
        assert_eq!(values, ["1500", "2000"]);
    }
}
