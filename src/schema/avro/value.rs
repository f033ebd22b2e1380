//! Walks a value in Avro's binary encoding along a schema, without building anything from it.
//!
//! Stricter than Java's decoder where that would read nonsense: texts are UTF-8, booleans are 0 or 1, an int fits into one, sizes of blocks are
//! true, nothing is left over.

use super::tree::{Node, NodeId, Record, Tree};
use crate::schema::format::ValueError;

/// Types in types of a value. The walk calls itself for each, and a value needs a byte or less for one.
const DEPTH_MAX: usize = 256;
/// Values that are looked at: so many, and some for each byte. Items without bytes (null, a record without fields) would else cost their
/// count, which is any number.
const VISITS_SPARE: usize = 100_000;
const VISITS_PER_BYTE: usize = 8;
/// Of a map's key in a path.
const KEY_LETTERS_MAX: usize = 100;

/// Checks that `value` is one of `tree`, the whole of it.
pub(super) fn check(tree: &Tree, value: &[u8]) -> Result<(), ValueError> {
    // Confluent's serializers write plain bytes as they are, without their length (AbstractKafkaAvroSerializer).
    if matches!(tree.node(tree.root()), Node::Bytes) {
        return Ok(());
    }
    let visits_left = value.len().saturating_mul(VISITS_PER_BYTE).saturating_add(VISITS_SPARE);
    let mut walk = Walk { tree, rest: value, visits_left };
    walk.value(tree.root(), 0).and_then(|()| walk.end()).map_err(|wrong| wrong.into_error())
}

/// What is wrong, and where; the path grows, from its end, on the way back.
struct Wrong {
    path: Vec<String>,
    message: String,
}

type Checked<T> = Result<T, Box<Wrong>>;

struct Walk<'t, 'v> {
    tree: &'t Tree,
    rest: &'v [u8],
    visits_left: usize,
}

impl<'v> Walk<'_, 'v> {
    fn value(&mut self, schema: NodeId, depth: usize) -> Checked<()> {
        self.visit(depth)?;
        let tree = self.tree;
        match tree.node(schema) {
            Node::Null => Ok(()),
            Node::Boolean => self.boolean(),
            Node::Int => self.int(),
            Node::Long => self.long().map(drop),
            Node::Float => self.take(4, "float").map(drop),
            Node::Double => self.take(8, "double").map(drop),
            Node::Bytes => self.sized("bytes").map(drop),
            Node::String => self.text("string").map(drop),
            Node::Fixed(fixed) => self.take(fixed.size, "fixed").map(drop),
            Node::Enum(one) => self.position(one.symbols.len(), "symbol", "an enum").map(drop),
            Node::Record(record) => self.record(record, depth),
            Node::Array(items) => self.blocks(*items, Collection::Array, depth),
            Node::Map(values) => self.blocks(*values, Collection::Map, depth),
            Node::Union(branches) => {
                let position = self.position(branches.len(), "branch", "a union")?;
                match branches.get(position) {
                    Some(branch) => self.value(*branch, depth + 1),
                    None => Ok(()),
                }
            }
        }
    }

    fn visit(&mut self, depth: usize) -> Checked<()> {
        if depth > DEPTH_MAX {
            return Err(wrong(format!("the value is nested more than {DEPTH_MAX} levels deep")));
        }
        match self.visits_left.checked_sub(1) {
            Some(left) => self.visits_left = left,
            None => return Err(wrong("the value has too many parts for its size".to_owned())),
        }
        Ok(())
    }

    fn record(&mut self, record: &Record, depth: usize) -> Checked<()> {
        for field in &record.fields {
            self.value(field.schema, depth + 1).map_err(|wrong| wrong.inside(&field.name))?;
        }
        Ok(())
    }

    /// Blocks of items, or of keys and values, up to an empty one. A count below zero is one with the block's size after it.
    fn blocks(&mut self, item: NodeId, collection: Collection, depth: usize) -> Checked<()> {
        let mut position = 0_u64;
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            let left_after = if count < 0 { Some(self.block_end()?) } else { None };
            for _ in 0..count.unsigned_abs() {
                match collection {
                    Collection::Array => {
                        self.value(item, depth + 1).map_err(|wrong| wrong.inside(&position.to_string()))?;
                    }
                    Collection::Map => {
                        let key = self.text("key")?;
                        self.value(item, depth + 1).map_err(|wrong| wrong.inside(&start_of(key)))?;
                    }
                }
                position += 1;
            }
            if left_after.is_some_and(|left| left != self.rest.len()) {
                return Err(wrong("a block is not of the size that it says".to_owned()));
            }
        }
    }

    /// How many bytes are left after a block of which the size comes next.
    fn block_end(&mut self) -> Checked<usize> {
        let size = self.length("block")?;
        let left = self.rest.len();
        left.checked_sub(size).ok_or_else(|| wrong(format!("the value ends within a block of {size} bytes, {left} are left")))
    }

    fn boolean(&mut self) -> Checked<()> {
        match self.take(1, "boolean")? {
            [0 | 1] => Ok(()),
            other => Err(wrong(format!("a boolean is {}, not 0 or 1", other.first().copied().unwrap_or_default()))),
        }
    }

    fn int(&mut self) -> Checked<()> {
        let number = self.long()?;
        match i32::try_from(number) {
            Ok(_) => Ok(()),
            Err(_) => Err(wrong(format!("{number} does not fit into an int"))),
        }
    }

    /// A zigzag number of one to ten bytes, of which the last has one bit.
    fn long(&mut self) -> Checked<i64> {
        let (mut number, mut shift) = (0_u64, 0_u32);
        for (position, byte) in self.rest.iter().enumerate() {
            if shift == 63 && *byte > 1 {
                return Err(wrong("a number has more than 64 bits".to_owned()));
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(position + 1..).unwrap_or_default();
                return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
            shift += 7;
        }
        Err(wrong("the value ends within a number".to_owned()))
    }

    /// The position of a symbol or a branch.
    fn position(&mut self, count: usize, what: &str, of: &str) -> Checked<usize> {
        let number = self.long()?;
        match usize::try_from(number) {
            Ok(position) if position < count => Ok(position),
            _ => Err(wrong(format!("{what} {number} of {of} of {count}"))),
        }
    }

    fn text(&mut self, what: &str) -> Checked<&'v str> {
        let bytes = self.sized(what)?;
        std::str::from_utf8(bytes).map_err(|error| wrong(format!("a {what} is not UTF-8 after {} bytes", error.valid_up_to())))
    }

    /// Bytes after their number.
    fn sized(&mut self, what: &str) -> Checked<&'v [u8]> {
        let length = self.length(what)?;
        self.take(length, what)
    }

    fn length(&mut self, what: &str) -> Checked<usize> {
        let number = self.long()?;
        usize::try_from(number).map_err(|_| wrong(format!("the length of a {what} is {number}")))
    }

    fn take(&mut self, length: usize, what: &str) -> Checked<&'v [u8]> {
        let left = self.rest.len();
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(wrong(format!("the value ends within a {what} of {length} bytes, {left} are left")));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn end(&self) -> Checked<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(wrong(format!("{left} bytes are left over after the value"))),
        }
    }
}

#[derive(Clone, Copy)]
enum Collection {
    Array,
    Map,
}

impl Wrong {
    fn inside(mut self: Box<Self>, part: &str) -> Box<Self> {
        self.path.push(part.replace('~', "~0").replace('/', "~1"));
        self
    }

    fn into_error(self) -> ValueError {
        let path = self.path.iter().rev().map(|part| format!("/{part}")).collect();
        ValueError { path, message: self.message }
    }
}

fn wrong(message: String) -> Box<Wrong> {
    Box::new(Wrong { path: Vec::new(), message })
}

fn start_of(key: &str) -> String {
    match key.char_indices().nth(KEY_LETTERS_MAX) {
        Some((end, _)) => format!("{}…", key.get(..end).unwrap_or_default()),
        None => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    //! Goal: values that Avro's own library writes are right, whole and no part of them; values made to hurt end soon, with a reason and a
    //! place. Method: the library's encoder, and bytes by hand.

    use super::super::tests::schema;
    use super::*;
    use apache_avro::types::Value;
    use apache_avro::writer::datum::GenericDatumWriter;
    use std::collections::HashMap;

    const EVERYTHING: &str = r#"{"type":"record","name":"Everything","fields":[
        {"name":"nothing","type":"null"},
        {"name":"boolean","type":"boolean"},
        {"name":"int","type":"int"},
        {"name":"long","type":"long"},
        {"name":"float","type":"float"},
        {"name":"double","type":"double"},
        {"name":"bytes","type":"bytes"},
        {"name":"string","type":"string"},
        {"name":"fixed","type":{"type":"fixed","name":"F","size":3}},
        {"name":"enum","type":{"type":"enum","name":"E","symbols":["A","B"]}},
        {"name":"array","type":{"type":"array","items":"int"}},
        {"name":"map","type":{"type":"map","values":["null","long"]}},
        {"name":"record","type":{"type":"record","name":"Inner","fields":[{"name":"text","type":"string"}]}}]}"#;

    fn written(text: &str, value: Value) -> Vec<u8> {
        let schema = apache_avro::Schema::parse_str(text).unwrap();
        GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap()
    }

    fn everything() -> Value {
        let field = |name: &str, value: Value| (name.to_owned(), value);
        Value::Record(vec![
            field("nothing", Value::Null),
            field("boolean", Value::Boolean(true)),
            field("int", Value::Int(i32::MIN)),
            field("long", Value::Long(i64::MIN)),
            field("float", Value::Float(1.5)),
            field("double", Value::Double(-2.5)),
            field("bytes", Value::Bytes(vec![0, 0xff])),
            field("string", Value::String("grüße".to_owned())),
            field("fixed", Value::Fixed(3, vec![1, 2, 3])),
            field("enum", Value::Enum(1, "B".to_owned())),
            field("array", Value::Array((0..100).map(Value::Int).collect())),
            field("map", Value::Map(HashMap::from([("k".to_owned(), Value::Union(1, Box::new(Value::Long(7))))]))),
            field("record", Value::Record(vec![field("text", Value::String("end".to_owned()))])),
        ])
    }

    #[test]
    fn values_of_the_library_are_right_and_no_part_of_them_is() {
        let bytes = written(EVERYTHING, everything());
        let schema = schema(EVERYTHING);
        assert_eq!(schema.check_value(&bytes), Ok(()));
        for length in 0..bytes.len() {
            let error = schema.check_value(&bytes[..length]).expect_err("a part of a value is none");
            assert!(error.message.contains("ends within"), "{length} bytes: {error}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(schema.check_value(&longer).unwrap_err().message, "1 bytes are left over after the value");
    }

    #[test]
    fn any_change_of_a_byte_is_walked_without_harm() {
        let bytes = written(EVERYTHING, everything());
        let schema = schema(EVERYTHING);
        let mut refused = 0;
        for position in 0..bytes.len() {
            for change in [0x01, 0x40, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[position] ^= change;
                refused += usize::from(schema.check_value(&bytes).is_err());
            }
        }
        assert!(refused > bytes.len() / 4, "{refused}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        const INT_ARRAY: &str = r#"{"type":"array","items":"int"}"#;
        const AB: &str = r#"{"type":"enum","name":"E","symbols":["A","B"]}"#;
        const ITEMS: &str = r#"{"type":"record","name":"R","fields":[{"name":"items","type":{"type":"array","items":
            {"type":"record","name":"I","fields":[{"name":"price","type":["null","int"]}]}}}]}"#;
        let table: &[(&str, &[u8], &str, &str)] = &[
            (r#""int""#, &[], "", "the value ends within a number"),
            (r#""int""#, &[0x80], "", "the value ends within a number"),
            (r#""int""#, &[0x80, 0x80, 0x80, 0x80, 0x10], "", "2147483648 does not fit into an int"),
            (r#""int""#, &[0x02, 0x00], "", "1 bytes are left over after the value"),
            (r#""long""#, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], "", "a number has more than 64 bits"),
            (
                r#""long""#,
                &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
                "",
                "a number has more than 64 bits",
            ),
            (r#""boolean""#, &[2], "", "a boolean is 2, not 0 or 1"),
            (r#""null""#, &[0], "", "1 bytes are left over after the value"),
            (r#""float""#, &[0, 0, 0], "", "the value ends within a float of 4 bytes, 3 are left"),
            (r#""string""#, &[0x01], "", "the length of a string is -1"),
            (r#""string""#, &[0x18, b'a'], "", "the value ends within a string of 12 bytes, 1 are left"),
            (r#""string""#, &[0x04, b'a', 0xff], "", "a string is not UTF-8 after 1 bytes"),
            (AB, &[0x04], "", "symbol 2 of an enum of 2"),
            (r#"["null","int"]"#, &[0x0e], "", "branch 7 of a union of 2"),
            (r#"["null","int"]"#, &[0x01], "", "branch -1 of a union of 2"),
            ("[]", &[0x00], "", "branch 0 of a union of 0"),
            (INT_ARRAY, &[0x04, 0x02], "/1", "the value ends within a number"),
            (INT_ARRAY, &[0x02, 0x02, 0x02, 0x80, 0x80, 0x80, 0x80, 0x10, 0x00], "/1", "2147483648 does not fit into an int"),
            (INT_ARRAY, &[0x03, 0x02, 0x02, 0x04, 0x00], "", "a block is not of the size that it says"),
            (INT_ARRAY, &[0x01, 0x7e, 0x02, 0x00], "", "the value ends within a block of 63 bytes, 2 are left"),
            (INT_ARRAY, &[0x01, 0x01, 0x02, 0x00], "", "the length of a block is -1"),
            (r#"{"type":"map","values":"int"}"#, &[0x02, 0x04, b'~', b'/'], "/~0~1", "the value ends within a number"),
            (r#"{"type":"map","values":"int"}"#, &[0x02, 0x02, 0xff, 0x00], "", "a key is not UTF-8 after 0 bytes"),
            (ITEMS, &[0x08, 0x00, 0x00, 0x00, 0x06], "/items/3/price", "branch 3 of a union of 2"),
        ];
        for (text, bytes, path, message) in table {
            let error = schema(text).check_value(bytes).expect_err(message);
            assert_eq!((error.path.as_str(), error.message.as_str()), (*path, *message), "{text} {bytes:x?}");
        }
    }

    #[test]
    fn right_values_in_other_forms_are_right() {
        const INT_ARRAY: &str = r#"{"type":"array","items":"int"}"#;
        let table: &[(&str, &[u8])] = &[
            (r#""null""#, &[]),
            (r#""long""#, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            (INT_ARRAY, &[0x00]),
            (INT_ARRAY, &[0x03, 0x04, 0x02, 0x04, 0x02, 0x06, 0x00]),
            (r#"{"type":"record","name":"R","fields":[]}"#, &[]),
            (r#"{"type":"fixed","name":"F","size":0}"#, &[]),
            (r#"{"type":"array","items":"null"}"#, &[0xa0, 0x1f, 0x00]),
            // Plain bytes have no length before them; those inside something do.
            (r#""bytes""#, &[]),
            (r#""bytes""#, &[0xff, 0xff]),
            (r#"{"type":"bytes","logicalType":"decimal","precision":4}"#, &[0xff]),
            (r#"["bytes"]"#, &[0x00, 0x02, 0xff]),
        ];
        for (text, bytes) in table {
            assert_eq!(schema(text).check_value(bytes), Ok(()), "{text} {bytes:x?}");
        }
        assert!(schema(r#"["bytes"]"#).check_value(&[0x00, 0xff]).is_err());
    }

    #[test]
    fn items_without_bytes_do_not_cost_their_count() {
        let most = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        let least = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00];
        for items in [r#""null""#, r#"{"type":"record","name":"R","fields":[]}"#, r#"{"type":"fixed","name":"F","size":0}"#] {
            let schema = schema(&format!(r#"{{"type":"array","items":{items}}}"#));
            for count in [&most[..], &least[..]] {
                let error = schema.check_value(count).unwrap_err();
                assert_eq!(error.message, "the value has too many parts for its size", "{items}");
            }
        }
    }

    #[test]
    fn deep_values_are_refused_and_the_stack_holds() {
        let endless = schema(r#"{"type":"record","name":"N","fields":[{"name":"next","type":"N"}]}"#);
        assert!(endless.check_value(&[]).unwrap_err().message.contains("nested"));
        let list = schema(r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#);
        let of_length = |length: usize| [vec![2_u8; length], vec![0]].concat();
        assert_eq!(list.check_value(&of_length(100)), Ok(()));
        let error = list.check_value(&of_length(1_000_000)).unwrap_err();
        assert_eq!(error.message, format!("the value is nested more than {DEPTH_MAX} levels deep"));
        assert!(error.path.starts_with("/next/next/"), "{}", error.path);
        let arrays = schema(r#"{"type":"record","name":"A","fields":[{"name":"a","type":{"type":"array","items":"A"}}]}"#);
        assert!(arrays.check_value(&vec![2_u8; 1_000_000]).is_err());
    }
}
