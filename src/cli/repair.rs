//! `fbf repair`: the way out when `serve` refuses a journal whose acknowledged middle does not read back.
//!
//! Without `--yes` it only says what is wrong and what cutting would give up: everything from the damaged place to the journal's end,
//! of all topics. Copy the directory first.

use super::{EXIT_FAILED, EXIT_USAGE, fail, tell};
use crate::config::{self, Sources};
use crate::store::local::{LocalOptions, LocalStore, OnDamage, OpenError};
use crate::telemetry;
use std::process::ExitCode;

pub(super) fn run(sources: &Sources, on_damage: OnDamage) -> ExitCode {
    let config = match config::load(sources) {
        Ok((config, _)) => config,
        Err(error) => return fail(EXIT_USAGE, &error.to_string()),
    };
    if let Err(error) = telemetry::init(&config.log.level, config.log.format) {
        return fail(EXIT_USAGE, &error);
    }
    if !config.storage.path.join("VERSION").exists() {
        return fail(EXIT_USAGE, &format!("{} is no data directory of fbf; name one with --data", config.storage.path.display()));
    }
    let options =
        LocalOptions { segment_bytes: config.storage.segment_bytes, on_damage, ..LocalOptions::new(&config.storage.path) };
    match LocalStore::open(options) {
        Ok(store) => {
            // Commits nothing and stops its threads; the next start replays what is there.
            drop(store);
            tell(&format!("ok: {} opens", config.storage.path.display()))
        }
        Err(OpenError::Damaged { file, position, why, commits, bytes }) => fail(
            EXIT_FAILED,
            &format!(
                "{} is damaged at position {position}: {why}. fbf repair --yes would give up everything from there to the journal's end, in all \
                 topics: {commits} commits of {bytes} bytes together are still to be seen there. Copy the directory first.",
                file.display()
            ),
        ),
        Err(error) => fail(EXIT_FAILED, &error.to_string()),
    }
}
