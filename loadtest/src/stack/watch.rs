//! How far storing has come, asked again and again on one connection. Invariant: asking costs next to nothing, so that it may be done
//! while the cost of storing is measured; a process and a login for each question would be a tenth of what is measured.

use anyhow::Context;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::runtime::{Builder, Runtime};

use super::Stack;

/// How many events are stored.
pub(super) const STORED: &str = "SELECT coalesce(sum(events), 0)::bigint FROM event_counts";

/// A connection that counts.
pub struct Watch {
    runtime: Runtime,
    connection: PgConnection,
}

impl Watch {
    /// Connects as superuser.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub fn open(stack: &Stack) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let connection = runtime.block_on(PgConnection::connect(&stack.admin_url())).context("Postgres")?;
        Ok(Self { runtime, connection })
    }

    /// Events stored so far; as [`Stack::stored`].
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub fn stored(&mut self) -> anyhow::Result<u64> {
        let sum = sqlx::query_scalar::<_, i64>(STORED);
        let stored = self.runtime.block_on(sum.fetch_one(&mut self.connection))?;
        Ok(u64::try_from(stored)?)
    }
}
