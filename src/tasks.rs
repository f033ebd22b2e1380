//! Named background tasks and threads: the only file that spawns. A panic in any of them stops the process with exit code 70,
//! because a broker that has silently lost its committer or a coordinator shard must not go on serving.

#![expect(clippy::disallowed_methods, reason = "this is the file that may spawn")]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::JoinHandle as ThreadHandle;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

pub mod deadline;

/// Stops the process: `what` must say what failed and what the operator can do.
pub fn fatal(what: &str) -> ! {
    tracing::error!("{what}; stopping, because nothing after this could be trusted");
    std::process::exit(70)
}

/// Runs `work` on the runtime under `name`; a panic is fatal.
pub fn spawn<T: Send + 'static>(name: &'static str, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(guarded(name, work))
}

/// Runs `work` on another runtime, where all that it spawns and listens to stays, and waits for it. A panic in it is fatal.
pub async fn on<T: Send + 'static>(runtime: &Handle, name: &'static str, work: impl Future<Output = T> + Send + 'static) -> T {
    finished(runtime.spawn(guarded(name, work))).await
}

/// Runs `work` to its end in a task of its own, and waits for it: dropping the caller's future (its connection went away) does not
/// stop it half way. A panic in it is fatal.
pub async fn to_the_end<T: Send + 'static>(name: &'static str, work: impl Future<Output = T> + Send + 'static) -> T {
    finished(spawn(name, work)).await
}

async fn finished<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(value) => value,
        // The runtime is being torn down: nobody waits for this value any more.
        Err(_) => std::future::pending().await,
    }
}

/// Runs `work` in a task of its own that ends with what this returns: dropping it stops the work at its next wait. A panic in it is fatal.
///
/// For whoever waits for several things, and does something else between: work that only its owner polls would keep the locks and permits it
/// holds for as long as the owner is busy, and nobody could take them from it.
pub fn owned<T: Send + 'static>(name: &'static str, work: impl Future<Output = T> + Send + 'static) -> Owned<T> {
    Owned(spawn(name, work))
}

/// See [`owned`].
#[derive(Debug)]
pub struct Owned<T>(JoinHandle<T>);

impl<T> Future for Owned<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match Pin::new(&mut self.0).poll(context) {
            Poll::Ready(Ok(value)) => Poll::Ready(value),
            // The runtime is being torn down: nobody waits for this value any more.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs one connection's task: its panic ends the connection, not the process, since its input comes from a peer. The panic
/// is logged by the hook that [`crate::telemetry`] installs.
pub fn spawn_connection<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work)
}

/// Runs blocking `work` (a file read, a RocksDB seek) on the runtime's bounded blocking pool.
pub async fn blocking<T: Send + 'static>(name: &'static str, work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => {
            if error.is_panic() {
                fatal(&format!("blocking work {name} died: {error}"));
            }
            // Only reached in tests, or while the runtime is being torn down: nobody waits for this value any more.
            std::future::pending().await
        }
    }
}

/// Starts an operating-system thread under `name`; a panic is fatal.
///
/// # Panics
/// When the system refuses a thread: at start-up there is nothing better to do.
pub fn thread(name: &'static str, work: impl FnOnce() + Send + 'static) -> ThreadHandle<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let guard = DiedGuard { name };
            work();
            std::mem::forget(guard);
        })
        .expect("the system starts a thread")
}

async fn guarded<T>(name: &'static str, work: impl Future<Output = T>) -> T {
    let guard = DiedGuard { name };
    let value = work.await;
    std::mem::forget(guard);
    value
}

/// Dropped only by a panic (or by the runtime's own shutdown, which is not one).
struct DiedGuard {
    name: &'static str,
}

impl Drop for DiedGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            fatal(&format!("task {} died of a bug", self.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::{Mutex, oneshot};

    #[tokio::test]
    async fn owned_work_goes_on_while_its_owner_is_busy_and_ends_with_it() {
        let lock = Arc::new(Mutex::new(()));
        let (begun, begins) = oneshot::channel();
        let held = lock.clone();
        let work = owned("test", async move {
            let _guard = held.lock().await;
            let _ = begun.send(());
            std::future::pending::<()>().await;
        });
        begins.await.expect("it runs though nobody polls it");
        assert!(lock.try_lock().is_err(), "it holds the lock");
        drop(work);
        let _guard = lock.lock().await;
        assert_eq!(owned("test", async { 7 }).await, 7);
    }
}
