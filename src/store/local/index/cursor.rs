//! A walk over the entries of one log: those in RocksDB, and behind them those that are gathered.

use super::{Located, entry_key, garbled, index_error, parse_item};
use crate::ids::{LogId, Offset};
use crate::store::StoreError;
use rocksdb::DBRawIterator;

/// A walk over the entries of one log, as they were when it began.
pub(in super::super) struct Cursor<'a> {
    log: LogId,
    iterator: DBRawIterator<'a>,
    /// The newest entries, in order. The first ones may have been written by now, and be the last ones of `iterator`.
    pub(super) gathered: Vec<Located>,
    place: Place,
}

/// Where a cursor stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In RocksDB, at the entry that ends at this offset.
    Written(Offset),
    /// At this number of `gathered`, or behind all.
    Gathered(usize),
}

impl<'a> Cursor<'a> {
    /// A cursor that does not stand anywhere yet; `iterator` has the bounds of `log`.
    pub(super) fn new(iterator: DBRawIterator<'a>, log: LogId, gathered: Vec<Located>) -> Cursor<'a> {
        Cursor { log, iterator, place: Place::Gathered(gathered.len()), gathered }
    }

    /// The batch that contains `offset`, or the first one after it.
    pub fn seek(&mut self, offset: Offset) -> Result<Option<Located>, StoreError> {
        self.iterator.seek(entry_key(self.log, offset));
        self.written_or_gathered(offset)
    }

    /// The batch after the current one.
    pub fn advance(&mut self) -> Result<Option<Located>, StoreError> {
        match self.place {
            Place::Written(last) => {
                self.iterator.next();
                self.written_or_gathered(last.next())
            }
            Place::Gathered(number) => Ok(self.at_gathered(number.saturating_add(1))),
        }
    }

    /// The batch before the current one.
    pub fn back(&mut self) -> Result<Option<Located>, StoreError> {
        match self.place {
            Place::Written(_) => self.iterator.prev(),
            Place::Gathered(0) => match self.gathered.first() {
                // Not the last entry there: that may be this one.
                Some(first) => self.iterator.seek_for_prev(entry_key(self.log, Offset(first.last.0 - 1))),
                None => return Ok(None),
            },
            Place::Gathered(number) => return Ok(self.at_gathered(number - 1)),
        }
        self.written()
    }

    /// The newest batch.
    pub fn newest(&mut self) -> Result<Option<Located>, StoreError> {
        if let Some(number) = self.gathered.len().checked_sub(1) {
            return Ok(self.at_gathered(number));
        }
        self.iterator.seek_to_last();
        self.written()
    }

    /// Where the iterator stands, or, where it is at its end, the first one that is gathered and ends at `from` or behind.
    fn written_or_gathered(&mut self, from: Offset) -> Result<Option<Located>, StoreError> {
        let written = self.written()?;
        if written.is_some() {
            return Ok(written);
        }
        Ok(self.at_gathered(self.gathered.partition_point(|located| located.last < from)))
    }

    fn at_gathered(&mut self, number: usize) -> Option<Located> {
        self.place = Place::Gathered(number);
        self.gathered.get(number).copied()
    }

    fn written(&mut self) -> Result<Option<Located>, StoreError> {
        let Some((key, value)) = self.iterator.item() else {
            return self.iterator.status().map(|()| None).map_err(index_error);
        };
        let (_, located) = parse_item(key, value).ok_or_else(|| garbled("an entry"))?;
        self.place = Place::Written(located.last);
        Ok(Some(located))
    }
}
