//! How many more requests may be in flight: one thread takes a slot before it sends, another gives it back with the answer. The lock protects
//! the number of free slots, which is nothing once no more answers come.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub struct Slots {
    free: Mutex<Option<usize>>,
    changed: Condvar,
}

impl Slots {
    pub fn new(count: usize) -> Slots {
        Slots { free: Mutex::new(Some(count)), changed: Condvar::new() }
    }

    /// Waits for a slot; answers false when there will be none.
    pub fn take(&self) -> bool {
        let mut free = self.lock();
        loop {
            let count = *free;
            match count {
                None => return false,
                Some(0) => free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner),
                Some(count) => {
                    *free = Some(count - 1);
                    return true;
                }
            }
        }
    }

    pub fn give(&self) {
        let mut free = self.lock();
        *free = free.map(|count| count + 1);
        self.changed.notify_one();
    }

    /// No more answers come: whoever waits need not.
    pub fn close(&self) {
        *self.lock() = None;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Option<usize>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_waited_for_and_closed_ones_are_not() {
        let slots = Slots::new(1);
        assert!(slots.take());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| slots.take());
            slots.give();
            assert!(waiting.join().unwrap());
            let waiting = scope.spawn(|| slots.take());
            slots.close();
            assert!(!waiting.join().unwrap());
        });
        slots.give();
        assert!(!slots.take());
    }
}
