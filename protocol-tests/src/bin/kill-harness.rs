//! Runs the kill harness by hand: `kill-harness [--cycles N] [--seed S] [--data DIR]`. Exits with 1 when a rule is broken.

use protocol_tests::kill::{self, Options};
use std::process::ExitCode;

const USAGE: &str =
    "usage: kill-harness [--cycles N] [--seed S] [--data DIR]; the binary under test is FBF_BIN, or fbf beside this one";

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(what) => {
            eprintln!("{what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match kill::run(&options) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(what) => {
            eprintln!("{what}\nrepeat with: {}", kill::command(&options));
            ExitCode::from(1)
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let seed = u64::try_from(protocol_tests::now_ms()).unwrap_or_default();
    let mut options = Options { cycles: 50, seed, data: None };
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = |value: &str| value.parse::<u64>().map_err(|error| format!("{name} {value}: {error}"));
        match name.as_str() {
            "--cycles" => options.cycles = u32::try_from(number(&value)?).map_err(|error| format!("{name} {value}: {error}"))?,
            "--seed" => options.seed = number(&value)?,
            "--data" => options.data = Some(value.into()),
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(options)
}
