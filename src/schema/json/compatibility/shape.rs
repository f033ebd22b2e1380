//! What a schema says, as Confluent's registry takes it apart: one type with its keywords, values, a negation, or a combination of those.
//!
//! A schema with several of them is the combination of all: `{"type": "string", "enum": […]}` is a string and one of these values. Without
//! `type`, keywords that only make sense for one type stand for it.

use super::place::Place;
use jsonschema::Draft;
use serde_json::Value;

/// `$ref`s and single combinations that lead from one to the next.
const HOPS_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    /// `number` and `integer`.
    Number,
    String,
    Object,
    Array,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Criterion {
    All,
    Any,
    One,
}

#[derive(Clone)]
pub(super) enum Shape<'a> {
    Anything,
    Nothing,
    Typed(Kind, Place<'a>),
    Enumeration(Vec<&'a Value>),
    Not(Place<'a>),
    Combined(Criterion, Vec<Part<'a>>),
    /// Something that is not understood.
    Unknown,
}

/// One of a combination.
#[derive(Clone)]
pub(super) enum Part<'a> {
    Place(Place<'a>),
    Shape(Shape<'a>),
}

/// Keywords that stand for a type where there is none.
const NUMBER_KEYWORDS: &[&str] = &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
const STRING_KEYWORDS: &[&str] = &["minLength", "maxLength", "pattern"];
const OBJECT_KEYWORDS: &[&str] = &[
    "properties",
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "required",
    "minProperties",
    "maxProperties",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "propertyNames",
];
const ARRAY_KEYWORDS: &[&str] = &["items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems", "contains"];
const KINDS: [(Kind, &[&str]); 4] = [
    (Kind::Number, NUMBER_KEYWORDS),
    (Kind::String, STRING_KEYWORDS),
    (Kind::Object, OBJECT_KEYWORDS),
    (Kind::Array, ARRAY_KEYWORDS),
];

impl<'a> Shape<'a> {
    pub(super) fn of(place: &Place<'a>) -> Shape<'a> {
        let mut place = place.clone();
        for _ in 0..HOPS_MAX {
            match place.value() {
                Value::Bool(true) => return Shape::Anything,
                Value::Bool(false) => return Shape::Nothing,
                _ => {}
            }
            let mut parts = parts_of(&place);
            match (parts.pop(), parts.is_empty()) {
                (None, _) => return Shape::Anything,
                (Some(Part::Shape(only)), true) => return only,
                (Some(Part::Place(next)), true) => place = next,
                (Some(last), false) => {
                    parts.push(last);
                    return Shape::Combined(Criterion::All, parts);
                }
            }
        }
        Shape::Unknown
    }

    /// How many values and parts were gathered for it: what it cost to make.
    pub(super) fn size(&self) -> usize {
        match self {
            Shape::Enumeration(values) => values.len(),
            Shape::Combined(_, parts) => parts.iter().fold(parts.len(), |size, part| {
                size.saturating_add(match part {
                    Part::Place(_) => 0,
                    Part::Shape(shape) => shape.size(),
                })
            }),
            _ => 0,
        }
    }

    pub(super) fn describe(&self) -> &'static str {
        match self {
            Shape::Anything => "anything",
            Shape::Nothing => "nothing",
            Shape::Typed(kind, _) => kind.name(),
            Shape::Enumeration(_) => "an enum",
            Shape::Not(_) => "not",
            Shape::Combined(criterion, _) => criterion.name(),
            Shape::Unknown => "something that is not understood",
        }
    }
}

impl<'a> Part<'a> {
    pub(super) fn shape(&self) -> Shape<'a> {
        match self {
            Part::Place(place) => Shape::of(place),
            Part::Shape(shape) => shape.clone(),
        }
    }
}

impl Kind {
    fn named(name: &str) -> Option<Kind> {
        Some(match name {
            "null" => Kind::Null,
            "boolean" => Kind::Boolean,
            "number" | "integer" => Kind::Number,
            "string" => Kind::String,
            "object" => Kind::Object,
            "array" => Kind::Array,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Object => "object",
            Kind::Array => "array",
        }
    }
}

impl Criterion {
    pub(super) fn name(self) -> &'static str {
        match self {
            Criterion::All => "allOf",
            Criterion::Any => "anyOf",
            Criterion::One => "oneOf",
        }
    }
}

/// The keywords that lead elsewhere; in other drafts they are nothing.
fn references_of(draft: Draft) -> &'static [&'static str] {
    match draft {
        Draft::Draft4 | Draft::Draft6 | Draft::Draft7 => &["$ref"],
        Draft::Draft201909 => &["$ref", "$recursiveRef"],
        _ => &["$ref", "$dynamicRef"],
    }
}

/// All that a schema demands at once.
fn parts_of<'a>(place: &Place<'a>) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    for keyword in references_of(place.draft()) {
        if let Some(reference) = place.keyword(keyword).and_then(Value::as_str) {
            parts.push(place.follow(reference).map_or(Part::Shape(Shape::Unknown), Part::Place));
            if place.ignores_siblings() && *keyword == "$ref" {
                return parts;
            }
        }
    }
    parts.extend(types_of(place).map(Part::Shape));
    if let Some(Value::Array(values)) = place.keyword("enum") {
        parts.push(Part::Shape(Shape::Enumeration(values.iter().collect())));
    }
    if let Some(value) = place.keyword("const") {
        parts.push(Part::Shape(Shape::Enumeration(vec![value])));
    }
    for (keyword, criterion) in [("allOf", Criterion::All), ("anyOf", Criterion::Any), ("oneOf", Criterion::One)] {
        if let Some(Value::Array(schemas)) = place.keyword(keyword) {
            let mut places: Vec<Part<'a>> = schemas.iter().map(|schema| Part::Place(place.at(schema))).collect();
            match (places.len(), places.pop()) {
                (1, Some(only)) => parts.push(only),
                (_, Some(last)) => {
                    places.push(last);
                    parts.push(Part::Shape(Shape::Combined(criterion, places)));
                }
                (_, None) => {}
            }
        }
    }
    if let Some(not) = place.below("not") {
        parts.push(Part::Shape(Shape::Not(not)));
    }
    parts
}

/// What `type` says, or the keywords that stand for one.
fn types_of<'a>(place: &Place<'a>) -> Option<Shape<'a>> {
    let (criterion, kinds): (Criterion, Vec<Kind>) = match place.keyword("type") {
        Some(Value::String(name)) => (Criterion::Any, Kind::named(name).into_iter().collect()),
        Some(Value::Array(names)) => {
            let mut kinds: Vec<Kind> = Vec::new();
            for kind in names.iter().filter_map(Value::as_str).filter_map(Kind::named) {
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
            (Criterion::Any, kinds)
        }
        _ => {
            let is_used = |keywords: &[&str]| keywords.iter().any(|keyword| place.keyword(keyword).is_some());
            (Criterion::All, KINDS.iter().filter(|kind| is_used(kind.1)).map(|kind| kind.0).collect())
        }
    };
    match kinds.as_slice() {
        [] => None,
        [only] => Some(Shape::Typed(*only, place.clone())),
        kinds => {
            let parts = kinds.iter().map(|kind| Part::Shape(Shape::Typed(*kind, place.clone()))).collect();
            Some(Shape::Combined(criterion, parts))
        }
    }
}
