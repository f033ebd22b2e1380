//! What a quota limits, and the values that it takes.
//!
//! Source: QuotaConfig; ClientQuotaControlManager.validateQuotaKeyValue.

use super::Entity;
use crate::catalog::CatalogError;
use crate::store::{StoreError, json};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Limits by Kafka's quota keys, in the units of the keys.
pub type Limits = BTreeMap<String, f64>;

/// Which numbers a quota key takes (ConfigDef.Type).
#[derive(Debug, Clone, Copy)]
enum Kind {
    Int,
    Long,
    Double,
}

/// Of users and client ids.
const OF_CLIENTS: [(&str, Kind); 4] = [
    ("producer_byte_rate", Kind::Long),
    ("consumer_byte_rate", Kind::Long),
    ("request_percentage", Kind::Double),
    ("controller_mutation_rate", Kind::Double),
];
const OF_ADDRESSES: [(&str, Kind); 1] = [("connection_creation_rate", Kind::Int)];

const INT_MAX: f64 = 2_147_483_647.0;
/// 2^63: the double that is next to the largest long.
const LONG_MAX: f64 = 9_223_372_036_854_775_808.0;
/// As far from a whole number as a whole number may be.
const FRACTION_MAX: f64 = 1e-6;

/// Whether `entity` may have this limit.
pub(super) fn check(entity: &Entity, key: &str, value: f64) -> Result<(), CatalogError> {
    let known: &[(&str, Kind)] = if entity.is_address() { &OF_ADDRESSES } else { &OF_CLIENTS };
    let Some((_, kind)) = known.iter().find(|(name, _)| *name == key) else {
        return invalid(format!("Invalid configuration key {key}"));
    };
    // What is no number is no limit, though Kafka takes it for one.
    if value.is_nan() || value <= 0.0 {
        return invalid(format!("Quota {key} must be greater than 0"));
    }
    match kind {
        Kind::Double => Ok(()),
        Kind::Int if value > INT_MAX => invalid(format!("Proposed value for {key} is too large for an INT.")),
        Kind::Long if value > LONG_MAX => invalid(format!("Proposed value for {key} is too large for a LONG.")),
        Kind::Int | Kind::Long if (value % 1.0).abs() > FRACTION_MAX => invalid(format!("{key} cannot be a fractional value.")),
        Kind::Int | Kind::Long => Ok(()),
    }
}

/// As they are stored: numbers as texts, which read back as the very same numbers; serde_json's may differ in the last bit.
pub(in crate::catalog) fn stored(limits: &Limits) -> BTreeMap<&str, String> {
    limits.iter().map(|(key, value)| (key.as_str(), value.to_string())).collect()
}

/// What [`stored`] wrote.
pub(super) fn read(key: &str, value: &Bytes) -> Result<Limits, StoreError> {
    let texts: BTreeMap<String, String> = json::read(key, value)?;
    let number = |(name, text): (String, String)| match text.parse::<f64>() {
        Ok(number) => Ok((name, number)),
        Err(error) => Err(StoreError::Damaged(format!("metadata key {key}: {name} is {text:?}: {error}"))),
    };
    texts.into_iter().map(number).collect()
}

fn invalid(why: String) -> Result<(), CatalogError> {
    Err(CatalogError::InvalidRequest(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(kind: &str, key: &str, value: f64) -> String {
        let entity = Entity::new([(kind.to_owned(), None)]).expect("an entity");
        check(&entity, key, value).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn limits_belong_to_their_entities_and_have_bounds() {
        for (kind, key) in [("user", "bad"), ("client-id", "connection_creation_rate"), ("ip", "producer_byte_rate")] {
            assert_eq!(why(kind, key, 1.0), format!("Invalid configuration key {key}"));
        }
        for value in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(why("user", "request_percentage", value), "Quota request_percentage must be greater than 0");
        }
        assert_eq!(why("user", "producer_byte_rate", 10_000.5), "producer_byte_rate cannot be a fractional value.");
        let too_large = "Proposed value for consumer_byte_rate is too large for a LONG.";
        assert_eq!(why("user", "consumer_byte_rate", f64::INFINITY), too_large);
        let too_large = "Proposed value for connection_creation_rate is too large for an INT.";
        assert_eq!(why("ip", "connection_creation_rate", 2_147_483_648.0), too_large);
        for (kind, key, value) in [
            ("user", "producer_byte_rate", LONG_MAX),
            ("client-id", "request_percentage", 12.34),
            ("user", "controller_mutation_rate", 0.5),
            ("ip", "connection_creation_rate", INT_MAX),
        ] {
            assert_eq!(why(kind, key, value), "", "{key} {value}");
        }
    }

    #[test]
    fn numbers_read_back_as_they_were() {
        let limits = Limits::from([("a".to_owned(), 12.3), ("b".to_owned(), f64::MIN_POSITIVE), ("c".to_owned(), LONG_MAX)]);
        let json = serde_json::to_vec(&stored(&limits)).expect("a JSON form");
        assert_eq!(read("k", &Bytes::from(json)).expect("reads back"), limits);
        assert!(read("k", &Bytes::from_static(br#"{"a":"much"}"#)).is_err());
    }
}
