//! `agree`: whether two runs of `ratios` say the same, and their rows for a page.

use std::path::PathBuf;

use crate::ratios::KeptTable;
use crate::say;

/// Options of `agree`.
#[derive(Debug, clap::Args)]
pub(super) struct AgreeArgs {
    /// What a run of `ratios` wrote
    #[arg(value_name = "FILE")]
    first: PathBuf,
    /// What another wrote; without it the rows of the first are printed as Markdown
    #[arg(value_name = "FILE")]
    second: Option<PathBuf>,
}

impl AgreeArgs {
    pub(super) fn run(self) -> anyhow::Result<bool> {
        let first = KeptTable::read(&self.first)?;
        let Some(second) = self.second else {
            first.rows().iter().for_each(|row| say(format_args!("{row}")));
            return Ok(true);
        };
        let agreement = first.beside(&KeptTable::read(&second)?);
        say(format_args!("{agreement}"));
        Ok(agreement.all())
    }
}
