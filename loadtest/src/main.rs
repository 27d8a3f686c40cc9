//! The `loadtest` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    loadtest::cli::run()
}
