//! Goal: the rules of Confluent's registry, each in both directions. Method: tables of an old and a new schema.

use crate::schema::format::Referenced;
use crate::schema::json::JsonSchema;
use serde_json::{Value, json};

/// A name, the old schema, the new one, what breaks from old to new, and from new to old.
type Case = (&'static str, Value, Value, &'static [&'static str], &'static [&'static str]);

fn schema(schema: &Value) -> JsonSchema {
    JsonSchema::parse(&schema.to_string(), &[]).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

fn rules(old: &Value, new: &Value) -> Vec<&'static str> {
    schema(new).incompatibilities(&schema(old)).iter().map(|found| found.rule).collect()
}

fn verify(cases: &[Case]) {
    for (name, old, new, forth, back) in cases {
        assert_eq!(rules(old, new), *forth, "{name}: {old} to {new}");
        assert_eq!(rules(new, old), *back, "{name}, back: {new} to {old}");
        assert!(rules(old, old).is_empty(), "{name}: {old} with itself");
        assert!(rules(new, new).is_empty(), "{name}: {new} with itself");
    }
}

/// An object with these properties, where others are allowed or not.
fn open(properties: Value) -> Value {
    json!({ "type": "object", "properties": properties })
}

fn closed(properties: Value) -> Value {
    with(open(properties), "additionalProperties", json!(false))
}

fn with(mut schema: Value, keyword: &str, value: Value) -> Value {
    schema[keyword] = value;
    schema
}

#[test]
fn types() {
    verify(&[
        ("wider number", json!({ "type": "integer" }), json!({ "type": "number" }), &[], &["TYPE_NARROWED"]),
        ("other type", json!({ "type": "integer" }), json!({ "type": "string" }), &["TYPE_CHANGED"], &["TYPE_CHANGED"]),
        ("nullable", json!({ "type": "string" }), json!({ "type": ["string", "null"] }), &[], &["TYPE_CHANGED"]),
        (
            "more types",
            json!({ "type": ["string", "null"] }),
            json!({ "type": ["null", "string", "boolean"] }),
            &[],
            &["SUM_TYPE_NARROWED"],
        ),
        (
            "wider number in an array",
            json!({ "type": ["integer", "null"] }),
            json!({ "type": ["number", "null"] }),
            &[],
            &["COMBINED_TYPE_SUBSCHEMAS_CHANGED"],
        ),
        ("anything", json!({ "type": "string" }), json!({}), &[], &["TYPE_CHANGED"]),
        ("true", json!({ "type": "string" }), json!(true), &[], &["TYPE_CHANGED"]),
        ("nothing", json!(false), json!({ "type": "string" }), &[], &["TYPE_CHANGED"]),
        (
            "remarks",
            json!({ "type": "string", "title": "a", "default": "x" }),
            json!({ "type": "string", "description": "b" }),
            &[],
            &[],
        ),
    ]);
}

#[test]
fn numbers() {
    let number = |keyword: &str, value: Value| json!({ "type": "number", keyword: value });
    let any = || json!({ "type": "number" });
    verify(&[
        ("maximum", number("maximum", json!(5)), number("maximum", json!(6)), &[], &["MAXIMUM_DECREASED"]),
        ("maximum removed", number("maximum", json!(5)), any(), &[], &["MAXIMUM_ADDED"]),
        ("minimum", number("minimum", json!(5)), number("minimum", json!(4.5)), &[], &["MINIMUM_INCREASED"]),
        ("minimum removed", number("minimum", json!(5)), any(), &[], &["MINIMUM_ADDED"]),
        (
            "exclusiveMaximum",
            number("exclusiveMaximum", json!(5)),
            number("exclusiveMaximum", json!(6)),
            &[],
            &["EXCLUSIVE_MAXIMUM_DECREASED"],
        ),
        ("exclusiveMaximum removed", number("exclusiveMaximum", json!(5)), any(), &[], &["EXCLUSIVE_MAXIMUM_ADDED"]),
        (
            "exclusiveMinimum",
            number("exclusiveMinimum", json!(5)),
            number("exclusiveMinimum", json!(4)),
            &[],
            &["EXCLUSIVE_MINIMUM_INCREASED"],
        ),
        ("exclusiveMinimum removed", number("exclusiveMinimum", json!(5)), any(), &[], &["EXCLUSIVE_MINIMUM_ADDED"]),
        ("multipleOf", number("multipleOf", json!(4)), number("multipleOf", json!(2)), &[], &["MULTIPLE_OF_EXPANDED"]),
        (
            "multipleOf, fractions",
            number("multipleOf", json!(0.1)),
            number("multipleOf", json!(0.01)),
            &[],
            &["MULTIPLE_OF_EXPANDED"],
        ),
        (
            "multipleOf changed",
            number("multipleOf", json!(4)),
            number("multipleOf", json!(6)),
            &["MULTIPLE_OF_CHANGED"],
            &["MULTIPLE_OF_CHANGED"],
        ),
        ("multipleOf removed", number("multipleOf", json!(4)), any(), &[], &["MULTIPLE_OF_ADDED"]),
        ("without type", json!({ "maximum": 5 }), json!({ "maximum": 6 }), &[], &["MAXIMUM_DECREASED"]),
    ]);
    let four = |schema: Value| with(schema, "$schema", json!("http://json-schema.org/draft-04/schema#"));
    let exclusive = four(json!({ "type": "number", "maximum": 5, "exclusiveMaximum": true }));
    assert_eq!(rules(&exclusive, &number("exclusiveMaximum", json!(4))), ["EXCLUSIVE_MAXIMUM_DECREASED"]);
    assert_eq!(rules(&exclusive, &number("exclusiveMaximum", json!(5))), Vec::<&str>::new());
}

#[test]
fn strings_and_values() {
    let string = |keyword: &str, value: Value| json!({ "type": "string", keyword: value });
    let any = || json!({ "type": "string" });
    verify(&[
        ("maxLength", string("maxLength", json!(5)), string("maxLength", json!(6)), &[], &["MAX_LENGTH_DECREASED"]),
        ("maxLength removed", string("maxLength", json!(5)), any(), &[], &["MAX_LENGTH_ADDED"]),
        ("minLength", string("minLength", json!(5)), string("minLength", json!(4)), &[], &["MIN_LENGTH_INCREASED"]),
        ("minLength removed", string("minLength", json!(5)), any(), &[], &["MIN_LENGTH_ADDED"]),
        ("pattern", string("pattern", json!("a")), string("pattern", json!("b")), &["PATTERN_CHANGED"], &["PATTERN_CHANGED"]),
        ("pattern removed", string("pattern", json!("a")), any(), &[], &["PATTERN_ADDED"]),
        ("enum", json!({ "enum": ["a"] }), json!({ "enum": ["b", "a"] }), &[], &["ENUM_ARRAY_NARROWED"]),
        (
            "enum changed",
            json!({ "enum": ["a", "b"] }),
            json!({ "enum": ["b", "c"] }),
            &["ENUM_ARRAY_CHANGED"],
            &["ENUM_ARRAY_CHANGED"],
        ),
        ("enum of objects", json!({ "enum": [{ "a": 1, "b": 2 }, 1] }), json!({ "enum": [1.0, { "b": 2, "a": 1 }] }), &[], &[]),
        ("const", json!({ "const": 1 }), json!({ "enum": [1, 2] }), &[], &["ENUM_ARRAY_NARROWED"]),
        ("string of an enum", json!({ "type": "string", "enum": ["a"] }), any(), &[], &["TYPE_CHANGED"]),
        (
            "enum of strings",
            json!({ "type": "string", "enum": ["a"] }),
            json!({ "type": "string", "enum": ["a", "b"] }),
            &[],
            &["COMBINED_TYPE_SUBSCHEMAS_CHANGED"],
        ),
    ]);
}

#[test]
fn properties() {
    let text = || json!({ "type": "string" });
    let a = || json!({ "a": text() });
    let ab = || json!({ "a": text(), "b": { "type": "integer" } });
    let b_default = json!({ "a": text(), "b": { "type": "integer", "default": 0 } });
    let partially = |properties: Value, rest: Value| with(open(properties), "additionalProperties", rest);
    let by_pattern = |properties: Value| with(closed(properties), "patternProperties", json!({ "^b": { "type": "number" } }));
    verify(&[
        ("open", open(a()), open(ab()), &["PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL"], &[]),
        ("open, anything", open(a()), open(json!({ "a": text(), "b": {} })), &[], &[]),
        ("closed", closed(a()), closed(ab()), &[], &["PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"]),
        ("closed, never", closed(a()), closed(json!({ "a": text(), "b": false })), &[], &[]),
        (
            "closed, required",
            closed(a()),
            with(closed(ab()), "required", json!(["b"])),
            &["REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL"],
            &["PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"],
        ),
        (
            "closed, required with a default",
            closed(a()),
            with(closed(b_default.clone()), "required", json!(["b"])),
            &[],
            &["PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"],
        ),
        ("covered", partially(a(), json!({ "type": "integer" })), partially(ab(), json!({ "type": "integer" })), &[], &[]),
        (
            "not covered",
            partially(a(), text()),
            partially(ab(), text()),
            &["PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"],
            &["PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"],
        ),
        (
            "covered by a pattern, one way",
            by_pattern(a()),
            by_pattern(ab()),
            &["PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"],
            &[],
        ),
        ("became required", open(a()), with(open(a()), "required", json!(["a"])), &["REQUIRED_ATTRIBUTE_ADDED"], &[]),
        ("became required with a default", open(b_default.clone()), with(open(b_default), "required", json!(["b"])), &[], &[]),
        (
            "below",
            open(json!({ "a": open(ab()) })),
            open(json!({ "a": open(json!({ "a": text(), "b": { "type": "number" } })) })),
            &[],
            &["TYPE_NARROWED"],
        ),
    ]);
}

#[test]
fn objects() {
    let object = |keyword: &str, value: Value| json!({ "type": "object", keyword: value });
    let any = || json!({ "type": "object" });
    verify(&[
        ("additionalProperties", object("additionalProperties", json!(false)), any(), &[], &["ADDITIONAL_PROPERTIES_REMOVED"]),
        (
            "additionalProperties, partially",
            object("additionalProperties", json!({ "type": "string" })),
            any(),
            &[],
            &["ADDITIONAL_PROPERTIES_NARROWED"],
        ),
        (
            "additionalProperties, wider",
            object("additionalProperties", json!({ "type": "integer" })),
            object("additionalProperties", json!({ "type": "number" })),
            &[],
            &["TYPE_NARROWED"],
        ),
        (
            "maxProperties",
            object("maxProperties", json!(5)),
            object("maxProperties", json!(6)),
            &[],
            &["MAX_PROPERTIES_DECREASED"],
        ),
        ("maxProperties removed", object("maxProperties", json!(5)), any(), &[], &["MAX_PROPERTIES_ADDED"]),
        (
            "minProperties",
            object("minProperties", json!(5)),
            object("minProperties", json!(4)),
            &[],
            &["MIN_PROPERTIES_INCREASED"],
        ),
        ("minProperties removed", object("minProperties", json!(5)), any(), &[], &["MIN_PROPERTIES_ADDED"]),
        ("dependencies", object("dependencies", json!({ "a": ["b"] })), any(), &[], &["DEPENDENCY_ARRAY_ADDED"]),
        (
            "dependencies, fewer",
            object("dependencies", json!({ "a": ["b", "c"] })),
            object("dependencies", json!({ "a": ["b"] })),
            &[],
            &["DEPENDENCY_ARRAY_EXTENDED"],
        ),
        (
            "dependencies, others",
            object("dependencies", json!({ "a": ["b"] })),
            object("dependencies", json!({ "a": ["c"] })),
            &["DEPENDENCY_ARRAY_CHANGED"],
            &["DEPENDENCY_ARRAY_CHANGED"],
        ),
        (
            "dependent schema",
            object("dependencies", json!({ "a": { "required": ["b"] } })),
            any(),
            &[],
            &["DEPENDENCY_SCHEMA_ADDED"],
        ),
        (
            "dependent schema, wider",
            object("dependencies", json!({ "a": { "minProperties": 3 } })),
            object("dependencies", json!({ "a": { "minProperties": 2 } })),
            &[],
            &["MIN_PROPERTIES_INCREASED"],
        ),
    ]);
}

#[test]
fn arrays() {
    let array = |keyword: &str, value: Value| json!({ "type": "array", keyword: value });
    let any = || json!({ "type": "array" });
    let first = |items: Value, rest: Value| json!({ "type": "array", "items": items, "additionalItems": rest });
    let one = || json!([{ "type": "integer" }]);
    let two = || json!([{ "type": "integer" }, { "type": "string" }]);
    verify(&[
        (
            "items",
            array("items", json!({ "type": "integer" })),
            array("items", json!({ "type": "number" })),
            &[],
            &["TYPE_NARROWED"],
        ),
        ("items removed", array("items", json!({ "type": "integer" })), any(), &[], &["SCHEMA_ADDED"]),
        ("maxItems", array("maxItems", json!(5)), array("maxItems", json!(6)), &[], &["MAX_ITEMS_DECREASED"]),
        ("maxItems removed", array("maxItems", json!(5)), any(), &[], &["MAX_ITEMS_ADDED"]),
        ("minItems", array("minItems", json!(5)), array("minItems", json!(4)), &[], &["MIN_ITEMS_INCREASED"]),
        ("minItems removed", array("minItems", json!(5)), any(), &[], &["MIN_ITEMS_ADDED"]),
        ("uniqueItems", array("uniqueItems", json!(true)), any(), &[], &["UNIQUE_ITEMS_ADDED"]),
        ("additionalItems", first(one(), json!(false)), first(one(), json!(true)), &[], &["ADDITIONAL_ITEMS_REMOVED"]),
        (
            "additionalItems, partially",
            first(one(), json!({ "type": "string" })),
            first(one(), json!(true)),
            &[],
            &["ADDITIONAL_ITEMS_NARROWED"],
        ),
        ("one more, open", first(one(), json!(true)), first(two(), json!(true)), &["ITEM_ADDED_TO_OPEN_CONTENT_MODEL"], &[]),
        (
            "one more, closed",
            first(one(), json!(false)),
            first(two(), json!(false)),
            &[],
            &["ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL"],
        ),
        ("one more, covered", first(one(), json!({ "type": "string" })), first(two(), json!({ "type": "string" })), &[], &[]),
        (
            "one more, not covered",
            first(one(), json!({ "type": "null" })),
            first(two(), json!({ "type": "null" })),
            &["ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"],
            &["ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"],
        ),
    ]);
    let modern = |items: Value| json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "array", "prefixItems": items, "items": false });
    verify(&[("prefixItems", modern(one()), modern(two()), &[], &["ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL"])]);
}

#[test]
fn combinations() {
    let (text, whole, truth) = (json!({ "type": "string" }), json!({ "type": "integer" }), json!({ "type": "boolean" }));
    let demands = [json!({ "type": "integer" }), json!({ "maximum": 5 }), json!({ "minimum": 0 })];
    verify(&[
        (
            "oneOf, more",
            json!({ "oneOf": [&text, &whole] }),
            json!({ "oneOf": [&whole, &truth, &text] }),
            &[],
            &["SUM_TYPE_NARROWED"],
        ),
        (
            "oneOf, others",
            json!({ "oneOf": [&text, &whole] }),
            json!({ "oneOf": [&text, &truth] }),
            &["COMBINED_TYPE_SUBSCHEMAS_CHANGED"],
            &["COMBINED_TYPE_SUBSCHEMAS_CHANGED"],
        ),
        (
            "oneOf to anyOf",
            json!({ "oneOf": [&text, &whole] }),
            json!({ "anyOf": [&text, &whole] }),
            &[],
            &["COMBINED_TYPE_CHANGED"],
        ),
        ("allOf, fewer", json!({ "allOf": &demands }), json!({ "allOf": &demands[..2] }), &[], &["PRODUCT_TYPE_EXTENDED"]),
        ("allOf, one", json!({ "allOf": &demands }), json!({ "allOf": &demands[..1] }), &[], &["TYPE_CHANGED"]),
        ("one of a union", text.clone(), json!({ "oneOf": [&text, &whole] }), &[], &["TYPE_CHANGED"]),
        ("union of one", text.clone(), json!({ "anyOf": [&text] }), &[], &[]),
        (
            "whole in a union",
            json!({ "type": "string", "enum": ["a"] }),
            json!({ "anyOf": [{ "type": "null" }, { "type": "string", "enum": ["a"] }] }),
            &[],
            &["COMBINED_TYPE_CHANGED"],
        ),
        ("not", json!({ "not": { "type": "number" } }), json!({ "not": { "type": "integer" } }), &[], &["NOT_TYPE_EXTENDED"]),
        (
            "each needs a counterpart of its own",
            json!({ "oneOf": [{ "type": "integer" }, { "type": "integer", "maximum": 5 }] }),
            json!({ "oneOf": [{ "type": "number" }, { "type": "integer", "maximum": 5 }] }),
            &[],
            &["COMBINED_TYPE_SUBSCHEMAS_CHANGED"],
        ),
    ]);
}

#[test]
fn references_are_followed() {
    let list = |kind: &str| {
        json!({
            "definitions": { "node": closed(json!({ "value": { "type": kind }, "next": { "$ref": "#/definitions/node" } })) },
            "$ref": "#/definitions/node",
        })
    };
    let dynamic = json!({ "properties": { "c": { "$dynamicRef": "#nowhere" } } });
    verify(&[("a keyword of a later draft", dynamic.clone(), dynamic, &[], &[])]);
    verify(&[("recursive", list("integer"), list("number"), &[], &["TYPE_NARROWED"])]);
    let old = schema(&list("number"));
    let found = schema(&list("integer")).incompatibilities(&old);
    assert_eq!(found.iter().map(|found| found.path.as_str()).collect::<Vec<_>>(), ["#/properties/value"]);

    let order = json!({ "properties": { "to": { "$ref": "address.json" } } }).to_string();
    let address = |kind: &str| Referenced { name: "address.json".to_owned(), text: json!({ "type": kind }).to_string() };
    let old = JsonSchema::parse(&order, &[address("number")]).expect("a schema");
    let new = JsonSchema::parse(&order, &[address("integer")]).expect("a schema");
    assert!(old.incompatibilities(&new).is_empty());
    let found = new.incompatibilities(&old);
    assert_eq!((found.len(), found[0].rule, found[0].path.as_str()), (1, "TYPE_NARROWED", "#/properties/to"));
    assert_eq!(found[0].message, "the type was narrowed from number to integer");
}

#[test]
fn work_and_answers_are_bounded() {
    let many = |kind: &str| {
        let properties = (0..300).map(|index| (format!("p{index}"), json!({ "type": kind }))).collect();
        closed(Value::Object(properties))
    };
    assert_eq!(rules(&many("string"), &many("integer")).len(), 100);
    let union = |shift: usize| json!({ "oneOf": (0..600).map(|index| json!({ "enum": [index + shift] })).collect::<Vec<_>>() });
    assert_eq!(rules(&union(0), &union(1000)), ["TOO_COMPLEX"]);
    // Two to the power of thirty paths, which are two schemas in thirty places.
    let definitions = |kind: &str| {
        let mut all = serde_json::Map::new();
        for index in 0..30 {
            let next = json!({ "$ref": format!("#/definitions/d{}", index + 1) });
            all.insert(format!("d{index}"), closed(json!({ "a": &next, "b": &next })));
        }
        all.insert("d30".to_owned(), json!({ "type": kind }));
        json!({ "definitions": all, "$ref": "#/definitions/d0" })
    };
    assert!(rules(&definitions("integer"), &definitions("number")).is_empty());
    assert!(!rules(&definitions("number"), &definitions("integer")).is_empty());
}

#[test]
fn parts_that_are_gathered_again_and_again_are_counted() {
    let numbers: Vec<u32> = (0..100_000).collect();
    let many: Vec<Value> = (0..250).map(|_| json!({ "$ref": "#/definitions/e" })).collect();
    let old = schema(&json!({ "anyOf": many, "definitions": { "e": { "enum": numbers } } }));
    let texts: Vec<Value> = (0..250).map(|_| json!({ "type": "string" })).collect();
    let found = schema(&json!({ "anyOf": texts })).incompatibilities(&old);
    assert_eq!(found.first().map(|found| found.rule), Some("TOO_COMPLEX"));
}
