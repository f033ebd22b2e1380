//! `[schema]`: the registry's listener and bounds. What a topic asks of its records is in `validation.rs`.

/// Where the registry is served when nothing is said: the port of Confluent's.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8081";

/// See the file's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// `host:port`; port 0 picks a free one; empty: not served, and topics are validated all the same. `None`: [`DEFAULT_LISTEN`], unless it is
    /// in use.
    pub listen: Option<String>,
    /// The level of subjects for which nobody has set one, by Confluent's name.
    pub compatibility: String,
    /// The texts of all schemas together; a registration beyond it is refused.
    pub memory_bytes: usize,
    /// Parsed schemas; those that are used least are parsed again.
    pub cache_bytes: usize,
}

impl Default for Schema {
    fn default() -> Schema {
        Schema {
            listen: None,
            compatibility: "BACKWARD".to_owned(),
            memory_bytes: 64 * 1024 * 1024,
            cache_bytes: 64 * 1024 * 1024,
        }
    }
}

impl Schema {
    /// Where the registry is to be served; empty: nowhere.
    #[must_use]
    pub fn address(&self) -> &str {
        self.listen.as_deref().unwrap_or(DEFAULT_LISTEN)
    }
}
