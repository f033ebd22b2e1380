//! The signals that end the server: SIGTERM, SIGINT, and SIGHUP as for any JVM, so Kafka too, unless who started it has that ignored (`nohup`).

use anyhow::Context;
use std::future::poll_fn;
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a process says of itself, with a line `SigIgn:` for the signals that it ignores.
const STATUS: &str = "/proc/self/status";

/// Which signals end it. To be made before any is listened to: who listens to one does not ignore it any more.
pub(super) struct Ending {
    kinds: Vec<SignalKind>,
}

impl Ending {
    pub fn of_this_process() -> Ending {
        let mut kinds = vec![SignalKind::terminate(), SignalKind::interrupt()];
        // Where the system does not say what is ignored, a hang-up goes on to end the process at once.
        if std::fs::read_to_string(STATUS).is_ok_and(|status| ignores(&status, SignalKind::hangup()) == Some(false)) {
            kinds.push(SignalKind::hangup());
        }
        Ending { kinds }
    }

    /// Those that come from now on.
    pub fn listen(&self) -> anyhow::Result<Signals> {
        let listening = self.kinds.iter().map(|kind| signal(*kind).context("signals cannot be received"));
        Ok(Signals { listening: listening.collect::<Result<_, _>>()? })
    }
}

/// Whether a process with this `/proc/PID/status` ignores the signal; `None` when that is not said.
fn ignores(status: &str, kind: SignalKind) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    // The lowest bit is signal 1.
    let bit = kind.as_raw_value().checked_sub(1)?;
    Some(mask >> bit & 1 == 1)
}

/// All of them, counted together.
pub(super) struct Signals {
    listening: Vec<Signal>,
}

impl Signals {
    /// Waits until `count` of them have come since [`Ending::listen`].
    pub async fn wait(mut self, count: usize) {
        for _ in 0..count {
            poll_fn(|context| {
                let came = self.listening.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
                if came { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_the_mask() {
        let status = |mask: &str| format!("Name:\tfbf\nSigBlk:\t0000000000000000\nSigIgn:\t{mask}\nSigCgt:\t00000000ffffffff\n");
        assert_eq!(ignores(&status("0000000000001001"), SignalKind::hangup()), Some(true));
        assert_eq!(ignores(&status("0000000000001000"), SignalKind::hangup()), Some(false));
        assert_eq!(ignores(&status("0000000000004000"), SignalKind::terminate()), Some(true));
        assert_eq!(ignores(&status("xyz"), SignalKind::hangup()), None);
        assert_eq!(ignores("Name:\tfbf\n", SignalKind::hangup()), None);
    }
}
