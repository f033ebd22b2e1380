//! Whom a quota is for: a user, a client id, a user's client id, or an address; each by its name, or all that have nothing of
//! their own.
//!
//! Source: ClientQuotaEntity; ClientQuotaControlManager.validateEntity and configKeysForEntityType.

use crate::catalog::CatalogError;
use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// The most bytes of a name. Kafka has no bound.
pub const NAME_BYTES_MAX: usize = 1_000;

/// What a name in an entity is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntityType {
    ClientId,
    Ip,
    User,
}

impl EntityType {
    /// The type that Kafka calls `name`.
    #[must_use]
    pub fn of(name: &str) -> Option<EntityType> {
        [EntityType::ClientId, EntityType::Ip, EntityType::User].into_iter().find(|kind| kind.name() == name)
    }

    /// Kafka's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EntityType::ClientId => "client-id",
            EntityType::Ip => "ip",
            EntityType::User => "user",
        }
    }
}

/// Whom a quota is for. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Entity(BTreeMap<EntityType, Option<String>>);

impl Entity {
    /// The entity of these types and names; a name of `None` stands for all that have nothing of their own.
    ///
    /// # Errors
    /// [`CatalogError::InvalidRequest`] for what no quota can be for.
    pub fn new(parts: impl IntoIterator<Item = (String, Option<String>)>) -> Result<Entity, CatalogError> {
        let mut entity = BTreeMap::new();
        for (kind, name) in parts {
            let Some(entity_type) = EntityType::of(&kind) else {
                return invalid(format!("Unhandled client quota entity type: {kind}"));
            };
            match &name {
                Some(name) if name.is_empty() => return invalid(format!("Empty {kind} not supported")),
                Some(name) if name.len() > NAME_BYTES_MAX => {
                    return invalid(format!("The {kind} of a quota has {} bytes; the most is {NAME_BYTES_MAX}", name.len()));
                }
                _ => {}
            }
            if entity.insert(entity_type, name).is_some() {
                return invalid(format!("Invalid client quota entity, duplicate entity entry {kind}"));
            }
        }
        match entity.get(&EntityType::Ip) {
            None if entity.is_empty() => invalid("Invalid empty client quota entity".to_owned()),
            Some(_) if entity.len() > 1 => {
                invalid("Invalid quota entity combination, IP entity should not be combined with User or ClientId".to_owned())
            }
            // Kafka would ask DNS for the address of a host's name.
            Some(Some(address)) if address.parse::<IpAddr>().is_err() => {
                invalid(format!("{address} is not a valid IP or resolvable host."))
            }
            _ => Ok(Entity(entity)),
        }
    }

    /// Types and names, by type.
    pub fn parts(&self) -> impl Iterator<Item = (EntityType, Option<&str>)> {
        self.0.iter().map(|(entity_type, name)| (*entity_type, name.as_deref()))
    }

    /// The name that it has of this type: `None` without one, `Some(None)` for all that have nothing of their own.
    #[must_use]
    pub fn name(&self, entity_type: EntityType) -> Option<Option<&str>> {
        self.0.get(&entity_type).map(Option::as_deref)
    }

    /// Whether it is an address, or all addresses.
    #[must_use]
    pub fn is_address(&self) -> bool {
        self.0.contains_key(&EntityType::Ip)
    }

    /// As it is stored: one text for each entity.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(&self.0).expect("a map of strings with names for keys always has a JSON form")
    }

    /// What [`Entity::json`] wrote; `key` is for the message.
    pub(super) fn read(key: &str, json: &str) -> Result<Entity, StoreError> {
        serde_json::from_str(json).map_err(|error| StoreError::Damaged(format!("metadata key {key}: {error}")))
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (entity_type, name)) in self.parts().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{}={}", entity_type.name(), name.unwrap_or("<default>"))?;
        }
        Ok(())
    }
}

fn invalid(why: String) -> Result<Entity, CatalogError> {
    Err(CatalogError::InvalidRequest(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(parts: &[(&str, Option<&str>)]) -> Result<Entity, CatalogError> {
        Entity::new(parts.iter().map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned))))
    }

    #[test]
    fn what_no_quota_can_be_for_is_refused_in_kafkas_words() {
        let why = |parts: &[(&str, Option<&str>)]| entity(parts).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(why(&[]), "Invalid empty client quota entity");
        assert_eq!(why(&[("", Some("name"))]), "Unhandled client quota entity type: ");
        assert_eq!(why(&[("user", Some(""))]), "Empty user not supported");
        assert_eq!(why(&[("user", Some("a")), ("user", None)]), "Invalid client quota entity, duplicate entity entry user");
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        assert_eq!(why(&[("client-id", Some(&long))]), "The client-id of a quota has 1001 bytes; the most is 1000");
        for other in ["user", "client-id"] {
            assert!(why(&[(other, Some("a")), ("ip", Some("1.2.3.4"))]).starts_with("Invalid quota entity combination"));
        }
        for bad in ["not a valid host because it has spaces", "RFC2606.invalid", "1.2.3"] {
            assert_eq!(why(&[("ip", Some(bad))]), format!("{bad} is not a valid IP or resolvable host."));
        }
        for good in [("ip", Some("1.2.3.4")), ("ip", Some("::1")), ("ip", None), ("user", None), ("client-id", Some("<default>"))]
        {
            assert_eq!(why(&[good]), "", "{good:?}");
        }
    }

    #[test]
    fn an_entity_is_stored_as_one_text_whatever_the_order_of_its_parts() {
        let one = entity(&[("user", Some("a/\"b\"")), ("client-id", None)]).expect("an entity");
        let other = entity(&[("client-id", None), ("user", Some("a/\"b\""))]).expect("an entity");
        assert_eq!(one.json(), r#"{"client-id":null,"user":"a/\"b\""}"#);
        assert_eq!(other.json(), one.json());
        assert_eq!(Entity::read("quotas/…", &one.json()).expect("reads back"), one);
        assert!(Entity::read("quotas/…", r#"{"host":"a"}"#).is_err());
        assert_eq!(one.to_string(), "client-id=<default>, user=a/\"b\"");
    }
}
