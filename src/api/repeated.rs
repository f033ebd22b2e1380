//! Names that a request gives more than once: admin requests refuse them as a whole rather than guess which one is meant.

use std::collections::HashSet;
use std::hash::Hash;

/// The items that come more than once, each once, in the order of their second appearance.
pub fn repeated<T: Eq + Hash + Clone>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = HashSet::new();
    let mut reported = HashSet::new();
    items.into_iter().filter(|item| !seen.insert(item.clone()) && reported.insert(item.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::repeated;

    #[test]
    fn each_repeated_item_is_named_once() {
        assert!(repeated::<&str>([]).is_empty());
        assert!(repeated(["a", "b"]).is_empty());
        assert_eq!(repeated(["a", "b", "b", "a", "b", "c"]), ["b", "a"]);
    }
}
