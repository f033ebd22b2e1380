//! Whether records fit what their topic asks for. Pure work on one batch: for no runtime thread when the batch is large.
//!
//! A key or value that names its schema begins with a zero byte and the schema's id (Confluent's wire format), or the record's header
//! `__value_schema_id` or `__key_schema_id` names it by its guid (HeaderSchemaIdSerializer). One that does not is held
//! against the latest version of its subject, or the pinned one, if that is JSON Schema: plain JSON needs no serializer. Nulls pass.

use super::error::RegistryError;
use super::format::{Format, Parsed, ValueError};
use super::registry::Registry;
use super::state::{Deleted, Version};
use super::subject::{DEFAULT_CONTEXT, Subject};
use crate::config::validation::{Depth, Rule, Rules, SubjectName};
use crate::records::RecordError;
use crate::records::iterate::{self, RawRecord};
use bytes::Bytes;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

const MAGIC: u8 = 0;
/// Magic and schema id.
const PREFIX_BYTES: usize = 5;
/// The first byte of a guid in a header, before its 16 bytes.
const GUID_MAGIC: u8 = 1;
/// The most bad records of a batch that are found one by one; at more, the batch is refused whatever the topic does with bad ones.
pub const INVALID_MAX: usize = 10_000;
/// Schemas of one batch that are remembered while it is judged.
const KNOWN_MAX: usize = 64;
/// The longest message about a record.
const MESSAGE_CHARS_MAX: usize = 400;

/// Why a record does not fit; what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Magic and id are missing.
    NoSchemaId,
    /// The subject does not have this schema.
    UnknownSchema,
    /// The subject has none at all.
    NoSchema,
    /// The schema cannot be used any more.
    BrokenSchema,
    /// The bytes do not fit the schema.
    Mismatch,
}

impl Reason {
    pub const ALL: [Reason; 5] =
        [Reason::NoSchemaId, Reason::UnknownSchema, Reason::NoSchema, Reason::BrokenSchema, Reason::Mismatch];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reason::NoSchemaId => "no_schema_id",
            Reason::UnknownSchema => "unknown_schema",
            Reason::NoSchema => "no_schema",
            Reason::BrokenSchema => "broken_schema",
            Reason::Mismatch => "mismatch",
        }
    }
}

/// A record that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// In the batch.
    pub index: i32,
    pub reason: Reason,
    /// As `orders-3, record 17: /total: -4 is less than the minimum of 0 (schema id 12, subject orders-value v3)`.
    pub message: String,
}

/// What a batch was found to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    pub records: usize,
    /// The first [`INVALID_MAX`] that do not fit, in order.
    pub invalid: Vec<Invalid>,
    /// There are more.
    pub is_cut: bool,
}

/// Judges the batches of one registry's topics.
pub struct Validation<'a> {
    registry: &'a Registry,
    topic: &'a str,
    partition: i32,
    /// What was found out about schema ids in this batch, for keys and for values.
    known: [HashMap<Key, Result<Arc<Found>, Complaint>>; 2],
    /// The schema of the record before.
    last: [Option<(Key, Arc<Found>)>; 2],
    /// Protobuf schemas that records name, where the subject has the message's name; `None`: it is none, or cannot be used.
    protobuf: HashMap<Named, Option<Arc<Parsed>>>,
}

/// How a value says which schema it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Named {
    Id(i32),
    Guid(Uuid),
    /// Not at all.
    Plain,
}

/// What decides which subject counts: the schema, and with Protobuf, whose schemas have many messages, which of them it is (where the subject has its name).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    named: Named,
    /// Full names: one, or two where clients count messages differently.
    messages: Vec<Box<str>>,
}

/// A schema that a record is held against.
struct Found {
    id: i32,
    subject: Subject,
    version: i32,
    /// `None`: the id is all that is asked for.
    parsed: Option<Arc<Parsed>>,
}

/// What is wrong with the schema that a record names.
#[derive(Debug, Clone)]
struct Complaint {
    reason: Reason,
    message: String,
}

impl<'a> Validation<'a> {
    #[must_use]
    pub fn new(registry: &'a Registry, topic: &'a str, partition: i32) -> Validation<'a> {
        Validation { registry, topic, partition, known: Default::default(), last: Default::default(), protobuf: HashMap::new() }
    }

    /// Holds every record of a batch against `rules`; decompresses to at most `limit` bytes.
    ///
    /// # Errors
    /// [`RecordError`] when the batch does not read.
    pub fn judge(mut self, rules: &Rules, batch: &Bytes, limit: usize) -> Result<Judgement, RecordError> {
        let mut judgement = Judgement::default();
        let mut index = 0_i32;
        iterate::each(batch, limit, |record| {
            // Whoever is told of a record, or reads it, must find it at its place.
            if record.offset_delta != index {
                return Err(RecordError::BadRecord(format!(
                    "record {index} of the batch has offset delta {}",
                    record.offset_delta
                )));
            }
            let here = index;
            index = index.saturating_add(1);
            judgement.records += 1;
            if judgement.is_cut {
                return Ok(());
            }
            if let Err(complaint) = self.judge_record(rules, record) {
                if judgement.invalid.len() < INVALID_MAX {
                    let place = format!("{}-{}, record {here}: ", self.topic, self.partition);
                    let message = place + &cut(complaint.message);
                    judgement.invalid.push(Invalid { index: here, reason: complaint.reason, message });
                } else {
                    judgement.is_cut = true;
                }
            }
            Ok(())
        })?;
        Ok(judgement)
    }

    fn judge_record(&mut self, rules: &Rules, record: RawRecord<'_>) -> Result<(), Complaint> {
        if let (Some(rule), Some(key)) = (&rules.key, record.key) {
            self.judge_part(Part::Key, rule, key, record)?;
        }
        if let (Some(rule), Some(value)) = (&rules.value, record.value) {
            self.judge_part(Part::Value, rule, value, record)?;
        }
        Ok(())
    }

    fn judge_part(&mut self, part: Part, rule: &Rule, bytes: &[u8], record: RawRecord<'_>) -> Result<(), Complaint> {
        let in_header = in_header(part, record)?;
        let (named, payload) = match (in_header, bytes.split_at_checked(PREFIX_BYTES)) {
            (Some((named, _)), _) => (named, bytes),
            (None, Some(([MAGIC, a, b, c, d], payload))) => (Named::Id(i32::from_be_bytes([*a, *b, *c, *d])), payload),
            (None, _) => (Named::Plain, bytes),
        };
        let messages = match rule.subject {
            SubjectName::Record | SubjectName::TopicRecord => {
                self.messages_of(named, in_header.map(|(_, indexes)| indexes), payload)
            }
            SubjectName::Fixed(_) | SubjectName::Topic => Vec::new(),
        };
        let key = Key { named, messages };
        let found = match &self.last[part as usize] {
            // Records of one batch mostly have one schema.
            Some((last, found)) if *last == key => found,
            _ => {
                let found = self.find_known(part, rule, &key)?;
                &self.last[part as usize].insert((key, found)).1
            }
        };
        let Some(parsed) = &found.parsed else { return Ok(()) };
        let checked = match in_header {
            // Which message it is stands in the header as well.
            Some((_, indexes)) if parsed.format() == Format::Protobuf => {
                parsed.check_value(&[or_first(indexes), payload].concat())
            }
            _ => parsed.check_value(payload),
        };
        checked.map_err(|error| mismatch(part, &error, found))
    }

    /// The full names that the Protobuf message of a record may have. Empty: it is none, or its index leads nowhere, which is said when it is looked at.
    fn messages_of(&mut self, named: Named, in_header: Option<&[u8]>, payload: &[u8]) -> Vec<Box<str>> {
        let parsed = match self.protobuf.get(&named) {
            Some(known) => known.clone(),
            None => {
                let parsed = self.protobuf_named(named);
                if self.protobuf.len() < KNOWN_MAX {
                    self.protobuf.insert(named, parsed.clone());
                }
                parsed
            }
        };
        parsed.map(|parsed| parsed.message_names(in_header.map_or(payload, or_first))).unwrap_or_default()
    }

    fn protobuf_named(&self, named: Named) -> Option<Arc<Parsed>> {
        let id = match named {
            Named::Id(id) => id,
            Named::Guid(guid) => self.id_of(guid, DEFAULT_CONTEXT)?,
            Named::Plain => return None,
        };
        let schema = self.registry.with(|state| state.schema(DEFAULT_CONTEXT, id).cloned())?;
        if schema.format == Format::Protobuf { self.registry.parsed(&schema).ok() } else { None }
    }

    fn id_of(&self, guid: Uuid, context: &str) -> Option<i32> {
        self.registry.with(|state| state.ids_of_guid(guid).find(|(own, _)| *own == context).map(|(_, id)| id))
    }

    fn find_known(&mut self, part: Part, rule: &Rule, key: &Key) -> Result<Arc<Found>, Complaint> {
        if let Some(found) = self.known[part as usize].get(key) {
            return found.clone();
        }
        let found = self.find(part, rule, key).map(Arc::new);
        let known = &mut self.known[part as usize];
        // A batch that names another schema in every record is hostile: it is told so each time, and nothing more is kept.
        if known.len() < KNOWN_MAX {
            known.insert(key.clone(), found.clone());
        }
        found
    }

    fn find(&self, part: Part, rule: &Rule, key: &Key) -> Result<Found, Complaint> {
        match key.named {
            Named::Id(id) => self.find_by_id(part, rule, id, &key.messages),
            Named::Guid(guid) => {
                let fixed = self.fixed_subject(part, rule);
                let context = fixed.map_or_else(|| DEFAULT_CONTEXT.to_owned(), |subject| subject.context);
                let id = self.id_of(guid, &context);
                let unknown = || complaint(Reason::UnknownSchema, format!("{part}: schema {guid} is not registered"));
                self.find_by_id(part, rule, id.ok_or_else(unknown)?, &key.messages)
            }
            Named::Plain => self.find_for_plain(part, rule),
        }
    }

    fn find_by_id(&self, part: Part, rule: &Rule, id: i32, messages: &[Box<str>]) -> Result<Found, Complaint> {
        let fixed = self.fixed_subject(part, rule);
        let context = fixed.as_ref().map_or(DEFAULT_CONTEXT, |subject| subject.context.as_str()).to_owned();
        let context = context.as_str();
        let unknown = |subject: Option<&Subject>| {
            let place = subject.map_or_else(|| "in the registry".to_owned(), |subject| format!("under subject {subject}"));
            complaint(Reason::UnknownSchema, format!("{part}: schema id {id} is not registered {place}"))
        };
        let schema = self.registry.with(|state| state.schema(context, id).cloned()).ok_or_else(|| unknown(fixed.as_ref()))?;
        let broken =
            |error: &RegistryError| complaint(Reason::BrokenSchema, format!("{part}: schema id {id} cannot be used: {error}"));
        let needs_parsed = rule.depth == Depth::Full || fixed.is_none();
        let parsed = needs_parsed.then(|| self.registry.parsed(&schema)).transpose().map_err(|error| broken(&error))?;
        let subjects = match fixed {
            Some(subject) => vec![subject],
            None => {
                let of_schema = || parsed.as_ref().and_then(|parsed| parsed.record_name()).into_iter().collect();
                let names: Vec<&str> =
                    if messages.is_empty() { of_schema() } else { messages.iter().map(|name| &**name).collect() };
                let subject_of = |name: &str| match rule.subject {
                    SubjectName::Record => Subject::plain(name),
                    _ => Subject::plain(format!("{}-{name}", self.topic)),
                };
                names.into_iter().map(subject_of).collect()
            }
        };
        let Some(first) = subjects.first() else {
            let why = format!("{part}: schema id {id} has no record name to find its subject by");
            return Err(complaint(Reason::UnknownSchema, why));
        };
        let version_of = |subject: &Subject| {
            self.registry.with(|state| {
                let subject = state.unaliased(subject);
                state.holders(context, id, Deleted::Hidden).find(|(holder, _)| **holder == subject).map(|(_, version)| version)
            })
        };
        let found = subjects.iter().find_map(|subject| Some((subject.clone(), version_of(subject)?)));
        let (subject, version) = found.ok_or_else(|| unknown(Some(first)))?;
        Ok(Found { id, subject, version, parsed: parsed.filter(|_| rule.depth == Depth::Full) })
    }

    fn find_for_plain(&self, part: Part, rule: &Rule) -> Result<Found, Complaint> {
        let fixed = self.fixed_subject(part, rule);
        let of_subject = fixed.as_ref().map(|subject| format!(" (subject {subject})")).unwrap_or_default();
        let no_id = || {
            let why = "it does not begin with a zero byte and the id of a schema, as serializers write it";
            complaint(Reason::NoSchemaId, format!("{part}: {why}{of_subject}"))
        };
        let subject = fixed.clone().filter(|_| rule.depth == Depth::Full).ok_or_else(no_id)?;
        let version = self.registry.version(&subject, rule.version, Deleted::Hidden);
        let Version { subject, version, schema, .. } = version
            .map_err(|error| complaint(Reason::NoSchema, format!("{part}: there is no schema to hold it against: {error}")))?;
        if schema.format != Format::Json {
            return Err(no_id());
        }
        let parsed = self.registry.parsed(&schema).map_err(|error| {
            complaint(Reason::BrokenSchema, format!("{part}: schema id {} cannot be used: {error}", schema.id))
        })?;
        Ok(Found { id: schema.id, subject, version, parsed: Some(parsed) })
    }

    /// The subject, where it does not depend on the record.
    fn fixed_subject(&self, part: Part, rule: &Rule) -> Option<Subject> {
        match &rule.subject {
            SubjectName::Fixed(name) => Some(Subject::parse(name).unwrap_or_else(|| Subject::plain(name.clone()))),
            SubjectName::Topic => Some(Subject::plain(format!("{}-{part}", self.topic))),
            SubjectName::Record | SubjectName::TopicRecord => None,
        }
    }
}

/// Which part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Key,
    Value,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Key => "key",
            Part::Value => "value",
        })
    }
}

/// The schema that a header of the record names, and what follows there: the message indexes of Protobuf. `None`: there is no such header, or it is null.
///
/// # Errors
/// One that names none: consumers would fail over it, however good the payload is (DualSchemaIdDeserializer).
fn in_header<'a>(part: Part, record: RawRecord<'a>) -> Result<Option<(Named, &'a [u8])>, Complaint> {
    let name = if part == Part::Key { "__key_schema_id" } else { "__value_schema_id" };
    let Some(value) = record.header(name.as_bytes()) else { return Ok(None) };
    let named = named_in_header(value).ok_or_else(|| {
        let bytes = value.len();
        complaint(
            Reason::UnknownSchema,
            format!("{part}: the header {name} names no schema in its {bytes} bytes; 0 and an id, or 1 and a guid, would"),
        )
    });
    named.map(Some)
}

fn named_in_header(value: &[u8]) -> Option<(Named, &[u8])> {
    match value.split_first()? {
        (&GUID_MAGIC, rest) => {
            let (guid, rest) = rest.split_first_chunk::<16>()?;
            Some((Named::Guid(Uuid::from_bytes(*guid)), rest))
        }
        (&MAGIC, rest) => {
            let (id, rest) = rest.split_first_chunk::<4>()?;
            Some((Named::Id(i32::from_be_bytes(*id)), rest))
        }
        _ => None,
    }
}

/// The message indexes that a header has; without a word it is the first message.
fn or_first(indexes: &[u8]) -> &[u8] {
    if indexes.is_empty() { &[0] } else { indexes }
}

fn complaint(reason: Reason, message: String) -> Complaint {
    Complaint { reason, message }
}

fn mismatch(part: Part, error: &ValueError, found: &Found) -> Complaint {
    let Found { id, subject, version, .. } = found;
    // Keys are the exception: a message without the word is about the value.
    let place = if part == Part::Key { "key " } else { "" };
    complaint(Reason::Mismatch, format!("{place}{error} (schema id {id}, subject {subject} v{version})"))
}

fn cut(message: String) -> String {
    match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        None => message,
        Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
    }
}
