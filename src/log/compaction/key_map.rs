//! Key → newest offset, for as many keys as a budget holds: what one compaction pass knows. Source: SkimpyOffsetMap.
//!
//! Keys are held as 16 bytes of their SHA-256, so that no two keys are taken for one, not even on purpose; which slot a key begins at is a secret
//! of each map, so that nobody can choose keys that all want the same. One slot is 24 bytes, and the table
//! is filled to nine tenths (`log.cleaner.io.buffer.load.factor` in Kafka). When it is full, the pass covers what it has seen so far.

use crate::ids::Offset;
use sha2::{Digest, Sha256};

const SLOT_BYTES: usize = 24;

/// Two halves of a hash, and the offset plus one; 0 there marks a free slot.
const SLOT_WORDS: usize = 3;

/// The newest offset of each key.
pub struct KeyMap {
    /// [`SLOT_WORDS`] each. Zeros, which the system hands out untouched: making a large map costs nothing.
    words: Vec<u64>,
    /// Odd numbers by which the halves of a hash are multiplied.
    secret: [u64; 2],
    used: usize,
    latest: Option<Offset>,
}

impl KeyMap {
    /// An empty map of at most `budget_bytes`, and no larger than `keys_max` keys need. `secret`: numbers that nobody can guess.
    #[must_use]
    pub fn new(budget_bytes: usize, keys_max: usize, secret: [u64; 2]) -> KeyMap {
        let wanted = keys_max.saturating_add(keys_max / 9).saturating_add(2);
        let slots = (budget_bytes / SLOT_BYTES).min(wanted).max(2);
        KeyMap { words: vec![0; slots * SLOT_WORDS], secret: secret.map(|half| half | 1), used: 0, latest: None }
    }

    /// Notes that `key` has a record at `offset`, which is above all before; `false` when there is no room for another key.
    #[must_use]
    pub fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let (at, hash) = self.find(key);
        let count = self.count();
        let slot = &mut self.words[at..at + SLOT_WORDS];
        if slot[2] == 0 {
            if self.used >= count - count.div_ceil(10) {
                return false;
            }
            self.used += 1;
        }
        slot.copy_from_slice(&[hash[0], hash[1], offset.0.cast_unsigned() + 1]);
        self.latest = Some(offset);
        true
    }

    /// The newest offset of `key`.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        let found = self.words[self.find(key).0 + 2];
        found.checked_sub(1).map(|offset| Offset(offset.cast_signed()))
    }

    /// The last offset that was put.
    #[must_use]
    pub fn latest(&self) -> Option<Offset> {
        self.latest
    }

    fn count(&self) -> usize {
        self.words.len() / SLOT_WORDS
    }

    /// Where the slot of `key` begins, or the free one where it belongs. There is always a free one.
    fn find(&self, key: &[u8]) -> (usize, [u64; 2]) {
        let digest = Sha256::digest(key);
        let mut hash = [0u64; 2];
        for (half, bytes) in hash.iter_mut().zip(digest.chunks_exact(8)) {
            *half = bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        }
        let mixed = hash[0].wrapping_mul(self.secret[0]).wrapping_add(hash[1].wrapping_mul(self.secret[1]));
        // The upper half of a product: below the number of slots.
        let slot = (u128::from(mixed) * self.count() as u128) >> 64;
        let mut at = usize::try_from(slot).unwrap_or(0) * SLOT_WORDS;
        while self.words[at + 2] != 0 && self.words[at..at + 2] != hash {
            at += SLOT_WORDS;
            if at == self.words.len() {
                at = 0;
            }
        }
        (at, hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u64; 2] = [0x6e6f_626f_6479_206b, 0x6e6f_7773_2069_742e];

    #[test]
    fn the_newest_offset_of_each_key_is_found() {
        let mut map = KeyMap::new(1 << 20, 1_000, SECRET);
        for offset in 0..3_000_i64 {
            assert!(map.put(format!("key {}", offset % 1_000).as_bytes(), Offset(offset)));
        }
        for key in 0..1_000_i64 {
            assert_eq!(map.get(format!("key {key}").as_bytes()), Some(Offset(2_000 + key)));
        }
        assert_eq!((map.get(b"another"), map.latest()), (None, Some(Offset(2_999))));
    }

    #[test]
    fn a_full_map_takes_newer_offsets_of_its_keys_and_no_other_key() {
        let mut map = KeyMap::new(100 * SLOT_BYTES, usize::MAX, SECRET);
        let taken = (0..200_i64).take_while(|number| map.put(&number.to_be_bytes(), Offset(*number))).count();
        assert_eq!(taken, 90, "nine tenths of what the budget holds");
        assert_eq!(map.latest(), Some(Offset(89)));
        assert!(map.put(&5_i64.to_be_bytes(), Offset(300)));
        assert!(!map.put(b"new", Offset(301)));
        assert_eq!((map.get(&5_i64.to_be_bytes()), map.get(b"new")), (Some(Offset(300)), None));
    }

    #[test]
    fn where_a_key_lies_is_a_secret_of_the_map() {
        let [one, other] = [7_u64, 8].map(|secret| KeyMap::new(1 << 20, 1_000, [secret << 6, secret << 10]));
        let keys = || (0..1_000_i64).map(i64::to_be_bytes);
        let alike = keys().filter(|key| one.find(key).0 == other.find(key).0).count();
        assert!(alike < 20, "{alike} of 1,000 begin at the same of 1,113 slots");
        let places: std::collections::HashSet<usize> = keys().map(|key| one.find(&key).0).collect();
        assert!(places.len() > 500, "they are spread: {}", places.len());
    }

    #[test]
    fn the_smallest_map_still_makes_progress() {
        for keys_max in [0, 1] {
            let mut map = KeyMap::new(0, keys_max, [0; 2]);
            assert!(map.put(b"a", Offset(0)) && !map.put(b"b", Offset(1)));
        }
    }
}
