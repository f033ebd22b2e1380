//! `allOf`, `anyOf`, `oneOf`, arrays of types, and schemas that say several things at once.
//!
//! A union may get alternatives and a product may lose demands; each of the others needs a counterpart of its own that accepts as much.

use super::shape::{Criterion, Part, Shape};
use super::{Walk, below};

pub(super) fn compare(walk: &mut Walk, old: &Shape<'_>, new: &Shape<'_>, path: &str) {
    match (old, new) {
        (Shape::Combined(old_criterion, old_parts), Shape::Combined(new_criterion, new_parts)) => {
            // A product may have become one alternative of a union, whole as it was.
            let is_wrapped = *old_criterion == Criterion::All && *new_criterion != Criterion::All;
            if !(is_wrapped && any_accepts(walk, old, new_parts, path)) {
                compare_both(walk, (*old_criterion, old_parts.as_slice()), (*new_criterion, new_parts.as_slice()), path);
            }
        }
        (Shape::Combined(Criterion::All, parts), new) if any_suffices(walk, parts, new, path) => {}
        (old, Shape::Combined(Criterion::Any | Criterion::One, parts)) if any_accepts(walk, old, parts, path) => {}
        _ => walk.report("TYPE_CHANGED", path, || format!("the type changed from {} to {}", old.describe(), new.describe())),
    }
}

/// Whether one of the alternatives accepts all that `old` does.
fn any_accepts(walk: &mut Walk, old: &Shape<'_>, alternatives: &[Part<'_>], path: &str) -> bool {
    alternatives.iter().any(|part| walk.attempt(|walk| walk.shapes(old, &part.shape(), path)))
}

/// Whether one of the demands is already as strict as `new`.
fn any_suffices(walk: &mut Walk, demands: &[Part<'_>], new: &Shape<'_>, path: &str) -> bool {
    demands.iter().any(|part| walk.attempt(|walk| walk.shapes(&part.shape(), new, path)))
}

fn compare_both(walk: &mut Walk, old: (Criterion, &[Part<'_>]), new: (Criterion, &[Part<'_>]), path: &str) {
    let ((old_criterion, old), (new_criterion, new)) = (old, new);
    let is_same = old_criterion == new_criterion;
    // Whatever was valid under oneOf or allOf is valid under anyOf.
    if !is_same && new_criterion != Criterion::Any {
        walk.report("COMBINED_TYPE_CHANGED", path, || format!("{} became {}", old_criterion.name(), new_criterion.name()));
        return;
    }
    let path = &below(path, new_criterion.name());
    let pairs = matched(walk, old, new, path);
    let (rule, needed) = match (old_criterion, new_criterion) {
        (Criterion::All, Criterion::All) if new.len() > old.len() => ("PRODUCT_TYPE_EXTENDED", usize::MAX),
        (Criterion::All, Criterion::All) => ("COMBINED_TYPE_SUBSCHEMAS_CHANGED", new.len()),
        (Criterion::All, _) => ("COMBINED_TYPE_SUBSCHEMAS_CHANGED", 1),
        _ if new.len() < old.len() => ("SUM_TYPE_NARROWED", usize::MAX),
        _ => ("COMBINED_TYPE_SUBSCHEMAS_CHANGED", old.len()),
    };
    if pairs < needed {
        walk.report(rule, path, || {
            format!("of {} subschemas before and {} now, {pairs} go together: the others accept less", old.len(), new.len())
        });
    }
}

/// How many pairs can be made of an old part and a new one that accepts as much, each used once.
fn matched(walk: &mut Walk, old: &[Part<'_>], new: &[Part<'_>], path: &str) -> usize {
    let mut accepts: Vec<Vec<usize>> = Vec::with_capacity(old.len());
    for old_part in old {
        let mut by = Vec::new();
        for (index, new_part) in new.iter().enumerate() {
            if !walk.spend(1) {
                return 0;
            }
            let part_path = below(path, &index.to_string());
            if walk.attempt(|walk| walk.parts(old_part, new_part, &part_path)) {
                by.push(index);
            }
        }
        accepts.push(by);
    }
    let mut taken_by: Vec<Option<usize>> = vec![None; new.len()];
    (0..old.len()).filter(|start| augment(*start, &accepts, &mut taken_by)).count()
}

/// Finds a counterpart for `start`, while those that have one may move to another (an augmenting path, breadth first).
fn augment(start: usize, accepts: &[Vec<usize>], taken_by: &mut [Option<usize>]) -> bool {
    // For each counterpart that was reached, the old part from which it was.
    let mut reached_from: Vec<Option<usize>> = vec![None; taken_by.len()];
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(part) = queue.pop_front() {
        for &counterpart in &accepts[part] {
            if reached_from[counterpart].is_some() {
                continue;
            }
            reached_from[counterpart] = Some(part);
            match taken_by[counterpart] {
                Some(owner) => queue.push_back(owner),
                None => {
                    hand_over(start, counterpart, &reached_from, taken_by);
                    return true;
                }
            }
        }
    }
    false
}

/// Gives `counterpart` to the part that reached it, whose own one goes to the part that reached that, and so on up to `start`.
fn hand_over(start: usize, counterpart: usize, reached_from: &[Option<usize>], taken_by: &mut [Option<usize>]) {
    let mut free = counterpart;
    while let Some(part) = reached_from[free] {
        let left = taken_by.iter().position(|owner| *owner == Some(part));
        taken_by[free] = Some(part);
        match left {
            Some(left) if part != start => free = left,
            _ => return,
        }
    }
}
