//! The formats' own sources, without the crate around them.

#![allow(dead_code)]

#[path = "../../src/schema/avro/mod.rs"]
pub mod avro;
#[path = "../../src/schema/format.rs"]
pub mod format;
#[path = "../../src/schema/json/mod.rs"]
pub mod json;
#[path = "../../src/schema/protobuf/mod.rs"]
pub mod protobuf;
