//! One commit of an endpoint: the group's offsets, and then what goes with them. In this order: a crash in between leaves an older note of what is unsettled,
//! which makes some events be sent again, and never one that forgets any. Only where the group was moved the note goes first.
//!
//! An offset that somebody else committed meanwhile is not overwritten, it is followed.

use super::error::HooksError;
use super::offsets::{self, Offsets};
use super::progress::{LaneKey, Stored};
use super::saver::{POSITIONS, PROGRESS};
use super::shared::Shared;
use crate::catalog::Topic;
use crate::ids::TopicId;
use std::collections::HashMap;
use std::sync::Arc;

/// A lane to be looked at.
#[derive(Debug, Clone)]
pub struct Due {
    pub lane: LaneKey,
    pub topic: Arc<Topic>,
    /// To be committed; `None`: only looked at.
    pub offset: Option<i64>,
    /// Somebody else's offset that is followed already.
    pub adopted: Option<i64>,
}

/// What is to be done.
pub struct Commit {
    pub endpoint: String,
    pub group: String,
    pub due: Vec<Due>,
    pub stored: Option<Stored>,
    /// Of all main lanes, for the time when the group's offsets have expired.
    pub positions: Option<Vec<(TopicId, i32, i64)>>,
    /// Somebody waits until it is durable.
    pub is_awaited: bool,
}

/// What was done.
pub struct Committed {
    pub result: Result<(), HooksError>,
    /// Offsets that are the group's now, by us.
    pub done: Vec<(LaneKey, i64)>,
    /// Offsets that somebody else committed.
    pub moved: Vec<(LaneKey, i64)>,
}

/// Commits, and answers what became of it.
pub async fn commit(shared: Arc<Shared>, commit: Commit) -> Committed {
    let mut committed = Committed { result: Ok(()), done: Vec::new(), moved: Vec::new() };
    committed.result = run(&shared, commit, &mut committed.done, &mut committed.moved).await;
    committed
}

async fn run(
    shared: &Shared,
    commit: Commit,
    done: &mut Vec<(LaneKey, i64)>,
    moved: &mut Vec<(LaneKey, i64)>,
) -> Result<(), HooksError> {
    let Commit { endpoint, group, due, stored, positions, is_awaited } = commit;
    let topics: HashMap<TopicId, Arc<Topic>> = due.iter().map(|one| (one.topic.id, one.topic.clone())).collect();
    let topics: Vec<Arc<Topic>> = topics.into_values().collect();
    let found = offsets::committed(&shared.handlers, &group, &topics).await?;
    let mut to_commit = Offsets::new();
    let mut candidates = Vec::new();
    for one in &due {
        let there = found.get(&one.topic.name).and_then(|own| own.get(&one.lane.partition));
        match there.filter(|there| !there.is_ours && one.adopted != Some(there.offset)) {
            Some(there) => moved.push((one.lane, there.offset)),
            None => {
                if let Some(offset) = one.offset {
                    to_commit.entry(one.topic.id).or_default().insert(one.lane.partition, offset);
                    candidates.push((one.lane, offset));
                }
            }
        }
    }
    if !moved.is_empty() {
        // What is unsettled is about to change; the next commit comes with that.
        return Ok(());
    }
    if due.iter().any(|one| one.adopted.is_some() && one.offset.is_some()) {
        // An older note, of before the group was moved, may hold this offset for one of its own once it is marked as ours: the new one goes first.
        if let Some(stored) = &stored {
            shared.saver.put(PROGRESS, &endpoint, stored);
        }
        shared.saver.flush().await?;
    }
    offsets::commit(&shared.handlers, &group, &to_commit).await?;
    done.extend(candidates);
    if let Some(stored) = stored {
        shared.saver.put(PROGRESS, &endpoint, &stored);
    }
    if let Some(positions) = positions {
        shared.saver.put(POSITIONS, &endpoint, &positions);
    }
    if is_awaited {
        shared.saver.flush().await?;
    }
    Ok(())
}
