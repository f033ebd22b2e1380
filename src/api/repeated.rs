//! Names that a request gives more than once: admin requests refuse them as a whole rather than guess which one is meant, or answer only
//! the first where each answer may be large.

use super::errors::ResponseError;
use std::collections::HashSet;
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

#[cfg(test)]
mod tests {
    use super::{once_each, repeated};

    #[test]
    fn each_repeated_item_is_named_once() {
        assert!(repeated::<&str>([]).is_empty());
        assert!(repeated(["a", "b"]).is_empty());
        assert_eq!(repeated(["a", "b", "b", "a", "b", "c"]), ["b", "a"]);
        assert_eq!(once_each(vec!["a", "b", "b", "a", "b", "c"], |item| *item), ["a", "b", "c"]);
    }
}
