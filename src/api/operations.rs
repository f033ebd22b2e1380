//! Which operations a client may perform, as the bit fields that KIP-430 added to responses. Without an authorizer: all that the kind
//! of resource has (AclEntry.supportedOperations). The bit of an operation is its code in AclOperation.

const READ: i32 = 1 << 3;
const WRITE: i32 = 1 << 4;
const CREATE: i32 = 1 << 5;
const DELETE: i32 = 1 << 6;
const ALTER: i32 = 1 << 7;
const DESCRIBE: i32 = 1 << 8;
const CLUSTER_ACTION: i32 = 1 << 9;
const DESCRIBE_CONFIGS: i32 = 1 << 10;
const ALTER_CONFIGS: i32 = 1 << 11;
const IDEMPOTENT_WRITE: i32 = 1 << 12;

/// "Not asked for": the value of the field unless the request sets its flag.
pub const NOT_ASKED: i32 = i32::MIN;
/// All operations on a topic.
pub const TOPIC: i32 = READ | WRITE | CREATE | DELETE | ALTER | DESCRIBE | DESCRIBE_CONFIGS | ALTER_CONFIGS;
/// All operations on the cluster.
pub const CLUSTER: i32 = CREATE | CLUSTER_ACTION | DESCRIBE_CONFIGS | ALTER_CONFIGS | IDEMPOTENT_WRITE | ALTER | DESCRIBE;
/// All operations on a group.
pub const GROUP: i32 = READ | DESCRIBE | DELETE | DESCRIBE_CONFIGS | ALTER_CONFIGS;

/// `all` where it was asked for.
#[must_use]
pub fn if_asked(asked: bool, all: i32) -> i32 {
    if asked { all } else { NOT_ASKED }
}
