//! `[hooks]`: where webhooks may go, how they are tried again, and what all of them may take.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::fmt;
use std::path::PathBuf;

/// What `POST /webhooks` publishes, behind the project's prefix.
pub const EVENTS_TOPIC: &str = "webhooks.events";

/// See the file's header.
#[derive(Debug, Clone, PartialEq)]
pub struct Hooks {
    /// Requests may go to this machine and to private networks, and over plain HTTP.
    pub allow_private_addresses: bool,
    pub allow_http: bool,
    /// Further certificate authorities, as PEM.
    pub ca_file: Option<PathBuf>,
    /// `None`: the key file in the data directory.
    pub secret_key: Option<SecretKey>,
    /// How long the secret before still signs.
    pub secret_overlap_ms: i64,
    /// Endpoints of one project.
    pub endpoints_max: usize,
    /// Requests under way, of all endpoints.
    pub concurrency: usize,
    /// Requests under way, of one endpoint.
    pub endpoint_concurrency: usize,
    /// What an endpoint may ask for instead.
    pub endpoint_concurrency_max: usize,
    /// Bytes of events in memory, of all endpoints.
    pub memory_bytes: usize,
    /// The largest body of a request.
    pub body_bytes: usize,
    pub timeout_ms: u64,
    /// What an endpoint may ask for instead.
    pub timeout_max_ms: u64,
    /// Before the second attempt, the third, and so on; what fails after the last is a dead letter.
    pub retry_schedule_ms: Vec<i64>,
    /// Events of one endpoint that are read and not settled.
    pub in_retry_max: usize,
    /// Behind the project's prefix.
    pub dead_letter_topic: String,
    /// Deliveries of one endpoint that are shown.
    pub deliveries_kept: usize,
    pub deliveries_retention_ms: i64,
}

impl Hooks {
    /// What only the settings together can show to be wrong.
    pub(super) fn check(&self) -> Result<(), String> {
        let pairs = [
            ("timeout_ms", self.timeout_ms, "timeout_max_ms", self.timeout_max_ms),
            (
                "endpoint_concurrency",
                self.endpoint_concurrency as u64,
                "endpoint_concurrency_max",
                self.endpoint_concurrency_max as u64,
            ),
        ];
        for (name, own, most_name, most) in pairs {
            if own > most {
                return Err(format!(
                    "hooks.{name} ({own}) is above hooks.{most_name} ({most}), which no endpoint may exceed; set both"
                ));
            }
        }
        // Names that differ in '.' and '_' only are the same (Topic.hasCollision).
        if self.dead_letter_topic.replace('_', ".") == EVENTS_TOPIC {
            return Err(format!(
                "hooks.dead_letter_topic ({:?}) is where `POST /webhooks` publishes: what is given up would be sent again; name another topic",
                self.dead_letter_topic
            ));
        }
        Ok(())
    }
}

/// A key of 32 bytes that no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(pub [u8; 32]);

impl SecretKey {
    /// # Errors
    /// What would be valid.
    pub fn parse(text: &str) -> Result<SecretKey, String> {
        let bytes = BASE64_STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(SecretKey).ok_or_else(|| "32 bytes as base64 (`openssl rand -base64 32`)".to_owned())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl Default for Hooks {
    fn default() -> Hooks {
        const MINUTE_MS: i64 = 60_000;
        const HOUR_MS: i64 = 60 * MINUTE_MS;
        Hooks {
            allow_private_addresses: false,
            allow_http: false,
            ca_file: None,
            secret_key: None,
            secret_overlap_ms: 24 * HOUR_MS,
            endpoints_max: 1000,
            concurrency: 256,
            endpoint_concurrency: 16,
            endpoint_concurrency_max: 64,
            memory_bytes: 64 * 1024 * 1024,
            body_bytes: 2 * 1024 * 1024,
            timeout_ms: 15_000,
            timeout_max_ms: 60_000,
            // About a day.
            retry_schedule_ms: vec![
                5000,
                30_000,
                2 * MINUTE_MS,
                10 * MINUTE_MS,
                30 * MINUTE_MS,
                HOUR_MS,
                2 * HOUR_MS,
                4 * HOUR_MS,
                8 * HOUR_MS,
                8 * HOUR_MS,
            ],
            in_retry_max: 1000,
            dead_letter_topic: "webhooks.dead-letter".to_owned(),
            deliveries_kept: 100,
            deliveries_retention_ms: 7 * 24 * HOUR_MS,
        }
    }
}
