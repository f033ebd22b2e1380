//! Broker properties that change while the broker runs. Kafka has more; here are those whose change has its effect.

use super::kafka::KafkaSettings;
use super::properties::{self, Mutability};
use std::collections::BTreeMap;

/// Those whose change has its effect at once.
const CHANGEABLE: [&str; 1] = ["group.consumer.assignment.interval.ms"];

/// Whether the property `name` may be set while the broker runs.
///
/// # Errors
/// Why not (DynamicBrokerConfig.validateConfigs).
pub fn check_name(name: &str) -> Result<(), String> {
    match properties::broker(name) {
        None => Err(format!("Unknown broker property: {name}")),
        Some(property) if property.mutability == Mutability::ReadOnly => {
            Err(format!("Cannot update these configs dynamically: Set({name})"))
        }
        Some(_) if !CHANGEABLE.contains(&name) => Err(format!(
            "{name} cannot be changed while the broker runs yet: give it at the start, with --set or in the configuration file"
        )),
        Some(_) => Ok(()),
    }
}

/// Whether a broker may have these overrides.
///
/// # Errors
/// Kafka's message about the first that it may not have.
pub fn check(overrides: &BTreeMap<String, String>, kafka: &KafkaSettings) -> Result<(), String> {
    for (name, value) in overrides {
        if let Some(property) = properties::broker(name) {
            property.check(value)?;
        }
    }
    // Bounds between properties are checked as they are at a start.
    let mut together = kafka.explicit.clone();
    together.extend(overrides.iter().map(|(name, value)| (name.clone(), value.clone())));
    KafkaSettings::new(together).map(|_| ())
}
