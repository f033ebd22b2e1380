//! Fetches that sleep until a partition has more to read.
//!
//! Owner: each partition has one [`Waiters`]; a long poll registers one [`Waiter`] with all partitions that it reads. A waiter costs
//! one pointer per partition, and leaves when its guard drops, so the list is bounded by the fetches in flight.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// One sleeping fetch.
#[derive(Debug, Default)]
pub struct Waiter {
    changed: Notify,
}

impl Waiter {
    /// Returns once any partition has advanced since the last return. Cancel-safe.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Wakes it. When it is not asleep yet, it keeps the wake-up (`Notify` stores one permit), so nothing is missed between looking and
    /// going to sleep.
    pub fn wake(&self) {
        self.changed.notify_one();
    }
}

/// The sleeping fetches of one partition.
#[derive(Debug, Default)]
pub struct Waiters {
    sleeping: Mutex<Vec<Arc<Waiter>>>,
}

impl Waiters {
    /// Adds `waiter`, until [`Waiters::remove`].
    pub fn add(&self, waiter: Arc<Waiter>) {
        self.sleeping.lock().unwrap_or_else(PoisonError::into_inner).push(waiter);
    }

    /// Removes `waiter`; harmless when it is not there.
    pub fn remove(&self, waiter: &Arc<Waiter>) {
        let mut sleeping = self.sleeping.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(position) = sleeping.iter().position(|each| Arc::ptr_eq(each, waiter)) {
            sleeping.swap_remove(position);
        }
    }

    /// Wakes everyone.
    pub fn wake(&self) {
        for waiter in self.sleeping.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            waiter.wake();
        }
    }
}
