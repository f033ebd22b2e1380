//! Whether a reader's schema reads what a writer's wrote, by the rules of Java's `SchemaCompatibility`.
//!
//! First every pair of types that meet is listed, with what it needs of other pairs (`explore`); then what cannot be read is carried to the
//! pairs that need it (`spread`); then the reasons are told (`report.rs`). A pair whose types contain themselves needs itself, and is right until
//! something proves it wrong. Java decides on the way down and so, in types that contain each other, can remember as right what is wrong.
//! Without recursion, and with bounded work: schemas come from anyone.

use super::report;
use super::tree::{Named, Node, NodeId, Record, Tree};
use crate::schema::format::Incompatibility;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

const PAIRS_MAX: usize = 200_000;
/// Fields, branches and symbols that are looked at, over all pairs.
const WORK_MAX: usize = 2_000_000;

/// Why `reader` cannot read what `writer` wrote.
pub(super) fn incompatibilities(reader: &Tree, writer: &Tree) -> Vec<Incompatibility> {
    let mut comparison = Comparison {
        reader,
        writer,
        pairs: Vec::new(),
        ids: HashMap::new(),
        written_fields: HashMap::new(),
        work_left: WORK_MAX,
    };
    if let Err(TooLarge) = comparison.explore() {
        return vec![Incompatibility {
            rule: "TYPE_MISMATCH",
            path: "/".to_owned(),
            message: format!(
                "the schemas are too large to compare: more than {PAIRS_MAX} pairs of types, or {WORK_MAX} parts of them"
            ),
        }];
    }
    comparison.spread();
    report::report(&comparison)
}

/// All pairs of types of a reader and a writer that meet.
pub(super) struct Comparison<'t> {
    pub reader: &'t Tree,
    pub writer: &'t Tree,
    /// The first is that of the whole schemas.
    pub pairs: Vec<Pair>,
    ids: HashMap<(NodeId, NodeId), usize>,
    /// Of the writer's records that were met.
    written_fields: HashMap<NodeId, HashMap<&'t str, NodeId>>,
    work_left: usize,
}

/// A type of the reader that has to read a type of the writer.
pub(super) struct Pair {
    pub reader: NodeId,
    pub writer: NodeId,
    pub needs: Needs,
    pub steps: Vec<Step>,
    pub is_wrong: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Every step is right.
    All,
    /// One step is: the reader is a union and the writer none.
    One,
}

/// What a pair needs, in the order in which it is told.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Wrong(Wrong),
    Child { place: Place, pair: usize },
}

/// What is wrong with a pair itself.
#[derive(Clone, Copy)]
pub(super) enum Wrong {
    Type,
    Name,
    Size,
    Symbols,
    /// The reader's field at this position is not written, and has no default.
    NoDefault(usize),
    /// No branch of the reader's union reads the writer's type, or that branch of the writer's union.
    NoBranch(Option<usize>),
}

/// Where in the reader's type another one is.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Same,
    Items,
    Values,
    Field(usize),
    Branch(usize),
}

struct TooLarge;

impl<'t> Comparison<'t> {
    fn explore(&mut self) -> Result<(), TooLarge> {
        self.pair(self.reader.root(), self.writer.root())?;
        let mut next = 0;
        while let Some(pair) = self.pairs.get(next) {
            let (reader, writer) = (pair.reader, pair.writer);
            let (needs, steps) = self.compare(reader, writer)?;
            if let Some(pair) = self.pairs.get_mut(next) {
                pair.needs = needs;
                pair.steps = steps;
            }
            next += 1;
        }
        Ok(())
    }

    /// The position of a pair, which may be a new one.
    fn pair(&mut self, reader: NodeId, writer: NodeId) -> Result<usize, TooLarge> {
        let next = self.pairs.len();
        match self.ids.entry((reader, writer)) {
            Entry::Occupied(known) => return Ok(*known.get()),
            Entry::Vacant(_) if next >= PAIRS_MAX => return Err(TooLarge),
            Entry::Vacant(free) => free.insert(next),
        };
        self.pairs.push(Pair { reader, writer, needs: Needs::All, steps: Vec::new(), is_wrong: false });
        Ok(next)
    }

    fn compare(&mut self, reader_id: NodeId, writer_id: NodeId) -> Result<(Needs, Vec<Step>), TooLarge> {
        let (reader_tree, writer_tree) = (self.reader, self.writer);
        let (reader, writer) = (reader_tree.node(reader_id), writer_tree.node(writer_id));
        let steps = match (reader, writer) {
            (_, Node::Union(branches)) => self.written_union(reader_id, matches!(reader, Node::Union(_)), branches)?,
            (Node::Union(branches), _) => return Ok((Needs::One, self.alternatives(branches, writer_id)?)),
            (Node::Array(read), Node::Array(written)) => {
                vec![Step::Child { place: Place::Items, pair: self.pair(*read, *written)? }]
            }
            (Node::Map(read), Node::Map(written)) => {
                vec![Step::Child { place: Place::Values, pair: self.pair(*read, *written)? }]
            }
            (Node::Fixed(read), Node::Fixed(written)) => {
                let mut steps = self.names(&read.named, &written.named)?;
                if read.size != written.size {
                    steps.push(Step::Wrong(Wrong::Size));
                }
                steps
            }
            (Node::Enum(read), Node::Enum(written)) => {
                let mut steps = self.names(&read.named, &written.named)?;
                self.take(read.symbols.len() + written.symbols.len())?;
                let known: HashSet<&String> = read.symbols.iter().collect();
                if !read.has_default && !written.symbols.iter().all(|symbol| known.contains(symbol)) {
                    steps.push(Step::Wrong(Wrong::Symbols));
                }
                steps
            }
            (Node::Record(read), Node::Record(written)) => {
                let mut steps = self.names(&read.named, &written.named)?;
                self.fields(read, writer_id, written, &mut steps)?;
                steps
            }
            _ if reader.reads_primitive(writer) => Vec::new(),
            _ => vec![Step::Wrong(Wrong::Type)],
        };
        Ok((Needs::All, steps))
    }

    /// Whatever branch was written, the reader has to read it.
    fn written_union(&mut self, reader: NodeId, reader_is_union: bool, branches: &[NodeId]) -> Result<Vec<Step>, TooLarge> {
        self.take(branches.len())?;
        let mut steps = Vec::with_capacity(branches.len());
        for (position, branch) in branches.iter().enumerate() {
            let place = if reader_is_union { Place::Branch(position) } else { Place::Same };
            steps.push(Step::Child { place, pair: self.pair(reader, *branch)? });
        }
        Ok(steps)
    }

    /// The branches of the reader's union that may read a type which is no union.
    fn alternatives(&mut self, branches: &[NodeId], writer_id: NodeId) -> Result<Vec<Step>, TooLarge> {
        let (reader_tree, writer_tree) = (self.reader, self.writer);
        let writer = writer_tree.node(writer_id);
        let mut steps = Vec::new();
        for branch in branches {
            let reader = reader_tree.node(*branch);
            self.take(1 + reader.named().map_or(0, |named| named.aliases.len()))?;
            let may_read = match (reader.named(), writer.named()) {
                (Some(read), Some(written)) => reader.type_name() == writer.type_name() && read.reads(written),
                (None, None) => reader.type_name() == writer.type_name() || reader.reads_primitive(writer),
                _ => false,
            };
            if may_read {
                steps.push(Step::Child { place: Place::Same, pair: self.pair(*branch, writer_id)? });
            }
        }
        Ok(steps)
    }

    fn names(&mut self, reader: &Named, writer: &Named) -> Result<Vec<Step>, TooLarge> {
        self.take(1 + reader.aliases.len())?;
        Ok(if reader.reads(writer) { Vec::new() } else { vec![Step::Wrong(Wrong::Name)] })
    }

    /// Every field that is read was written, under its name or an alias, or has a default.
    fn fields(&mut self, reader: &Record, writer_id: NodeId, writer: &'t Record, steps: &mut Vec<Step>) -> Result<(), TooLarge> {
        self.written_fields
            .entry(writer_id)
            .or_insert_with(|| writer.fields.iter().map(|field| (field.name.as_str(), field.schema)).collect());
        for (position, field) in reader.fields.iter().enumerate() {
            self.take(1 + field.aliases.len())?;
            let written = self.written_fields.get(&writer_id).and_then(|written| {
                let mut names = std::iter::once(&field.name).chain(&field.aliases);
                names.find_map(|name| written.get(name.as_str()).copied())
            });
            match written {
                Some(written) => {
                    steps.push(Step::Child { place: Place::Field(position), pair: self.pair(field.schema, written)? });
                }
                None if field.has_default => {}
                None => steps.push(Step::Wrong(Wrong::NoDefault(position))),
            }
        }
        Ok(())
    }

    fn take(&mut self, work: usize) -> Result<(), TooLarge> {
        self.work_left = self.work_left.checked_sub(work).ok_or(TooLarge)?;
        Ok(())
    }

    /// Marks the pairs that are wrong in themselves, and from those all that need them.
    fn spread(&mut self) {
        let mut parents = vec![Vec::new(); self.pairs.len()];
        let mut children_left = vec![0_usize; self.pairs.len()];
        let mut open = Vec::new();
        for (id, pair) in self.pairs.iter_mut().enumerate() {
            for step in &pair.steps {
                match step {
                    Step::Child { pair, .. } => {
                        parents[*pair].push(id);
                        children_left[id] += 1;
                    }
                    Step::Wrong(_) => pair.is_wrong = true,
                }
            }
            pair.is_wrong |= pair.needs == Needs::One && pair.steps.is_empty();
            if pair.is_wrong {
                open.push(id);
            }
        }
        while let Some(wrong) = open.pop() {
            for id in &parents[wrong] {
                let parent = &mut self.pairs[*id];
                children_left[*id] -= 1;
                let has_way_out = parent.needs == Needs::One && children_left[*id] > 0;
                if !parent.is_wrong && !has_way_out {
                    parent.is_wrong = true;
                    open.push(*id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: what Avro's own tests expect (TestSchemaCompatibility*.java), with rule, place and words; right answers where types contain each
    //! other; and bounded work. Method: tables of a reader and a writer.

    use super::super::AvroSchema;
    use super::super::tests::schema;

    fn found(reader: &AvroSchema, writer: &AvroSchema) -> Vec<(&'static str, String, String)> {
        reader.incompatibilities(writer).into_iter().map(|one| (one.rule, one.path, one.message)).collect()
    }

    fn record(fields: &str) -> String {
        format!(r#"{{"type":"record","name":"Record1","fields":[{fields}]}}"#)
    }

    fn list(head: &str) -> String {
        format!(
            r#"{{"type":"record","name":"List","fields":[{{"name":"head","type":"{head}"}},{{"name":"tail","type":["null","List"]}}]}}"#
        )
    }

    fn enumeration(name: &str, symbols: &str, more: &str) -> String {
        format!(r#"{{"type":"enum","name":"{name}","symbols":[{symbols}]{more}}}"#)
    }

    #[test]
    fn readers_that_cannot_read_say_why_and_where() {
        let int_array = r#"{"type":"array","items":"int"}"#;
        let long_array = r#"{"type":"array","items":"long"}"#;
        let int_map = r#"{"type":"map","values":"int"}"#;
        let long_map = r#"{"type":"map","values":"long"}"#;
        let ab = enumeration("Enum1", r#""A","B""#, "");
        let cab = enumeration("Enum1", r#""C","A","B","D""#, "");
        let fixed = |name: &str, size: usize| format!(r#"{{"type":"fixed","name":"{name}","size":{size}}}"#);
        let field = |kind: &str| record(&format!(r#"{{"name":"a","type":{kind}}}"#));
        let type_mismatch = |path: &str, reader: &str, writer: &str| {
            ("TYPE_MISMATCH", path.to_owned(), format!("reader type: {reader} not compatible with writer type: {writer}"))
        };
        let no_branch = |path: &str, writer: &str| {
            ("MISSING_UNION_BRANCH", path.to_owned(), format!("reader union lacking writer type: {writer}"))
        };
        let no_default = |path: &str, name: &str| ("READER_FIELD_MISSING_DEFAULT_VALUE", path.to_owned(), name.to_owned());
        let wrong_name = |path: &str, name: &str| ("NAME_MISMATCH", path.to_owned(), format!("expected: {name}"));
        type Row<'a> = (String, String, Vec<(&'a str, String, String)>);
        let table: Vec<Row<'_>> = vec![
            (r#""null""#.into(), r#""int""#.into(), vec![type_mismatch("/", "NULL", "INT")]),
            (r#""boolean""#.into(), r#""int""#.into(), vec![type_mismatch("/", "BOOLEAN", "INT")]),
            (r#""int""#.into(), r#""long""#.into(), vec![type_mismatch("/", "INT", "LONG")]),
            (r#""long""#.into(), r#""float""#.into(), vec![type_mismatch("/", "LONG", "FLOAT")]),
            (r#""float""#.into(), r#""double""#.into(), vec![type_mismatch("/", "FLOAT", "DOUBLE")]),
            (r#""double""#.into(), r#""string""#.into(), vec![type_mismatch("/", "DOUBLE", "STRING")]),
            (r#""string""#.into(), r#""boolean""#.into(), vec![type_mismatch("/", "STRING", "BOOLEAN")]),
            (r#""bytes""#.into(), fixed("F", 1), vec![type_mismatch("/", "BYTES", "FIXED")]),
            (int_array.into(), long_array.into(), vec![type_mismatch("/items", "INT", "LONG")]),
            (int_map.into(), int_array.into(), vec![type_mismatch("/", "MAP", "ARRAY")]),
            (int_map.into(), long_map.into(), vec![type_mismatch("/values", "INT", "LONG")]),
            (ab.clone(), r#""int""#.into(), vec![type_mismatch("/", "ENUM", "INT")]),
            (
                list("int"),
                list("long"),
                vec![type_mismatch("/fields/0/type", "INT", "LONG"), no_branch("/fields/1/type/1", "RECORD")],
            ),
            (
                r#""int""#.into(),
                r#"["int","long","null"]"#.into(),
                vec![type_mismatch("/", "INT", "LONG"), type_mismatch("/", "INT", "NULL")],
            ),
            (ab.clone(), cab, vec![("MISSING_ENUM_SYMBOLS", "/symbols".into(), "[C, D]".into())]),
            (ab.clone(), enumeration("x.Other", r#""A""#, ""), vec![wrong_name("/name", "x.Other")]),
            (fixed("F", 4), fixed("F", 8), vec![("FIXED_SIZE_MISMATCH", "/size".into(), "expected: 8, found: 4".into())]),
            (
                fixed("F", 4),
                fixed("G", 8),
                vec![wrong_name("/name", "G"), ("FIXED_SIZE_MISMATCH", "/size".into(), "expected: 8, found: 4".into())],
            ),
            (r#"["int"]"#.into(), r#"["int","string"]"#.into(), vec![no_branch("/1", "STRING")]),
            (r#"["string"]"#.into(), r#"["int"]"#.into(), vec![no_branch("/0", "INT")]),
            (r#"["string"]"#.into(), r#""int""#.into(), vec![no_branch("/", "INT")]),
            ("[]".into(), r#""int""#.into(), vec![no_branch("/", "INT")]),
            (
                field(r#"["int","string"]"#),
                field(r#"["int","string","boolean","null"]"#),
                vec![no_branch("/fields/0/type/2", "BOOLEAN"), no_branch("/fields/0/type/3", "NULL")],
            ),
            (
                record(
                    r#"{"name":"a","type":"int"},{"name":"b","type":"int"},{"name":"c","type":{"type":"array","items":"int"}}"#,
                ),
                record(r#"{"name":"b","type":"string"},{"name":"c","type":{"type":"array","items":"null"}}"#),
                vec![
                    no_default("/fields/0", "a"),
                    type_mismatch("/fields/1/type", "INT", "STRING"),
                    type_mismatch("/fields/2/type/items", "INT", "NULL"),
                ],
            ),
            // The default of the enum is for symbols that were written.
            (
                record(&format!(r#"{{"name":"a","type":{}}}"#, enumeration("E", r#""A""#, r#","default":"A""#))),
                record(""),
                vec![no_default("/fields/0", "a")],
            ),
            (
                field(r#""int""#),
                record("").replace("Record1", "n.Record2"),
                vec![wrong_name("/name", "n.Record2"), no_default("/fields/0", "a")],
            ),
        ];
        for (reader, writer, expected) in table {
            assert_eq!(found(&schema(&reader), &schema(&writer)), expected, "reader {reader}, writer {writer}");
        }
    }

    #[test]
    fn readers_read_what_is_promoted_widened_or_has_defaults() {
        let field = |json: &str| record(&format!(r#"{{"name":"a",{json}}}"#));
        let table = [
            (r#""long""#.to_owned(), r#""int""#.to_owned()),
            (r#""float""#.into(), r#""int""#.into()),
            (r#""float""#.into(), r#""long""#.into()),
            (r#""double""#.into(), r#""int""#.into()),
            (r#""double""#.into(), r#""long""#.into()),
            (r#""double""#.into(), r#""float""#.into()),
            (r#""string""#.into(), r#""bytes""#.into()),
            (r#""bytes""#.into(), r#""string""#.into()),
            (r#"{"type":"array","items":"long"}"#.into(), r#"{"type":"array","items":"int"}"#.into()),
            (r#"{"type":"map","values":"long"}"#.into(), r#"{"type":"map","values":"int"}"#.into()),
            ("[]".into(), "[]".into()),
            (r#"["int"]"#.into(), "[]".into()),
            (r#""int""#.into(), r#"["int"]"#.into()),
            (r#"["double","string"]"#.into(), r#"["int","bytes"]"#.into()),
            (r#"["null","long"]"#.into(), r#""int""#.into()),
            (enumeration("E", r#""A","B","C""#, ""), enumeration("E", r#""B""#, "")),
            (enumeration("E", r#""A""#, r#","default":"A""#), enumeration("E", r#""A","B""#, "")),
            (enumeration("a.E", r#""A""#, ""), enumeration("b.E", r#""A""#, "")),
            (enumeration("E", r#""A""#, r#","aliases":["b.Old"]"#), enumeration("b.Old", r#""A""#, "")),
            (record(""), field(r#""type":"int""#)),
            (field(r#""type":"int","default":1"#), record("")),
            (field(r#""type":["null","int"],"default":null"#), record("")),
            (field(r#""type":"long","aliases":["x","b"]"#), record(r#"{"name":"b","type":"int"}"#)),
            (list("int"), list("int")),
            (list("long"), list("int")),
        ];
        for (reader, writer) in table {
            let wrong = found(&schema(&reader), &schema(&writer));
            assert!(wrong.is_empty(), "reader {reader}, writer {writer}: {wrong:?}");
        }
    }

    #[test]
    fn records_that_contain_each_other_are_wrong_together() {
        let text = |kind: &str| {
            format!(
                r#"{{"type":"record","name":"Root","fields":[
                    {{"name":"a","type":{{"type":"record","name":"A","fields":[
                        {{"name":"b","type":{{"type":"record","name":"B","fields":[{{"name":"a","type":["null","A"]}}]}}}},
                        {{"name":"x","type":"{kind}"}}]}}}},
                    {{"name":"u","type":["B"]}}]}}"#
            )
        };
        // B was met, and right so far, while A was looked at: it is wrong all the same, and so is the union of it.
        let places: Vec<_> =
            found(&schema(&text("int")), &schema(&text("string"))).into_iter().map(|(rule, path, _)| (rule, path)).collect();
        assert_eq!(
            places,
            [
                ("MISSING_UNION_BRANCH", "/fields/0/type/fields/0/type/fields/0/type/1".to_owned()),
                ("TYPE_MISMATCH", "/fields/0/type/fields/1/type".to_owned()),
                ("MISSING_UNION_BRANCH", "/fields/1/type/0".to_owned()),
            ]
        );
        assert!(found(&schema(&text("int")), &schema(&text("int"))).is_empty());
    }

    #[test]
    fn reasons_and_their_words_are_bounded() {
        let fields: Vec<String> = (0..1000).map(|n| format!(r#"{{"name":"f{n}","type":"int"}}"#)).collect();
        assert_eq!(found(&schema(&record(&fields.join(","))), &schema(&record(""))).len(), 100);
        let symbols: Vec<String> = (0..1000).map(|n| format!("\"S{n}\"")).collect();
        let wrong = found(&schema(&enumeration("E", "", "")), &schema(&enumeration("E", &symbols.join(","), "")));
        assert!(wrong[0].2.len() < 500 && wrong[0].2.ends_with("…]"), "{wrong:?}");
    }

    #[test]
    fn long_chains_of_types_are_compared_without_a_deep_stack() {
        // Each type refers to the one before, so that no text is nested and the types are 1000 deep.
        let chain = |kind: &str| {
            let mut branches = vec![format!(r#"{{"type":"record","name":"R0","fields":[{{"name":"a","type":"{kind}"}}]}}"#)];
            for n in 1..1000 {
                branches.push(format!(r#"{{"type":"record","name":"R{n}","fields":[{{"name":"a","type":"R{}"}}]}}"#, n - 1));
            }
            branches.push(r#"{"type":"record","name":"Top","fields":[{"name":"a","type":"R999"}]}"#.to_owned());
            schema(&format!(r#"{{"type":"map","values":[{}]}}"#, branches.join(",")))
        };
        assert!(found(&chain("int"), &chain("int")).is_empty());
        let wrong = found(&chain("int"), &chain("string"));
        assert_eq!(wrong.len(), 100);
        assert!(wrong.iter().all(|(rule, _, _)| *rule == "MISSING_UNION_BRANCH"));

        let deep = |kind: &str| {
            let mut texts =
                vec![("R0".to_owned(), format!(r#"{{"type":"record","name":"R0","fields":[{{"name":"a","type":"{kind}"}}]}}"#))];
            for n in 1..2000 {
                texts.push((
                    format!("R{n}"),
                    format!(r#"{{"type":"record","name":"R{n}","fields":[{{"name":"a","type":"R{}"}}]}}"#, n - 1),
                ));
            }
            let references: Vec<_> =
                texts.into_iter().map(|(name, text)| crate::schema::format::Referenced { name, text }).collect();
            AvroSchema::parse("\"R1999\"", &references).expect("each has the one before")
        };
        let wrong = found(&deep("int"), &deep("string"));
        assert_eq!(wrong.len(), 1);
        assert_eq!(wrong[0].0, "TYPE_MISMATCH");
        assert!(wrong[0].1.starts_with("/…/fields/0/type") && wrong[0].1.len() < 2000, "{}", wrong[0].1);
    }

    #[test]
    fn pairs_by_the_million_are_refused() {
        // A union of records of one name in many namespaces: each of the reader's may read each of the writer's.
        let branches: Vec<String> =
            (0..2000).map(|n| format!(r#"{{"type":"record","name":"n{n}.R","fields":[{{"name":"a","type":"int"}}]}}"#)).collect();
        let all = schema(&format!("[{}]", branches.join(",")));
        let wrong = found(&all, &all);
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].2.contains("too large to compare"), "{wrong:?}");
    }
}
