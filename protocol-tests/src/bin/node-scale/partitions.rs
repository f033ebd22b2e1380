//! Many partitions: what they cost to create and to hold, and how long a broker takes to come back with them.

use crate::topics::{self, Partitioned};
use crate::usage::{Usage, headings, line};
use bytes::Bytes;
use protocol_tests::batch::Batch;
use protocol_tests::broker::Broker;
use protocol_tests::options::Given;
use protocol_tests::pipeline::Pipeline;
use protocol_tests::server::Launch;
use std::time::{Duration, Instant};

const START_LIMIT: Duration = Duration::from_secs(300);
const VALUE_BYTES: usize = 100;
const COLUMNS: [&str; 10] =
    ["partitions", "create s", "CPU s", "RSS MB", "produce s", "CPU s", "RSS MB", "B/partition", "restart s", "RSS MB after"];

/// # Errors
/// What the broker refused.
pub fn measure(given: &Given) -> Result<(), String> {
    println!("{}", headings(&COLUMNS));
    for count in given.counts("--counts", &[1000, 10_000, 100_000])? {
        let mut broker = Broker::of(given, Launch::new().start_within(START_LIMIT))?;
        println!("{}", line(&row(&mut broker, count)?));
    }
    Ok(())
}

fn row(broker: &mut Broker, count: u64) -> Result<Vec<String>, String> {
    let mut client = broker.connect();
    let before = Usage::of(broker.process());
    let topics = topics::create(&mut client, "scale", count)?;
    let created = Usage::of(broker.process());
    produce_to_all(broker, &topics)?;
    let produced = Usage::of(broker.process());
    let mut row = vec![
        count.to_string(),
        format!("{:.2}", created.seconds_since(&before)),
        format!("{:.2}", created.cpu_since(&before)),
        format!("{:.1}", created.memory_mb()),
        format!("{:.2}", produced.seconds_since(&created)),
        format!("{:.2}", produced.cpu_since(&created)),
        format!("{:.1}", produced.memory_mb()),
        format!("{:.0}", produced.bytes_each_since(&before, count)),
    ];
    drop(client);
    match restarted(broker, &topics)? {
        Some(ready) => {
            row.extend([format!("{:.2}", ready.as_secs_f64()), format!("{:.1}", Usage::of(broker.process()).memory_mb())])
        }
        None => row.extend(["-".to_owned(), "-".to_owned()]),
    }
    Ok(row)
}

/// One record to each partition, a request for each topic.
fn produce_to_all(broker: &Broker, topics: &[Partitioned]) -> Result<(), String> {
    let batch = Batch::of_bytes(VALUE_BYTES).build();
    let mut pipeline: Pipeline<()> = Pipeline::new(broker.connect());
    for sized in topics {
        let batches: Vec<(i32, Bytes)> = (0..sized.partitions).map(|partition| (partition, batch.clone())).collect();
        pipeline.push(&topics::request(&sized.topic, batches))?;
    }
    pipeline.finish()
}

/// From the start until every partition of the last topic answers with its record; nothing for a broker that others have started.
fn restarted(broker: &mut Broker, topics: &[Partitioned]) -> Result<Option<Duration>, String> {
    let Some(listening) = broker.restart() else { return Ok(None) };
    let since = Instant::now();
    let mut client = broker.connect();
    let last = topics.last().ok_or("there is no topic")?;
    client.wait_led(&last.topic, last.partitions, START_LIMIT)?;
    let ends = client.list_offsets(&last.topic, 0..last.partitions, protocol_tests::offsets::LATEST);
    if let Some(wrong) = ends.iter().find(|end| end.offset != 1) {
        return Err(format!(
            "{}-{} ends at {} after the restart, not at 1",
            last.topic.name, wrong.partition_index, wrong.offset
        ));
    }
    Ok(Some(listening + since.elapsed()))
}
