//! The levels of loggers, by name, as Kafka's tools show and change them (KIP-412). A logger here is a target of `tracing`:
//! this crate, each of its modules, and whatever else the filter names; above them all is `root`.

use std::collections::{BTreeMap, BTreeSet};

/// How Kafka calls the logger above all others.
pub const ROOT: &str = "root";

const CRATE: &str = "fourbyfour_stream";

/// The modules of this crate: a test compares them with `lib.rs`.
const MODULES: [&str; 20] = [
    "api",
    "broker",
    "catalog",
    "cli",
    "config",
    "coordinator",
    "env",
    "hooks",
    "http",
    "ids",
    "log",
    "records",
    "schema",
    "server",
    "sockets",
    "span",
    "store",
    "tasks",
    "telemetry",
    "wire",
];

/// Which loggers have a level of their own, in capitals; `root` always has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Levels(BTreeMap<String, String>);

impl Levels {
    /// Those of a filter that [`super::check_filter`] takes.
    pub fn of_filter(filter: &str) -> Levels {
        let mut levels = BTreeMap::new();
        for item in filter.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (logger, level) = item.rsplit_once('=').unwrap_or((ROOT, item));
            levels.insert(logger.trim().to_owned(), level.trim().to_ascii_uppercase());
        }
        // A filter that names modules only is silent about everything else.
        levels.entry(ROOT.to_owned()).or_insert_with(|| "OFF".to_owned());
        Levels(levels)
    }

    /// The filter that these levels make.
    pub fn filter(&self) -> String {
        let directive = |(logger, level): (&String, &String)| {
            // There is no event above an error: who wants only what is fatal wants none of them.
            let level = if level == "FATAL" { "off".to_owned() } else { level.to_ascii_lowercase() };
            if logger == ROOT { level } else { format!("{logger}={level}") }
        };
        self.0.iter().map(directive).collect::<Vec<_>>().join(",")
    }

    /// Every logger with the level that counts for it, by name.
    pub fn all(&self) -> Vec<(String, String)> {
        let modules = MODULES.iter().map(|module| format!("{CRATE}::{module}"));
        let names: BTreeSet<String> = self.0.keys().cloned().chain([CRATE.to_owned()]).chain(modules).collect();
        let with_level = |name: String| {
            let level = self.of(&name).to_owned();
            (name, level)
        };
        names.into_iter().map(with_level).collect()
    }

    /// The level of `logger`: its own, or that of the nearest one above it.
    fn of(&self, logger: &str) -> &str {
        let mut name = logger;
        loop {
            if let Some(level) = self.0.get(name) {
                return level;
            }
            name = match name.rsplit_once("::") {
                Some((above, _)) => above,
                None if name == ROOT => return "OFF",
                None => ROOT,
            };
        }
    }

    /// Whether there is a logger of this name.
    pub fn has(&self, logger: &str) -> bool {
        let module = logger.strip_prefix(CRATE).and_then(|rest| rest.strip_prefix("::"));
        logger == CRATE || module.is_some_and(|module| MODULES.contains(&module)) || self.0.contains_key(logger)
    }

    /// Gives `logger` a level of its own; `None`: takes it away, but from `root`.
    pub fn change(&mut self, logger: &str, level: Option<&str>) {
        match level {
            Some(level) => {
                self.0.insert(logger.to_owned(), level.to_owned());
            }
            None if logger == ROOT => {}
            None => {
                self.0.remove(logger);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check_filter;
    use super::*;

    #[test]
    fn every_module_is_a_logger() {
        let lib = include_str!("../lib.rs");
        let modules: Vec<&str> =
            lib.lines().filter_map(|line| line.strip_prefix("pub mod ")).map(|rest| rest.trim_end_matches(';')).collect();
        assert_eq!(modules, MODULES);
        assert!(module_path!().starts_with(CRATE));
    }

    #[test]
    fn levels_are_inherited_until_they_are_a_loggers_own() {
        let mut levels = Levels::of_filter("warn, hyper=error,fourbyfour_stream::store=Debug");
        let level = |levels: &Levels, logger: &str| {
            let all = levels.all();
            all.into_iter().find(|(name, _)| name == logger).map(|(_, level)| level).unwrap_or_default()
        };
        assert_eq!(level(&levels, ROOT), "WARN");
        assert_eq!(level(&levels, "hyper"), "ERROR");
        assert_eq!(level(&levels, "fourbyfour_stream::store"), "DEBUG");
        assert_eq!(level(&levels, "fourbyfour_stream::log"), "WARN");
        levels.change(CRATE, Some("TRACE"));
        assert_eq!(level(&levels, "fourbyfour_stream::log"), "TRACE");
        levels.change("fourbyfour_stream::store", None);
        assert_eq!(level(&levels, "fourbyfour_stream::store"), "TRACE");
        levels.change(ROOT, None);
        assert_eq!(level(&levels, ROOT), "WARN");
        assert_eq!(levels.filter(), "fourbyfour_stream=trace,hyper=error,warn");
        levels.change("hyper", Some("FATAL"));
        assert!(levels.filter().contains("hyper=off"));
        assert_eq!(check_filter(&levels.filter()), Ok(()));
        assert!(levels.has("hyper") && levels.has("fourbyfour_stream::api") && levels.has(CRATE) && levels.has(ROOT));
        assert!(!levels.has("fourbyfour_stream::none") && !levels.has("fourbyfour_streams") && !levels.has(""));
        assert_eq!(level(&Levels::of_filter("hyper=info"), ROOT), "OFF");
    }
}
