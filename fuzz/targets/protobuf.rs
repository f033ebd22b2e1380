#![no_main]
mod formats;
mod schema;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| formats::hold(schema::format::Format::Protobuf, data));
