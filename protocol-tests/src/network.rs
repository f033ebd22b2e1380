//! A network between a client and the broker that delays, repeats and loses, by a seed: what may happen to requests on their way when
//! connections break and clients send again (KAFKA-17754; Jepsen's report on Bufstream 0.1.0).
//!
//! ```text
//!  passed      the request, then its answer
//!  repeated    as passed; a copy arrives over another connection some requests later
//!  held back   the client hears nothing, and sends again over a new connection; the first one arrives some requests later
//!  unanswered  the request arrives, its answer is lost, and the client sends again over a new connection
//! ```
//! It knows frames: only the keys that it was told to trouble are troubled. Late requests arrive between two others and are waited for, so
//! a seed gives the same order each time. When the broker is gone, or does not answer in time, the client connects again and sends again.

use crate::client::{Client, Failure, PATIENCE};
use crate::frame;
use bytes::Bytes;
use kafka_protocol::protocol::Request;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A late request arrives behind at most so many others.
const LATE_MAX: u64 = 12;
/// How long a broker may be away.
const AWAY: Duration = Duration::from_secs(20);
const RECONNECT: Duration = Duration::from_millis(5);

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passed,
    Repeated,
    HeldBack,
    Unanswered,
}

/// See the file's header.
pub struct Network {
    address: SocketAddr,
    random: SmallRng,
    /// The keys whose requests are troubled.
    keys: Vec<i16>,
    /// Of a hundred such requests, so many are.
    percent: u32,
    /// Requests that arrive later, each with the number of the request behind which it does.
    late: Vec<(u64, Bytes)>,
    sent: u64,
    /// How long a client waits for an answer before it sends again.
    pub patience: Duration,
    /// What it did, for the report of a failure.
    pub diary: Vec<String>,
}

impl Network {
    #[must_use]
    pub fn new(address: SocketAddr, seed: u64, keys: &[i16], percent: u32) -> Network {
        let random = SmallRng::seed_from_u64(seed);
        Network {
            address,
            random,
            keys: keys.to_vec(),
            percent,
            late: Vec::new(),
            sent: 0,
            patience: PATIENCE,
            diary: Vec::new(),
        }
    }

    /// A number below `bound`, from the seed.
    pub fn roll(&mut self, bound: u64) -> u64 {
        self.random.random_range(0..bound)
    }

    /// A new connection to the broker; waits for one that is away.
    ///
    /// # Panics
    /// When it stays away.
    #[must_use]
    pub fn connect(&self) -> Client {
        let since = Instant::now();
        loop {
            match Client::try_connect(self.address) {
                Ok(client) => return client,
                Err(failure) => assert!(since.elapsed() < AWAY, "the broker is gone: {failure}"),
            }
            std::thread::sleep(RECONNECT);
        }
    }

    /// Asks as a client does that sends again until it is answered.
    ///
    /// # Panics
    /// When an answer does not decode.
    pub fn call<R: Request>(&mut self, client: &mut Client, version: i16, request: &R) -> R::Response {
        loop {
            self.sent += 1;
            self.deliver_due(self.sent);
            let bytes = frame::request(1, version, request);
            let fate = self.fate(R::KEY);
            match fate {
                Fate::Passed => {}
                Fate::Repeated => self.put_off(R::KEY, bytes.clone(), "a copy of"),
                Fate::HeldBack => {
                    self.put_off(R::KEY, bytes, "the first");
                    *client = self.connect();
                    continue;
                }
                Fate::Unanswered => {
                    self.diary.push(format!("{}: the answer to key {} is lost", self.sent, R::KEY));
                    let _ = client.send_raw(&bytes).and_then(|()| client.read_frame());
                    *client = self.connect();
                    continue;
                }
            }
            client.set_patience(self.patience);
            match client.try_call(version, request) {
                Ok(response) => return response,
                Err(Failure::Malformed(what)) => panic!("key {} version {version}: {what}", R::KEY),
                Err(failure) => {
                    self.diary.push(format!("{}: key {}: {failure}", self.sent, R::KEY));
                    *client = self.connect();
                }
            }
        }
    }

    /// Lets everything arrive that is still on its way.
    pub fn deliver_all(&mut self) {
        self.deliver_due(u64::MAX);
    }

    /// Sends a request that was written earlier, over a connection of its own, and waits for its answer.
    pub fn deliver(&self, request: &Bytes) {
        let mut other = self.connect();
        // Whatever is answered, nobody hears it.
        let _ = other.send_raw(request).and_then(|()| other.read_frame());
    }

    fn fate(&mut self, key: i16) -> Fate {
        if !self.keys.contains(&key) || self.random.random_range(0..100) >= self.percent {
            return Fate::Passed;
        }
        [Fate::Repeated, Fate::HeldBack, Fate::Unanswered][self.random.random_range(0..3)]
    }

    fn put_off(&mut self, key: i16, request: Bytes, what: &str) {
        let due = self.sent + self.random.random_range(1..=LATE_MAX);
        self.diary.push(format!("{}: {what} key {key} arrives before request {due}", self.sent));
        self.late.push((due, request));
    }

    fn deliver_due(&mut self, now: u64) {
        let (due, late): (Vec<_>, Vec<_>) = std::mem::take(&mut self.late).into_iter().partition(|(due, _)| *due <= now);
        self.late = late;
        due.iter().for_each(|(_, request)| self.deliver(request));
    }
}
