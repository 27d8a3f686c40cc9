//! One batch, one transaction. The steps, each in a file of its own:
//!
//! 1. [`plan`]: sort by (account, event id) and drop what stands twice, so that two writers always lock in the same order;
//! 2. [`copy`] the rows while nothing says that some may be there already ([`caution`]); else, or when COPY was refused for a row
//!    that is there, [`insert`] what is absent in a transaction anew. Either way it is known which rows are new;
//! 3. [`counts`]: add up the new rows and upsert the sums, in key order, last, so that hot counts are locked briefly;
//! 4. [`progress`]: note how far the log is settled;
//! 5. commit.
//!
//! Invariant: counts change by exactly the rows that step 2 made, in the same transaction. A crash before the commit leaves
//! nothing; a crash after it is seen by the next try as duplicates.
//!
//! COPY locks its keys partition by partition, not in the order of the batch: two writers that share keys can deadlock there. The
//! one that Postgres breaks off goes the safe way, like one that met a row.

mod caution;
mod copy;
mod counts;
mod dead_letters;
mod insert;
mod numeric;
mod plan;
mod progress;
mod retire;
mod sketches;
mod sum;

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Error, Postgres, Transaction};

pub(super) use caution::Caution;
pub use dead_letters::SetAside;
pub(super) use dead_letters::index;
pub(super) use progress::progress;
pub use retire::Retired;
pub(super) use retire::step as retire;
pub use sketches::Bucket;
pub(super) use sketches::{build, stale, stale_of};

use super::fail_point::{FailPoint, Place};
use super::metrics;
use super::sql_error::is_collision;
use super::worker_store::{Progress, Written};
use crate::domain::event::Event;

/// Writes one batch and its progress.
pub(super) async fn batch(
    connection: &mut PgConnection,
    limit: Duration,
    (batch, settled): (&[Event<'_>], &[Progress]),
    caution: &Caution,
    fail_point: Option<&FailPoint>,
) -> Result<Written, Error> {
    // Transactions that only note progress are none of those the kill tests mean.
    let fail_point = fail_point.filter(|_| !batch.is_empty());
    let order = plan::order(batch);
    let mut attempt = Attempt { connection, limit, batch, order: &order, settled, fail_point };
    let fresh = match attempt.optimistic(caution).await? {
        Tried::Well(fresh) => fresh,
        // That some of it is there is no news.
        Tried::InVain => attempt.safe().await?,
        Tried::Not => {
            let fresh = attempt.safe().await?;
            caution.inserted(order.len(), fresh.len());
            fresh
        }
    };
    let mut new = vec![false; batch.len()];
    for &at in &fresh {
        new[at] = true;
    }
    Ok(Written { inserted: fresh.len(), duplicates: batch.len() - fresh.len(), new })
}

/// What became of a COPY.
enum Tried {
    /// It made these rows.
    Well(Vec<usize>),
    /// It met a row that is there, and left nothing.
    InVain,
    /// This batch is not for it.
    Not,
}

struct Attempt<'a, 'e> {
    connection: &'a mut PgConnection,
    limit: Duration,
    batch: &'a [Event<'e>],
    order: &'a [usize],
    settled: &'a [Progress],
    fail_point: Option<&'a FailPoint>,
}

impl Attempt<'_, '_> {
    /// By COPY.
    async fn optimistic(&mut self, caution: &Caution) -> Result<Tried, Error> {
        if !caution.tries_copy(self.order.len()) {
            return Ok(Tried::Not);
        }
        let Some(rows) = copy::Rows::of(self.batch, self.order) else { return Ok(Tried::Not) };
        let mut transaction = self.connection.begin_with(AssertSqlSafe(begin(self.limit))).await?;
        let complete = match rows.send(&mut transaction).await {
            Err(refused) if is_collision(&refused) => false,
            sent => sent?,
        };
        if !complete {
            transaction.rollback().await?;
            metrics::copied_in_vain();
            caution.in_vain();
            return Ok(Tried::InVain);
        }
        let fresh = self.order.to_vec();
        finish(transaction, self.batch, &fresh, self.settled, self.fail_point).await?;
        caution.copied();
        metrics::copied();
        Ok(Tried::Well(fresh))
    }

    /// By INSERT of what is absent.
    async fn safe(&mut self) -> Result<Vec<usize>, Error> {
        let mut transaction = self.connection.begin_with(AssertSqlSafe(begin(self.limit))).await?;
        let fresh = insert::absent(&mut transaction, self.batch, self.order).await?;
        finish(transaction, self.batch, &fresh, self.settled, self.fail_point).await?;
        if !self.batch.is_empty() {
            metrics::inserted();
        }
        Ok(fresh)
    }
}

/// Counts the rows just made, notes the progress and commits.
async fn finish(
    mut transaction: Transaction<'_, Postgres>,
    batch: &[Event<'_>],
    fresh: &[usize],
    settled: &[Progress],
    fail_point: Option<&FailPoint>,
) -> Result<(), Error> {
    counts::add(&mut transaction, batch, fresh).await?;
    progress(&mut transaction, settled).await?;
    pass(fail_point, Place::AfterInsert);
    transaction.commit().await?;
    pass(fail_point, Place::AfterCommit);
    Ok(())
}

/// Opens the transaction with its deadlines in one round trip. A worker that is frozen inside it holds locks: Postgres ends it
/// then, so that the others can go on.
fn begin(limit: Duration) -> String {
    let ms = limit.as_millis();
    format!("BEGIN; SET LOCAL statement_timeout = {ms}; SET LOCAL idle_in_transaction_session_timeout = {ms}")
}

fn pass(fail_point: Option<&FailPoint>, place: Place) {
    if let Some(point) = fail_point {
        point.pass(place);
    }
}

#[cfg(test)]
mod samples {
    use crate::domain::event::{Channel, Event};
    use crate::domain::id::{AccountId, EventId};
    use crate::domain::time::Timestamp;

    pub(super) fn event(account: &str, id: &str) -> Event<'static> {
        let epoch = Timestamp::from_unix_seconds(0).expect("epoch");
        Event {
            event_id: EventId::new(id).expect("id"),
            account_id: AccountId::new(account).expect("account"),
            event_name: "click".into(),
            user_id: "u".into(),
            channel: Channel::Web,
            source: None,
            campaign_id: None,
            timestamp: epoch,
            tags: Vec::new(),
            value: None,
            schema_version: 1,
            metadata: None,
            received_at: epoch,
        }
    }

    pub(super) fn with_value(account: &str, id: &str, value: &'static str) -> Event<'static> {
        Event { value: Some(value.into()), ..event(account, id) }
    }
}
