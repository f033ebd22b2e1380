//! The keys of the journal in RocksDB: where each batch lies, and what is needed to open the journal again.
//!
//! Column family `index`, never through RocksDB's log (the journal is its log). The state that a crash leaves is a prefix of what was
//! written, because one column family's memtables reach disk in order, so everything that must agree is written in one batch. New
//! entries are gathered in memory before they are written, and seen there meanwhile (`index/gathered.rs`).
//! ```text
//! e log last   -> Entry            one per batch
//! p            -> JournalState     the end of the last commit whose entries are here; goes with every change of entries
//! w seq        -> bytes            of batches that were put into a segment which is full
//! d seq        -> bytes            of these, those that are dead
//! r log        -> offset           below which the entries are gone and counted dead
//! h log        -> Holes            what is left of a log of which batches were replaced; goes with every change of that
//! m id         -> Marked, place    the append that bears a mark; compactions drop it once it has expired
//! ```
//! Entries carry two running values, the log's bytes and its largest timestamp up to that batch. So the size of a log, the place to
//! trim to, and the batch of a time are two seeks or a binary search, and neither counters per log nor a time index are kept.
//! Where batches are rewritten or removed, the entries that stay keep their running values: times are then upper bounds (a search walks
//! on from what it finds), and bytes are counted by `h` instead.
//! That replaces the sparse time index of the design: less is written per commit, nothing has to be kept in step, and opening a log
//! needs two seeks. The price is 16 bytes per entry, and that a timestamp which only a trimmed batch had makes searches by time walk.
//!
//! Everything else small (rows of logs, snapshots, metadata) is in the default column family, see `rows.rs` and `meta.rs`.
//! Memory: two memtables of 16 MiB and a block cache of 16 MiB at most per column family pair; table readers' own indexes live in the cache.

use super::fields::Fields;
use super::lock;
use super::segment::Position;
use crate::env::Env;
use crate::ids::{LogId, Offset, Timestamp};
use crate::store::{Mark, Marked, StoreError};
use rocksdb::compaction_filter::Decision;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBRawIterator, LogLevel, Options, ReadOptions, ReadTier,
    WriteOptions,
};
use std::path::Path;
use std::sync::Mutex;

mod changes;
mod cursor;
mod gathered;
#[cfg(test)]
mod tests;

pub(super) use changes::Changes;
pub(super) use cursor::Cursor;
use gathered::Gathered;

const INDEX: &str = "index";
const MEMTABLE_BYTES: usize = 16 * 1024 * 1024;
/// Deletions of ranges of keys that RocksDB keeps in memory before it writes them to a file: each new one has it sort all of these again, for the next reader.
const RANGES_MAX: usize = 500;
const CACHE_BYTES: usize = 16 * 1024 * 1024;
const STATE_KEY: &[u8] = b"p";
/// Deleted keys that a look at what is in memory passes over.
const SKIPPED_MAX: u64 = 1000;

/// An open RocksDB with the store's two column families.
pub(super) struct Index {
    pub(super) db: DB,
    /// What is not in RocksDB yet; locked for microseconds, never across a call that may wait.
    gathered: Mutex<Gathered>,
    /// Held by who writes to the index's column family, so that what is gathered and what comes behind it stay in order.
    writing: Mutex<()>,
    unlogged: WriteOptions,
    pub(super) synced: WriteOptions,
}

/// Where a batch lies, and what is known about it without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub place: Position,
    pub length: u32,
    pub first: Offset,
    pub max_timestamp: Timestamp,
    /// The largest `max_timestamp` of the log up to and including this batch; trimmed batches count.
    pub running_max: Timestamp,
    /// Bytes of the log up to and including this batch; trimmed batches count (or not: only differences mean anything).
    pub total: u64,
}

/// A batch's last offset and its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Located {
    pub last: Offset,
    pub entry: Entry,
}

/// The bytes of a log with replaced batches: `live` when its running count of bytes was `at_total`; what was appended since comes on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holes {
    /// Of every batch that has an entry, trimmed or not.
    pub live: u64,
    pub at_total: u64,
}

impl Holes {
    /// Bytes of a log whose newest batch has the running count `total`.
    pub fn bytes(&self, total: u64) -> u64 {
        (self.live + total).saturating_sub(self.at_total)
    }

    /// After the removal of batches of `bytes`.
    pub fn without(self, bytes: u64) -> Holes {
        // What was appended since `at_total` may be removed as well.
        match self.live.checked_sub(bytes) {
            Some(live) => Holes { live, ..self },
            None => Holes { live: 0, at_total: self.at_total + (bytes - self.live) },
        }
    }
}

/// How far the index has followed the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct JournalState {
    /// The end of the last commit whose entries are in the index.
    pub end: Position,
    /// Up to here the journal was known to be on disk then.
    pub durable: Position,
    /// Bytes of batches put into segment `end.seq` so far.
    pub written: u64,
}

/// RocksDB's errors, as the store's callers react to them.
pub(super) fn index_error(error: rocksdb::Error) -> StoreError {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => StoreError::Damaged(format!("index: {error}")),
        _ => StoreError::Io(format!("index: {error}")),
    }
}

fn garbled(what: &str) -> StoreError {
    StoreError::Damaged(format!("index: {what} does not parse"))
}

impl Index {
    /// Opens or creates the index under `dir`.
    pub fn open(dir: &Path, env: &Env) -> Result<Index, rocksdb::Error> {
        let cache = Cache::new_lru_cache(CACHE_BYTES);
        let mut options = column_options(&cache);
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_max_background_jobs(2);
        options.set_max_open_files(256);
        options.set_max_total_wal_size(32 * 1024 * 1024);
        options.set_keep_log_file_num(2);
        options.set_log_level(LogLevel::Warn);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        let families = [
            ColumnFamilyDescriptor::new(rocksdb::DEFAULT_COLUMN_FAMILY_NAME, column_options(&cache)),
            ColumnFamilyDescriptor::new(INDEX, index_options(&cache, env)?),
        ];
        let db = DB::open_cf_descriptors(&options, dir, families)?;
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Ok(Index { db, gathered: Mutex::default(), writing: Mutex::default(), unlogged, synced })
    }

    fn family(&self) -> &ColumnFamily {
        self.db.cf_handle(INDEX).expect("the index is opened with this column family")
    }

    /// Puts everything written so far on disk: a later open needs the journal only from here on.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.write_gathered()?;
        self.db.flush_cf(self.family()).map_err(index_error)
    }

    /// Compacts everything, down to the last level.
    #[cfg(test)]
    pub fn compact(&self) -> Result<(), StoreError> {
        let mut options = rocksdb::CompactOptions::default();
        options.set_bottommost_level_compaction(rocksdb::BottommostLevelCompaction::Force);
        self.write_gathered()?;
        self.db.compact_range_cf_opt(self.family(), None::<&[u8]>, None::<&[u8]>, &options);
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get_cf(self.family(), key).map_err(index_error)
    }

    /// How far the index has followed the journal; `None` for a new index.
    pub fn state(&self) -> Result<Option<JournalState>, StoreError> {
        if let Some(state) = lock(&self.gathered).state {
            return Ok(Some(state));
        }
        let Some(value) = self.get(STATE_KEY)? else { return Ok(None) };
        JournalState::decode(&value).map(Some).ok_or_else(|| garbled("the journal's position"))
    }

    /// The entry of the batch that ends at `last`.
    pub fn entry(&self, log: LogId, last: Offset) -> Result<Option<Entry>, StoreError> {
        if let Some(entry) = lock(&self.gathered).entry(log, last) {
            return Ok(Some(entry));
        }
        let Some(value) = self.get(&entry_key(log, last))? else { return Ok(None) };
        Entry::decode(&value).map(Some).ok_or_else(|| garbled("an entry"))
    }

    /// The append that bears the mark `id`.
    pub fn mark(&self, id: u128) -> Result<Option<Marked>, StoreError> {
        let key = mark_key(id);
        let Some(value) = self.get(&key)? else { return Ok(None) };
        decode_mark(&key, &value).map(|(marked, _)| Some(marked)).ok_or_else(|| garbled("a mark"))
    }

    /// Removes the marks of appends that stood in the journal at `end` or behind.
    pub fn forget_marks_after(&self, end: Position, changes: &mut Changes<'_>) -> Result<(), StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(vec![b'm']);
        options.set_iterate_upper_bound(vec![b'm' + 1]);
        options.fill_cache(false);
        let mut iterator = self.db.raw_iterator_cf_opt(self.family(), options);
        iterator.seek_to_first();
        while let Some((key, value)) = iterator.item() {
            let (marked, place) = decode_mark(key, value).ok_or_else(|| garbled("a mark"))?;
            if place >= end {
                changes.delete_mark(marked.mark.id);
            }
            iterator.next();
        }
        iterator.status().map_err(index_error)
    }

    /// Below this offset the entries of `log` are gone and counted dead.
    pub fn reclaimed(&self, log: LogId) -> Result<Offset, StoreError> {
        let Some(value) = self.get(&number_key(b'r', log.0))? else { return Ok(Offset(0)) };
        Fields(&value).offset().ok_or_else(|| garbled("a reclaimed offset"))
    }

    /// What is left of a log of which batches were replaced.
    pub fn holes(&self, log: LogId) -> Result<Option<Holes>, StoreError> {
        let Some(value) = self.get(&number_key(b'h', log.0))? else { return Ok(None) };
        let mut fields = Fields(&value);
        let (live, at_total) = (fields.u64(), fields.u64());
        live.zip(at_total).map(|(live, at_total)| Some(Holes { live, at_total })).ok_or_else(|| garbled("a log's holes"))
    }

    /// `(seq, bytes written)` of full segments and `(seq, bytes dead)` of all.
    pub fn counters(&self) -> Result<(SegmentBytes, SegmentBytes), StoreError> {
        Ok((self.numbers(b'w')?, self.numbers(b'd')?))
    }

    fn numbers(&self, kind: u8) -> Result<SegmentBytes, StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(vec![kind]);
        options.set_iterate_upper_bound(vec![kind + 1]);
        let mut iterator = self.db.raw_iterator_cf_opt(self.family(), options);
        let mut numbers = Vec::new();
        iterator.seek_to_first();
        while let Some((key, value)) = iterator.item() {
            let seq = key.get(1..).and_then(|rest| rest.first_chunk::<8>()).map(|seq| u64::from_be_bytes(*seq));
            let (Some(seq), Some(bytes)) = (seq, Fields(value).u64()) else { return Err(garbled("a segment's counter")) };
            numbers.push((seq, bytes));
            iterator.next();
        }
        iterator.status().map_err(index_error)?;
        Ok(numbers)
    }

    /// Walks entries of `log`, from `start` on only: what lies below may be a long run of deleted keys.
    pub fn cursor(&self, log: LogId, start: Offset) -> Cursor<'_> {
        self.cursor_with(ReadOptions::default, log, start)
    }

    /// As [`Index::cursor`], but what would have to be read from the disk, or lies behind many deleted keys, is an error.
    pub fn cursor_in_memory(&self, log: LogId, start: Offset) -> Cursor<'_> {
        let options = || {
            let mut options = ReadOptions::default();
            options.set_read_tier(ReadTier::BlockCache);
            // Long runs of deleted keys, and files that go with this cursor, are others' to deal with.
            options.set_max_skippable_internal_keys(SKIPPED_MAX);
            options.set_background_purge_on_iterator_cleanup(true);
            options
        };
        self.cursor_with(options, log, start)
    }

    fn cursor_with(&self, options: impl Fn() -> ReadOptions, log: LogId, start: Offset) -> Cursor<'_> {
        loop {
            let (gathered, taken_away) = {
                let gathered = lock(&self.gathered);
                (gathered.of(log, start), gathered.taken_away)
            };
            // Not under the lock: this may read a file.
            let iterator = self.entries(options(), log, start);
            // Else what was gathered may have been written, and deleted again, before the iterator was there.
            if lock(&self.gathered).taken_away == taken_away {
                return Cursor::new(iterator, log, gathered);
            }
        }
    }

    /// Over the entries of `log` that are in RocksDB and end at `start` or behind.
    fn entries(&self, mut options: ReadOptions, log: LogId, start: Offset) -> DBRawIterator<'_> {
        options.set_iterate_lower_bound(entry_key(log, start).to_vec());
        let upper = match log.0.checked_add(1) {
            Some(next) => number_key(b'e', next).to_vec(),
            None => vec![b'e' + 1],
        };
        options.set_iterate_upper_bound(upper);
        self.db.raw_iterator_cf_opt(self.family(), options)
    }

    /// Calls `visit` with every entry of every log. About a million per second.
    pub fn all_entries(&self, mut visit: impl FnMut(LogId, Located) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.write_gathered()?;
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(vec![b'e']);
        options.set_iterate_upper_bound(vec![b'e' + 1]);
        options.fill_cache(false);
        let mut iterator = self.db.raw_iterator_cf_opt(self.family(), options);
        iterator.seek_to_first();
        while let Some((key, value)) = iterator.item() {
            let (log, located) = parse_item(key, value).ok_or_else(|| garbled("an entry"))?;
            visit(log, located)?;
            iterator.next();
        }
        iterator.status().map_err(index_error)
    }

    /// Begins a set of changes that are applied together.
    pub fn changes(&self) -> Changes<'_> {
        Changes::new(self)
    }
}

/// `(seq, bytes)` pairs, ascending.
pub(super) type SegmentBytes = Vec<(u64, u64)>;

/// Marks are many, looked up by the thousand and mostly absent, which filters tell without reading; and they go by themselves.
fn index_options(cache: &Cache, env: &Env) -> Result<Options, rocksdb::Error> {
    let mut table = table_options(cache);
    table.set_bloom_filter(10.0, false);
    let mut options = column_options(cache);
    options.set_block_based_table_factory(&table);
    // Blocks are in memory as soon as they are written: who reads new batches would wait for each on the disk. Those of a compaction as well, which takes the
    // place of files whose blocks were in memory; one that is larger than the cache leaves of it what it wrote last.
    // These have no setters in the crate. What comes of it keeps the cache, which the factory shares.
    let mut options = options.get_options_from_string(format!(
        "memtable_max_range_deletions={RANGES_MAX};block_based_table_factory={{prepopulate_block_cache=kFlushAndCompaction}}"
    ))?;
    let env = env.clone();
    options.set_compaction_filter("expired marks", move |_, key, value| {
        let is_expired =
            key.first() == Some(&b'm') && decode_mark(key, value).is_some_and(|(one, _)| one.mark.expires <= env.now());
        if is_expired { Decision::Remove } else { Decision::Keep }
    });
    Ok(options)
}

fn table_options(cache: &Cache) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_block_size(8 * 1024);
    table
}

fn column_options(cache: &Cache) -> Options {
    let table = table_options(cache);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_target_file_size_base(16 * 1024 * 1024);
    options
}

/// `e`, the log, the last offset, so that a forward seek to an offset finds the batch that contains it. The sign bit of the offset is
/// flipped so that bytes sort as numbers.
fn entry_key(log: LogId, last: Offset) -> [u8; 17] {
    let mut key = [b'e'; 17];
    key[1..9].copy_from_slice(&log.0.to_be_bytes());
    key[9..].copy_from_slice(&(last.0.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    key
}

fn number_key(kind: u8, number: u64) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

fn mark_key(id: u128) -> [u8; 17] {
    let mut key = [b'm'; 17];
    key[1..].copy_from_slice(&id.to_be_bytes());
    key
}

fn encode_mark(marked: &Marked, place: Position) -> [u8; 60] {
    let Marked { log, first, last, mark } = marked;
    let numbers =
        [log.0, first.0.cast_unsigned(), last.0.cast_unsigned(), mark.made.0.cast_unsigned(), mark.expires.0.cast_unsigned()];
    let mut bytes = [0u8; 60];
    for (field, number) in bytes.chunks_exact_mut(8).zip(numbers.into_iter().chain([place.seq, place.at])) {
        field.copy_from_slice(&number.to_le_bytes());
    }
    bytes[56..].copy_from_slice(&mark.note.to_le_bytes());
    bytes
}

/// A mark's append, and its place in the journal when it was written.
fn decode_mark(key: &[u8], value: &[u8]) -> Option<(Marked, Position)> {
    let id = u128::from_be_bytes(*key.get(1..)?.first_chunk::<16>()?);
    let mut fields = Fields(value);
    let (log, first, last) = (LogId(fields.u64()?), fields.offset()?, fields.offset()?);
    let (made, expires) = (fields.timestamp()?, fields.timestamp()?);
    let place = Position { seq: fields.u64()?, at: fields.u64()? };
    let mark = Mark { id, made, expires, note: fields.u32()? };
    Some((Marked { log, first, last, mark }, place))
}

fn parse_item(key: &[u8], value: &[u8]) -> Option<(LogId, Located)> {
    let (log, rest) = key.get(1..)?.split_first_chunk::<8>()?;
    let last = u64::from_be_bytes(*rest.first_chunk::<8>()?) ^ (1 << 63);
    let located = Located { last: Offset(last.cast_signed()), entry: Entry::decode(value)? };
    Some((LogId(u64::from_be_bytes(*log)), located))
}

impl Entry {
    fn encode(&self) -> [u8; 48] {
        let at = u32::try_from(self.place.at).expect("segments are at most 2 GiB");
        let mut bytes = [0u8; 48];
        bytes[..8].copy_from_slice(&self.place.seq.to_le_bytes());
        bytes[8..12].copy_from_slice(&at.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.max_timestamp.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.running_max.0.to_le_bytes());
        bytes[40..].copy_from_slice(&self.total.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Entry> {
        let mut fields = Fields(bytes);
        Some(Entry {
            place: Position { seq: fields.u64()?, at: u64::from(fields.u32()?) },
            length: fields.u32()?,
            first: fields.offset()?,
            max_timestamp: fields.timestamp()?,
            running_max: fields.timestamp()?,
            total: fields.u64()?,
        })
    }
}

impl JournalState {
    fn encode(&self) -> [u8; 40] {
        let mut bytes = [0u8; 40];
        let numbers = [self.end.seq, self.end.at, self.durable.seq, self.durable.at, self.written];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<JournalState> {
        let mut fields = Fields(bytes);
        Some(JournalState {
            end: Position { seq: fields.u64()?, at: fields.u64()? },
            durable: Position { seq: fields.u64()?, at: fields.u64()? },
            written: fields.u64()?,
        })
    }
}
