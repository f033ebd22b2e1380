//! Broker properties that change while the broker runs (KIP-226): which may, to what, and what they come to together with those
//! that the broker was started with.
//!
//! What counts first: what was set for this broker, then for all brokers, then what was given at the start, then Kafka's
//! default. Source: DynamicBrokerConfig of Kafka 4.3, DynamicThreadPool, DynamicLogConfig, DynamicRemoteLogConfig and
//! LogCleaner; the messages are theirs.

use super::describe::Dynamic;
use super::kafka::KafkaSettings;
use super::properties::{self, Effect, Mutability};
use super::topic::{TopicSettings, broker_value};
use std::collections::BTreeMap;

/// The most bytes of names and values that are set for one broker, or for all: names that nobody knows are taken, as in Kafka,
/// so that the tables bound nothing.
const OVERRIDES_BYTES_MAX: usize = 256 * 1024;

/// What the broker reads once, at its start, and that must not seem to have changed.
const AT_START: [&str; 3] = ["listeners", "listener.security.protocol.map", "max.connections"];

/// Threads that do not exist here; their numbers are checked as Kafka checks them (DynamicThreadPool, DataPlaneAcceptor).
const THREADS: [&str; 5] =
    ["num.io.threads", "num.network.threads", "num.replica.fetchers", "num.recovery.threads.per.data.dir", "background.threads"];

/// The same for tiered storage (DynamicRemoteLogConfig).
const REMOTE_THREADS: [&str; 4] = [
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.follower.thread.pool.size",
    "remote.log.reader.threads",
];

/// Of one listener, what Kafka takes for all brokers, too (DynamicListenerConfig, SocketServer: ClusterLevelListenerConfigs).
const CLUSTER_LEVEL_OF_LISTENER: [&str; 3] = ["max.connections", "max.connection.creation.rate", "num.network.threads"];

/// For which brokers properties are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    ThisBroker,
    AllBrokers,
}

/// Whether these properties may be set in `scope`, each by itself. `effective`: what the broker's properties are now.
///
/// # Errors
/// Kafka's message, which names all that are wrong in the same way (DynamicBrokerConfig.validateConfigs); ours where TLS, SASL
/// or another listener would be needed.
pub fn check(scope: Scope, overrides: &BTreeMap<String, String>, effective: &KafkaSettings) -> Result<(), String> {
    let bytes: usize = overrides.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > OVERRIDES_BYTES_MAX {
        return Err(format!("What is set for one broker, or for all, may have {OVERRIDES_BYTES_MAX} bytes, not {bytes}"));
    }
    let refuse = |why: &str, is_wrong: &dyn Fn(&str) -> bool| {
        let wrong: Vec<&str> = overrides.keys().map(String::as_str).filter(|&name| is_wrong(name)).collect();
        if wrong.is_empty() { Ok(()) } else { Err(format!("{why}: [{}]", wrong.join(", "))) }
    };
    refuse("Cannot update these configs dynamically", &is_read_only)?;
    for (name, value) in overrides {
        let limit = properties::own_of_listener(name).filter(|own| CLUSTER_LEVEL_OF_LISTENER.contains(own));
        if let Some(property) = properties::broker(limit.unwrap_or(name)) {
            property.check(value)?;
        }
    }
    if scope == Scope::AllBrokers {
        refuse("Cannot update these configs at default cluster level, broker id must be specified", &is_per_broker)?;
    }
    refuse("These configs are not supported here yet, since there is no TLS and no SASL", &is_security)?;
    refuse("Cannot update these configs while the broker runs yet, give them at the start", &|name| {
        let value = overrides.get(name).map(|value| value.trim());
        AT_START.contains(&name) && value != effective.value(name).map(str::trim)
    })
}

fn is_read_only(name: &str) -> bool {
    properties::broker::is_internal(name)
        || properties::broker(name).is_some_and(|property| property.mutability == Mutability::ReadOnly)
}

fn is_per_broker(name: &str) -> bool {
    properties::own_of_listener(name).is_some_and(|own| !CLUSTER_LEVEL_OF_LISTENER.contains(&own))
        || properties::broker(name).is_some_and(|property| property.mutability == Mutability::PerBroker)
}

/// What would pretend to secure something. What only tunes how SASL works elsewhere (`sasl.kerberos.*`, `sasl.login.*`) does not.
fn is_security(name: &str) -> bool {
    name.starts_with("ssl.") || ["sasl.jaas.config", "sasl.enabled.mechanisms", "principal.builder.class"].contains(&name)
}

/// The properties of a broker that was started with `given`, together with what was set while it runs.
///
/// # Errors
/// As [`KafkaSettings::new`]: bounds between properties are those of a start.
pub fn effective(given: &KafkaSettings, [broker, all]: Dynamic) -> Result<KafkaSettings, String> {
    let mut together = given.explicit.clone();
    for (name, value) in all.into_iter().chain(broker).flatten() {
        together.insert(name.clone(), value.clone());
    }
    if together == given.explicit {
        return Ok(given.clone());
    }
    Ok(KafkaSettings { effective: given.effective.clone(), ..KafkaSettings::new(together)? })
}

/// Whether a running broker may go from `old` properties to `new` ones.
///
/// # Errors
/// Kafka's message about the first that moves too far, or does not fit another one.
pub fn check_step(old: &KafkaSettings, new: &KafkaSettings) -> Result<(), String> {
    for name in THREADS {
        check_threads("Dynamic thread count update validation failed for", name, old, new)?;
    }
    for name in REMOTE_THREADS {
        check_threads("Dynamic remote log manager config update validation failed for", name, old, new)?;
    }
    check_cleaner_threads(old, new)?;
    check_local_retention("ms", new)?;
    check_local_retention("bytes", new)?;
    // Otherwise no topic could be created any more.
    TopicSettings::resolve(&BTreeMap::new(), new).map(drop)
}

fn number(name: &str, kafka: &KafkaSettings) -> Option<i64> {
    kafka.value(name)?.trim().parse().ok()
}

fn check_threads(failed: &str, name: &str, old: &KafkaSettings, new: &KafkaSettings) -> Result<(), String> {
    let (Some(was), Some(is)) = (number(name, old), number(name, new)) else { return Ok(()) };
    let why = if is == was {
        return Ok(());
    } else if is < 1 {
        "value should be at least 1".to_owned()
    } else if is < was / 2 {
        format!("value should be at least half the current value {was}")
    } else if is > was.saturating_mul(2) {
        format!("value should not be greater than double the current value {was}")
    } else {
        return Ok(());
    };
    Err(format!("{failed} {name}={is}, {why}"))
}

fn check_cleaner_threads(old: &KafkaSettings, new: &KafkaSettings) -> Result<(), String> {
    let (Some(was), Some(is)) = (number("log.cleaner.threads", old), number("log.cleaner.threads", new)) else { return Ok(()) };
    if is == was {
        Ok(())
    } else if is < 1 {
        Err("Log cleaner threads should be at least 1".to_owned())
    } else if is < was / 2 {
        Err(format!("Log cleaner threads cannot be reduced to less than half the current value {was}"))
    } else if is > was.saturating_mul(2) {
        Err(format!("Log cleaner threads cannot be increased to more than double the current value {was}"))
    } else {
        Ok(())
    }
}

/// What stays local lies within what stays at all (DynamicLogConfig.validateReconfiguration). `unit`: `ms` or `bytes`.
fn check_local_retention(unit: &str, new: &KafkaSettings) -> Result<(), String> {
    let (all, local_name) = (format!("log.retention.{unit}"), format!("log.local.retention.{unit}"));
    let topic = properties::topic(&format!("retention.{unit}")).and_then(|topic| broker_value(topic, new));
    let (Some(kept), Some(local)) = (topic.and_then(|value| value.parse::<i64>().ok()), number(&local_name, new)) else {
        return Ok(());
    };
    // −1 keeps everything, and −2 as much locally as at all.
    if kept < 0 || local == -2 {
        return Ok(());
    }
    if local == -1 {
        return Err(format!(
            "Invalid value -1 for configuration {local_name}: Value must not be -1 as {all} value is set as {kept}."
        ));
    }
    if local > kept {
        return Err(format!(
            "Invalid value {local} for configuration {local_name}: Value must not be more than {all} property value: {kept}"
        ));
    }
    Ok(())
}

/// Whether topics that default to the broker's properties come to something else.
#[must_use]
pub fn concerns_topics(old: &KafkaSettings, new: &KafkaSettings) -> bool {
    properties::TOPIC.iter().any(|topic| broker_value(topic, old) != broker_value(topic, new))
}

/// Whether setting `name` does something here, other than being kept and shown.
#[must_use]
pub fn has_effect(name: &str) -> bool {
    properties::broker(name).is_some_and(|property| property.effect == Effect::Works)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn kafka(pairs: &[(&str, &str)]) -> KafkaSettings {
        KafkaSettings::new(map(pairs)).expect("valid properties")
    }

    fn why(scope: Scope, pairs: &[(&str, &str)]) -> String {
        check(scope, &map(pairs), &KafkaSettings::default()).err().unwrap_or_default()
    }

    #[test]
    fn what_may_not_be_set_is_said_in_kafkas_words() {
        use Scope::{AllBrokers, ThisBroker};
        let read_only = [("num.partitions", "2"), ("message.max.bytes", "1"), ("broker.id", "1")];
        assert_eq!(why(ThisBroker, &read_only), "Cannot update these configs dynamically: [broker.id, num.partitions]");
        assert_eq!(
            why(ThisBroker, &[("unstable.api.versions.enable", "true")]),
            "Cannot update these configs dynamically: [unstable.api.versions.enable]"
        );
        assert_eq!(
            why(ThisBroker, &[("message.max.bytes", "x")]),
            "Invalid value x for configuration message.max.bytes: Not a number of type INT"
        );
        let per_broker = "Cannot update these configs at default cluster level, broker id must be specified";
        assert_eq!(
            why(AllBrokers, &[("listeners", "PLAINTEXT://:9092"), ("listener.name.in.ssl.key.password", "secret")]),
            format!("{per_broker}: [listener.name.in.ssl.key.password, listeners]")
        );
        let listeners_connections = "listener.name.in.max.connections";
        let of_listener = [(listeners_connections, "9"), ("listener.name.in.num.network.threads", "4")];
        assert_eq!(why(AllBrokers, &of_listener), "");
        for scope in [AllBrokers, ThisBroker] {
            assert_eq!(
                why(scope, &[(listeners_connections, "many")]),
                "Invalid value many for configuration max.connections: Not a number of type INT"
            );
        }
        assert_eq!(why(AllBrokers, &[("cordoned.log.dirs", "/data")]), format!("{per_broker}: [cordoned.log.dirs]"));
        assert_eq!(why(ThisBroker, &[("cordoned.log.dirs", "/data")]), "");
        let linger = [("group.coordinator.append.linger.ms", "5")];
        assert_eq!(why(AllBrokers, &linger), "Cannot update these configs dynamically: [group.coordinator.append.linger.ms]");
        assert_eq!(
            why(AllBrokers, &[("group.coordinator.cached.buffer.max.bytes", "524287")]),
            "Invalid value 524287 for configuration group.coordinator.cached.buffer.max.bytes: Value must be at least 524288"
        );
        let security = [("ssl.keystore.type", "PEM"), ("sasl.enabled.mechanisms", "PLAIN"), ("sasl.jaas.config", "s")];
        for one in security {
            assert!(why(ThisBroker, &[one]).starts_with("These configs are not supported here yet"), "{one:?}");
        }
        let kept = [("listener.name.in.ssl.key.password", "s"), ("sasl.kerberos.min.time.before.relogin", "58000")];
        assert_eq!(why(ThisBroker, &kept), "");
        assert!(why(ThisBroker, &[("max.connections", "5")]).ends_with("give them at the start: [max.connections]"));
        assert_eq!(why(ThisBroker, &[("max.connections", "2147483647"), ("listeners", "PLAINTEXT://:9092")]), "", "as they are");
        let long = "x".repeat(OVERRIDES_BYTES_MAX);
        assert!(why(ThisBroker, &[("unknown", long.as_str())]).contains("bytes"));
        assert_eq!(why(AllBrokers, &[("message.max.bytes", "100"), ("unknown", "2")]), "");
    }

    #[test]
    fn numbers_of_threads_move_by_a_factor_of_two_at_most() {
        let step =
            |name: &str, value: &str| check_step(&KafkaSettings::default(), &kafka(&[(name, value)])).err().unwrap_or_default();
        let failed = "Dynamic thread count update validation failed for num.io.threads";
        assert_eq!(step("num.io.threads", "3"), format!("{failed}=3, value should be at least half the current value 8"));
        assert_eq!(
            step("num.io.threads", "17"),
            format!("{failed}=17, value should not be greater than double the current value 8")
        );
        assert_eq!((step("num.io.threads", "4"), step("num.io.threads", "16")), (String::new(), String::new()));
        assert_eq!(
            step("log.cleaner.threads", "3"),
            "Log cleaner threads cannot be increased to more than double the current value 1"
        );
        assert_eq!(step("log.cleaner.threads", "0"), "Log cleaner threads should be at least 1");
        assert_eq!(step("log.cleaner.threads", "2"), "");
        assert!(
            step("remote.log.reader.threads", "21")
                .starts_with("Dynamic remote log manager config update validation failed for ")
        );
    }

    #[test]
    fn properties_fit_each_other() {
        let step = |pairs: &[(&str, &str)]| check_step(&KafkaSettings::default(), &kafka(pairs)).err().unwrap_or_default();
        assert_eq!(
            step(&[("log.retention.ms", "5"), ("log.local.retention.ms", "6")]),
            "Invalid value 6 for configuration log.local.retention.ms: \
             Value must not be more than log.retention.ms property value: 5"
        );
        assert_eq!(
            step(&[("log.retention.bytes", "5"), ("log.local.retention.bytes", "-1")]),
            "Invalid value -1 for configuration log.local.retention.bytes: \
             Value must not be -1 as log.retention.bytes value is set as 5."
        );
        assert_eq!(step(&[("log.retention.ms", "-1"), ("log.local.retention.ms", "6")]), "");
        assert!(
            step(&[("log.cleaner.min.compaction.lag.ms", "5"), ("log.cleaner.max.compaction.lag.ms", "4")]).contains("conflict")
        );
    }

    #[test]
    fn this_brokers_settings_count_before_those_of_all_and_those_before_the_start() {
        let given = kafka(&[("message.max.bytes", "1"), ("log.retention.hours", "3"), ("num.partitions", "4")]);
        let (all, broker) = (map(&[("message.max.bytes", "2"), ("log.retention.ms", "9")]), map(&[("message.max.bytes", "3")]));
        let value = |changed: Dynamic, name: &str| effective(&given, changed).expect("valid").value(name).map(str::to_owned);
        assert_eq!(value([None, None], "message.max.bytes").as_deref(), Some("1"));
        assert_eq!(value([None, Some(&all)], "message.max.bytes").as_deref(), Some("2"));
        assert_eq!(value([Some(&broker), Some(&all)], "message.max.bytes").as_deref(), Some("3"));
        let both = effective(&given, [Some(&broker), Some(&all)]).expect("valid");
        let settings = TopicSettings::resolve(&BTreeMap::new(), &both).expect("valid");
        assert_eq!((settings.retention_ms, settings.max_message_bytes, both.num_partitions), (9, 3, 4));
        assert!(concerns_topics(&given, &both) && !concerns_topics(&given, &given.clone()));
        let wrong = map(&[("log.retention.ms", "0")]);
        assert!(effective(&given, [Some(&wrong), None]).is_err());
    }
}
