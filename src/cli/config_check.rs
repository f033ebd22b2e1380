//! `fbf config check`: reads a configuration as `serve` would, and starts nothing.

use super::{EXIT_USAGE, fail};
use crate::config::{self, Sources};
use std::process::ExitCode;

pub(super) fn run(sources: &Sources) -> ExitCode {
    match config::load(sources) {
        Ok((config, warnings)) => {
            for warning in warnings {
                println!("warning: {warning}");
            }
            println!("ok: {} would be used, listening on {}", config.storage_name(), config.server.listen.join(", "));
            ExitCode::SUCCESS
        }
        Err(error) => fail(EXIT_USAGE, &error.to_string()),
    }
}
