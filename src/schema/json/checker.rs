//! A schema, compiled, that values are held against.

use super::documents::{Documents, refused};
use super::meter::{self, Left};
use super::metered::Metered;
use super::patterns::{self, Costs};
use super::prepare::{STEP, ignores_siblings};
use super::{graph, message, prepare};
use crate::records::json;
use crate::schema::format::{InvalidSchema, ValueError};
use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::Location;
use jsonschema::{Draft, Keyword, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

/// Schemas up to which it is said where they break the rules of their draft: the library copies much to find that out.
const EXPLAINED_BYTES_MAX: usize = 64 << 10;
/// Values, names included, of a value that is held against a schema: some 75 MB while it is. A batch of some kilobytes may unpack to fifty million.
const VALUES_MAX: usize = 1_000_000;
/// What a compiled subschema takes, about.
const BYTES_PER_SUBSCHEMA: usize = 600;

pub(super) struct Checker {
    validator: Validator<Metered>,
    costs: Costs,
    subschemas: usize,
    /// Of values in `enum` and `const`, which the library copies, and of compiled patterns.
    constants_bytes: usize,
}

impl Checker {
    /// Compiles `documents`, which it rewrites.
    pub(super) fn build(documents: &mut Documents, bytes: usize) -> Result<Checker, InvalidSchema> {
        for (document, _) in documents.with_bases()? {
            check_rules(&document.value, document.draft, bytes)?;
        }
        let mut census = prepare::Census::default();
        for document in std::iter::once(&mut documents.root).chain(&mut documents.references) {
            prepare::prepare(&mut document.value, document.draft, &mut census)?;
        }
        let costs = Costs::of(&census)?;
        let marks = {
            let registry = documents.registry()?;
            graph::inspect(documents, &registry)?
        };
        for document in std::iter::once(&mut documents.root).chain(&mut documents.references) {
            prepare::mark(&mut document.value, &marks, 0);
        }
        let documents = &*documents;
        let texts = std::iter::once(&documents.root).chain(&documents.references);
        let constants = texts.fold(0_usize, |sum, document| sum.saturating_add(constants_of(&document.value, false)));
        let constants_bytes = constants.saturating_mul(2 * size_of::<Value>()).saturating_add(costs.compiled_bytes);
        Ok(Checker { validator: compile(documents)?, costs, subschemas: census.subschemas, constants_bytes })
    }

    /// Bytes of memory, about.
    pub(super) fn memory_bytes(&self) -> usize {
        self.subschemas.saturating_mul(BYTES_PER_SUBSCHEMA).saturating_add(self.constants_bytes)
    }

    /// Holds a value, which is one JSON text, against the schema.
    pub(super) fn check(&self, value: &[u8]) -> Result<(), ValueError> {
        if json::has_more_values(value, VALUES_MAX) {
            return Err(whole(format!("has more than {VALUES_MAX} values and names, the most that are looked at")));
        }
        let parsed: Value = serde_json::from_slice(value).map_err(|error| whole(format!("is not JSON: {error}")))?;
        match meter::within(self.costs, value.len(), || self.validator.is_valid(&parsed)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.explain(&parsed, value.len())),
            Err(left) => Err(whole(said_of(left))),
        }
    }

    #[cold]
    fn explain(&self, value: &Value, bytes: usize) -> ValueError {
        let reason =
            meter::within(self.costs, bytes, || self.validator.validate(value).err().map(|error| message::explain(&error)));
        match reason {
            Ok(Some((path, message))) => ValueError { path, message },
            Ok(None) => whole("does not match the schema".to_owned()),
            Err(_) => whole("does not match the schema; it is too large to say where".to_owned()),
        }
    }
}

/// The values in `enum` and `const`, all of their parts included.
fn constants_of(value: &Value, is_constant: bool) -> usize {
    let own = usize::from(is_constant);
    match value {
        Value::Array(items) => items.iter().fold(own, |sum, item| sum.saturating_add(constants_of(item, is_constant))),
        Value::Object(members) => members.iter().fold(own, |sum, (name, member)| {
            sum.saturating_add(constants_of(member, is_constant || name == "enum" || name == "const"))
        }),
        _ => own,
    }
}

fn whole(message: String) -> ValueError {
    ValueError { path: String::new(), message }
}

fn said_of(left: Left) -> String {
    match left {
        Left::OutOfBudget => "the schema takes too long on this value, or recurses too deep".to_owned(),
        Left::Panicked => "the schema cannot be checked on this value: the library failed".to_owned(),
    }
}

/// Holds a schema against the rules of its draft.
fn check_rules(schema: &Value, draft: Draft, bytes: usize) -> Result<(), InvalidSchema> {
    let rules = match draft {
        Draft::Draft4 => jsonschema::draft4::meta::validator(),
        Draft::Draft6 => jsonschema::draft6::meta::validator(),
        Draft::Draft7 => jsonschema::draft7::meta::validator(),
        Draft::Draft201909 => jsonschema::draft201909::meta::validator(),
        _ => jsonschema::draft202012::meta::validator(),
    };
    if rules.is_valid(schema) {
        return Ok(());
    }
    if bytes > EXPLAINED_BYTES_MAX {
        return Err(InvalidSchema(format!("the schema breaks the rules of {}; it is too large to say where", name_of(draft))));
    }
    match rules.validate(schema) {
        Ok(()) => Ok(()),
        Err(error) => {
            let (path, message) = message::explain(&error);
            Err(InvalidSchema(format!("the schema breaks the rules of {} at #{path}: {message}", name_of(draft))))
        }
    }
}

fn compile(documents: &Documents) -> Result<Validator<Metered>, InvalidSchema> {
    let registry = documents.registry()?;
    let patterns = PatternOptions::regex().size_limit(patterns::COMPILED_BYTES_MAX).dfa_size_limit(patterns::MEMORY_BYTES_MAX);
    let options = jsonschema::options_for::<Metered>()
        .with_draft(documents.root.draft)
        .with_registry(&registry)
        .offline()
        // Drafts from 2019-09 on say that a format is a remark, unless asked for otherwise.
        .should_validate_formats(ignores_siblings(documents.root.draft))
        .with_pattern_options(patterns)
        .with_keyword(STEP, step);
    match meter::compiling(|| options.build(&documents.root.value).map_err(|error| said_of_build(&error))) {
        Ok(built) => built,
        Err(left) => Err(InvalidSchema(format!("the schema cannot be compiled: {}", said_of(left)))),
    }
}

fn said_of_build(error: &ValidationError<'_>) -> InvalidSchema {
    match error.kind() {
        ValidationErrorKind::Referencing(error) => refused(error),
        ValidationErrorKind::Format { format } if format == "regex" => {
            let pattern = error.instance().as_str().unwrap_or_default();
            patterns::unsupported(pattern, &patterns::reason(pattern))
        }
        ValidationErrorKind::Custom { message, .. } => InvalidSchema(message.clone()),
        _ => InvalidSchema(format!("the schema is invalid at #{}: {}", error.schema_path(), message::shorten(error))),
    }
}

/// The keyword [`STEP`]: counts while the library compiles, does nothing on values.
struct Step;

impl<'i> Keyword<'i, Metered> for Step {
    fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
        Ok(())
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        true
    }
}

fn step<'a>(
    _: &'a Map<String, Value>,
    weight: &'a Value,
    _: Location,
) -> Result<Box<dyn for<'i> Keyword<'i, Metered>>, ValidationError<'a>> {
    if meter::may_compile(weight.as_u64().unwrap_or(1)) {
        return Ok(Box::new(Step));
    }
    Err(ValidationError::custom("the schema is too large or too deep once its $refs are followed"))
}

fn name_of(draft: Draft) -> &'static str {
    match draft {
        Draft::Draft4 => "Draft 4",
        Draft::Draft6 => "Draft 6",
        Draft::Draft7 => "Draft 7",
        Draft::Draft201909 => "Draft 2019-09",
        _ => "Draft 2020-12",
    }
}
