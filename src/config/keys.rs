//! The keys of our own configuration: name, what is valid, and where the value goes. One table for the file and for `--set`.
//!
//! A table and not serde's derive, because an error must name the key, the value, what is valid and the nearest key, and because `--set`
//! brings the same values as text.

use super::address::{check_advertised, split_address};
use super::hooks::SecretKey;
use super::{Config, HttpAuth, LogFormat, Sync};
use std::fmt;
use std::path::PathBuf;

const KIB: i64 = 1024;
const MIB: i64 = 1024 * KIB;
const GIB: i64 = 1024 * MIB;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// One key, as `section.key`.
pub(super) struct Key {
    pub name: &'static str,
    /// Checks a value and puts it in place; the error says what is valid.
    apply: fn(&mut Config, &Given<'_>) -> Result<(), String>,
}

/// A value as it was written.
pub(super) enum Given<'a> {
    /// In the file, with the file's types.
    Toml(&'a toml::Value),
    /// After `--set key=`.
    Text(&'a str),
}

/// All keys, in the order of `config.example.toml`.
pub(super) static KEYS: &[Key] = &[
    Key {
        name: "server.listen",
        apply: |config, given| {
            config.server.listen =
                given.list(|address| split_address(address).map(drop).map_err(|reason| format!("addresses, but {reason}")))?;
            Ok(())
        },
    },
    Key {
        name: "server.advertised",
        apply: |config, given| {
            let address = given.text()?;
            check_advertised(&address).map_err(|reason| format!("an address, but {reason}"))?;
            config.server.advertised = Some(address);
            config.server.advertised_by = None;
            Ok(())
        },
    },
    Key { name: "server.node_id", apply: |config, given| given.number(0, i32::MAX.into(), &mut config.server.node_id) },
    Key {
        name: "server.cluster_id",
        apply: |config, given| {
            let id = given.text()?;
            let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
            if !is_plain || id.is_empty() || id.len() > 64 {
                return Err("1 to 64 letters, digits, '-', '_' and '.'".to_owned());
            }
            config.server.cluster_id = Some(id);
            Ok(())
        },
    },
    Key {
        name: "server.rack",
        apply: |config, given| {
            config.server.rack = Some(given.short_text(255)?);
            Ok(())
        },
    },
    Key {
        name: "server.worker_threads",
        apply: |config, given| given.number(1, 1024, config.server.worker_threads.get_or_insert_default()),
    },
    Key {
        name: "storage.path",
        apply: |config, given| {
            config.storage.path = PathBuf::from(given.short_text(4096)?);
            Ok(())
        },
    },
    Key { name: "storage.ephemeral", apply: |config, given| given.boolean(&mut config.storage.ephemeral) },
    Key {
        name: "storage.sync",
        apply: |config, given| {
            config.storage.sync = match given.text()?.as_str() {
                "commit" => Sync::Commit,
                "interval" => Sync::Interval,
                "os" => Sync::Os,
                _ => return Err("\"commit\", \"interval\" or \"os\"".to_owned()),
            };
            Ok(())
        },
    },
    Key {
        name: "storage.sync_interval_ms",
        apply: |config, given| given.number(1, 3_600_000, &mut config.storage.sync_interval_ms),
    },
    Key { name: "storage.segment_bytes", apply: |config, given| given.number(MIB, 2 * GIB, &mut config.storage.segment_bytes) },
    Key { name: "storage.queue_bytes", apply: |config, given| given.number(MIB, 16 * GIB, &mut config.storage.queue_bytes) },
    Key {
        name: "limits.request_bytes",
        apply: |config, given| given.number(KIB, i32::MAX.into(), &mut config.limits.request_bytes),
    },
    Key {
        name: "limits.request_bytes_before_auth",
        apply: |config, given| given.number(KIB, i32::MAX.into(), &mut config.limits.request_bytes_before_auth),
    },
    Key {
        name: "limits.admin_request_bytes",
        apply: |config, given| given.number(KIB, i32::MAX.into(), &mut config.limits.admin_request_bytes),
    },
    Key { name: "limits.connections", apply: |config, given| given.number(1, 1_000_000, &mut config.limits.connections) },
    Key {
        name: "limits.responses_per_connection",
        apply: |config, given| given.number(1, 100_000, &mut config.limits.responses_per_connection),
    },
    Key { name: "limits.idle_ms", apply: |config, given| given.number(1, 30 * DAY_MS, &mut config.limits.idle_ms) },
    Key { name: "limits.memory_bytes", apply: |config, given| given.number(MIB, 1024 * GIB, &mut config.limits.memory_bytes) },
    Key { name: "limits.tail_bytes", apply: |config, given| given.number(0, 1024 * GIB, &mut config.limits.tail_bytes) },
    Key {
        name: "log.level",
        apply: |config, given| {
            let level = given.text()?;
            crate::telemetry::check_filter(&level)?;
            config.log.level = level;
            Ok(())
        },
    },
    Key {
        name: "log.format",
        apply: |config, given| {
            config.log.format = match given.text()?.as_str() {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err("\"text\" or \"json\"".to_owned()),
            };
            Ok(())
        },
    },
    Key {
        name: "http.listen",
        apply: |config, given| {
            config.http.listen = Some(address_or_none(given)?);
            Ok(())
        },
    },
    Key {
        name: "http.auth",
        apply: |config, given| {
            config.http.auth = match given.text()?.as_str() {
                "none" => HttpAuth::None,
                "keys" => HttpAuth::Keys,
                _ => return Err("\"none\" or \"keys\"".to_owned()),
            };
            Ok(())
        },
    },
    Key { name: "http.request_bytes", apply: |config, given| given.number(KIB, GIB, &mut config.http.request_bytes) },
    Key { name: "http.memory_bytes", apply: |config, given| given.number(32 * KIB, 1024 * GIB, &mut config.http.memory_bytes) },
    Key { name: "http.connections", apply: |config, given| given.number(1, 1_000_000, &mut config.http.connections) },
    Key { name: "http.consume_lease_ms", apply: |config, given| given.number(1, DAY_MS, &mut config.http.consume_lease_ms) },
    Key { name: "http.consume_limit_max", apply: |config, given| given.number(1, 100_000, &mut config.http.consume_limit_max) },
    Key { name: "http.wait_ms_max", apply: |config, given| given.number(0, DAY_MS, &mut config.http.wait_ms_max) },
    Key { name: "http.heartbeat_ms", apply: |config, given| given.number(10, DAY_MS, &mut config.http.heartbeat_ms) },
    Key { name: "http.idempotency_ms", apply: |config, given| given.number(1, 30 * DAY_MS, &mut config.http.idempotency_ms) },
    Key {
        name: "http.cors_origins",
        apply: |config, given| {
            let is_none =
                matches!(given, Given::Text("")) || matches!(given, Given::Toml(toml::Value::Array(items)) if items.is_empty());
            config.http.cors_origins = if is_none { Vec::new() } else { given.list(check_origin)? };
            Ok(())
        },
    },
    Key {
        name: "schema.listen",
        apply: |config, given| {
            config.schema.listen = Some(address_or_none(given)?);
            Ok(())
        },
    },
    Key {
        name: "schema.compatibility",
        apply: |config, given| {
            let level = given.text()?.to_ascii_uppercase();
            if !LEVELS.contains(&level.as_str()) {
                return Err(LEVELS.join(", "));
            }
            config.schema.compatibility = level;
            Ok(())
        },
    },
    Key { name: "schema.memory_bytes", apply: |config, given| given.number(MIB, 64 * GIB, &mut config.schema.memory_bytes) },
    Key { name: "schema.cache_bytes", apply: |config, given| given.number(0, 64 * GIB, &mut config.schema.cache_bytes) },
    Key {
        name: "hooks.allow_private_addresses",
        apply: |config, given| given.boolean(&mut config.hooks.allow_private_addresses),
    },
    Key { name: "hooks.allow_http", apply: |config, given| given.boolean(&mut config.hooks.allow_http) },
    Key {
        name: "hooks.ca_file",
        apply: |config, given| {
            config.hooks.ca_file = Some(PathBuf::from(given.short_text(4096)?));
            Ok(())
        },
    },
    Key {
        name: SECRET_KEY,
        apply: |config, given| {
            config.hooks.secret_key = Some(SecretKey::parse(&given.text()?)?);
            Ok(())
        },
    },
    Key {
        name: "hooks.secret_overlap_ms",
        apply: |config, given| given.number(0, 90 * DAY_MS, &mut config.hooks.secret_overlap_ms),
    },
    Key { name: "hooks.endpoints_max", apply: |config, given| given.number(0, 100_000, &mut config.hooks.endpoints_max) },
    Key { name: "hooks.concurrency", apply: |config, given| given.number(2, 100_000, &mut config.hooks.concurrency) },
    Key {
        name: "hooks.endpoint_concurrency",
        apply: |config, given| given.number(1, 10_000, &mut config.hooks.endpoint_concurrency),
    },
    Key {
        name: "hooks.endpoint_concurrency_max",
        apply: |config, given| given.number(1, 10_000, &mut config.hooks.endpoint_concurrency_max),
    },
    Key { name: "hooks.memory_bytes", apply: |config, given| given.number(MIB, 64 * GIB, &mut config.hooks.memory_bytes) },
    Key { name: "hooks.body_bytes", apply: |config, given| given.number(KIB, 64 * MIB, &mut config.hooks.body_bytes) },
    Key { name: "hooks.timeout_ms", apply: |config, given| given.number(100, 600_000, &mut config.hooks.timeout_ms) },
    Key { name: "hooks.timeout_max_ms", apply: |config, given| given.number(100, 600_000, &mut config.hooks.timeout_max_ms) },
    Key {
        name: "hooks.retry_schedule_ms",
        apply: |config, given| {
            config.hooks.retry_schedule_ms = given.numbers(100, 30 * DAY_MS, 100)?;
            Ok(())
        },
    },
    Key { name: "hooks.in_retry_max", apply: |config, given| given.number(1, 100_000, &mut config.hooks.in_retry_max) },
    Key {
        name: "hooks.dead_letter_topic",
        apply: |config, given| {
            let name = given.text()?;
            let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            let is_reserved = name.starts_with("__") || name == "." || name == "..";
            if name.is_empty() || name.len() > 149 || is_reserved || !name.bytes().all(is_legal) {
                return Err(
                    "a topic's name of 1 to 149 characters that does not begin with \"__\" and is not \".\" or \"..\"".to_owned()
                );
            }
            config.hooks.dead_letter_topic = name;
            Ok(())
        },
    },
    Key { name: "hooks.deliveries_kept", apply: |config, given| given.number(1, 10_000, &mut config.hooks.deliveries_kept) },
    Key {
        name: "hooks.deliveries_retention_ms",
        apply: |config, given| given.number(60_000, 366 * DAY_MS, &mut config.hooks.deliveries_retention_ms),
    },
];

/// The one key whose value no message shows.
const SECRET_KEY: &str = "hooks.secret_key";

/// Confluent's levels of compatibility.
const LEVELS: [&str; 7] = ["NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"];

fn address_or_none(given: &Given<'_>) -> Result<String, String> {
    let address = given.text()?;
    if !address.is_empty() {
        split_address(&address).map_err(|reason| format!("\"\" or an address, but {reason}"))?;
    }
    Ok(address)
}

/// Browsers send a scheme and a host in lower case, a port when it is not the scheme's own, and nothing behind it (RFC 6454); it is compared as it stands.
fn check_origin(origin: &str) -> Result<(), String> {
    let is_host = |host: &str| !host.is_empty() && !host.contains(['/', '?', '#', '@', '\\']);
    let is_origin = origin == "*" || origin.split_once("://").is_some_and(|(scheme, host)| !scheme.is_empty() && is_host(host));
    let is_plain = origin.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase());
    if is_origin && is_plain {
        return Ok(());
    }
    Err(format!(
        "origins, but {origin:?} is none as browsers send them; write https://app.example.org (in lower case, nothing behind it), or \"*\""
    ))
}

/// The sections that the file may have.
pub(super) const SECTIONS: &[&str] = &["server", "storage", "limits", "log", "http", "schema", "hooks", "kafka"];

/// The key `name`.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

impl Key {
    /// Puts `given` in place.
    ///
    /// # Errors
    /// `server.node_id = "x" is not valid: expected a whole number from 0 to 2147483647`.
    pub fn set(&self, config: &mut Config, given: &Given<'_>) -> Result<(), String> {
        (self.apply)(config, given).map_err(|valid| match self.name {
            SECRET_KEY => format!("{SECRET_KEY} is not valid: expected {valid}"),
            name => format!("{name} = {given} is not valid: expected {valid}"),
        })
    }
}

impl Given<'_> {
    fn text(&self) -> Result<String, String> {
        match self {
            Given::Toml(toml::Value::String(text)) => Ok(text.clone()),
            Given::Toml(_) => Err("a string in quotes".to_owned()),
            Given::Text(text) => Ok((*text).to_owned()),
        }
    }

    fn short_text(&self, length_max: usize) -> Result<String, String> {
        let text = self.text()?;
        if text.is_empty() || text.len() > length_max || text.contains('\0') {
            return Err(format!("1 to {length_max} characters"));
        }
        Ok(text)
    }

    fn boolean(&self, place: &mut bool) -> Result<(), String> {
        *place = match self {
            Given::Toml(toml::Value::Boolean(value)) => *value,
            Given::Text("true") => true,
            Given::Text("false") => false,
            _ => return Err("true or false".to_owned()),
        };
        Ok(())
    }

    fn number<T: TryFrom<i64>>(&self, least: i64, most: i64, place: &mut T) -> Result<(), String> {
        let number = match self {
            Given::Toml(toml::Value::Integer(number)) => Some(*number),
            Given::Toml(_) => None,
            Given::Text(text) => text.replace('_', "").parse().ok(),
        };
        let within = number.filter(|number| (least..=most).contains(number)).and_then(|number| T::try_from(number).ok());
        *place = within.ok_or_else(|| format!("a whole number from {least} to {most}"))?;
        Ok(())
    }

    /// A list of one to `count_max` whole numbers, or in `--set` the same with commas between.
    fn numbers(&self, least: i64, most: i64, count_max: usize) -> Result<Vec<i64>, String> {
        let numbers: Option<Vec<i64>> = match self {
            Given::Toml(toml::Value::Array(values)) => values.iter().map(toml::Value::as_integer).collect(),
            Given::Toml(_) => None,
            Given::Text(text) => text.split(',').map(|item| item.trim().replace('_', "").parse().ok()).collect(),
        };
        numbers
            .filter(|all| (1..=count_max).contains(&all.len()) && all.iter().all(|one| (least..=most).contains(one)))
            .ok_or_else(|| format!("a list of 1 to {count_max} whole numbers from {least} to {most}"))
    }

    /// A list of strings, or in `--set` the same with commas between. At least one.
    fn list(&self, check: fn(&str) -> Result<(), String>) -> Result<Vec<String>, String> {
        let texts: Option<Vec<String>> = match self {
            Given::Toml(toml::Value::Array(values)) => values.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
            Given::Toml(_) => None,
            Given::Text(text) => Some(text.split(',').map(|item| item.trim().to_owned()).collect()),
        };
        let texts = texts.filter(|texts| !texts.is_empty()).ok_or("a list of strings, with at least one")?;
        for text in &texts {
            check(text)?;
        }
        Ok(texts)
    }
}

impl fmt::Display for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A value over several lines would break the rule that an error is one line.
            Given::Toml(value) => f.write_str(&value.to_string().split_whitespace().collect::<Vec<_>>().join(" ")),
            Given::Text(text) => write!(f, "{text:?}"),
        }
    }
}
