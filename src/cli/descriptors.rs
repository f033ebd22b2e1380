//! Open files: each connection is one, and so are the journal's segments and RocksDB's tables, without which the store cannot go on. So that clients
//! do not take what the store needs, connections are bounded by what the system lets this process open.

use crate::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// For the store, listeners and their like.
const RESERVED: u64 = 600;
/// Of a webhook's delivery: its connection, and one that the one before left open.
const FILES_PER_DELIVERY: usize = 2;
/// Connections that must have room; with less, nobody could work.
const CONNECTIONS_LEAST: u64 = 100;

/// What takes files, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Takers {
    /// Connections of Kafka's protocol.
    kafka: usize,
    /// Connections of HTTP.
    http: usize,
    /// Webhooks' deliveries under way.
    deliveries: usize,
}

/// Raises the limit of open files as far as this process may, and fits the bounds on connections and deliveries into it.
///
/// # Errors
/// When too few are left: what is in the way and how to change it, on one line.
pub(super) fn fit(config: &mut Config) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused, what counts is the limit that is left.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let asked = Takers { kafka: config.limits.connections, http: config.http.connections, deliveries: config.hooks.concurrency };
    let fitted = shares(getrlimit(Resource::Nofile).current, asked)?;
    if fitted != asked {
        warn!(
            "open files are limited (ulimit -Hn): at most {} connections of Kafka's protocol instead of {} (limits.connections), {} of HTTP \
             instead of {} (http.connections), and {} deliveries of webhooks at once instead of {} (hooks.concurrency)",
            fitted.kafka, asked.kafka, fitted.http, asked.http, fitted.deliveries, asked.deliveries
        );
    }
    let Takers { kafka, http, deliveries } = fitted;
    (config.limits.connections, config.http.connections, config.hooks.concurrency) = (kafka, http, deliveries);
    Ok(())
}

/// How much of what is asked for fits into so many open files (`None`: no limit).
fn shares(open_files: Option<u64>, asked: Takers) -> Result<Takers, String> {
    let Some(open_files) = open_files else { return Ok(asked) };
    let room = open_files.saturating_sub(RESERVED);
    if room < CONNECTIONS_LEAST {
        let needed = RESERVED + CONNECTIONS_LEAST;
        return Err(format!(
            "open files are limited to {open_files} and at least {needed} are needed; raise the limit (ulimit -Hn, LimitNOFILE=)"
        ));
    }
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let of_deliveries = asked.deliveries.saturating_mul(FILES_PER_DELIVERY);
    if asked.kafka.saturating_add(asked.http).saturating_add(of_deliveries) <= room {
        return Ok(asked);
    }
    let deliveries = asked.deliveries.min(room / 4 / FILES_PER_DELIVERY);
    let http = asked.http.min(room / 4);
    let kafka = asked.kafka.min(room - http - deliveries * FILES_PER_DELIVERY);
    Ok(Takers { kafka, http, deliveries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_deliveries_leave_room_for_the_store() {
        let takers = |kafka, http, deliveries| Takers { kafka, http, deliveries };
        let asked = takers(10_000, 1_000, 256);
        assert_eq!(shares(None, asked), Ok(asked));
        assert_eq!(shares(Some(1 << 20), asked), Ok(asked));
        assert_eq!(shares(Some(1_000), asked), Ok(takers(200, 100, 50)));
        assert_eq!(shares(Some(4_096), takers(10_000, 10, 256)), Ok(takers(2_974, 10, 256)));
        assert!(shares(Some(699), takers(1, 1, 1)).is_err_and(|line| line.contains("699") && !line.contains('\n')));
    }
}
