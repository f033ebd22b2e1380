//! Named background tasks and threads: the only file that spawns. A panic in any of them stops the process with exit code 70,
//! because a broker that has silently lost its committer or a coordinator shard must not go on serving.

#![expect(clippy::disallowed_methods, reason = "this is the file that may spawn")]

use rustix::process::{Signal, getpid, kill_process};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::JoinHandle as ThreadHandle;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

pub mod deadline;

/// What libraries may take to end.
const END_MAX: Duration = Duration::from_secs(5);

/// Stops the process: `what` must say what failed and what the operator can do.
pub fn fatal(what: &str) -> ! {
    tracing::error!("{what}; stopping, because nothing after this could be trusted");
    end(70)
}

/// Ends the process with `status`, or, where that takes longer than five seconds, as one that was killed.
///
/// The C library lets all libraries end first, and RocksDB waits for its background threads then (`PosixEnv::JoinThreadsOnExit`). One whose device
/// fails may not come back: the process would keep its port and the lock of its directory, and its other threads would go on serving. Nothing
/// is lost by a kill: whoever calls this has closed the store, or leaves it as a crash does.
pub fn end(status: i32) -> ! {
    // Where the system refuses this thread, the end is as sure as without it.
    let _ = std::thread::Builder::new().name("fbf-end".to_owned()).spawn(kill_if_still_here);
    std::process::exit(status)
}

fn kill_if_still_here() {
    std::thread::sleep(END_MAX);
    let _ = kill_process(getpid(), Signal::KILL);
    // Only process 1 of a container comes here, whom no signal of its own kills: an abort ends with a fault, and that does.
    std::process::abort();
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
/// When the system refuses a thread: at the start, and where a store is dropped unclosed, there is nothing better to do.
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
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};
    use std::sync::Arc;
    use tokio::sync::{Mutex, oneshot};

    /// Stands for what a library does at the end: destructors of the thread that ends the process are run there, too (glibc's `exit`).
    struct Stuck;

    impl Drop for Stuck {
        fn drop(&mut self) {
            // Much longer than it takes to be killed, and not for ever.
            std::thread::sleep(30 * END_MAX);
        }
    }

    thread_local! {
        static STUCK: Stuck = const { Stuck };
    }

    /// In a process of its own, which is this test again.
    #[test]
    fn process_ends_also_when_a_destructor_does_not_return() {
        const IS_CHILD: &str = "FBF_TEST_END";
        if std::env::var_os(IS_CHILD).is_some() {
            STUCK.with(|_| ());
            end(0);
        }
        let ended = Command::new(std::env::current_exe().expect("a test runs from a file"))
            .args(["--exact", "tasks::tests::process_ends_also_when_a_destructor_does_not_return"])
            .env(IS_CHILD, "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("it runs");
        assert_eq!(ended.signal(), Some(Signal::KILL.as_raw()), "{ended}");
    }

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
