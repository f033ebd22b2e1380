//! Goal: schemas keep their meaning through text, descriptor and back, Confluent's rules hold in both directions, values are refused where a
//! reader would fail, and nothing hostile costs more than an error. Method: texts as users write them, values as a library encodes them.

use super::wire::Reader;
use super::*;
use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, MessageOptions};
use protox::file::File;
use std::collections::HashSet;

const PROTO2: &str = r#"
// A comment.
syntax = "proto2";
package shop.v1;
import public "google/protobuf/timestamp.proto";
import weak "google/protobuf/any.proto";
import "google/protobuf/descriptor.proto";
option java_package = "com.example.shop";
option java_multiple_files = true;
option go_package = "example.com/shop;shop";
option optimize_for = CODE_SIZE;
option (note) = "file";
extend google.protobuf.FileOptions { optional string note = 50000; }
extend google.protobuf.FieldOptions { optional Rule rule = 50001; repeated string tag = 50002; }
message Rule {
  optional int32 max = 1;
  map<string, double> weights = 2;
  optional Rule inner = 3;
  repeated bytes raw = 4;
  extensions 100 to 200;
}
extend Rule { optional Color tint = 100; }
enum Color {
  option allow_alias = true;
  RED = 0;
  CRIMSON = 0 [deprecated = true];
  BLUE = -1;
  reserved 5, 7 to 9, 100 to max;
  reserved "GREEN";
}
message Order {
  option deprecated = true;
  required int64 id = 1;
  optional string name = 2 [default = "a\"b\\c\n\001é", json_name = "label"];
  optional bytes raw = 3 [default = "\377\000x'\""];
  optional double ratio = 4 [default = -1.5e-300];
  optional float big = 5 [default = inf];
  optional Color color = 6 [default = BLUE];
  optional bool on = 7 [default = true];
  repeated int32 packed_numbers = 8 [packed = true, deprecated = true];
  map<string, Item> items = 9;
  message Item {
    optional uint32 count = 1 [
      (rule) = { max: 3 weights { key: "a" value: -0.5 } inner { raw: "\001" [shop.v1.tint]: BLUE } },
      (tag) = "x", (tag) = "y"
    ];
  }
  map<int32, Color> colors = 10;
  repeated group Line = 11 { optional sint64 amount = 1; message Deep { } }
  oneof choice {
    string text = 12;
    fixed64 number = 13;
    group Pair = 14 { optional int32 a = 1; }
  }
  extensions 1000 to 1999;
  extensions 2000 to max;
  reserved 20, 30 to 40;
  reserved "old", "older";
  enum Size { S = 1; L = 2; }
  extend Order { optional string extra = 1000; }
  optional Order parent = 15 [lazy = true];
  optional .google.protobuf.Timestamp at = 16;
}
extend Order { repeated sfixed32 more = 1001; optional group Extra = 1002 { optional string a = 1; } }
service Orders {
  option deprecated = true;
  rpc Get(Order) returns (stream Order.Item);
  rpc Put(stream Order) returns (.shop.v1.Order) { option idempotency_level = IDEMPOTENT; option deprecated = true; }
}
"#;

const PROTO3: &str = r#"
syntax = "proto3";
package shop.v2;
import "google/protobuf/wrappers.proto";
import "confluent/meta.proto";
option (confluent.file_meta).doc = "orders";
message Order {
  option (confluent.message_meta) = { doc: "an order" tags: ["A", "B"] params: [{ key: "k" value: "v" }] };
  string id = 1 [(confluent.field_meta).tags = "PII", (confluent.field_meta).tags = "ID"];
  optional int32 count = 2;
  repeated double prices = 3 [packed = false];
  map<string, google.protobuf.Int64Value> totals = 4;
  oneof payment { Card card = 5; string iban = 6 [deprecated = true]; }
  message Card { string number = 1; Kind kind = 2; }
  enum Kind { KIND_UNSPECIFIED = 0; DEBIT = 1; }
  optional Order _parent = 7;
  reserved 8 to 10;
  reserved "gone";
}
enum State { STATE_UNSPECIFIED = 0; OPEN = 1 [(confluent.enum_value_meta).doc = "open"]; }
service Orders { rpc Watch(stream Order) returns (stream Order); }
"#;

fn schema(text: &str) -> ProtobufSchema {
    schema_with(text, &[])
}

fn schema_with(text: &str, references: &[Referenced]) -> ProtobufSchema {
    ProtobufSchema::parse(text, references).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refusal(text: &str) -> String {
    refusal_with(text, &[])
}

fn refusal_with(text: &str, references: &[Referenced]) -> String {
    match ProtobufSchema::parse(text, references) {
        Ok(schema) => panic!("it was accepted: {}", schema.canonical()),
        Err(error) => error.0,
    }
}

fn reference(name: &str, text: &str) -> Referenced {
    Referenced { name: name.to_owned(), text: text.to_owned() }
}

fn proto3(text: &str) -> String {
    format!("syntax = \"proto3\"; {text}")
}

fn encoded(file: &FileDescriptorProto) -> String {
    STANDARD.encode(file.encode_to_vec())
}

fn message(name: &str) -> DescriptorProto {
    DescriptorProto { name: Some(name.to_owned()), ..DescriptorProto::default() }
}

/// The bytes of a message that is given in text format.
fn bytes(schema: &str, message: &str, value: &str) -> Vec<u8> {
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_proto(File::from_source("test.proto", schema).unwrap().into()).unwrap();
    let descriptor = pool.get_message_by_name(message).unwrap();
    DynamicMessage::parse_text_format(descriptor, value).unwrap().encode_to_vec()
}

fn value_error(schema: &ProtobufSchema, value: &[u8]) -> String {
    match schema.check_value(value) {
        Ok(()) => panic!("it was accepted: {value:02x?}"),
        Err(error) => error.to_string(),
    }
}

/// A value with the first message of the schema.
fn value_of(message: &[u8]) -> Vec<u8> {
    [&[0][..], message].concat()
}

// --- Schemas that are refused ---

#[test]
fn errors_of_syntax_have_line_and_column() {
    let error = refusal("syntax = \"proto3\";\nmessage A {\n  string = 1;\n}");
    assert!(error.starts_with("default.proto:3:"), "{error}");
    assert!(refusal("this is no schema").contains("default.proto:1:1"), "{}", refusal("this is no schema"));
    assert!(refusal(&proto3("message A { B b = 1; }")).contains("'B' is not defined"));
    assert!(refusal(&"long ".repeat(100_000)).len() < 2_000);
}

#[test]
fn editions_are_refused_by_name() {
    assert!(refusal("// later\nedition = \"2023\"; message A {}").contains("editions are not supported"));
    let file = FileDescriptorProto { syntax: Some("editions".to_owned()), ..FileDescriptorProto::default() };
    let file = FileDescriptorProto { message_type: vec![message("A")], ..file };
    assert!(refusal(&encoded(&file)).contains("\"editions\" is not supported"));
}

#[test]
fn imports_that_are_not_found_are_named() {
    let error = refusal(&proto3("import \"other/item.proto\"; message A { Item item = 1; }"));
    assert!(error.contains("default.proto") && error.contains("\"other/item.proto\" is not found"), "{error}");
    let through = [reference("a.proto", &proto3("import \"b.proto\";"))];
    let error = refusal_with(&proto3("import \"a.proto\";"), &through);
    assert!(error.contains("a.proto: import \"b.proto\" is not found"), "{error}");
    assert!(refusal(&proto3("import \"default.proto\";")).contains("is not found"), "a schema does not import itself");
}

#[test]
fn imports_in_a_circle_are_refused() {
    let circle = [
        reference("a.proto", &proto3("import \"b.proto\";")),
        reference("b.proto", &proto3("import public \"a.proto\";")),
        reference("self.proto", &proto3("import public \"self.proto\";")),
    ];
    let error = refusal_with(&proto3("import \"a.proto\";"), &circle);
    assert!(error.contains("in a circle: a.proto -> b.proto -> a.proto"), "{error}");
    assert!(refusal_with(&proto3("import \"self.proto\";"), &circle).contains("in a circle"));
    let twice = proto3("import \"a.proto\"; import \"a.proto\";");
    assert!(refusal_with(&twice, &[reference("a.proto", "")]).contains("imported twice"));
}

#[test]
fn types_are_seen_only_through_imports() {
    let references = [reference("a.proto", &proto3("import \"b.proto\";")), reference("b.proto", &proto3("message B {}"))];
    let error = refusal_with(&proto3("import \"a.proto\"; message A { B b = 1; }"), &references);
    assert!(error.contains("'B' is not defined"), "{error}");
}

#[test]
fn texts_that_would_cost_too_much_are_refused() {
    let deep_messages = "message A { ".repeat(200) + &"}".repeat(200);
    assert!(refusal(&proto3(&deep_messages)).contains("deep"));
    let deep_options = format!("option (x) = {};", "{ a ".repeat(10_000) + &"}".repeat(10_000));
    assert!(refusal(&proto3(&deep_options)).contains("braces nest"));
    let hidden = format!("option (x) = {};", "{ a # }\n".repeat(1_000) + &"}".repeat(1_000));
    assert!(refusal(&proto3(&hidden)).contains("braces nest"));
    assert!(refusal(&" ".repeat((1 << 20) + 1)).contains("bytes"));
    assert!(refusal(&proto3(&format!("package {}a;", "a.".repeat(100_000)))).contains("bytes, more than 512"));
    let fields: String = (1..21_000).map(|number| format!("int32 f{number}={number};")).collect();
    assert!(refusal(&proto3(&format!("message A {{ {fields} }}"))).contains("more than 20000 definitions"));
    let ranges = vec!["1 to max"; 10_000].join(", ");
    assert!(refusal(&proto3(&format!("message A {{ reserved {ranges}; }}"))).contains("ranges"));
    assert!(refusal(&proto3("message A { reserved 1 to 5, 5 to 9; }")).contains("overlaps"));
    assert!(refusal(&proto3("enum A { B = 0; reserved 5 to 9, 9; }")).contains("overlaps"));
}

#[test]
fn many_public_imports_of_each_other_cost_little() {
    // Each layer has two files that import both of the layer below; the schema imports all, so all are known when they are followed.
    let mut references = vec![reference("l0a.proto", &proto3("message L {}")), reference("l0b.proto", "")];
    let mut imports = String::new();
    for layer in 1..60 {
        let text = proto3(&format!("import public \"l{0}a.proto\"; import public \"l{0}b.proto\";", layer - 1));
        references.push(reference(&format!("l{layer}a.proto"), &text));
        references.push(reference(&format!("l{layer}b.proto"), &text));
    }
    for layer in 0..60 {
        imports.push_str(&format!("import \"l{layer}a.proto\"; import \"l{layer}b.proto\";"));
    }
    schema_with(&proto3(&format!("{imports} message A {{ L l = 1; }}")), &references);
}

#[test]
fn too_many_imports_are_refused() {
    let references: Vec<Referenced> = (0..300)
        .map(|index| reference(&format!("{index}.proto"), &proto3(&format!("import \"{}.proto\";", index + 1))))
        .collect();
    assert!(refusal_with(&proto3("import \"0.proto\";"), &references).contains("more than 200 files"));
}

#[test]
fn nobody_redefines_the_types_of_options() {
    let text = "package google.protobuf; message FileOptions { optional int32 java_package = 1; } option java_package = 5;";
    assert!(refusal(text).contains("google.protobuf.FileOptions"), "{}", refusal(text));
    assert!(refusal("message A { option map_entry = true; } ").contains("map_entry"));
}

#[test]
fn descriptors_cannot_smuggle_in_text() {
    let with_name = |name: &str| FileDescriptorProto { message_type: vec![message(name)], ..FileDescriptorProto::default() };
    assert!(refusal(&encoded(&with_name("A {} message B"))).contains("is no name"));
    assert!(refusal(&encoded(&with_name(""))).contains("is no name"));
    let field = |field: FieldDescriptorProto| FileDescriptorProto {
        message_type: vec![DescriptorProto { field: vec![field], ..message("A") }],
        ..FileDescriptorProto::default()
    };
    let plain = FieldDescriptorProto {
        name: Some("a".to_owned()),
        number: Some(1),
        r#type: Some(5),
        label: Some(1),
        ..FieldDescriptorProto::default()
    };
    schema(&encoded(&field(plain.clone())));
    let hostile = [
        FieldDescriptorProto { default_value: Some("1]; optional int32 b = 2 [default = 1".to_owned()), ..plain.clone() },
        FieldDescriptorProto { type_name: Some(".A b = 2; optional .A".to_owned()), ..plain.clone() },
        FieldDescriptorProto { r#type: Some(99), ..plain.clone() },
        FieldDescriptorProto { r#type: Some(11), ..plain.clone() },
        FieldDescriptorProto { oneof_index: Some(-1), ..plain.clone() },
        FieldDescriptorProto { number: Some(-1), ..plain.clone() },
        FieldDescriptorProto { r#type: Some(12), default_value: Some("\\777".to_owned()), ..plain.clone() },
        FieldDescriptorProto { r#type: Some(10), type_name: Some(".A".to_owned()), ..plain },
    ];
    for hostile in hostile {
        refusal(&encoded(&field(hostile)));
    }
    let entry = DescriptorProto {
        options: Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() }),
        ..message("MEntry")
    };
    let map = FieldDescriptorProto {
        name: Some("m".to_owned()),
        number: Some(1),
        r#type: Some(11),
        label: Some(3),
        type_name: Some(".A.MEntry".to_owned()),
        ..FieldDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        message_type: vec![DescriptorProto { field: vec![map], nested_type: vec![entry], ..message("A") }],
        ..FileDescriptorProto::default()
    };
    assert!(refusal(&encoded(&file)).contains("has no field 1"));
}

#[test]
fn descriptors_that_nest_too_deep_are_refused() {
    let mut inner = message("A");
    for _ in 0..60 {
        inner = DescriptorProto { nested_type: vec![inner], ..message("A") };
    }
    let file = FileDescriptorProto { message_type: vec![inner.clone()], ..FileDescriptorProto::default() };
    refusal(&encoded(&file));
    for _ in 0..500 {
        inner = DescriptorProto { nested_type: vec![inner], ..message("A") };
    }
    let file = FileDescriptorProto { message_type: vec![inner], ..FileDescriptorProto::default() };
    refusal(&encoded(&file));
}

// --- Texts and descriptors ---

#[test]
fn printed_texts_parse_to_the_same_descriptor() {
    for text in [PROTO2, PROTO3, "", "syntax = \"proto2\"; enum A { B = 1; }", &proto3("package a; message A {}")] {
        let first = schema(text);
        let again = schema(first.canonical());
        assert_eq!(again.canonical(), first.canonical());
        assert_eq!(again.serialized(), first.serialized(), "{}", first.canonical());
        assert_eq!(found(&first, &again), [""; 0]);
        let normalized = schema(&first.normalized());
        assert_eq!(normalized.normalized(), first.normalized());
        assert_eq!(found(&first, &normalized), [""; 0]);
        assert_eq!(first.text(), text);
        assert!(first.memory_bytes() > first.canonical().len());
    }
}

#[test]
fn descriptors_in_base64_are_the_same_schema_as_their_text() {
    for text in [PROTO2, PROTO3] {
        let first = schema(text);
        let again = schema(&first.serialized());
        assert_eq!(again.canonical(), first.canonical());
        assert_eq!(again.serialized(), first.serialized());
        assert_eq!(again.text(), first.canonical(), "its text is the printed one");
    }
}

#[test]
fn texts_have_one_form() {
    let text = proto3("package a; message A { B b = 1; message B {} map<string, a.A> m = 2; reserved 7; }");
    let expected = "syntax = \"proto3\";\npackage a;\nmessage A {\n  .a.A.B b = 1;\n  message B {\n  }\n  map<string, .a.A> m = 2;\n  \
                    reserved 7;\n}\n";
    assert_eq!(schema(&text).canonical(), expected);
    let other = "/* other */ syntax='proto3';package a;\nmessage A{reserved 7 to 7;.a.A.B b=0x1;message B{}map<string,A>m=2;;}";
    assert_eq!(schema(other).canonical(), expected);
    assert_eq!(schema(expected).canonical(), expected);
}

#[test]
fn custom_options_make_another_schema() {
    let tagged = |tag: &str| {
        proto3(&format!(
            "import \"confluent/meta.proto\"; message A {{ string a = 1 [(confluent.field_meta) = {{ params: [{{ key: \"b\" value: \"2\" }}, \
             {{ key: \"c\" value: \"3\" }}, {{ key: \"a\" value: \"1\" }}] tags: \"{tag}\" }}]; }}"
        ))
    };
    let pii = schema(&tagged("PII"));
    assert_ne!(pii.canonical(), schema(&tagged("NONE")).canonical());
    let expected = "string a = 1 [(.confluent.field_meta) = { doc: \"\" ";
    assert!(!pii.canonical().contains(expected), "defaults are not written");
    let expected = "params: { key: \"a\" value: \"1\" } params: { key: \"b\" value: \"2\" } params: { key: \"c\" value: \"3\" } tags: \"PII\"";
    for _ in 0..10 {
        assert!(schema(&tagged("PII")).canonical().contains(expected), "{}", pii.canonical());
    }
}

#[test]
fn normalization_sorts_what_has_no_order() {
    let text = proto3(
        "import \"google/protobuf/empty.proto\"; import public \"google/protobuf/any.proto\"; message A { map<int32, int32> b = 2; \
         message X {} map<int32, int32> a = 1; reserved 9, 5 to 7; reserved \"z\", \"y\"; } message C {} message B {}",
    );
    let first = schema(&text);
    let normalized = first.normalized();
    let places: Vec<usize> = [
        "any.proto",
        "empty.proto",
        "message A",
        "> a = 1",
        "message X",
        "> b = 2",
        "reserved 5 to 7, 9;",
        "reserved \"y\", \"z\";",
        "message C",
        "message B",
    ]
    .iter()
    .map(|part| normalized.find(part).unwrap_or_else(|| panic!("{part} in {normalized}")))
    .collect();
    assert!(places.is_sorted(), "{normalized}");
    assert_ne!(normalized, first.canonical());
}

#[test]
fn python_registers_descriptors_with_their_imports() {
    let item = FileDescriptorProto {
        name: Some("item.proto".to_owned()),
        package: Some("shop".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![message("Item")],
        ..FileDescriptorProto::default()
    };
    let field = |name: &str, number: i32, type_name: &str| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(1),
        r#type: Some(11),
        type_name: Some(type_name.to_owned()),
        json_name: Some(name.to_owned()),
        ..FieldDescriptorProto::default()
    };
    let order = FileDescriptorProto {
        name: Some("orders/order.proto".to_owned()),
        package: Some("shop".to_owned()),
        syntax: Some("proto3".to_owned()),
        dependency: vec!["item.proto".to_owned(), "google/protobuf/timestamp.proto".to_owned()],
        message_type: vec![DescriptorProto {
            field: vec![field("item", 1, ".shop.Item"), field("at", 2, ".google.protobuf.Timestamp")],
            ..message("Order")
        }],
        ..FileDescriptorProto::default()
    };
    let schema = schema_with(&format!("{}\n", encoded(&order)), &[reference("item.proto", &encoded(&item))]);
    assert_eq!(
        schema.text(),
        "syntax = \"proto3\";\npackage shop;\nimport \"item.proto\";\nimport \"google/protobuf/timestamp.proto\";\nmessage Order {\n  \
         .shop.Item item = 1;\n  .google.protobuf.Timestamp at = 2;\n}\n"
    );
    assert_eq!(schema.record_name(), Some("shop.Order"));
    assert_eq!(schema.serialized(), encoded(&order), "the name of the file is kept");
}

#[test]
fn imports_may_be_public_have_our_name_or_be_well_known() {
    let references = [
        reference("a.proto", &proto3("import public \"b.proto\";")),
        reference("b.proto", &proto3("import public \"default.proto\";")),
        reference("default.proto", &proto3("message C {}")),
    ];
    let text = proto3("import \"a.proto\"; message A { C c = 1; }");
    let schema = schema_with(&text, &references);
    assert!(
        schema.canonical().contains("import \"a.proto\";\nmessage"),
        "imports stay as they are written: {}",
        schema.canonical()
    );
    assert!(!STANDARD.decode(schema.serialized()).unwrap().windows(7).any(|bytes| bytes == b"b.proto"));
    for name in super::well_known::names().chain(["google/protobuf/struct.proto", "google/protobuf/type.proto"]) {
        schema_with(&proto3(&format!("import \"{name}\";")), &[]);
    }
}

#[test]
fn the_first_message_names_the_record() {
    assert_eq!(schema(PROTO2).record_name(), Some("shop.v1.Rule"));
    assert_eq!(schema(&proto3("enum A { B = 0; }")).record_name(), None);
}

// --- Compatibility ---

/// What is found when `new` reads what `old` wrote, each as `RULE path`.
fn found(old: &ProtobufSchema, new: &ProtobufSchema) -> Vec<String> {
    new.incompatibilities(old).iter().map(|found| format!("{} {}", found.rule, found.path)).collect()
}

#[test]
fn rules_hold_in_both_directions() {
    // Old, new, what the new one finds when it reads the old one, and the other way round.
    type Case = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);
    let proto3_cases: &[Case] = &[
        ("package a; message A {}", "package b; message A {}", &["PACKAGE_CHANGED #/"], &["PACKAGE_CHANGED #/"]),
        ("message A {}", "message A {} message B {}", &[], &["MESSAGE_REMOVED #/B"]),
        ("message A { message B {} }", "message A {}", &["MESSAGE_REMOVED #/A/B"], &[]),
        ("message A {} message B {}", "message B {} message A {}", &[], &[]),
        ("message A {} enum E { X = 0; }", "message A {}", &[], &[]),
        ("enum E { X = 0; Y = 1; }", "enum E { X = 0; Z = 1; }", &[], &[]),
        ("message A { int32 a = 1; }", "message A { int32 b = 1; string c = 2; }", &[], &[]),
        ("message A { int32 a = 1; }", "message A { int64 a = 1; }", &[], &[]),
        ("message A { bool a = 1; } enum E { X = 0; }", "message A { E a = 1; } enum E { X = 0; }", &[], &[]),
        ("message A { string a = 1; }", "message A { bytes a = 1; }", &[], &[]),
        ("message A { sint32 a = 1; }", "message A { sint64 a = 1; }", &[], &[]),
        ("message A { fixed32 a = 1; }", "message A { sfixed32 a = 1; }", &[], &[]),
        ("message A { fixed64 a = 1; }", "message A { sfixed64 a = 1; }", &[], &[]),
        (
            "message A { int32 a = 1; }",
            "message A { sint32 a = 1; }",
            &["FIELD_SCALAR_KIND_CHANGED #/A/1"],
            &["FIELD_SCALAR_KIND_CHANGED #/A/1"],
        ),
        (
            "message A { float a = 1; fixed32 b = 2; string c = 3; }",
            "message A { double a = 1; fixed64 b = 2; int32 c = 3; }",
            &["FIELD_SCALAR_KIND_CHANGED #/A/1", "FIELD_SCALAR_KIND_CHANGED #/A/2", "FIELD_SCALAR_KIND_CHANGED #/A/3"],
            &["FIELD_SCALAR_KIND_CHANGED #/A/1", "FIELD_SCALAR_KIND_CHANGED #/A/2", "FIELD_SCALAR_KIND_CHANGED #/A/3"],
        ),
        (
            "message A { int32 a = 1; } message B {}",
            "message A { B a = 1; } message B {}",
            &["FIELD_KIND_CHANGED #/A/1"],
            &["FIELD_KIND_CHANGED #/A/1"],
        ),
        (
            "message A { map<string, B> a = 1; } message B {}",
            "message A { repeated B a = 1; } message B {}",
            &["FIELD_KIND_CHANGED #/A/1"],
            &["FIELD_KIND_CHANGED #/A/1"],
        ),
        ("message A { map<string, int32> a = 1; }", "message A { map<string, int64> a = 1; }", &[], &[]),
        (
            "message A { map<string, int32> a = 1; }",
            "message A { map<int32, string> a = 1; }",
            &["FIELD_SCALAR_KIND_CHANGED #/A/1", "FIELD_SCALAR_KIND_CHANGED #/A/1"],
            &["FIELD_SCALAR_KIND_CHANGED #/A/1", "FIELD_SCALAR_KIND_CHANGED #/A/1"],
        ),
        (
            "message A { B a = 1; } message B {} message C {}",
            "message A { C a = 1; } message B {} message C {}",
            &["FIELD_NAMED_TYPE_CHANGED #/A/1"],
            &["FIELD_NAMED_TYPE_CHANGED #/A/1"],
        ),
        (
            "message A { optional int32 a = 1; optional string b = 2; optional A c = 3; }",
            "message A { repeated int32 a = 1; repeated string b = 2; repeated A c = 3; }",
            &["FIELD_NUMERIC_LABEL_CHANGED #/A/1"],
            &["FIELD_NUMERIC_LABEL_CHANGED #/A/1"],
        ),
        // As in Confluent's registry: a field without a label has none to compare.
        ("message A { int32 a = 1; }", "message A { repeated int32 a = 1; }", &[], &[]),
        (
            "message A { int32 a = 1; }",
            "message A { oneof o { int32 a = 1; int32 b = 2; } }",
            &[],
            &["ONEOF_FIELD_REMOVED #/A/o/2"],
        ),
        (
            "message A { int32 a = 1; int32 b = 2; }",
            "message A { oneof o { int32 a = 1; int32 b = 2; } }",
            &["MULTIPLE_FIELDS_MOVED_TO_ONEOF #/A/o"],
            &[],
        ),
        (
            "message A { oneof o { int32 a = 1; } int32 b = 2; }",
            "message A { oneof o { int32 a = 1; int32 b = 2; } }",
            &["FIELD_MOVED_TO_EXISTING_ONEOF #/A/o"],
            &[],
        ),
        (
            "message A { oneof o { int32 a = 1; } oneof p { int32 b = 2; } }",
            "message A { oneof o { int32 a = 1; int32 b = 2; } }",
            &["FIELD_MOVED_TO_EXISTING_ONEOF #/A/o"],
            &[],
        ),
        ("message A { oneof o { int32 a = 1; } }", "message A { oneof p { int32 a = 1; } }", &[], &[]),
        ("message A { oneof o { int32 a = 1; int32 b = 2; } }", "message A {}", &[], &[]),
        (
            "message A { oneof o { int32 a = 1; } }",
            "message A { oneof o { string a = 1; } }",
            &["FIELD_SCALAR_KIND_CHANGED #/A/o/1"],
            &["FIELD_SCALAR_KIND_CHANGED #/A/o/1"],
        ),
        ("message A { optional int32 a = 1; optional int32 b = 2; }", "message A { int32 a = 1; }", &[], &[]),
        (
            "message A { message B { int32 a = 1; } B b = 1; }",
            "message A { message B { string a = 1; } B b = 1; }",
            &["FIELD_SCALAR_KIND_CHANGED #/A/B/1"],
            &["FIELD_SCALAR_KIND_CHANGED #/A/B/1"],
        ),
    ];
    for (old, new, forwards, backwards) in proto3_cases {
        let (old, new) = (schema(&proto3(old)), schema(&proto3(new)));
        assert_eq!(&found(&old, &new), forwards, "{}\n{}", old.text(), new.text());
        assert_eq!(&found(&new, &old), backwards, "{}\n{}", new.text(), old.text());
    }
    let proto2_cases: &[Case] = &[
        (
            "message A {}",
            "message A { required int32 a = 1; }",
            &["REQUIRED_FIELD_ADDED #/A/1"],
            &["REQUIRED_FIELD_REMOVED #/A/1"],
        ),
        (
            "message A { required int32 a = 1; required string b = 2; }",
            "message A { optional int32 a = 1; optional string b = 2; }",
            &["FIELD_NUMERIC_LABEL_CHANGED #/A/1"],
            &["FIELD_NUMERIC_LABEL_CHANGED #/A/1"],
        ),
        (
            "message A { optional group B = 1 { optional int32 c = 1; } }",
            "message A { optional group B = 1 { optional string c = 1; } }",
            &["FIELD_SCALAR_KIND_CHANGED #/A/B/1"],
            &["FIELD_SCALAR_KIND_CHANGED #/A/B/1"],
        ),
        (
            "message A { optional group B = 1 { } }",
            "message A { message B { } optional B b = 1; }",
            &["FIELD_KIND_CHANGED #/A/1"],
            &["FIELD_KIND_CHANGED #/A/1"],
        ),
    ];
    for (old, new, forwards, backwards) in proto2_cases {
        let (old, new) = (schema(old), schema(new));
        assert_eq!(&found(&old, &new), forwards, "{}\n{}", old.text(), new.text());
        assert_eq!(&found(&new, &old), backwards, "{}\n{}", new.text(), old.text());
    }
}

#[test]
fn imported_types_are_compared_by_what_they_are() {
    let user = |package: &str| proto3(&format!("import \"home.proto\"; message A {{ {package}outer.Home home = 1; }}"));
    let home = |package: &str, kind: &str| {
        let text = format!("{package} message outer {{ message Home {{ {kind} id = 1; Home next = 2; }} }}");
        [reference("home.proto", &proto3(&text))]
    };
    let old = schema_with(&user("a."), &home("package a;", "int32"));
    let moved = schema_with(&user("b."), &home("package b;", "int64"));
    let changed = schema_with(&user("b."), &home("package b;", "string"));
    assert_eq!(found(&old, &moved), [""; 0]);
    let expected =
        ["FIELD_NAMED_TYPE_CHANGED #/A/1", "FIELD_SCALAR_KIND_CHANGED #/outer/Home/1", "FIELD_NAMED_TYPE_CHANGED #/outer/Home/2"];
    assert_eq!(found(&old, &changed), expected);
    let own =
        schema(&proto3("message A { outer.Home home = 1; } message outer { message Home { int32 id = 1; Home next = 2; } }"));
    assert_eq!(found(&own, &old), ["MESSAGE_REMOVED #/outer"]);
    assert_eq!(found(&old, &own), [""; 0]);
}

#[test]
fn at_most_a_hundred_incompatibilities_are_told() {
    let with = |kind: &str| {
        let fields: String = (1..500).map(|number| format!("{kind} f{number} = {number};")).collect();
        schema(&proto3(&format!("message A {{ {fields} }}")))
    };
    assert_eq!(found(&with("int32"), &with("string")).len(), 100);
}

#[test]
fn long_chains_of_imported_types_are_compared() {
    let chain = |last: &str| {
        let messages: String = (0..3_000).map(|index| format!("message M{index} {{ M{} next = 1; }}", index + 1)).collect();
        [reference("chain.proto", &proto3(&format!("{messages} message M3000 {{ {last} }}")))]
    };
    let user = proto3("import \"chain.proto\"; message A { M0 first = 1; }");
    let (old, new) = (schema_with(&user, &chain("int32 a = 1;")), schema_with(&user, &chain("string a = 1;")));
    assert_eq!(found(&old, &new).len(), 100, "every message of the chain is affected");
    assert_eq!(found(&old, &old), [""; 0]);
}

// --- Values ---

const ORDERS: &str = r#"syntax = "proto3"; package shop;
message Order {
  string id = 1; repeated Item items = 2; map<string, int64> totals = 3; repeated int32 counts = 4; repeated fixed32 codes = 5;
  double ratio = 6; Kind kind = 7; bytes raw = 8; optional Order parent = 9; sint64 delta = 200; bool on = 201;
  message Item { string name = 1; double price = 2; Detail detail = 3; message Detail { float weight = 1; } }
  enum Kind { NONE = 0; SOME = 1; }
}
message Other { int32 a = 1; }
"#;

const ORDER: &str = r#"id: "é-1" items: [{ name: "a" price: 1.5 detail { weight: 2 } }, {}, { name: "b" }] totals { key: "x" value: -1 }
  counts: [1, -2, 300] codes: [1, 2] ratio: 0.5 kind: SOME raw: "\377\000" parent { id: "p" } delta: -5 on: true"#;

#[test]
fn values_that_a_library_encodes_are_accepted() {
    let orders = schema(ORDERS);
    let message = bytes(ORDERS, "shop.Order", ORDER);
    orders.check_value(&value_of(&message)).unwrap();
    // The index in full: one number, zero.
    orders.check_value(&[&[2, 0][..], &message].concat()).unwrap();
    orders.check_value(&[2, 2, 8, 1]).unwrap();
    orders.check_value(&[0]).unwrap();
    // Unknown fields, of every wire type, and an enum constant that the schema does not know.
    let unknown =
        [&[0xa0, 0x06, 1, 0xa1, 0x06][..], &[0; 8], &[0xa2, 0x06, 1, 9, 0xa3, 0x06, 8, 1, 0xa4, 0x06, 0xa5, 0x06], &[0; 4]];
    orders.check_value(&value_of(&unknown.concat())).unwrap();
    orders.check_value(&value_of(&[0x38, 99])).unwrap();
}

#[test]
fn numbers_are_accepted_packed_and_one_by_one() {
    let orders = schema(ORDERS);
    orders.check_value(&value_of(&[0x22, 3, 1, 0xac, 0x02, 0x20, 7])).unwrap();
    orders.check_value(&value_of(&[0x2a, 4, 1, 0, 0, 0, 0x2d, 1, 0, 0, 0])).unwrap();
    assert!(value_error(&orders, &value_of(&[0x22, 1, 0x80])).starts_with("/counts/0: the bytes end inside a varint"));
    assert!(value_error(&orders, &value_of(&[0x2a, 3, 1, 0, 0])).contains("3 bytes are no list"));
}

#[test]
fn a_value_that_is_cut_inside_a_field_is_refused() {
    let orders = schema(ORDERS);
    let value = value_of(&bytes(ORDERS, "shop.Order", ORDER));
    let mut ends = HashSet::new();
    let mut reader = Reader::new(&value);
    reader.varint().unwrap();
    ends.insert(reader.position());
    while !reader.is_at_end() {
        let (number, wire_type) = reader.tag().unwrap();
        reader.skip_field(number, wire_type, 10).unwrap();
        ends.insert(reader.position());
    }
    for cut in 0..=value.len() {
        assert_eq!(orders.check_value(&value[..cut]).is_ok(), ends.contains(&cut), "cut at {cut}");
    }
}

#[test]
fn errors_of_values_say_where() {
    let orders = schema(ORDERS);
    let item = |bytes: &[u8]| [&[0x12, bytes.len() as u8], bytes].concat();
    // The price of the third item is a varint.
    let value = [value_of(&item(&[])), item(&[]), vec![0x20, 1], item(&[0x10, 1])].concat();
    let error = orders.check_value(&value).unwrap_err();
    assert_eq!(error.path, "/items/2/price");
    assert!(error.message.starts_with("the schema wants 8 bytes, the value has a varint"), "{}", error.message);
    assert!(value_error(&orders, &value_of(&[0x0a, 1, 0xff])).starts_with("/id: the text is not valid UTF-8"));
    assert!(value_error(&orders, &value_of(&[0x1a, 3, 0x0a, 1, 0xff])).starts_with("/totals/0/key: "));
    assert!(value_error(&orders, &value_of(&[0x4a, 2, 0x0a, 5])).starts_with("/parent/id: a length goes beyond the end"));
    assert!(value_error(&orders, &value_of(&[0x00])).contains("a field has number 0"));
    assert!(value_error(&orders, &value_of(&[0x0e])).contains("a wire type that does not exist"));
    assert!(value_error(&orders, &value_of(&[0x0c])).contains("the group 1 ends here"));
}

#[test]
fn message_indexes_lead_to_nested_messages() {
    let orders = schema(ORDERS);
    // Order.Item.Detail: descriptors count the entry of the map before Item, Item is written before it here.
    orders.check_value(&[6, 0, 0, 0, 0x0d, 0, 0, 0, 0]).unwrap();
    let cases: [(&[u8], &str); 8] = [
        (&[], "message index cannot be read"),
        (&[2], "message index cannot be read"),
        (&[1], "negative number"),
        (&[2, 1], "negative number"),
        (&[2, 4], "the schema has 2 messages, none at 2"),
        (&[4, 2, 0], "shop.Other has 0 messages"),
        (&[0xfe, 0xff, 0xff, 0xff, 0x0f], "levels, more than 32"),
        (&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], "levels, more than 32"),
    ];
    for (value, expected) in cases {
        let error = value_error(&orders, value);
        assert!(error.contains(expected), "{value:?}: {error}");
    }
    assert!(value_error(&schema("enum A { B = 0; }"), &[0]).contains("has 0 messages"));
}

#[test]
fn message_indexes_count_with_and_without_the_entries_of_maps() {
    let text = proto3(
        "message A { map<int32, int32> m = 1; message B { string b = 1; } map<int32, int32> n = 2; message C { int32 c = 1; } }",
    );
    let schema = schema(&text);
    let b = [0x0a, 1, b'x'];
    let c = [0x08, 1];
    // In the descriptor: MEntry, B, NEntry, C. In the text: B, C.
    schema.check_value(&[&[4, 0, 2][..], &b].concat()).unwrap();
    schema.check_value(&[&[4, 0, 0][..], &b].concat()).unwrap();
    schema.check_value(&[&[4, 0, 6][..], &c].concat()).unwrap();
    schema.check_value(&[&[4, 0, 2][..], &c].concat()).unwrap();
    value_error(&schema, &[&[4, 0, 0][..], &c].concat());
    value_error(&schema, &[4, 0, 8]);
}

#[test]
fn required_fields_are_there_in_every_message() {
    let text = "message A { required int32 a = 1; repeated A more = 2; optional string text = 3; optional group G = 4 { required bool b = 1; } }";
    let schema = schema(text);
    schema.check_value(&value_of(&bytes(text, "A", "a: 1 more { a: 2 } G { b: true }"))).unwrap();
    assert_eq!(schema.check_value(&value_of(&[])).unwrap_err().path, "/a");
    let error = schema.check_value(&value_of(&[8, 1, 0x12, 2, 8, 1, 0x12, 0])).unwrap_err();
    assert_eq!((error.path.as_str(), error.message.as_str()), ("/more/1/a", "the required field is missing in A"));
    assert_eq!(schema.check_value(&value_of(&[8, 1, 0x23, 0x24])).unwrap_err().path, "/g/b");
    // proto2 does not look into strings.
    schema.check_value(&value_of(&[8, 1, 0x1a, 1, 0xff])).unwrap();
    let many: String = (1..=100).map(|number| format!("required int32 f{number} = {number};")).collect();
    let many = format!("message A {{ {many} }}");
    let with_many = ProtobufSchema::parse(&many, &[]).unwrap();
    let all: String = (1..=100).map(|number| format!("f{number}: 1 ")).collect();
    with_many.check_value(&value_of(&bytes(&many, "A", &all))).unwrap();
    let error = with_many.check_value(&value_of(&[8, 1, 8, 1])).unwrap_err();
    assert_eq!(error.path, "/f2");
}

#[test]
fn groups_end_with_their_own_number() {
    let text = "message A { optional group G = 1 { optional int32 a = 1; optional group H = 2 { } } optional int32 b = 3; }";
    let schema = schema(text);
    schema.check_value(&value_of(&bytes(text, "A", "G { a: 1 H { } } b: 2"))).unwrap();
    assert!(value_error(&schema, &value_of(&[0x0b, 8, 1])).starts_with("/g: a group has no end"));
    assert!(value_error(&schema, &value_of(&[0x0b, 0x14])).contains("the group 2 ends here"));
    assert!(value_error(&schema, &value_of(&[0x0b, 0x13, 0x0c])).starts_with("/g/h: the group 1 ends here"));
    // Of an unknown field.
    assert!(value_error(&schema, &value_of(&[0x3b, 0x44])).contains("a group ends that did not begin"));
}

#[test]
fn values_nest_at_most_a_hundred_deep() {
    let schema = schema(&proto3("message A { A a = 1; }"));
    let nested = |levels: usize| {
        let mut message: Vec<u8> = Vec::new();
        for _ in 1..levels {
            let mut outer = vec![0x0a];
            let mut length = message.len();
            while length >= 0x80 {
                outer.push(length as u8 | 0x80);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.extend(message);
            message = outer;
        }
        value_of(&message)
    };
    schema.check_value(&nested(100)).unwrap();
    assert!(value_error(&schema, &nested(101)).contains("nest more than 100 deep"));
    value_error(&schema, &nested(20_000));
    // Groups without an end, in a field that is not known.
    assert!(value_error(&schema, &value_of(&[0x13; 100_000])).contains("groups nest too deep"));
}

#[test]
fn random_bytes_do_no_harm() {
    let orders = schema(ORDERS);
    let value = value_of(&bytes(ORDERS, "shop.Order", ORDER));
    // A fixed sequence (xorshift), so that a failure repeats.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        let mut changed = value.clone();
        for _ in 0..3 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let place = usize::try_from(state >> 32).unwrap() % changed.len();
            changed[place] = state as u8;
        }
        let _ = orders.check_value(&changed);
        let _ = ProtobufSchema::parse(&STANDARD.encode(&changed), &[]);
    }
}

#[test]
fn damaged_descriptors_do_no_harm() {
    let descriptor = STANDARD.decode(schema(PROTO2).serialized()).unwrap();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..150 {
        let mut changed = descriptor.clone();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let place = usize::try_from(state >> 32).unwrap() % changed.len();
        changed[place] = state as u8;
        let _ = ProtobufSchema::parse(&STANDARD.encode(&changed), &[]);
    }
    let empty = EnumDescriptorProto { name: Some("E".to_owned()), ..EnumDescriptorProto::default() };
    refusal(&encoded(&FileDescriptorProto { enum_type: vec![empty], ..FileDescriptorProto::default() }));
}
