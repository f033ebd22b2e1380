//! The binary `fbf`: everything is in the library; here is only the way in.

use std::process::ExitCode;

fn main() -> ExitCode {
    fourbyfour_stream::cli::run()
}
