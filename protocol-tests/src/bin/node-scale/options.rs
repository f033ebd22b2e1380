//! What to measure, and how much of it.

use protocol_tests::broker;
use protocol_tests::options::Given;

pub const USAGE: &str = "\
usage: node-scale WHAT [OPTIONS]
  partitions --counts 1000,10000,100000       create, produce a little to each, restart (fbf only)
  connections --counts 100,1000,10000         idle, then one slow producer each: --idle-seconds 10 --seconds 20 --every-ms 10000
  waiting --count 1000                        consumers that wait for their own partitions: --seconds 10 --produces 2000
  by-time --records 100000000                 offsets by timestamp, and a fetch from there: --look-ups 1000
  transactional-ids --count 10000             live ones, each with one transaction: --connections 8
  compaction --gb 2 --keys 10000              a producer alone, and beside the compaction of another topic: --seconds 10
  recovery --gb 10 --partitions 10000         kill -9 under full load, at a tenth of the size before (fbf only)
  abuse --budget-mb 512                       consumers, producers and readers that ask for too much, for --seconds 30: --consumers 1000
                                              --producers 2000 --stopped 10 --fill-mb 400; peak memory beyond the budgets: --constant-mb 320";

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Partitions,
    Connections,
    Waiting,
    ByTime,
    TransactionalIds,
    Compaction,
    Recovery,
    Abuse,
}

impl What {
    fn of(word: &str) -> Option<What> {
        match word {
            "partitions" => Some(What::Partitions),
            "connections" => Some(What::Connections),
            "waiting" => Some(What::Waiting),
            "by-time" => Some(What::ByTime),
            "transactional-ids" => Some(What::TransactionalIds),
            "compaction" => Some(What::Compaction),
            "recovery" => Some(What::Recovery),
            "abuse" => Some(What::Abuse),
            _ => None,
        }
    }

    /// Its own options.
    fn names(self) -> &'static [&'static str] {
        match self {
            What::Partitions => &["--counts"],
            What::Connections => &["--counts", "--idle-seconds", "--seconds", "--every-ms"],
            What::Waiting => &["--count", "--seconds", "--produces"],
            What::ByTime => &["--records", "--look-ups"],
            What::TransactionalIds => &["--count", "--connections"],
            What::Compaction => &["--gb", "--keys", "--seconds"],
            What::Recovery => &["--gb", "--partitions"],
            What::Abuse => &["--budget-mb", "--constant-mb", "--seconds", "--consumers", "--producers", "--stopped", "--fill-mb"],
        }
    }
}

/// The measurement and its options.
///
/// # Errors
/// What is wrong with them.
pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<(What, Given), String> {
    let word = arguments.next().ok_or("what should be measured?")?;
    let what = What::of(&word).ok_or_else(|| format!("unknown measurement {word}"))?;
    let names: Vec<&str> = what.names().iter().chain(broker::OPTIONS.iter()).copied().collect();
    Ok((what, Given::parse(arguments, &names, &[])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<(What, Given), String> {
        parse(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn a_measurement_takes_its_own_options_only() {
        assert!(parsed(&[]).is_err());
        assert!(parsed(&["everything"]).is_err_and(|what| what.contains("everything")));
        assert!(parsed(&["waiting", "--counts", "1"]).is_err_and(|what| what.contains("--counts")));
        let (what, given) = parsed(&["partitions", "--counts", "1,2", "--set", "storage.sync=os"]).unwrap();
        assert_eq!((what, given.counts("--counts", &[])), (What::Partitions, Ok(vec![1, 2])));
    }

    #[test]
    fn every_measurement_is_in_the_usage_with_its_options() {
        for word in ["partitions", "connections", "waiting", "by-time", "transactional-ids", "compaction", "recovery", "abuse"] {
            let what = What::of(word).unwrap();
            assert!(USAGE.contains(&format!("\n  {word} ")), "{word}");
            assert!(what.names().iter().all(|name| USAGE.contains(name)), "{what:?}");
        }
    }
}
