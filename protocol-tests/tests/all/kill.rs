//! Goal: no acknowledged record lost, no offset used twice, no duplicate, no commit that goes back, over many `kill -9` under load.
//! Method: see `protocol_tests::kill`. `KILL_CYCLES` sets the number of kills, `KILL_SEED` repeats a run.

use protocol_tests::kill::{Options, command, run};

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kills_under_load() {
    let cycles = from_environment("KILL_CYCLES").unwrap_or(50);
    let seed = from_environment("KILL_SEED").unwrap_or_else(|| u64::try_from(protocol_tests::now_ms()).unwrap());
    let options = Options { cycles: u32::try_from(cycles).expect("KILL_CYCLES fits 32 bits"), seed, data: None };
    match run(&options) {
        Ok(report) => {
            println!("{report}");
            assert!(report.acknowledged > 0 && report.commits > 0, "a run without load proves nothing: {report}");
        }
        Err(what) => panic!("{what}\nrepeat with: {}", command(&options)),
    }
}
