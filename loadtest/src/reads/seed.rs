//! A very large account, put into the store past the door. Invariant: what is seeded obeys the promise of the books: counts are
//! those of the rows.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tokio::time::Instant;
use weir::domain::time::Timestamp;

use crate::generate::scramble;
use crate::say;
use crate::stack::Stack;

/// An account of a usual size beside it.
pub const SMALL: &str = "small";

/// Its events: few, so one look at them makes its summary.
pub const SMALL_EVENTS: u64 = 1_000;

/// An account whose summary is made from its counts, and its users counted.
pub const MIDDLE: &str = "middle";

/// Its events.
const MIDDLE_EVENTS: u64 = 10_000;

/// Rows of one piece of a copy.
const PIECE: u64 = 20_000;

/// How long the worker may take to sketch what was seeded.
const SKETCHED_WITHIN: Duration = Duration::from_secs(1_200);

const COLUMNS: &str =
    "account_id, event_id, event_name, user_id, channel, occurred_at, received_at, schema_version, value";

/// How large the account is.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Size {
    /// Its events.
    pub events: u64,
    /// Its users.
    pub users: u64,
    /// First second; the start of a bucket.
    pub from: i64,
    /// Seconds its events are spread over.
    pub seconds: i64,
}

impl Size {
    /// So many events of so many users over the last day.
    pub fn of(events: u64, users: u64) -> Self {
        let now = Timestamp::now().unix_seconds();
        Self { events, users, from: (now - 86_400).div_euclid(900) * 900, seconds: 86_400 }
    }
}

/// Puts the accounts into the store.
///
/// # Errors
/// What Postgres says.
pub async fn seed(stack: &Stack, size: Size) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&stack.admin_url()).await?;
    copy(&mut connection, super::WHALE, size).await?;
    copy(&mut connection, SMALL, Size { events: SMALL_EVENTS, users: 100, ..size }).await?;
    copy(&mut connection, MIDDLE, Size { events: MIDDLE_EVENTS, users: 1_000, ..size }).await?;
    let counts = "INSERT INTO event_counts (account_id, bucket, event_name, channel, events, value_count, value_sum)
                  SELECT account_id, date_bin('15 minutes', occurred_at, 'epoch'), event_name, channel,
                         count(*), count(value), COALESCE(sum(value), 0)
                    FROM events GROUP BY 1, 2, 3, 4";
    for statement in [counts, "ANALYZE events", "ANALYZE event_counts"] {
        sqlx::raw_sql(statement).execute(&mut connection).await?;
    }
    Ok(())
}

async fn copy(connection: &mut PgConnection, account: &str, size: Size) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut into = connection.copy_in_raw(&format!("COPY events ({COLUMNS}) FROM STDIN")).await?;
    let mut piece = String::new();
    for n in 0..size.events {
        let second = size.from + (n as i128 * i128::from(size.seconds) / i128::from(size.events)) as i64;
        let (user, kind) = (scramble(n) % size.users, scramble(n ^ 0x5eed));
        let at = Timestamp::from_unix_seconds(second).context("a time of the account")?;
        writeln!(
            piece,
            "{account}\t{account}-{n}\tname-{}\tuser-{user}\t{}\t{at}\t{at}\t1\t{}",
            kind % 20,
            ["web", "mobile", "api"][(kind >> 8) as usize % 3],
            kind % 1_000
        )?;
        if (n + 1) % PIECE == 0 {
            into.send(std::mem::take(&mut piece).into_bytes()).await?;
        }
    }
    into.send(piece.into_bytes()).await?;
    let rows = into.finish().await?;
    ensure!(rows == size.events, "{rows} rows of {}", size.events);
    say(format_args!("{account}: {rows} events in {:.0} s", begun.elapsed().as_secs_f64()));
    Ok(())
}

/// Waits until the running worker has sketched every bucket of the large account.
///
/// # Errors
/// When it takes too long.
pub async fn wait_for_sketches(stack: &Stack, size: Size) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&stack.admin_url()).await?;
    let missing = format!(
        "SELECT count(*) FROM (SELECT bucket FROM event_counts WHERE account_id = '{0}' GROUP BY 1) AS own
           LEFT JOIN sketches ON sketches.account_id = '{0}' AND sketches.bucket = own.bucket AND event_name = ''
          WHERE sketches.bucket IS NULL",
        super::WHALE
    );
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(AssertSqlSafe(missing.clone())).fetch_one(&mut connection).await? > 0 {
        ensure!(begun.elapsed() < SKETCHED_WITHIN, "the worker has not sketched everything in time");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    say(format_args!("{} events sketched in {:.0} s", size.events, begun.elapsed().as_secs_f64()));
    Ok(())
}
