//! The one binary; roles are subcommands. Invariant: nothing happens here that a test cannot drive through the library.

fn main() -> std::process::ExitCode {
    weir::cli::main()
}
