//! `weir slo-rules`: alert rules from the objectives. Invariant: reads the objectives only, and writes to stdout only.

use std::path::PathBuf;

use anyhow::Context as _;

use super::serve;
use crate::slo::{objectives::Objectives, rules};

#[derive(Debug, clap::Args)]
pub(super) struct SloRulesArgs {
    /// File of objectives; the embedded ones when absent
    #[arg(long, env = "WEIR_SLO_FILE", value_name = "PATH")]
    slo_file: Option<PathBuf>,
}

pub(super) fn print(args: &SloRulesArgs) -> anyhow::Result<()> {
    let objectives = Objectives::load(args.slo_file.as_deref()).context("the objectives are not usable")?;
    serve::print(&rules::document(&objectives))
}
