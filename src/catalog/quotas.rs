//! Quotas: how much clients may use, by user, client id or address. Kept and told here; who asks decides what they mean.
//!
//! Keys: `quotas/{entity as JSON}`, the limits as the value. Bound: [`ENTITIES_MAX`] entities; a change that would add one more
//! is refused.
//! Source: ClientQuotaControlManager.

use super::{CatalogError, Inner, Snapshot};
use crate::store::StoreError;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::info;

pub mod entity;
pub mod filter;
pub mod limits;

pub use entity::{Entity, EntityType};
pub use filter::{Filter, Match};
pub use limits::Limits;

pub(super) const PREFIX: &str = "quotas/";

/// The most entities that have quotas. With names of [`entity::NAME_BYTES_MAX`] they take some 20 MiB.
pub const ENTITIES_MAX: usize = 10_000;

/// What happens to one entity's limits: a value is set, `None` takes the limit away.
#[derive(Debug, Clone, PartialEq)]
pub struct Alteration {
    pub entity: Entity,
    pub changes: BTreeMap<String, Option<f64>>,
}

impl Alteration {
    /// The limits that were `old` until now.
    fn applied(&self, old: &Limits) -> Result<Limits, CatalogError> {
        let mut new = old.clone();
        for (key, value) in &self.changes {
            match value {
                Some(value) => {
                    limits::check(&self.entity, key, *value)?;
                    new.insert(key.clone(), *value);
                }
                // What is not set can be taken away, whatever it is called.
                None => {
                    new.remove(key);
                }
            }
        }
        Ok(new)
    }
}

/// Every quota of a cluster. An entity without limits is not there.
#[derive(Debug, Clone, Default)]
pub(super) struct Quotas(Arc<BTreeMap<Entity, Limits>>);

/// What alterations come to.
struct Altered {
    /// The limits of each entity that changes; empty: it has none any more.
    changed: BTreeMap<Entity, Limits>,
    /// One for each alteration.
    results: Vec<Result<(), CatalogError>>,
}

impl Quotas {
    /// Takes over a stored value, if `key` is one of ours.
    pub(super) fn read(&mut self, key: &str, value: &Bytes) -> Result<(), StoreError> {
        if let Some(entity) = key.strip_prefix(PREFIX) {
            let entity = Entity::read(key, entity)?;
            Arc::make_mut(&mut self.0).insert(entity, limits::read(key, value)?);
        }
        Ok(())
    }

    fn insert(&mut self, changed: BTreeMap<Entity, Limits>) {
        let all = Arc::make_mut(&mut self.0);
        for (entity, limits) in changed {
            if limits.is_empty() {
                all.remove(&entity);
            } else {
                all.insert(entity, limits);
            }
        }
    }

    /// Judges each alteration by itself: one that is refused does not hinder the others.
    fn altered(&self, alterations: &[Alteration]) -> Altered {
        let mut changed = BTreeMap::new();
        let mut entities = self.0.len();
        let judge = |alteration: &Alteration| -> Result<(), CatalogError> {
            let old = self.0.get(&alteration.entity).cloned().unwrap_or_default();
            let new = alteration.applied(&old)?;
            if new == old {
                return Ok(());
            }
            if old.is_empty() {
                if entities >= ENTITIES_MAX {
                    return Err(full());
                }
                entities += 1;
            } else if new.is_empty() {
                entities -= 1;
            }
            changed.insert(alteration.entity.clone(), new);
            Ok(())
        };
        let results = alterations.iter().map(judge).collect();
        Altered { changed, results }
    }
}

fn full() -> CatalogError {
    CatalogError::LimitReached(format!(
        "There are quotas for {ENTITIES_MAX} entities already, the most that are kept; take some away first."
    ))
}

/// Where the limits of `entity` are stored.
pub(super) fn key(entity: &Entity) -> String {
    format!("{PREFIX}{}", entity.json())
}

impl Snapshot {
    /// The entities that have quotas, with their limits.
    pub fn quotas(&self) -> impl Iterator<Item = (&Entity, &Limits)> {
        self.quotas.0.iter()
    }
}

impl Inner {
    pub(super) fn validate_quotas(&self, alterations: &[Alteration]) -> Vec<Result<(), CatalogError>> {
        self.snapshot.load().quotas.altered(alterations).results
    }

    pub(super) async fn alter_quotas(&self, alterations: &[Alteration]) -> Result<Vec<Result<(), CatalogError>>, CatalogError> {
        let mut commits = self.commits.lock().await;
        let snapshot = self.snapshot.load_full();
        let Altered { changed, results } = snapshot.quotas.altered(alterations);
        if !changed.is_empty() {
            commits.put_quotas(&changed).await?;
            info!(entities = changed.len(), "quotas changed");
            self.publish(&snapshot, "", |next| next.quotas.insert(changed));
        }
        Ok(results)
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

    const PRODUCER: &str = "producer_byte_rate";

    async fn open(store: &Arc<MemoryStore>) -> Catalog {
        let env = Env::manual(Timestamp(0), 1);
        Catalog::open(store.clone(), env, Arc::new(KafkaSettings::default()), None).await.expect("opens")
    }

    fn user(name: Option<&str>) -> Entity {
        Entity::new([("user".to_owned(), name.map(str::to_owned))]).expect("an entity")
    }

    fn change(entity: Entity, key: &str, value: Option<f64>) -> Alteration {
        Alteration { entity, changes: BTreeMap::from([(key.to_owned(), value)]) }
    }

    fn stored(catalog: &Catalog) -> Vec<(Entity, Limits)> {
        catalog.snapshot().quotas().map(|(entity, limits)| (entity.clone(), limits.clone())).collect()
    }

    #[tokio::test]
    async fn what_is_refused_does_not_hinder_the_others_and_what_is_taken_is_durable() {
        let store = MemoryStore::new();
        let catalog = open(&store).await;
        let alterations =
            vec![change(user(Some("a")), "nonsense", Some(1.0)), change(user(Some("b")), PRODUCER, Some(1_234_567.0))];
        let judged = catalog.validate_quotas(&alterations);
        assert!(matches!(judged[..], [Err(CatalogError::InvalidRequest(_)), Ok(())]), "{judged:?}");
        assert!(stored(&catalog).is_empty(), "a validation changes nothing");

        let altered = catalog.alter_quotas(alterations).await.expect("the store takes it");
        assert!(matches!(altered[..], [Err(CatalogError::InvalidRequest(_)), Ok(())]), "{altered:?}");
        // A percentage that no binary number is equal to.
        catalog.alter_quotas(vec![change(user(None), "request_percentage", Some(12.3))]).await.expect("taken");
        let expected = vec![
            (user(None), Limits::from([("request_percentage".to_owned(), 12.3)])),
            (user(Some("b")), Limits::from([(PRODUCER.to_owned(), 1_234_567.0)])),
        ];
        assert_eq!(stored(&catalog), expected);
        assert_eq!(stored(&open(&store).await), expected);
    }

    #[tokio::test]
    async fn an_entity_without_limits_is_gone_and_nothing_new_is_no_change() {
        let store = MemoryStore::new();
        let catalog = open(&store).await;
        catalog.alter_quotas(vec![change(user(None), PRODUCER, Some(5.0))]).await.expect("taken");
        let version = catalog.snapshot().version;
        for nothing_new in [change(user(None), PRODUCER, Some(5.0)), change(user(None), "nonsense", None)] {
            assert!(catalog.alter_quotas(vec![nothing_new]).await.expect("taken")[0].is_ok());
        }
        assert_eq!(catalog.snapshot().version, version);
        catalog.alter_quotas(vec![change(user(None), PRODUCER, None)]).await.expect("taken");
        assert!(stored(&catalog).is_empty() && stored(&open(&store).await).is_empty());
    }

    #[test]
    fn entities_are_bounded_and_one_that_goes_makes_room() {
        let all: BTreeMap<Entity, Limits> =
            (0..ENTITIES_MAX).map(|n| (user(Some(&n.to_string())), Limits::from([(PRODUCER.to_owned(), 1.0)]))).collect();
        let quotas = Quotas(Arc::new(all));
        let more = change(user(Some("more")), PRODUCER, Some(1.0));
        let (known, gone) = (change(user(Some("7")), PRODUCER, Some(2.0)), change(user(Some("8")), PRODUCER, None));
        let altered = quotas.altered(&[more.clone(), known, gone, more]);
        assert!(
            matches!(altered.results[..], [Err(CatalogError::LimitReached(_)), Ok(()), Ok(()), Ok(())]),
            "{:?}",
            altered.results
        );
    }
}
