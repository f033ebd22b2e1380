//! AlterClientQuotas, key 49, versions 0-1.
//!
//! Behaviour: sets and removes limits of users, client ids, both together, and addresses; each entity is taken whole or not at
//! all, and one that is refused does not hinder the others. One that comes twice is refused each time, and so is a key that comes
//! twice; Kafka says the same, but has made the first change by then. What is not set can be removed.
//!
//! Version notes: 1 is flexible.
//! Not implemented: as DescribeClientQuotas; names of hosts instead of addresses.

use super::errors::NONE;
use super::errors::catalog::shown;
use super::repeated::repeated;
use super::{Answer, Context, Handler};
use crate::catalog::CatalogError;
use crate::catalog::quotas::{Alteration, Entity};
use kafka_protocol::messages::alter_client_quotas_request::EntryData;
use kafka_protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse, alter_client_quotas_response as answered};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;

/// The most entities that one request may alter (QuorumController.MAX_RECORDS_PER_USER_OP, of which each takes one or more).
const ENTITIES_PER_REQUEST: usize = 10_000;

pub struct AlterClientQuotas;

impl Handler for AlterClientQuotas {
    type Request = AlterClientQuotasRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(context: Context, request: AlterClientQuotasRequest) -> Answer<AlterClientQuotasResponse> {
        let entries = if request.entries.len() > ENTITIES_PER_REQUEST {
            let refusal = shown(&too_many());
            request.entries.into_iter().map(|entry| answer(entry, refusal.clone())).collect()
        } else {
            let outcomes = alter(&context, &request.entries, request.validate_only).await;
            let shown = outcomes.iter().map(|outcome| outcome.as_ref().map_or_else(shown, |()| (NONE, None)));
            request.entries.into_iter().zip(shown).map(|(entry, outcome)| answer(entry, outcome)).collect()
        };
        Answer::Now(AlterClientQuotasResponse::default().with_entries(entries))
    }

    fn unsupported() -> AlterClientQuotasResponse {
        AlterClientQuotasResponse::default()
    }
}

fn too_many() -> CatalogError {
    CatalogError::LimitReached(format!("A request may alter the quotas of at most {ENTITIES_PER_REQUEST} entities."))
}

fn answer(entry: EntryData, (error_code, why): (i16, Option<StrBytes>)) -> answered::EntryData {
    let parts = entry
        .entity
        .into_iter()
        .map(|part| answered::EntityData::default().with_entity_type(part.entity_type).with_entity_name(part.entity_name));
    answered::EntryData::default().with_error_code(error_code).with_error_message(why).with_entity(parts.collect())
}

/// What became of each entry.
async fn alter(context: &Context, entries: &[EntryData], validate_only: bool) -> Vec<Result<(), CatalogError>> {
    let asked: Vec<Result<Alteration, CatalogError>> = entries.iter().map(alteration).collect();
    let entities = asked.iter().flatten().map(|alteration| alteration.entity.clone());
    let twice: HashSet<Entity> = repeated(entities).into_iter().collect();
    let mut alterations = Vec::with_capacity(asked.len());
    let judge = |asked: Result<Alteration, CatalogError>| -> Result<(), CatalogError> {
        let alteration = asked?;
        if twice.contains(&alteration.entity) {
            return Err(CatalogError::InvalidRequest(format!("Ignoring duplicate entity {}", alteration.entity)));
        }
        alterations.push(alteration);
        Ok(())
    };
    let judged: Vec<Result<(), CatalogError>> = asked.into_iter().map(judge).collect();
    let mut altered = altered(context, alterations, validate_only).await.into_iter();
    // Those that were good so far have their results in the same order.
    judged.into_iter().map(|judged| judged.and_then(|()| altered.next().unwrap_or(Ok(())))).collect()
}

/// What became of each alteration.
async fn altered(context: &Context, alterations: Vec<Alteration>, validate_only: bool) -> Vec<Result<(), CatalogError>> {
    let catalog = &context.broker.catalog;
    if validate_only {
        return catalog.validate_quotas(&alterations);
    }
    let count = alterations.len();
    catalog.alter_quotas(alterations).await.unwrap_or_else(|error| vec![Err(error); count])
}

fn alteration(entry: &EntryData) -> Result<Alteration, CatalogError> {
    let name = |name: &StrBytes| name.to_string();
    let entity = Entity::new(entry.entity.iter().map(|part| (name(&part.entity_type), part.entity_name.as_ref().map(name))))?;
    let mut changes = BTreeMap::new();
    for op in &entry.ops {
        if changes.insert(name(&op.key), (!op.remove).then_some(op.value)).is_some() {
            return Err(CatalogError::InvalidRequest(format!(
                "Duplicate quota key {} not updating quota for this entity {entity}",
                op.key
            )));
        }
    }
    Ok(Alteration { entity, changes })
}
