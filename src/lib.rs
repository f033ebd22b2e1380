pub mod env;
pub mod ids;
pub mod records;
pub mod tasks;
pub mod wire;
