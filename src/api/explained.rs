//! Answers about partitions with the reason in words: sentences are many times as long as questions, so only the first partitions of an answer get
//! one, and what they quote is short. The others have their code.

use crate::catalog::topics::NAME_LENGTH_MAX;

const EXPLAINED_MAX: usize = 1_000;

/// The partitions of one answer so far.
#[derive(Debug, Default)]
pub struct Explained(usize);

impl Explained {
    /// Whether one more partition is told why.
    pub fn one_more(&mut self) -> bool {
        self.0 += 1;
        self.0 <= EXPLAINED_MAX
    }
}

/// A topic's name as it is quoted: as long as one can be.
#[must_use]
pub fn quoted(name: &str) -> String {
    name.chars().take(NAME_LENGTH_MAX).collect()
}
