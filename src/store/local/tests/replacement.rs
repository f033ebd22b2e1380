//! Replaced batches over crashes, moves and trims, held against a model.
//!
//! The invariant: after each step and each crash, every log reads as the model does, the size is the sum of what is read, and segments
//! that nothing lives in are given back.

use super::*;
use crate::store::contract::payload;
use crate::store::{Batch, Replacement};
use std::collections::BTreeMap;

/// Batches by first offset; each is one offset.
type Model = BTreeMap<i64, Bytes>;

async fn check(store: &LocalStore, log: LogId, model: &Model, seed: u64) {
    let batches = store.read(log, Offset(0), END, ALL).await.expect("the log is read");
    let found: Vec<(i64, &Bytes)> = batches.iter().map(|batch| (batch.first.0, &batch.bytes)).collect();
    let expected: Vec<(i64, &Bytes)> = model.iter().map(|(first, bytes)| (*first, bytes)).collect();
    assert_eq!(found, expected, "log {log}, FBF_SEED={seed}");
}

fn rewritten(env: &Env, first: i64, length: usize) -> (Bytes, Replacement) {
    // Other bytes than before, and sometimes as many.
    let salt = env.below(u64::MAX).to_le_bytes();
    let bytes = Bytes::from((0..length).map(|at| salt[at % 8]).collect::<Vec<u8>>());
    let checksum = SuffixChecksum { from: 0, crc: crc32c::crc32c(&bytes) };
    let batch = Batch { first: Offset(first), last: Offset(first), max_timestamp: Timestamp(first), bytes: bytes.clone() };
    (bytes, Replacement::Rewrite { batch, checksum })
}

async fn live_through(seed: u64) {
    let env = Env::manual(Timestamp(0), seed);
    let below = |bound: usize| usize::try_from(env.below(bound as u64)).expect("small");
    let mut dir = tempfile::tempdir().expect("a temporary directory");
    let (mut store, mut told) = open(options(dir.path()));
    let logs = [LOG, FILLER];
    let mut models = [Model::new(), Model::new()];
    let mut next = [0i64, 0];
    for log in logs {
        store.open(log, F0).await.expect("opens");
    }
    for _ in 0..220 {
        let which = below(2);
        let (log, model) = (logs[which], &mut models[which]);
        let newest = next[which] - 1;
        match below(12) {
            0..=5 => {
                for _ in 0..below(6) + 1 {
                    let (first, length) = (next[which], below(60_000) + 1);
                    put_one(&store, &told, log, first, length).await;
                    model.insert(first, payload(log, first, length));
                    next[which] += 1;
                }
            }
            6..=8 => {
                let mut changes = Vec::new();
                for (first, bytes) in model.iter_mut() {
                    if below(3) == 0 {
                        let length = if below(3) == 0 { bytes.len() } else { below(bytes.len()) + 1 };
                        let (new, change) = rewritten(&env, *first, length);
                        *bytes = new;
                        changes.push(change);
                    }
                }
                store.replace(log, F0, changes).await.expect("replaces");
            }
            9 => {
                let first = i64::try_from(below(usize::try_from(newest + 2).expect("small"))).expect("small");
                let last = first + 10;
                store
                    .replace(log, F0, vec![Replacement::Remove { first: Offset(first), last: Offset(last) }])
                    .await
                    .expect("removes");
                model.retain(|at, _| !(first..=last).contains(at) || *at == newest);
            }
            10 => {
                let oldest = model.keys().next().copied().unwrap_or(0);
                store.trim(log, F0, Offset(oldest + 2)).await.expect("trims");
                next[which] = next[which].max(oldest + 2);
                model.retain(|at, _| *at >= oldest + 2);
            }
            _ => {
                dir = crash(store);
                (store, told) = open(options(dir.path()));
                for (which, log) in logs.into_iter().enumerate() {
                    let bounds = store.open(log, F0).await.expect("opens");
                    assert_eq!(bounds.next, Offset(next[which]), "log {log}, FBF_SEED={seed}");
                    check(&store, log, &models[which], seed).await;
                }
                continue;
            }
        }
        check(&store, log, &models[which], seed).await;
    }
    for (which, log) in logs.into_iter().enumerate() {
        let expected: u64 = models[which].values().map(|bytes| bytes.len() as u64).sum();
        eventually("trimmed batches stop counting", || store.size(log) == expected).await;
    }
    let live: u64 = store.shared.accounts.lock().segments.values().map(super::super::accounts::Account::live).sum();
    let expected: u64 = models.iter().flat_map(Model::values).map(|bytes| bytes.len() as u64).sum();
    assert_eq!(live, expected, "what segments count alive, FBF_SEED={seed}");
    store.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_logs_read_as_their_model_over_crashes_moves_and_trims() {
    let seeds = match std::env::var("FBF_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..4,
    };
    for seed in seeds {
        live_through(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_before_a_batch_that_is_too_large_is_replaced_when_the_refusal_comes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, told) = open(options(dir.path()));
    let env = Env::manual(Timestamp(0), 1);
    store.open(LOG, F0).await.expect("opens");
    for first in 0..3 {
        put_one(&store, &told, LOG, first, 1_000).await;
    }
    let too_large = store.shared.options.batch_bytes_max() + 1;
    let changes = [(0, 10), (1, too_large), (2, 10)].map(|(first, length)| rewritten(&env, first, length).1);
    let refused = store.replace(LOG, F0, changes.into()).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    assert_eq!(store.size(LOG), 2_010);
    store.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mostly_replaced_segments_do_not_pin_the_disk() {
    // Every batch of 20 segments shrinks to a few bytes: they are moved together, and the segments are given back.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, told) = open(options(dir.path()));
    let env = Env::manual(Timestamp(0), 1);
    store.open(LOG, F0).await.expect("opens");
    let mut next = 0;
    for _ in 0..20 {
        for _ in 0..13 {
            put_one(&store, &told, LOG, next, 80_000).await;
            next += 1;
        }
    }
    let path = dir.path().to_owned();
    assert!(names(&path, ".segment").len() >= 20);
    let changes = (0..next).map(|first| rewritten(&env, first, 100).1).collect();
    store.replace(LOG, F0, changes).await.expect("replaces");
    assert_eq!(store.size(LOG), 100 * u64::try_from(next).expect("small"));
    for _ in 0..26 {
        put_one(&store, &told, LOG, next, 80_000).await;
        next += 1;
    }
    eventually("the segments are given back", || names(&path, ".segment").len() <= 5).await;
    store.close().await.expect("closes");
}
