//! The options of `tail-latency`.

use crate::payload;
use crate::schedule::Schedule;
use protocol_tests::broker;
use protocol_tests::options::Given;
use std::time::Duration;

const VALUED: [&str; 15] = [
    "--rate",
    "--bytes",
    "--partitions",
    "--producers",
    "--consumers",
    "--in-flight",
    "--linger-ms",
    "--seconds",
    "--warm-up-seconds",
    "--cold-gb",
    "--drain-seconds",
    "--fetch",
    broker::OPTIONS[0],
    broker::OPTIONS[1],
    broker::OPTIONS[2],
];

pub const USAGE: &str = "\
usage: tail-latency [OPTIONS]
  --rate 20000            records per second, each due at its time whatever happened to those before
  --bytes 1024            the size of a record's value
  --partitions 16         of the topic
  --producers 4           connections, acks=all
  --in-flight 5           requests of each of them that are not answered
  --linger-ms 1           how long a request waits for more records
  --consumers 4           connections, which share the partitions
  --fetch incremental     or full: with fetch sessions (KIP-227), or naming all partitions each time
  --seconds 30            measured, after
  --warm-up-seconds 5     which are not
  --drain-seconds 30      how long the last records may take to arrive
  --cold-gb 0             gigabytes of another topic, written before, that are read over and over while it is measured; fractions are taken
  --json                  one object instead of the table";

/// See [`USAGE`].
#[derive(Debug, Clone)]
pub struct Options {
    pub schedule: Schedule,
    pub record_bytes: usize,
    pub in_flight: usize,
    pub linger: Duration,
    pub consumers: u64,
    pub is_incremental: bool,
    pub drain: Duration,
    pub cold_gb: f64,
    pub is_json: bool,
    pub given: Given,
}

impl Options {
    /// # Errors
    /// What is wrong with which option.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let given = Given::parse(arguments, &VALUED, &["--json"])?;
        let schedule = Schedule {
            rate: given.positive("--rate", 20_000)?,
            producers: given.positive("--producers", 4)?,
            partitions: given.positive("--partitions", 16)?,
            warm_up: Duration::from_secs(given.number("--warm-up-seconds", 5)?),
            measured: Duration::from_secs(given.positive("--seconds", 30)?),
        };
        let record_bytes: usize = given.number("--bytes", 1024)?;
        if !(payload::BYTES_MIN..=900_000).contains(&record_bytes) {
            return Err(format!("--bytes {record_bytes}: {} to 900000", payload::BYTES_MIN));
        }
        let consumers = given.positive("--consumers", 4)?;
        if consumers > schedule.partitions {
            return Err(format!("--consumers {consumers}: more than the {} partitions", schedule.partitions));
        }
        let in_flight: usize = given.number("--in-flight", 5)?;
        if in_flight == 0 {
            return Err("--in-flight must be above 0".to_owned());
        }
        let cold_gb: f64 = given.number("--cold-gb", 0.0)?;
        if !(0.0..=1e6).contains(&cold_gb) {
            return Err(format!("--cold-gb {cold_gb}: 0 to 1000000"));
        }
        Ok(Options {
            schedule,
            record_bytes,
            in_flight,
            linger: linger(given.number("--linger-ms", 1.0)?)?,
            consumers,
            is_incremental: is_incremental(given.text("--fetch"))?,
            drain: Duration::from_secs(given.number("--drain-seconds", 30)?),
            cold_gb,
            is_json: given.is_given("--json"),
            given,
        })
    }
}

fn linger(milliseconds: f64) -> Result<Duration, String> {
    if !(0.0..=60_000.0).contains(&milliseconds) {
        return Err(format!("--linger-ms {milliseconds}: 0 to 60000"));
    }
    Ok(Duration::from_secs_f64(milliseconds / 1000.0))
}

fn is_incremental(word: Option<&str>) -> Result<bool, String> {
    match word {
        None | Some("incremental") => Ok(true),
        Some("full") => Ok(false),
        Some(other) => Err(format!("--fetch {other}: incremental or full")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Result<Options, String> {
        Options::parse(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn values_out_of_bounds_are_refused() {
        for words in [
            ["--rate", "0"],
            ["--bytes", "15"],
            ["--bytes", "1000000"],
            ["--consumers", "17"],
            ["--in-flight", "0"],
            ["--cold-gb", "-1"],
            ["--linger-ms", "-1"],
            ["--fetch", "some"],
            ["--seconds", "0"],
        ] {
            assert!(options(&words).is_err_and(|what| what.contains(words[0])), "{words:?}");
        }
    }

    #[test]
    fn defaults_are_the_ones_that_the_usage_names() {
        let options = options(&[]).unwrap();
        assert_eq!((options.schedule.rate, options.schedule.producers, options.schedule.partitions), (20_000, 4, 16));
        assert_eq!((options.record_bytes, options.in_flight, options.linger), (1024, 5, Duration::from_millis(1)));
        assert_eq!((options.schedule.warm_up, options.schedule.measured), (Duration::from_secs(5), Duration::from_secs(30)));
        assert!(options.is_incremental && !options.is_json);
    }

    #[test]
    fn fractions_of_gigabytes_and_milliseconds_are_taken() {
        let options = options(&["--cold-gb", "0.5", "--linger-ms", "0.5", "--fetch", "full", "--json"]).unwrap();
        assert!((options.cold_gb - 0.5).abs() < 1e-9);
        assert_eq!(options.linger, Duration::from_micros(500));
        assert!(options.is_json && !options.is_incremental);
    }
}
