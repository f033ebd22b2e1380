//! ListConfigResources, key 74, versions 0-1.
//!
//! Behaviour: who can be asked for settings: topics, this broker and its loggers, groups that have settings of their own, client metrics
//! subscriptions. Without types, all of them.
//!
//! Version notes: 0 (KIP-1000) lists client metrics subscriptions only; 1 (KIP-1142) has types.
//! Not implemented: nothing.

use super::config_resource::{ALL, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use super::errors::{NONE, ResponseError};
use super::{Answer, Context, Handler};
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

pub struct ListConfigResources;

impl Handler for ListConfigResources {
    type Request = ListConfigResourcesRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(context: Context, request: ListConfigResourcesRequest) -> Answer<ListConfigResourcesResponse> {
        let asked = match (context.version, request.resource_types) {
            (0, _) => vec![CLIENT_METRICS],
            (_, types) if types.is_empty() => ALL.to_vec(),
            (_, types) => types,
        };
        if asked.iter().any(|kind| !ALL.contains(kind)) {
            let error = ResponseError::UnsupportedVersion.code();
            return Answer::Now(ListConfigResourcesResponse::default().with_error_code(error));
        }
        let snapshot = context.broker.catalog.snapshot();
        let node = context.broker.config.server.node_id.to_string();
        let mut resources = Vec::new();
        for kind in ALL.into_iter().filter(|kind| asked.contains(kind)) {
            let names: Vec<String> = match kind {
                TOPIC => snapshot.topics.keys().cloned().collect(),
                BROKER | BROKER_LOGGER => vec![node.clone()],
                GROUP => snapshot.groups_with_overrides().map(str::to_owned).collect(),
                _ => snapshot.client_metrics().map(str::to_owned).collect(),
            };
            resources.extend(names.into_iter().map(|name| {
                let resource = ConfigResource::default().with_resource_name(StrBytes::from_string(name));
                if context.version == 0 { resource } else { resource.with_resource_type(kind) }
            }));
        }
        Answer::Now(ListConfigResourcesResponse::default().with_error_code(NONE).with_config_resources(resources))
    }

    fn unsupported() -> ListConfigResourcesResponse {
        ListConfigResourcesResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}
