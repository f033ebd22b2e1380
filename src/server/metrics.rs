//! What a listener counts: handles that were looked up once, so that a request costs some atomic additions and two looks at the clock.

use crate::api::TABLE;
use crate::telemetry::metrics::{Counter, Histogram, Metrics};
use std::sync::Arc;
use std::time::Instant;

/// See the file's header.
pub(super) struct Meters {
    metrics: Arc<Metrics>,
    /// By API key; `None` where we have none.
    apis: Vec<Option<Api>>,
}

struct Api {
    requests: Counter,
    duration: Histogram,
}

/// A request whose answer is still to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub api_key: i16,
    pub begun: Instant,
}

/// Why no handler saw a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Api,
    Version,
    TooLarge,
    Malformed,
}

impl Meters {
    pub fn new(metrics: Arc<Metrics>) -> Meters {
        let last = TABLE.iter().filter_map(|row| usize::try_from(row.key).ok()).max().unwrap_or(0);
        let mut apis: Vec<Option<Api>> = (0..=last).map(|_| None).collect();
        for row in TABLE {
            let place = usize::try_from(row.key).ok().and_then(|key| apis.get_mut(key));
            if let Some(place) = place {
                let (requests, duration) = (metrics.kafka_requests.of([row.name]), metrics.kafka_request_duration.of([row.name]));
                *place = Some(Api { requests, duration });
            }
        }
        Meters { metrics, apis }
    }

    fn api(&self, key: i16) -> Option<&Api> {
        self.apis.get(usize::try_from(key).ok()?)?.as_ref()
    }

    /// A frame of `bytes` has come in.
    pub fn received(&self, asked: Asked, bytes: usize) {
        self.metrics.kafka_received.inc_by(bytes as u64);
        if let Some(api) = self.api(asked.api_key) {
            api.requests.inc();
        }
    }

    pub fn refused(&self, why: Refused) {
        let reason = match why {
            Refused::Api => "unsupported_api",
            Refused::Version => "unsupported_version",
            Refused::TooLarge => "too_large",
            Refused::Malformed => "malformed",
        };
        self.metrics.kafka_refused_requests.of([reason]).inc();
    }

    /// An answer of `bytes` is ready to leave.
    pub fn answered(&self, asked: Asked, bytes: usize) {
        self.metrics.kafka_sent.inc_by(bytes as u64);
        if let Some(api) = self.api(asked.api_key) {
            api.duration.observe(asked.begun.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;

    #[test]
    fn every_api_has_its_own_and_unknown_keys_none() {
        let metrics = Arc::new(Metrics::default());
        let meters = Meters::new(metrics.clone());
        let begun = Env::system().instant();
        for api_key in TABLE.iter().map(|row| row.key).chain([-1, i16::MAX]) {
            let asked = Asked { api_key, begun };
            meters.received(asked, 10);
            meters.answered(asked, 20);
        }
        for row in TABLE {
            assert_eq!(metrics.kafka_requests.of([row.name]).get(), 1, "{}", row.name);
        }
        let frames = TABLE.len() as u64 + 2;
        assert_eq!((metrics.kafka_received.get(), metrics.kafka_sent.get()), (frames * 10, frames * 20));
    }
}
