//! The command line of `fbf`. Exit codes: 0 fine, 1 could not start or stop cleanly, 2 wrong usage or configuration, 130 a second signal
//! cut the stop short (70: a bug or a failed disk write, see [`crate::tasks`]).

use crate::config::Sources;
use crate::store::local::OnDamage;
use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

mod banner;
mod config_check;
mod descriptors;
mod hash_key;
mod memory;
mod repair;
mod runtimes;
mod serve;
mod signals;
mod version;

/// Wrong usage or configuration; what clap uses too.
const EXIT_USAGE: u8 = 2;
/// Could not start, or did not stop cleanly.
const EXIT_FAILED: u8 = 1;

#[derive(Debug, Parser)]
#[command(name = "fbf", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the broker; `fbf` alone does the same
    Serve(ServeArgs),
    /// Prints the version
    Version,
    /// Says what is wrong with a data directory that `serve` refuses; with --yes cuts its journal there
    Repair(RepairArgs),
    /// Reads an API key from standard input and prints its hash for `[http.projects.NAME] api_keys`
    HashKey,
    /// Looks at configurations
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Reads a configuration as `serve` would, and says whether it is right
    Check(ServeArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The data directory (storage.path; default ./fbf-data)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// An address to listen on, host:port; may be repeated (server.listen; default localhost:9092)
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// Keeps everything in memory: nothing is written, and all is gone at the end
    #[arg(long)]
    ephemeral: bool,
}

#[derive(Debug, Args)]
struct RepairArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The data directory (storage.path; default ./fbf-data)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Gives up what lies behind the damage
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration, TOML; see config.example.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting: section.key of the configuration, or a Kafka broker property; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// A server.properties of Kafka
    #[arg(long, value_name = "FILE")]
    properties: Option<PathBuf>,
}

impl ConfigArgs {
    fn into_sources(self) -> Sources {
        Sources { file: self.config, properties: self.properties, set: self.set, ..Sources::default() }
    }
}

impl ServeArgs {
    fn into_sources(self) -> Sources {
        Sources { data: self.data, listen: self.listen, ephemeral: self.ephemeral, ..self.config.into_sources() }
    }
}

/// Does what the command line asks. Returns when it is done, for `serve` after the drain.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::run(&args.into_sources()),
        Command::Version => version::run(),
        Command::HashKey => hash_key::run(),
        Command::Repair(RepairArgs { config, data, yes }) => {
            repair::run(&Sources { data, ..config.into_sources() }, if yes { OnDamage::Cut } else { OnDamage::Refuse })
        }
        Command::Config { command: ConfigCommand::Check(args) } => config_check::run(&args.into_sources()),
    }
}

/// Writes what a command found out to standard output, with a line feed, and answers how it ended: who asked has not heard it where that cannot be written.
fn tell(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(EXIT_FAILED, &format!("standard output cannot be written: {error}")),
    }
}

/// Says what is wrong, on one line of standard error.
fn fail(code: u8, what: &str) -> ExitCode {
    // Nobody may listen: the code says it as well.
    let _ = writeln!(std::io::stderr(), "error: {}", what.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn sources(args: &[&str]) -> Sources {
        let cli = Cli::try_parse_from([&["fbf"][..], args].concat()).expect("parses");
        match cli.command.unwrap_or(Command::Serve(cli.serve)) {
            Command::Serve(args) => args.into_sources(),
            other => panic!("{other:?} is not serve"),
        }
    }

    #[test]
    fn clap_finds_nothing_wrong_with_the_definitions() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default_subcommand() {
        let args = ["--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--set", "num.partitions=8", "--data", "/d", "--ephemeral"];
        for sources in [sources(&args), sources(&[&["serve"][..], &args[..]].concat())] {
            assert_eq!(sources.listen, ["127.0.0.1:0", "[::1]:0"]);
            assert_eq!(sources.set, ["num.partitions=8"]);
            assert_eq!(sources.data, Some(PathBuf::from("/d")));
            assert!(sources.ephemeral);
        }
    }

    #[test]
    fn unknown_flags_are_wrong_usage() {
        assert_eq!(Cli::try_parse_from(["fbf", "--lisen", "x"]).expect_err("no such flag").exit_code(), i32::from(EXIT_USAGE));
    }
}
