//! Fourbyfour Stream: an event-streaming server that speaks the Kafka wire protocol.
//!
//! Layers, lowest first: `ids env config telemetry tasks sockets span` · `wire records store` · `log catalog` · `coordinator schema` · `broker` ·
//! `api` · `hooks` · `server http` · `cli`. A module uses layers below its own only; `tidy.rs` holds us to it.

pub mod api;
pub mod broker;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod coordinator;
pub mod env;
pub mod hooks;
pub mod http;
pub mod ids;
pub mod log;
pub mod records;
pub mod schema;
pub mod server;
pub mod sockets;
pub mod span;
pub mod store;
pub mod tasks;
pub mod telemetry;
#[cfg(test)]
mod tidy;
pub mod wire;

/// Maps large blocks without reserving them, so that an array count from a hostile frame costs address space and no memory; `cli` refuses
/// to start where the system's settings undo that. Here rather than in `main.rs`, so that tests decode under the same conditions.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
