//! Tells why a comparison went wrong, in Java's words and order: depth first, every pair of types where it is met first.

use super::compatibility::{Comparison, Needs, Pair, Place, Step, Wrong};
use super::tree::Node;
use crate::schema::format::Incompatibility;
use std::collections::HashSet;

/// More are not told.
const TOLD_MAX: usize = 100;
/// The last so many steps of a path are told: types that refer to each other by name make long ones.
const PLACES_MAX: usize = 64;
/// Symbols that are missing, in one message.
const SYMBOLS_MAX: usize = 50;

pub(super) fn report(comparison: &Comparison) -> Vec<Incompatibility> {
    let mut report =
        Report { comparison, paths: vec![(None, Place::Same)], seen: HashSet::new(), todo: Vec::new(), told: Vec::new() };
    report.todo.push(Todo::Visit { pair: 0, path: 0 });
    while report.told.len() < TOLD_MAX
        && let Some(todo) = report.todo.pop()
    {
        match todo {
            Todo::Visit { pair, path } => report.visit(pair, path),
            Todo::Tell { pair, path, wrong } => report.tell(pair, path, wrong),
        }
    }
    report.told
}

struct Report<'c> {
    comparison: &'c Comparison<'c>,
    /// A path is the position of its last step; each has the position of the one before.
    paths: Vec<(Option<usize>, Place)>,
    seen: HashSet<usize>,
    /// The next is the last.
    todo: Vec<Todo>,
    told: Vec<Incompatibility>,
}

enum Todo {
    Visit { pair: usize, path: usize },
    Tell { pair: usize, path: usize, wrong: Wrong },
}

impl Report<'_> {
    fn visit(&mut self, id: usize, path: usize) {
        let comparison = self.comparison;
        let Some(pair) = comparison.pairs.get(id) else { return };
        if !pair.is_wrong || !self.seen.insert(id) {
            return;
        }
        if pair.needs == Needs::One {
            self.tell(id, path, Wrong::NoBranch(None));
            return;
        }
        for step in pair.steps.iter().rev() {
            match *step {
                Step::Wrong(wrong) => self.todo.push(Todo::Tell { pair: id, path, wrong }),
                Step::Child { pair: child, .. } if !is_wrong(comparison, child) => {}
                Step::Child { place: Place::Branch(position), .. } => {
                    self.todo.push(Todo::Tell { pair: id, path, wrong: Wrong::NoBranch(Some(position)) });
                }
                Step::Child { place: Place::Same, pair } => self.todo.push(Todo::Visit { pair, path }),
                Step::Child { place, pair } => {
                    self.paths.push((Some(path), place));
                    self.todo.push(Todo::Visit { pair, path: self.paths.len() - 1 });
                }
            }
        }
    }

    fn tell(&mut self, pair: usize, path: usize, wrong: Wrong) {
        let Some(pair) = self.comparison.pairs.get(pair) else { return };
        let (rule, end, message) = self.words(pair, wrong);
        let path = self.path(path, end);
        self.told.push(Incompatibility { rule, path, message });
    }

    /// The rule, the end of the path, and the message.
    fn words(&self, pair: &Pair, wrong: Wrong) -> (&'static str, Option<String>, String) {
        let (reader, writer) = (self.comparison.reader.node(pair.reader), self.comparison.writer.node(pair.writer));
        match wrong {
            Wrong::Type => {
                let message =
                    format!("reader type: {} not compatible with writer type: {}", reader.type_name(), writer.type_name());
                ("TYPE_MISMATCH", None, message)
            }
            Wrong::Name => {
                let expected = writer.named().map_or("", |named| named.name.full());
                ("NAME_MISMATCH", Some("name".to_owned()), format!("expected: {expected}"))
            }
            Wrong::Size => {
                let message = format!("expected: {}, found: {}", size(writer), size(reader));
                ("FIXED_SIZE_MISMATCH", Some("size".to_owned()), message)
            }
            Wrong::Symbols => ("MISSING_ENUM_SYMBOLS", Some("symbols".to_owned()), missing_symbols(reader, writer)),
            Wrong::NoDefault(position) => {
                let name = match reader {
                    Node::Record(record) => record.fields.get(position).map_or("", |field| field.name.as_str()),
                    _ => "",
                };
                ("READER_FIELD_MISSING_DEFAULT_VALUE", Some(format!("fields/{position}")), name.to_owned())
            }
            Wrong::NoBranch(position) => {
                let branch = match (writer, position) {
                    (Node::Union(branches), Some(position)) => branches.get(position).map(|id| self.comparison.writer.node(*id)),
                    _ => None,
                };
                let message = format!("reader union lacking writer type: {}", branch.unwrap_or(writer).type_name());
                ("MISSING_UNION_BRANCH", position.map(|position| position.to_string()), message)
            }
        }
    }

    /// A JSON pointer into the reader's schema, where types stand in place of their names.
    fn path(&self, last: usize, end: Option<String>) -> String {
        let mut parts: Vec<String> = end.into_iter().collect();
        let mut next = Some(last);
        while let Some((before, place)) = next.and_then(|at| self.paths.get(at)) {
            if parts.len() > PLACES_MAX {
                parts.push("…".to_owned());
                break;
            }
            parts.extend(match place {
                Place::Same => None,
                Place::Items => Some("items".to_owned()),
                Place::Values => Some("values".to_owned()),
                Place::Field(position) => Some(format!("fields/{position}/type")),
                Place::Branch(position) => Some(position.to_string()),
            });
            next = *before;
        }
        parts.reverse();
        format!("/{}", parts.join("/"))
    }
}

fn is_wrong(comparison: &Comparison, pair: usize) -> bool {
    comparison.pairs.get(pair).is_some_and(|pair| pair.is_wrong)
}

fn size(node: &Node) -> usize {
    match node {
        Node::Fixed(fixed) => fixed.size,
        _ => 0,
    }
}

/// `[A, B]`: those that the reader lacks, in alphabetical order.
fn missing_symbols(reader: &Node, writer: &Node) -> String {
    let (Node::Enum(reader), Node::Enum(writer)) = (reader, writer) else { return String::new() };
    let known: HashSet<&String> = reader.symbols.iter().collect();
    let mut missing: Vec<&str> = writer.symbols.iter().filter(|symbol| !known.contains(symbol)).map(String::as_str).collect();
    missing.sort_unstable();
    if missing.len() > SYMBOLS_MAX {
        missing.truncate(SYMBOLS_MAX);
        missing.push("…");
    }
    format!("[{}]", missing.join(", "))
}
