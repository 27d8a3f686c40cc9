//! The shortest of the faults, so that every run of the suite has seen the real binary die: two kills of a worker at work, and one
//! of an API, with the auditor as judge. `make chaos` plays the rest.

use std::path::PathBuf;

use loadtest::chaos::{KillRounds, Settings};
use loadtest::stack::{Role, weir_binary};

/// The service as this build has it: `cargo test --workspace` makes it beside the tests.
fn settings() -> Settings {
    let tests = std::env::current_exe().expect("this binary");
    let beside: PathBuf = tests.parent().and_then(|deps| deps.parent()).expect("the build's directory").join("weir");
    let weir = weir_binary(Some(beside)).expect("cargo test --workspace");
    Settings { weir, rate: 50.0, batch: None, outage: 1, older: None, keep: false }
}

#[test]
fn workers_and_doors_that_are_killed_lose_and_double_nothing() {
    let kills = KillRounds { roles: vec![Role::Worker, Role::Api], rounds: 3, fail_point: None };
    let outcome = kills.run(&settings()).expect("a verdict");
    assert!(outcome.passed && outcome.verdict.findings.accepted > 0, "{outcome}");
}
