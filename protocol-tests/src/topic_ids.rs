//! OffsetCommit and OffsetFetch of version 10, which name topics by id (KIP-848): the message library's requests end at 9. Written here,
//! never read.

use crate::samples::Ask;
use crate::written_only;
use bytes::BufMut;
use kafka_protocol::messages::{OffsetCommitResponse, OffsetFetchResponse};
use uuid::Uuid;

/// The version of both requests.
pub const VERSION: i16 = 10;

/// OffsetCommit 10 for one topic.
#[derive(Debug, Clone, Default)]
pub struct CommitById {
    pub group: String,
    pub member_id: String,
    pub member_epoch: i32,
    pub topic: Uuid,
    /// Partition and offset.
    pub offsets: Vec<(i32, i64)>,
}

/// OffsetFetch 10 for one group.
#[derive(Debug, Clone, Default)]
pub struct FetchById {
    pub group: String,
    /// With its epoch; `None`: an administrator.
    pub member: Option<(String, i32)>,
    /// `None`: everything.
    pub topics: Option<Vec<(Uuid, Vec<i32>)>>,
}

impl CommitById {
    fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        string(&mut out, &self.group);
        out.put_i32(self.member_epoch);
        string(&mut out, &self.member_id);
        out.put_u8(0);
        out.put_u8(2);
        out.put_slice(self.topic.as_bytes());
        count(&mut out, self.offsets.len());
        for (partition, offset) in &self.offsets {
            out.put_i32(*partition);
            out.put_i64(*offset);
            out.put_i32(-1);
            string(&mut out, "");
            out.put_u8(0);
        }
        out.put_slice(&[0, 0]);
        out
    }
}

impl FetchById {
    fn body(&self) -> Vec<u8> {
        let mut out = vec![2];
        string(&mut out, &self.group);
        match &self.member {
            Some((id, epoch)) => {
                string(&mut out, id);
                out.put_i32(*epoch);
            }
            None => {
                out.put_u8(0);
                out.put_i32(-1);
            }
        }
        match &self.topics {
            None => out.put_u8(0),
            Some(topics) => {
                count(&mut out, topics.len());
                for (id, partitions) in topics {
                    out.put_slice(id.as_bytes());
                    count(&mut out, partitions.len());
                    partitions.iter().for_each(|partition| out.put_i32(*partition));
                    out.put_u8(0);
                }
            }
        }
        // No tagged fields; stable offsets not asked for; no tagged fields.
        out.put_slice(&[0, 0, 0]);
        out
    }
}

pub(crate) fn count(out: &mut Vec<u8>, count: usize) {
    out.put_u8(u8::try_from(count + 1).expect("tests ask for few"));
}

pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    count(out, text.len());
    out.put_slice(text.as_bytes());
}

written_only!(CommitById, OffsetCommit, VERSION, OffsetCommitResponse);
written_only!(FetchById, OffsetFetch, VERSION, OffsetFetchResponse);

impl Ask for CommitById {
    fn filled(_version: i16) -> Self {
        CommitById {
            group: "no-such-group".to_owned(),
            member_epoch: -1,
            topic: Uuid::from_u128(9),
            offsets: vec![(0, 1)],
            ..Self::default()
        }
    }
}

impl Ask for FetchById {
    fn filled(_version: i16) -> Self {
        let topics = Some(vec![(Uuid::from_u128(9), vec![0])]);
        FetchById { group: "no-such-group".to_owned(), member: Some(("nobody".to_owned(), 1)), topics }
    }
}
