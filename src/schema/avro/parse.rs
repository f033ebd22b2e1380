//! From a text to a tree and to the canonical text, in one pass: both meet the types in the same order, which decides what a name means.
//!
//! What is refused is what Java's `Schema.Parser` refuses with default values validated, and what would cost too much.

use super::canonical::{Canonical, ENUM_RESERVED, FIELD_RESERVED, SCHEMA_RESERVED};
use super::defaults::{self, FieldDefault};
use super::names::{Name, check_local};
use super::tree::{Enum, Field, Fixed, Named, Node, NodeId, Record, Tree, primitive};
use crate::schema::format::{InvalidSchema, Referenced};
use serde_json::{Map, Number, Value};
use std::collections::{HashMap, HashSet};

const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// A text and its references together.
const TEXTS_BYTES_MAX: usize = 16 * TEXT_BYTES_MAX;
/// Brackets in brackets. Types by name nest deeper at no cost.
const NESTING_MAX: usize = 64;
/// All full names and aliases: they take on namespaces, and may so be much longer than the text.
const NAMES_BYTES_MAX: usize = 16 * TEXT_BYTES_MAX;
/// For the same reason.
const CANONICAL_BYTES_MAX: usize = 4 * TEXT_BYTES_MAX;

type Object = Map<String, Value>;

/// Whether a default value must be one of its field's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defaults {
    Checked,
    Trusted,
}

/// The tree of `text` and its canonical text.
pub(super) fn parse(text: &str, references: &[Referenced], defaults: Defaults) -> Result<(Tree, String), InvalidSchema> {
    let bytes = references.iter().fold(text.len(), |bytes, reference| bytes.saturating_add(reference.text.len()));
    if bytes > TEXTS_BYTES_MAX {
        return Err(InvalidSchema(format!("the schema and its references have {bytes} bytes, more than {TEXTS_BYTES_MAX}")));
    }
    let of_reference = |name: &str, error: InvalidSchema| InvalidSchema(format!("reference {name:?}: {error}"));
    let mut documents = Vec::with_capacity(references.len());
    for (position, reference) in references.iter().enumerate() {
        // One text under two names defines its types once.
        if !references.iter().take(position).any(|earlier| earlier.text == reference.text) {
            let document = document(&reference.text).map_err(|error| of_reference(&reference.name, error))?;
            documents.push((reference.name.as_str(), document));
        }
    }
    let own = document(text)?;
    let mut parser = Parser::new(defaults);
    for (name, document) in &documents {
        parser.document(document).map_err(|error| of_reference(name, error))?;
    }
    let root = parser.document(&own)?;
    parser.tree.set_root(root);
    Ok((parser.tree, parser.out.into_text()))
}

fn document(text: &str) -> Result<Value, InvalidSchema> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(InvalidSchema(format!("the schema has {} bytes, more than {TEXT_BYTES_MAX}", text.len())));
    }
    let nesting = nesting(text);
    if nesting > NESTING_MAX {
        return Err(InvalidSchema(format!("the schema is nested {nesting} levels deep, more than {NESTING_MAX}")));
    }
    serde_json::from_str(text).map_err(|error| InvalidSchema(format!("the schema is no JSON: {error}")))
}

/// How deep brackets stand in brackets.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

struct Parser<'a> {
    tree: Tree,
    /// By full name.
    names: HashMap<String, NodeId>,
    /// What they and their aliases take.
    names_bytes: usize,
    /// Checked when the types are complete.
    defaults: Vec<FieldDefault<'a>>,
    defaults_are: Defaults,
    /// The fields that the parser is in.
    path: Vec<&'a str>,
    /// The canonical text so far.
    out: Canonical,
}

impl<'a> Parser<'a> {
    fn new(defaults_are: Defaults) -> Parser<'a> {
        Parser {
            tree: Tree::new(),
            names: HashMap::new(),
            names_bytes: 0,
            defaults: Vec::new(),
            defaults_are,
            path: Vec::new(),
            out: Canonical::default(),
        }
    }

    fn document(&mut self, json: &'a Value) -> Result<NodeId, InvalidSchema> {
        self.out.clear();
        let root = self.schema(json, None)?;
        if self.defaults_are == Defaults::Checked {
            defaults::check(&self.tree, &self.defaults)?;
        }
        self.defaults.clear();
        Ok(root)
    }

    /// A schema inside `namespace`.
    fn schema(&mut self, json: &'a Value, namespace: Option<&str>) -> Result<NodeId, InvalidSchema> {
        if self.out.len() > CANONICAL_BYTES_MAX {
            return Err(InvalidSchema(format!(
                "the schema has more than {CANONICAL_BYTES_MAX} bytes once its names are complete"
            )));
        }
        match json {
            Value::String(name) => self.reference(name, namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(object) => self.object(object, namespace),
            other => Err(self.invalid(&format!("{} is no schema", excerpt(other)))),
        }
    }

    fn object(&mut self, object: &'a Object, namespace: Option<&str>) -> Result<NodeId, InvalidSchema> {
        let Some(kind) = object.get("type").and_then(Value::as_str) else {
            return Err(self.invalid(&match object.get("type") {
                Some(other) => format!("the type of a schema is a name, not {}", excerpt(other)),
                None => "a schema has no type".to_owned(),
            }));
        };
        match kind {
            "record" | "error" => self.record(kind, object, namespace),
            "enum" => self.enumeration(object, namespace),
            "fixed" => self.fixed(object, namespace),
            "array" => {
                let items = self.collection(kind, "items", object, namespace)?;
                Ok(self.tree.add(Node::Array(items)))
            }
            "map" => {
                let values = self.collection(kind, "values", object, namespace)?;
                Ok(self.tree.add(Node::Map(values)))
            }
            name => match primitive(name) {
                Some(id) => {
                    self.primitive(name, object);
                    Ok(id)
                }
                None => self.reference(name, namespace),
            },
        }
    }

    /// A type by its name: a primitive one, or one that was defined before.
    fn reference(&mut self, name: &str, namespace: Option<&str>) -> Result<NodeId, InvalidSchema> {
        let Some(id) = self.find(name, namespace) else {
            return Err(self.invalid(&format!("{} is not a defined name", excerpt(&Value::from(name)))));
        };
        match self.tree.node(id).named() {
            Some(named) => {
                // Java writes a plain name, which another type of the namespace may have as well.
                let is_taken = named.name.namespace().is_none()
                    && namespace.is_some_and(|namespace| self.names.contains_key(&format!("{namespace}.{}", named.name.local())));
                match is_taken {
                    true => self.out.quoted(&named.name.exactly_relative_to(namespace)),
                    false => self.out.quoted(named.name.relative_to(namespace)),
                }
            }
            None => self.out.quoted(name),
        }
        Ok(id)
    }

    /// Names without a dot are those of the namespace around them first, then those of none (Schema.Names.get).
    fn find(&self, name: &str, namespace: Option<&str>) -> Option<NodeId> {
        if let Some(id) = primitive(name) {
            return Some(id);
        }
        if let Some(namespace) = namespace
            && !name.contains('.')
            && let Some(id) = self.names.get(&format!("{namespace}.{name}"))
        {
            return Some(*id);
        }
        self.names.get(name.strip_prefix('.').unwrap_or(name)).copied()
    }

    fn primitive(&mut self, name: &str, object: &Object) {
        if object.keys().all(|key| SCHEMA_RESERVED.contains(&key.as_str())) {
            self.out.quoted(name);
            return;
        }
        self.out.push("{\"type\":");
        self.out.quoted(name);
        self.out.properties(object, SCHEMA_RESERVED);
        self.out.push("}");
    }

    fn union(&mut self, written: &'a [Value], namespace: Option<&str>) -> Result<NodeId, InvalidSchema> {
        let mut branches = Vec::with_capacity(written.len());
        let mut seen = HashSet::new();
        self.out.push("[");
        for (position, branch) in written.iter().enumerate() {
            self.out.comma_before(position);
            let id = self.schema(branch, namespace)?;
            let node = self.tree.node(id);
            if matches!(node, Node::Union(_)) {
                return Err(self.invalid("a union stands directly in a union"));
            }
            // Named types are themselves, of the others there is one of each type.
            if !seen.insert((node.type_name(), node.named().map(|_| id))) {
                let name = node.named().map_or_else(|| node.type_name().to_lowercase(), |named| named.name.full().to_owned());
                return Err(self.invalid(&format!("a union has {name} twice")));
            }
            branches.push(id);
        }
        self.out.push("]");
        Ok(self.tree.add(Node::Union(branches)))
    }

    /// An array or a map, of which the answer has the inner type.
    fn collection(
        &mut self,
        kind: &str,
        key: &str,
        object: &'a Object,
        namespace: Option<&str>,
    ) -> Result<NodeId, InvalidSchema> {
        let Some(inner) = object.get(key) else {
            return Err(self.invalid(&format!("the {kind} has no {key}")));
        };
        self.out.push(&format!("{{\"type\":\"{kind}\",\"{key}\":"));
        let id = self.schema(inner, namespace)?;
        self.out.properties(object, SCHEMA_RESERVED);
        self.out.push("}");
        Ok(id)
    }

    fn record(&mut self, kind: &str, object: &'a Object, namespace: Option<&str>) -> Result<NodeId, InvalidSchema> {
        let named = self.named(object, namespace)?;
        let name = named.name.clone();
        let Some(Value::Array(written)) = object.get("fields") else {
            return Err(self.invalid(&format!("the record {} has no fields", name.full())));
        };
        self.out.open_named(kind, &name, object, namespace);
        let aliases = named.aliases.clone();
        let id = self.define(&name, Node::Record(Record { named, fields: Vec::new() }))?;
        let mut fields = Vec::with_capacity(written.len());
        let mut seen = HashSet::new();
        self.out.push(",\"fields\":[");
        for (position, field) in written.iter().enumerate() {
            self.out.comma_before(position);
            let field = self.field(field, &name)?;
            if !seen.insert(field.name.clone()) {
                return Err(self.invalid(&format!("the record {} has two fields {:?}", name.full(), field.name)));
            }
            fields.push(field);
        }
        self.out.push("]");
        self.tree.set_fields(id, fields);
        self.out.close_named(object, SCHEMA_RESERVED, &name, &aliases);
        Ok(id)
    }

    fn field(&mut self, json: &'a Value, record: &Name) -> Result<Field, InvalidSchema> {
        let Some(object) = json.as_object() else {
            return Err(self.invalid(&format!("the record {} has a field that is no object: {}", record.full(), excerpt(json))));
        };
        let Some(name) = object.get("name").and_then(Value::as_str) else {
            return Err(self.invalid(&format!("the record {} has a field without a name: {}", record.full(), excerpt(json))));
        };
        check_local(name)?;
        self.path.push(name);
        let Some(schema) = object.get("type") else {
            return Err(self.invalid("the field has no type"));
        };
        self.out.push("{\"name\":");
        self.out.quoted(name);
        self.out.push(",\"type\":");
        let schema = self.schema(schema, record.namespace())?;
        self.out.doc(object);
        let default = object.get("default");
        if let Some(default) = default {
            self.default(default, name, schema);
        }
        self.order(object)?;
        let aliases = self.aliases(object)?;
        self.out.aliases(&aliases);
        self.out.properties(object, FIELD_RESERVED);
        self.out.push("}");
        self.path.pop();
        let aliases = aliases.into_iter().map(str::to_owned).collect();
        Ok(Field { name: name.to_owned(), aliases, has_default: default.is_some(), schema })
    }

    fn default(&mut self, default: &'a Value, field: &'a str, schema: NodeId) {
        self.out.push(",\"default\":");
        // Java takes the default of a float or double field as a text too, and keeps it as a number.
        if matches!(self.tree.node(schema), Node::Float | Node::Double)
            && let Some(text) = default.as_str()
        {
            if let Some(number) = text.trim().parse::<f64>().ok().and_then(Number::from_f64) {
                self.out.push(&number.to_string());
                return;
            }
            if matches!(text, "NaN" | "Infinity" | "-Infinity") {
                self.out.quoted(text);
                return;
            }
        }
        self.out.push(&default.to_string());
        self.defaults.push(FieldDefault { field, schema, value: default });
    }

    fn order(&mut self, object: &Object) -> Result<(), InvalidSchema> {
        let Some(order) = object.get("order") else { return Ok(()) };
        let order = order.as_str().map(str::to_lowercase);
        match order.as_deref() {
            Some("ascending") => {}
            Some(order @ ("descending" | "ignore")) => self.out.push(&format!(",\"order\":\"{order}\"")),
            _ => return Err(self.invalid("the order of a field is ascending, descending or ignore")),
        }
        Ok(())
    }

    fn enumeration(&mut self, object: &'a Object, namespace: Option<&str>) -> Result<NodeId, InvalidSchema> {
        let named = self.named(object, namespace)?;
        let name = named.name.clone();
        let Some(Value::Array(written)) = object.get("symbols") else {
            return Err(self.invalid(&format!("the enum {} has no symbols", name.full())));
        };
        let mut symbols = Vec::with_capacity(written.len());
        let mut seen = HashSet::new();
        for symbol in written {
            let Some(symbol) = symbol.as_str() else {
                return Err(self.invalid(&format!("the enum {} has a symbol {}", name.full(), excerpt(symbol))));
            };
            check_local(symbol)?;
            if !seen.insert(symbol) {
                return Err(self.invalid(&format!("the enum {} has the symbol {symbol} twice", name.full())));
            }
            symbols.push(symbol.to_owned());
        }
        let default = match object.get("default") {
            None | Some(Value::Null) => None,
            Some(Value::String(default)) if seen.contains(default.as_str()) => Some(default),
            Some(other) => {
                return Err(self.invalid(&format!(
                    "the default of the enum {}, {}, is no symbol of it",
                    name.full(),
                    excerpt(other)
                )));
            }
        };
        self.out.open_named("enum", &name, object, namespace);
        self.out.push(",\"symbols\":");
        self.out.list(symbols.iter().map(String::as_str));
        if let Some(default) = default {
            self.out.push(",\"default\":");
            self.out.quoted(default);
        }
        self.out.close_named(object, ENUM_RESERVED, &name, &named.aliases);
        self.define(&name, Node::Enum(Enum { named, symbols, has_default: default.is_some() }))
    }

    fn fixed(&mut self, object: &'a Object, namespace: Option<&str>) -> Result<NodeId, InvalidSchema> {
        let named = self.named(object, namespace)?;
        let name = named.name.clone();
        // Java's sizes are those of an int.
        let size = object.get("size").and_then(Value::as_u64).and_then(|size| i32::try_from(size).ok());
        let Some(size) = size.and_then(|size| usize::try_from(size).ok()) else {
            return Err(self.invalid(&format!("the fixed {} has no size, or an invalid one", name.full())));
        };
        self.out.open_named("fixed", &name, object, namespace);
        self.out.push(&format!(",\"size\":{size}"));
        self.out.close_named(object, SCHEMA_RESERVED, &name, &named.aliases);
        self.define(&name, Node::Fixed(Fixed { named, size }))
    }

    /// The name and the aliases of a type inside `namespace`.
    fn named(&mut self, object: &'a Object, namespace: Option<&str>) -> Result<Named, InvalidSchema> {
        let Some(written) = object.get("name").and_then(Value::as_str) else {
            return Err(self.invalid("a record, enum or fixed has no name"));
        };
        let name = Name::new(written, object.get("namespace").and_then(Value::as_str).or(namespace))?;
        self.take_room(&name)?;
        let mut aliases = Vec::new();
        for alias in self.aliases(object)? {
            let alias = Name::new(alias, name.namespace())?;
            self.take_room(&alias)?;
            aliases.push(alias);
        }
        Ok(Named { name, aliases })
    }

    fn take_room(&mut self, name: &Name) -> Result<(), InvalidSchema> {
        self.names_bytes += name.memory_bytes();
        if self.names_bytes > NAMES_BYTES_MAX {
            return Err(InvalidSchema(format!("the full names of the types have more than {NAMES_BYTES_MAX} bytes")));
        }
        Ok(())
    }

    fn define(&mut self, name: &Name, node: Node) -> Result<NodeId, InvalidSchema> {
        if primitive(name.full()).is_some() {
            return Err(self.invalid(&format!("a type is called {}, as a primitive one", name.full())));
        }
        if self.names.contains_key(name.full()) {
            return Err(self.invalid(&format!("{} is defined twice", name.full())));
        }
        let id = self.tree.add(node);
        self.names.insert(name.full().to_owned(), id);
        Ok(id)
    }

    /// `aliases` of a type or a field, as they are written, each once.
    fn aliases(&self, object: &'a Object) -> Result<Vec<&'a str>, InvalidSchema> {
        let Some(written) = object.get("aliases") else { return Ok(Vec::new()) };
        let Some(written) = written.as_array() else {
            return Err(self.invalid("aliases are a list"));
        };
        let mut aliases = Vec::new();
        let mut seen = HashSet::new();
        for alias in written {
            let Some(alias) = alias.as_str() else {
                return Err(self.invalid(&format!("an alias is a name, not {}", excerpt(alias))));
            };
            if seen.insert(alias) {
                aliases.push(alias);
            }
        }
        Ok(aliases)
    }

    fn invalid(&self, message: &str) -> InvalidSchema {
        if self.path.is_empty() {
            return InvalidSchema(message.to_owned());
        }
        InvalidSchema(format!("field {}: {message}", self.path.join(".")))
    }
}

/// JSON for messages.
pub(super) fn excerpt(json: &Value) -> String {
    const LETTERS_MAX: usize = 100;
    let text = json.to_string();
    match text.char_indices().nth(LETTERS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
