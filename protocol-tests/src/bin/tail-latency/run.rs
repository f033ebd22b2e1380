//! What all threads of a run share: when it began, where, how much has arrived, and whether it is over.

use crate::options::Options;
use protocol_tests::topics::Topic;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(50);

pub struct Run<'a> {
    pub options: &'a Options,
    pub topic: &'a Topic,
    pub address: SocketAddr,
    pub start: Instant,
    /// Records that have arrived, each counted once.
    pub received: AtomicU64,
    is_over: AtomicBool,
}

impl<'a> Run<'a> {
    pub fn new(options: &'a Options, topic: &'a Topic, address: SocketAddr, start: Instant) -> Run<'a> {
        Run { options, topic, address, start, received: AtomicU64::new(0), is_over: AtomicBool::new(false) }
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Everything has arrived, or something has failed.
    pub fn finish(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Time since the start; nothing before.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Waits for a moment of the run, or its early end.
    pub fn wait_until(&self, moment: Duration) {
        while !self.is_over() && Instant::now() < self.start + moment {
            std::thread::sleep(STEP.min((self.start + moment).saturating_duration_since(Instant::now())));
        }
    }

    /// Waits until so many records have arrived, at most until `moment`.
    pub fn wait_received(&self, count: u64, moment: Duration) {
        while !self.is_over() && self.received.load(Ordering::Relaxed) < count && self.elapsed() < moment {
            std::thread::sleep(STEP);
        }
    }
}

/// Sleeps until `moment`, or not at all when it is past.
pub fn sleep_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}
