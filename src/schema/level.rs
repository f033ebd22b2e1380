//! Which versions of a schema must be able to read one another. Source: CompatibilityLevel, CompatibilityChecker.

use super::format::{Incompatibility, Parsed};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

#[cfg(test)]
mod tests;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    None,
    /// The new schema reads what the last one wrote.
    #[default]
    Backward,
    BackwardTransitive,
    /// The last schema reads what the new one writes.
    Forward,
    ForwardTransitive,
    Full,
    FullTransitive,
}

const ALL: [Level; 7] = [
    Level::None,
    Level::Backward,
    Level::BackwardTransitive,
    Level::Forward,
    Level::ForwardTransitive,
    Level::Full,
    Level::FullTransitive,
];

impl Level {
    /// Whether all earlier versions count, not only the last.
    #[must_use]
    pub fn is_transitive(self) -> bool {
        matches!(self, Level::BackwardTransitive | Level::ForwardTransitive | Level::FullTransitive)
    }

    fn reads_old(self) -> bool {
        matches!(self, Level::Backward | Level::BackwardTransitive | Level::Full | Level::FullTransitive)
    }

    fn is_read_by_old(self) -> bool {
        matches!(self, Level::Forward | Level::ForwardTransitive | Level::Full | Level::FullTransitive)
    }

    /// Why `new` does not go with `earlier` versions, the newest first; empty: it does. Stops at the first version that it does not go with, and holds
    /// one at a time: each may take megabytes.
    ///
    /// # Errors
    /// Of `earlier`.
    pub fn conflicts<E>(
        self,
        new: &Parsed,
        earlier: impl Iterator<Item = Result<Arc<Parsed>, E>>,
    ) -> Result<Vec<Incompatibility>, E> {
        let counted = match self {
            Level::None => 0,
            level if level.is_transitive() => usize::MAX,
            _ => 1,
        };
        for old in earlier.take(counted) {
            let (old, mut conflicts) = (old?, Vec::new());
            if self.reads_old() {
                conflicts.extend(new.incompatibilities(&old));
            }
            if self.is_read_by_old() {
                conflicts.extend(old.incompatibilities(new));
            }
            if !conflicts.is_empty() {
                return Ok(conflicts);
            }
        }
        Ok(Vec::new())
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::None => "NONE",
            Level::Backward => "BACKWARD",
            Level::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Level::Forward => "FORWARD",
            Level::ForwardTransitive => "FORWARD_TRANSITIVE",
            Level::Full => "FULL",
            Level::FullTransitive => "FULL_TRANSITIVE",
        })
    }
}

impl FromStr for Level {
    type Err = ();

    fn from_str(text: &str) -> Result<Level, ()> {
        ALL.into_iter().find(|level| level.to_string().eq_ignore_ascii_case(text)).ok_or(())
    }
}
