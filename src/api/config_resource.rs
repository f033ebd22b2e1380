//! What settings can belong to, as numbered on the wire. Source: ConfigResource.Type.

pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
pub const BROKER_LOGGER: i8 = 8;
/// A subscription to clients' metrics (KIP-714).
pub const CLIENT_METRICS: i8 = 16;
pub const GROUP: i8 = 32;

/// Every kind that a request may name.
pub const ALL: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
