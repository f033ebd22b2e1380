//! Goal: every level decides on every kind of change, in every format, as Confluent's table says (schema-evolution-and-compatibility).
//! Method: each change is two texts, and whether readers of either read what writers of the other wrote; what each level makes of that is derived.

use super::*;
use crate::schema::Format;
use std::convert::Infallible;

/// A change from one version to the next.
struct Change {
    what: &'static str,
    format: Format,
    old: String,
    new: String,
    /// The new schema reads old data.
    reads_old: bool,
    /// The old schema reads new data.
    is_read_by_old: bool,
}

fn avro(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

/// With a closed content model, in which Confluent lets properties be added.
fn json(properties: &str, required: &str) -> String {
    format!(r#"{{"type":"object","properties":{{{properties}}},"required":[{required}],"additionalProperties":false}}"#)
}

fn protobuf(body: &str) -> String {
    format!("syntax = \"proto3\"; message M {{ {body} }} enum E {{ ZERO = 0; }}")
}

#[rustfmt::skip]
fn changes() -> Vec<Change> {
    let a = |what, old: &str, new: &str, reads_old, is_read_by_old| {
        Change { what, format: Format::Avro, old: avro(old), new: avro(new), reads_old, is_read_by_old }
    };
    let j = |what, old: (&str, &str), new: (&str, &str), reads_old, is_read_by_old| {
        Change { what, format: Format::Json, old: json(old.0, old.1), new: json(new.0, new.1), reads_old, is_read_by_old }
    };
    let p = |what, old: &str, new: &str, reads_old, is_read_by_old| {
        Change { what, format: Format::Protobuf, old: protobuf(old), new: protobuf(new), reads_old, is_read_by_old }
    };
    const X: &str = r#"{"name":"x","type":"int"}"#;
    const X_LONG: &str = r#"{"name":"x","type":"long"}"#;
    const Y: &str = r#"{"name":"y","type":"int"}"#;
    const Y_DEFAULT: &str = r#"{"name":"y","type":"int","default":0}"#;
    let both = |first: &str, second: &str| format!("{first},{second}");
    vec![
        a("nothing", X, X, true, true),
        a("a field with a default comes", X, &both(X, Y_DEFAULT), true, true),
        a("a field without a default comes", X, &both(X, Y), false, true),
        a("a field with a default goes", &both(X, Y_DEFAULT), X, true, true),
        a("a field without a default goes", &both(X, Y), X, true, false),
        a("a type is promoted", X, X_LONG, true, false),
        a("a type is demoted", X_LONG, X, false, true),
        a("a type becomes another", X, r#"{"name":"x","type":"string"}"#, false, false),
        a("a field becomes optional", X, r#"{"name":"x","type":["null","int"]}"#, true, false),
        a("a symbol comes", r#"{"name":"e","type":{"type":"enum","name":"E","symbols":["A"]}}"#, r#"{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}}"#, true, false),
        a("a symbol comes where there is a default", r#"{"name":"e","type":{"type":"enum","name":"E","symbols":["A"],"default":"A"}}"#, r#"{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"],"default":"A"}}"#, true, true),
        a("a field is renamed with an alias", X, r#"{"name":"z","type":"int","aliases":["x"]}"#, true, false),

        j("nothing", (r#""x":{"type":"integer"}"#, ""), (r#""x":{"type":"integer"}"#, ""), true, true),
        j("an optional property comes", (r#""x":{"type":"integer"}"#, ""), (r#""x":{"type":"integer"},"y":{"type":"string"}"#, ""), true, false),
        j("a required property comes", (r#""x":{"type":"integer"}"#, ""), (r#""x":{"type":"integer"},"y":{"type":"string"}"#, r#""y""#), false, false),
        j("an optional property goes", (r#""x":{"type":"integer"},"y":{"type":"string"}"#, ""), (r#""x":{"type":"integer"}"#, ""), false, true),
        j("a property becomes required", (r#""x":{"type":"integer"}"#, ""), (r#""x":{"type":"integer"}"#, r#""x""#), false, true),
        j("a type is widened", (r#""x":{"type":"integer"}"#, ""), (r#""x":{"type":"number"}"#, ""), true, false),
        j("a bound is raised", (r#""x":{"type":"integer","maximum":5}"#, ""), (r#""x":{"type":"integer","maximum":9}"#, ""), true, false),
        j("a bound comes", (r#""x":{"type":"integer"}"#, ""), (r#""x":{"type":"integer","minimum":0}"#, ""), false, true),
        j("a value comes", (r#""x":{"enum":["a"]}"#, ""), (r#""x":{"enum":["a","b"]}"#, ""), true, false),
        j("a type becomes another", (r#""x":{"type":"integer"}"#, ""), (r#""x":{"type":"string"}"#, ""), false, false),

        p("nothing", "string s = 1;", "string s = 1;", true, true),
        p("a field comes", "string s = 1;", "string s = 1; int32 n = 2;", true, true),
        p("a field goes", "string s = 1; int32 n = 2;", "string s = 1;", true, true),
        p("a field is renamed", "string s = 1;", "string t = 1;", true, true),
        p("a type within its group", "int32 n = 1;", "uint64 n = 1;", true, true),
        p("a type out of its group", "int32 n = 1;", "sint32 n = 1;", false, false),
        p("a type becomes another", "string s = 1;", "int32 s = 1;", false, false),
        p("a number changes", "string s = 1; int32 n = 2;", "int32 s = 1; string n = 2;", false, false),
        p("a scalar becomes a message", "string s = 1;", "message N {} N s = 1;", false, false),
        p("two fields move into a oneof", "string s = 1; string t = 2;", "oneof o { string s = 1; string t = 2; }", false, true),
    ]
}

fn parse(format: Format, text: &str) -> Arc<Parsed> {
    Arc::new(Parsed::parse(format, text, &[]).unwrap_or_else(|error| panic!("{text}: {error}")))
}

/// `earlier`: the oldest first.
fn conflicts(level: Level, new: &Parsed, earlier: &[Arc<Parsed>]) -> Vec<Incompatibility> {
    let Ok(found) = level.conflicts::<Infallible>(new, earlier.iter().rev().cloned().map(Ok));
    found
}

/// Each may take megabytes: they are made when it is their turn, and no more of them than there need be.
#[test]
fn earlier_versions_are_looked_at_one_after_the_other() {
    let int = parse(Format::Avro, r#""int""#);
    let text = || parse(Format::Avro, r#""string""#);
    let made = std::cell::Cell::new(0);
    let versions = || {
        (0..100).map(|number| {
            made.set(made.get() + 1);
            Ok::<_, Infallible>(if number < 3 { int.clone() } else { text() })
        })
    };
    for (level, expected) in [(Level::None, 0), (Level::Backward, 1), (Level::FullTransitive, 4)] {
        made.set(0);
        let Ok(_) = level.conflicts(&int, versions());
        assert_eq!(made.get(), expected, "{level}");
    }
}

#[test]
fn each_level_decides_on_each_change_in_each_format() {
    let mut wrong = Vec::new();
    for Change { what, format, old, new, reads_old, is_read_by_old } in changes() {
        let (old, new) = (parse(format, &old), parse(format, &new));
        for level in ALL {
            let expected = match level {
                Level::None => true,
                Level::Backward | Level::BackwardTransitive => reads_old,
                Level::Forward | Level::ForwardTransitive => is_read_by_old,
                Level::Full | Level::FullTransitive => reads_old && is_read_by_old,
            };
            let conflicts = conflicts(level, &new, std::slice::from_ref(&old));
            if conflicts.is_empty() != expected {
                wrong.push(format!("{format}, {what}, {level}: expected {expected}: {conflicts:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn transitive_levels_look_at_all_versions_and_the_others_at_the_last() {
    // The newest goes with the one before, and not with the one before that.
    for (format, texts) in [
        (Format::Avro, [r#""string""#, r#"["string","int"]"#, r#"["int","string"]"#].map(str::to_owned)),
        (
            Format::Json,
            [r#"{"type":"string"}"#, r#"{"type":["string","integer"]}"#, r#"{"type":["integer","string"]}"#].map(str::to_owned),
        ),
        (Format::Protobuf, ["int32 a = 1;", "", "string a = 1;"].map(protobuf)),
    ] {
        let [first, second, third] = texts.map(|text| parse(format, &text));
        let versions = [first, second];
        let conflicts = |level: Level| !conflicts(level, &third, &versions).is_empty();
        assert!(!conflicts(Level::None) && !conflicts(Level::Full), "{format}");
        // Forward: what is new must be read by all; in Protobuf both ways break.
        assert!(conflicts(Level::FullTransitive) && conflicts(Level::ForwardTransitive), "{format}");
        assert_eq!(conflicts(Level::BackwardTransitive), format == Format::Protobuf, "{format}");
        assert!(!conflicts(Level::Forward) && !conflicts(Level::Backward), "{format}");
    }
}
