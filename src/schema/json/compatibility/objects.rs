//! Objects: their properties, and what they say of those that they do not name.
//!
//! The content of an object is *open* when all other properties are allowed, *closed* when none is, and *partially open* when they must match
//! a schema.

use super::place::Place;
use super::scalars::{BoundRules, compare_least, compare_upper};
use super::shape::Shape;
use super::{Walk, below};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

const MAX_PROPERTIES: BoundRules = BoundRules { added: "MAX_PROPERTIES_ADDED", tightened: "MAX_PROPERTIES_DECREASED" };
const MIN_PROPERTIES: BoundRules = BoundRules { added: "MIN_PROPERTIES_ADDED", tightened: "MIN_PROPERTIES_INCREASED" };

/// What is allowed beside what is named.
pub(super) enum Rest<'a> {
    Open,
    Closed,
    Schema(Place<'a>),
}

pub(super) fn compare(walk: &mut Walk, old: &Place<'_>, new: &Place<'_>, path: &str) {
    compare_upper(walk, &MAX_PROPERTIES, old.number("maxProperties"), new.number("maxProperties"), &below(path, "maxProperties"));
    compare_least(walk, &MIN_PROPERTIES, old, new, "minProperties", path);
    compare_rest(walk, &rest_of(old), &rest_of(new), &ADDITIONAL_PROPERTIES, &below(path, "additionalProperties"));
    compare_dependencies(walk, old, new, path);
    compare_properties(walk, old, new, path);
}

/// Names of the rules for what is not named, and of the keyword.
pub(super) struct RestRules {
    pub(super) removed: &'static str,
    pub(super) narrowed: &'static str,
}

const ADDITIONAL_PROPERTIES: RestRules =
    RestRules { removed: "ADDITIONAL_PROPERTIES_REMOVED", narrowed: "ADDITIONAL_PROPERTIES_NARROWED" };

pub(super) fn compare_rest(walk: &mut Walk, old: &Rest<'_>, new: &Rest<'_>, rules: &RestRules, path: &str) {
    match (old, new) {
        (Rest::Open | Rest::Schema(_), Rest::Closed) => {
            walk.report(rules.removed, path, || "what is not named was allowed, and is not any more".to_owned());
        }
        (Rest::Open, Rest::Schema(new)) if !matches!(Shape::of(new), Shape::Anything) => {
            walk.report(rules.narrowed, path, || "what is not named was allowed, and must match a schema now".to_owned());
        }
        (Rest::Schema(old), Rest::Schema(new)) => walk.places(old, new, path),
        _ => {}
    }
}

fn rest_of<'a>(place: &Place<'a>) -> Rest<'a> {
    let keyword = if place.keyword("additionalProperties").is_some() { "additionalProperties" } else { "unevaluatedProperties" };
    match place.below(keyword) {
        Some(schema) => match schema.value() {
            Value::Bool(true) => Rest::Open,
            Value::Bool(false) => Rest::Closed,
            _ => Rest::Schema(schema),
        },
        None => Rest::Open,
    }
}

fn compare_properties(walk: &mut Walk, old: &Place<'_>, new: &Place<'_>, path: &str) {
    let (before, now) = (named(old, "properties"), named(new, "properties"));
    let listed = |place: &Place<'_>| place.keyword("required").and_then(Value::as_array).map_or(0, Vec::len);
    if !walk.spend(listed(old).saturating_add(listed(new))) {
        return;
    }
    let (required_before, required_now) = (names(old.keyword("required")), names(new.keyword("required")));
    for (name, schema) in before.into_iter().flatten() {
        let path = &below(&below(path, "properties"), name);
        if !walk.spend(1) {
            return;
        }
        match now.and_then(|now| now.get(name)) {
            Some(changed) => walk.places(&old.at(schema), &new.at(changed), path),
            None => removed(walk, &old.at(schema), new, name, path),
        }
    }
    for (name, schema) in now.into_iter().flatten() {
        if !walk.spend(1) {
            return;
        }
        let is_required = required_now.contains(name.as_str());
        let has_default = schema.get("default").is_some();
        if before.is_none_or(|before| !before.contains_key(name)) {
            let path = &below(&below(path, "properties"), name);
            added(walk, old, &new.at(schema), name, path);
            if is_required && !has_default && !is_open(old) {
                let rule = "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL";
                walk.report(rule, path, || format!("the required property {name:?} without a default was added"));
            }
        } else if is_required && !has_default && !required_before.contains(name.as_str()) {
            let path = &below(&below(path, "required"), name);
            walk.report("REQUIRED_ATTRIBUTE_ADDED", path, || format!("{name:?} became required, and has no default"));
        }
    }
}

/// A property that the new schema does not name: what the old one allowed for it falls under the rest.
fn removed(walk: &mut Walk, schema: &Place<'_>, new: &Place<'_>, name: &str, path: &str) {
    if is_open(new) {
        return;
    }
    match covering(walk, new, name) {
        Some(cover) => {
            if !walk.attempt(|walk| walk.places(schema, &cover, path)) {
                let rule = "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
                walk.report(rule, path, || {
                    format!("{name:?} was removed, and what is not named must match a schema that accepts less")
                });
            }
        }
        None if matches!(Shape::of(schema), Shape::Nothing) => {}
        None => {
            let rule = "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL";
            walk.report(rule, path, || format!("{name:?} was removed, and what is not named is not allowed"));
        }
    }
}

/// A property that the old schema does not name: it may have been there as part of the rest.
fn added(walk: &mut Walk, old: &Place<'_>, schema: &Place<'_>, name: &str, path: &str) {
    if is_open(old) {
        if !matches!(Shape::of(schema), Shape::Anything) {
            let rule = "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL";
            walk.report(rule, path, || {
                format!("{name:?} was added: before, it could have any value; additionalProperties: false excludes that")
            });
        }
        return;
    }
    if let Some(cover) = covering(walk, old, name)
        && !walk.attempt(|walk| walk.places(&cover, schema, path))
    {
        let rule = "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
        walk.report(rule, path, || format!("{name:?} was added, and accepts less than what was not named had to match"));
    }
}

fn is_open(place: &Place<'_>) -> bool {
    named(place, "patternProperties").is_none_or(Map::is_empty) && matches!(rest_of(place), Rest::Open)
}

/// The schema that a property must match which is not named.
fn covering<'a>(walk: &mut Walk, place: &Place<'a>, name: &str) -> Option<Place<'a>> {
    for (pattern, schema) in named(place, "patternProperties").into_iter().flatten() {
        if walk.matches(pattern, name) {
            return Some(place.at(schema));
        }
    }
    match rest_of(place) {
        Rest::Schema(schema) => Some(schema),
        Rest::Open | Rest::Closed => None,
    }
}

fn compare_dependencies(walk: &mut Walk, old: &Place<'_>, new: &Place<'_>, path: &str) {
    let (before, now) = (required_with(old), required_with(new));
    for (name, needed) in &now {
        let path = &below(&below(path, "dependencies"), name);
        match before.get(name) {
            _ if !walk.spend(1) => return,
            None => walk.report("DEPENDENCY_ARRAY_ADDED", path, || format!("with {name:?} other properties are required now")),
            Some(before) if needed.is_subset(before) => {}
            Some(before) => {
                let rule = if before.is_subset(needed) { "DEPENDENCY_ARRAY_EXTENDED" } else { "DEPENDENCY_ARRAY_CHANGED" };
                walk.report(rule, path, || format!("with {name:?} more properties are required than before"));
            }
        }
    }
    let (before, now) = (schemas_with(old), schemas_with(new));
    for (name, schema) in &now {
        let path = &below(&below(path, "dependencies"), name);
        match before.get(name) {
            _ if !walk.spend(1) => return,
            None => walk.report("DEPENDENCY_SCHEMA_ADDED", path, || format!("with {name:?} another schema applies now")),
            Some(before) => walk.places(before, schema, path),
        }
    }
}

/// Properties that are required when another one is there.
fn required_with<'a>(place: &Place<'a>) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for keyword in ["dependencies", "dependentRequired"] {
        for (name, needed) in named(place, keyword).into_iter().flatten() {
            if needed.is_array() {
                all.entry(name).or_default().extend(names(Some(needed)));
            }
        }
    }
    all
}

/// Schemas that apply when a property is there.
fn schemas_with<'a>(place: &Place<'a>) -> BTreeMap<&'a str, Place<'a>> {
    let mut all = BTreeMap::new();
    for keyword in ["dependencies", "dependentSchemas"] {
        for (name, schema) in named(place, keyword).into_iter().flatten() {
            if !schema.is_array() {
                all.insert(name.as_str(), place.at(schema));
            }
        }
    }
    all
}

fn named<'a>(place: &Place<'a>, keyword: &str) -> Option<&'a Map<String, Value>> {
    place.keyword(keyword)?.as_object()
}

fn names(list: Option<&Value>) -> BTreeSet<&str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}
