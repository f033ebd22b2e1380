//! The text of a schema and the texts that it refers to, read and bounded, and the registry in which their `$ref`s resolve.
//!
//! Nothing is ever fetched. A reference is known under its name, as it is written or resolved against the base URI of the document that
//! uses it, and under its own `$id`.

use crate::schema::format::{InvalidSchema, Referenced};
use jsonschema::{Draft, ReferencingError, Registry, Uri, uri};
use serde_json::Value;
use std::collections::HashSet;

const TEXT_BYTES_MAX: usize = 1 << 20;
const TEXTS_BYTES_MAX: usize = 4 << 20;
const REFERENCES_MAX: usize = 200;
/// Names under which references are looked for, all together.
const URIS_MAX: usize = 2_000;
/// Levels of JSON in a schema: as many recursions are on the stack when it is read, validated and compiled.
const DEPTH_MAX: usize = 64;
/// The syntax tree of a pattern takes hundreds of bytes for each of its own.
const PATTERN_BYTES_MAX: usize = 16 << 10;
/// The base of a schema without `$id`, as the library has it.
const DEFAULT_BASE: &str = "json-schema:///";
/// The drafts' own schemas; no document of ours may pose as one of them.
const STANDARD: [&str; 2] = ["http://json-schema.org/draft", "https://json-schema.org/draft"];

pub(super) struct Document {
    /// As the one that refers to it writes it; the root has none.
    name: Option<String>,
    pub(super) value: Value,
    pub(super) draft: Draft,
}

pub(super) struct Documents {
    pub(super) root: Document,
    pub(super) references: Vec<Document>,
}

impl Documents {
    /// Reads and bounds the texts. `default_draft` is that of a root without `$schema`; references without one follow the root.
    pub(super) fn read(text: &str, references: &[Referenced], default_draft: Draft) -> Result<Documents, InvalidSchema> {
        let bytes = references.iter().fold(text.len(), |bytes, reference| bytes.saturating_add(reference.text.len()));
        if bytes > TEXTS_BYTES_MAX || references.len() > REFERENCES_MAX {
            return Err(InvalidSchema(format!(
                "the schema and its {} references have {bytes} bytes; at most {REFERENCES_MAX} and {TEXTS_BYTES_MAX} are allowed",
                references.len()
            )));
        }
        let root = Document::read(None, text, default_draft)?;
        let references = references
            .iter()
            .map(|reference| {
                Document::read(Some(reference.name.clone()), &reference.text, root.draft)
                    .map_err(|error| InvalidSchema(format!("reference {:?}: {}", reference.name, error.0)))
            })
            .collect::<Result<_, _>>()?;
        Ok(Documents { root, references })
    }

    /// All documents with the URI from which the library starts in them.
    pub(super) fn with_bases(&self) -> Result<Vec<(&Document, Uri<String>)>, InvalidSchema> {
        let mut all = vec![(&self.root, self.root.start()?)];
        for reference in &self.references {
            let name = reference.name.as_deref().unwrap_or_default().trim_end_matches('#');
            match uri::from_str(name) {
                Ok(start) => all.push((reference, start)),
                // A name that is no URI cannot be the target of a $ref; the document may still be known by its $id.
                Err(_) if reference.id().is_some() => all.push((reference, reference.start()?)),
                Err(_) => {}
            }
        }
        Ok(all)
    }

    /// The URI from which the library starts in the root.
    pub(super) fn root_base(&self) -> Result<Uri<String>, InvalidSchema> {
        self.root.start()
    }

    /// The registry of these documents; an error when a `$ref` leads out of them.
    pub(super) fn registry(&self) -> Result<Registry<'_>, InvalidSchema> {
        let start = self.root.start()?;
        let mut builder = Registry::new()
            .draft(self.root.draft)
            .retrieve_known_draft_meta_schemas(false)
            .add(start.as_str(), self.root.draft.create_resource_ref(&self.root.value))
            .map_err(|error| refused(&error))?;
        for (uri, document) in self.reference_uris(&start)? {
            builder = builder
                .add(uri.as_str(), document.draft.create_resource_ref(&document.value))
                .map_err(|error| refused(&error))?;
        }
        builder.prepare().map_err(|error| refused(&error))
    }

    fn reference_uris(&self, root: &Uri<String>) -> Result<Vec<(Uri<String>, &Document)>, InvalidSchema> {
        let mut users = Vec::new();
        for user in std::iter::once(&self.root).chain(&self.references) {
            let mut used = HashSet::new();
            gather_refs(&user.value, &mut used);
            users.push((user.bases()?, used));
        }
        let mut known = HashSet::from([root.as_str().to_owned()]);
        let mut uris = Vec::new();
        for document in &self.references {
            let name = document.name.as_deref().unwrap_or_default().trim_end_matches('#');
            let used_from = users.iter().filter(|(_, used)| used.contains(name)).flat_map(|(bases, _)| bases);
            let own = document.id().map(|id| uri::from_str(&id));
            let candidates = std::iter::once(uri::from_str(name))
                .chain(used_from.map(|base| uri::resolve_against(&base.borrow(), name)))
                .chain(own);
            for uri in candidates.flatten() {
                if is_standard(uri.as_str()) {
                    return Err(InvalidSchema(format!("the name {:?} belongs to the JSON Schema drafts", uri.as_str())));
                }
                if known.insert(uri.as_str().to_owned()) {
                    uris.push((uri, document));
                }
            }
        }
        if uris.len() > URIS_MAX {
            return Err(InvalidSchema(format!(
                "the references have {} names under which they are used; at most {URIS_MAX} are allowed",
                uris.len()
            )));
        }
        Ok(uris)
    }
}

impl Document {
    fn read(name: Option<String>, text: &str, default_draft: Draft) -> Result<Document, InvalidSchema> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(InvalidSchema(format!("the schema has {} bytes; at most {TEXT_BYTES_MAX} are allowed", text.len())));
        }
        let value: Value =
            serde_json::from_str(text).map_err(|error| InvalidSchema(format!("the schema is not JSON: {error}")))?;
        if !value.is_object() && !value.is_boolean() {
            return Err(InvalidSchema(format!("a JSON Schema is an object or a boolean, not {}", kind_of(&value))));
        }
        check_bounds(&value, 1)?;
        let draft = draft_of(&value)?.unwrap_or(default_draft);
        Ok(Document { name, value, draft })
    }

    fn id(&self) -> Option<String> {
        self.draft.create_resource_ref(&self.value).id().map(str::to_owned)
    }

    fn start(&self) -> Result<Uri<String>, InvalidSchema> {
        uri::from_str(self.id().as_deref().unwrap_or(DEFAULT_BASE)).map_err(|error| refused(&error))
    }

    /// What its `$ref`s may be relative to. The library resolves a relative `$id` once more when it enters the document.
    fn bases(&self) -> Result<Vec<Uri<String>>, InvalidSchema> {
        let start = self.start()?;
        let again = self.id().and_then(|id| uri::resolve_against(&start.borrow(), &id).ok());
        Ok(std::iter::once(start).chain(again).collect())
    }
}

/// What the library says of a `$ref`, for people.
pub(super) fn refused(error: &ReferencingError) -> InvalidSchema {
    InvalidSchema(match error {
        ReferencingError::Unretrievable { uri, .. } => {
            format!("$ref {uri:?} is not among the references of the schema, and nothing is fetched")
        }
        ReferencingError::PointerToNowhere { pointer } => format!("$ref \"#{pointer}\" leads nowhere"),
        ReferencingError::NoSuchAnchor { anchor } => format!("$ref \"#{anchor}\" leads nowhere: there is no such anchor"),
        other => format!("a $ref does not resolve: {other}"),
    })
}

/// Whether a URI is one of the drafts' own schemas.
pub(super) fn is_standard(uri: &str) -> bool {
    STANDARD.iter().any(|prefix| uri.starts_with(prefix))
}

/// The draft that `$schema` names.
fn draft_of(value: &Value) -> Result<Option<Draft>, InvalidSchema> {
    match value.get("$schema") {
        None => Ok(None),
        Some(Value::String(uri)) => match Draft::from_schema_uri(uri) {
            Draft::Unknown => Err(InvalidSchema(format!(
                "$schema {uri:?} is not known; known are http://json-schema.org/draft-04/schema#, \
                 http://json-schema.org/draft-06/schema#, http://json-schema.org/draft-07/schema#, \
                 https://json-schema.org/draft/2019-09/schema and https://json-schema.org/draft/2020-12/schema"
            ))),
            draft => Ok(Some(draft)),
        },
        Some(other) => Err(InvalidSchema(format!("$schema is a string, not {}", kind_of(other)))),
    }
}

fn check_bounds(value: &Value, depth: usize) -> Result<(), InvalidSchema> {
    if depth > DEPTH_MAX {
        return Err(InvalidSchema(format!("the schema nests deeper than {DEPTH_MAX} levels")));
    }
    match value {
        Value::Object(map) => {
            for (key, member) in map {
                let is_long_pattern = key == "pattern" && member.as_str().is_some_and(|text| text.len() > PATTERN_BYTES_MAX);
                if is_long_pattern || key.len() > PATTERN_BYTES_MAX {
                    return Err(InvalidSchema(format!(
                        "the schema has a pattern or a name of more than {PATTERN_BYTES_MAX} bytes"
                    )));
                }
                check_bounds(member, depth + 1)?;
            }
            Ok(())
        }
        Value::Array(items) => items.iter().try_for_each(|item| check_bounds(item, depth + 1)),
        _ => Ok(()),
    }
}

/// The documents that `$ref`s in `value` name, as they are written.
fn gather_refs(value: &Value, found: &mut HashSet<String>) {
    match value {
        Value::Object(map) => {
            for reference in ["$ref", "$dynamicRef", "$recursiveRef"].iter().filter_map(|keyword| map.get(*keyword)?.as_str()) {
                let document = reference.split('#').next().unwrap_or_default();
                if !document.is_empty() {
                    found.insert(document.to_owned());
                }
            }
            map.values().for_each(|member| gather_refs(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| gather_refs(item, found)),
        _ => {}
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
