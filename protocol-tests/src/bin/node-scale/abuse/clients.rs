//! The clients, a thread each with a small stack. A client that is turned away is counted and comes no more; none of them holds what it reads.

use super::PARTITIONS;
use bytes::Bytes;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_response::ProduceResponse;
use protocol_tests::client::{Client, Failure};
use protocol_tests::frame;
use protocol_tests::pipeline::accepted;
use protocol_tests::records::{FETCH_BY_NAME, Fetch, PRODUCE_BY_NAME, produce_request};
use protocol_tests::topics::Topic;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a consumer asks for.
const FETCH_BYTES: i32 = 50_000_000;
/// Requests of a reader that reads none of the answers.
const UNREAD: usize = 100;
const STACK_BYTES: usize = 512 * 1024;
/// How long a reader that has stopped tries to send one more request, and others wait beyond the load's time.
const STEP: Duration = Duration::from_secs(5);
/// A client that is kept waiting is not turned away.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy)]
pub struct Counts {
    pub consumers: u64,
    pub producers: u64,
    pub stopped: u64,
}

impl Counts {
    pub fn all(self) -> u64 {
        self.consumers + self.producers + self.stopped
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    pub fetched_bytes: u64,
    pub produced_bytes: u64,
    /// Connections that the broker closed, and requests that it refused, before the time was up.
    pub turned_away: u64,
}

#[derive(Default)]
struct Totals {
    fetched_bytes: AtomicU64,
    produced_bytes: AtomicU64,
    turned_away: AtomicU64,
}

pub struct Load<'a> {
    pub address: SocketAddr,
    pub read: &'a Topic,
    pub written: &'a Topic,
    /// What every producer sends.
    pub batch: &'a Bytes,
    pub time: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Consumer,
    Producer,
    Stopped,
}

impl Load<'_> {
    /// Runs all clients at once, for the load's time.
    ///
    /// # Panics
    /// When the system has no more threads.
    pub fn run(&self, counts: Counts) -> Done {
        let totals = Totals::default();
        let deadline = Instant::now() + self.time;
        let fetch = self.fetch_frame();
        let produce: Vec<Bytes> = (0..PARTITIONS).map(|partition| self.produce_frame(partition)).collect();
        let (fetch, produce, shared) = (&fetch, &produce, &totals);
        std::thread::scope(|scope| {
            for number in 0..counts.all() {
                let kind = kind(counts, number);
                let at = usize::try_from(number).expect("a small number") % produce.len();
                let frame: &Bytes = if matches!(kind, Kind::Producer) { &produce[at] } else { fetch };
                let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
                let thread = builder.spawn_scoped(scope, move || self.client(kind, frame, deadline, shared));
                let _handle = thread.expect("one more thread");
            }
        });
        Done {
            fetched_bytes: totals.fetched_bytes.load(Ordering::Relaxed),
            produced_bytes: totals.produced_bytes.load(Ordering::Relaxed),
            turned_away: totals.turned_away.load(Ordering::Relaxed),
        }
    }

    fn client(&self, kind: Kind, frame: &Bytes, deadline: Instant, totals: &Totals) {
        let result = match kind {
            Kind::Consumer => self.consume(frame, deadline, totals),
            Kind::Producer => self.produce(frame, deadline, totals),
            Kind::Stopped => self.stop_reading(frame, deadline),
        };
        // After the deadline everything breaks off somewhere.
        if result.is_err() && Instant::now() < deadline {
            totals.turned_away.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn consume(&self, frame: &Bytes, deadline: Instant, totals: &Totals) -> Result<(), Failure> {
        let mut client = self.connect(deadline)?;
        while Instant::now() < deadline {
            client.send_raw(frame)?;
            let bytes = client.skip_frame(deadline)?;
            totals.fetched_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    fn produce(&self, frame: &Bytes, deadline: Instant, totals: &Totals) -> Result<(), Failure> {
        let mut client = self.connect(deadline)?;
        while Instant::now() < deadline {
            client.send_raw(frame)?;
            let answer = client.read_frame()?;
            let response: ProduceResponse =
                frame::response::<ProduceRequest>(answer, PRODUCE_BY_NAME).map_err(Failure::Malformed)?.1;
            accepted(&response).map_err(Failure::Malformed)?;
            totals.produced_bytes.fetch_add(self.batch.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Asks often, reads nothing, and stays. Its own requests may not be taken any more: that is no failure.
    fn stop_reading(&self, frame: &Bytes, deadline: Instant) -> Result<(), Failure> {
        let mut client = self.connect(deadline)?;
        client.set_write_patience(STEP);
        for _ in 0..UNREAD {
            if Instant::now() >= deadline || client.send_raw(frame).is_err() {
                break;
            }
        }
        std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
        Ok(())
    }

    /// Clients come one after the other; a queue that is full for the moment is no refusal.
    fn connect(&self, deadline: Instant) -> Result<Client, Failure> {
        loop {
            match Client::try_connect(self.address) {
                Ok(mut client) => {
                    client.set_patience(PATIENCE.min(self.time + STEP));
                    client.set_write_patience(PATIENCE.min(self.time + STEP));
                    return Ok(client);
                }
                Err(failure) if Instant::now() >= deadline => return Err(failure),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn fetch_frame(&self) -> Bytes {
        let mut fetch = Fetch::of(self.read, 0, 0);
        for partition in 1..PARTITIONS {
            fetch = fetch.and(partition, 0);
        }
        frame::request(1, FETCH_BY_NAME, &fetch.at_most(FETCH_BYTES, FETCH_BYTES).request())
    }

    fn produce_frame(&self, partition: i32) -> Bytes {
        let request: ProduceRequest = produce_request(self.written, partition, -1, self.batch.clone());
        frame::request(1, PRODUCE_BY_NAME, &request)
    }
}

/// Consumers and producers are mixed, so that none of them comes first.
fn kind(counts: Counts, number: u64) -> Kind {
    if number < counts.stopped {
        return Kind::Stopped;
    }
    let (place, all) = (number - counts.stopped, counts.consumers + counts.producers);
    let consumers_before = place * counts.consumers / all;
    let consumers_after = (place + 1) * counts.consumers / all;
    if consumers_after > consumers_before { Kind::Consumer } else { Kind::Producer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_of_each_kind_as_asked_for() {
        let counts = Counts { consumers: 10, producers: 21, stopped: 2 };
        let kinds: Vec<Kind> = (0..counts.all()).map(|number| kind(counts, number)).collect();
        let count = |wanted: fn(&Kind) -> bool| kinds.iter().filter(|kind| wanted(kind)).count();
        assert_eq!(count(|kind| matches!(kind, Kind::Consumer)), 10);
        assert_eq!(count(|kind| matches!(kind, Kind::Producer)), 21);
        assert_eq!(count(|kind| matches!(kind, Kind::Stopped)), 2);
    }
}
