//! What a client metrics subscription says (KIP-714; ClientMetricsConfigs).

use super::{Property, Valid};
use Valid::{Any, Between};

/// All of it, by name.
pub static CLIENT_METRICS: &[Property] = &properties! {
    "interval.ms": Int = "300000", Between(100, 3_600_000), ClusterWide, Stored,
        "How often clients push the metrics.";
    "match": List = "", Any, ClusterWide, Stored,
        "Which clients: pairs of a label (client_id …) and a regular expression, all of which must match.";
    "metrics": List = "", Any, ClusterWide, Stored,
        "Prefixes of the metrics' names; * for all.";
};
