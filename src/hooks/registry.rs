//! What endpoints there are, and the only way to change them: part of [`Hooks`].
//!
//! A change that has begun runs to its end even if whoever asked goes away. Each commit compares the record's revision, so that a second writer is noticed.

use super::endpoint::{Endpoint, PREVIOUS_SECRETS_MAX, Previous, Record, SEALED, Settings, check_endpoint_name};
use super::error::HooksError;
use super::offsets::{self, LATEST, Offsets};
use super::saver::or_fatal;
use super::scope::Scope;
use super::secret::Secret;
use super::{Hooks, wanted};
use crate::catalog::Topic;
use crate::store::json::put;
use crate::store::{MetaChange, MetaCompare};
use crate::tasks;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};
use tokio::sync::MutexGuard;
use tracing::{info, warn};

/// An endpoint to be made.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    pub name: String,
    pub settings: Settings,
    pub enabled: bool,
    /// A random one without.
    pub secret: Option<Secret>,
}

/// What a change does to an endpoint's settings.
pub type Change = Box<dyn FnOnce(&mut Settings, &mut Option<bool>) + Send>;

impl Hooks {
    /// The endpoint of this name.
    ///
    /// # Errors
    /// [`HooksError::NoEndpoint`].
    pub fn get(&self, scope: &Scope, name: &str) -> Result<Arc<Endpoint>, HooksError> {
        let key = (scope.project.clone(), name.to_owned());
        let endpoints = self.endpoints.read().unwrap_or_else(PoisonError::into_inner);
        endpoints.get(&key).cloned().ok_or_else(|| HooksError::NoEndpoint(name.to_owned()))
    }

    /// All endpoints of the project, by name.
    #[must_use]
    pub fn list(&self, scope: &Scope) -> Vec<Arc<Endpoint>> {
        let endpoints = self.endpoints.read().unwrap_or_else(PoisonError::into_inner);
        let first = (scope.project.clone(), String::new());
        endpoints.range(first..).take_while(|((project, _), _)| *project == scope.project).map(|(_, one)| one.clone()).collect()
    }

    /// Makes an endpoint. It begins at the end of the topics that there are; those that come later it reads from their beginning.
    ///
    /// # Errors
    /// [`HooksError::Invalid`], [`HooksError::NameTaken`], [`HooksError::TooMany`], or what committing its offsets or storing it answers.
    pub async fn create(self: &Arc<Hooks>, scope: Scope, new: NewEndpoint) -> Result<Arc<Endpoint>, HooksError> {
        let hooks = self.clone();
        tasks::to_the_end("create a webhook endpoint", async move {
            check_endpoint_name(&new.name)?;
            new.settings.check(hooks.shared.settings())?;
            hooks.shared.rules.check(&new.settings.url).map_err(HooksError::Invalid)?;
            let mut turn = hooks.turn.lock().await;
            let there = hooks.list(&scope);
            if there.iter().any(|one| one.record.name == new.name) {
                return Err(HooksError::NameTaken(new.name));
            }
            if there.len() >= hooks.shared.settings().endpoints_max {
                return Err(HooksError::TooMany(there.len()));
            }
            let env = &hooks.shared.handlers.broker.env;
            let id = format!("ep_{}", env.uuid().simple());
            let secret = new.secret.unwrap_or_else(|| Secret::new(env));
            let record = Record {
                secret: hooks.vault.seal(&id, &secret),
                id,
                project: scope.project.clone(),
                name: new.name,
                settings: new.settings,
                enabled: new.enabled,
                disabled_reason: None,
                created: env.now(),
                previous_secrets: Vec::new(),
            };
            let endpoint = Endpoint::open(record, &hooks.vault);
            let topics = hooks.topics_of(&scope, &endpoint);
            hooks.begin_at_end(&endpoint, &topics.into_values().collect::<Vec<_>>()).await?;
            let endpoint = hooks.store(&mut turn, endpoint).await?;
            hooks.start(endpoint.clone());
            info!(endpoint = endpoint.record.name, id = endpoint.record.id, "webhook endpoint created");
            Ok(endpoint)
        })
        .await
    }

    /// Changes an endpoint's settings. Topics that it did not read before, it reads from their end.
    ///
    /// # Errors
    /// As [`Hooks::create`], and [`HooksError::NoEndpoint`].
    pub async fn update(self: &Arc<Hooks>, scope: Scope, name: String, change: Change) -> Result<Arc<Endpoint>, HooksError> {
        let hooks = self.clone();
        tasks::to_the_end("change a webhook endpoint", async move {
            let mut turn = hooks.turn.lock().await;
            let before = hooks.get(&scope, &name)?;
            let mut record = before.record.clone();
            let mut enabled = None;
            change(&mut record.settings, &mut enabled);
            record.settings.check_change(&before.record.settings, hooks.shared.settings())?;
            hooks.shared.rules.check(&record.settings.url).map_err(HooksError::Invalid)?;
            if let Some(enabled) = enabled {
                set_enabled(&before, &mut record, enabled, None)?;
            }
            let endpoint = Endpoint::open(record, &hooks.vault);
            let known = hooks.topics_of(&scope, &before);
            let topics = hooks.topics_of(&scope, &endpoint);
            let new = topics.into_iter().filter(|(name, _)| !known.contains_key(name)).map(|(_, topic)| topic);
            hooks.begin_at_end(&endpoint, &new.collect::<Vec<_>>()).await?;
            hooks.store(&mut turn, endpoint).await
        })
        .await
    }

    /// Enables or disables an endpoint. While it is disabled, its events wait in their topics, as long as these keep them.
    ///
    /// # Errors
    /// [`HooksError::NoEndpoint`], [`HooksError::Invalid`] when its secret cannot be read, [`HooksError::Store`].
    pub async fn enable(self: &Arc<Hooks>, scope: Scope, name: String, enabled: bool) -> Result<Arc<Endpoint>, HooksError> {
        let hooks = self.clone();
        tasks::to_the_end("enable or disable a webhook endpoint", async move {
            let mut turn = hooks.turn.lock().await;
            let before = hooks.get(&scope, &name)?;
            let mut record = before.record.clone();
            set_enabled(&before, &mut record, enabled, None)?;
            hooks.store(&mut turn, Endpoint::open(record, &hooks.vault)).await
        })
        .await
    }

    /// Disables an endpoint whose receiver says that it is gone, unless it was changed meanwhile.
    ///
    /// # Errors
    /// [`HooksError::Store`].
    pub(super) async fn disable_gone(self: &Arc<Hooks>, gone: &Arc<Endpoint>) -> Result<(), HooksError> {
        let mut turn = self.turn.lock().await;
        let Some(before) = self.now(gone).filter(|one| Arc::ptr_eq(one, gone)) else { return Ok(()) };
        let mut record = before.record.clone();
        let reason = "its receiver answered 410 (gone); enable it when it is back";
        set_enabled(&before, &mut record, false, Some(reason))?;
        self.store(&mut turn, Endpoint::open(record, &self.vault)).await?;
        info!(endpoint = gone.record.name, "the receiver says that it is gone (410); the endpoint is disabled");
        Ok(())
    }

    /// Gives an endpoint another secret; the one before signs as well, for `overlap_ms`.
    ///
    /// # Errors
    /// [`HooksError::NoEndpoint`], [`HooksError::Store`].
    pub async fn rotate(
        self: &Arc<Hooks>,
        scope: Scope,
        name: String,
        secret: Option<Secret>,
        overlap_ms: Option<i64>,
    ) -> Result<Arc<Endpoint>, HooksError> {
        let hooks = self.clone();
        tasks::to_the_end("rotate a webhook endpoint's secret", async move {
            let mut turn = hooks.turn.lock().await;
            let before = hooks.get(&scope, &name)?;
            let env = &hooks.shared.handlers.broker.env;
            let secret = secret.unwrap_or_else(|| Secret::new(env));
            let overlap_ms = overlap_ms.unwrap_or(hooks.shared.settings().secret_overlap_ms);
            let mut record = before.record.clone();
            let now = env.now();
            if overlap_ms == 0 || before.is_sealed {
                // It leaked, or cannot be read.
                record.previous_secrets.clear();
                if before.is_sealed {
                    // Its receiver does not know the new secret yet.
                    (record.enabled, record.disabled_reason) = (false, Some(SEALED.to_owned()));
                }
            } else {
                record.previous_secrets.retain(|one| now < one.until);
                record.previous_secrets.insert(0, Previous { secret: record.secret, until: now.plus_ms(overlap_ms) });
                record.previous_secrets.truncate(PREVIOUS_SECRETS_MAX);
            }
            record.secret = hooks.vault.seal(&record.id, &secret);
            let endpoint = hooks.store(&mut turn, Endpoint::open(record, &hooks.vault)).await?;
            info!(endpoint = endpoint.record.name, "the endpoint's secret was rotated");
            Ok(endpoint)
        })
        .await
    }

    /// Deletes an endpoint, and what its group has committed.
    ///
    /// # Errors
    /// [`HooksError::NoEndpoint`], [`HooksError::Store`].
    pub async fn delete(self: &Arc<Hooks>, scope: Scope, name: String) -> Result<(), HooksError> {
        let hooks = self.clone();
        tasks::to_the_end("delete a webhook endpoint", async move {
            let mut turn = hooks.turn.lock().await;
            let endpoint = hooks.get(&scope, &name)?;
            let (id, key) = (&endpoint.record.id, endpoint.record.key());
            let running = hooks.running.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
            if let Some(running) = running {
                // Without a sender the task ends; what it has under way is dropped.
                drop((running.endpoint, running.replays));
                let _ = running.task.await;
            }
            let compare = MetaCompare { key: key.clone(), revision: turn.get(&key).copied().unwrap_or(0) };
            let change = MetaChange { key: key.clone(), value: None };
            if let Err(error) = hooks.shared.saver.forget(id, vec![compare], vec![change]).await {
                hooks.start(endpoint);
                return Err(error.into());
            }
            turn.remove(&key);
            let own = (scope.project.clone(), name.clone());
            hooks.endpoints.write().unwrap_or_else(PoisonError::into_inner).remove(&own);
            hooks.remembered.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
            hooks.shared.history.forget(id);
            hooks.shared.meters.forget(id);
            let group = endpoint.record.group();
            if let Err(error) = offsets::delete_group(&hooks.shared.handlers, &group).await {
                warn!(group, %error, "the group of a deleted webhook endpoint is still there; it expires by itself");
            }
            info!(endpoint = name, id, "webhook endpoint deleted");
            Ok(())
        })
        .await
    }

    pub(super) fn topics_of(&self, scope: &Scope, endpoint: &Endpoint) -> BTreeMap<String, Arc<Topic>> {
        let catalog = &self.shared.handlers.broker.catalog;
        wanted::topics(endpoint, scope, catalog, &self.shared.patterns, &self.shared.settings().dead_letter_topic)
    }

    /// Commits the ends of `topics` for the endpoint's group.
    async fn begin_at_end(&self, endpoint: &Endpoint, topics: &[Arc<Topic>]) -> Result<(), HooksError> {
        let mut ends = Offsets::new();
        for topic in topics {
            ends.insert(topic.id, offsets::at(&self.shared.handlers, topic, LATEST).await?);
        }
        offsets::commit(&self.shared.handlers, &endpoint.record.group(), &ends).await
    }

    /// Stores an endpoint, shows it, and tells its task.
    async fn store(
        &self,
        turn: &mut MutexGuard<'_, HashMap<String, u64>>,
        endpoint: Endpoint,
    ) -> Result<Arc<Endpoint>, HooksError> {
        let key = endpoint.record.key();
        let compare = MetaCompare { key: key.clone(), revision: turn.get(&key).copied().unwrap_or(0) };
        let change = put(key.clone(), &endpoint.record);
        let revision = or_fatal(self.shared.handlers.broker.meta.commit(vec![compare], vec![change]).await)?;
        turn.insert(key, revision);
        let endpoint = Arc::new(endpoint);
        let own = (endpoint.record.project.clone(), endpoint.record.name.clone());
        self.endpoints.write().unwrap_or_else(PoisonError::into_inner).insert(own, endpoint.clone());
        if let Some(running) = self.running.lock().unwrap_or_else(PoisonError::into_inner).get(&endpoint.record.id) {
            running.endpoint.send_replace(endpoint.clone());
        }
        Ok(endpoint)
    }
}

fn set_enabled(before: &Endpoint, record: &mut Record, enabled: bool, reason: Option<&str>) -> Result<(), HooksError> {
    if enabled && before.is_sealed {
        let message = format!("the secret of {:?} was encrypted with another key; rotate it first", record.name);
        return Err(HooksError::Invalid(message));
    }
    record.enabled = enabled;
    record.disabled_reason = if enabled { None } else { reason.map(str::to_owned).or(record.disabled_reason.take()) };
    Ok(())
}
