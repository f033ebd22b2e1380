//! Members of share groups (KIP-932), and ShareFetch and ShareAcknowledge of version 2, one version behind the message library's last.

use crate::client::Client;
use crate::frame::{group_id, text, topic_name};
use crate::samples::Ask;
use crate::server::Server;
use crate::topic_ids::{count, string};
use crate::written_only;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use kafka_protocol::messages::describe_share_group_offsets_request::{
    DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::share_acknowledge_request::{AcknowledgePartition, AcknowledgeTopic};
use kafka_protocol::messages::share_fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::share_fetch_response::PartitionData;
use kafka_protocol::messages::{
    AlterShareGroupOffsetsRequest, DeleteShareGroupOffsetsRequest, DescribeShareGroupOffsetsRequest, ShareAcknowledgeRequest,
    ShareAcknowledgeResponse, ShareFetchRequest, ShareFetchResponse, ShareGroupHeartbeatRequest, share_acknowledge_request,
    share_fetch_request,
};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::ByteBuf;
use uuid::Uuid;

pub const ACCEPT: i8 = 1;
pub const RELEASE: i8 = 2;
pub const REJECT: i8 = 3;
pub const RENEW: i8 = 4;

/// Acknowledged records of a partition: first offset, last offset, types.
pub type Batch = (i64, i64, Vec<i8>);

/// A request of version 2.
#[derive(Debug, Clone, Default)]
pub struct ShareFetch2 {
    pub group: String,
    pub member: String,
    pub epoch: i32,
    pub max_wait_ms: i32,
    pub max_records: i32,
    /// 1: never more than `max_records`.
    pub acquire_mode: i8,
    pub is_renewal: bool,
    pub topic: Uuid,
    /// Of partition 0.
    pub acknowledgements: Vec<Batch>,
}

/// As [`ShareFetch2`].
#[derive(Debug, Clone, Default)]
pub struct ShareAcknowledge2 {
    pub group: String,
    pub member: String,
    pub epoch: i32,
    pub is_renewal: bool,
    pub topic: Uuid,
    pub acknowledgements: Vec<Batch>,
}

/// DescribeShareGroupOffsets of version 1.
#[derive(Debug, Clone, Default)]
pub struct DescribeWithLag {
    pub group: String,
    /// Names with partition 0 of each; `None`: all that the group has a position in.
    pub topics: Option<Vec<String>>,
}

/// The answer to [`DescribeWithLag`], for one group: its error, and of each partition topic, index, start offset and lag.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LagAnswer {
    pub error_code: i16,
    pub partitions: Vec<(String, i32, i64, i64)>,
}

/// The answer to [`ShareFetch2`], laid out as that of version 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ShareFetchAnswer(pub ShareFetchResponse);

/// The answer to [`ShareAcknowledge2`]: as that of version 1, and for how long records are locked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ShareAcknowledgeAnswer {
    pub response: ShareAcknowledgeResponse,
    pub lock_timeout_ms: i32,
}

impl ShareFetch2 {
    fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        string(&mut out, &self.group);
        string(&mut out, &self.member);
        let bytes = if self.is_renewal { [0, 0] } else { [1, 1 << 20] };
        [self.epoch, self.max_wait_ms, bytes[0], bytes[1], self.max_records, self.max_records]
            .iter()
            .for_each(|one| out.put_i32(*one));
        out.put_i8(self.acquire_mode);
        out.put_u8(u8::from(self.is_renewal));
        put_topics(&mut out, self.topic, &self.acknowledgements);
        // Nothing is forgotten; no tagged fields.
        out.put_slice(&[1, 0]);
        out
    }
}

impl ShareAcknowledge2 {
    fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        string(&mut out, &self.group);
        string(&mut out, &self.member);
        out.put_i32(self.epoch);
        out.put_u8(u8::from(self.is_renewal));
        put_topics(&mut out, self.topic, &self.acknowledgements);
        out.put_u8(0);
        out
    }
}

impl DescribeWithLag {
    fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        count(&mut out, 1);
        string(&mut out, &self.group);
        match &self.topics {
            None => out.put_u8(0),
            Some(topics) => {
                count(&mut out, topics.len());
                for topic in topics {
                    string(&mut out, topic);
                    count(&mut out, 1);
                    out.put_i32(0);
                    out.put_u8(0);
                }
            }
        }
        out.put_slice(&[0, 0]);
        out
    }
}

impl LagAnswer {
    /// Without messages, and with less than 127 of everything: what tests ask for.
    fn read<B: ByteBuf>(buf: &mut B) -> anyhow::Result<Self> {
        let mut answer = LagAnswer::default();
        let rest = buf.remaining();
        let mut rest = buf.try_get_bytes(rest)?;
        rest.try_get_i32()?;
        match rest.try_get_u8()? {
            // A version that the server does not have.
            1 => return Ok(answer),
            count => anyhow::ensure!(count == 2, "one group was asked for"),
        }
        read_string(&mut rest)?;
        for _ in 1..rest.try_get_u8()? {
            let topic = read_string(&mut rest)?;
            rest.advance(16);
            for _ in 1..rest.try_get_u8()? {
                let (index, start) = (rest.try_get_i32()?, rest.try_get_i64()?);
                rest.try_get_i32()?;
                let lag = rest.try_get_i64()?;
                answer.partitions.push((topic.clone(), index, start, lag));
                // Error code, no message, no tagged fields.
                rest.advance(4);
            }
            rest.advance(1);
        }
        answer.error_code = rest.try_get_i16()?;
        Ok(answer)
    }
}

fn read_string(buf: &mut Bytes) -> anyhow::Result<String> {
    let length = usize::from(buf.try_get_u8()?).saturating_sub(1);
    anyhow::ensure!(length <= buf.len(), "a string is cut short");
    Ok(String::from_utf8(buf.split_to(length).to_vec())?)
}

fn put_topics(out: &mut Vec<u8>, topic: Uuid, acknowledgements: &[Batch]) {
    count(out, 1);
    out.put_slice(topic.as_bytes());
    count(out, 1);
    out.put_i32(0);
    count(out, acknowledgements.len());
    for (first, last, types) in acknowledgements {
        out.put_i64(*first);
        out.put_i64(*last);
        count(out, types.len());
        types.iter().for_each(|one| out.put_i8(*one));
        out.put_u8(0);
    }
    out.put_slice(&[0, 0]);
}

written_only!(DescribeWithLag, DescribeShareGroupOffsets, 1, read LagAnswer);
written_only!(ShareFetch2, ShareFetch, 2, read ShareFetchAnswer);
written_only!(ShareAcknowledge2, ShareAcknowledge, 2, read ShareAcknowledgeAnswer);

impl ShareFetchAnswer {
    fn read<B: ByteBuf>(buf: &mut B) -> anyhow::Result<Self> {
        ShareFetchResponse::decode(buf, 1).map(ShareFetchAnswer)
    }
}

impl ShareAcknowledgeAnswer {
    fn read<B: ByteBuf>(buf: &mut B) -> anyhow::Result<Self> {
        // Throttle time, error code, and a message that is null; then what version 1 lacks.
        let mut all = BytesMut::new();
        all.put_slice(&buf.try_get_bytes(7)?);
        let lock_timeout_ms = buf.try_get_bytes(4)?.get_i32();
        let rest = buf.remaining();
        all.put_slice(&buf.try_get_bytes(rest)?);
        let mut all: Bytes = all.freeze();
        let response = ShareAcknowledgeResponse::decode(&mut all, 1)?;
        anyhow::ensure!(all.is_empty(), "{} bytes behind it", all.len());
        Ok(ShareAcknowledgeAnswer { response, lock_timeout_ms })
    }
}

/// A member of a share group on a connection of its own.
#[derive(Debug)]
pub struct ShareMember {
    pub client: Client,
    pub group: String,
    pub id: String,
    /// Of its session: what the next request has to carry.
    pub epoch: i32,
    pub max_wait_ms: i32,
    pub max_records: i32,
}

impl ShareMember {
    /// A member that has joined and subscribed to `topic`.
    ///
    /// # Panics
    /// When it may not join.
    #[must_use]
    pub fn of(server: &Server, group: &str, topic: &str) -> ShareMember {
        let mut client = server.connect();
        let id = Uuid::from_u128(u128::from(std::process::id()) << 64 | u128::from(next_number())).to_string();
        let request = ShareGroupHeartbeatRequest::default()
            .with_group_id(group_id(group))
            .with_member_id(text(&id))
            .with_member_epoch(0)
            .with_subscribed_topic_names(Some(vec![topic_name(topic)]));
        let response = client.call(1, &request);
        assert_eq!((response.error_code, response.error_message), (0, None), "joining {group}");
        ShareMember { client, group: group.to_owned(), id, epoch: 0, max_wait_ms: 0, max_records: 500 }
    }

    /// Leaves the group.
    ///
    /// # Panics
    /// When it may not.
    pub fn leave(mut self) {
        let request = ShareGroupHeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_member_id(text(&self.id))
            .with_member_epoch(-1);
        let response = self.client.call(1, &request);
        assert_eq!(response.error_code, 0, "leaving {}", self.group);
    }

    /// ShareFetch 1 of `parts`, each with what is acknowledged of it.
    #[must_use]
    pub fn fetch_request(&self, parts: &[(Uuid, i32, Vec<Batch>)]) -> ShareFetchRequest {
        let topics = parts.iter().map(|(topic, index, batches)| {
            let batches = batches.iter().map(|(first, last, types)| {
                share_fetch_request::AcknowledgementBatch::default()
                    .with_first_offset(*first)
                    .with_last_offset(*last)
                    .with_acknowledge_types(types.clone())
            });
            let partition =
                FetchPartition::default().with_partition_index(*index).with_acknowledgement_batches(batches.collect());
            FetchTopic::default().with_topic_id(*topic).with_partitions(vec![partition])
        });
        ShareFetchRequest::default()
            .with_group_id(Some(group_id(&self.group)))
            .with_member_id(Some(text(&self.id)))
            .with_share_session_epoch(self.epoch)
            .with_max_wait_ms(self.max_wait_ms)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_max_records(self.max_records)
            .with_batch_size(self.max_records)
            .with_topics(topics.collect())
    }

    /// Fetches in its session.
    pub fn fetch(&mut self, parts: &[(Uuid, i32, Vec<Batch>)]) -> ShareFetchResponse {
        let request = self.fetch_request(parts);
        self.ask(&request)
    }

    /// Stops to read partition `index` of `topic`.
    pub fn forget(&mut self, topic: Uuid, index: i32) -> ShareFetchResponse {
        let forgotten = ForgottenTopic::default().with_topic_id(topic).with_partitions(vec![index]);
        let request = self.fetch_request(&[]).with_forgotten_topics_data(vec![forgotten]);
        self.ask(&request)
    }

    fn ask(&mut self, request: &ShareFetchRequest) -> ShareFetchResponse {
        let response = self.client.call(1, request);
        if response.error_code == 0 {
            self.epoch += 1;
        }
        response
    }

    /// What it acquires of partition 0 of `topic`: first offset, last offset, deliveries.
    ///
    /// # Panics
    /// When the fetch fails.
    pub fn acquire(&mut self, topic: Uuid) -> Vec<(i64, i64, i16)> {
        let response = self.fetch(&[(topic, 0, Vec::new())]);
        assert_eq!(response.error_code, 0);
        acquired(&response)
    }

    /// ShareAcknowledge 1 for partition 0 of `topic`; answers the top-level error and the partition's.
    pub fn acknowledge(&mut self, topic: Uuid, batches: &[Batch]) -> (i16, Option<i16>) {
        let epoch = self.epoch;
        self.acknowledge_at(epoch, topic, batches)
    }

    /// As [`ShareMember::acknowledge`] with another epoch.
    pub fn acknowledge_at(&mut self, epoch: i32, topic: Uuid, batches: &[Batch]) -> (i16, Option<i16>) {
        let batches = batches.iter().map(|(first, last, types)| {
            share_acknowledge_request::AcknowledgementBatch::default()
                .with_first_offset(*first)
                .with_last_offset(*last)
                .with_acknowledge_types(types.clone())
        });
        let partition = AcknowledgePartition::default().with_acknowledgement_batches(batches.collect());
        let topic = AcknowledgeTopic::default().with_topic_id(topic).with_partitions(vec![partition]);
        let request = ShareAcknowledgeRequest::default()
            .with_group_id(Some(group_id(&self.group)))
            .with_member_id(Some(text(&self.id)))
            .with_share_session_epoch(epoch)
            .with_topics(vec![topic]);
        let response = self.client.call(1, &request);
        if response.error_code == 0 {
            self.epoch += 1;
        }
        (response.error_code, response.responses.first().map(|topic| topic.partitions[0].error_code))
    }
}

fn next_number() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// The partitions of all topics of a response.
#[must_use]
pub fn partitions(response: &ShareFetchResponse) -> Vec<&PartitionData> {
    response.responses.iter().flat_map(|topic| &topic.partitions).collect()
}

/// What was acquired of all partitions: first offset, last offset, deliveries.
#[must_use]
pub fn acquired(response: &ShareFetchResponse) -> Vec<(i64, i64, i16)> {
    let ranges = partitions(response).into_iter().flat_map(|partition| &partition.acquired_records);
    ranges.map(|range| (range.first_offset, range.last_offset, range.delivery_count)).collect()
}

impl Ask for ShareFetchRequest {
    fn filled(_version: i16) -> Self {
        let batch = share_fetch_request::AcknowledgementBatch::default().with_acknowledge_types(vec![1]);
        let partition = FetchPartition::default().with_acknowledgement_batches(vec![batch]);
        let topic = FetchTopic::default().with_topic_id(Uuid::from_u128(9)).with_partitions(vec![partition]);
        let forgotten = ForgottenTopic::default().with_topic_id(Uuid::from_u128(9)).with_partitions(vec![0]);
        Self::default()
            .with_group_id(Some(group_id("no-such-group")))
            .with_member_id(Some(text("nobody")))
            .with_share_session_epoch(1)
            .with_topics(vec![topic])
            .with_forgotten_topics_data(vec![forgotten])
    }
}

impl Ask for ShareAcknowledgeRequest {
    fn filled(_version: i16) -> Self {
        let batch = share_acknowledge_request::AcknowledgementBatch::default().with_acknowledge_types(vec![1]);
        let partition = AcknowledgePartition::default().with_acknowledgement_batches(vec![batch]);
        let topic = AcknowledgeTopic::default().with_topic_id(Uuid::from_u128(9)).with_partitions(vec![partition]);
        Self::default()
            .with_group_id(Some(group_id("no-such-group")))
            .with_member_id(Some(text("nobody")))
            .with_share_session_epoch(1)
            .with_topics(vec![topic])
    }
}

impl Ask for ShareFetch2 {
    fn filled(_version: i16) -> Self {
        let acknowledgements = vec![(0, 0, vec![1])];
        ShareFetch2 { group: "no-such-group".into(), member: "nobody".into(), epoch: 1, acknowledgements, ..Self::default() }
    }
}

impl Ask for ShareAcknowledge2 {
    fn filled(_version: i16) -> Self {
        let acknowledgements = vec![(0, 0, vec![1])];
        ShareAcknowledge2 {
            group: "no-such-group".into(),
            member: "nobody".into(),
            epoch: 1,
            acknowledgements,
            ..Self::default()
        }
    }
}

impl Ask for DescribeWithLag {
    fn empty(_version: i16) -> Self {
        DescribeWithLag { group: "no-such-group".into(), topics: Some(Vec::new()) }
    }

    fn filled(_version: i16) -> Self {
        DescribeWithLag { group: "no-such-group".into(), topics: Some(vec!["no-such-topic".into()]) }
    }
}

impl Ask for DescribeShareGroupOffsetsRequest {
    fn filled(_version: i16) -> Self {
        let topic = DescribeShareGroupOffsetsRequestTopic::default()
            .with_topic_name(topic_name("no-such-topic"))
            .with_partitions(vec![0]);
        let group = DescribeShareGroupOffsetsRequestGroup::default()
            .with_group_id(group_id("no-such-group"))
            .with_topics(Some(vec![topic]));
        Self::default().with_groups(vec![group])
    }
}

impl Ask for AlterShareGroupOffsetsRequest {
    fn filled(_version: i16) -> Self {
        let partition = AlterShareGroupOffsetsRequestPartition::default();
        let topic = AlterShareGroupOffsetsRequestTopic::default()
            .with_topic_name(topic_name("no-such-topic"))
            .with_partitions(vec![partition]);
        Self::default().with_group_id(group_id("no-such-group")).with_topics(vec![topic])
    }
}

impl Ask for DeleteShareGroupOffsetsRequest {
    fn filled(_version: i16) -> Self {
        let topic = DeleteShareGroupOffsetsRequestTopic::default().with_topic_name(topic_name("no-such-topic"));
        Self::default().with_group_id(group_id("no-such-group")).with_topics(vec![topic])
    }
}
