//! An append: who does it, of what, and where it went.

use super::partition::AppendError;
use super::transactions::Verification;
use crate::ids::{Offset, Timestamp};
use crate::records::BatchHeader;
use crate::store::Mark;
use bytes::Bytes;

/// Who appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A producer: everything is checked.
    Client,
    /// A producer whose batch may begin a transaction: the transaction coordinator knows that this partition is part of it.
    Verified(Verification),
    /// A producer that may send the same batch again, under this mark.
    Marked(Mark),
    /// Records that another topic did not take, in a batch that we built; the same ones may come again under this mark.
    DeadLetter(Mark),
    /// Our own coordinators, whose batches we built: no limits, no sequences. Transactional batches and markers count all the same.
    Coordinator,
}

/// Where a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub first: Offset,
    pub last: Offset,
    /// Set with `message.timestamp.type=LogAppendTime`; of a repetition of a marked append, when that was made.
    pub append_time: Option<Timestamp>,
    /// The log's start offset.
    pub start: Offset,
    /// It was there before.
    pub is_repeated: bool,
}

/// A batch that may be appended: its header, as it will be stored.
#[derive(Debug, Clone, Copy)]
pub struct Checked(pub(super) BatchHeader);

impl Checked {
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.0
    }

    /// The same batch without some of its records: `kept` is what [`crate::records::kept::without`] made of it.
    ///
    /// # Errors
    /// When that is no batch.
    pub fn kept(self, kept: &Bytes) -> Result<Checked, AppendError> {
        BatchHeader::parse(kept).map(Checked).map_err(AppendError::Corrupt)
    }
}
