//! `[http]`: the listener for HTTP, who may use it, and what one request may take.

use super::address::split_address;
use super::hooks::EVENTS_TOPIC;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Where HTTP is served when nothing is said.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

/// See the file's header.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// `host:port`; port 0 picks a free one; empty: HTTP is not served. `None`: [`DEFAULT_LISTEN`], unless it is in use.
    pub listen: Option<String>,
    pub auth: HttpAuth,
    /// The largest body.
    pub request_bytes: usize,
    /// Bodies and answers in memory, of all requests: then others are told to come back.
    pub memory_bytes: usize,
    pub connections: usize,
    /// How long records that were handed out stay with who got them.
    pub consume_lease_ms: i64,
    /// The most records of one answer.
    pub consume_limit_max: usize,
    /// The longest long poll.
    pub wait_ms_max: u64,
    /// Between two signs of life on a live stream.
    pub heartbeat_ms: u64,
    /// How long a repeated request with the same `Idempotency-Key` is recognised.
    pub idempotency_ms: i64,
    /// Origins whose pages may call; `*`: any. Empty: CORS is off.
    pub cors_origins: Vec<String>,
    /// By id.
    pub projects: BTreeMap<String, Project>,
}

/// Who may use HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpAuth {
    /// Everybody on this machine, with any key and any project.
    None,
    /// Who has an API key of a project.
    Keys,
}

/// Topics with a common prefix, and the keys to them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Project {
    /// Topics of the project are Kafka topics with this before their names.
    pub topic_prefix: String,
    /// SHA-256 of each API key.
    pub api_keys: Vec<[u8; 32]>,
}

impl Default for Http {
    fn default() -> Http {
        Http {
            listen: None,
            auth: HttpAuth::None,
            request_bytes: 4 * 1024 * 1024,
            memory_bytes: 64 * 1024 * 1024,
            connections: 1000,
            consume_lease_ms: 30_000,
            consume_limit_max: 1000,
            wait_ms_max: 30_000,
            heartbeat_ms: 15_000,
            idempotency_ms: 24 * 60 * 60 * 1000,
            cors_origins: Vec::new(),
            projects: BTreeMap::new(),
        }
    }
}

impl Http {
    /// Where HTTP is to be served; empty: nowhere.
    #[must_use]
    pub fn address(&self) -> &str {
        self.listen.as_deref().unwrap_or(DEFAULT_LISTEN)
    }

    /// What only the settings together can show to be wrong. `registry`: where else the same requests are served; empty: nowhere.
    pub(super) fn check(&self, registry: &str) -> Result<(), String> {
        if self.request_bytes > self.memory_bytes {
            return Err(format!(
                "http.memory_bytes ({}) is below http.request_bytes ({}): the largest request could never be read",
                self.memory_bytes, self.request_bytes
            ));
        }
        match self.auth {
            HttpAuth::None if !self.projects.is_empty() => Err(
                "[http.projects.…] have no effect with http.auth = \"none\": anybody could use all topics; set http.auth = \"keys\", or take the projects out"
                    .to_owned(),
            ),
            HttpAuth::None => {
                let addresses = [("http.listen", self.address()), ("schema.listen", registry)];
                match addresses.into_iter().find(|(_, address)| !address.is_empty() && !is_loopback(address)) {
                    None => Ok(()),
                    Some((name, address)) => Err(format!(
                        "http.auth = \"none\" is for this machine only, and {name} is {address:?}; set http.auth = \"keys\" with \
                         [http.projects.NAME], or listen on 127.0.0.1"
                    )),
                }
            }
            HttpAuth::Keys if self.projects.values().all(|project| project.api_keys.is_empty()) => Err(
                "http.auth = \"keys\", but no project has a key: add [http.projects.NAME] with api_keys = [\"sha256:…\"] (`fbf hash-key`)"
                    .to_owned(),
            ),
            HttpAuth::Keys => Ok(()),
        }
    }

    /// Whether each project has the topics that webhooks write for it: a longer prefix of another one would make them the other's, which could read them, and
    /// nothing would be delivered. `dead_letters`: what projects call the topic of what was given up.
    pub(super) fn check_webhooks(&self, dead_letters: &str) -> Result<(), String> {
        for (id, project) in &self.projects {
            let prefix = &project.topic_prefix;
            for (name, or) in [(EVENTS_TOPIC, ""), (dead_letters, ", or set hooks.dead_letter_topic")] {
                let topic = format!("{prefix}{name}");
                let is_other = |other: &str| other.len() > prefix.len() && topic.starts_with(other);
                if let Some((other, holder)) = self.projects.iter().find(|(_, other)| is_other(&other.topic_prefix)) {
                    return Err(format!(
                        "the webhooks of http.projects.{id} write to the topic {topic:?}, which the topic_prefix of http.projects.{other} \
                         ({:?}) makes a topic of that project; give one of them another topic_prefix{or}",
                        holder.topic_prefix
                    ));
                }
            }
        }
        Ok(())
    }
}

fn is_loopback(listen: &str) -> bool {
    let Ok((host, _)) = split_address(listen) else { return false };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Reads the tables `[http.projects.NAME]`.
///
/// # Errors
/// Which project and key is wrong, and what is valid.
pub(super) fn projects(tables: &toml::Table) -> Result<BTreeMap<String, Project>, String> {
    let mut projects = BTreeMap::new();
    for (id, value) in tables {
        let toml::Value::Table(table) = value else {
            return Err(format!("http.projects.{id} is not a table: write [http.projects.{id}]"));
        };
        projects.insert(id.clone(), project(id, table)?);
    }
    Ok(projects)
}

fn project(id: &str, table: &toml::Table) -> Result<Project, String> {
    if id.is_empty() || id.len() > 100 || id.contains('/') {
        return Err(format!("http.projects: {id:?} is not valid as a project's id: expected 1 to 100 characters without '/'"));
    }
    let mut project = Project::default();
    for (key, value) in table {
        match key.as_str() {
            "topic_prefix" => {
                let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
                let is_prefix = |prefix: &&str| prefix.len() <= 100 && !prefix.starts_with('_') && prefix.bytes().all(is_legal);
                let prefix = value.as_str().filter(is_prefix);
                let expected = "letters, digits, '.', '_' and '-', at most 100, and no '_' at the beginning";
                project.topic_prefix = prefix
                    .ok_or_else(|| format!("http.projects.{id}.topic_prefix = {value} is not valid: expected {expected}"))?
                    .to_owned();
            }
            "api_keys" => {
                let hashes = value.as_array().map(|keys| keys.iter().map(|key| key.as_str().and_then(parse_hash)).collect());
                project.api_keys = hashes.flatten().ok_or_else(|| {
                    // The value is not shown: it may be a key that somebody forgot to hash.
                    format!(
                        "http.projects.{id}.api_keys is not valid: expected a list of \"sha256:<64 hex digits>\" (`fbf hash-key`)"
                    )
                })?;
            }
            other => {
                return Err(format!("unknown key http.projects.{id}.{other}; a project has topic_prefix and api_keys"));
            }
        }
    }
    Ok(project)
}

/// `sha256:` and 64 hexadecimal digits.
fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256:")?;
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    let mut hash = [0u8; 32];
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(projects: &[(&str, &str)], dead_letters: &str) -> Result<(), String> {
        let project = |prefix: &str| Project { topic_prefix: prefix.to_owned(), ..Project::default() };
        let projects = projects.iter().map(|(id, prefix)| ((*id).to_owned(), project(prefix)));
        Http { projects: projects.collect(), ..Http::default() }.check_webhooks(dead_letters)
    }

    #[test]
    fn a_project_whose_webhooks_would_write_into_another_ones_topics_is_refused() {
        let taken = [
            ([("ops", ""), ("team", "webhooks.")], "letters", "\"webhooks.events\""),
            ([("ops", ""), ("team", "web")], "letters", "\"webhooks.events\""),
            ([("ops", "a."), ("team", "a.webhooks.events")], "letters", "\"a.webhooks.events\""),
            ([("team", "a.dead."), ("ops", "a.")], "dead.letters", "\"a.dead.letters\""),
        ];
        for (projects, dead_letters, topic) in taken {
            let why = checked(&projects, dead_letters).expect_err("refused");
            for word in [topic, "http.projects.ops", "http.projects.team", "topic_prefix"] {
                assert!(why.contains(word), "{word} in {why}");
            }
            assert_eq!(why.contains("hooks.dead_letter_topic"), topic.contains("dead"), "{why}");
        }
    }

    #[test]
    fn prefixes_that_leave_the_topics_of_webhooks_alone_may_nest() {
        for projects in [
            [("ops", ""), ("team", "team.")],
            [("a", "a."), ("b", "a.webhooks.other.")],
            [("a", "webhooks."), ("b", "webhooks.")],
        ] {
            assert_eq!(checked(&projects, "webhooks.dead-letter"), Ok(()), "{projects:?}");
        }
    }
}
