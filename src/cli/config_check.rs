//! `fbf config check`: reads a configuration as `serve` would, and starts nothing.

use super::{EXIT_USAGE, fail, tell};
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
            let warnings = warnings.into_iter().map(|warning| format!("warning: {warning}\n")).collect::<String>();
            let listen = config.server.listen.join(", ");
            tell(&format!("{warnings}ok: {} would be used, listening on {listen}", config.storage_name()))
        }
        Err(error) => fail(EXIT_USAGE, &error.to_string()),
    }
}
