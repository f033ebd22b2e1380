//! Arrays: all items alike, or the first ones each with a schema of its own and a rest.

use super::objects::{Rest, RestRules, compare_rest};
use super::place::Place;
use super::scalars::{BoundRules, compare_least, compare_upper};
use super::shape::Shape;
use super::{Walk, below};
use serde_json::Value;

const MAX_ITEMS: BoundRules = BoundRules { added: "MAX_ITEMS_ADDED", tightened: "MAX_ITEMS_DECREASED" };
const MIN_ITEMS: BoundRules = BoundRules { added: "MIN_ITEMS_ADDED", tightened: "MIN_ITEMS_INCREASED" };
const ADDITIONAL_ITEMS: RestRules = RestRules { removed: "ADDITIONAL_ITEMS_REMOVED", narrowed: "ADDITIONAL_ITEMS_NARROWED" };

/// What an array may hold.
struct Items<'a> {
    /// The first items.
    first: Vec<Place<'a>>,
    /// The items after them.
    rest: Rest<'a>,
}

pub(super) fn compare(walk: &mut Walk, old: &Place<'_>, new: &Place<'_>, path: &str) {
    compare_upper(walk, &MAX_ITEMS, old.number("maxItems"), new.number("maxItems"), &below(path, "maxItems"));
    compare_least(walk, &MIN_ITEMS, old, new, "minItems", path);
    let is_unique = |place: &Place<'_>| place.keyword("uniqueItems") == Some(&Value::Bool(true));
    if is_unique(new) && !is_unique(old) {
        walk.report("UNIQUE_ITEMS_ADDED", &below(path, "uniqueItems"), || "items must be unique now".to_owned());
    }
    let (before, now) = (items_of(old), items_of(new));
    let path = &below(path, "items");
    if before.first.is_empty() && now.first.is_empty() {
        compare_all(walk, &before.rest, &now.rest, path);
        return;
    }
    compare_rest(walk, &before.rest, &now.rest, &ADDITIONAL_ITEMS, path);
    for index in 0..before.first.len().max(now.first.len()) {
        let path = &below(path, &index.to_string());
        if !walk.spend(1) {
            return;
        }
        match (before.first.get(index), now.first.get(index)) {
            (Some(old), Some(new)) => walk.places(old, new, path),
            (Some(old), None) => removed(walk, old, &now.rest, path),
            (None, Some(new)) => added(walk, &before.rest, new, path),
            (None, None) => {}
        }
    }
}

fn items_of<'a>(place: &Place<'a>) -> Items<'a> {
    let (first, rest) = match (place.keyword("prefixItems"), place.keyword("items")) {
        (Some(Value::Array(first)), rest) => (Some(first), rest),
        (_, Some(Value::Array(first))) => (Some(first), place.keyword("additionalItems")),
        (_, rest) => (None, rest),
    };
    let rest = match rest {
        None | Some(Value::Bool(true)) => Rest::Open,
        Some(Value::Bool(false)) => Rest::Closed,
        Some(schema) => Rest::Schema(place.at(schema)),
    };
    Items { first: first.into_iter().flatten().map(|schema| place.at(schema)).collect(), rest }
}

/// Items that are all alike, before and now.
fn compare_all(walk: &mut Walk, old: &Rest<'_>, new: &Rest<'_>, path: &str) {
    match (old, new) {
        (Rest::Open, Rest::Schema(new)) if !matches!(Shape::of(new), Shape::Anything) => {
            walk.report("SCHEMA_ADDED", path, || "items could be anything, and must match a schema now".to_owned());
        }
        (Rest::Open | Rest::Schema(_), Rest::Closed) => {
            walk.report("TYPE_CHANGED", path, || "items were allowed, and are not any more".to_owned());
        }
        (Rest::Schema(old), Rest::Schema(new)) => walk.places(old, new, path),
        _ => {}
    }
}

fn added(walk: &mut Walk, rest: &Rest<'_>, new: &Place<'_>, path: &str) {
    match rest {
        Rest::Open if !matches!(Shape::of(new), Shape::Anything) => {
            let rule = "ITEM_ADDED_TO_OPEN_CONTENT_MODEL";
            walk.report(rule, path, || "the item was added: before, anything could be in its place".to_owned());
        }
        Rest::Schema(cover) if !walk.attempt(|walk| walk.places(cover, new, path)) => {
            let rule = "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
            walk.report(rule, path, || "the item was added, and accepts less than further items had to match".to_owned());
        }
        _ => {}
    }
}

fn removed(walk: &mut Walk, old: &Place<'_>, rest: &Rest<'_>, path: &str) {
    match rest {
        Rest::Closed if !matches!(Shape::of(old), Shape::Nothing) => {
            let rule = "ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL";
            walk.report(rule, path, || "the item was removed, and further items are not allowed".to_owned());
        }
        Rest::Schema(cover) if !walk.attempt(|walk| walk.places(old, cover, path)) => {
            let rule = "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
            walk.report(rule, path, || {
                "the item was removed, and further items must match a schema that accepts less".to_owned()
            });
        }
        _ => {}
    }
}
