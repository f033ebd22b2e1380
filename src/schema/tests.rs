//! Goal: what is registered stays what it was, over restarts and under concurrency, and what contradicts it is refused with Confluent's reasons.
//! Method: the registry over a store in memory; schemas are Avro where the format does not matter. Error paths first.

use super::export::Export;
use super::stored::Own;
use super::validation::INVALID_MAX;
use super::*;
use crate::config::KafkaSettings;
use crate::config::topic::TopicSettings;
use crate::config::validation::Rules;
use crate::ids::Timestamp;
use crate::records::BatchBuilder;
use crate::store::memory::MemoryStore;
use std::collections::HashSet;
use std::sync::Arc;

const SETTINGS: Settings = Settings { level: Level::Backward, memory_bytes: 1 << 20, cache_bytes: 1 << 20 };

async fn open(store: &Arc<MemoryStore>) -> Arc<Registry> {
    Registry::open(store.clone(), SETTINGS).await.expect("opens")
}

async fn new() -> (Arc<MemoryStore>, Arc<Registry>) {
    let store = MemoryStore::new();
    let registry = open(&store).await;
    (store, registry)
}

fn exported(registry: &Registry) -> String {
    registry.with(Export::of).lines()
}

fn subject(name: &str) -> Subject {
    Subject::parse(name).expect("a subject")
}

fn text(text: &str) -> Registration {
    Registration { text: text.to_owned(), ..Registration::default() }
}

/// A record with fields of type int; those that end in `=` have a default.
fn record(fields: &[&str]) -> Registration {
    let fields: Vec<String> = fields
        .iter()
        .map(|field| match field.strip_suffix('=') {
            Some(name) => format!(r#"{{"name":"{name}","type":"int","default":0}}"#),
            None => format!(r#"{{"name":"{field}","type":"int"}}"#),
        })
        .collect();
    text(&format!(r#"{{"type":"record","name":"R","fields":[{}]}}"#, fields.join(",")))
}

async fn register(registry: &Arc<Registry>, name: &str, new: Registration) -> Result<(i32, i32), RegistryError> {
    registry.register(subject(name), new).await.map(|version| (version.version, version.schema.id))
}

#[tokio::test]
async fn what_is_no_schema_is_refused_and_costs_no_id() {
    let (_store, registry) = new().await;
    for bad in ["", "{", "\"unknown\"", r#"{"type":"record"}"#] {
        let refused = register(&registry, "a", text(bad)).await.expect_err("refused");
        assert!(matches!(refused, RegistryError::InvalidSchema(_)), "{bad:?}: {refused}");
    }
    assert_eq!(register(&registry, "a", text("\"int\"")).await.expect("taken"), (1, 1));
}

#[tokio::test]
async fn what_earlier_versions_cannot_bear_is_refused_with_the_reason() {
    let (_store, registry) = new().await;
    register(&registry, "a", record(&["x"])).await.expect("taken");
    let refused = register(&registry, "a", record(&["x", "y"])).await.expect_err("refused");
    assert!(refused.to_string().contains("READER_FIELD_MISSING_DEFAULT_VALUE"), "{refused}");
    assert_eq!(register(&registry, "a", record(&["x", "y="])).await.expect("taken"), (2, 2));
    // BACKWARD asks for the last version alone; transitive levels ask for all.
    let third = text(r#"{"type":"record","name":"R","fields":[{"name":"y","type":"int"}]}"#);
    let against = |level| {
        let (registry, third) = (registry.clone(), third.clone());
        async move {
            registry.set_config(subject("a"), Own { level: Some(level), ..Own::default() }).await.expect("set");
            registry.compatibility(&subject("a"), &third, Against::Subject).expect("answered").is_empty()
        }
    };
    assert!(against(Level::Backward).await);
    assert!(!against(Level::BackwardTransitive).await);
    assert!(!against(Level::Forward).await);
    assert!(against(Level::None).await);
}

#[tokio::test]
async fn the_same_schema_has_one_id_however_often_and_wherever_it_is_registered() {
    let (_store, registry) = new().await;
    let mut tasks = Vec::new();
    for at in 0..64 {
        let registry = registry.clone();
        tasks.push(crate::tasks::spawn("register", async move {
            let spaced = text(&format!("{}\"string\"", " ".repeat(at % 7)));
            register(&registry, &format!("s{}", at % 4), spaced).await.expect("taken")
        }));
    }
    for task in tasks {
        assert_eq!(task.await.expect("ends"), (1, 1));
    }
}

#[tokio::test]
async fn concurrent_registrations_of_different_schemas_never_share_an_id() {
    let (_store, registry) = new().await;
    let mut tasks = Vec::new();
    for at in 0..64 {
        let registry = registry.clone();
        let new = text(&format!(r#"{{"type":"fixed","name":"F{at}","size":{at}}}"#));
        tasks.push(crate::tasks::spawn("register", async move {
            register(&registry, &format!("s{at}"), new).await.expect("taken").1
        }));
    }
    let mut ids = HashSet::new();
    for task in tasks {
        assert!(ids.insert(task.await.expect("ends")), "an id came twice");
    }
}

#[tokio::test]
async fn ids_outlive_restarts_and_deletions() {
    let (store, registry) = new().await;
    register(&registry, "a", record(&["x"])).await.expect("taken");
    register(&registry, "a", record(&["x", "y="])).await.expect("taken");
    for deletion in [Deletion::Soft, Deletion::Permanent] {
        assert_eq!(registry.delete_subject(subject("a"), deletion).await.expect("deleted"), [1, 2]);
    }
    assert!(registry.schema(".", 2).is_err(), "nobody has it any more");
    let registry = open(&store).await;
    assert_eq!(register(&registry, "a", record(&["x"])).await.expect("taken"), (1, 3), "an id is never given again");
    let registry = open(&store).await;
    assert_eq!(registry.version(&subject("a"), None, Deleted::Hidden).expect("there").schema.id, 3);
}

#[tokio::test]
async fn deletion_goes_in_two_steps_each_with_its_own_refusals() {
    let (_store, registry) = new().await;
    let delete = |deletion| registry.delete_subject(subject("a"), deletion);
    assert!(matches!(delete(Deletion::Soft).await, Err(RegistryError::SubjectNotFound(_))));
    register(&registry, "a", text("\"int\"")).await.expect("taken");
    assert!(matches!(delete(Deletion::Permanent).await, Err(RegistryError::SubjectNotSoftDeleted(_))));
    let version = |deletion| registry.delete_version(subject("a"), Some(1), deletion);
    assert!(matches!(version(Deletion::Permanent).await, Err(RegistryError::VersionNotSoftDeleted(..))));
    assert_eq!(version(Deletion::Soft).await.expect("deleted"), 1);
    assert!(matches!(version(Deletion::Soft).await, Err(RegistryError::VersionSoftDeleted(..))));
    assert!(matches!(delete(Deletion::Soft).await, Err(RegistryError::SubjectSoftDeleted(_))));
    assert!(registry.schema(".", 1).is_ok(), "a schema is read by its id as long as a deleted version has it");
    assert_eq!(register(&registry, "a", text("\"int\"")).await.expect("taken"), (2, 1), "the same schema, a new version");
    assert!(registry.schema(".", 1).is_ok());
    assert!(
        matches!(version(Deletion::Permanent).await, Err(RegistryError::VersionNotFound(1))),
        "it went when the schema came again"
    );
}

#[tokio::test]
async fn a_deleted_version_that_is_referred_to_stays_when_its_schema_comes_again() {
    let (store, registry) = new().await;
    register(&registry, "point", record(&["x"])).await.expect("taken");
    let mut line = text(r#"{"type":"record","name":"L","fields":[{"name":"a","type":"R"}]}"#);
    line.references = vec![Reference { name: "R".to_owned(), subject: "point".to_owned(), version: 1 }];
    register(&registry, "line", line).await.expect("taken");
    for name in ["line", "point"] {
        registry.delete_subject(subject(name), Deletion::Soft).await.expect("deleted");
    }
    assert_eq!(register(&registry, "point", record(&["x"])).await.expect("taken"), (2, 1));
    let registry = open(&store).await;
    let versions =
        registry.with(|state| state.versions(&subject("point"), Deleted::Included).map(|one| one.version).collect::<Vec<_>>());
    assert_eq!(versions, [1, 2]);
}

#[tokio::test]
async fn a_subject_whose_versions_refer_to_one_another_goes_as_a_whole() {
    let (_store, registry) = new().await;
    let none = Own { level: Some(Level::None), ..Own::default() };
    registry.set_config(subject("a"), none).await.expect("set");
    register(&registry, "a", record(&["x"])).await.expect("taken");
    let mut second = text(r#"{"type":"record","name":"L","fields":[{"name":"a","type":"R"}]}"#);
    second.references = vec![Reference { name: "R".to_owned(), subject: "a".to_owned(), version: 1 }];
    register(&registry, "a", second.clone()).await.expect("taken");
    let first = registry.delete_version(subject("a"), Some(1), Deletion::Soft).await;
    assert!(matches!(first, Err(RegistryError::Referenced(..))), "{first:?}");
    register(&registry, "b", second).await.expect("taken: the same schema in another subject");
    let all = registry.delete_subject(subject("a"), Deletion::Soft).await;
    assert!(matches!(all, Err(RegistryError::Referenced(..))), "{all:?}");
    registry.delete_subject(subject("b"), Deletion::Soft).await.expect("deleted");
    assert_eq!(registry.delete_subject(subject("a"), Deletion::Soft).await.expect("deleted"), [1, 2]);
    let all = registry.delete_subject(subject("a"), Deletion::Permanent).await;
    assert!(matches!(all, Err(RegistryError::Referenced(..))), "b may come back: {all:?}");
    registry.delete_subject(subject("b"), Deletion::Permanent).await.expect("deleted");
    assert_eq!(registry.delete_subject(subject("a"), Deletion::Permanent).await.expect("deleted"), [1, 2]);
}

#[tokio::test]
async fn a_schema_that_others_refer_to_cannot_go() {
    let (_store, registry) = new().await;
    register(&registry, "point", text(r#"{"type":"record","name":"P","fields":[{"name":"x","type":"int"}]}"#))
        .await
        .expect("taken");
    let line = r#"{"type":"record","name":"L","fields":[{"name":"a","type":"P"},{"name":"b","type":"P"}]}"#;
    let mut new = text(line);
    assert!(register(&registry, "line", new.clone()).await.is_err(), "P is not known");
    new.references = vec![Reference { name: "P".to_owned(), subject: "missing".to_owned(), version: 1 }];
    assert!(register(&registry, "line", new.clone()).await.is_err(), "there is no such subject");
    new.references = vec![Reference { name: "P".to_owned(), subject: "point".to_owned(), version: -1 }];
    let (_, id) = register(&registry, "line", new.clone()).await.expect("taken");
    assert_eq!(registry.schema(".", id).expect("there").references[0].version, 1, "the latest is pinned");
    assert!(matches!(registry.delete_subject(subject("point"), Deletion::Soft).await, Err(RegistryError::Referenced(..))));
    let referring =
        registry.with(|state| state.referring(&subject("point"), 1, Deleted::Hidden).map(|(_, id)| id).collect::<Vec<_>>());
    assert_eq!(referring, [id]);
    registry.delete_subject(subject("line"), Deletion::Soft).await.expect("deleted");
    registry.delete_subject(subject("point"), Deletion::Soft).await.expect("deleted");
    new.references[0].version = 1;
    let found = registry.lookup(&subject("line"), &new, Deleted::Included).expect("is looked up with what it referred to");
    assert_eq!(found.schema.id, id);
    assert!(register(&registry, "other", new.clone()).await.is_err(), "but nothing new refers to what is deleted");
    let gone = registry.delete_subject(subject("point"), Deletion::Permanent).await;
    assert!(matches!(gone, Err(RegistryError::Referenced(..))), "a deleted schema can still be read, and needs it");
    // The latest is the latest that is not deleted, also for a look-up.
    let point = r#"{"type":"record","name":"P","fields":[{"name":"x","type":"int"}]}"#;
    register(&registry, "point", text(point)).await.expect("taken");
    let more = r#"{"type":"record","name":"P","fields":[{"name":"x","type":"int"},{"name":"y","type":"int","default":0}]}"#;
    let (deleted, _) = register(&registry, "point", text(more)).await.expect("taken");
    registry.delete_version(subject("point"), Some(deleted), Deletion::Soft).await.expect("deleted");
    new.references[0].version = -1;
    let (version, _) = register(&registry, "line", new.clone()).await.expect("taken");
    assert_eq!(registry.lookup(&subject("line"), &new, Deleted::Hidden).expect("there").version, version);
}

#[tokio::test]
async fn modes_say_who_may_write() {
    let (_store, registry) = new().await;
    register(&registry, "a", text("\"int\"")).await.expect("taken");
    let with_id = Registration { id: Some(77), version: Some(5), ..text("\"long\"") };
    assert!(matches!(register(&registry, "b", with_id.clone()).await, Err(RegistryError::NotPermitted(_))));
    let import = registry.set_mode(subject("a"), Some(Mode::Import), false).await;
    assert!(matches!(import, Err(RegistryError::NotPermitted(_))), "there are schemas");
    registry.set_mode(subject("b"), Some(Mode::Import), false).await.expect("there are none");
    assert!(
        matches!(register(&registry, "b", text("\"long\"")).await, Err(RegistryError::NotPermitted(_))),
        "ids come from elsewhere"
    );
    assert_eq!(register(&registry, "b", with_id).await.expect("taken"), (5, 77));
    assert_eq!(register(&registry, "b", text("\"long\"")).await.expect("it is there"), (5, 77));
    let other = Registration { id: Some(77), ..text("\"float\"") };
    assert!(matches!(register(&registry, "b", other).await, Err(RegistryError::NotPermitted(_))), "77 is another schema");
    assert_eq!(register(&registry, "a", text("\"long\"")).await.expect("the same schema"), (2, 77));
    registry.set_mode(Subject::plain(""), Some(Mode::ReadOnly), false).await.expect("set");
    let refused = register(&registry, "c", text("\"int\"")).await;
    assert!(matches!(refused, Err(RegistryError::NotPermitted(_))));
    assert_eq!(
        register(&registry, "a", text("\"int\"")).await.expect("it is there"),
        (1, 1),
        "producers start again all the same"
    );
    assert!(matches!(registry.delete_subject(subject("a"), Deletion::Soft).await, Err(RegistryError::NotPermitted(_))));
    registry.set_mode(Subject::plain(""), None, false).await.expect("taken back");
    assert_eq!(register(&registry, "c", text("\"double\"")).await.expect("taken"), (1, 78), "past the imported id");
}

#[tokio::test]
async fn import_may_be_set_again_and_begins_without_what_was_deleted_softly() {
    let (_store, registry) = new().await;
    let import = || registry.set_mode(subject("a"), Some(Mode::Import), false);
    register(&registry, "a", text("\"int\"")).await.expect("taken");
    assert!(matches!(import().await, Err(RegistryError::NotPermitted(_))), "there is a schema");
    registry.delete_subject(subject("a"), Deletion::Soft).await.expect("deleted");
    import().await.expect("nothing is there");
    let imported = Registration { id: Some(70), version: Some(1), ..text("\"string\"") };
    assert_eq!(register(&registry, "a", imported).await.expect("taken"), (1, 70));
    import().await.expect("it is set already");
    registry.set_mode(subject("a"), None, false).await.expect("taken back");
    registry.delete_subject(subject("a"), Deletion::Soft).await.expect("deleted");
    for name in ["a", ":.x:a", ":.x:b"] {
        register(&registry, name, text("\"long\"")).await.expect("taken");
        registry.delete_subject(subject(name), Deletion::Soft).await.expect("deleted");
    }
    registry.set_mode(Subject::plain(""), Some(Mode::Import), false).await.expect("nothing is there");
    let left = |state: &State| (state.subjects(Deleted::Included).count(), state.schema(".x", 1).is_some());
    assert_eq!(registry.with(left), (0, false));
    registry.set_mode(Subject::plain(""), None, false).await.expect("taken back");
    register(&registry, "a", text("\"string\"")).await.expect("taken");
}

#[tokio::test]
async fn what_is_deleted_is_the_latest_of_nothing() {
    let (_store, registry) = new().await;
    let name = subject("a");
    registry.set_config(name.clone(), Own { level: Some(Level::None), ..Own::default() }).await.expect("set");
    for schema in ["\"int\"", "\"string\""] {
        register(&registry, "a", text(schema)).await.expect("taken");
    }
    registry.delete_version(name.clone(), Some(2), Deletion::Soft).await.expect("deleted");
    assert_eq!(registry.version(&name, None, Deleted::Included).expect("there").version, 1);
    let refused = registry.delete_version(name.clone(), None, Deletion::Permanent).await.expect_err("version 1 is not deleted");
    assert!(matches!(refused, RegistryError::VersionNotSoftDeleted(_, 1)), "{refused}");
    registry.delete_version(name.clone(), None, Deletion::Soft).await.expect("version 1");
    assert!(matches!(registry.version(&name, None, Deleted::Included), Err(RegistryError::VersionNotFound(_))));
    assert_eq!(registry.version(&name, Some(2), Deleted::Included).expect("there").version, 2);
}

#[tokio::test]
async fn a_registration_without_text_adds_to_the_latest_version() {
    let (_store, registry) = new().await;
    let owned = Registration { metadata: Some(serde_json::json!({ "properties": { "owner": "sales" } })), ..text(" ") };
    let refused = register(&registry, "a", owned.clone()).await.expect_err("there is none");
    assert_eq!(refused.to_string(), "Empty schema");
    register(&registry, "a", json(r#"{"type":"object"}"#)).await.expect("taken");
    assert_eq!(register(&registry, "a", owned.clone()).await.expect("taken"), (2, 2));
    let latest = registry.version(&subject("a"), None, Deleted::Hidden).expect("there").schema;
    assert_eq!((latest.format, &*latest.text, &latest.metadata), (Format::Json, r#"{"type":"object"}"#, &owned.metadata));
    assert_eq!(register(&registry, "a", owned).await.expect("there already"), (2, 2));
}

#[tokio::test]
async fn contexts_have_ids_of_their_own() {
    let (_store, registry) = new().await;
    assert_eq!(register(&registry, "a", text("\"int\"")).await.expect("taken"), (1, 1));
    assert_eq!(register(&registry, ":.x:a", text("\"long\"")).await.expect("taken"), (1, 1));
    assert_eq!(&*registry.schema(".x", 1).expect("there").text, "\"long\"");
    let shown = |state: &State| state.subjects(Deleted::Hidden).map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(registry.with(shown), ["a", ":.x:a"]);
}

#[tokio::test]
async fn settings_are_the_nearest_ones_that_are_set() {
    let (store, registry) = new().await;
    let level = |registry: &Registry, name: &str| registry.config(&subject(name)).level;
    let own = |level| Own { level: Some(level), ..Own::default() };
    assert!(matches!(registry.delete_config(subject("a")).await, Err(RegistryError::NoOwnConfig(_))));
    registry.set_config(Subject::plain(""), own(Level::Full)).await.expect("set");
    registry.set_config(Subject::parse_scope(":.x:").expect("a scope"), own(Level::None)).await.expect("set");
    registry.set_config(subject(":.x:a"), own(Level::Forward)).await.expect("set");
    let registry = open(&store).await;
    assert_eq!(level(&registry, "a"), Level::Full);
    assert_eq!(level(&registry, ":.x:b"), Level::None);
    assert_eq!(level(&registry, ":.x:a"), Level::Forward);
    registry.delete_config(subject(":.x:a")).await.expect("taken back");
    assert_eq!(level(&registry, ":.x:a"), Level::None);
}

/// A serializer that evolves a schema knows nothing of the rules that somebody gave it: without them it would write plain what was encrypted.
#[tokio::test]
async fn rules_and_metadata_go_on_to_versions_that_name_none() {
    let (_store, registry) = new().await;
    let rules = serde_json::json!({"domainRules": [{"name": "encrypt"}]});
    let metadata = serde_json::json!({"properties": {"owner": "a", "confluent:version": "1"}});
    let ruled = Registration { rule_set: Some(rules.clone()), metadata: Some(metadata.clone()), ..record(&["x"]) };
    assert_eq!(register(&registry, "a", ruled).await.expect("taken"), (1, 1));
    let (version, id) = register(&registry, "a", record(&["x", "y="])).await.expect("taken");
    let evolved = registry.schema(super::subject::DEFAULT_CONTEXT, id).expect("there");
    assert_eq!((version, evolved.rule_set.as_ref()), (2, Some(&rules)));
    assert_eq!(evolved.metadata, Some(serde_json::json!({"properties": {"owner": "a"}})), "but for what names a version");
    assert_eq!(
        register(&registry, "a", record(&["x", "y="])).await.expect("there"),
        (2, id),
        "the same again is the same version"
    );
    let only_version = Some(serde_json::json!({"properties": {"confluent:version": "1"}}));
    register(&registry, "b", Registration { metadata: only_version, ..record(&["x"]) }).await.expect("taken");
    assert_eq!(
        register(&registry, "b", record(&["x"])).await.expect("there").0,
        1,
        "the text that is the latest version's is that version"
    );
    let own = serde_json::json!({"domainRules": []});
    let (_, id) =
        register(&registry, "a", Registration { rule_set: Some(own.clone()), ..record(&["x", "z="]) }).await.expect("taken");
    assert_eq!(
        registry.schema(super::subject::DEFAULT_CONTEXT, id).expect("there").rule_set,
        Some(own),
        "who names some has those"
    );
}

/// With a group, versions count that have the same: a serializer's must not slip past them by naming none.
#[tokio::test]
async fn a_version_without_metadata_is_of_the_group_of_the_one_before() {
    let (_store, registry) = new().await;
    registry
        .set_config(subject("a"), Own { compatibility_group: Some("major".to_owned()), ..Own::default() })
        .await
        .expect("set");
    let grouped = Some(serde_json::json!({"properties": {"major": "1"}}));
    register(&registry, "a", Registration { metadata: grouped, ..record(&["x"]) }).await.expect("taken");
    let refused = register(&registry, "a", record(&["x", "y"])).await.expect_err("refused");
    assert!(matches!(refused, RegistryError::Incompatible { .. }), "{refused}");
    let next =
        |major: &str| Registration { metadata: Some(serde_json::json!({"properties": {"major": major}})), ..record(&["x", "y"]) };
    for against in [Against::Subject, Against::Latest, Against::Version(1)] {
        let conflicts = |major| registry.compatibility(&subject("a"), &next(major), against).expect("looked at");
        assert!(conflicts("2").is_empty(), "{against:?}: another group");
        assert!(!conflicts("1").is_empty(), "{against:?}");
    }
    register(&registry, "a", next("2")).await.expect("taken");
}

#[tokio::test]
async fn what_was_set_for_a_subject_goes_with_its_last_version() {
    let (_store, registry) = new().await;
    for by_version in [false, true] {
        let name = format!("s{by_version}");
        let none = Own { level: Some(Level::None), ..Own::default() };
        registry.set_config(subject(&name), none.clone()).await.expect("set");
        register(&registry, &name, record(&["x"])).await.expect("taken");
        register(&registry, &name, record(&["y"])).await.expect("taken: nothing is asked for");
        registry.delete_subject(subject(&name), Deletion::Soft).await.expect("deleted");
        assert_eq!(registry.own(&subject(&name)), none, "it may come back");
        if by_version {
            registry.delete_version(subject(&name), Some(1), Deletion::Permanent).await.expect("deleted");
            assert_eq!(registry.own(&subject(&name)), none, "there is another one");
            registry.delete_version(subject(&name), Some(2), Deletion::Permanent).await.expect("deleted");
        } else {
            registry.delete_subject(subject(&name), Deletion::Permanent).await.expect("deleted");
        }
        assert_eq!(registry.own(&subject(&name)), Own::default());
        register(&registry, &name, record(&["x"])).await.expect("taken");
        let refused = register(&registry, &name, record(&["y"])).await.expect_err("refused");
        assert!(matches!(refused, RegistryError::Incompatible { .. }), "{refused}");
    }
}

/// Somebody adds rules to a schema that is there without: that is a new version, also where schemas are normalized.
#[tokio::test]
async fn rules_that_are_named_are_kept_also_with_normalize() {
    let (_store, registry) = new().await;
    register(&registry, "a", record(&["x"])).await.expect("taken");
    let rules = Some(serde_json::json!({"domainRules": [{"name": "encrypt"}]}));
    let ruled = Registration { normalize: true, rule_set: rules.clone(), ..record(&["x"]) };
    let (version, id) = register(&registry, "a", ruled.clone()).await.expect("taken");
    assert_eq!((version, registry.schema(super::subject::DEFAULT_CONTEXT, id).expect("there").rule_set.clone()), (2, rules));
    assert_eq!(register(&registry, "a", ruled).await.expect("there"), (2, id));
}

/// Registries of before took defaults that are none of their field's type: what came over from there is found, and nothing new of that sort is taken.
#[tokio::test]
async fn what_came_with_an_invalid_default_is_found_again() {
    let (_store, registry) = new().await;
    let odd = text(r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"0"}]}"#);
    assert!(matches!(register(&registry, "a", odd.clone()).await, Err(RegistryError::InvalidSchema(_))));
    registry.set_mode(subject("a"), Some(Mode::Import), false).await.expect("set");
    let with_id = Registration { id: Some(9), version: Some(1), ..odd.clone() };
    assert_eq!(register(&registry, "a", with_id).await.expect("taken"), (1, 9));
    registry.set_mode(subject("a"), None, false).await.expect("taken back");
    assert_eq!(registry.lookup(&subject("a"), &odd, Deleted::Hidden).expect("found").schema.id, 9);
    assert_eq!(register(&registry, "a", odd).await.expect("it is there"), (1, 9));
}

#[tokio::test]
async fn an_alias_means_the_other_subject() {
    let (_store, registry) = new().await;
    register(&registry, "long-name", text("\"int\"")).await.expect("taken");
    registry.set_config(subject("short"), Own { alias: Some("long-name".to_owned()), ..Own::default() }).await.expect("set");
    assert_eq!(registry.version(&subject("short"), None, Deleted::Hidden).expect("there").subject, subject("long-name"));
    assert_eq!(register(&registry, "short", text("\"long\"")).await.expect("taken").0, 2);
}

#[tokio::test]
async fn lookups_find_what_is_the_same() {
    let (_store, registry) = new().await;
    let find = |new: &Registration| registry.lookup(&subject("a"), new, Deleted::Hidden);
    assert!(matches!(find(&text("\"int\"")), Err(RegistryError::SubjectNotFound(_))));
    let ordered = r#"{"type":"record","name":"R","zeta":1,"alpha":2,"fields":[]}"#;
    register(&registry, "a", text(ordered)).await.expect("taken");
    assert!(matches!(find(&text("\"int\"")), Err(RegistryError::SchemaNotFound)));
    assert!(find(&text(&ordered.replace(",", " , "))).is_ok(), "layout does not count");
    let turned = text(r#"{"type":"record","name":"R","alpha":2,"zeta":1,"fields":[]}"#);
    assert!(find(&turned).is_err(), "order of properties does");
    assert!(find(&Registration { normalize: true, ..turned }).is_ok(), "unless it is normalized");
}

#[tokio::test]
async fn the_registry_is_bounded_and_says_so() {
    let registry = Registry::open(MemoryStore::new(), Settings { memory_bytes: 4096, ..SETTINGS }).await.expect("opens");
    let mut refused = None;
    for at in 0..100 {
        let new = text(&format!(r#"{{"type":"fixed","name":"F{at}","size":1}}"#));
        if let Err(error) = register(&registry, &format!("s{at}"), new).await {
            refused = Some(error);
            break;
        }
    }
    assert!(matches!(&refused, Some(RegistryError::Full(why)) if why.contains("schema.memory_bytes")), "{refused:?}");
    let mut settings = None;
    for at in 0..100 {
        let own = Own { compatibility_group: Some("g".repeat(100)), ..Own::default() };
        if let Err(error) = registry.set_config(subject(&format!("c{at}")), own).await {
            settings = Some(error);
            break;
        }
    }
    assert!(matches!(settings, Some(RegistryError::Full(_))), "settings count too");
    let long = text(&format!("\"int\"{}", " ".repeat(2 << 20)));
    assert!(matches!(register(&registry, "long", long).await, Err(RegistryError::InvalidSchema(_))));
}

#[tokio::test]
async fn a_second_writer_of_the_same_store_is_noticed() {
    let (store, registry) = new().await;
    let other = open(&store).await;
    register(&registry, "a", text("\"int\"")).await.expect("taken");
    let refused = register(&other, "b", text("\"long\"")).await;
    assert!(matches!(refused, Err(RegistryError::Store(_))), "{refused:?}");
}

#[tokio::test]
async fn what_is_exported_is_the_same_registry_elsewhere() {
    let (_store, registry) = new().await;
    register(&registry, "gone", text("\"boolean\"")).await.expect("taken");
    register(&registry, "a", record(&["x"])).await.expect("taken");
    register(&registry, "a", record(&["x", "y="])).await.expect("taken");
    register(&registry, ":.x:b", text("\"int\"")).await.expect("taken");
    registry.delete_version(subject("a"), Some(1), Deletion::Soft).await.expect("deleted");
    registry
        .set_config(subject("a"), Own { level: Some(Level::Full), normalize: Some(true), ..Own::default() })
        .await
        .expect("set");
    registry.set_mode(subject("z"), Some(Mode::ReadOnly), false).await.expect("set");
    for deletion in [Deletion::Soft, Deletion::Permanent] {
        registry.delete_subject(subject("gone"), deletion).await.expect("deleted");
    }
    let lines = exported(&registry);

    let (store, elsewhere) = new().await;
    assert_eq!(elsewhere.import(lines.clone()).await.expect("taken"), 3);
    assert_eq!(elsewhere.import(lines.clone()).await.expect("the same again"), 0);
    assert_eq!(exported(&elsewhere), lines);
    let elsewhere = open(&store).await;
    assert_eq!(exported(&elsewhere), lines);
    assert_eq!(register(&elsewhere, "n", text("\"bytes\"")).await.expect("taken"), (1, 4));
}

#[tokio::test]
async fn an_import_takes_lines_in_any_order_and_leaves_what_is_there() {
    let (_store, registry) = new().await;
    register(&registry, "mine", text("\"int\"")).await.expect("taken");
    let line = |subject: &str, id: i32, more: &str| {
        format!(
            r#"{{"keytype":"SCHEMA","subject":"{subject}","version":1}}	{{"subject":"{subject}","version":1,"id":{id},{more}}}"#
        )
    };
    let user = r#""references":[{"name":"P","subject":"point","version":1}],"schema":"{\"type\":\"array\",\"items\":\"P\"}""#;
    let point = r#""schema":"{\"type\":\"record\",\"name\":\"P\",\"fields\":[]}""#;
    let lines = [
        line("line", 7, user),
        line("point", 8, point),
        line("mine", 1, r#""schema":"\"int\"","deleted":true"#),
        r#"{"keytype":"SCHEMA","subject":"mine","version":1}	null"#.to_owned(),
        r#"{"keytype":"DELETE_SUBJECT","subject":"mine"}	{"subject":"mine","version":1}"#.to_owned(),
    ];
    assert_eq!(registry.import(lines.join("\n")).await.expect("taken"), 2);
    assert!(!registry.version(&subject("mine"), Some(1), Deleted::Hidden).expect("it is there").is_deleted);
    let missing = registry.import(line("other", 9, &user.replace("point", "nowhere"))).await.expect_err("refused");
    assert!(missing.to_string().starts_with("line 1: ") && missing.to_string().contains("nowhere"), "{missing}");
}

#[tokio::test]
async fn a_schema_with_two_ids_keeps_both() {
    let (store, registry) = new().await;
    register(&registry, "a", text("\"int\"")).await.expect("taken");
    let again = r#"{"keytype":"SCHEMA","subject":"b","version":1}	{"subject":"b","version":1,"id":999,"schema":"\"int\""}"#;
    registry.import(again.to_owned()).await.expect("taken");
    for registry in [registry, open(&store).await] {
        assert_eq!(register(&registry, "a", text("\"int\"")).await.expect("there"), (1, 1));
        assert_eq!(register(&registry, "b", text("\"int\"")).await.expect("there"), (1, 999));
    }
    let registry = open(&store).await;
    for deletion in [Deletion::Soft, Deletion::Permanent] {
        registry.delete_subject(subject("b"), deletion).await.expect("deleted");
    }
    assert_eq!(register(&registry, "c", text("\"int\"")).await.expect("taken"), (1, 1));
    assert_eq!(register(&registry, "c", text("\"long\"")).await.expect("taken"), (2, 1000));
}

#[tokio::test]
async fn an_id_that_is_imported_again_means_the_new_schema() {
    let (_store, registry) = new().await;
    let line = |schema: &str| {
        format!(
            r#"{{"keytype":"SCHEMA","subject":"orders-value","version":1}}	{{"subject":"orders-value","version":1,"id":5,"schema":"\"{schema}\""}}"#
        )
    };
    registry.import(line("int")).await.expect("taken");
    let full = rules(&[("value.schema.validation", "full")]);
    assert_eq!(judged(&registry, &full, &[&framed(5, b"\x02")]), [""]);
    for deletion in [Deletion::Soft, Deletion::Permanent] {
        registry.delete_subject(subject("orders-value"), deletion).await.expect("deleted");
    }
    registry.import(line("boolean")).await.expect("taken");
    assert!(!judged(&registry, &full, &[&framed(5, b"\x02")])[0].is_empty(), "2 is no boolean");
}

#[tokio::test]
async fn an_import_that_contradicts_what_is_there_changes_nothing() {
    let (_store, registry) = new().await;
    register(&registry, "a", text("\"int\"")).await.expect("taken");
    let before = exported(&registry);
    let good =
        r#"{"keytype":"SCHEMA","subject":"b","version":1,"magic":1}	{"subject":"b","version":1,"id":9,"schema":"\"long\""}"#;
    for bad in [
        "no tab",
        "{}\t{}",
        r#"{"keytype":"SCHEMA","subject":"a","version":1}	{"subject":"a","version":1,"id":1,"schema":"\"long\""}"#,
        r#"{"keytype":"SCHEMA","subject":"a","version":1}	{"subject":"a","version":1,"id":2,"schema":"\"long\""}"#,
        r#"{"keytype":"SCHEMA","subject":"c","version":1}	{"subject":"c","version":1,"id":0,"schema":"\"long\""}"#,
        r#"{"keytype":"CONFIG","subject":"c"}	{"compatibilityLevel":"SIDEWARDS"}"#,
    ] {
        let refused = registry.import(format!("{good}\n{bad}\n")).await.expect_err(bad);
        assert!(refused.to_string().starts_with("line 2: "), "{refused}");
        assert_eq!(exported(&registry), before);
    }
}

// --- records held against what their topic asks ------------------------------------------------------------------------------

const LIMIT: usize = 1 << 20;

fn rules(overrides: &[(&str, &str)]) -> Rules {
    let overrides = overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let settings = TopicSettings::resolve(&overrides, &KafkaSettings::default()).expect("valid");
    Rules::clone(&settings.validation.expect("something is asked"))
}

/// What the judgement says of each value of one batch; empty: it fits.
fn judged(registry: &Registry, rules: &Rules, values: &[&[u8]]) -> Vec<String> {
    let batch = values.iter().fold(BatchBuilder::new(Timestamp(1)), |batch, value| batch.record(None, Some(value))).build();
    let judgement = Validation::new(registry, "orders", 3).judge(rules, &batch, LIMIT).expect("the batch reads");
    assert_eq!(judgement.records, values.len());
    let mut said = vec![String::new(); values.len()];
    for invalid in judgement.invalid {
        said[usize::try_from(invalid.index).expect("an index")] = invalid.message;
    }
    said
}

fn framed(id: i32, payload: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], payload].concat()
}

fn protobuf(schema: &str) -> Registration {
    Registration { format: Format::Protobuf, ..text(schema) }
}

fn json(schema: &str) -> Registration {
    Registration { format: Format::Json, ..text(schema) }
}

#[tokio::test]
async fn a_complaint_says_which_record_which_field_why_and_by_which_schema() {
    let (_store, registry) = new().await;
    let full = rules(&[("value.schema.validation", "full")]);
    let nothing = judged(&registry, &full, &[b"{}"]);
    assert_eq!(nothing, ["orders-3, record 0: value: there is no schema to hold it against: Subject 'orders-value' not found."]);
    register(&registry, "orders-value", json(r#"{"properties":{"total":{"minimum":0}}}"#)).await.expect("taken");
    register(&registry, "other", text("\"int\"")).await.expect("taken");
    let said = judged(
        &registry,
        &full,
        &[
            b"{\"total\":1}",
            b"{\"total\":-4}",
            b"{",
            &framed(1, b"{\"total\":-5}"),
            &framed(2, b"\x02"),
            &framed(9, b""),
            &framed(1, b"{}"),
        ],
    );
    let expected = [
        "",
        "orders-3, record 1: /total: -4 is less than the minimum of 0 (schema id 1, subject orders-value v1)",
        "orders-3, record 2: is not JSON: EOF while parsing an object at line 1 column 1 (schema id 1, subject orders-value v1)",
        "orders-3, record 3: /total: -5 is less than the minimum of 0 (schema id 1, subject orders-value v1)",
        "orders-3, record 4: value: schema id 2 is not registered under subject orders-value",
        "orders-3, record 5: value: schema id 9 is not registered under subject orders-value",
        "",
    ];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn an_id_alone_is_not_held_against_the_bytes() {
    let (_store, registry) = new().await;
    register(&registry, "orders-value", text("\"int\"")).await.expect("taken");
    let by_id = rules(&[("value.schema.validation", "id")]);
    let said = judged(&registry, &by_id, &[&framed(1, b"nonsense"), b"{}", &framed(7, b"")]);
    assert!(said[0].is_empty() && said[1].contains("(subject orders-value)") && said[2].contains("schema id 7"), "{said:?}");
}

#[tokio::test]
async fn deleted_versions_take_no_new_records() {
    let (_store, registry) = new().await;
    register(&registry, "orders-value", text("\"int\"")).await.expect("taken");
    registry.delete_subject(subject("orders-value"), Deletion::Soft).await.expect("deleted");
    let said = judged(&registry, &rules(&[("value.schema.validation", "id")]), &[&framed(1, b"\x02")]);
    assert!(said[0].contains("is not registered under subject orders-value"), "{said:?}");
}

#[tokio::test]
async fn plain_values_are_held_against_the_version_that_was_pinned() {
    let (_store, registry) = new().await;
    register(&registry, "s", json(r#"{"type":"integer"}"#)).await.expect("taken");
    register(&registry, "s", json(r#"{"type":"number"}"#)).await.expect("taken");
    let asked = [("value.schema.validation", "full"), ("value.schema.subject", "s")];
    assert_eq!(judged(&registry, &rules(&asked), &[b"1.5"]), [""]);
    let pinned = rules(&[asked[0], asked[1], ("value.schema.version", "1")]);
    assert!(judged(&registry, &pinned, &[b"1.5"])[0].ends_with("(schema id 1, subject s v1)"));
}

#[tokio::test]
async fn record_names_find_their_subjects() {
    let (_store, registry) = new().await;
    let (_, id) = register(&registry, "shop.Order", text(r#"{"type":"record","name":"Order","namespace":"shop","fields":[]}"#))
        .await
        .expect("taken");
    let by = |strategy| rules(&[("value.schema.validation", "full"), ("value.schema.subject.name.strategy", strategy)]);
    assert_eq!(judged(&registry, &by("RecordNameStrategy"), &[&framed(id, b"")]), [""]);
    let said = judged(&registry, &by("TopicRecordNameStrategy"), &[&framed(id, b"")]);
    assert!(said[0].contains("under subject orders-shop.Order"), "{said:?}");
    // A file has many messages; each has a subject of its own, to which the serializer registers the whole file.
    let file = "syntax = \"proto3\"; package shop; message A { int32 a = 1; } message B { message C { string c = 1; } }";
    let (_, id) = register(&registry, "shop.B", protobuf(file)).await.expect("taken");
    register(&registry, "shop.B.C", protobuf(file)).await.expect("taken");
    let depths = ["id", "full"]
        .map(|depth| rules(&[("value.schema.validation", depth), ("value.schema.subject.name.strategy", "RecordNameStrategy")]));
    for rules in depths {
        // Message indexes [1] and [1, 0]; then [0], which is shop.A.
        let values = [framed(id, b"\x02\x02"), framed(id, b"\x04\x02\x00\x0a\x01c"), framed(id, b"\x00\x08\x01")];
        let said = judged(&registry, &rules, &values.each_ref().map(Vec::as_slice));
        assert_eq!(said[..2], ["", ""]);
        assert!(said[2].contains("under subject shop.A"), "{said:?}");
    }
    // Java does not count the entry of a map, others do: [0, 1] is either.
    let file = "syntax = \"proto3\"; message O { map<string, string> m = 1; message A {} message B {} }";
    for name in ["O.A", "O.B"] {
        let (_store, registry) = new().await;
        let (_, id) = register(&registry, name, protobuf(file)).await.expect("taken");
        assert_eq!(judged(&registry, &by("RecordNameStrategy"), &[&framed(id, b"\x04\x00\x02")]), [""], "{name}");
    }
}

#[tokio::test]
async fn a_header_may_name_the_schema_by_its_guid() {
    let (_store, registry) = new().await;
    let (_, id) = register(&registry, "orders-value", text("\"int\"")).await.expect("taken");
    let guid = registry.schema(".", id).expect("there").identity.guid();
    let judge = |guid: &[u8], value: &[u8]| {
        let header = [&[1], guid].concat();
        let batch = BatchBuilder::new(Timestamp(1));
        let batch = batch.record_at(Timestamp(1), None, Some(value), &[("__value_schema_id", Some(&header))]).build();
        let full = rules(&[("value.schema.validation", "full")]);
        Validation::new(&registry, "orders", 0).judge(&full, &batch, LIMIT).expect("reads").invalid.len()
    };
    assert_eq!(judge(guid.as_bytes(), b"\x02"), 0);
    assert_eq!(judge(guid.as_bytes(), b"\x80"), 1, "cut short");
    assert_eq!(judge(&[7; 16], b"\x02"), 1, "of no schema");
}

#[tokio::test]
async fn a_batch_of_nothing_but_bad_records_costs_bounded_memory() {
    let (_store, registry) = new().await;
    let batch = (0..INVALID_MAX + 5).fold(BatchBuilder::new(Timestamp(1)), |batch, _| batch.record(None, Some(b""))).build();
    let full = rules(&[("value.schema.validation", "full")]);
    let judgement = Validation::new(&registry, "orders", 0).judge(&full, &batch, LIMIT).expect("reads");
    assert_eq!((judgement.invalid.len(), judgement.is_cut, judgement.records), (INVALID_MAX, true, INVALID_MAX + 5));
}

#[test]
fn what_would_be_kept_in_more_than_a_text_may_have_is_refused() {
    let numbers = vec!["1e9"; 200_000].join(",");
    let refused =
        Parsed::parse(Format::Json, &format!(r#"{{"examples":[{numbers}]}}"#), &[]).expect_err("1000000000.0 is longer");
    assert!(refused.0.contains("written out in full"), "{refused}");
}

#[tokio::test]
async fn protobuf_named_in_a_header_has_its_indexes_there() {
    let (_store, registry) = new().await;
    let text = "syntax = \"proto3\"; message A { string s = 1; } message B { int32 n = 1; }";
    let new = Registration { format: Format::Protobuf, ..self::text(text) };
    let (_, id) = register(&registry, "orders-value", new).await.expect("taken");
    let guid = registry.schema(".", id).expect("there").identity.guid();
    let full = rules(&[("value.schema.validation", "full")]);
    let judge = |header: &[u8], value: &[u8]| {
        let batch =
            BatchBuilder::new(Timestamp(1)).record_at(Timestamp(1), None, Some(value), &[("__value_schema_id", Some(header))]);
        Validation::new(&registry, "orders", 0).judge(&full, &batch.build(), LIMIT).expect("reads").invalid.len()
    };
    let by_guid = |indexes: &[u8]| [&[1], guid.as_bytes().as_slice(), indexes].concat();
    let by_id = |indexes: &[u8]| [&[0], &id.to_be_bytes()[..], indexes].concat();
    assert_eq!(judge(&by_guid(&[0]), b"\x0a\x01x"), 0, "A");
    assert_eq!(judge(&by_guid(&[2, 2]), b"\x08\x01"), 0, "B");
    assert_eq!(judge(&by_guid(&[2, 2]), b"\x0a\x01x"), 1, "B has no text");
    assert_eq!(judge(&by_id(&[]), b"\x0a\x01x"), 0, "without a word, the first");
    let framed = [&by_id(&[])[..], &[0], b"\x0a\x01x"].concat();
    assert_eq!(
        judge(&by_id(&[])[..4], &framed),
        1,
        "consumers fail over a header that names nothing, however good the payload is"
    );
    assert_eq!(judge(&[], &framed), 1);
}
