//! Schemas: the registry of subjects, versions and ids, and the judgement whether records fit them.
//!
//! * [`Registry`] is the owner of what is registered: `registry.rs` changes, `state.rs` holds and finds, `stored.rs` says how it is kept.
//! * [`Parsed`] is one schema of one of three formats (`avro/`, `json/`, `protobuf/`); `level.rs` decides with it which versions go together.
//! * [`Validation`] holds a topic's batches against what its settings ask for (`validation.rs`).
//!
//! The model is Confluent's Schema Registry, whose serializers and clients work unchanged; its HTTP interface is `http/registry/`.

pub mod avro;
pub mod cache;
mod change;
pub mod counts;
mod error;
pub mod export;
pub mod format;
pub mod json;
pub mod level;
mod lookup;
pub mod mode;
pub mod protobuf;
mod references;
mod registering;
mod registry;
mod state;
pub mod stored;
pub mod subject;
#[cfg(test)]
mod tests;
pub mod validation;

pub use error::RegistryError;
pub use format::{Format, Incompatibility, InvalidSchema, Parsed, Referenced, ValueError};
pub use level::Level;
pub use lookup::Against;
pub use mode::Mode;
pub use registry::{Deletion, Registration, Registry, Settings};
pub use state::{Config, Deleted, State, Version};
pub use stored::{Reference, Schema};
pub use subject::Subject;
pub use validation::Validation;
