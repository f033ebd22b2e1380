//! A schema as nodes in one list that refer to each other by position: a type that contains itself is a loop of positions, and no walk
//! over the list needs a stack.

use super::names::Name;

/// The position of a node in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NodeId(usize);

#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    root: NodeId,
}

/// A type. Logical types are their base types here: neither the encoding nor Java's rules of compatibility know them.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(Fixed),
    Enum(Enum),
    Record(Record),
    Array(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
}

#[derive(Debug)]
pub(super) struct Named {
    pub name: Name,
    pub aliases: Vec<Name>,
}

#[derive(Debug)]
pub(super) struct Fixed {
    pub named: Named,
    pub size: usize,
}

#[derive(Debug)]
pub(super) struct Enum {
    pub named: Named,
    pub symbols: Vec<String>,
    /// Whether readers have a symbol for those that they do not know.
    pub has_default: bool,
}

#[derive(Debug)]
pub(super) struct Record {
    pub named: Named,
    pub fields: Vec<Field>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub name: String,
    pub aliases: Vec<String>,
    pub has_default: bool,
    pub schema: NodeId,
}

/// In the order of the first nodes of every tree.
const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// The node of a primitive type, the same in every tree.
pub(super) fn primitive(name: &str) -> Option<NodeId> {
    PRIMITIVES.iter().position(|primitive| *primitive == name).map(NodeId)
}

impl Tree {
    /// With the primitive types; its root is the first of them until [`Tree::set_root`].
    pub(super) fn new() -> Tree {
        let nodes = vec![Node::Null, Node::Boolean, Node::Int, Node::Long, Node::Float, Node::Double, Node::Bytes, Node::String];
        Tree { nodes, root: NodeId(0) }
    }

    pub(super) fn root(&self) -> NodeId {
        self.root
    }

    pub(super) fn set_root(&mut self, root: NodeId) {
        self.root = root;
    }

    pub(super) fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// Gives a record its fields, which may have the record in them.
    pub(super) fn set_fields(&mut self, record: NodeId, fields: Vec<Field>) {
        if let Some(Node::Record(record)) = self.nodes.get_mut(record.0) {
            record.fields = fields;
        }
    }

    /// `id` is one of this tree's own.
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.nodes.iter().map(Node::memory_bytes).sum::<usize>()
    }
}

impl Node {
    /// As Java's `Schema.Type`.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Node::Null => "NULL",
            Node::Boolean => "BOOLEAN",
            Node::Int => "INT",
            Node::Long => "LONG",
            Node::Float => "FLOAT",
            Node::Double => "DOUBLE",
            Node::Bytes => "BYTES",
            Node::String => "STRING",
            Node::Fixed(_) => "FIXED",
            Node::Enum(_) => "ENUM",
            Node::Record(_) => "RECORD",
            Node::Array(_) => "ARRAY",
            Node::Map(_) => "MAP",
            Node::Union(_) => "UNION",
        }
    }

    pub(super) fn named(&self) -> Option<&Named> {
        match self {
            Node::Fixed(fixed) => Some(&fixed.named),
            Node::Enum(one) => Some(&one.named),
            Node::Record(record) => Some(&record.named),
            _ => None,
        }
    }

    /// Whether a reader of this primitive type reads that one: the same, or one that is promoted to it.
    pub(super) fn reads_primitive(&self, writer: &Node) -> bool {
        match self {
            Node::Null => matches!(writer, Node::Null),
            Node::Boolean => matches!(writer, Node::Boolean),
            Node::Int => matches!(writer, Node::Int),
            Node::Long => matches!(writer, Node::Int | Node::Long),
            Node::Float => matches!(writer, Node::Int | Node::Long | Node::Float),
            Node::Double => matches!(writer, Node::Int | Node::Long | Node::Float | Node::Double),
            Node::Bytes | Node::String => matches!(writer, Node::Bytes | Node::String),
            _ => false,
        }
    }

    /// Beyond the node itself.
    fn memory_bytes(&self) -> usize {
        let own = match self {
            Node::Enum(one) => strings_bytes(&one.symbols),
            Node::Record(record) => {
                let fields = record.fields.iter().map(|field| field.name.capacity() + strings_bytes(&field.aliases));
                record.fields.capacity() * size_of::<Field>() + fields.sum::<usize>()
            }
            Node::Union(branches) => branches.capacity() * size_of::<NodeId>(),
            _ => 0,
        };
        own + self.named().map_or(0, Named::memory_bytes)
    }
}

impl Named {
    /// Whether a reader of this name takes a writer of that one (SchemaCompatibility.schemaNameEquals): the namespace counts in aliases only.
    pub(super) fn reads(&self, writer: &Named) -> bool {
        self.name.local() == writer.name.local() || self.aliases.contains(&writer.name)
    }

    fn memory_bytes(&self) -> usize {
        let aliases = self.aliases.iter().map(|alias| size_of::<Name>() + alias.memory_bytes());
        self.name.memory_bytes() + aliases.sum::<usize>()
    }
}

fn strings_bytes(strings: &[String]) -> usize {
    strings.iter().map(|string| size_of::<String>() + string.capacity()).sum()
}
