//! Tracing: events as text or JSON lines on standard error, and panics among them. Owner of the levels, which may change while
//! the process runs; they are not kept. What is counted is in `metrics.rs`.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use tracing_subscriber::EnvFilter;

mod levels;
pub mod metrics;

use levels::Levels;
pub use levels::ROOT;

/// Overrides the configured level where it is set and not empty.
pub const FILTER_VARIABLE: &str = "FBF_LOG";

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Puts another filter in the place of the one that counts.
type Reload = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// What [`init`] started.
struct Running {
    levels: Mutex<Levels>,
    reload: Reload,
}

static RUNNING: OnceLock<Running> = OnceLock::new();

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people: a line each, in colours on a terminal.
    Text,
    /// For machines: an object per line.
    Json,
}

/// Whether `filter` is a level, or a list of `module=level` with commas between.
///
/// # Errors
/// What would be valid.
pub fn check_filter(filter: &str) -> Result<(), String> {
    let is_level = |text: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text));
    let is_directive = |text: &str| is_level(text.rsplit_once('=').map_or(text, |(_, level)| level));
    let reads = filter.split(',').all(is_directive) && EnvFilter::try_new(filter).is_ok();
    reads.then_some(()).ok_or_else(|| format!("one of {}, or module=level pairs with commas between", LEVELS.join(", ")))
}

/// `FBF_LOG`, where it is set.
///
/// # Errors
/// When it holds no filter.
pub fn variable() -> Result<Option<String>, String> {
    let variable = std::env::var(FILTER_VARIABLE).ok().filter(|value| !value.is_empty());
    if let Some(value) = &variable {
        check_filter(value).map_err(|valid| format!("{FILTER_VARIABLE} = {value:?} is not valid: expected {valid}"))?;
    }
    Ok(variable)
}

/// Starts writing events, and sends panics there too. Once per process.
///
/// `filter`: see [`check_filter`]; the environment's `FBF_LOG` wins over it.
///
/// # Errors
/// When `FBF_LOG` holds no filter, or something else writes events already.
pub fn init(filter: &str, format: Format) -> Result<(), String> {
    let variable = variable()?;
    let given = variable.as_deref().unwrap_or(filter);
    let filter = EnvFilter::try_new(given).map_err(|error| error.to_string())?;
    // Nobody may read the log any more, or its disk be full: no reason not to serve. The errors' own messages would go to the same place, and panic.
    let writer = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    let reload: Reload = match format {
        Format::Text => {
            let writer = writer.with_ansi(std::io::stderr().is_terminal()).with_filter_reloading();
            let handle = writer.reload_handle();
            writer.try_init().map_err(|error| error.to_string())?;
            Box::new(move |filter: EnvFilter| handle.reload(filter).map_err(|error| error.to_string()))
        }
        Format::Json => {
            let writer = writer.json().flatten_event(true).with_current_span(false).with_span_list(false);
            let writer = writer.with_filter_reloading();
            let handle = writer.reload_handle();
            writer.try_init().map_err(|error| error.to_string())?;
            Box::new(move |filter: EnvFilter| handle.reload(filter).map_err(|error| error.to_string()))
        }
    };
    // It is set once, because a second subscriber was refused above.
    let _ = RUNNING.set(Running { levels: Mutex::new(Levels::of_filter(given)), reload });
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

impl Running {
    fn levels(&self) -> MutexGuard<'_, Levels> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every logger and its level in capitals, by name; `None` before [`init`].
#[must_use]
pub fn levels() -> Option<Vec<(String, String)>> {
    Some(RUNNING.get()?.levels().all())
}

/// Whether there is a logger `name`: `root`, this crate, one of its modules, or one that the filter names.
#[must_use]
pub fn has_logger(name: &str) -> bool {
    RUNNING.get().is_some_and(|running| running.levels().has(name))
}

/// Changes levels, all or none: each logger gets the level, one of Kafka's, or with `None` that of the logger above it.
///
/// # Errors
/// Why it could not be done; before [`init`] it cannot.
pub fn change_levels(changes: &[(String, Option<String>)]) -> Result<(), String> {
    let running = RUNNING.get().ok_or("this process does not write its events itself")?;
    let mut levels = running.levels();
    let mut next = levels.clone();
    for (logger, level) in changes {
        next.change(logger, level.as_deref());
    }
    let filter = EnvFilter::try_new(next.filter()).map_err(|error| error.to_string())?;
    (running.reload)(filter)?;
    *levels = next;
    Ok(())
}

/// A panic as one error event. The backtrace is there when `RUST_BACKTRACE` asks for it.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("a panic without a message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let current = std::thread::current();
    let thread = current.name().unwrap_or("unnamed");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(place, thread, %backtrace, "a bug: panic: {message}");
    } else {
        tracing::error!(place, thread, "a bug: panic: {message}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_or_pairs_and_typos_are_refused() {
        for wrong in ["", "inof", "info,", "fourbyfour_stream=loud", "debug warn"] {
            assert!(check_filter(wrong).is_err(), "{wrong:?}");
        }
        for right in ["info", "WARN", "off", "warn,fourbyfour_stream::log=trace", "fourbyfour_stream=debug,tokio=error"] {
            assert_eq!(check_filter(right), Ok(()), "{right:?}");
        }
    }
}
