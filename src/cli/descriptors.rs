//! Open files: each connection is one, and so are the journal's segments and RocksDB's tables, without which the store cannot go on. So that clients
//! do not take what the store needs, connections are bounded by what the system lets this process open.

use crate::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// For the store, listeners, webhooks and their like.
const RESERVED: u64 = 600;
/// Connections that must have room; with less, nobody could work.
const CONNECTIONS_LEAST: u64 = 100;

/// Raises the limit of open files as far as this process may, and fits the bounds on connections into it.
///
/// # Errors
/// When too few are left: what is in the way and how to change it, on one line.
pub(super) fn fit(config: &mut Config) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused, what counts is the limit that is left.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let (kafka, http) = (&mut config.limits.connections, &mut config.http.connections);
    let (asked_kafka, asked_http) = (*kafka, *http);
    (*kafka, *http) = shares(getrlimit(Resource::Nofile).current, asked_kafka, asked_http)?;
    if (*kafka, *http) != (asked_kafka, asked_http) {
        warn!(
            "open files are limited (ulimit -Hn): at most {kafka} connections of Kafka's protocol instead of {asked_kafka} (limits.connections), \
             and {http} of HTTP instead of {asked_http} (http.connections)"
        );
    }
    Ok(())
}

/// How many connections of Kafka's protocol and of HTTP fit into so many open files (`None`: no limit).
fn shares(open_files: Option<u64>, kafka: usize, http: usize) -> Result<(usize, usize), String> {
    let Some(open_files) = open_files else { return Ok((kafka, http)) };
    let room = open_files.saturating_sub(RESERVED);
    if room < CONNECTIONS_LEAST {
        let needed = RESERVED + CONNECTIONS_LEAST;
        return Err(format!(
            "open files are limited to {open_files} and at least {needed} are needed; raise the limit (ulimit -Hn, LimitNOFILE=)"
        ));
    }
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if kafka.saturating_add(http) <= room {
        return Ok((kafka, http));
    }
    let http = http.min(room / 4);
    Ok((kafka.min(room - http), http))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_the_store() {
        assert_eq!(shares(None, 10_000, 1_000), Ok((10_000, 1_000)));
        assert_eq!(shares(Some(1 << 20), 10_000, 1_000), Ok((10_000, 1_000)));
        assert_eq!(shares(Some(1_000), 10_000, 1_000), Ok((300, 100)));
        assert_eq!(shares(Some(4_096), 10_000, 10), Ok((3_486, 10)));
        assert!(shares(Some(699), 1, 1).is_err_and(|line| line.contains("699") && !line.contains('\n')));
    }
}
