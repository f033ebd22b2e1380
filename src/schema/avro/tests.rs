//! Goal: the texts that Java's parser takes are taken, in Java's canonical form, and no others; and what a change of a schema means for its
//! readers. Method: tables. How types are compared and values are walked is tested beside that code.

use super::AvroSchema;
use crate::schema::format::Referenced;

pub(super) fn schema(text: &str) -> AvroSchema {
    AvroSchema::parse(text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

fn refused(text: &str) -> String {
    match AvroSchema::parse(text, &[]) {
        Ok(schema) => panic!("{text} is taken, as {}", schema.canonical()),
        Err(error) => error.to_string(),
    }
}

fn referenced(name: &str, text: &str) -> Referenced {
    Referenced { name: name.to_owned(), text: text.to_owned() }
}

#[test]
fn what_is_no_schema_is_refused_with_the_reason() {
    let field = |json: &str| record(&format!(r#"{{"name":"a",{json}}}"#));
    let with_default = |kind: &str, default: &str| field(&format!(r#""type":{kind},"default":{default}"#));
    let table = [
        ("".to_owned(), "no JSON"),
        ("string".to_owned(), "no JSON"),
        (r#""string" "int""#.to_owned(), "no JSON"),
        ("12".to_owned(), "12 is no schema"),
        ("null".to_owned(), "null is no schema"),
        (r#""strin""#.to_owned(), r#""strin" is not a defined name"#),
        (r#""record""#.to_owned(), "is not a defined name"),
        ("{}".to_owned(), "a schema has no type"),
        (r#"{"type":{"type":"string"}}"#.to_owned(), "the type of a schema is a name"),
        (r#"{"type":["string"]}"#.to_owned(), "the type of a schema is a name"),
        (r#"{"type":"array"}"#.to_owned(), "the array has no items"),
        (r#"{"type":"map"}"#.to_owned(), "the map has no values"),
        (r#"{"type":"record","fields":[]}"#.to_owned(), "has no name"),
        (r#"{"type":"record","name":"R"}"#.to_owned(), "the record R has no fields"),
        (r#"{"type":"record","name":"1R","fields":[]}"#.to_owned(), "is no name"),
        (r#"{"type":"record","name":"a-b","fields":[]}"#.to_owned(), "is no name"),
        (r#"{"type":"record","name":"","fields":[]}"#.to_owned(), "is no name"),
        (r#"{"type":"record","name":"a..b","fields":[]}"#.to_owned(), "is no namespace"),
        (r#"{"type":"record","name":"int","fields":[]}"#.to_owned(), "as a primitive one"),
        (record("1"), "a field that is no object"),
        (record(r#"{"type":"int"}"#), "a field without a name"),
        (record(r#"{"name":"a b","type":"int"}"#), "is no name"),
        (record(r#"{"name":"a"}"#), "field a: the field has no type"),
        (record(r#"{"name":"a","type":"int"},{"name":"a","type":"long"}"#), r#"two fields "a""#),
        (field(r#""type":"Later""#), r#"field a: "Later" is not a defined name"#),
        (field(r#""type":{"type":"record","name":"R","fields":[]}"#), "R is defined twice"),
        (field(r#""type":"int","order":"up""#), "the order of a field"),
        (field(r#""type":"int","aliases":"b""#), "aliases are a list"),
        (field(r#""type":"int","aliases":[1]"#), "an alias is a name"),
        (r#"{"type":"record","name":"R","aliases":["1"],"fields":[]}"#.to_owned(), "is no name"),
        (r#"["int","int"]"#.to_owned(), "a union has int twice"),
        (r#"["int",{"type":"int","logicalType":"date"}]"#.to_owned(), "a union has int twice"),
        (r#"["null",["int"]]"#.to_owned(), "directly in a union"),
        (r#"[{"type":"array","items":"int"},{"type":"array","items":"long"}]"#.to_owned(), "a union has array twice"),
        (r#"[{"type":"fixed","name":"a.F","size":1},"a.F"]"#.to_owned(), "a union has a.F twice"),
        (r#"{"type":"enum","name":"E"}"#.to_owned(), "the enum E has no symbols"),
        (r#"{"type":"enum","name":"E","symbols":["A","A"]}"#.to_owned(), "the symbol A twice"),
        (r#"{"type":"enum","name":"E","symbols":["A-B"]}"#.to_owned(), "is no name"),
        (r#"{"type":"enum","name":"E","symbols":[1]}"#.to_owned(), "a symbol 1"),
        (r#"{"type":"enum","name":"E","symbols":["A"],"default":"B"}"#.to_owned(), "is no symbol of it"),
        (r#"{"type":"fixed","name":"F"}"#.to_owned(), "has no size"),
        (r#"{"type":"fixed","name":"F","size":-1}"#.to_owned(), "has no size, or an invalid one"),
        (r#"{"type":"fixed","name":"F","size":2147483648}"#.to_owned(), "has no size, or an invalid one"),
        (with_default(r#""int""#, r#""1""#), r#"invalid default for field a: "1" is no INT"#),
        (with_default(r#""int""#, "2147483648"), "is no INT"),
        (with_default(r#""int""#, "1.5"), "is no INT"),
        (with_default(r#""long""#, "9223372036854775808"), "is no LONG"),
        (with_default(r#""double""#, r#""x""#), "is no DOUBLE"),
        (with_default(r#""boolean""#, "0"), "is no BOOLEAN"),
        (with_default(r#""null""#, r#""null""#), "is no NULL"),
        (with_default(r#""string""#, "null"), "is no STRING"),
        (with_default(r#""bytes""#, r#""Ā""#), "is no BYTES"),
        (with_default(r#"{"type":"fixed","name":"F","size":2}"#, r#""a""#), "is no FIXED"),
        (with_default(r#"{"type":"enum","name":"E","symbols":["A"]}"#, r#""B""#), "is no ENUM"),
        (with_default(r#"{"type":"array","items":"int"}"#, "[1,null]"), "is no ARRAY"),
        (with_default(r#"{"type":"map","values":"int"}"#, r#"{"a":"b"}"#), "is no MAP"),
        (with_default(r#"["null","int"]"#, r#""x""#), "is no UNION"),
        (with_default("[]", "null"), "is no UNION"),
        (
            with_default(r#"{"type":"record","name":"I","fields":[{"name":"b","type":"int"}]}"#, "{}"),
            "invalid default for field a: {} is no RECORD",
        ),
    ];
    for (text, reason) in table {
        let error = refused(&text);
        assert!(error.contains(reason), "{text}: {error}, expected {reason}");
    }
}

#[test]
fn defaults_that_fit_are_taken() {
    for (kind, default) in [
        (r#""int""#, "-2147483648"),
        (r#""long""#, "9223372036854775807"),
        (r#""float""#, "1"),
        (r#""double""#, r#""NaN""#),
        (r#""bytes""#, r#""ÿ\u0000""#),
        (r#"{"type":"fixed","name":"F","size":2}"#, r#""ÿÿ""#),
        (r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#, r#""\u0001""#),
        (r#"["null","int"]"#, "null"),
        (r#"["null","int"]"#, "1"),
        (r#"{"type":"array","items":"R"}"#, "[]"),
        (r#"["null","R"]"#, "null"),
        // Java's check calls itself without end here; the default of the field inside is the one that is being checked.
        (r#""R""#, "{}"),
        (r#"{"type":"record","name":"I","fields":[{"name":"b","type":"int","default":1}]}"#, "{}"),
    ] {
        schema(&record(&format!(r#"{{"name":"a","type":{kind},"default":{default}}}"#)));
    }
}

#[test]
fn canonical_text_is_that_of_java() {
    let table = [
        (r#" "string" "#, r#""string""#),
        (r#"{"type":"string"}"#, r#""string""#),
        (r#"{"type":"string","doc":"gone","name":"gone"}"#, r#""string""#),
        (r#"{"avro.java.string":"String","type":"string"}"#, r#"{"type":"string","avro.java.string":"String"}"#),
        (
            r#"{"type":"bytes","scale":2,"logicalType":"decimal","precision":4}"#,
            r#"{"type":"bytes","scale":2,"logicalType":"decimal","precision":4}"#,
        ),
        // Logical types that do not fit their type are properties like others.
        (
            r#"{"type":"array","items":"int","logicalType":"decimal"}"#,
            r#"{"type":"array","items":"int","logicalType":"decimal"}"#,
        ),
        (r#"{"type":"int","logicalType":7}"#, r#"{"type":"int","logicalType":7}"#),
        (r#"{"items":{"type":"int"},"type":"array","x":[1, 2.50]}"#, r#"{"type":"array","items":"int","x":[1,2.5]}"#),
        (r#"{"values":["null", {"type":"int"}],"type":"map"}"#, r#"{"type":"map","values":["null","int"]}"#),
        (r#"[ "null" , { "type" : "long" } ]"#, r#"["null","long"]"#),
        (
            r#"{"size":4,"aliases":["x.G","a.b.H","I"],"type":"fixed","p":1,"name":"a.b.F"}"#,
            r#"{"type":"fixed","name":"F","namespace":"a.b","size":4,"p":1,"aliases":["x.G","H","I"]}"#,
        ),
        (
            r#"{"type":"enum","default":"A","symbols":["A","B"],"name":"E","doc":"ä\n"}"#,
            r#"{"type":"enum","name":"E","doc":"ä\n","symbols":["A","B"],"default":"A"}"#,
        ),
        (
            r#"{ "fields": [ { "x":1, "type": {"type":"int"}, "order":"IGNORE", "aliases":["b"], "default":1, "doc":"d", "name":"a" },
                             { "name":"c", "type":"R", "order":"ascending" } ],
                 "p": {"b":1, "a":2}, "aliases":["Old", "other.Old", "Old"], "doc":"D", "namespace":"n.s", "name":"R", "type":"record" }"#,
            concat!(
                r#"{"type":"record","name":"R","namespace":"n.s","doc":"D","fields":["#,
                r#"{"name":"a","type":"int","doc":"d","default":1,"order":"ignore","aliases":["b"],"x":1},"#,
                r#"{"name":"c","type":"R"}],"p":{"b":1,"a":2},"aliases":["Old","other.Old"]}"#
            ),
        ),
        // Namespaces are there where they change, also to none; names are short inside their own.
        (
            r#"{"type":"record","name":"a.R","fields":[
                {"name":"f","type":{"type":"fixed","name":"F","namespace":"a","size":1}},
                {"name":"g","type":{"type":"fixed","name":"b.F","size":1}},
                {"name":"h","type":{"type":"fixed","name":"H","namespace":"","size":1}},
                {"name":"i","type":["a.F","b.F","H",{"type":"a.R"}]}]}"#,
            concat!(
                r#"{"type":"record","name":"R","namespace":"a","fields":["#,
                r#"{"name":"f","type":{"type":"fixed","name":"F","size":1}},"#,
                r#"{"name":"g","type":{"type":"fixed","name":"F","namespace":"b","size":1}},"#,
                r#"{"name":"h","type":{"type":"fixed","name":"H","namespace":"","size":1}},"#,
                r#"{"name":"i","type":["F","b.F","H","R"]}]}"#
            ),
        ),
        // A type may be called as one of Avro's, in a namespace; alone that name would be Avro's.
        (
            r#"{"type":"record","name":"a.R","fields":[{"name":"f","type":{"type":"fixed","name":"map","size":1}},{"name":"g","type":"a.map"}]}"#,
            concat!(
                r#"{"type":"record","name":"R","namespace":"a","fields":["#,
                r#"{"name":"f","type":{"type":"fixed","name":"map","size":1}},{"name":"g","type":"a.map"}]}"#
            ),
        ),
        (
            r#"{"type":"error","name":"E","fields":[{"name":"d","type":"double","default":"1.50"},{"name":"n","type":["null","int"],"default":null}]}"#,
            concat!(
                r#"{"type":"error","name":"E","fields":["#,
                r#"{"name":"d","type":"double","default":1.5},{"name":"n","type":["null","int"],"default":null}]}"#
            ),
        ),
        (r#"{"type":"record","name":"Straße","fields":[]}"#, r#"{"type":"record","name":"Straße","fields":[]}"#),
    ];
    for (text, canonical) in table {
        let parsed = schema(text);
        assert_eq!(parsed.canonical(), canonical, "{text}");
        assert_eq!(schema(canonical).canonical(), canonical, "the canonical text is its own");
    }
}

#[test]
fn order_of_properties_is_gone_from_normalized_texts_only() {
    let left = schema(
        r#"{"type":"record","name":"R","z":1,"a":{"y":1,"x":[{"d":1,"c":2}]},"fields":[
            {"name":"f","type":{"type":"bytes","scale":2,"precision":4,"logicalType":"decimal"},"q":1,"p":2},
            {"name":"m","type":{"type":"map","values":"int"},"default":{"b":1,"a":2}}]}"#,
    );
    let right = schema(
        r#"{"a":{"x":[{"c":2,"d":1}],"y":1},"z":1,"type":"record","name":"R","fields":[
            {"p":2,"q":1,"name":"f","type":{"logicalType":"decimal","type":"bytes","precision":4,"scale":2}},
            {"default":{"a":2,"b":1},"name":"m","type":{"type":"map","values":"int"}}]}"#,
    );
    assert_ne!(left.canonical(), right.canonical());
    assert_eq!(left.normalized(), right.normalized());
    assert_eq!(
        left.normalized(),
        concat!(
            r#"{"type":"record","name":"R","fields":["#,
            r#"{"name":"f","type":{"type":"bytes","logicalType":"decimal","precision":4,"scale":2},"p":2,"q":1},"#,
            r#"{"name":"m","type":{"type":"map","values":"int"},"default":{"a":2,"b":1}}],"#,
            r#""a":{"x":[{"c":2,"d":1}],"y":1},"z":1}"#
        )
    );
    let other = schema(&left.normalized().replace(r#""a":2"#, r#""a":3"#));
    assert_ne!(left.normalized(), other.normalized(), "values count");
}

#[test]
fn record_names_are_full_names() {
    for (text, name) in [
        (r#"{"type":"record","name":"R","namespace":"a.b","fields":[]}"#, Some("a.b.R")),
        (r#"{"type":"enum","name":"a.E","symbols":["A"]}"#, Some("a.E")),
        (r#""string""#, None),
        (r#"["null"]"#, None),
    ] {
        assert_eq!(schema(text).record_name(), name, "{text}");
    }
}

#[test]
fn names_come_from_references_and_their_references() {
    let inner = r#"{"type":"record","name":"shop.Price","fields":[{"name":"unit","type":{"type":"enum","name":"Unit","symbols":["A"]}}]}"#;
    let outer = r#"{"type":"record","name":"shop.Item","fields":[{"name":"price","type":"Price"}]}"#;
    let text = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"item","type":"Item"},{"name":"unit","type":["null","shop.Unit"]}]}"#;
    let references = [referenced("price", inner), referenced("item", outer), referenced("again", inner)];
    let order = AvroSchema::parse(text, &references).expect("all names are known");
    assert_eq!(order.canonical(), text.replace("shop.Unit", "Unit"), "the types of references stay names");
    assert_eq!(order.check_value(&[0, 2, 0]), Ok(()), "the item's unit, and one of its own");
    assert!(order.check_value(&[2, 2, 0]).is_err(), "the reference's enum has one symbol");

    let unordered = AvroSchema::parse(text, &[referenced("item", outer), referenced("price", inner)]).unwrap_err().to_string();
    assert!(unordered.contains(r#"reference "item""#) && unordered.contains(r#""Price" is not a defined name"#), "{unordered}");
    let twice = AvroSchema::parse(outer, &[referenced("price", inner), referenced("item", outer)]).unwrap_err().to_string();
    assert!(twice.contains("shop.Item is defined twice"), "{twice}");
    assert!(AvroSchema::parse(text, &[]).is_err());
}

#[test]
fn deep_and_large_texts_are_refused() {
    let nested = |levels: usize| format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(levels), "}".repeat(levels));
    schema(&nested(64));
    assert!(refused(&nested(65)).contains("65 levels deep"));
    assert!(refused(&"[".repeat(1_000_000)).contains("levels deep"));
    assert!(refused(&r#"{"x":"#.repeat(100_000)).contains("levels deep"));
    schema(&format!(r#"{{"type":"int","x":"{}"}}"#, r#"[{\"[\\\\"#.repeat(100)));
    assert!(refused(&format!("{}\"int\"", " ".repeat(1024 * 1024))).contains("more than 1048576"));
    let many: Vec<_> = (0..20).map(|n| referenced("r", &format!("{}{n}", " ".repeat(1_000_000)))).collect();
    assert!(AvroSchema::parse("\"int\"", &many).is_err());
}

#[test]
fn short_texts_do_not_grow_without_bound() {
    let namespace = "n".repeat(600);
    assert!(refused(&format!(r#"{{"type":"record","name":"R","namespace":"{namespace}","fields":[]}}"#)).contains("600 bytes"));
    assert!(refused(&format!(r#"{{"type":"record","name":"{namespace}","fields":[]}}"#)).contains("600 bytes"));
    // Aliases take on the namespace: these are 50 MB.
    let aliases: Vec<String> = (0..100_000).map(|n| format!("\"a{n:x}\"")).collect();
    let namespace = "n".repeat(500);
    let text =
        format!(r#"{{"type":"record","name":"R","namespace":"{namespace}","aliases":[{}],"fields":[]}}"#, aliases.join(","));
    assert!(refused(&text).contains("full names"));
}

#[test]
fn defaults_that_can_be_tried_in_many_ways_are_refused() {
    let types = concat!(
        r#"{"type":"record","name":"A","fields":[{"name":"x","type":["null","A",{"type":"record","name":"B","fields":["#,
        r#"{"name":"x","type":["null","A","B"]}]}]}]}"#
    );
    let default = |leaf: &str| format!("{}{leaf}{}", r#"{"x":"#.repeat(50), "}".repeat(50));
    let field = |leaf: &str| record(&format!(r#"{{"name":"f","type":{types},"default":{}}}"#, default(leaf)));
    schema(&field("null"));
    assert!(refused(&field("1")).contains("too long"));
}

#[test]
fn schemas_are_shared_between_threads_and_know_their_size() {
    fn is_shared<T: Send + Sync + std::fmt::Debug>(_: &T) {}
    let small = schema("\"int\"");
    is_shared(&small);
    let symbols: Vec<String> = (0..1000).map(|n| format!("\"SYMBOL_{n}\"")).collect();
    let large = schema(&format!(r#"{{"type":"enum","name":"E","symbols":[{}]}}"#, symbols.join(",")));
    assert!(small.memory_bytes() < 4096, "{}", small.memory_bytes());
    assert!(large.memory_bytes() > 2 * large.canonical().len(), "{}", large.memory_bytes());
}

/// What the new schema cannot read of the old one (backward), and the other way round (forward), by rule.
#[test]
fn changes_break_those_readers_that_avro_says() {
    const MISSING: &str = "READER_FIELD_MISSING_DEFAULT_VALUE";
    const TYPE: &str = "TYPE_MISMATCH";
    const BRANCH: &str = "MISSING_UNION_BRANCH";
    const SYMBOLS: &str = "MISSING_ENUM_SYMBOLS";
    const SIZE: &str = "FIXED_SIZE_MISMATCH";
    const NAME: &str = "NAME_MISMATCH";
    let a = r#"{"name":"a","type":"int"}"#;
    let typed = |kind: &str| record(&format!(r#"{{"name":"a","type":{kind}}}"#));
    let with = |more: &str| record(&format!("{a},{more}"));
    type Row<'a> = (&'a str, String, String, &'a [&'a str], &'a [&'a str]);
    let table: &[Row<'_>] = &[
        ("nothing", with(r#"{"name":"b","type":"int"}"#), with(r#"{"name":"b","type":"int"}"#), &[], &[]),
        ("documentation", record(a), record(r#"{"name":"a","type":"int","doc":"d","x":1}"#), &[], &[]),
        ("add a field with default", record(a), with(r#"{"name":"b","type":"int","default":0}"#), &[], &[]),
        ("add a field without default", record(a), with(r#"{"name":"b","type":"int"}"#), &[MISSING], &[]),
        ("remove a field with default", with(r#"{"name":"b","type":"int","default":0}"#), record(a), &[], &[]),
        ("remove a field without default", with(r#"{"name":"b","type":"int"}"#), record(a), &[], &[MISSING]),
        ("rename without alias", record(a), record(r#"{"name":"b","type":"int"}"#), &[MISSING], &[MISSING]),
        ("rename with alias", record(a), record(r#"{"name":"b","type":"int","aliases":["a"]}"#), &[], &[MISSING]),
        ("rename with default", record(a), record(r#"{"name":"b","type":"int","default":0}"#), &[], &[MISSING]),
        ("drop a default", record(r#"{"name":"a","type":"int","default":0}"#), record(a), &[], &[]),
        ("swap fields", with(r#"{"name":"b","type":"int"}"#), record(&format!(r#"{{"name":"b","type":"int"}},{a}"#)), &[], &[]),
        ("promote", typed(r#""int""#), typed(r#""long""#), &[], &[TYPE]),
        ("demote", typed(r#""double""#), typed(r#""float""#), &[TYPE], &[]),
        ("text to bytes", typed(r#""string""#), typed(r#""bytes""#), &[], &[]),
        ("number to text", typed(r#""int""#), typed(r#""string""#), &[TYPE], &[TYPE]),
        ("one to many", typed(r#""int""#), typed(r#"{"type":"array","items":"int"}"#), &[TYPE], &[TYPE]),
        ("make nullable", typed(r#""int""#), typed(r#"["null","int"]"#), &[], &[TYPE]),
        ("make required", typed(r#"["null","int"]"#), typed(r#""int""#), &[TYPE], &[]),
        ("widen a union", typed(r#"["null","int"]"#), typed(r#"["null","int","string"]"#), &[], &[BRANCH]),
        ("narrow a union", typed(r#"["null","int","string"]"#), typed(r#"["null","int"]"#), &[BRANCH], &[]),
        ("swap branches", typed(r#"["null","int"]"#), typed(r#"["int","null"]"#), &[], &[]),
        ("add a logical type", typed(r#""int""#), typed(r#"{"type":"int","logicalType":"date"}"#), &[], &[]),
        (
            "add a symbol",
            r#"{"type":"enum","name":"E","symbols":["A"]}"#.to_owned(),
            r#"{"type":"enum","name":"E","symbols":["A","B"]}"#.to_owned(),
            &[],
            &[SYMBOLS],
        ),
        (
            "add a symbol to an enum with default",
            r#"{"type":"enum","name":"E","symbols":["A"],"default":"A"}"#.to_owned(),
            r#"{"type":"enum","name":"E","symbols":["A","B"],"default":"A"}"#.to_owned(),
            &[],
            &[],
        ),
        (
            "remove a symbol",
            r#"{"type":"enum","name":"E","symbols":["A","B"]}"#.to_owned(),
            r#"{"type":"enum","name":"E","symbols":["A"]}"#.to_owned(),
            &[SYMBOLS],
            &[],
        ),
        (
            "remove a symbol from an enum with default",
            r#"{"type":"enum","name":"E","symbols":["A","B"],"default":"A"}"#.to_owned(),
            r#"{"type":"enum","name":"E","symbols":["A"],"default":"A"}"#.to_owned(),
            &[],
            &[],
        ),
        (
            "change the size of a fixed",
            r#"{"type":"fixed","name":"F","size":4}"#.to_owned(),
            r#"{"type":"fixed","name":"F","size":8}"#.to_owned(),
            &[SIZE],
            &[SIZE],
        ),
        (
            "change the namespace",
            r#"{"type":"fixed","name":"a.F","size":4}"#.to_owned(),
            r#"{"type":"fixed","name":"b.F","size":4}"#.to_owned(),
            &[],
            &[],
        ),
        (
            "change the name",
            r#"{"type":"fixed","name":"a.F","size":4}"#.to_owned(),
            r#"{"type":"fixed","name":"a.G","size":4}"#.to_owned(),
            &[NAME],
            &[NAME],
        ),
        (
            "change the name with an alias",
            r#"{"type":"fixed","name":"a.F","size":4}"#.to_owned(),
            r#"{"type":"fixed","name":"a.G","size":4,"aliases":["F"]}"#.to_owned(),
            &[],
            &[NAME],
        ),
    ];
    for (change, before, after, backward, forward) in table {
        let (before, after) = (schema(before), schema(after));
        let rules = |reader: &AvroSchema, writer: &AvroSchema| -> Vec<&'static str> {
            reader.incompatibilities(writer).iter().map(|one| one.rule).collect()
        };
        assert_eq!(rules(&after, &before), *backward, "{change}: new readers of old values");
        assert_eq!(rules(&before, &after), *forward, "{change}: old readers of new values");
        assert!(rules(&after, &after).is_empty() && rules(&before, &before).is_empty(), "{change}: values of one's own");
    }
}

#[test]
fn names_without_a_namespace_stay_so_inside_one() {
    let text = r#"{"type":"record","name":"Outer","namespace":"a","fields":[
        {"name":"x","type":{"type":"record","name":"X","fields":[]}},
        {"name":"e","type":{"type":"enum","name":"X","namespace":"","symbols":["S"]}},
        {"name":"again","type":".X"}]}"#;
    let schema = AvroSchema::parse(text, &[]).expect("a schema");
    let again = AvroSchema::parse(schema.canonical(), &[]).expect("its own text");
    assert_eq!(again.canonical(), schema.canonical());
    // The record takes no bytes, the enum one each time.
    assert!(schema.check_value(&[0, 0]).is_ok() && again.check_value(&[0, 0]).is_ok());
    assert!(schema.check_value(&[0]).is_err() && again.check_value(&[0]).is_err());
}

#[test]
fn what_registries_took_before_defaults_were_checked_is_read() {
    let text = record(r#"{"name":"x","type":"string","default":null}"#);
    assert!(AvroSchema::parse(&text, &[]).is_err());
    assert!(AvroSchema::parse_held(&text, &[]).is_ok());
}
