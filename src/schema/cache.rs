//! Parsed schemas by what they are, in a budget of bytes. When it is full, what was not used for the longest goes; it is parsed again when it is needed.

use super::format::Parsed;
use super::stored::Identity;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A context, and a schema in it: its references mean something else in another one.
pub type Key = (Arc<str>, Identity);

/// Owner: the registry. Under one short mutex.
#[derive(Debug)]
pub struct Cache {
    limit: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    parsed: HashMap<Key, Entry>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    parsed: Arc<Parsed>,
    bytes: usize,
    used: u64,
}

impl Cache {
    /// `limit`: bytes of all that is kept; the newest is kept whatever its size.
    #[must_use]
    pub fn new(limit: usize) -> Cache {
        Cache { limit, inner: Mutex::default() }
    }

    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<Parsed>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let clock = inner.clock;
        let entry = inner.parsed.get_mut(key)?;
        entry.used = clock;
        Some(entry.parsed.clone())
    }

    pub fn put(&self, key: Key, parsed: Arc<Parsed>) {
        let bytes = parsed.memory_bytes();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let entry = Entry { parsed, bytes, used: inner.clock };
        inner.bytes += bytes;
        if let Some(old) = inner.parsed.insert(key, entry) {
            inner.bytes -= old.bytes;
        }
        while inner.bytes > self.limit && inner.parsed.len() > 1 {
            // A scan of some thousand entries at most, where a schema was just parsed.
            let Some(oldest) = inner.parsed.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone()) else {
                return;
            };
            if let Some(old) = inner.parsed.remove(&oldest) {
                inner.bytes -= old.bytes;
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).parsed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Format;
    use crate::schema::stored::identity;

    #[test]
    fn what_was_not_used_for_the_longest_goes_first() {
        let parsed = || Arc::new(Parsed::parse(Format::Avro, "\"string\"", &[]).expect("a schema"));
        let bytes = parsed().memory_bytes();
        let cache = Cache::new(2 * bytes);
        let key = |id: i32| (Arc::from("."), identity(Format::Avro, &id.to_string(), &[], None, None));
        for id in [1, 2] {
            cache.put(key(id), parsed());
        }
        assert!(cache.get(&key(1)).is_some());
        cache.put(key(3), parsed());
        assert_eq!(cache.len(), 2);
        assert!(cache.get(&key(2)).is_none() && cache.get(&key(1)).is_some() && cache.get(&key(3)).is_some());
    }
}
