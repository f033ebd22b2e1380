//! Numbers, strings, and enumerations of values.

use super::place::Place;
use super::{Walk, below};
use jsonschema::Draft;
use serde_json::Value;
use std::collections::BTreeSet;

/// Names of the rules of an upper or a lower bound.
pub(super) struct BoundRules {
    pub(super) added: &'static str,
    /// It went where fewer values are allowed.
    pub(super) tightened: &'static str,
}

const MAXIMUM: BoundRules = BoundRules { added: "MAXIMUM_ADDED", tightened: "MAXIMUM_DECREASED" };
const MINIMUM: BoundRules = BoundRules { added: "MINIMUM_ADDED", tightened: "MINIMUM_INCREASED" };
const EXCLUSIVE_MAXIMUM: BoundRules = BoundRules { added: "EXCLUSIVE_MAXIMUM_ADDED", tightened: "EXCLUSIVE_MAXIMUM_DECREASED" };
const EXCLUSIVE_MINIMUM: BoundRules = BoundRules { added: "EXCLUSIVE_MINIMUM_ADDED", tightened: "EXCLUSIVE_MINIMUM_INCREASED" };
const MAX_LENGTH: BoundRules = BoundRules { added: "MAX_LENGTH_ADDED", tightened: "MAX_LENGTH_DECREASED" };
const MIN_LENGTH: BoundRules = BoundRules { added: "MIN_LENGTH_ADDED", tightened: "MIN_LENGTH_INCREASED" };

/// The bounds of numbers. In draft 4 `exclusiveMaximum` says that `maximum` itself is not allowed.
#[derive(Default)]
struct Bounds {
    maximum: Option<f64>,
    minimum: Option<f64>,
    exclusive_maximum: Option<f64>,
    exclusive_minimum: Option<f64>,
}

impl Bounds {
    fn of(place: &Place<'_>) -> Bounds {
        let (maximum, minimum) = (place.number("maximum"), place.number("minimum"));
        if place.draft() != Draft::Draft4 {
            let (exclusive_maximum, exclusive_minimum) = (place.number("exclusiveMaximum"), place.number("exclusiveMinimum"));
            return Bounds { maximum, minimum, exclusive_maximum, exclusive_minimum };
        }
        let is_set = |keyword: &str| place.keyword(keyword) == Some(&Value::Bool(true));
        let (maximum, exclusive_maximum) = if is_set("exclusiveMaximum") { (None, maximum) } else { (maximum, None) };
        let (minimum, exclusive_minimum) = if is_set("exclusiveMinimum") { (None, minimum) } else { (minimum, None) };
        Bounds { maximum, minimum, exclusive_maximum, exclusive_minimum }
    }
}

pub(super) fn compare_numbers(walk: &mut Walk, old: &Place<'_>, new: &Place<'_>, path: &str) {
    if takes_integers_only(new) && !takes_integers_only(old) {
        walk.report("TYPE_NARROWED", path, || "the type was narrowed from number to integer".to_owned());
    }
    let (before, now) = (Bounds::of(old), Bounds::of(new));
    compare_upper(walk, &MAXIMUM, before.maximum, now.maximum, &below(path, "maximum"));
    compare_lower(walk, &MINIMUM, before.minimum, now.minimum, &below(path, "minimum"));
    compare_upper(walk, &EXCLUSIVE_MAXIMUM, before.exclusive_maximum, now.exclusive_maximum, &below(path, "exclusiveMaximum"));
    compare_lower(walk, &EXCLUSIVE_MINIMUM, before.exclusive_minimum, now.exclusive_minimum, &below(path, "exclusiveMinimum"));
    compare_factors(walk, old.number("multipleOf"), new.number("multipleOf"), &below(path, "multipleOf"));
}

pub(super) fn compare_strings(walk: &mut Walk, old: &Place<'_>, new: &Place<'_>, path: &str) {
    compare_upper(walk, &MAX_LENGTH, old.number("maxLength"), new.number("maxLength"), &below(path, "maxLength"));
    compare_least(walk, &MIN_LENGTH, old, new, "minLength", path);
    let (before, now) = (old.keyword("pattern"), new.keyword("pattern"));
    match (before, now) {
        (None, Some(now)) => walk.report("PATTERN_ADDED", &below(path, "pattern"), || format!("the pattern {now} was added")),
        (Some(before), Some(now)) if before != now => {
            walk.report("PATTERN_CHANGED", &below(path, "pattern"), || format!("the pattern changed from {before} to {now}"));
        }
        _ => {}
    }
}

/// Values that are allowed, in any order.
pub(super) fn compare_values(walk: &mut Walk, old: &[&Value], new: &[&Value], path: &str) {
    let path = &below(path, "enum");
    if !walk.spend(old.len().saturating_add(new.len())) {
        return;
    }
    let (before, now) = (texts(old), texts(new));
    if before.is_subset(&now) {
        return;
    }
    let rule = if now.is_subset(&before) { "ENUM_ARRAY_NARROWED" } else { "ENUM_ARRAY_CHANGED" };
    let gone = before.difference(&now).next().cloned().unwrap_or_default();
    walk.report(rule, path, || format!("the value {gone} is no longer allowed"));
}

/// An upper bound.
pub(super) fn compare_upper(walk: &mut Walk, rules: &BoundRules, old: Option<f64>, new: Option<f64>, path: &str) {
    match (old, new) {
        (None, Some(new)) => walk.report(rules.added, path, || format!("the bound {new} was added")),
        (Some(old), Some(new)) if new < old => {
            walk.report(rules.tightened, path, || format!("the bound went from {old} to {new}"))
        }
        _ => {}
    }
}

/// A lower bound.
pub(super) fn compare_lower(walk: &mut Walk, rules: &BoundRules, old: Option<f64>, new: Option<f64>, path: &str) {
    match (old, new) {
        (None, Some(new)) => walk.report(rules.added, path, || format!("the bound {new} was added")),
        (Some(old), Some(new)) if new > old => {
            walk.report(rules.tightened, path, || format!("the bound went from {old} to {new}"))
        }
        _ => {}
    }
}

/// How many of something there are at least: none at all is no bound.
pub(super) fn compare_least(walk: &mut Walk, rules: &BoundRules, old: &Place<'_>, new: &Place<'_>, keyword: &str, path: &str) {
    let bound = |place: &Place<'_>| place.number(keyword).filter(|bound| *bound > 0.0);
    compare_lower(walk, rules, bound(old), bound(new), &below(path, keyword));
}

fn compare_factors(walk: &mut Walk, old: Option<f64>, new: Option<f64>, path: &str) {
    match (old, new) {
        (None, Some(new)) => walk.report("MULTIPLE_OF_ADDED", path, || format!("multipleOf {new} was added")),
        (Some(old), Some(new)) if !is_multiple(old, new) => {
            let rule = if is_multiple(new, old) { "MULTIPLE_OF_EXPANDED" } else { "MULTIPLE_OF_CHANGED" };
            walk.report(rule, path, || format!("multipleOf went from {old} to {new}"));
        }
        _ => {}
    }
}

fn is_multiple(number: f64, of: f64) -> bool {
    let quotient = number / of;
    (quotient - quotient.round()).abs() <= 1e-9 * quotient.abs().max(1.0)
}

/// Whether `type` allows whole numbers only.
fn takes_integers_only(place: &Place<'_>) -> bool {
    match place.keyword("type") {
        Some(Value::String(name)) => name == "integer",
        Some(Value::Array(names)) => names.iter().any(|name| name == "integer") && !names.iter().any(|name| name == "number"),
        _ => false,
    }
}

/// Values as texts that are the same where the values are. `1.0` is the number 1.
fn texts(values: &[&Value]) -> BTreeSet<String> {
    let text = |value: &&Value| {
        let mut value = (*value).clone();
        value.sort_all_objects();
        match value.as_f64() {
            Some(number) if value.as_i64().is_none() && value.as_u64().is_none() => number.to_string(),
            _ => value.to_string(),
        }
    };
    values.iter().map(text).collect()
}
