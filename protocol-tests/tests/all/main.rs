//! One binary for all protocol tests; one module per area. See the crate's documentation for how the server is found.

mod admin;
mod broker_configs;
mod cluster_admin;
mod configs;
mod consumer_groups;
mod fetch;
mod group_offsets;
mod groups;
mod groups_rebalance;
mod hostile;
mod hostile_records;
mod http;
mod idempotence;
mod kill;
mod list_offsets;
mod metadata;
mod odd_requests;
mod produce;
mod quotas;
mod restart;
mod schemas;
mod start;
mod topics;
mod transactions;
mod txn_schedules;
mod versions;
