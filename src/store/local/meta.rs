//! Small versioned keys, changed by compare-and-commit; in RocksDB's default column family, every commit synced.
//!
//! ```text
//! m key  -> revision, value
//! v      -> the store-wide revision of the last commit
//! ```
//! One commit at a time (the lock is `Shared`'s `meta`), on the blocking pool: metadata changes are rare.

use super::fields::Fields;
use super::index::{Index, index_error};
use crate::store::{MetaChange, MetaCompare, MetaEntry, StoreError};
use bytes::Bytes;
use rocksdb::{ReadOptions, WriteBatch};

const REVISION_KEY: &[u8] = b"v";

fn meta_key(key: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.len());
    bytes.push(b'm');
    bytes.extend_from_slice(key.as_bytes());
    bytes
}

fn garbled(key: &str) -> StoreError {
    StoreError::Damaged(format!("index: metadata key {key:?} does not parse"))
}

impl Index {
    /// All entries whose key starts with `prefix`, in key order.
    pub fn meta_range(&self, prefix: &str) -> Result<Vec<MetaEntry>, StoreError> {
        let start = meta_key(prefix);
        let mut options = ReadOptions::default();
        options.set_iterate_range(rocksdb::PrefixRange(start.as_slice()));
        let mut iterator = self.db.raw_iterator_opt(options);
        let mut entries = Vec::new();
        iterator.seek_to_first();
        while let Some((key, value)) = iterator.item() {
            let name = key.get(1..).and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(|| garbled(prefix))?;
            let mut fields = Fields(value);
            let revision = fields.u64().ok_or_else(|| garbled(name))?;
            entries.push(MetaEntry { key: name.to_owned(), value: Bytes::copy_from_slice(fields.0), revision });
            iterator.next();
        }
        iterator.status().map_err(index_error)?;
        Ok(entries)
    }

    /// Applies `changes` if all `compares` hold; the caller holds the lock of metadata commits.
    pub fn meta_commit(&self, compares: &[MetaCompare], changes: &[MetaChange]) -> Result<u64, StoreError> {
        for compare in compares {
            if self.meta_revision(&compare.key)? != compare.revision {
                return Err(StoreError::Conflict);
            }
        }
        let current = match self.db.get(REVISION_KEY).map_err(index_error)? {
            Some(value) => Fields(&value).u64().ok_or_else(|| garbled("(revision)"))?,
            None => 0,
        };
        if changes.is_empty() {
            return Ok(current);
        }
        let revision = current + 1;
        let mut batch = WriteBatch::default();
        for change in changes {
            match &change.value {
                Some(value) => {
                    let mut bytes = Vec::with_capacity(8 + value.len());
                    bytes.extend_from_slice(&revision.to_le_bytes());
                    bytes.extend_from_slice(value);
                    batch.put(meta_key(&change.key), bytes);
                }
                None => batch.delete(meta_key(&change.key)),
            }
        }
        batch.put(REVISION_KEY, revision.to_le_bytes());
        self.db.write_opt(batch, &self.synced).map_err(index_error)?;
        Ok(revision)
    }

    /// 0 when the key does not exist.
    fn meta_revision(&self, key: &str) -> Result<u64, StoreError> {
        match self.db.get(meta_key(key)).map_err(index_error)? {
            Some(value) => Fields(&value).u64().ok_or_else(|| garbled(key)),
            None => Ok(0),
        }
    }
}
