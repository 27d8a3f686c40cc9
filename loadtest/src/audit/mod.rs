//! The auditor: holds what was answered against what is stored. Steps: read the journals → wait until the worker stands still →
//! read rows and counts in one snapshot → compare → verdict. Invariant: it only reads, and it says "clean" only when it has
//! looked at every event that was sent and every row that is there.
//!
//! A dead letter is not a row: an accepted event that the worker set aside counts as lost, since no event of the generator gives
//! the worker a reason to.

mod compare;
mod database;
mod ledger;
mod order;
mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

pub use compare::{Comparison, Deviation, Findings};
pub use database::Scope;
pub use ledger::{End, Ledger, Tried};
pub use verdict::Verdict;

/// What to audit.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Journals of the generators.
    pub journals: Vec<PathBuf>,
    /// A login that sees all accounts.
    pub database_url: String,
    /// Which rows.
    pub scope: Scope,
    /// How long nothing may move before what is missing counts as lost.
    pub patience: Duration,
    /// Deadline of an answer.
    pub deadline: Duration,
}

impl Audit {
    /// Runs all steps.
    ///
    /// # Errors
    /// When a journal or the database cannot be read: there is no verdict then.
    pub fn run(&self) -> anyhow::Result<Verdict> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.judge())
    }

    async fn judge(&self) -> anyhow::Result<Verdict> {
        let ledger = Ledger::read(&self.journals).context("reading the journals")?;
        let settled = database::settle(&self.database_url, &ledger, self.patience).await.context("asking the store")?;
        let accounts = ledger.accounts();
        let deadline = i64::try_from(self.deadline.as_micros()).unwrap_or(i64::MAX >> 1);
        let mut comparison = Comparison::new(ledger, deadline);
        database::read(&self.database_url, self.scope, &accounts, &mut comparison)
            .await
            .context("reading the store")?;
        Ok(Verdict::new(comparison.finish(), settled))
    }
}
