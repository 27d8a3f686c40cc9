//! The one binary; roles are subcommands. Invariant: nothing happens here that a test cannot drive through the library.

/// Memory in many small pieces, given back by other threads than took it, is what the door and the worker do all day.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    weir::cli::main()
}
