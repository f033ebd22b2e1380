//! The server under test, as a process: started on a free port and its own directory, stopped, killed, started again.

use crate::client::Client;
use crate::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a start or a stop may take before the test fails. Generous: the tests share their processors.
const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(3);

/// What every test server gets, unless the test sets something else: small journal segments (dozens of servers run side by
/// side on one disk), groups that form without the initial delay and may have short sessions, and no HTTP (its default ports are one for all).
const SETTINGS: [(&str, &str); 5] = [
    ("storage.segment_bytes", "67108864"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "100"),
    ("http.listen", ""),
    ("schema.listen", ""),
];

/// How to start a server.
#[derive(Debug, Clone)]
pub struct Launch {
    arguments: Vec<OsString>,
    port: u16,
    data: Option<PathBuf>,
    ephemeral: bool,
    log: Option<PathBuf>,
    disk_bytes: Option<u64>,
    hears_hangup: Option<bool>,
    start_limit: Duration,
}

/// Runs the words behind `SIZE FOLDER` with a disk of that size in the folder, which nobody else sees and which goes with the process.
const WITH_OWN_DISK: &str = "mount -t tmpfs -o size=$1 none \"$2\" && shift 2 && exec \"$@\"";

/// How a server's process ended.
#[derive(Debug)]
pub struct Exit {
    pub status: ExitStatus,
    pub took: Duration,
    pub stderr: String,
}

impl Exit {
    /// The lines of standard error that are no log events: what an operator sees as *the* error. Log events start with a time.
    #[must_use]
    pub fn error_lines(&self) -> Vec<&str> {
        // "2026-…", perhaps behind the escape sequence that dims it.
        let is_event = |line: &str| line.trim_start_matches("\u{1b}[2m").starts_with("20");
        self.stderr.lines().filter(|line| !line.trim().is_empty() && !is_event(line)).collect()
    }
}

impl Default for Launch {
    fn default() -> Launch {
        Launch::new()
    }
}

impl Launch {
    /// The defaults: a free port, a new directory.
    #[must_use]
    pub fn new() -> Launch {
        let launch = Launch {
            arguments: Vec::new(),
            port: 0,
            data: None,
            ephemeral: false,
            log: None,
            disk_bytes: None,
            hears_hangup: None,
            start_limit: START_LIMIT,
        };
        SETTINGS.iter().fold(launch, |launch, (key, value)| launch.set(key, value))
    }

    /// Adds `--set key=value`; a later one wins.
    #[must_use]
    pub fn set(self, key: &str, value: &str) -> Launch {
        self.argument("--set").argument(format!("{key}={value}"))
    }

    /// Adds one argument as it is.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Launch {
        self.arguments.push(argument.into());
        self
    }

    /// Listens on this port instead of a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Launch {
        self.port = port;
        self
    }

    /// Uses this directory, and leaves it behind.
    #[must_use]
    pub fn data(mut self, data: &Path) -> Launch {
        self.data = Some(data.to_owned());
        self
    }

    /// Keeps nothing: `--ephemeral`, and no `--data`.
    #[must_use]
    pub fn ephemeral(mut self) -> Launch {
        self.ephemeral = true;
        self
    }

    /// Writes standard error here, where nobody reads it.
    #[must_use]
    pub fn log_to(mut self, path: &Path) -> Launch {
        self.log = Some(path.to_owned());
        self
    }

    /// Has a disk of its own of so many bytes, gone when the process ends. `None` where this machine lets nobody make one.
    #[must_use]
    pub fn on_disk_of(mut self, bytes: u64) -> Option<Launch> {
        let mut trial = own_disk(bytes, Path::new("/mnt"));
        let is_possible = trial.arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        self.disk_bytes = Some(bytes);
        is_possible.then_some(self)
    }

    /// Starts with SIGHUP as it is for a process of a terminal, or ignored, as under `nohup`; without this as these tests have it.
    #[must_use]
    pub fn hears_hangup(mut self, hears: bool) -> Launch {
        self.hears_hangup = Some(hears);
        self
    }

    /// Waits this long for it to listen, after each start: much data takes its time.
    #[must_use]
    pub fn start_within(mut self, limit: Duration) -> Launch {
        self.start_limit = limit;
        self
    }

    /// Starts the server and waits until it listens.
    ///
    /// # Panics
    /// When it does not, with what it said.
    #[must_use]
    pub fn start(self) -> Server {
        let home = TempDir::new().expect("a temporary directory");
        let mut server =
            Server { child: None, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), launch: self, home, starts: 0 };
        server.spawn();
        server.wait_listening();
        server
    }

    /// Starts a server that must refuse to run, and waits for its end.
    ///
    /// # Panics
    /// When it goes on running.
    #[must_use]
    pub fn refused(self) -> Exit {
        let home = TempDir::new().expect("a temporary directory");
        let mut server =
            Server { child: None, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), launch: self, home, starts: 0 };
        server.spawn();
        server.wait_exit(START_LIMIT)
    }
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    address: SocketAddr,
    launch: Launch,
    /// Holds the output files and, unless the test named another place, the data directory.
    home: TempDir,
    starts: u32,
}

impl Server {
    /// A server with the default settings of these tests.
    #[must_use]
    pub fn start() -> Server {
        Launch::new().start()
    }

    /// One server for all tests that keep nothing in it but topics and groups with names of their own. It ends with its
    /// last user.
    #[must_use]
    pub fn shared() -> Arc<Server> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Server::start());
        *shared = Arc::downgrade(&server);
        server
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection.
    #[must_use]
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.launch.data.clone().unwrap_or_else(|| self.home.path().join("data"))
    }

    /// How it was started.
    #[must_use]
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// Kills it without warning (SIGKILL): everything that was not on disk is lost.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself, which the next start would show.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops its time for so long (SIGSTOP, then SIGCONT), as a busy hypervisor does; wait for the thread before it is killed.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pause_for(&self, pause: Duration) -> std::thread::JoinHandle<()> {
        let process = Pid::from_child(self.child.as_ref().expect("a running server"));
        kill_process(process, Signal::STOP).expect("SIGSTOP reaches the server");
        std::thread::spawn(move || {
            std::thread::sleep(pause);
            kill_process(process, Signal::CONT).expect("SIGCONT reaches the server");
        })
    }

    /// Asks it to stop (SIGTERM) and waits.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn terminate(&mut self) -> Exit {
        let child = self.child.as_ref().expect("a running server");
        kill_process(Pid::from_child(child), Signal::TERM).expect("SIGTERM reaches the server");
        self.wait_exit(STOP_LIMIT)
    }

    /// Tells it that its terminal is gone (SIGHUP).
    ///
    /// # Panics
    /// When it does not run.
    pub fn hang_up(&self) {
        let child = self.child.as_ref().expect("a running server");
        kill_process(Pid::from_child(child), Signal::HUP).expect("SIGHUP reaches the server");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it goes on running.
    pub fn ended(&mut self) -> Exit {
        self.wait_exit(STOP_LIMIT)
    }

    /// Starts it again on the same directory, on a free port (after [`Server::kill9`] or [`Server::terminate`]).
    ///
    /// # Panics
    /// When it does not come up, or still runs.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "stop the server before it is started again");
        self.spawn();
        self.wait_listening();
    }

    /// [`Server::restart`] on the port that it had before.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart_on_same_port(&mut self) {
        let port = self.launch.port;
        self.launch.port = self.address.port();
        self.restart();
        self.launch.port = port;
    }

    /// Starts it and kills it `after` that, listening or not: recovery must bear to be interrupted.
    ///
    /// # Panics
    /// When it still runs, or cannot be started.
    pub fn start_and_kill9(&mut self, after: Duration) {
        assert!(self.child.is_none(), "stop the server before it is started again");
        self.spawn();
        std::thread::sleep(after);
        self.kill9();
    }

    /// Whether the process runs.
    ///
    /// # Panics
    /// When the system does not tell.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("the system knows its children").is_none())
    }

    /// Its process, until the next stop.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn process(&self) -> Process {
        Process::of(self.child.as_ref().expect("a running server").id())
    }

    /// Processor time that the process has used, user and system, of all its threads.
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        self.process().cpu()
    }

    /// The most memory that the process has ever held, in bytes (VmHWM).
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn peak_memory_bytes(&self) -> u64 {
        self.process().peak_memory_bytes()
    }

    /// What it has written to standard output since its last start.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(&self.output("out"))
    }

    /// Where it serves what its banner calls `name` (`http`, `schemas`), by its last line of that name.
    ///
    /// # Panics
    /// When the banner has no such line, or one without an address.
    #[must_use]
    pub fn banner_address(&self, name: &str) -> SocketAddr {
        let banner = self.stdout();
        let url = banner.lines().rev().find_map(|line| line.trim().strip_prefix(name)?.trim().strip_prefix("http://"));
        url.unwrap_or_else(|| panic!("the banner has no address of {name}: {banner}")).parse().expect("an address")
    }

    /// What it has written to standard error since its last start.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.output("err"))
    }

    fn output(&self, stream: &str) -> PathBuf {
        self.home.path().join(format!("{stream}.{}", self.starts))
    }

    fn spawn(&mut self) {
        self.starts += 1;
        // What runs the binary, if anything, and then becomes it.
        let mut words: Vec<OsString> = Vec::new();
        if let Some(hears_hangup) = self.launch.hears_hangup {
            words.extend(["env", if hears_hangup { "--default-signal=HUP" } else { "--ignore-signal=HUP" }].map(OsString::from));
        }
        if let Some(bytes) = self.launch.disk_bytes {
            std::fs::create_dir_all(self.data()).expect("a directory");
            let disk = own_disk(bytes, &self.data());
            words.extend([disk.get_program()].into_iter().chain(disk.get_args()).map(OsString::from));
        }
        words.push(binary().into_os_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command.arg("serve").arg("--listen").arg(format!("127.0.0.1:{}", self.launch.port));
        if self.launch.ephemeral {
            command.arg("--ephemeral");
        } else {
            command.arg("--data").arg(self.data());
        }
        command.args(&self.launch.arguments).stdin(Stdio::null()).current_dir(self.home.path());
        command.stdout(File::create(self.output("out")).expect("a file for standard output"));
        let kept = File::create(self.output("err")).expect("a file for standard error");
        command.stderr(match &self.launch.log {
            None => kept,
            Some(path) => File::options().write(true).open(path).expect("a place for standard error"),
        });
        let child = command.spawn().unwrap_or_else(|error| panic!("{} does not start: {error}", words[0].display()));
        self.child = Some(child);
    }

    fn wait_listening(&mut self) {
        let started = Instant::now();
        loop {
            if let Some(address) = listening(&self.stdout()) {
                self.address = address;
                return;
            }
            assert!(self.is_running(), "the server ended instead of listening\n{}", self.said());
            assert!(
                started.elapsed() < self.launch.start_limit,
                "no line \"listening  127.0.0.1:PORT\" in time\n{}",
                self.said()
            );
            std::thread::sleep(POLL);
        }
    }

    fn wait_exit(&mut self, limit: Duration) -> Exit {
        let started = Instant::now();
        let mut child = self.child.take().expect("a running server");
        loop {
            if let Some(status) = child.try_wait().expect("the system knows its children") {
                return Exit { status, took: started.elapsed(), stderr: self.stderr() };
            }
            if started.elapsed() > limit {
                self.child = Some(child);
                panic!("the server still runs after {limit:?}\n{}", self.said());
            }
            std::thread::sleep(POLL);
        }
    }

    /// The end of both outputs, for failure messages.
    #[must_use]
    pub fn said(&self) -> String {
        let tail = |whole: String| -> String {
            let lines: Vec<&str> = whole.lines().collect();
            lines[lines.len().saturating_sub(40)..].join("\n")
        };
        format!("--- standard output\n{}\n--- standard error\n{}", tail(self.stdout()), tail(self.stderr()))
    }
}

/// What runs the words that follow with a disk of its own.
fn own_disk(bytes: u64, folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", WITH_OWN_DISK, "sh"]).arg(bytes.to_string()).arg(folder);
    command
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server of the failed test said:\n{}", self.said());
        }
        self.kill9();
    }
}

/// The address in the banner's line "listening  127.0.0.1:PORT", once the banner is whole.
fn listening(stdout: &str) -> Option<SocketAddr> {
    // A line that is still being written ends without a line feed: its port may be cut short.
    let whole = &stdout[..=stdout.rfind('\n')?];
    let line = whole.lines().find(|line| line.trim_start().starts_with("listening"))?;
    let port = line.split("127.0.0.1:").nth(1)?;
    let digits: String = port.chars().take_while(char::is_ascii_digit).collect();
    let port: u16 = digits.parse().ok().filter(|port| *port != 0)?;
    Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

fn read(path: &Path) -> String {
    // A server that was never started has said nothing.
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// The binary under test: `FBF_BIN`, or `fbf` beside the running executable (`target/release/deps/all-…` → `target/release/fbf`), or
/// the release build of the same target directory.
///
/// # Panics
/// When there is none, saying how to build it.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("FBF_BIN") {
        // Absolute, because the server runs in a directory of its own.
        return std::fs::canonicalize(&path).unwrap_or_else(|error| panic!("FBF_BIN={}: {error}", path.display()));
    }
    let executable = std::env::current_exe().expect("the path of the running executable");
    let mut profile = executable.parent().expect("a directory");
    if profile.ends_with("deps") {
        profile = profile.parent().expect("a directory above deps");
    }
    let beside = profile.join("fbf");
    let release = profile.with_file_name("release").join("fbf");
    [&beside, &release].into_iter().find(|path| path.is_file()).cloned().unwrap_or_else(|| {
        panic!(
            "no binary at {} or {}: build it with `cargo build --release`, or set FBF_BIN",
            beside.display(),
            release.display()
        )
    })
}
