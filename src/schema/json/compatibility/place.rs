//! A subschema in its document: its value, and how `$ref`s in it resolve.

use crate::schema::format::InvalidSchema;
use crate::schema::json::documents::Documents;
use crate::schema::json::prepare::{address_of, ignores_siblings};
use jsonschema::{Draft, Registry, Uri};
use serde_json::{Map, Value};
use std::sync::Arc;

#[derive(Clone)]
pub(super) struct Place<'a> {
    value: &'a Value,
    base: Arc<Uri<String>>,
    draft: Draft,
    registry: &'a Registry<'a>,
}

impl<'a> Place<'a> {
    pub(super) fn root(documents: &'a Documents, registry: &'a Registry<'a>) -> Result<Place<'a>, InvalidSchema> {
        let start = documents.root_base()?;
        let outer = Place { value: &documents.root.value, base: Arc::new(start), draft: documents.root.draft, registry };
        Ok(outer.at(&documents.root.value))
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// The keywords; none for a boolean schema.
    pub(super) fn map(&self) -> Option<&'a Map<String, Value>> {
        self.value.as_object()
    }

    pub(super) fn keyword(&self, name: &str) -> Option<&'a Value> {
        self.map()?.get(name)
    }

    /// A number that a keyword has.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.keyword(name)?.as_f64()
    }

    pub(super) fn draft(&self) -> Draft {
        self.draft
    }

    /// Whether a `$ref` here makes its siblings void.
    pub(super) fn ignores_siblings(&self) -> bool {
        ignores_siblings(self.draft)
    }

    pub(super) fn address(&self) -> usize {
        address_of(self.value)
    }

    /// A subschema of this one.
    pub(super) fn at(&self, value: &'a Value) -> Place<'a> {
        let resource = self.draft.create_resource_ref(value);
        let base = match resource.id() {
            Some(_) => match self.registry.resolver((*self.base).clone()).in_subresource(resource) {
                Ok(resolver) => resolver.base_uri(),
                Err(_) => Arc::clone(&self.base),
            },
            None => Arc::clone(&self.base),
        };
        Place { value, base, draft: self.draft, registry: self.registry }
    }

    /// The subschema that a keyword has.
    pub(super) fn below(&self, keyword: &str) -> Option<Place<'a>> {
        self.keyword(keyword).map(|value| self.at(value))
    }

    /// Where a `$ref` leads.
    pub(super) fn follow(&self, reference: &str) -> Option<Place<'a>> {
        let resolved = self.registry.resolver((*self.base).clone()).lookup(reference).ok()?;
        let (value, resolver, draft) = resolved.into_inner();
        Some(Place { value, base: resolver.base_uri(), draft, registry: self.registry })
    }
}
