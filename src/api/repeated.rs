//! Names that a request gives more than once: admin requests refuse them as a whole rather than guess which one is meant, or answer only
//! the first where each answer may be large.

use super::errors::ResponseError;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// The items that come more than once, each once, in the order of their second appearance.
pub fn repeated<T: Eq + Hash + Clone>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = HashSet::new();
    let mut reported = HashSet::new();
    items.into_iter().filter(|item| !seen.insert(item.clone()) && reported.insert(item.clone())).collect()
}

/// The items without those whose `key` came before: for requests whose answers are large, and whose clients never ask twice.
pub fn once_each<T, K: Eq + Hash>(mut items: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = HashSet::with_capacity(items.len());
    items.retain(|item| seen.insert(key(item)));
    items
}

/// Tells the first mention of an item from those after it: an answer (or a record) that is much larger than its question is given once
/// per request, so that a small request cannot ask for gigabytes.
#[derive(Debug)]
pub struct Once<T>(HashSet<T>);

impl<T> Default for Once<T> {
    fn default() -> Once<T> {
        Once(HashSet::new())
    }
}

impl<T: Eq + Hash> Once<T> {
    /// # Errors
    /// INVALID_REQUEST when `item` was mentioned before.
    pub fn check(&mut self, item: T) -> Result<(), ResponseError> {
        if self.0.insert(item) { Ok(()) } else { Err(ResponseError::InvalidRequest) }
    }
}

/// One item for each key, the last that was given: where each makes a record, and a request may set the same thing twice.
#[derive(Debug)]
pub struct LastOfEach<K, T> {
    items: Vec<T>,
    /// Of the items, while they are few: most requests name a handful, and are not to pay for the others.
    keys: Vec<K>,
    /// Of the items, when they are many.
    places: HashMap<K, usize>,
}

const FEW: usize = 16;

impl<K, T> Default for LastOfEach<K, T> {
    fn default() -> LastOfEach<K, T> {
        LastOfEach { items: Vec::new(), keys: Vec::new(), places: HashMap::new() }
    }
}

impl<K: Eq + Hash, T> LastOfEach<K, T> {
    /// Whether the key is new.
    pub fn put(&mut self, key: K, item: T) -> bool {
        let end = self.items.len();
        let place = if end < FEW {
            self.keys.iter().position(|known| *known == key).unwrap_or_else(|| {
                self.keys.push(key);
                end
            })
        } else {
            self.places.extend(self.keys.drain(..).enumerate().map(|(place, key)| (key, place)));
            *self.places.entry(key).or_insert(end)
        };
        match self.items.get_mut(place) {
            Some(earlier) => {
                *earlier = item;
                false
            }
            None => {
                self.items.push(item);
                true
            }
        }
    }

    /// In the order in which the keys came first.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.items
    }
}

#[cfg(test)]
mod tests {
    use super::{LastOfEach, once_each, repeated};

    #[test]
    fn the_last_of_each_key_counts_in_the_order_of_the_first() {
        let mut last = LastOfEach::default();
        let are_new: Vec<bool> = [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5)].map(|(key, item)| last.put(key, item)).into();
        assert_eq!(are_new, [true, true, false, true, false]);
        assert_eq!(last.into_vec(), [3, 5, 4]);

        let mut many = LastOfEach::default();
        let are_new = (0..100).chain(0..100).map(|key| many.put(key, key % 7)).filter(|is_new| *is_new).count();
        assert_eq!((are_new, many.into_vec()), (100, (0..100).map(|key| key % 7).collect()));
    }

    #[test]
    fn each_repeated_item_is_named_once() {
        assert!(repeated::<&str>([]).is_empty());
        assert!(repeated(["a", "b"]).is_empty());
        assert_eq!(repeated(["a", "b", "b", "a", "b", "c"]), ["b", "a"]);
        assert_eq!(once_each(vec!["a", "b", "b", "a", "b", "c"], |item| *item), ["a", "b", "c"]);
    }
}
