//! Measures how a broker carries much of something: partitions, connections, waiting consumers, records to look up by time, transactional ids,
//! a log to compact, data to recover, and clients that ask for too much. A row for each count shows how memory and processor time grow. Works on
//! fbf and, where it need not be restarted, on Kafka. Ends with 1 where something is wrong, not where it is slow.

mod abuse;
mod by_time;
mod compaction;
mod connections;
mod options;
mod partitions;
mod recovery;
mod topics;
mod transactional_ids;
mod usage;
mod waiting;

use options::{USAGE, What};
use protocol_tests::broker;
use std::process::ExitCode;

fn main() -> ExitCode {
    let (what, given) = match options::parse(std::env::args().skip(1)) {
        Ok(parsed) => parsed,
        Err(what) => {
            eprintln!("{what}\n{USAGE}\n{}", broker::USAGE);
            return ExitCode::from(2);
        }
    };
    let measured = match what {
        What::Partitions => partitions::measure(&given),
        What::Connections => connections::measure(&given),
        What::Waiting => waiting::measure(&given),
        What::ByTime => by_time::measure(&given),
        What::TransactionalIds => transactional_ids::measure(&given),
        What::Compaction => compaction::measure(&given),
        What::Recovery => recovery::measure(&given),
        What::Abuse => abuse::measure(&given),
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::from(1)
        }
    }
}
