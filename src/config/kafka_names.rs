//! Kafka properties that have a place in our own configuration: addresses, directory, node id, limits; and the way back, for
//! DescribeConfigs.

use super::address::{check_advertised, split_address};
use super::keys::{self, Given};
use super::{Advertised, Config, properties};
use std::collections::BTreeMap;

/// Kafka's name and ours, where the value means the same. `node.id` after `broker.id`: it wins (KafkaConfig.nodeId).
const SAME: &[(&str, &str)] = &[
    ("broker.id", "server.node_id"),
    ("node.id", "server.node_id"),
    ("broker.rack", "server.rack"),
    ("log.dir", "storage.path"),
    ("log.dirs", "storage.path"),
    ("connections.max.idle.ms", "limits.idle_ms"),
    ("max.connections", "limits.connections"),
    ("socket.request.max.bytes", "limits.request_bytes"),
];

/// One entry of `listeners` or `advertised.listeners`.
struct Listener<'a> {
    name: &'a str,
    /// `host:port`, as Kafka wrote it; the host may be empty.
    address: &'a str,
}

/// Puts the properties `names` into our configuration, where they have a place; `given` holds all properties given so far. Answers
/// warnings.
pub(super) fn apply(config: &mut Config, names: &[String], given: &BTreeMap<String, String>) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    let in_batch = |name: &str| names.iter().any(|one| one == name).then(|| given.get(name)).flatten();
    for (name, own) in SAME {
        let Some(value) = in_batch(name) else { continue };
        let Some(value) = translated(name, value.trim(), &mut warnings) else { continue };
        let key = keys::find(own).expect("SAME names our keys: a test looks them up");
        key.set(config, &Given::Text(&value)).map_err(|reason| format!("{name}: {reason}"))?;
    }
    if let Some(value) = in_batch("listeners") {
        let addresses =
            client_listeners(value, given)?.iter().map(|listener| bound_address(listener.address)).collect::<Vec<_>>();
        let key = keys::find("server.listen").expect("it is one of our keys");
        key.set(config, &Given::Text(&addresses.join(","))).map_err(|reason| format!("listeners: {reason}"))?;
    }
    // Those of an earlier source stand for other listeners now.
    let is_stale = in_batch("listeners").is_some() && config.server.advertised_by.is_some();
    let earlier = || given.get("advertised.listeners").filter(|_| is_stale);
    if let Some(value) = in_batch("advertised.listeners").or_else(earlier) {
        let all = advertised(value, given)?;
        let first = all.first().ok_or_else(|| format!("advertised.listeners = {value:?} has no listener for clients"))?;
        config.server.advertised = Some(first.address.to_owned());
        config.server.advertised_by = Some(by_listener(&all, given, &mut warnings));
    }
    Ok(warnings)
}

/// The value in our terms; `None` where it says "not set".
fn translated(name: &str, value: &str, warnings: &mut Vec<String>) -> Option<String> {
    match name {
        // −1 asks Kafka to make an id up.
        "broker.id" if value == "-1" => None,
        // Any negative time switches the check off in Kafka (Selector): as long as we can say.
        "connections.max.idle.ms" if value.starts_with('-') => Some("2592000000".to_owned()),
        "max.connections" if value == "2147483647" => Some("1000000".to_owned()),
        "log.dirs" | "log.dir" => {
            let mut directories = properties::items(value);
            let first = directories.next()?;
            if directories.next().is_some() {
                warnings.push(format!("{name}: there is one data directory; {first} is used and the others are ignored"));
            }
            Some(first.to_owned())
        }
        _ => Some(value.to_owned()),
    }
}

/// The listeners that clients use: those of the controller are skipped, as there is no controller to speak to.
fn client_listeners<'a>(value: &'a str, given: &BTreeMap<String, String>) -> Result<Vec<Listener<'a>>, String> {
    let controllers = given.get("controller.listener.names").map_or("CONTROLLER", String::as_str);
    let mut listeners = Vec::new();
    for listener in parsed("listeners", value)? {
        if properties::items(controllers).any(|name| name.eq_ignore_ascii_case(listener.name)) {
            continue;
        }
        let protocol = security_protocol(listener.name, given);
        if protocol != "PLAINTEXT" {
            return Err(format!(
                "listeners: {}://{} asks for {protocol}, which is not there yet: only PLAINTEXT listeners can be opened",
                listener.name, listener.address
            ));
        }
        listeners.push(listener);
    }
    if listeners.is_empty() {
        return Err(format!("listeners = {value:?} has no listener for clients"));
    }
    Ok(listeners)
}

/// What a listener's name stands for (`listener.security.protocol.map`); a name that is itself a protocol needs no entry.
fn security_protocol(name: &str, given: &BTreeMap<String, String>) -> String {
    let map = given.get("listener.security.protocol.map").map_or("", String::as_str);
    let mut entries = properties::items(map).filter_map(|entry| entry.split_once(':'));
    let mapped = entries.find(|(listener, _)| listener.trim().eq_ignore_ascii_case(name)).map(|(_, protocol)| protocol.trim());
    match mapped {
        Some(protocol) => protocol.to_ascii_uppercase(),
        None if ["SSL", "SASL_PLAINTEXT", "SASL_SSL"].iter().any(|one| one.eq_ignore_ascii_case(name)) => {
            name.to_ascii_uppercase()
        }
        None => "PLAINTEXT".to_owned(),
    }
}

/// What clients are told, but for the controller's: the address of the first listener for clients comes first.
fn advertised<'a>(value: &'a str, given: &BTreeMap<String, String>) -> Result<Vec<Listener<'a>>, String> {
    let first = given
        .get("listeners")
        .and_then(|listeners| client_listeners(listeners, given).ok()?.first().map(|one| one.name.to_owned()));
    let controllers = given.get("controller.listener.names").map_or("CONTROLLER", String::as_str);
    let mut all = parsed("advertised.listeners", value)?;
    all.retain(|listener| !properties::items(controllers).any(|name| name.eq_ignore_ascii_case(listener.name)));
    for listener in &all {
        check_advertised(listener.address).map_err(|reason| format!("advertised.listeners: {reason}"))?;
    }
    all.sort_by_key(|listener| !first.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(listener.name)));
    Ok(all)
}

/// Which of `all` goes with which bound address, by its name. One whose listener is not there is told to those who came by a listener without one, if
/// it is the first, and to nobody else.
fn by_listener(all: &[Listener<'_>], given: &BTreeMap<String, String>, warnings: &mut Vec<String>) -> Vec<Advertised> {
    let bound = given.get("listeners").and_then(|listeners| client_listeners(listeners, given).ok()).unwrap_or_default();
    let mut found = Vec::new();
    for (nth, listener) in all.iter().enumerate() {
        match bound.iter().find(|one| one.name.eq_ignore_ascii_case(listener.name)) {
            Some(one) => found.push(Advertised { listen: bound_address(one.address), address: listener.address.to_owned() }),
            None if nth > 0 => {
                let Listener { name, address } = listener;
                warnings.push(format!("advertised.listeners: there is no listener {name}, so nobody is told {address}"));
            }
            None => {}
        }
    }
    found
}

fn parsed<'a>(property: &str, value: &'a str) -> Result<Vec<Listener<'a>>, String> {
    let listener = |item: &'a str| -> Result<Listener<'a>, String> {
        let (name, address) = item.split_once("://").ok_or_else(|| format!("{property}: {item:?} is not NAME://host:port"))?;
        split_address(address).map_err(|reason| format!("{property}: {reason}"))?;
        Ok(Listener { name, address })
    };
    properties::items(value).map(listener).collect()
}

/// Kafka writes an empty host for every interface; we write `*`.
fn bound_address(address: &str) -> String {
    if address.starts_with(':') { format!("*{address}") } else { address.to_owned() }
}

/// Our settings under Kafka's names, where they are not what Kafka's default is.
pub(super) fn effective(config: &Config) -> BTreeMap<String, String> {
    let listeners = config.server.listen.iter().map(|address| format!("PLAINTEXT://{}", address.trim_start_matches('*')));
    let mut all = BTreeMap::from([
        ("node.id", config.server.node_id.to_string()),
        ("broker.id", config.server.node_id.to_string()),
        ("listeners", listeners.collect::<Vec<_>>().join(",")),
        ("log.dirs", config.storage.path.display().to_string()),
        ("connections.max.idle.ms", config.limits.idle_ms.to_string()),
        ("max.connections", config.limits.connections.to_string()),
        ("socket.request.max.bytes", config.limits.request_bytes.to_string()),
    ]);
    let told: Vec<_> = match config.server.advertised_by.as_deref().unwrap_or_default() {
        [] => config.server.advertised.iter().map(|address| format!("PLAINTEXT://{address}")).collect(),
        some => some.iter().map(|one| format!("PLAINTEXT://{}", one.address)).collect(),
    };
    if !told.is_empty() {
        all.insert("advertised.listeners", told.join(","));
    }
    if let Some(rack) = &config.server.rack {
        all.insert("broker.rack", rack.clone());
    }
    all.retain(|name, value| properties::broker(name).is_none_or(|property| property.default != Some(value.as_str())));
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
pub(super) fn own_names() -> impl Iterator<Item = &'static str> {
    SAME.iter().map(|(_, own)| *own)
}
