//! Goal: schemas of all drafts are read as they should be, messages help, and no schema and no value takes long, overflows the stack or panics.
//! Method: tables of schemas and values. Hostile cases that do not end show as a test that hangs.

use super::JsonSchema;
use crate::schema::format::{InvalidSchema, Referenced, ValueError};
use serde_json::{Value, json};

const DRAFT_4: &str = "http://json-schema.org/draft-04/schema#";
const DRAFT_6: &str = "http://json-schema.org/draft-06/schema#";
const DRAFT_7: &str = "http://json-schema.org/draft-07/schema#";
const DRAFT_2019_09: &str = "https://json-schema.org/draft/2019-09/schema";
const DRAFT_2020_12: &str = "https://json-schema.org/draft/2020-12/schema";

fn parse(schema: &Value) -> Result<JsonSchema, InvalidSchema> {
    JsonSchema::parse(&schema.to_string(), &[])
}

fn schema(schema: &Value) -> JsonSchema {
    parse(schema).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

fn check(schema: &JsonSchema, value: &Value) -> Result<(), ValueError> {
    schema.check_value(value.to_string().as_bytes())
}

fn reference(name: &str, schema: &Value) -> Referenced {
    Referenced { name: name.to_owned(), text: schema.to_string() }
}

/// `make(0)` … `make(count - 1)`, by name.
fn definitions(count: usize, make: impl Fn(usize) -> Value) -> Value {
    Value::Object((0..count).map(|index| (format!("d{index}"), make(index))).collect())
}

#[test]
fn refused_schemas_say_why() {
    let nested = (0..70).fold(json!({}), |inner, _| json!({ "not": inner }));
    let many = json!({ "allOf": vec![json!({}); 50_001] });
    let chain = definitions(100, |index| json!({ "$ref": format!("#/definitions/d{}", index + 1) }));
    let cases = [
        ("array", json!([]), "a JSON Schema is an object or a boolean, not an array"),
        ("unknown $schema", json!({ "$schema": "http://example.com/mine" }), "http://json-schema.org/draft-07/schema#"),
        ("$schema is no text", json!({ "$schema": 7 }), "$schema is a string"),
        ("another $schema inside", json!({ "properties": { "a": { "$schema": DRAFT_4 } } }), "not that of its document"),
        (
            "breaks its draft",
            json!({ "properties": { "a": { "type": "strin" } } }),
            "breaks the rules of Draft 7 at #/properties/a/type",
        ),
        ("minimum is no number", json!({ "minimum": "0" }), "at #/minimum: \"0\" is not of type \"number\""),
        ("$ref leads nowhere", json!({ "$ref": "#/definitions/a" }), "/definitions/a"),
        ("no such anchor", json!({ "$schema": DRAFT_2020_12, "items": { "$ref": "#a" } }), "there is no such anchor"),
        ("http", json!({ "items": { "$ref": "http://example.com/a.json" } }), "http://example.com/a.json"),
        ("file", json!({ "items": { "$ref": "file:///etc/passwd" } }), "file:///etc/passwd"),
        ("relative", json!({ "items": { "$ref": "other.json" } }), "other.json"),
        ("$ref to itself", json!({ "$ref": "#" }), "never ends"),
        ("$ref to itself, below", json!({ "definitions": { "a": { "$ref": "#/definitions/a" } } }), "never ends"),
        (
            "allOf cycle",
            json!({ "definitions": { "a": { "allOf": [{ "$ref": "#/definitions/b" }] }, "b": { "allOf": [{ "$ref": "#/definitions/a" }] } } }),
            "never ends",
        ),
        ("anyOf cycle", json!({ "anyOf": [{ "type": "null" }, { "$ref": "#" }] }), "never ends"),
        ("not cycle", json!({ "not": { "$ref": "#" } }), "never ends"),
        ("if cycle", json!({ "if": { "$ref": "#" } }), "never ends"),
        ("dependencies cycle", json!({ "dependencies": { "a": { "$ref": "#" } } }), "never ends"),
        ("modern cycle", json!({ "$schema": DRAFT_2020_12, "title": "a", "$ref": "#" }), "never ends"),
        ("dynamic cycle", json!({ "$schema": DRAFT_2020_12, "$dynamicAnchor": "a", "$dynamicRef": "#a" }), "never ends"),
        ("recursive cycle", json!({ "$schema": DRAFT_2019_09, "$recursiveAnchor": true, "$recursiveRef": "#" }), "never ends"),
        (
            "$ref into enum",
            json!({ "properties": { "a": { "$ref": "#/enum/0" } }, "enum": [{ "type": "string" }] }),
            "holds no schema",
        ),
        (
            "$ref into const",
            json!({ "properties": { "a": { "$ref": "#/const" } }, "const": { "type": "string" } }),
            "holds no schema",
        ),
        (
            "$ref into default",
            json!({ "properties": { "a": { "$ref": "#/default" } }, "default": { "$ref": "#/default" } }),
            "holds no schema",
        ),
        (
            "long chain of $ref",
            json!({ "definitions": merged(chain, "d100", json!({})), "items": { "$ref": "#/definitions/d0" } }),
            "lead from one to the next",
        ),
        ("deep", nested, "nests deeper than"),
        ("many subschemas", many, "more than 50000 subschemas"),
        ("many booleans", json!({ "anyOf": vec![true; 100] }), "100 boolean schemas"),
        ("look-around", json!({ "properties": { "a": { "pattern": "^(?=a)b" } } }), "look-around"),
        ("back reference", json!({ "patternProperties": { "(a)\\1": {} } }), "is not supported"),
        ("huge pattern", json!({ "pattern": "(a{1000}){1000}" }), "larger than"),
        ("long pattern", json!({ "pattern": "a".repeat(20_000) }), "of more than 16384 bytes"),
        ("poses as a draft", json!({ "$id": "http://json-schema.org/draft-07/schema" }), "belongs to the JSON Schema drafts"),
    ];
    for (name, schema, expected) in cases {
        let error = parse(&schema).expect_err(name);
        assert!(error.0.contains(expected), "{name}: {error}");
    }
    let error = JsonSchema::parse("{\"type\":", &[]).expect_err("no JSON");
    assert!(error.0.starts_with("the schema is not JSON: EOF"), "{error}");
    let error = JsonSchema::parse(&format!("{{}}{}", " ".repeat(2 << 20)), &[]).expect_err("too long");
    assert!(error.0.contains("bytes; at most"), "{error}");
}

fn merged(mut map: Value, name: &str, value: Value) -> Value {
    map[name] = value;
    map
}

#[test]
fn explosions_while_compiling_are_refused() {
    // unevaluatedProperties looks at each branch anew: two to the power of forty.
    let twice = |index: usize| {
        let next = format!("#/$defs/d{}", index + 1);
        json!({ "allOf": [{ "$ref": &next }, { "$ref": &next }] })
    };
    let defs = merged(definitions(40, twice), "d40", json!({ "properties": { "a": true } }));
    let exploding = json!({ "$schema": DRAFT_2020_12, "$defs": defs, "$ref": "#/$defs/d0", "unevaluatedProperties": false });
    let error = parse(&exploding).expect_err("it would not end");
    assert!(error.0.contains("unevaluatedProperties"), "{error}");

    // The library compiles a resource anew for each way by which it is reached.
    let mut defs = serde_json::Map::new();
    for level in 0..25 {
        for side in ["a", "b"] {
            let next = ["a", "b"].map(|side| json!({ "$ref": format!("http://example.com/{side}{}", level + 1) }));
            let subschema = json!({ "$id": format!("http://example.com/{side}{level}"), "anyOf": next });
            defs.insert(format!("{side}{level}"), subschema);
        }
    }
    for side in ["a", "b"] {
        defs.insert(format!("{side}25"), json!({ "$id": format!("http://example.com/{side}25"), "type": "string" }));
    }
    let exploding =
        json!({ "$schema": DRAFT_2020_12, "$id": "http://example.com/", "$defs": defs, "$ref": "http://example.com/a0" });
    // Whether it is refused is the library's affair; it must end.
    if let Err(error) = parse(&exploding) {
        assert!(error.0.contains("too large or too deep"), "{error}");
    }
}

#[test]
fn explosions_on_values_end_with_an_error() {
    let twice = |keyword: &'static str| {
        move |index: usize| {
            let next = format!("#/definitions/d{}", index + 1);
            json!({ keyword: [{ "$ref": &next }, { "$ref": &next }] })
        }
    };
    let cases = [
        ("all pass", "allOf", json!({ "type": "object" })),
        ("none passes", "anyOf", json!({ "type": "string" })),
        ("none passes, without a look at the value", "anyOf", json!(false)),
        ("one too many", "oneOf", json!({ "type": "object" })),
    ];
    for draft in [DRAFT_4, DRAFT_7, DRAFT_2020_12] {
        for (name, keyword, leaf) in &cases {
            if draft == DRAFT_4 && leaf.is_boolean() {
                continue;
            }
            let definitions = merged(definitions(40, twice(keyword)), "d40", leaf.clone());
            let exploding = json!({ "$schema": draft, "definitions": definitions, "allOf": [{ "$ref": "#/definitions/d0" }] });
            // Some of them the library finds a way through, or a first wrong branch.
            if let Err(error) = check(&schema(&exploding), &json!({ "a": 1 })) {
                assert!(!error.message.is_empty(), "{name}, {draft}");
            }
        }
    }
    let none = json!({ "definitions": merged(definitions(40, twice("anyOf")), "d40", json!({ "type": "string" })), "allOf": [{ "$ref": "#/definitions/d0" }] });
    let error = check(&schema(&none), &json!(1)).expect_err("a number is no string");
    assert!(error.message.contains("takes too long"), "{error}");
}

#[test]
fn deep_values_and_long_chains_end() {
    let nested = (0..120).fold(json!(1), |inner, _| json!({ "a": inner }));
    let list = json!({ "properties": { "a": { "$ref": "#" } } });
    assert_eq!(check(&schema(&list), &nested), Ok(()));

    let wide = json!({ "patternProperties": { "^a": { "$ref": "#" }, "a$": { "$ref": "#" }, "a": { "$ref": "#" } }, "additionalProperties": false });
    let _ = check(&schema(&wide), &nested);
    let _ = check(&schema(&json!({ "not": wide })), &nested);

    let chain = definitions(10_000, |index| json!({ "$ref": format!("#/$defs/d{}", index + 1) }));
    let chain =
        json!({ "$schema": DRAFT_2020_12, "$defs": merged(chain, "d10000", json!({ "type": "string" })), "$ref": "#/$defs/d0" });
    if let Ok(schema) = parse(&chain) {
        assert!(check(&schema, &json!(1)).is_err());
    }

    let too_deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let error = schema(&json!({})).check_value(too_deep.as_bytes()).expect_err("deeper than JSON is read");
    assert!(error.message.contains("recursion limit"), "{error}");
}

#[test]
fn large_values_are_checked() {
    let items = json!({ "type": "array", "uniqueItems": true, "items": { "type": "object", "required": ["id"], "properties": { "id": { "type": "integer" } } } });
    let items = schema(&items);
    let value: Vec<Value> = (0..50_000).map(|id| json!({ "id": id })).collect();
    assert_eq!(check(&items, &json!(value)), Ok(()));
    let mut wrong = value;
    wrong.push(json!({ "id": "x" }));
    let error = check(&items, &json!(wrong)).expect_err("the last id is a string");
    assert_eq!(error.path, "/50000/id");
}

#[test]
fn values_that_do_not_match_say_where_and_why() {
    let order = schema(&json!({
        "type": "object",
        "required": ["id"],
        "additionalProperties": false,
        "properties": {
            "id": { "type": "integer", "minimum": 0 },
            "lines": { "type": "array", "items": { "properties": { "a/b": { "maxLength": 3 } } } },
            "paid": { "enum": ["yes", "no"] },
            "by": { "anyOf": [{ "type": "null" }, { "type": "object", "properties": { "card": { "type": "string" } } }] },
            "never": false,
        },
    }));
    let cases = [
        (json!({ "id": -4 }), "/id", "-4 is less than the minimum of 0"),
        (json!({ "id": "x" }), "/id", "\"x\" is not of type \"integer\""),
        (json!({}), "", "\"id\" is a required property"),
        (json!({ "id": 1, "x": 1 }), "", "Additional properties are not allowed ('x' was unexpected)"),
        (json!({ "id": 1, "lines": [{}, { "a/b": "long" }] }), "/lines/1/a~1b", "\"long\" is longer than 3 characters"),
        (json!({ "id": 1, "by": { "card": 5 } }), "/by/card", "5 is not of type \"string\""),
        (json!({ "id": 1, "never": 5 }), "/never", "5 is not allowed here"),
    ];
    for (value, path, message) in cases {
        let error = check(&order, &value).expect_err("it does not match");
        assert_eq!((error.path.as_str(), error.message.as_str()), (path, message), "{value}");
    }
    assert_eq!(check(&order, &json!({ "id": 1, "paid": "yes", "by": null })), Ok(()));
    let error = check(&order, &json!({ "id": "x".repeat(10_000) })).expect_err("no integer");
    assert!(error.message.chars().count() < 300 && error.message.ends_with("… is not of type \"integer\""), "{error}");
}

#[test]
fn what_is_no_json_is_said_so() {
    let anything = schema(&json!(true));
    let cases: [(&[u8], &str); 4] = [
        (b"", "is not JSON: EOF while parsing a value at line 1 column 0"),
        (b"{\"a\":", "is not JSON: EOF while parsing a value at line 1 column 5"),
        (b"1 2", "is not JSON: trailing characters at line 1 column 3"),
        (b"\"\xff\"", "is not JSON: invalid unicode code point at line 1"),
    ];
    for (value, message) in cases {
        let error = anything.check_value(value).expect_err("no JSON");
        assert!(error.path.is_empty() && error.message.starts_with(message), "{error}");
    }
}

#[test]
fn each_draft_has_its_own_rules() {
    let cases = [
        (DRAFT_4, json!({ "maximum": 5, "exclusiveMaximum": true }), json!(4), json!(5)),
        (
            DRAFT_4,
            json!({ "properties": { "a": { "id": "#a", "type": "string" } }, "additionalProperties": { "$ref": "#a" } }),
            json!({ "b": "x" }),
            json!({ "b": 1 }),
        ),
        (DRAFT_6, json!({ "const": 5 }), json!(5), json!(6)),
        (DRAFT_7, json!({ "if": { "type": "string" }, "then": { "minLength": 2 } }), json!("ab"), json!("a")),
        (DRAFT_7, json!({ "items": [{ "type": "string" }], "additionalItems": false }), json!(["a"]), json!(["a", 1])),
        (DRAFT_2019_09, json!({ "dependentRequired": { "a": ["b"] } }), json!({ "b": 1 }), json!({ "a": 1 })),
        (
            DRAFT_2019_09,
            json!({ "$recursiveAnchor": true, "type": "object", "properties": { "a": { "$recursiveRef": "#" } } }),
            json!({ "a": {} }),
            json!({ "a": 1 }),
        ),
        (DRAFT_2020_12, json!({ "prefixItems": [{ "type": "string" }], "items": false }), json!(["a"]), json!(["a", 1])),
        (
            DRAFT_2020_12,
            json!({ "allOf": [{ "properties": { "a": true } }], "unevaluatedProperties": false }),
            json!({ "a": 1 }),
            json!({ "b": 1 }),
        ),
        (
            DRAFT_2020_12,
            json!({ "$dynamicAnchor": "n", "type": "object", "properties": { "a": { "$dynamicRef": "#n" } } }),
            json!({ "a": {} }),
            json!({ "a": 1 }),
        ),
    ];
    for (draft, rules, valid, invalid) in cases {
        let rules = merged(rules, "$schema", json!(draft));
        let schema = schema(&rules);
        assert_eq!(check(&schema, &valid), Ok(()), "{rules}");
        assert!(check(&schema, &invalid).is_err(), "{rules} takes {invalid}");
    }
    // Without $schema it is draft 7: `prefixItems` means nothing there.
    let seven = schema(&json!({ "prefixItems": [{ "type": "string" }], "if": { "type": "string" }, "then": { "minLength": 2 } }));
    assert_eq!(check(&seven, &json!([1])), Ok(()));
    assert!(check(&seven, &json!("a")).is_err());
}

#[test]
fn what_stands_beside_a_ref_is_void_up_to_draft_7() {
    let beside = |draft: &str| {
        schema(
            &json!({ "$schema": draft, "definitions": { "a": { "type": "string" } }, "properties": { "p": { "$ref": "#/definitions/a", "maxLength": 1 } } }),
        )
    };
    assert_eq!(check(&beside(DRAFT_7), &json!({ "p": "long" })), Ok(()));
    assert!(check(&beside(DRAFT_7), &json!({ "p": 1 })).is_err());
    assert!(check(&beside(DRAFT_2019_09), &json!({ "p": "long" })).is_err());
}

#[test]
fn formats_are_checked_up_to_draft_7() {
    for (draft, is_checked) in [(DRAFT_4, true), (DRAFT_6, true), (DRAFT_7, true), (DRAFT_2019_09, false), (DRAFT_2020_12, false)]
    {
        let schema = schema(&json!({ "$schema": draft, "format": "date-time" }));
        assert_eq!(check(&schema, &json!("2026-01-02T03:04:05Z")), Ok(()));
        assert_eq!(check(&schema, &json!("yesterday")).is_err(), is_checked, "{draft}");
    }
}

#[test]
fn references_are_known_by_name_and_by_id() {
    let address = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "definitions": { "zip": { "type": "string" } } });
    let with_id = merged(address.clone(), "$id", json!("http://example.com/schemas/address.json"));
    let by = |reference: &str| json!({ "properties": { "home": { "$ref": reference }, "zip": { "$ref": format!("{reference}#/definitions/zip") } } });
    let cases = [
        ("by name", by("address.json"), reference("address.json", &address)),
        ("by a name without a suffix", by("com.example.Address"), reference("com.example.Address", &address)),
        ("by a URI", by("http://example.com/a.json"), reference("http://example.com/a.json", &address)),
        ("by its id", by("http://example.com/schemas/address.json"), reference("some name", &with_id)),
        (
            "relative to the id",
            merged(by("a.json"), "$id", json!("http://example.com/x/order.json")),
            reference("a.json", &address),
        ),
        (
            "relative to the id, by URI",
            merged(by("a.json"), "$id", json!("http://example.com/x/order.json")),
            reference("http://example.com/x/a.json", &address),
        ),
    ];
    for (name, schema, reference) in cases {
        let schema = JsonSchema::parse(&schema.to_string(), &[reference]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(check(&schema, &json!({ "home": { "city": "x" }, "zip": "1" })), Ok(()), "{name}");
        let error = check(&schema, &json!({ "home": { "city": 1 } })).expect_err(name);
        assert_eq!(error.path, "/home/city", "{name}");
        assert!(check(&schema, &json!({ "zip": 1 })).is_err(), "{name}");
    }
    // A reference may need another one.
    let country = reference("country.json", &json!({ "enum": ["NL"] }));
    let address = reference("address.json", &json!({ "properties": { "country": { "$ref": "country.json" } } }));
    let order = json!({ "properties": { "home": { "$ref": "address.json" } } }).to_string();
    let schema = JsonSchema::parse(&order, &[country, address.clone()]).expect("both are there");
    assert!(check(&schema, &json!({ "home": { "country": "XX" } })).is_err());
    let error = JsonSchema::parse(&order, &[address]).expect_err("one is missing");
    assert!(error.0.contains("country.json"), "{error}");
    // A reference is held against the same bounds.
    let broken = reference("broken.json", &json!({ "type": 5 }));
    assert!(JsonSchema::parse("{}", &[broken]).is_err());
    let endless = reference("endless.json", &json!({ "allOf": [{ "$ref": "#" }] }));
    assert!(JsonSchema::parse("{}", &[endless]).is_err());
}

#[test]
fn texts_are_the_same_without_layout() {
    let schema = JsonSchema::parse("{ \"type\": \"object\",\n \"title\": \"Order\", \"required\": [\"b\", \"a\"] }", &[])
        .expect("a schema");
    assert_eq!(schema.canonical(), "{\"type\":\"object\",\"title\":\"Order\",\"required\":[\"b\",\"a\"]}");
    assert_eq!(schema.normalized(), "{\"required\":[\"b\",\"a\"],\"title\":\"Order\",\"type\":\"object\"}");
    assert_eq!(schema.record_name(), Some("Order"));
    assert!(schema.memory_bytes() > schema.canonical().len());
    assert!(format!("{schema:?}").contains("Order"));
    let nothing = JsonSchema::parse("false", &[]).expect("a schema");
    assert_eq!((nothing.canonical(), nothing.record_name()), ("false", None));
    assert!(check(&nothing, &json!(1)).is_err());
}

#[test]
fn large_values_in_enums_are_charged_for_each_comparison() {
    let wide = |last: i32| {
        let mut numbers = vec![1; 5000];
        numbers.push(last);
        json!([numbers])
    };
    let values: Vec<Value> = (2..102).map(wide).collect();
    let many: Vec<Value> = (0..1500).map(|_| json!({ "$ref": "#/definitions/e" })).collect();
    let schema = schema(&json!({ "items": { "anyOf": many }, "definitions": { "e": { "enum": values } } }));
    let value = json!((0..100).map(|_| wide(0)).collect::<Vec<_>>());
    let error = check(&schema, &value).expect_err("none of them");
    assert!(error.message.contains("takes too long"), "{error}");
}

#[test]
fn large_constants_count_as_memory() {
    let small = schema(&json!({ "enum": [1] })).memory_bytes();
    let numbers: Vec<i32> = (0..10_000).collect();
    assert!(schema(&json!({ "enum": numbers })).memory_bytes() > small + 10_000 * size_of::<Value>());
}
