//! DescribeCluster, key 60, versions 0-2.
//!
//! Behaviour: the cluster's id and its one broker, which is also what clients take for the controller.
//!
//! Version notes: 1 (KIP-919) names the kind of endpoint that is asked for: ours are brokers, never controllers; 2 (KIP-1073) may
//! include fenced brokers, of which there are none.
//! Not implemented: nothing.

use super::errors::ResponseError;
use super::{Answer, Context, Handler, advertised, operations};
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

/// EndpointType.BROKER and CONTROLLER.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub struct DescribeCluster;

impl Handler for DescribeCluster {
    type Request = DescribeClusterRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(context: Context, request: DescribeClusterRequest) -> Answer<DescribeClusterResponse> {
        if let Some(refusal) = wrong_endpoint(request.endpoint_type) {
            return Answer::Now(refusal);
        }
        let node = BrokerId(context.broker.config.server.node_id);
        let (host, port) = advertised::endpoint(&context);
        let rack = context.broker.config.server.rack.clone();
        let broker = DescribeClusterBroker::default()
            .with_broker_id(node)
            .with_host(StrBytes::from_string(host))
            .with_port(port)
            .with_rack(rack.map(StrBytes::from_string));
        let cluster_operations = operations::if_asked(request.include_cluster_authorized_operations, operations::CLUSTER);
        let response = DescribeClusterResponse::default()
            .with_cluster_id(StrBytes::from_string(context.broker.catalog.cluster_id().to_owned()))
            .with_controller_id(node)
            .with_brokers(vec![broker])
            .with_cluster_authorized_operations(cluster_operations);
        Answer::Now(response)
    }

    fn unsupported() -> DescribeClusterResponse {
        DescribeClusterResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

/// The refusal for an endpoint type that is not ours (AuthHelper.computeDescribeClusterResponse). Version 0 cannot ask for one.
fn wrong_endpoint(asked: i8) -> Option<DescribeClusterResponse> {
    let (error, why) = match asked {
        BROKERS => return None,
        CONTROLLERS => (
            ResponseError::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER".to_owned(),
        ),
        other => (ResponseError::UnsupportedEndpointType, format!("Unsupported endpoint type {other}")),
    };
    let response = DescribeClusterResponse::default();
    Some(response.with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(why))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_brokers_are_described() {
        assert_eq!(wrong_endpoint(0).map(|answer| answer.error_code), Some(115));
        assert_eq!(wrong_endpoint(2).map(|answer| answer.error_code), Some(114));
        assert_eq!(wrong_endpoint(1), None);
    }
}
