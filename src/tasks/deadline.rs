//! A deadline around what stage one of a request waits for. Meanwhile its connection is not read, so nobody notices when the client is gone.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use tokio::time::{Instant, timeout_at};

/// What `work` answers; `None` when it still waits at the `deadline`: it is to be dropped then, which must be safe.
///
/// Work that need not wait is done whatever the time, and costs no timer. It is pinned by the caller, so that it is neither moved nor held twice.
pub async fn within<F: Future + ?Sized>(deadline: Instant, mut work: Pin<&mut F>) -> Option<F::Output> {
    if let Poll::Ready(done) = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
        return Some(done);
    }
    // In a box, so that whoever need not wait carries nothing of the timer.
    Box::pin(timeout_at(deadline, work)).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    #[tokio::test]
    async fn what_need_not_wait_is_done_and_what_waits_ends_at_the_deadline() {
        let past = Instant::now();
        assert_eq!(within(past, pin!(async { 7 })).await, Some(7));
        assert_eq!(within(past, pin!(std::future::pending::<()>())).await, None);
    }
}
