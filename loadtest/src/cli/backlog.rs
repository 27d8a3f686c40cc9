//! `backlog`: what a large account's backlog costs small ones, with lanes and without.

use std::path::PathBuf;

use crate::backlog::measure;
use crate::say;
use crate::stack::weir_binary;

/// Options of `backlog`.
#[derive(Debug, clap::Args)]
pub(super) struct BacklogArgs {
    /// The binary under test; `weir` beside this one when absent
    #[arg(long, value_name = "FILE")]
    weir: Option<PathBuf>,
    /// Events the large account piles up
    #[arg(long, default_value_t = 200_000, value_name = "N", value_parser = clap::value_parser!(u64).range(20_000..))]
    events: u64,
    /// File for the figures
    #[arg(long, default_value = "loadtest/out/backlog.json", value_name = "FILE")]
    json: PathBuf,
}

impl BacklogArgs {
    pub(super) fn run(self) -> anyhow::Result<bool> {
        let figures = measure(&weir_binary(self.weir)?, self.events)?;
        super::write_json(&self.json, &figures)?;
        let [with, without] = &figures.arms[..] else { return Ok(false) };
        // One instance, and one batch that crosses the bound.
        let in_standard = figures.piled - with.in_bulk;
        let held = in_standard <= with.bound + 1_000 && with.own_partition.max_ms < without.own_partition.max_ms;
        say(format_args!(
            "in the standard lane: {in_standard}; own partition, last of the small accounts: {:.0} ms with lanes, {:.0} ms without: {}",
            with.own_partition.max_ms,
            without.own_partition.max_ms,
            if held { "held" } else { "missed" }
        ));
        Ok(held)
    }
}
