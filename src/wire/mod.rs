//! Frames and headers of the Kafka protocol, and typed messages in and out of bytes. Holds no broker state.

mod compact;
pub mod describe_log_dirs;
pub mod fetch;
pub mod frame;
pub mod header;
pub mod init_producer_id;
pub mod message;
pub mod metered;
pub mod offset_commit;
pub mod offset_fetch;
mod requests;
pub mod share_acknowledge;
pub mod share_fetch;
pub mod share_offsets;
mod spans;
pub mod streams;
pub mod streams_group_describe;
pub mod streams_group_heartbeat;
pub mod write_txn_markers;
