//! Many consumers that wait: what they cost while nothing happens, what they cost when something happens elsewhere, and how soon one is woken.

use crate::topics;
use crate::usage::{Usage, headings, line};
use kafka_protocol::messages::fetch_response::FetchResponse;
use kafka_protocol::messages::{FetchRequest, ProduceRequest};
use protocol_tests::batch::Batch;
use protocol_tests::broker::{self, Broker};
use protocol_tests::client::Client;
use protocol_tests::descriptors;
use protocol_tests::latency::Latencies;
use protocol_tests::options::Given;
use protocol_tests::pipeline::accepted;
use protocol_tests::records::{FETCH_BY_NAME, Fetch, PRODUCE_BY_NAME, produce_request};
use protocol_tests::server::Launch;
use protocol_tests::topics::Topic;
use std::time::{Duration, Instant};

/// As long as fbf lets a fetch wait. Everything but waking happens within.
const WAIT: Duration = Duration::from_secs(300);
const SPARE: u64 = 200;
const VALUE_BYTES: usize = 100;
const COLUMNS: [&str; 8] =
    ["waiting", "RSS MB", "B/consumer", "idle CPU/s", "CPU us/produce", "wake p50 ms", "wake p99 ms", "wake max ms"];

/// A consumer whose fetch waits.
struct Waiting {
    client: Client,
    topic: Topic,
    partition: i32,
    correlation_id: i32,
}

/// # Errors
/// What the broker refused, or too few descriptors.
pub fn measure(given: &Given) -> Result<(), String> {
    let count = given.positive("--count", 1000)?;
    let seconds = given.positive("--seconds", 10)?;
    let produces = given.positive("--produces", 2000)?;
    descriptors::raise_for(count + SPARE)?;
    let broker = Broker::of(given, Launch::new().set("limits.connections", &(count + SPARE).to_string()))?;
    let mut client = broker.connect();
    let elsewhere = client.create_topic("elsewhere", 1, &[]);
    client.wait_led(&elsewhere, 1, WAIT)?;
    let own = topics::create(&mut client, "waited-for", count)?;
    println!("{}", headings(&COLUMNS));
    let before = Usage::of(broker.process());
    let (cpu_idle, cpu_produce) = costs(&broker, &mut client, &elsewhere, (seconds, produces));
    println!(
        "{}",
        line(&[
            "0".to_owned(),
            format!("{:.1}", before.memory_mb()),
            "-".to_owned(),
            format!("{cpu_idle:.3}"),
            format!("{cpu_produce:.1}"),
            "-".to_owned(),
            "-".to_owned(),
            "-".to_owned(),
        ])
    );
    let mut consumers = Vec::new();
    for sized in &own {
        for partition in 0..sized.partitions {
            consumers.push(wait(broker::patient(broker.address()), &sized.topic, partition)?);
        }
    }
    let since = Instant::now();
    // Time to become quiet.
    std::thread::sleep(Duration::from_secs(1));
    let waiting = Usage::of(broker.process());
    let (cpu_idle, cpu_produce) = costs(&broker, &mut client, &elsewhere, (seconds, produces));
    if since.elapsed() > WAIT / 2 {
        return Err(format!(
            "the costs took {:?}, too long for fetches that wait {WAIT:?}: ask for fewer --produces",
            since.elapsed()
        ));
    }
    let latencies = wake_all(&mut client, consumers)?;
    println!(
        "{}",
        line(&[
            count.to_string(),
            format!("{:.1}", waiting.memory_mb()),
            format!("{:.0}", waiting.bytes_each_since(&before, count)),
            format!("{cpu_idle:.3}"),
            format!("{cpu_produce:.1}"),
            format!("{:.3}", latencies.quantile_ms(0.5)),
            format!("{:.3}", latencies.quantile_ms(0.99)),
            format!("{:.3}", latencies.max_ms()),
        ])
    );
    Ok(())
}

/// Processor seconds a second while nothing happens, and processor microseconds of a produce request to a partition that nobody reads.
fn costs(broker: &Broker, client: &mut Client, elsewhere: &Topic, (seconds, produces): (u64, u64)) -> (f64, f64) {
    let began = Usage::of(broker.process());
    std::thread::sleep(Duration::from_secs(seconds));
    let rested = Usage::of(broker.process());
    let batch = Batch::of_bytes(VALUE_BYTES).build();
    for _ in 0..produces {
        client.produced(elsewhere, 0, batch.clone());
    }
    let produced = Usage::of(broker.process());
    (rested.cpu_since(&began) / rested.seconds_since(&began), produced.cpu_since(&rested) / produces as f64 * 1e6)
}

/// Sends a fetch that waits, because the partition is empty.
fn wait(mut client: Client, topic: &Topic, partition: i32) -> Result<Waiting, String> {
    client.set_patience(2 * WAIT);
    let wait_ms = i32::try_from(WAIT.as_millis()).expect("a short time");
    let request: FetchRequest = Fetch::of(topic, partition, 0).waiting(wait_ms, 1).request();
    let correlation_id = client.send(FETCH_BY_NAME, &request).map_err(|failure| failure.to_string())?;
    Ok(Waiting { client, topic: topic.clone(), partition, correlation_id })
}

/// Produces to one consumer's partition after the other; from then until the consumer has the record.
fn wake_all(client: &mut Client, consumers: Vec<Waiting>) -> Result<Latencies, String> {
    let batch = Batch::of_bytes(VALUE_BYTES).build();
    let mut latencies = Latencies::new();
    for mut consumer in consumers {
        let since = Instant::now();
        let produce: ProduceRequest = produce_request(&consumer.topic, consumer.partition, -1, batch.clone());
        let produced = client.send(PRODUCE_BY_NAME, &produce).map_err(|failure| failure.to_string())?;
        let response: FetchResponse = consumer
            .client
            .receive::<FetchRequest>(FETCH_BY_NAME, consumer.correlation_id)
            .map_err(|failure| failure.to_string())?;
        latencies.record(since.elapsed());
        let answer = client.receive::<ProduceRequest>(PRODUCE_BY_NAME, produced);
        accepted(&answer.map_err(|failure| failure.to_string())?)?;
        let mut partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
        if !partitions.any(|partition| partition.records.as_ref().is_some_and(|records| !records.is_empty())) {
            return Err(format!("the consumer of {}-{} was woken without the record", consumer.topic.name, consumer.partition));
        }
    }
    Ok(latencies)
}
