//! Frames and headers of the Kafka protocol, and typed messages in and out of bytes. Holds no broker state.

pub mod frame;
pub mod header;
pub mod message;
pub mod metered;
