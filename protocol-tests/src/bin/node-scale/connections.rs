//! Many connections: what an idle one holds, and what it costs when each has a producer that sends a record now and then.

use crate::usage::{Usage, headings, line};
use bytes::Bytes;
use kafka_protocol::messages::{ApiVersionsRequest, ProduceRequest};
use protocol_tests::batch::Batch;
use protocol_tests::broker::{self, Broker};
use protocol_tests::client::Client;
use protocol_tests::descriptors;
use protocol_tests::latency::Latencies;
use protocol_tests::options::Given;
use protocol_tests::pipeline::accepted;
use protocol_tests::records::{PRODUCE_BY_NAME, produce_request};
use protocol_tests::server::Launch;
use protocol_tests::topics::Topic;
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 16;
const VALUE_BYTES: usize = 100;
const PATIENCE: Duration = Duration::from_secs(30);
/// Producers take turns, so many turns a second.
const SLICE: Duration = Duration::from_millis(100);
/// Descriptors that are needed for something else.
const SPARE: u64 = 200;
const COLUMNS: [&str; 9] =
    ["connections", "connect s", "RSS MB", "B/connection", "idle CPU/s", "records/s", "CPU/s", "p50 ms", "p99 ms"];

/// # Errors
/// What the broker refused, or too few descriptors.
pub fn measure(given: &Given) -> Result<(), String> {
    let counts = given.counts("--counts", &[100, 1000, 10_000])?;
    let most = counts.iter().copied().max().unwrap_or(0);
    descriptors::raise_for(most + SPARE)?;
    let idle = Duration::from_secs(given.positive("--idle-seconds", 10)?);
    let load = Load {
        time: Duration::from_secs(given.positive("--seconds", 20)?),
        every: Duration::from_millis(given.positive("--every-ms", 10_000)?),
    };
    println!("{}", headings(&COLUMNS));
    for count in counts {
        let launch = Launch::new().set("limits.connections", &(count + SPARE).to_string());
        let broker = Broker::of(given, launch)?;
        println!("{}", line(&row(&broker, count, idle, load)?));
    }
    Ok(())
}

/// One record from each connection in `every`.
#[derive(Debug, Clone, Copy)]
struct Load {
    time: Duration,
    every: Duration,
}

impl Load {
    /// In how many parts the connections take their turns.
    fn slices(self) -> usize {
        usize::try_from(self.every.as_millis() / SLICE.as_millis()).unwrap_or(1).max(1)
    }
}

fn row(broker: &Broker, count: u64, idle: Duration, load: Load) -> Result<Vec<String>, String> {
    let mut client = broker.connect();
    let topic = client.create_topic("connections", PARTITIONS, &[]);
    client.wait_led(&topic, PARTITIONS, PATIENCE)?;
    let before = Usage::of(broker.process());
    let mut clients = connect(broker, count)?;
    let connected = Usage::of(broker.process());
    std::thread::sleep(idle);
    let rested = Usage::of(broker.process());
    let latencies = produce(&mut clients, &topic, load)?;
    let produced = Usage::of(broker.process());
    let seconds = produced.seconds_since(&rested);
    Ok(vec![
        count.to_string(),
        format!("{:.2}", connected.seconds_since(&before)),
        format!("{:.1}", connected.memory_mb()),
        format!("{:.0}", connected.bytes_each_since(&before, count)),
        format!("{:.3}", rested.cpu_since(&connected) / rested.seconds_since(&connected)),
        format!("{:.0}", latencies.count() as f64 / seconds),
        format!("{:.3}", produced.cpu_since(&rested) / seconds),
        format!("{:.2}", latencies.quantile_ms(0.5)),
        format!("{:.2}", latencies.quantile_ms(0.99)),
    ])
}

/// Connections that have asked once, as clients do first.
fn connect(broker: &Broker, count: u64) -> Result<Vec<Client>, String> {
    let mut clients = Vec::new();
    for number in 0..count {
        let mut client = broker::patient(broker.address());
        let asked = client.try_call(0, &ApiVersionsRequest::default());
        asked.map_err(|failure| format!("connection {number}: {failure}"))?;
        clients.push(client);
    }
    Ok(clients)
}

fn produce(clients: &mut [Client], topic: &Topic, load: Load) -> Result<Latencies, String> {
    let batch = Batch::of_bytes(VALUE_BYTES).build();
    let mut latencies = Latencies::new();
    let slices = load.slices();
    let began = Instant::now();
    let mut turn = 0;
    while began.elapsed() < load.time {
        take_turn(clients, topic, &batch, (turn % slices, slices), &mut latencies)?;
        turn += 1;
        let next = began + SLICE * u32::try_from(turn).unwrap_or(u32::MAX);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(latencies)
}

/// One record from each connection of one slice, all sent before the first answer is read.
fn take_turn(
    clients: &mut [Client],
    topic: &Topic,
    batch: &Bytes,
    (slice, slices): (usize, usize),
    latencies: &mut Latencies,
) -> Result<(), String> {
    let mut sent: Vec<(usize, i32, Instant)> = Vec::new();
    for at in (slice..clients.len()).step_by(slices) {
        let partition = i32::try_from(at).unwrap_or(0) % PARTITIONS;
        let request: ProduceRequest = produce_request(topic, partition, -1, batch.clone());
        let since = Instant::now();
        let correlation_id = clients[at].send(PRODUCE_BY_NAME, &request).map_err(|failure| failure.to_string())?;
        sent.push((at, correlation_id, since));
    }
    for (at, correlation_id, since) in sent {
        let answer = clients[at].receive::<ProduceRequest>(PRODUCE_BY_NAME, correlation_id);
        accepted(&answer.map_err(|failure| format!("connection {at}: {failure}"))?)?;
        latencies.record(since.elapsed());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_take_turns_within_their_time() {
        let load = |every| Load { time: Duration::from_secs(1), every: Duration::from_millis(every) };
        assert_eq!(load(10_000).slices(), 100);
        assert_eq!(load(1).slices(), 1);
    }
}
