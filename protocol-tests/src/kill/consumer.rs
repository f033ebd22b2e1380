//! The only member of a consumer group: reads everything, commits after every fetch, and goes on from the committed offsets after every
//! restart, which must not have gone back.

use crate::client::{Client, Failure};
use crate::frame::{group_id, text};
use crate::groups::{COMMIT, HEARTBEAT, JOIN, SYNC, commit_request};
use crate::kill::PARTITIONS;
use crate::kill::truth::{Mark, Seen};
use crate::records::{FETCH_BY_NAME, Fetch, batches};
use crate::topics::Topic;
use bytes::Bytes;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{HeartbeatRequest, JoinGroupRequest, SyncGroupRequest};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long the coordinator may take to load.
const LOADING_MAX: Duration = Duration::from_secs(10);
const MAX_WAIT_MS: i32 = 20;

pub struct Consumer {
    group: String,
    topic: Topic,
    member_id: String,
    generation: i32,
    /// By partition: the offset to read next, the newest one whose commit was acknowledged, and the newest one whose commit was sent.
    position: Vec<i64>,
    acknowledged: Vec<i64>,
    sent: Vec<i64>,
    seen: Vec<Seen>,
    pub commits: u64,
    pub joins: u64,
}

impl Consumer {
    #[must_use]
    pub fn new(group: &str, topic: &Topic) -> Consumer {
        let none = vec![-1; usize::try_from(PARTITIONS).expect("a small number")];
        Consumer {
            group: group.to_owned(),
            topic: topic.clone(),
            member_id: String::new(),
            generation: -1,
            position: none.clone(),
            acknowledged: none.clone(),
            sent: none,
            seen: Vec::new(),
            commits: 0,
            joins: 0,
        }
    }

    /// The newest acknowledged commit of each partition; −1 when there is none.
    #[must_use]
    pub fn committed(&self) -> &[i64] {
        &self.acknowledged
    }

    /// What was read since the last call.
    pub fn take_seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    /// Reads and commits until the server is gone.
    ///
    /// # Errors
    /// When a committed offset went back, or the server answers what it must not.
    pub fn load(&mut self, address: SocketAddr) -> Result<(), String> {
        match self.consume(address, None) {
            Ok(()) | Err(Failure::Closed) => Ok(()),
            Err(failure) => Err(format!("consumer: {failure}")),
        }
    }

    /// Reads and commits until all partitions have been read to `ends`.
    ///
    /// # Errors
    /// See [`Consumer::load`]; also when the server goes away.
    pub fn read_to(&mut self, address: SocketAddr, ends: &[i64]) -> Result<(), String> {
        self.consume(address, Some(ends)).map_err(|failure| format!("consumer: {failure}"))
    }

    fn consume(&mut self, address: SocketAddr, ends: Option<&[i64]>) -> Result<(), Failure> {
        let mut client = Client::try_connect(address)?;
        self.be_member(&mut client)?;
        self.resume(&mut client)?;
        while ends.is_none_or(|ends| self.position != ends) {
            self.fetch(&mut client)?;
            self.commit(&mut client)?;
        }
        Ok(())
    }

    /// Goes on as the member that it was; joins (again) only when the server does not know it.
    fn be_member(&mut self, client: &mut Client) -> Result<(), Failure> {
        let started = Instant::now();
        while started.elapsed() < LOADING_MAX {
            let heartbeat = HeartbeatRequest::default()
                .with_group_id(group_id(&self.group))
                .with_generation_id(self.generation)
                .with_member_id(text(&self.member_id));
            match client.try_call(HEARTBEAT, &heartbeat)?.error_code.err() {
                None => return Ok(()),
                Some(error) if is_loading(error) => std::thread::sleep(Duration::from_millis(5)),
                Some(ResponseError::UnknownMemberId | ResponseError::IllegalGeneration | ResponseError::RebalanceInProgress) => {
                    self.join(client)?;
                }
                Some(error) => return Err(Failure::Malformed(format!("heartbeat: {error:?}"))),
            }
        }
        Err(Failure::Malformed(format!("the coordinator does not load within {LOADING_MAX:?}")))
    }

    /// One round of joining; whether it went well is seen by the heartbeat that follows.
    fn join(&mut self, client: &mut Client) -> Result<(), Failure> {
        self.joins += 1;
        // At most: as the member that it was, without an id, with the id that was given.
        for _ in 0..3 {
            let joined = client.try_call(JOIN, &self.join_request())?;
            match joined.error_code.err() {
                None => {
                    self.generation = joined.generation_id;
                    self.member_id = joined.member_id.to_string();
                    return self.sync(client);
                }
                Some(ResponseError::MemberIdRequired) => self.member_id = joined.member_id.to_string(),
                Some(ResponseError::UnknownMemberId) => self.member_id.clear(),
                Some(error) if is_loading(error) => return Ok(()),
                Some(error) => return Err(Failure::Malformed(format!("join: {error:?}"))),
            }
        }
        Ok(())
    }

    fn join_request(&self) -> JoinGroupRequest {
        let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from_static(b"all"));
        // A kill between a join and its answer leaves a member that never comes back: the rebalance waits only this long for it.
        JoinGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_session_timeout_ms(60_000)
            .with_rebalance_timeout_ms(100)
            .with_member_id(text(&self.member_id))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol])
    }

    fn sync(&self, client: &mut Client) -> Result<(), Failure> {
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(text(&self.member_id))
            .with_assignment(Bytes::from_static(b"all"));
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(text(&self.member_id))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(vec![assignment]);
        client.try_call(SYNC, &request)?;
        Ok(())
    }

    /// Takes up the committed offsets, which lie between what was acknowledged and what was sent.
    fn resume(&mut self, client: &mut Client) -> Result<(), Failure> {
        let partitions: Vec<i32> = (0..PARTITIONS).collect();
        let committed = client.try_committed_offsets(&self.group, &self.topic.name, &partitions)?;
        for (partition, committed) in committed.iter().enumerate() {
            let (acknowledged, sent) = (self.acknowledged[partition], self.sent[partition]);
            if !(acknowledged..=sent).contains(committed) {
                return Err(Failure::Malformed(format!(
                    "partition {partition}: {committed} is committed, {acknowledged} was acknowledged and {sent} was the newest commit sent"
                )));
            }
        }
        self.position = committed.iter().map(|offset| (*offset).max(0)).collect();
        self.acknowledged = committed;
        Ok(())
    }

    fn fetch(&mut self, client: &mut Client) -> Result<(), Failure> {
        let fetch = Fetch::of(&self.topic, 0, self.position[0]);
        let fetch =
            (1..PARTITIONS).zip(&self.position[1..]).fold(fetch, |fetch, (partition, offset)| fetch.and(partition, *offset));
        let response = client.try_call(FETCH_BY_NAME, &fetch.waiting(MAX_WAIT_MS, 1).request())?;
        for answer in response.responses.iter().flat_map(|topic| &topic.partitions) {
            let partition = answer.partition_index;
            let broken = |what: String| Failure::Malformed(format!("reading partition {partition}: {what}"));
            if let Some(error) = answer.error_code.err() {
                return Err(broken(format!("{error:?}")));
            }
            let position = usize::try_from(partition).ok().and_then(|at| self.position.get_mut(at));
            let position = position.ok_or_else(|| broken("nobody asked for it".to_owned()))?;
            for record in batches(answer).iter().flat_map(|batch| &batch.records) {
                // A fetch from inside a batch gets the whole batch.
                if record.offset < *position {
                    continue;
                }
                if record.offset != *position {
                    return Err(broken(format!("offset {} where {position} was due", record.offset)));
                }
                let mark = Mark::of(record.value.as_deref()).ok_or_else(|| broken("not a record of ours".to_owned()))?;
                self.seen.push(Seen { partition, offset: record.offset, mark });
                *position += 1;
            }
        }
        Ok(())
    }

    fn commit(&mut self, client: &mut Client) -> Result<(), Failure> {
        let offsets: Vec<(i32, i64)> = (0..PARTITIONS).zip(self.position.iter().copied()).collect();
        let request = commit_request(&self.group, &self.topic.name, &offsets)
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(text(&self.member_id));
        self.sent.clone_from(&self.position);
        let response = client.try_call(COMMIT, &request)?;
        for answer in response.topics.iter().flat_map(|topic| &topic.partitions) {
            if let Some(error) = answer.error_code.err() {
                return Err(Failure::Malformed(format!("committing partition {}: {error:?}", answer.partition_index)));
            }
        }
        self.acknowledged.clone_from(&self.position);
        self.commits += 1;
        Ok(())
    }
}

fn is_loading(error: ResponseError) -> bool {
    matches!(
        error,
        ResponseError::CoordinatorLoadInProgress | ResponseError::NotCoordinator | ResponseError::CoordinatorNotAvailable
    )
}
