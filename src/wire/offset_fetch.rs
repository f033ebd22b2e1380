//! OffsetFetch's request, versions 1-10. The protocol library reads 1 to 9; 10 (KIP-848) names topics by id instead of name, and is
//! otherwise laid out as 9.

use super::compact;
use super::requests::request;
use anyhow::Result;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{ApiKey, GroupId, OffsetFetchRequest as Named, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, StrBytes, VersionRange};
use uuid::Uuid;

/// The first version with topic ids, and the version whose layout it has otherwise.
const TOPIC_IDS: i16 = 10;
const LIKE: i16 = 9;

/// The request of any version.
#[derive(Debug, Clone, PartialEq)]
pub struct OffsetFetchRequest {
    /// Everything but the groups, which are taken out; up to version 7 it is all there is.
    pub head: Named,
    pub groups: Vec<Group>,
}

/// A group that is asked about (from version 8).
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub id: GroupId,
    pub member_id: Option<StrBytes>,
    pub member_epoch: i32,
    /// `None`: everything that the group has committed.
    pub topics: Option<Vec<Topic>>,
}

/// A topic by name (up to 9) or by id (from 10); the other one is empty or nil.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    pub name: TopicName,
    pub id: Uuid,
    pub partitions: Vec<i32>,
}

impl Decodable for OffsetFetchRequest {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self> {
        if version < TOPIC_IDS {
            let mut head = Named::decode(buf, version)?;
            let groups = std::mem::take(&mut head.groups).into_iter().map(Group::of_names);
            return Ok(OffsetFetchRequest { groups: groups.collect(), head });
        }
        let groups = compact::array(buf, Group::read)?;
        let require_stable = compact::boolean(buf)?;
        compact::skip_tagged_fields(buf)?;
        Ok(OffsetFetchRequest { head: Named::default().with_require_stable(require_stable), groups })
    }
}

impl Topic {
    fn read<B: ByteBuf>(buf: &mut B) -> Result<Topic> {
        let (id, partitions) = (compact::uuid(buf)?, compact::array(buf, compact::i32)?);
        compact::skip_tagged_fields(buf)?;
        Ok(Topic { name: TopicName::default(), id, partitions })
    }
}

impl Group {
    fn read<B: ByteBuf>(buf: &mut B) -> Result<Group> {
        let id = GroupId(compact::string(buf)?);
        let (member_id, member_epoch) = (compact::nullable_string(buf)?, compact::i32(buf)?);
        let topics = compact::nullable_array(buf, Topic::read)?;
        compact::skip_tagged_fields(buf)?;
        Ok(Group { id, member_id, member_epoch, topics })
    }

    fn of_names(group: OffsetFetchRequestGroup) -> Group {
        let named =
            |topic: OffsetFetchRequestTopics| Topic { name: topic.name, id: Uuid::nil(), partitions: topic.partition_indexes };
        let topics = group.topics.map(|topics| topics.into_iter().map(named).collect());
        Group { id: group.group_id, member_id: group.member_id, member_epoch: group.member_epoch, topics }
    }
}

request!(OffsetFetchRequest, like Named, up to LIKE, versions VersionRange { min: 1, max: TOPIC_IDS }, key ApiKey::OffsetFetch, answered by OffsetFetchResponse);

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// Group "g" of member "m" at epoch 3: one topic with partitions 1 and 2; group "h" of nobody: everything. Stable offsets only.
    fn bytes() -> Vec<u8> {
        let mut bytes = vec![3, 2, b'g', 2, b'm', 0, 0, 0, 3, 2];
        bytes.extend([7; 16]);
        bytes.extend([3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0]);
        bytes.extend([2, b'h', 0, 0xff, 0xff, 0xff, 0xff, 0, 0]);
        bytes.extend([1, 0]);
        bytes
    }

    #[test]
    fn version_10_names_topics_by_id() {
        let request = OffsetFetchRequest::decode(&mut Bytes::from(bytes()), 10).expect("decodes");
        assert!(request.head.require_stable);
        let topics = request.groups[0].topics.as_ref().expect("topics");
        assert_eq!((topics[0].id, topics[0].partitions.as_slice()), (Uuid::from_bytes([7; 16]), &[1, 2][..]));
        assert_eq!((&request.groups[1].member_id, request.groups[1].member_epoch, &request.groups[1].topics), (&None, -1, &None));
    }

    #[test]
    fn every_cut_is_an_error() {
        let bytes = bytes();
        for length in 0..bytes.len() {
            let cut = OffsetFetchRequest::decode(&mut Bytes::copy_from_slice(&bytes[..length]), 10);
            assert!(cut.is_err(), "{length} bytes decode");
        }
    }
}
