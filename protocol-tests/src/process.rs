//! A process on this machine, as /proc tells of it: the broker that is measured, whoever started it.

use std::time::Duration;

/// See the file's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    id: u32,
}

impl Process {
    #[must_use]
    pub fn of(id: u32) -> Process {
        Process { id }
    }

    /// Whether there is such a process.
    #[must_use]
    pub fn is_there(self) -> bool {
        std::path::Path::new(&format!("/proc/{}/stat", self.id)).exists()
    }

    /// Processor time that it has used, user and system, of all its threads.
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn cpu(self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id)).expect("the server lives");
        // utime and stime, the 14th and 15th field; the second one, the command, may hold anything but ends with the last parenthesis.
        let fields = stat.rsplit_once(')').expect("a command in parentheses").1.split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number of ticks")).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// The memory that it holds now, in bytes (VmRSS).
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn memory_bytes(self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most memory that it has ever held, in bytes (VmHWM).
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn peak_memory_bytes(self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id)).expect("the server lives");
        let line = status.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in /proc/{}/status; a zombie has none", self.id));
        let kilobytes: u64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number of kB");
        kilobytes * 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_is_there() {
        let own = Process::of(std::process::id());
        assert!(own.is_there());
        assert!(own.memory_bytes() > 0 && own.peak_memory_bytes() > 0);
        let _ = own.cpu();
    }
}
