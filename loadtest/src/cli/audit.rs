//! `audit`: judges journals that were kept.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;

use crate::audit::{Audit, Scope};
use crate::say;
use crate::stack::Target;

/// Options of `audit`.
#[derive(Debug, clap::Args)]
pub(super) struct AuditArgs {
    /// Journals of generators
    #[arg(required = true, value_name = "FILE")]
    journals: Vec<PathBuf>,
    /// A Postgres login that sees all accounts; that of `make up` when absent
    #[arg(long, env = "DATABASE_ADMIN_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Directory of `make up`
    #[arg(long, default_value = ".weir", value_name = "DIR")]
    dir: PathBuf,
    /// The database was made for these runs: a row of any other account is a finding
    #[arg(long)]
    everything: bool,
    /// Seconds nothing may move before what is missing counts as lost
    #[arg(long, default_value_t = 30, value_name = "S")]
    patience: u64,
    /// File for the verdict
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl AuditArgs {
    pub(super) fn run(self) -> anyhow::Result<bool> {
        if let Some(missing) = self.journals.iter().find(|path| !path.is_file()) {
            bail!("{} is not there", missing.display());
        }
        let audit = Audit {
            database_url: match self.database_url {
                Some(url) => url,
                None => Target::of(&self.dir)?.admin_url,
            },
            journals: self.journals,
            scope: if self.everything { Scope::Everything } else { Scope::Accounts },
            patience: Duration::from_secs(self.patience),
            deadline: Duration::from_secs(15),
        };
        let verdict = audit.run()?;
        say(format_args!("{verdict}"));
        if let Some(path) = &self.json {
            super::write_json(path, &verdict)?;
        }
        Ok(verdict.clean)
    }
}
