//! Goal: no frame makes the server die or hold much memory (CVE-2026-111108, -111115, CVE-2022-34917: counts on the wire that ask
//! for memory before they are checked).
//! Method: a good request of every key and version, cut at every byte, with a hostile count spliced in and different things
//! behind it. Behind each such frame goes a harmless one: its answer, or the end of the connection, shows that the server is done with
//! the hostile one. Peak memory is the kernel's own figure (VmHWM).
//!
//! By default the long tails go to the lowest and the highest version of each key; `HOSTILE_FULL=1` sends them to all.

use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::protocol::Request;
use protocol_tests::batch::Batch;
use protocol_tests::client::Client;
use protocol_tests::descriptors;
use protocol_tests::frame;
use protocol_tests::pipeline::accepted;
use protocol_tests::records::{FETCH_BY_NAME, Fetch, PRODUCE_BY_NAME, produce_request};
use protocol_tests::samples::{SAMPLES, Sample};
use protocol_tests::server::{Launch, Server};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
/// How much the peak may grow over all hostile frames together: buffers of a few connections, and what the allocator keeps.
const GROWTH_BYTES_MAX: u64 = 64 * MIB;
/// Counts and lengths that ask for what is not there: as 32 bits, as unsigned varint, as 16 bits.
const COUNTS: [&[u8]; 7] = [
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0x00, 0x00, 0x00],
    &[0xff, 0xff, 0xff, 0xfe],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0x80, 0x80, 0x80, 0x80, 0x08],
    &[0xff, 0xff],
    &[0x7f, 0xff],
];
const LONG: usize = 64 << 10;
const FILLERS: [u8; 3] = [0x00, 0x01, 0xff];
/// The correlation id of the harmless frame behind each hostile one.
const PROBE: i32 = 0x7a7a_7a7a;
/// Key, version and correlation id: what comes before anything with a length.
const PREFIX_BYTES: usize = 8;

/// What follows a hostile count.
#[derive(Clone, Copy)]
enum Tail {
    Nothing,
    /// The rest of the good request: only the count is a lie.
    Rest,
    Long(u8),
}

/// Calls `each` with every hostile payload made from `sample` at `version`.
fn hostile_payloads(sample: &Sample, version: i16, mut each: impl FnMut(&[u8])) {
    let good = (sample.filled)(1, version).slice(4..);
    let is_outer = version == sample.min || version == sample.max;
    let has_long = is_outer || std::env::var_os("HOSTILE_FULL").is_some();
    // The header is the same in all versions of a kind: one of them is enough.
    let first = if version == sample.min { PREFIX_BYTES } else { body_at(sample, version) };
    let mut payload = Vec::with_capacity(good.len() + LONG + 8);
    for at in first..good.len() {
        for (number, count) in COUNTS.iter().enumerate() {
            let long = Tail::Long(FILLERS[(at + number) % FILLERS.len()]);
            let tails = [Some(Tail::Rest), is_outer.then_some(Tail::Nothing), has_long.then_some(long)];
            for tail in tails.into_iter().flatten() {
                payload.clear();
                payload.extend_from_slice(&good[..at]);
                payload.extend_from_slice(count);
                match tail {
                    Tail::Nothing => {}
                    Tail::Rest => payload.extend_from_slice(good.get(at + count.len()..).unwrap_or_default()),
                    Tail::Long(filler) => payload.resize(payload.len() + LONG, filler),
                }
                each(&payload);
            }
        }
    }
}

/// Where the body begins in a payload: behind the header that an empty body leaves alone.
fn body_at(sample: &Sample, version: i16) -> usize {
    frame::with_header(sample.key, version, (sample.header_version)(version), 1, &[]).len() - 4
}

/// One connection that is opened again whenever the server closes it.
struct Sender {
    address: SocketAddr,
    client: Option<Client>,
    probe: Vec<u8>,
    waited_in_vain: u64,
}

impl Sender {
    fn new(address: SocketAddr) -> Sender {
        let probe = frame::request(PROBE, 0, &ApiVersionsRequest::default()).to_vec();
        Sender { address, client: None, probe, waited_in_vain: 0 }
    }

    /// Sends `payload` as a frame and waits until the server is done with it.
    fn send(&mut self, payload: &[u8]) {
        let mut client = self.client.take().unwrap_or_else(|| {
            let mut client = Client::connect(self.address);
            // A spliced join or fetch may be one that waits: then it is left alone.
            client.set_patience(Duration::from_millis(300));
            client
        });
        let mut bytes = frame::sized(payload).to_vec();
        bytes.extend_from_slice(&self.probe);
        if client.send_raw(&bytes).is_err() {
            return;
        }
        loop {
            match client.read_frame() {
                Ok(frame) if frame.get(..4) == Some(&PROBE.to_be_bytes()[..]) => {
                    self.client = Some(client);
                    return;
                }
                Ok(_) => {}
                Err(protocol_tests::client::Failure::TimedOut) => {
                    self.waited_in_vain += 1;
                    return;
                }
                Err(_) => return,
            }
        }
    }
}

#[test]
fn hostile_counts_in_every_place_of_every_request_cost_next_to_nothing() {
    let mut server = Server::start();
    // What an ordinary client makes the server hold is not the hostile frames' doing.
    let mut client = server.connect();
    let topic = client.create_topic("ordinary", 4, &[]);
    for partition in 0..4 {
        client.produced(&topic, partition, protocol_tests::batch::Batch::of(&["a"]).build());
    }
    let before = server.peak_memory_bytes();
    let started = Instant::now();
    let work: Vec<(&Sample, i16)> =
        SAMPLES.iter().flat_map(|sample| (sample.min..=sample.max).map(move |version| (sample, version))).collect();
    let (next, frames, in_vain) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut sender = Sender::new(server.address());
                while let Some((sample, version)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    hostile_payloads(sample, *version, |payload| {
                        sender.send(payload);
                        frames.fetch_add(1, Ordering::Relaxed);
                    });
                }
                in_vain.fetch_add(sender.waited_in_vain, Ordering::Relaxed);
            });
        }
    });
    assert!(server.is_running(), "the server died of a hostile frame\n{}", server.said());
    let grown = server.peak_memory_bytes() - before;
    println!(
        "{} hostile frames in {:.1} s; {} answers not waited for; peak memory {:.1} MiB before, {:.1} MiB more after",
        frames.into_inner(),
        started.elapsed().as_secs_f64(),
        in_vain.into_inner(),
        before as f64 / MIB as f64,
        grown as f64 / MIB as f64
    );
    server.connect().assert_alive("hostile frames");
    client.assert_alive("hostile frames on other connections");
    assert!(grown <= GROWTH_BYTES_MAX, "peak memory grew by {} MiB", grown / MIB);
}

#[test]
fn impossible_frame_sizes_close_the_connection_quietly() {
    let server = Server::shared();
    for size in [-1, i32::MIN, 0, 1, 7, i32::MAX, i32::MAX - 1, (100 << 20) + 1] {
        let mut client = server.connect();
        // The server may close before it has read what follows the size.
        let _ = client.send_raw(&size.to_be_bytes());
        assert!(client.is_closed_quietly(), "a frame of {size} bytes");
    }
    server.connect().assert_alive("impossible frame sizes");
}

#[test]
fn other_protocols_are_closed_quietly() {
    let server = Server::shared();
    let tls_hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    for opening in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &tls_hello, b"SSH-2.0-OpenSSH_9.9\r\n"] {
        let mut client = server.connect();
        let _ = client.send_raw(opening);
        assert!(client.is_closed_quietly(), "{opening:?}");
    }
    server.connect().assert_alive("other protocols");
}

#[test]
fn a_frame_that_ends_in_the_middle_is_dropped() {
    let server = Server::shared();
    for sample in SAMPLES {
        let whole = (sample.filled)(1, sample.max);
        for cut in [1, 3, 5, whole.len() - 1] {
            let mut client = server.connect();
            client.send_raw(&whole[..cut]).unwrap();
            client.finish_sending();
            assert!(client.is_closed_quietly(), "{} cut after {cut} bytes", sample.name);
        }
    }
}

#[test]
fn announced_bytes_cost_nothing_until_they_arrive() {
    let mut server = Server::start();
    server.connect().assert_alive("the start");
    let before = server.peak_memory_bytes();
    let header = frame::with_header(0, 9, 2, 1, &[]);
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect();
        client.send_raw(&(100i32 << 20).to_be_bytes()).unwrap();
        client.send_raw(&header[4..]).unwrap();
        waiting.push(client);
    }
    // Nobody else has to wait for what they may still send.
    server.connect().assert_alive("connections that announced 100 MiB each");
    assert!(server.is_running());
    let grown = server.peak_memory_bytes() - before;
    assert!(grown < GROWTH_BYTES_MAX, "{} MiB for bytes that never came", grown / MIB);
}

/// A server on which some requests that wait for their answers would be more than there is room for.
fn with_little_memory() -> Server {
    let limits = [("limits.memory_bytes", 32), ("limits.request_bytes", 4), ("limits.admin_request_bytes", 4)];
    limits.iter().fold(Launch::new(), |launch, (name, mib)| launch.set(name, &(mib * MIB).to_string())).start()
}

/// Checks that another client is still served, in spite of `what`.
fn assert_others_are_served(server: &Server, what: &str) {
    let mut client = server.connect();
    client.set_patience(Duration::from_secs(10));
    client.assert_alive(what);
    client.create_topic("another", 1, &[]);
}

/// Goal: one connection cannot take the memory of everybody. Method: large requests behind a long poll, which are answered when it is; together they
/// would be more than there is.
#[test]
fn large_requests_behind_a_long_poll_leave_room_for_others() {
    const LARGE: usize = 30;
    let server = with_little_memory();
    let topic = server.connect().create_topic("empty", 1, &[]);
    let mut greedy = server.connect();
    greedy.set_write_patience(Duration::from_secs(2));
    let poll = Fetch::of(&topic, 0, 0).waiting(60_000, 1).request();
    greedy.send(FETCH_BY_NAME, &poll).expect("sent");
    // Of one partition that is not there, again and again.
    let partitions = vec![FetchPartition::default().with_partition(7); 60_000];
    let mut large = poll.clone();
    large.topics[0].partitions.extend(partitions);
    for _ in 0..LARGE {
        // The server stops reading at some time.
        if greedy.send(FETCH_BY_NAME, &large).is_err() {
            break;
        }
    }
    assert_others_are_served(&server, "large requests that nobody has answered");
}

/// Goal: a few connections cannot take the memory of everybody with requests of the size that is always let in. Method: eight connections with long polls
/// of just that size, one behind the other; together they would be more than there is.
#[test]
fn small_requests_behind_a_long_poll_leave_room_for_others() {
    const CONNECTIONS: usize = 8;
    let server = with_little_memory();
    let topic = server.connect().create_topic("empty", 1, &[]);
    let poll = Fetch::of(&topic, 0, 0).waiting(60_000, 1).request();
    let mut padded = poll.clone();
    padded.topics[0].partitions.extend(vec![FetchPartition::default().with_partition(7); 1_500]);
    let size = frame::request(1, FETCH_BY_NAME, &padded).len();
    assert!((32 << 10..64 << 10).contains(&size), "{size} bytes");
    let mut greedy: Vec<_> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    for one in &mut greedy {
        one.set_write_patience(Duration::from_secs(1));
        one.send(FETCH_BY_NAME, &poll).expect("sent");
        // The server stops reading at some time.
        while one.send(FETCH_BY_NAME, &padded).is_ok() {}
    }
    assert_others_are_served(&server, "requests that nobody has answered");
}

/// Goal: large frames that come at once hold no more than is given to requests, whatever they announce, also when the allocator has pages at hand that
/// were in use before. Method: many producers of batches of nearly a mebibyte, again and again, on a server that has little for them.
#[test]
fn many_large_frames_at_once_hold_no_more_than_they_may() {
    /// All of them at once would be far beyond what is allowed.
    const PRODUCERS: usize = 300;
    const TIMES: usize = 2;
    const PATIENCE: Duration = Duration::from_secs(120);
    /// Requests, the queue of the store, and the newest batches in memory.
    const BUDGETS: [(&str, u64); 3] =
        [("limits.memory_bytes", 16 * MIB), ("storage.queue_bytes", 16 * MIB), ("limits.tail_bytes", 8 * MIB)];
    /// Connections, and what the allocator keeps.
    const BESIDE: u64 = 90 * MIB;
    descriptors::raise_for(2 * PRODUCERS as u64).unwrap();
    let small = Launch::new().set("limits.request_bytes", &(4 * MIB).to_string());
    let launch = BUDGETS.iter().fold(small, |launch, (name, bytes)| launch.set(name, &bytes.to_string()));
    let server = launch.start();
    let topic = server.connect().create_topic("large", 1, &[]);
    let before = server.peak_memory_bytes();
    let request = produce_request(&topic, 0, -1, Batch::of_bytes(1_000_000).build());
    let request = frame::request(1, PRODUCE_BY_NAME, &request);
    let written = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| {
                let mut client = server.connect();
                client.set_patience(PATIENCE);
                client.set_write_patience(PATIENCE);
                for _ in 0..TIMES {
                    client.send_raw(&request).expect("all of it is taken");
                    let answer = client.read_frame().expect("an answer");
                    let (_, response) = frame::response::<ProduceRequest>(answer, PRODUCE_BY_NAME).expect("readable");
                    // A slow disk may be too slow for some.
                    written.fetch_add(usize::from(accepted(&response).is_ok()), Ordering::Relaxed);
                }
            });
        }
    });
    assert!(written.into_inner() >= PRODUCERS, "half of them are written");
    let grown = server.peak_memory_bytes() - before;
    println!("the peak grew by {} MiB", grown / MIB);
    let allowed = BUDGETS.iter().map(|(_, bytes)| bytes).sum::<u64>() + BESIDE;
    assert!(grown < allowed, "{} MiB, {} are allowed", grown / MIB, allowed / MIB);
}

#[test]
fn a_long_array_of_nothing_costs_at_most_sixteen_times_its_frame() {
    let mut server = Server::start();
    server.connect().assert_alive("the start");
    let before = server.peak_memory_bytes();
    // Metadata version 1: topics with empty names, two bytes each on the wire, dozens of bytes each once decoded.
    let topics = 2 << 20;
    let mut body = i32::to_be_bytes(topics).to_vec();
    body.resize(4 + 2 * usize::try_from(topics).unwrap(), 0);
    let request = frame::with_header(MetadataRequest::KEY, 1, 1, 1, &body);
    let mut client = server.connect();
    // Refusing is as good as answering; dying is not.
    let _ = client.send_raw(&request);
    let _ = client.read_frame();
    assert!(server.is_running(), "the server died\n{}", server.said());
    server.connect().assert_alive("a long array");
    let grown = server.peak_memory_bytes() - before;
    println!("a frame of {} MiB made the peak grow by {} MiB", request.len() as u64 / MIB, grown / MIB);
    assert!(
        grown <= 16 * request.len() as u64 + 32 * MIB,
        "{} MiB for a frame of {} MiB",
        grown / MIB,
        request.len() as u64 / MIB
    );
}
