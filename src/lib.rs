pub mod catalog;
pub mod config;
pub mod env;
pub mod ids;
pub mod log;
pub mod records;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod wire;
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
