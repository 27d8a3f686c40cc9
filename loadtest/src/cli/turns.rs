//! What every comparison of arms on private stacks can be told. Invariant: an option has one name and one default wherever it is offered.

use std::path::PathBuf;
use std::time::Duration;

use crate::stack::weir_binary;

/// Options of `bench` and `ratios`.
#[derive(Debug, clap::Args)]
pub(super) struct Turns {
    /// The binary under test; `weir` beside this one when absent (`cargo build --release` for figures that count)
    #[arg(long, value_name = "FILE")]
    weir: Option<PathBuf>,
    /// Rounds that count, after one that warms up
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(super) rounds: u32,
    /// Seconds of a round
    #[arg(long, default_value_t = 5, value_name = "S")]
    seconds: u64,
    /// Connections that send
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub(super) connections: usize,
    /// Events of a round of arms that count events and not seconds
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub(super) events: u64,
    /// A variable for the service, `NAME=VALUE`
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) variables: Vec<(String, String)>,
}

impl Turns {
    /// The binary under test.
    pub(super) fn weir(&self) -> anyhow::Result<PathBuf> {
        weir_binary(self.weir.clone())
    }

    /// Length of a round.
    pub(super) fn run_for(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("NAME=VALUE is needed".to_owned()),
    }
}
