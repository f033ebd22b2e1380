//! `fbf version`.

use super::tell;
use std::process::ExitCode;

/// As `fbf version` and the banner say it.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn run() -> ExitCode {
    tell(&format!("fbf {VERSION}"))
}
