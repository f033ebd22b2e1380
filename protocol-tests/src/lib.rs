//! Tests that speak bytes to the real binary `fbf`, and what they need to do so.
//!
//! Nothing here knows the server's code: a [`server::Server`] is a process, a [`client::Client`] a blocking socket with a time-out.
//! The tests themselves are modules of `tests/all/main.rs`, one per area. Build the server first: `cargo build --release`; another binary
//! is tested with the environment variable `FBF_BIN`.

pub mod batch;
pub mod broker;
pub mod client;
pub mod descriptors;
pub mod frame;
pub mod groups;
pub mod history;
pub mod http;
pub mod kill;
pub mod latency;
pub mod later_versions;
pub mod network;
pub mod offsets;
pub mod options;
pub mod pipeline;
pub mod process;
pub mod records;
pub mod samples;
pub mod server;
pub mod shares;
pub mod streams;
pub mod topic_ids;
pub mod topics;
pub mod two_phase;
pub mod txn_producer;
pub mod written_only;

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, as record timestamps count.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_millis()).expect("milliseconds since 1970 fit")
}
