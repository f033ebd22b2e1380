//! Which topics an endpoint reads, and which of their records it wants. Pure but for the catalog's snapshot.

use super::endpoint::Endpoint;
use super::message::event_type;
use super::reading::Read;
use super::scope::Scope;
use crate::catalog::patterns::{Pattern, Patterns, is_hidden};
use crate::catalog::{Catalog, Topic};
use crate::config::hooks::EVENTS_TOPIC;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The header of a dead letter that says whose it was.
pub const ENDPOINT_ID: &str = "webhook-endpoint-id";
/// The header of a dead letter that says which topic its event is of, as the project calls it.
pub const SOURCE_TOPIC: &str = "webhook-source-topic";

/// The topics of an endpoint, by their Kafka names: those that its `events` name or match, and the one of `POST /webhooks`. Dead letters and that one are
/// matched by no pattern: an endpoint for everything would be sent its own failures.
#[must_use]
pub fn topics(
    endpoint: &Endpoint,
    scope: &Scope,
    catalog: &Catalog,
    patterns: &Patterns,
    dead_letters: &str,
) -> BTreeMap<String, Arc<Topic>> {
    let mut found = BTreeMap::new();
    for event in &endpoint.record.settings.events {
        if Pattern::is_pattern(event) {
            let matches = patterns.topics(catalog, &scope.prefix, event).unwrap_or_default();
            for topic in matches {
                let own = scope.own_name(&topic.name);
                if own.is_some_and(|own| own != EVENTS_TOPIC && own != dead_letters) {
                    found.insert(topic.name.clone(), topic);
                }
            }
        } else {
            found.extend(named(event, scope, catalog));
        }
    }
    found.extend(named(EVENTS_TOPIC, scope, catalog));
    found
}

fn named(name: &str, scope: &Scope, catalog: &Catalog) -> Option<(String, Arc<Topic>)> {
    let kafka_name = scope.kafka_name(name);
    let is_own = !is_hidden(&kafka_name) && scope.own_name(&kafka_name).is_some();
    let topic = is_own.then(|| catalog.topic(&kafka_name)).flatten()?;
    Some((kafka_name, topic))
}

/// Whether an endpoint wants a record of the topic that the project calls `topic`; `dead_letters`: what it calls that of dead letters.
#[must_use]
pub fn takes(endpoint: &Endpoint, topic: &str, dead_letters: &str, record: &Read) -> bool {
    if topic == EVENTS_TOPIC {
        let is_named = endpoint.record.settings.events.iter().any(|event| event == EVENTS_TOPIC);
        if !is_named && !endpoint.is_addressed(record, event_type(topic, record, true)) {
            return false;
        }
    } else if record.has_header(ENDPOINT_ID, endpoint.record.id.as_bytes()) {
        // Its own dead letter, in a topic that it reads: also one that another endpoint gave up in turn. One that somebody has written back to the topic
        // that it was of, with its headers, is an event again; but among the dead letters a letter of a letter is of this very topic, and would never end.
        let is_back = topic != dead_letters && record.header(SOURCE_TOPIC) == Some(topic.as_bytes());
        if !is_back {
            return false;
        }
    }
    // What is too large to be sent is not looked into; it is told as such, rather than lost.
    record.omitted.is_some() || endpoint.record.settings.filters.take(&record.headers, record.value.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::endpoint::tests::settings;
    use crate::hooks::endpoint::{Record, Settings};
    use crate::hooks::secret::Secret;
    use crate::ids::Timestamp;
    use bytes::Bytes;

    const DEAD: &str = "webhooks.dead-letter";

    fn endpoint() -> Endpoint {
        let settings = Settings { events: vec!["orders".to_owned(), DEAD.to_owned()], ..settings() };
        let record = Record {
            id: "ep_1".to_owned(),
            project: None,
            name: "crm".to_owned(),
            settings,
            enabled: true,
            disabled_reason: None,
            created: Timestamp(0),
            secret: String::new(),
            previous_secrets: Vec::new(),
        };
        let secret = Secret::of_bytes(Vec::new());
        Endpoint { record, secret, previous: Vec::new(), patterns: Vec::new(), is_sealed: false }
    }

    /// A record with the headers of dead letters of these endpoints, of these topics; of a letter of a letter there are two.
    fn letter(of: &[(&'static str, &'static str)]) -> Read {
        let header = |name: &'static str, value: &'static str| {
            (Bytes::from_static(name.as_bytes()), Some(Bytes::from_static(value.as_bytes())))
        };
        let headers =
            of.iter().flat_map(|(endpoint, topic)| [header(ENDPOINT_ID, endpoint), header(SOURCE_TOPIC, topic)]).collect();
        Read { offset: 0, timestamp: Timestamp(0), key: None, value: None, headers, omitted: None }
    }

    #[test]
    fn an_endpoint_is_not_sent_its_own_dead_letters_but_what_was_written_back() {
        let endpoint = endpoint();
        let taken = |topic, of: &[(&'static str, &'static str)]| takes(&endpoint, topic, DEAD, &letter(of));
        assert!(taken("orders", &[]));
        assert!(taken(DEAD, &[("ep_2", "orders")]), "another one's");
        assert!(!taken(DEAD, &[("ep_1", "orders")]));
        assert!(taken("orders", &[("ep_1", "orders")]), "somebody has written it back");
        assert!(!taken("orders", &[("ep_1", "payments")]), "copied to another topic, it is a dead letter still");
        assert!(!taken(DEAD, &[("ep_2", "orders"), ("ep_1", DEAD)]), "its own, of the letter of another: it would never end");
        assert!(!taken(DEAD, &[("ep_1", "orders"), ("ep_2", DEAD)]));
    }
}
