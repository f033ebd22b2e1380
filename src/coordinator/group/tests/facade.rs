//! The whole coordinator over real logs in memory: creation of its topic, order, restarts.

use super::super::{Groups, OFFSETS_TOPIC, Pending};
use super::*;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::coordinator::shards::partition_of as shard_of;
use crate::env::Env;
use crate::ids::TopicId;
use crate::log::{LogOptions, Logs};
use crate::store::memory::MemoryStore;

struct House {
    env: Env,
    config: Arc<Config>,
    catalog: Arc<Catalog>,
    logs: Arc<Logs>,
}

async fn house() -> House {
    let env = Env::manual(Timestamp(1_700_000_000_000), 1);
    let mut config = Config::default();
    config.kafka.offsets_topic_num_partitions = 3;
    config.kafka.group_initial_rebalance_delay_ms = 0;
    let store = MemoryStore::new();
    let catalog = Catalog::open(store.clone(), env.clone(), Arc::new(config.kafka.clone()), None).await.expect("a catalog opens");
    let logs = Logs::new(store, env.clone(), LogOptions { tail_bytes: 1 << 20, producer_expiration_ms: DAY_MS });
    House { env, config: Arc::new(config), catalog: Arc::new(catalog), logs }
}

impl House {
    fn groups(&self) -> Arc<Groups> {
        Groups::new(self.logs.clone(), self.catalog.clone(), self.env.clone(), self.config.clone())
    }
}

fn commit(offset: i64) -> CommitRequest {
    by_hand("topic", offset)
}

fn fetch() -> FetchOffsetsRequest {
    FetchOffsetsRequest { group_id: GROUP.to_owned(), member: None, topics: None, require_stable: false }
}

async fn done<T>(pending: Result<Pending<T>, GroupError>) -> T {
    pending.expect("the shard takes it").wait().await.expect("the shard answers")
}

/// Asks again while the shards are loading, as clients do.
async fn fetched(groups: &Groups) -> Vec<FetchedOffsets> {
    loop {
        match groups.fetch_offsets(fetch()).await {
            Err(GroupError::Loading) => tokio::task::yield_now().await,
            pending => return done(pending).await.expect("fetched"),
        }
    }
}

#[test]
fn groups_lie_where_kafka_puts_them() {
    // String.hashCode() of "abc" is 96354, of "polygenelubricants" −2³¹, of "😀" (two UTF-16 units) 1772899.
    assert_eq!([shard_of("", 50), shard_of("abc", 50), shard_of("polygenelubricants", 50), shard_of("😀", 50)], [0, 4, 0, 49]);
}

#[tokio::test]
async fn the_topic_is_created_once_at_the_first_need() {
    let house = house().await;
    let groups = house.groups();
    assert_eq!(groups.list().await, Ok(Vec::new()));
    assert!(house.catalog.topic(OFFSETS_TOPIC).is_none(), "asking for groups creates nothing");
    assert_eq!(groups.fetch_offsets(fetch()).await.err(), Some(GroupError::NotCoordinator), "nor does asking for offsets");
    let (prepared, committed, again) = tokio::join!(groups.prepare(), groups.commit(commit(1)), groups.prepare());
    assert_eq!((prepared, again), (Ok(()), Ok(())));
    assert_eq!(done(committed).await, Ok(vec![Ok(())]));
    assert!(groups.fetch_offsets(fetch()).await.is_ok());
    let topic = house.catalog.topic(OFFSETS_TOPIC).expect("it was created");
    assert_eq!((topic.logs.len(), topic.internal), (3, true));
    groups.close().await;
}

#[tokio::test]
async fn a_member_joins_syncs_commits_and_is_found_after_a_restart() {
    let house = house().await;
    let groups = house.groups();
    let joined = done(groups.join(JoinRequest { is_id_required: false, ..joining("a", "") }).await).await.expect("joined");
    let request = SyncRequest {
        group_id: GROUP.to_owned(),
        generation: joined.generation,
        member_id: joined.member_id.clone(),
        instance_id: None,
        protocol_type: None,
        protocol: None,
        assignments: vec![(joined.member_id.clone(), Bytes::from_static(b"all"))],
    };
    let synced = done(groups.sync(request).await).await.expect("synced");
    assert_eq!(synced.assignment, Bytes::from_static(b"all"));
    let request = CommitRequest { generation: 1, member_id: joined.member_id.clone(), ..commit(7) };
    // Not awaited in between: the fetch is behind the commit all the same.
    let (committed, seen) = (groups.commit(request).await, groups.fetch_offsets(fetch()).await);
    assert_eq!(
        done(seen).await.expect("fetched")[0].partitions[0]
            .1
            .as_ref()
            .expect("stable")
            .as_ref()
            .map(|committed| committed.offset),
        Some(7)
    );
    assert_eq!(done(committed).await, Ok(vec![Ok(())]));
    groups.close().await;
    assert_eq!(groups.fetch_offsets(fetch()).await.err(), Some(GroupError::NotAvailable));

    let groups = house.groups();
    groups.start();
    assert_eq!(
        fetched(&groups).await[0].partitions[0].1.as_ref().expect("stable").as_ref().map(|committed| committed.offset),
        Some(7)
    );
    let request = HeartbeatRequest { group_id: GROUP.to_owned(), generation: 1, member_id: joined.member_id, instance_id: None };
    assert_eq!(done(groups.heartbeat(request).await).await, Ok(()));
    let listed = groups.list().await.expect("loaded");
    assert_eq!(listed.iter().map(|group| (group.group_id.as_str(), group.state)).collect::<Vec<_>>(), [(GROUP, "Stable")]);
    groups.close().await;
}

#[tokio::test]
async fn a_waiting_join_is_told_when_the_coordinator_closes() {
    let house = house().await;
    let groups = house.groups();
    let first = done(groups.join(JoinRequest { is_id_required: false, ..joining("a", "") }).await).await.expect("joined");
    assert_eq!(first.generation, 1);
    let waiting = groups.join(JoinRequest { is_id_required: false, ..joining("b", "") }).await.expect("queued");
    groups.close().await;
    assert_eq!(waiting.wait().await, Err(GroupError::NotCoordinator));
}

#[tokio::test]
async fn offsets_of_a_deleted_topic_are_gone() {
    let house = house().await;
    let groups = house.groups();
    assert_eq!(done(groups.commit(commit(1)).await).await, Ok(vec![Ok(())]));
    groups.topic_deleted("topic", TopicId(uuid::Uuid::from_u128(1))).await;
    assert_eq!(fetched(&groups).await, Vec::new());
    groups.close().await;
}
