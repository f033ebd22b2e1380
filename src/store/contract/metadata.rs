//! The contract's part on small keys: compare and commit, ranges.

use super::Harness;
use crate::store::{MetaChange, MetaCompare, MetaEntry, StoreError};
use bytes::Bytes;

pub(super) fn set(key: &str, value: &'static str) -> MetaChange {
    MetaChange { key: key.to_owned(), value: Some(Bytes::from_static(value.as_bytes())) }
}

pub(super) fn unset(key: &str) -> MetaChange {
    MetaChange { key: key.to_owned(), value: None }
}

pub(super) fn is_at(key: &str, revision: u64) -> MetaCompare {
    MetaCompare { key: key.to_owned(), revision }
}

pub(super) fn entry(key: &str, value: &'static str, revision: u64) -> MetaEntry {
    MetaEntry { key: key.to_owned(), value: Bytes::from_static(value.as_bytes()), revision }
}

pub(super) async fn metadata_commits_compare_revisions(h: Harness) {
    let stale = h.meta.commit(vec![is_at("a", 7)], vec![set("a", "x")]).await;
    assert!(matches!(stale, Err(StoreError::Conflict)), "{stale:?}");
    let first = h.meta.commit(vec![is_at("a", 0)], vec![set("a", "1")]).await.expect("the key does not exist");
    assert_ne!(first, 0);
    let twice = h.meta.commit(vec![is_at("a", 0)], vec![set("a", "2")]).await;
    assert!(matches!(twice, Err(StoreError::Conflict)), "{twice:?}");
    let second = h.meta.commit(vec![is_at("a", first)], vec![set("a", "2")]).await.expect("the revision is right");
    assert!(second > first);
    h.meta.commit(vec![is_at("a", second)], vec![unset("a")]).await.expect("deletes");
    assert_eq!(h.meta.range("a").await.expect("read"), []);
    h.meta.commit(vec![is_at("a", 0)], vec![set("a", "3")]).await.expect("a deleted key does not exist");
}

pub(super) async fn metadata_commits_are_atomic(h: Harness) {
    let first = h.meta.commit(vec![], vec![set("a", "1"), set("b", "1")]).await.expect("commits");
    let refused =
        h.meta.commit(vec![is_at("a", first), is_at("b", first + 1)], vec![set("a", "2"), unset("b"), set("c", "2")]).await;
    assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    assert_eq!(h.meta.range("").await.expect("read"), [entry("a", "1", first), entry("b", "1", first)]);
    let second = h.meta.commit(vec![is_at("b", first)], vec![unset("b"), set("c", "2")]).await.expect("commits");
    let expected = [entry("a", "1", first), entry("c", "2", second)];
    assert_eq!(h.meta.range("").await.expect("read"), expected);
    let h = h.reopen().await;
    assert_eq!(h.meta.range("").await.expect("read"), expected);
    let third = h.meta.commit(vec![], vec![set("d", "3")]).await.expect("commits");
    assert!(third > second, "revisions go on after a restart");
}

pub(super) async fn metadata_ranges_are_ordered_and_bounded_by_the_prefix(h: Harness) {
    let keys = ["topic/b", "topic/a", "topics", "topic", "config/z", "topic/\u{10ffff}"];
    for key in keys {
        h.meta.commit(vec![], vec![set(key, "v")]).await.expect("commits");
    }
    let names: Vec<String> = h.meta.range("topic/").await.expect("read").into_iter().map(|entry| entry.key).collect();
    assert_eq!(names, ["topic/a", "topic/b", "topic/\u{10ffff}"]);
    assert_eq!(h.meta.range("").await.expect("read").len(), keys.len());
    assert_eq!(h.meta.range("nothing").await.expect("read"), []);
}
