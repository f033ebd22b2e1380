//! What holds for ranges of offsets: a map from offsets to values that stores runs of equal values once.
//!
//! There is one form for each content: neighbours with equal values are one range. So two maps that were told the same in different steps
//! are equal.

use crate::ids::Offset;
use std::collections::BTreeMap;

/// Offsets from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub first: Offset,
    pub last: Offset,
}

impl Span {
    #[must_use]
    pub fn new(first: Offset, last: Offset) -> Span {
        Span { first, last }
    }

    /// How many offsets it has; 0 when it ends before it begins.
    #[must_use]
    pub fn len(self) -> i64 {
        self.last.0.saturating_sub(self.first.0).saturating_add(1).max(0)
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The part that lies in `other`, too; `None`: they have no offset in common.
    #[must_use]
    pub fn within(self, other: Span) -> Option<Span> {
        let common = Span { first: self.first.max(other.first), last: self.last.min(other.last) };
        (!common.is_empty()).then_some(common)
    }
}

/// See the file's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges<T> {
    /// By first offset: last offset and value. Ranges do not overlap.
    by_first: BTreeMap<Offset, (Offset, T)>,
}

impl<T> Default for Ranges<T> {
    fn default() -> Ranges<T> {
        Ranges { by_first: BTreeMap::new() }
    }
}

impl<T: Clone + PartialEq> Ranges<T> {
    /// Gives all of `span` the value, whatever they had before.
    pub fn set(&mut self, span: Span, value: T) {
        if span.is_empty() {
            return;
        }
        self.clear(span);
        let Span { mut first, mut last } = span;
        if let Some((before, (end, same))) = self.by_first.range(..first).next_back()
            && end.next() == first
            && *same == value
        {
            first = *before;
        }
        if let Some((end, same)) = self.by_first.get(&last.next())
            && *same == value
        {
            let end = *end;
            self.by_first.remove(&last.next());
            last = end;
        }
        self.by_first.insert(first, (last, value));
    }

    /// Changes each value; what was equal has to stay so, and what was not, too.
    pub fn change_all(&mut self, change: impl Fn(&mut T)) {
        self.by_first.values_mut().for_each(|(_, value)| change(value));
    }

    /// Takes the value from all of `span`.
    pub fn clear(&mut self, span: Span) {
        if span.is_empty() {
            return;
        }
        // What begins before the span may reach into it, or over it.
        if let Some((before, (end, value))) = self.by_first.range(..span.first).next_back()
            && *end >= span.first
        {
            let (before, end, value) = (*before, *end, value.clone());
            self.by_first.insert(before, (span.first.previous(), value.clone()));
            if end > span.last {
                self.by_first.insert(span.last.next(), (end, value));
            }
        }
        while let Some((first, (end, _))) = self.by_first.range(span.first..=span.last).next() {
            let (first, end) = (*first, *end);
            if let Some((_, value)) = self.by_first.remove(&first)
                && end > span.last
            {
                self.by_first.insert(span.last.next(), (end, value));
            }
        }
    }

    /// The range that holds `offset`, whole.
    #[must_use]
    pub fn at(&self, offset: Offset) -> Option<(Span, &T)> {
        let (first, (last, value)) = self.by_first.range(..=offset).next_back()?;
        (*last >= offset).then(|| (Span::new(*first, *last), value))
    }

    /// The first range that begins behind `offset`.
    #[must_use]
    pub fn after(&self, offset: Offset) -> Option<(Span, &T)> {
        let (first, (last, value)) = self.by_first.range(offset.next()..).next()?;
        Some((Span::new(*first, *last), value))
    }

    /// The last offset that has a value.
    #[must_use]
    pub fn last(&self) -> Option<Offset> {
        self.by_first.last_key_value().map(|(_, (last, _))| *last)
    }

    /// All ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Span, &T)> {
        self.by_first.iter().map(|(first, (last, value))| (Span::new(*first, *last), value))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_first.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;
    use crate::ids::Timestamp;

    fn span(first: i64, last: i64) -> Span {
        Span::new(Offset(first), Offset(last))
    }

    fn shown(ranges: &Ranges<u8>) -> Vec<(i64, i64, u8)> {
        ranges.iter().map(|(span, value)| (span.first.0, span.last.0, *value)).collect()
    }

    #[test]
    fn nothing_comes_of_an_empty_span() {
        let mut ranges = Ranges::default();
        ranges.set(span(5, 4), 1);
        assert!(ranges.is_empty());
        ranges.set(span(0, 9), 1);
        ranges.clear(span(5, 4));
        assert_eq!(shown(&ranges), [(0, 9, 1)]);
    }

    #[test]
    fn equal_neighbours_are_one_range() {
        let mut ranges = Ranges::default();
        ranges.set(span(0, 4), 1);
        ranges.set(span(10, 14), 1);
        ranges.set(span(5, 9), 1);
        assert_eq!(shown(&ranges), [(0, 14, 1)]);
        ranges.set(span(3, 5), 2);
        assert_eq!(shown(&ranges), [(0, 2, 1), (3, 5, 2), (6, 14, 1)]);
        ranges.clear(span(2, 3));
        assert_eq!(shown(&ranges), [(0, 1, 1), (4, 5, 2), (6, 14, 1)]);
    }

    #[test]
    fn it_is_what_an_array_is() {
        for seed in 0..200 {
            let env = Env::manual(Timestamp(0), seed);
            let mut ranges: Ranges<u8> = Ranges::default();
            let mut array = [None; 40];
            for _ in 0..60 {
                let first = i64::try_from(env.below(40)).expect("small");
                let last = (first + i64::try_from(env.below(12)).expect("small")).min(39);
                let value = env.below(4).checked_sub(1).map(|value| u8::try_from(value).expect("small"));
                match value {
                    Some(value) => ranges.set(span(first, last), value),
                    None => ranges.clear(span(first, last)),
                }
                array[usize::try_from(first).expect("small")..=usize::try_from(last).expect("small")].fill(value);
                let read: Vec<Option<u8>> = (0..40).map(|at| ranges.at(Offset(at)).map(|(_, value)| *value)).collect();
                assert_eq!(read, array, "seed {seed}");
                let all: Vec<(Span, &u8)> = ranges.iter().collect();
                let touching = all.windows(2).any(|two| two[0].0.last.next() == two[1].0.first && two[0].1 == two[1].1);
                assert!(!touching, "seed {seed}: {all:?}");
            }
        }
    }
}
