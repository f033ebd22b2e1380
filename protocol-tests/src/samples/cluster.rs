//! Administration of the cluster as a whole.

use super::Ask;
use crate::frame::{text, topic_name};
use bytes::Bytes;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::alter_user_scram_credentials_request::{ScramCredentialDeletion, ScramCredentialUpsertion};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterUserScramCredentialsRequest, BrokerId, CreateAclsRequest, DeleteAclsRequest,
    DescribeAclsRequest, DescribeClientQuotasRequest, DescribeQuorumRequest, DescribeUserScramCredentialsRequest,
    GetTelemetrySubscriptionsRequest, PushTelemetryRequest, UnregisterBrokerRequest, UpdateFeaturesRequest,
};
use uuid::Uuid;

const NOBODY: &str = "nobody";
/// ResourceType.TOPIC, of ACLs.
const TOPIC: i8 = 2;
const CLIENT: Uuid = Uuid::from_u128(0x0123_4567_89ab_cdef);

impl Ask for DescribeClientQuotasRequest {
    fn filled(_version: i16) -> Self {
        let component = ComponentData::default().with_entity_type(text("user")).with_match(Some(text(NOBODY)));
        Self::default().with_components(vec![component])
    }
}

impl Ask for AlterClientQuotasRequest {
    fn filled(_version: i16) -> Self {
        let entity = EntityData::default().with_entity_type(text("user")).with_entity_name(Some(text(NOBODY)));
        let op = OpData::default().with_key(text("no_such_quota")).with_value(1.0);
        Self::default().with_entries(vec![EntryData::default().with_entity(vec![entity]).with_ops(vec![op])])
    }
}

impl Ask for DescribeUserScramCredentialsRequest {
    fn filled(_version: i16) -> Self {
        Self::default().with_users(Some(vec![UserName::default().with_name(text(NOBODY))]))
    }
}

impl Ask for AlterUserScramCredentialsRequest {
    fn filled(_version: i16) -> Self {
        let secret = Bytes::from_static(b"secret");
        let upsertion = ScramCredentialUpsertion::default().with_name(text(NOBODY)).with_mechanism(1).with_iterations(4096);
        Self::default()
            .with_deletions(vec![ScramCredentialDeletion::default().with_name(text(NOBODY)).with_mechanism(1)])
            .with_upsertions(vec![upsertion.with_salt(secret.clone()).with_salted_password(secret)])
    }
}

impl Ask for DescribeAclsRequest {
    fn filled(_version: i16) -> Self {
        Self::default().with_resource_type_filter(TOPIC).with_resource_name_filter(Some(text("no-such-topic")))
    }
}

impl Ask for CreateAclsRequest {
    fn filled(_version: i16) -> Self {
        let creation = AclCreation::default().with_resource_type(TOPIC).with_resource_name(text("no-such-topic"));
        Self::default().with_creations(vec![creation.with_principal(text("User:nobody")).with_host(text("*"))])
    }
}

impl Ask for DeleteAclsRequest {
    fn filled(_version: i16) -> Self {
        let filter = DeleteAclsFilter::default().with_resource_type_filter(TOPIC);
        Self::default().with_filters(vec![filter.with_resource_name_filter(Some(text("no-such-topic")))])
    }
}

impl Ask for DescribeQuorumRequest {
    fn filled(_version: i16) -> Self {
        let topic =
            TopicData::default().with_topic_name(topic_name("no-such-topic")).with_partitions(vec![PartitionData::default()]);
        Self::default().with_topics(vec![topic])
    }
}

impl Ask for UnregisterBrokerRequest {
    fn filled(_version: i16) -> Self {
        Self::default().with_broker_id(BrokerId(99))
    }
}

impl Ask for UpdateFeaturesRequest {
    fn filled(_version: i16) -> Self {
        let update = FeatureUpdateKey::default().with_feature(text("no-such.version")).with_max_version_level(1);
        Self::default().with_feature_updates(vec![update])
    }
}

impl Ask for GetTelemetrySubscriptionsRequest {
    fn filled(_version: i16) -> Self {
        Self::default().with_client_instance_id(CLIENT)
    }
}

impl Ask for PushTelemetryRequest {
    fn filled(_version: i16) -> Self {
        Self::default().with_client_instance_id(CLIENT).with_metrics(Bytes::from_static(b"metrics"))
    }
}
