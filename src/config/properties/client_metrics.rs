//! What a client metrics subscription says (KIP-714; ClientMetricsConfigs). What else is asked of the values: [`crate::config::client_metrics`].

use super::{Property, Valid};
use Valid::Any;

/// All of it, by name.
pub static CLIENT_METRICS: &[Property] = &properties! {
    "interval.ms": Int = "300000", Any, ClusterWide, Stored,
        "How often clients push the metrics.";
    "match": List = "", Any, ClusterWide, Stored,
        "Which clients: pairs of a label (client_id …) and a regular expression, all of which must match.";
    "metrics": List = "", Any, ClusterWide, Stored,
        "Prefixes of the metrics' names; * for all.";
};
