//! Rows put into the events table by binary COPY: the ceiling of storing. Invariant: the rows are those the worker stored a
//! moment ago, taken out and put back as they are, so both arms write the same bytes into the same table and indexes.

use anyhow::{Context, ensure};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tokio::time::Instant;

use futures_util::TryStreamExt;

use crate::bench::{Arm, Sample};
use crate::cpu;
use crate::stack::Stack;

/// Bytes of one piece of the copy, about what the worker sends in a batch.
const PIECE: usize = 512 << 10;

/// The arm; the worker stands still.
pub struct RawCopy<'a> {
    /// The stack whose table it is.
    pub stack: &'a Stack,
    /// Rows of a round.
    pub events: u64,
}

impl RawCopy<'_> {
    /// Takes the newest rows out of the table and puts them back.
    async fn exchange(&self) -> anyhow::Result<Sample> {
        let mut connection = PgConnection::connect(&self.stack.admin_url()).await?;
        let newest = format!("SELECT * FROM events ORDER BY received_at DESC LIMIT {}", self.events);
        let out = format!("COPY ({newest}) TO STDOUT (FORMAT binary)");
        let mut rows = Vec::new();
        let mut pieces = connection.copy_out_raw(AssertSqlSafe(out).0.as_str()).await?;
        while let Some(piece) = pieces.try_next().await? {
            rows.extend_from_slice(&piece);
        }
        drop(pieces);
        sqlx::raw_sql("TRUNCATE events").execute(&mut connection).await?;
        let meter = self.stack.meter();
        let (before, start) = (meter.read(), Instant::now());
        let mut into = connection.copy_in_raw("COPY events FROM STDIN (FORMAT binary)").await?;
        for piece in rows.chunks(PIECE) {
            into.send(piece).await?;
        }
        let copied = into.finish().await?;
        let seconds = start.elapsed().as_secs_f64();
        let mut cpu = cpu::between(&before, &meter.read());
        ensure!(copied > 0, "the table was empty");
        // The client's part of the work is this process's.
        let client = cpu.remove(cpu::GENERATOR).context("own time")?;
        cpu.insert("worker".to_owned(), client);
        connection.close().await?;
        Ok(Sample { events: copied, seconds, cpu })
    }
}

impl Arm for RawCopy<'_> {
    fn name(&self) -> &str {
        "raw COPY"
    }

    fn round(&mut self) -> anyhow::Result<Sample> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.exchange())
    }
}
