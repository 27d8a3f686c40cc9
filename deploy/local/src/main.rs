//! The command `weir-local`: what `make up`, `make down` and their kin do. Invariant: it prints what a person needs to
//! know and nothing else; a failure is one sentence on stderr and a status other than 0.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir-local: {error:#}");
            ExitCode::FAILURE
        }
    }
}
