//! An endpoint: where which events go, and how it is kept.
//!
//! Stored as JSON under `hooks/endpoints/{id}`; secrets in it are sealed, see `vault.rs`.

use super::error::HooksError;
use super::filter::Filters;
use super::message::{ADDRESSED, message_id};
use super::reading::Read;
use super::secret::Secret;
use super::vault::Vault;
use crate::catalog::check_name;
use crate::catalog::patterns::{Pattern, is_hidden};
use crate::config::Hooks as Limits;
use crate::ids::{Timestamp, TopicId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const PREFIX: &str = "hooks/endpoints/";

const NAME_LENGTH_MAX: usize = 100;
const EVENTS_MAX: usize = 100;
const DESCRIPTION_LENGTH_MAX: usize = 1000;
const METADATA_MAX: usize = 50;
const METADATA_LENGTH_MAX: usize = 1000;
const TIMEOUT_MS_MIN: u64 = 100;
/// Secrets of before that still sign.
pub const PREVIOUS_SECRETS_MAX: usize = 5;

/// What can be changed of an endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub url: String,
    /// Topics' names and patterns, as the project calls them.
    pub events: Vec<String>,
    #[serde(default)]
    pub filters: Filters,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Events of one key are delivered one after the other.
    #[serde(default)]
    pub ordered: bool,
    /// Instead of `hooks.timeout_ms` and `hooks.endpoint_concurrency`.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    #[serde(default)]
    pub concurrency: Option<usize>,
}

/// The stored form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    #[serde(default)]
    pub project: Option<String>,
    pub name: String,
    #[serde(flatten)]
    pub settings: Settings,
    pub enabled: bool,
    #[serde(default)]
    pub disabled_reason: Option<String>,
    pub created: Timestamp,
    /// Sealed.
    pub secret: String,
    /// The newest first.
    #[serde(default)]
    pub previous_secrets: Vec<Previous>,
}

/// A secret of before, which still signs for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Previous {
    /// Sealed.
    pub secret: String,
    pub until: Timestamp,
}

/// Why an endpoint is disabled whose secret cannot be read.
pub const SEALED: &str = "its secret was encrypted with another key; rotate the secret, then enable it";

/// An endpoint as it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    pub record: Record,
    pub secret: Secret,
    pub previous: Vec<(Secret, Timestamp)>,
    /// Those of `events` that are patterns, and those that are names.
    pub patterns: Vec<Pattern>,
    /// Its secret was sealed with another key: it is disabled until it gets a new one, or the server the right key.
    pub is_sealed: bool,
}

impl Settings {
    /// # Errors
    /// [`HooksError::Invalid`]: which field is wrong, and what would be valid. The URL is looked at by `target.rs`.
    pub fn check(&self, limits: &Limits) -> Result<(), HooksError> {
        self.first_problem(limits).map_err(HooksError::Invalid)
    }

    /// As [`Settings::check`], for settings that were `before`: what a limit allowed that is lower now stays, as long as it is not changed.
    ///
    /// # Errors
    /// As there.
    pub fn check_change(&self, before: &Settings, limits: &Limits) -> Result<(), HooksError> {
        let mut changed = self.clone();
        if changed.timeout_ms == before.timeout_ms {
            changed.timeout_ms = None;
        }
        if changed.concurrency == before.concurrency {
            changed.concurrency = None;
        }
        if changed.filters == before.filters {
            changed.filters = Filters::default();
        }
        changed.check(limits)
    }

    fn first_problem(&self, limits: &Limits) -> Result<(), String> {
        if self.events.len() > EVENTS_MAX {
            return Err(format!("events has {} entries; the most is {EVENTS_MAX}: use a pattern (order.*)", self.events.len()));
        }
        for event in &self.events {
            check_event(event)?;
        }
        self.filters.check()?;
        if self.description.as_ref().is_some_and(|text| text.chars().count() > DESCRIPTION_LENGTH_MAX) {
            return Err(format!("description is longer than {DESCRIPTION_LENGTH_MAX} characters"));
        }
        if self.metadata.len() > METADATA_MAX {
            return Err(format!("metadata has {} entries; the most is {METADATA_MAX}", self.metadata.len()));
        }
        if let Some((name, _)) = self.metadata.iter().find(|(name, value)| name.len() + value.len() > METADATA_LENGTH_MAX) {
            return Err(format!("metadata {name:?} and its value are longer than {METADATA_LENGTH_MAX} bytes together"));
        }
        let most = limits.timeout_max_ms;
        if self.timeout_ms.is_some_and(|ms| !(TIMEOUT_MS_MIN..=most).contains(&ms)) {
            return Err(format!("timeout_ms is not valid: expected {TIMEOUT_MS_MIN} to {most} (hooks.timeout_max_ms)"));
        }
        let most = limits.endpoint_concurrency_max;
        if self.concurrency.is_some_and(|count| !(1..=most).contains(&count)) {
            return Err(format!("concurrency is not valid: expected 1 to {most} (hooks.endpoint_concurrency_max)"));
        }
        Ok(())
    }
}

fn check_event(event: &str) -> Result<(), String> {
    if Pattern::is_pattern(event) {
        return Pattern::parse(event).map(drop).map_err(|error| format!("events: {error}"));
    }
    check_name(event).map_err(|error| format!("events: {event:?}: {error}"))?;
    if is_hidden(event) {
        return Err(format!("events: {event:?}: topics whose names begin with \"__\" are the broker's own"));
    }
    Ok(())
}

/// # Errors
/// [`HooksError::Invalid`]: what would be valid.
pub fn check_endpoint_name(name: &str) -> Result<(), HooksError> {
    let is_plain = !name.contains('/') && !name.chars().any(char::is_control) && name.trim() == name;
    if is_plain && (1..=NAME_LENGTH_MAX).contains(&name.chars().count()) && name != "." && name != ".." {
        return Ok(());
    }
    Err(HooksError::Invalid(format!("name {name:?} is not valid: expected 1 to {NAME_LENGTH_MAX} characters without '/'")))
}

impl Record {
    /// The key of the metadata store.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{PREFIX}{}", self.id)
    }

    /// The consumer group that shows how far the endpoint is. Names have no '/', so no two endpoints share one.
    #[must_use]
    pub fn group(&self) -> String {
        match &self.project {
            None => format!("hooks.{}", self.name),
            Some(project) => format!("hooks.{project}/{}", self.name),
        }
    }
}

impl Endpoint {
    /// The endpoint of a stored record.
    #[must_use]
    pub fn open(record: Record, vault: &Vault) -> Endpoint {
        let opened = vault.open(&record.id, &record.secret);
        let is_sealed = opened.is_none();
        let secret = opened.unwrap_or_else(|| Secret::of_bytes(Vec::new()));
        let previous = record.previous_secrets.iter();
        let previous = previous.filter_map(|one| Some((vault.open(&record.id, &one.secret)?, one.until))).collect();
        // They were checked when they were stored.
        let patterns = record.settings.events.iter().filter_map(|event| Pattern::parse(event).ok()).collect();
        Endpoint { record, secret, previous, patterns, is_sealed }
    }

    /// Whether it is sent anything. One whose secret cannot be read is not, whatever its record says: with the right key it goes on.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.record.enabled && !self.is_sealed
    }

    #[must_use]
    pub fn disabled_reason(&self) -> Option<&str> {
        if self.is_sealed { Some(SEALED) } else { self.record.disabled_reason.as_deref() }
    }

    /// The secrets that sign now.
    #[must_use]
    pub fn secrets(&self, now: Timestamp) -> Vec<Secret> {
        let previous = self.previous.iter().filter(|(_, until)| now < *until).map(|(secret, _)| secret.clone());
        std::iter::once(self.secret.clone()).chain(previous).collect()
    }

    /// Requests that may be under way.
    #[must_use]
    pub fn concurrency(&self, limits: &Limits) -> usize {
        let own = self.record.settings.concurrency;
        own.map_or(limits.endpoint_concurrency, |own| own.min(limits.endpoint_concurrency_max))
    }

    /// How long its answers are waited for.
    #[must_use]
    pub fn timeout_ms(&self, limits: &Limits) -> u64 {
        let own = self.record.settings.timeout_ms;
        own.map_or(limits.timeout_ms, |own| own.min(limits.timeout_max_ms))
    }

    #[must_use]
    pub fn message_id(&self, topic: TopicId, partition: i32, offset: i64) -> String {
        message_id(&self.record.id, topic, partition, offset)
    }

    /// Whether one of `events` is or matches `name`.
    #[must_use]
    pub fn listens_to(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(name))
    }

    /// Whether what was published with `POST /webhooks` is for this endpoint.
    #[must_use]
    pub fn is_addressed(&self, record: &Read, event_type: &str) -> bool {
        match record.header(ADDRESSED) {
            Some(names) => serde_json::from_slice::<Vec<String>>(names).is_ok_and(|names| names.contains(&self.record.name)),
            None => self.listens_to(event_type),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::hooks::SecretKey;
    use crate::env::Env;

    pub(in crate::hooks) fn settings() -> Settings {
        Settings {
            url: "https://example.org/".to_owned(),
            events: vec!["order.*".to_owned(), "payment".to_owned()],
            filters: Filters::default(),
            description: None,
            metadata: BTreeMap::new(),
            ordered: false,
            timeout_ms: None,
            concurrency: None,
        }
    }

    /// Its record is stored again with each change: what only the key is to blame for must not be in it.
    #[test]
    fn an_endpoint_whose_secret_cannot_be_read_is_disabled_and_its_record_is_not() {
        let vault = |key| Vault::new(&SecretKey([key; 32]), Env::system());
        let (right, wrong) = (vault(1), vault(2));
        let record = Record {
            id: "ep_1".to_owned(),
            project: None,
            name: "crm".to_owned(),
            settings: settings(),
            enabled: true,
            disabled_reason: None,
            created: Timestamp(0),
            secret: right.seal("ep_1", &Secret::of_bytes(vec![7; 24])),
            previous_secrets: Vec::new(),
        };
        let sealed = Endpoint::open(record.clone(), &wrong);
        assert!(sealed.is_sealed && !sealed.is_enabled() && sealed.disabled_reason() == Some(SEALED));
        let opened = Endpoint::open(sealed.record, &right);
        assert!(opened.is_enabled() && opened.disabled_reason().is_none() && opened.record == record);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases: [(Settings, &str); 9] = [
            (Settings { events: vec!["order*".to_owned()], ..settings() }, "events: "),
            (Settings { events: vec!["a b".to_owned()], ..settings() }, "events: \"a b\""),
            (Settings { events: vec!["__consumer_offsets".to_owned()], ..settings() }, "the broker's own"),
            (Settings { events: vec!["a".to_owned(); 101], ..settings() }, "the most is 100"),
            (Settings { timeout_ms: Some(1), ..settings() }, "timeout_ms"),
            (Settings { timeout_ms: Some(60_001), ..settings() }, "hooks.timeout_max_ms"),
            (Settings { concurrency: Some(0), ..settings() }, "concurrency"),
            (Settings { concurrency: Some(65), ..settings() }, "hooks.endpoint_concurrency_max"),
            (Settings { description: Some("x".repeat(1001)), ..settings() }, "description"),
        ];
        for (wrong, expected) in cases {
            let error = wrong.check(&Limits::default()).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(settings().check(&Limits::default()).is_ok());
        for bad in ["", "a/b", " a", "a\n", "..", &"x".repeat(101)] {
            assert!(check_endpoint_name(bad).is_err(), "{bad:?}");
        }
        assert!(check_endpoint_name("My CRM (new)").is_ok());
    }
}
