//! The configuration of one broker: typed, checked, fixed at start.
//!
//! Sources, each over the one before: defaults, the TOML file (`--config`), a `server.properties` (`--properties`), `--set key=value`, the
//! flags `--data --listen --ephemeral`. An unknown key or a bad value is an error of one line that names the source, the key, the value and
//! what is valid. Kafka's broker properties are taken by their own names: [`kafka`] has those that we honour, [`properties`] all.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use thiserror::Error;

pub mod address;
pub mod client_metrics;
pub mod describe;
mod draft;
pub mod duration;
pub mod dynamic;
mod file;
pub mod group;
pub mod hooks;
pub mod http;
mod java_properties;
pub mod kafka;
mod kafka_names;
mod keys;
pub mod properties;
pub mod schema;
pub mod share;
pub mod streams;
pub mod suggestions;
pub mod topic;
pub mod validation;

#[cfg(test)]
mod tests;

pub use crate::telemetry::Format as LogFormat;
pub use address::split_address;
pub use hooks::Hooks;
pub use http::{Http, HttpAuth};
pub use kafka::KafkaSettings;
pub use schema::Schema;
pub use suggestions::suggest;

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    pub server: Server,
    pub storage: Storage,
    pub limits: Limits,
    pub log: LogOutput,
    pub http: Http,
    pub schema: Schema,
    pub hooks: Hooks,
    pub kafka: KafkaSettings,
}

/// `[server]`: who this broker is and where it listens.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// `host:port`; at least one. `localhost` means both loopback addresses; `*`, `0.0.0.0` and `[::]` mean every interface, IPv4 and
    /// IPv6; port 0 picks a free one.
    pub listen: Vec<String>,
    /// The `host:port` that clients are told; `None`: the address at which each of them reached us.
    pub advertised: Option<String>,
    /// What clients are told instead who came by one of these of `listen`; there where Kafka's `advertised.listeners` is what was given.
    pub advertised_by: Option<Vec<Advertised>>,
    pub node_id: i32,
    /// `None`: made up at the first start and kept with the data.
    pub cluster_id: Option<String>,
    pub rack: Option<String>,
    /// Threads of each runtime; `None`: see `cli/runtimes.rs`.
    pub worker_threads: Option<usize>,
}

/// What clients are told who came by one of several listeners.
#[derive(Debug, Clone, PartialEq)]
pub struct Advertised {
    /// As it stands in `listen`.
    pub listen: String,
    pub address: String,
}

impl Server {
    /// What a client is told that reached us at `local`, where that is configured.
    #[must_use]
    pub fn advertised_at(&self, local: SocketAddr) -> Option<&str> {
        let own =
            self.advertised_by.iter().flatten().find(|one| address::covers(&one.listen, local)).map(|one| one.address.as_str());
        own.or(self.advertised.as_deref())
    }
}

/// `[storage]`: where records go and when they count as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    pub path: PathBuf,
    /// Nothing is written to disk, and all is gone at the end.
    pub ephemeral: bool,
    pub sync: Sync,
    /// With [`Sync::Interval`] only.
    pub sync_interval_ms: u64,
    /// The size of one journal file, which is also the largest batch.
    pub segment_bytes: u64,
    /// Batches waiting to be written; when it is full, producers wait.
    pub queue_bytes: usize,
}

/// When an append is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// After its commit was synced to disk.
    Commit,
    /// At once; synced every `sync_interval_ms`.
    Interval,
    /// At once; the system writes when it likes. Kafka's default.
    Os,
}

/// `[limits]`: what one client, and all together, may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// The largest request.
    pub request_bytes: usize,
    /// The largest request of a connection that has not authenticated, where authentication is asked for.
    pub request_bytes_before_auth: usize,
    /// The largest request of every API but Produce.
    pub admin_request_bytes: usize,
    pub connections: usize,
    /// Answers that one connection may have in flight; then its socket is not read.
    pub responses_per_connection: usize,
    /// A connection that is silent for so long is closed.
    pub idle_ms: u64,
    /// Requests in flight of all connections; then sockets are not read.
    pub memory_bytes: usize,
    /// The newest batches, kept in memory for consumers at the end of their logs.
    pub tail_bytes: usize,
}

/// `[log]`: what the broker says about itself, on standard error.
#[derive(Debug, Clone, PartialEq)]
pub struct LogOutput {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a list of `module=level`. The environment's `FBF_LOG` wins.
    pub level: String,
    pub format: LogFormat,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            listen: vec!["localhost:9092".to_owned()],
            advertised: None,
            advertised_by: None,
            node_id: 1,
            cluster_id: None,
            rack: None,
            worker_threads: None,
        }
    }
}

impl Default for Storage {
    fn default() -> Storage {
        Storage {
            path: PathBuf::from("./fbf-data"),
            ephemeral: false,
            sync: Sync::Commit,
            sync_interval_ms: 1000,
            segment_bytes: 128 * 1024 * 1024,
            queue_bytes: 64 * 1024 * 1024,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            request_bytes: 100 * 1024 * 1024,
            request_bytes_before_auth: 512 * 1024,
            admin_request_bytes: 16 * 1024 * 1024,
            connections: 10_000,
            responses_per_connection: 100,
            idle_ms: 600_000,
            memory_bytes: 512 * 1024 * 1024,
            tail_bytes: 32 * 1024 * 1024,
        }
    }
}

impl Default for LogOutput {
    fn default() -> LogOutput {
        LogOutput { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// Where a configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// TOML.
    pub file: Option<PathBuf>,
    /// Kafka's `server.properties`.
    pub properties: Option<PathBuf>,
    /// `key=value`, in order.
    pub set: Vec<String>,
    pub data: Option<PathBuf>,
    /// `host:port`; empty: as the others say.
    pub listen: Vec<String>,
    pub ephemeral: bool,
}

/// A configuration that cannot be used; one line that says where, what and what would be valid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Reads all sources and checks them.
///
/// Answers the configuration and the warnings about it, a line each: settings of Kafka that have no meaning or no effect here.
///
/// # Errors
/// The first thing that is wrong.
pub fn load(sources: &Sources) -> Result<(Config, Vec<String>), ConfigError> {
    let mut draft = draft::Draft::default();
    if let Some(path) = &sources.file {
        let text = read(path)?;
        file::apply(&mut draft, &text).map_err(|reason| ConfigError(format!("{}: {reason}", path.display())))?;
    }
    if let Some(path) = &sources.properties {
        let text = java_properties::decode(&read_bytes(path)?);
        draft.apply_properties(&text).map_err(|reason| ConfigError(format!("{}: {reason}", path.display())))?;
    }
    draft.apply_set(&sources.set).map_err(|reason| ConfigError(format!("--set: {reason}")))?;
    apply_flags(&mut draft.config, sources)?;
    draft.finish().map_err(ConfigError)
}

fn apply_flags(config: &mut Config, sources: &Sources) -> Result<(), ConfigError> {
    if let Some(path) = &sources.data {
        config.storage.path.clone_from(path);
    }
    if !sources.listen.is_empty() {
        for address in &sources.listen {
            split_address(address).map_err(|reason| ConfigError(format!("--listen: {reason}")))?;
        }
        config.server.listen.clone_from(&sources.listen);
    }
    config.storage.ephemeral |= sources.ephemeral;
    Ok(())
}

fn read(path: &Path) -> Result<String, ConfigError> {
    String::from_utf8(read_bytes(path)?)
        .map_err(|error| ConfigError(format!("{}: cannot be read: it is not UTF-8: {error}", path.display())))
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|error| ConfigError(format!("{}: cannot be read: {error}", path.display())))
}

impl Config {
    /// Where records go, for people: the directory, or that there is none.
    #[must_use]
    pub fn storage_name(&self) -> String {
        if self.storage.ephemeral { "memory".to_owned() } else { format!("the directory {}", self.storage.path.display()) }
    }
}
