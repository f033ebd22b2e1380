//! `fbf config check`: reads a configuration as `serve` would, and starts nothing.

use super::{EXIT_USAGE, fail};
use crate::config::{self, Sources};
use crate::hooks::authorities;
use crate::telemetry;
use std::process::ExitCode;

pub(super) fn run(sources: &Sources) -> ExitCode {
    if let Err(error) = telemetry::variable() {
        return fail(EXIT_USAGE, &error);
    }
    match config::load(sources) {
        Ok((config, warnings)) => {
            if let Some(file) = &config.hooks.ca_file
                && let Err(error) = authorities(file)
            {
                return fail(EXIT_USAGE, &format!("{error:#}"));
            }
            for warning in warnings {
                println!("warning: {warning}");
            }
            println!("ok: {} would be used, listening on {}", config.storage_name(), config.server.listen.join(", "));
            ExitCode::SUCCESS
        }
        Err(error) => fail(EXIT_USAGE, &error.to_string()),
    }
}
