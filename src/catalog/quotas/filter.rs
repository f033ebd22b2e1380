//! Which entities' quotas are asked for. Source: ClientQuotasImage.describe and matches; ClientQuotaFilter.

use super::{Entity, EntityType};
use std::collections::BTreeMap;

/// Which names of one type are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// This one.
    Name(String),
    /// That of all that have nothing of their own.
    Default,
    /// Any.
    Any,
}

/// Entities by the types and names that they have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    pub components: BTreeMap<EntityType, Match>,
    /// Only entities of exactly these types; else they may have others besides.
    pub is_strict: bool,
}

impl Filter {
    /// Whether `entity` is one of those that are meant.
    #[must_use]
    pub fn matches(&self, entity: &Entity) -> bool {
        if self.is_strict && entity.parts().count() != self.components.len() {
            return false;
        }
        self.components.iter().all(|(entity_type, wanted)| match (entity.name(*entity_type), wanted) {
            (None, _) => false,
            (Some(_), Match::Any) => true,
            (Some(name), Match::Default) => name.is_none(),
            (Some(name), Match::Name(wanted)) => name == Some(wanted.as_str()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(parts: &[(&str, Option<&str>)]) -> Entity {
        Entity::new(parts.iter().map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned)))).expect("an entity")
    }

    /// How many of Kafka's examples match (ClientQuotasRequestTest.testDescribeClientQuotasMatchPartial).
    fn matching(is_strict: bool, components: &[(EntityType, Match)]) -> usize {
        let entities = [
            entity(&[("user", Some("user-1")), ("client-id", Some("client-id-1"))]),
            entity(&[("user", Some("user-2")), ("client-id", Some("client-id-1"))]),
            entity(&[("user", Some("user-3")), ("client-id", Some("client-id-2"))]),
            entity(&[("user", None), ("client-id", Some("client-id-1"))]),
            entity(&[("user", Some("user-1")), ("client-id", None)]),
            entity(&[("user", Some("user-3")), ("client-id", None)]),
            entity(&[("user", Some("user-1"))]),
            entity(&[("user", Some("user-2"))]),
            entity(&[("user", Some("user-3"))]),
            entity(&[("user", None)]),
            entity(&[("client-id", Some("client-id-2"))]),
            entity(&[("ip", Some("1.2.3.4"))]),
            entity(&[("ip", Some("2.3.4.5"))]),
        ];
        let filter = Filter { components: components.iter().cloned().collect(), is_strict };
        entities.iter().filter(|entity| filter.matches(entity)).count()
    }

    #[test]
    fn entities_match_as_in_kafka() {
        use EntityType::{ClientId, Ip, User};
        let named = |name: &str| Match::Name(name.to_owned());
        assert_eq!(matching(false, &[(User, named("user-1"))]), 3);
        assert_eq!(matching(false, &[(User, named("unknown"))]), 0);
        assert_eq!(matching(false, &[(ClientId, named("client-id-2"))]), 2);
        assert_eq!(matching(false, &[(User, Match::Default)]), 2);
        assert_eq!(matching(true, &[(User, named("user-2"))]), 1);
        assert_eq!(matching(true, &[(ClientId, named("client-id-1"))]), 0);
        assert_eq!(matching(true, &[(User, Match::Any)]), 4);
        assert_eq!(matching(false, &[(User, Match::Any)]), 10);
        assert_eq!(matching(true, &[(ClientId, Match::Any)]), 1);
        assert_eq!(matching(false, &[(ClientId, Match::Any)]), 7);
        assert_eq!(matching(false, &[(Ip, Match::Any)]), 2);
        assert_eq!((matching(false, &[]), matching(true, &[])), (13, 0));
        assert_eq!(matching(true, &[(User, named("user-1")), (ClientId, Match::Default)]), 1);
    }
}
