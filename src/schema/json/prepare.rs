//! Rewrites a document before the library compiles it, so that no evaluation and no compilation goes unseen.
//!
//! * Every subschema gets a `type` that allows everything, if it has none. The library evaluates `type` first, and asks the value for its
//!   type: this is where [`super::meter`] counts. Without it, `anyOf: [{$ref}, {$ref}]` forty levels deep would never touch the value.
//! * Some subschemas get [`STEP`], a keyword of ours that counts while they are compiled (see [`super::checker`]); its value is what
//!   compiling the subschema costs at most.
//!
//! Drafts 4 to 7 ignore what stands beside a `$ref`: there nothing is added, and [`super::graph`] bounds how many of them follow each other.

use super::graph::Marks;
use super::keywords::{IN_PLACE_ARRAYS, subschemas_mut};
use crate::schema::format::InvalidSchema;
use jsonschema::Draft;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Sorts before all keywords of the drafts, so that it counts first in maps of either order.
pub(super) const STEP: &str = "!fbf-step";

const SUBSCHEMAS_MAX: usize = 50_000;
/// Boolean schemas in one `allOf`, `anyOf` or `oneOf`: they are evaluated without a look at the value, so that nothing counts them.
const BOOLEANS_MAX: usize = 64;
/// Every so many levels of subschemas has a look at the stack while it is compiled.
const LEVELS_PER_STEP: usize = 3;

/// What there is in the documents of a schema.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub(super) subschemas: usize,
    pub(super) patterns: BTreeSet<String>,
    /// The most patterns in one `patternProperties`.
    pub(super) pattern_properties: usize,
}

/// Whether a draft ignores the siblings of `$ref`.
pub(super) fn ignores_siblings(draft: Draft) -> bool {
    matches!(draft, Draft::Draft4 | Draft::Draft6 | Draft::Draft7)
}

/// Adds the `type`s, and counts.
pub(super) fn prepare(schema: &mut Value, draft: Draft, census: &mut Census) -> Result<(), InvalidSchema> {
    let Value::Object(map) = schema else { return Ok(()) };
    census.subschemas += 1;
    if census.subschemas > SUBSCHEMAS_MAX {
        return Err(InvalidSchema(format!("the schema and its references have more than {SUBSCHEMAS_MAX} subschemas")));
    }
    check_dialect(map, draft)?;
    count_booleans(map)?;
    gather_patterns(map, census);
    for subschema in subschemas_mut(map) {
        prepare(subschema, draft, census)?;
    }
    let is_only_ref = ignores_siblings(draft) && map.contains_key("$ref");
    if !is_only_ref && !map.contains_key("type") {
        map.insert("type".to_owned(), json!(["array", "boolean", "null", "number", "object", "string"]));
    }
    Ok(())
}

/// Adds the steps, and gives what compiling `schema` and all below it costs. `level` counts subschemas from the root.
pub(super) fn mark(schema: &mut Value, marks: &Marks, level: usize) -> u64 {
    let address = address_of(schema);
    let Value::Object(map) = schema else { return 0 };
    let unevaluated = marks.unfolded.get(&address).copied().unwrap_or(0);
    let below =
        subschemas_mut(map).into_iter().fold(0_u64, |sum, subschema| sum.saturating_add(mark(subschema, marks, level + 1)));
    let weight = below.saturating_add(unevaluated).saturating_add(1);
    let step = if marks.targets.contains(&address) {
        weight
    } else if unevaluated > 0 {
        unevaluated
    } else if level.is_multiple_of(LEVELS_PER_STEP) {
        1
    } else {
        return weight;
    };
    let mut rest = std::mem::take(map);
    rest.remove(STEP);
    map.insert(STEP.to_owned(), json!(step));
    map.extend(rest);
    weight
}

/// What tells one subschema from another. It stays the same while subschemas below it change.
pub(super) fn address_of(schema: &Value) -> usize {
    std::ptr::from_ref(schema) as usize
}

/// A document has one dialect: what is added, and what is ignored, depends on it.
fn check_dialect(map: &Map<String, Value>, draft: Draft) -> Result<(), InvalidSchema> {
    match map.get("$schema").and_then(Value::as_str) {
        Some(uri) if Draft::from_schema_uri(uri) != draft => {
            Err(InvalidSchema(format!("a subschema has the $schema {uri:?}, which is not that of its document")))
        }
        _ => Ok(()),
    }
}

fn count_booleans(map: &Map<String, Value>) -> Result<(), InvalidSchema> {
    for keyword in IN_PLACE_ARRAYS {
        let booleans =
            map.get(keyword).and_then(Value::as_array).map_or(0, |all| all.iter().filter(|one| one.is_boolean()).count());
        if booleans > BOOLEANS_MAX {
            return Err(InvalidSchema(format!("{keyword} has {booleans} boolean schemas; at most {BOOLEANS_MAX} are allowed")));
        }
    }
    Ok(())
}

fn gather_patterns(map: &Map<String, Value>, census: &mut Census) {
    if let Some(Value::String(pattern)) = map.get("pattern") {
        census.patterns.insert(pattern.clone());
    }
    if let Some(Value::Object(members)) = map.get("patternProperties") {
        census.pattern_properties = census.pattern_properties.max(members.len());
        census.patterns.extend(members.keys().cloned());
    }
}
