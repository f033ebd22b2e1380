//! The two runtimes: one for Kafka's clients, the coordinators and what works in the background, one for all that speaks HTTP.
//!
//! ```text
//! kafka  half the cores  connections, coordinators, retention …    few threads: an event wakes the one that has work
//! http   every core      HTTP, registry, webhooks                  threads that share: a request is work (JSON, hashes, TLS)
//! ```
//! A thread of tokio's that is woken with work wakes a sleeping sibling, in case there is more. A produce request is 20 us of work and a wait for the
//! disk, so the sibling finds nothing: on two cores a second thread cost up to half of the throughput (`BENCHMARKS.md`). The cores that are
//! left over are not idle: the committer, RocksDB and the blocking pool have threads of their own, and so has the client beside us.
//! Bound: [`BLOCKING_THREADS`] of each, which are started when they are needed.

use crate::config::Config;
use anyhow::Context;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Threads for file reads and RocksDB; more of them would only queue at the disk.
const BLOCKING_THREADS: usize = 64;
/// How long what still runs may take at the end.
const LAST_MOMENT: Duration = Duration::from_millis(100);

pub(super) struct Runtimes {
    pub kafka: Runtime,
    pub http: Runtime,
}

impl Runtimes {
    /// Starts the threads: `server.worker_threads` of each, when it is set.
    pub fn start(config: &Config) -> anyhow::Result<Runtimes> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let given = config.server.worker_threads;
        let kafka = runtime("fbf", given.unwrap_or_else(|| (cores / 2).max(1)))?;
        Ok(Runtimes { kafka, http: runtime("fbf-http", given.unwrap_or(cores))? })
    }

    /// Ends them. The broker is closed by then: whatever still runs has nothing left to lose.
    pub fn stop(self) {
        self.http.shutdown_timeout(LAST_MOMENT);
        self.kafka.shutdown_timeout(LAST_MOMENT);
    }
}

fn runtime(name: &str, threads: usize) -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name(name)
        .enable_all()
        .build()
        .context("the runtime's threads cannot be started")
}
