//! A producer: sends each record at its time, whatever became of those before, and measures how long the acknowledgement takes from then on.
//! One thread sends, another one reads the answers.

use crate::run::{Run, sleep_until};
use crate::slots::Slots;
use crate::waiting::Waiting;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_response::ProduceResponse;
use protocol_tests::broker;
use protocol_tests::client::Client;
use protocol_tests::latency::Latencies;
use protocol_tests::pipeline::accepted;
use protocol_tests::records::{PRODUCE_BY_NAME, produce_topic};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// One request: when its records were due.
struct InFlight {
    correlation_id: i32,
    due: Vec<Duration>,
}

/// What one producer has sent.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    pub records: u64,
    pub requests: u64,
    /// How much later than its time the latest measured request was sent, which waited for a slot or for this program.
    pub behind: Duration,
    /// When the last record was sent, from the start of the run.
    pub last: Duration,
}

impl Sent {
    pub fn add(&mut self, other: &Sent) {
        self.records += other.records;
        self.requests += other.requests;
        self.behind = self.behind.max(other.behind);
        self.last = self.last.max(other.last);
    }
}

/// Sends the records of producer `index`, and answers when all are acknowledged.
pub fn produce(run: &Run<'_>, index: u64) -> Result<(Sent, Latencies), String> {
    let client = broker::patient(run.address);
    let answers = client.twin();
    let slots = Slots::new(run.options.in_flight);
    let (told, heard) = channel::<InFlight>();
    let (sent, acknowledged): (Result<Sent, String>, Result<Latencies, String>) = std::thread::scope(|scope| {
        let acknowledging = scope.spawn(|| acknowledge(run, answers, heard, &slots));
        let sent = send(run, index, client, told, &slots);
        (sent, acknowledging.join().expect("the thread that reads answers does not panic"))
    });
    // What the broker said comes first: the sender only knows that no more answers come.
    let latencies = acknowledged.map_err(|what| format!("producer {index}: {what}"))?;
    let sent = sent.map_err(|what| format!("producer {index}: {what}"))?;
    Ok((sent, latencies))
}

fn send(run: &Run<'_>, index: u64, mut client: Client, told: Sender<InFlight>, slots: &Slots) -> Result<Sent, String> {
    let schedule = &run.options.schedule;
    let total = schedule.total();
    let mut sent = Sent::default();
    let mut waiting = Waiting::new(schedule, run.options.record_bytes);
    let mut next = index;
    while next < total && !run.is_over() {
        sleep_until(run.start + schedule.intended(next));
        next = waiting.collect(schedule, next, run.elapsed());
        let first = waiting.first.unwrap_or_else(|| schedule.intended(next));
        let due = first + run.options.linger;
        if !waiting.is_full {
            sleep_until(run.start + due);
        }
        if !slots.take() {
            return Err("no more answers come".to_owned());
        }
        next = waiting.collect(schedule, next, run.elapsed());
        let now = run.elapsed();
        let (batches, records_due) = waiting.take(schedule);
        if schedule.is_measured(first) {
            sent.behind = sent.behind.max(now.saturating_sub(due));
        }
        sent.records += records_due.len() as u64;
        sent.requests += 1;
        sent.last = now;
        let request: ProduceRequest = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![produce_topic(run.topic, batches)]);
        let correlation_id = client.send(PRODUCE_BY_NAME, &request).map_err(|failure| failure.to_string())?;
        // When nobody hears it, there is no next slot either.
        let _ = told.send(InFlight { correlation_id, due: records_due });
    }
    Ok(sent)
}

fn acknowledge(run: &Run<'_>, mut client: Client, heard: Receiver<InFlight>, slots: &Slots) -> Result<Latencies, String> {
    let mut latencies = Latencies::new();
    for request in heard {
        let answered = client
            .receive::<ProduceRequest>(PRODUCE_BY_NAME, request.correlation_id)
            .map_err(|failure| failure.to_string())
            .and_then(|response: ProduceResponse| accepted(&response));
        let now = run.start.elapsed();
        if let Err(what) = answered {
            slots.close();
            return Err(what);
        }
        slots.give();
        for due in request.due.iter().filter(|due| run.options.schedule.is_measured(**due)) {
            latencies.record(now.saturating_sub(*due));
        }
    }
    Ok(latencies)
}

/// The moment at which a run begins that starts its threads now.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_millis(200)
}
