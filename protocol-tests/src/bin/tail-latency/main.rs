//! Measures latency at a fixed rate of arrival: each record has its time, is sent then whatever became of those before, and carries it, so that
//! a broker that stalls is charged for every record that was due meanwhile (no coordinated omission). Works on fbf and on Kafka.
//!
//! The latency of a record runs from when it was due to its acknowledgement, and to its receipt by a consumer; waiting for more records of its
//! request (linger) and for a free place in flight is part of it. Ends with 1 when a record is lost or comes twice.

mod cold;
mod consumer;
mod options;
mod payload;
mod producer;
mod report;
mod run;
mod schedule;
mod seen;
mod session;
mod slots;
mod waiting;

use cold::{Cold, Read};
use consumer::Received;
use options::{Options, USAGE};
use producer::Sent;
use protocol_tests::broker::{self, Broker};
use protocol_tests::latency::Latencies;
use protocol_tests::server::Launch;
use protocol_tests::topics::Topic;
use report::Report;
use run::Run;
use seen::Seen;
use std::process::ExitCode;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

/// fbf's default; the tests' is smaller.
const SEGMENT_BYTES: &str = "134217728";
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(what) => {
            eprintln!("{what}\n{USAGE}\n{}", broker::USAGE);
            return ExitCode::from(2);
        }
    };
    let report = match measure(&options) {
        Ok(report) => report,
        Err(what) => {
            eprintln!("{what}");
            return ExitCode::from(1);
        }
    };
    if options.is_json {
        println!("{}", report.json(&options));
    } else {
        println!("{}", report.text(&options));
    }
    if !report.is_sound() {
        eprintln!("{} records are lost, {} came twice", report.seen.lost(), report.seen.duplicates);
        return ExitCode::from(1);
    }
    ExitCode::SUCCESS
}

fn measure(options: &Options) -> Result<Report, String> {
    let broker = Broker::of(&options.given, Launch::new().set("storage.segment_bytes", SEGMENT_BYTES))?;
    let cold = if options.cold_gb > 0.0 { Some(Cold::write(&broker, options.cold_gb)?) } else { None };
    let partitions = i32::try_from(options.schedule.partitions).map_err(|error| format!("--partitions: {error}"))?;
    let mut client = broker.connect();
    let topic = client.create_topic("tail", partitions, &[]);
    client.wait_led(&topic, partitions, PATIENCE)?;
    load(options, &broker, &topic, cold.as_ref())
}

/// What the broker has used when the measured time begins, and ends.
struct Used {
    before: Duration,
    after: Duration,
}

fn load(options: &Options, broker: &Broker, topic: &Topic, cold: Option<&Cold>) -> Result<Report, String> {
    let run = Run::new(options, topic, broker.address(), producer::soon());
    let run = &run;
    let (sent, received, read, used) = std::thread::scope(|scope| {
        let consuming: Vec<ScopedJoinHandle<'_, Result<Received, String>>> =
            (0..options.consumers).map(|index| scope.spawn(move || or_finish(run, consumer::consume(run, index)))).collect();
        let producing: Vec<ScopedJoinHandle<'_, Result<(Sent, Latencies), String>>> = (0..options.schedule.producers)
            .map(|index| scope.spawn(move || or_finish(run, producer::produce(run, index))))
            .collect();
        let reading: Option<ScopedJoinHandle<'_, Result<Read, String>>> =
            cold.map(|cold| scope.spawn(move || or_finish(run, cold.read(run))));
        let used = watch(run, broker);
        let sent: Vec<Result<(Sent, Latencies), String>> = producing.into_iter().map(joined).collect();
        run.wait_received(options.schedule.total(), run.elapsed() + options.drain);
        run.finish();
        let received: Vec<Result<Received, String>> = consuming.into_iter().map(joined).collect();
        (sent, received, reading.map(joined), used)
    });
    let mut report = Report {
        sent: Sent::default(),
        seen: Seen::new(options.schedule.total()),
        fetches: 0,
        received: Latencies::new(),
        acknowledged: Latencies::new(),
        cold: read.transpose()?,
        cpu: Duration::ZERO,
        memory_bytes: 0,
        peak_memory_bytes: 0,
    };
    for producer in sent {
        let (sent, latencies) = producer?;
        report.sent.add(&sent);
        report.acknowledged.add(&latencies);
    }
    for consumer in received {
        let received = consumer?;
        report.fetches += received.fetches;
        report.received.add(&received.latencies);
        report.seen.add(&received.seen);
    }
    let used = used.ok_or("the run ended early")?;
    report.cpu = used.after.saturating_sub(used.before);
    report.memory_bytes = broker.process().memory_bytes();
    report.peak_memory_bytes = broker.process().peak_memory_bytes();
    Ok(report)
}

/// Waits for the end of the measured time; nothing when the run fails before.
fn watch(run: &Run<'_>, broker: &Broker) -> Option<Used> {
    run.wait_until(run.options.schedule.warm_up);
    if run.is_over() {
        return None;
    }
    let before = broker.process().cpu();
    run.wait_until(run.options.schedule.end());
    if run.is_over() {
        return None;
    }
    Some(Used { before, after: broker.process().cpu() })
}

/// A failure ends the run for all threads.
fn or_finish<T>(run: &Run<'_>, result: Result<T, String>) -> Result<T, String> {
    if result.is_err() {
        run.finish();
    }
    result
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, String>>) -> Result<T, String> {
    thread.join().unwrap_or_else(|_| Err("a thread of the load panicked".to_owned()))
}
