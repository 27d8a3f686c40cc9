//! Reading one account. Invariant: a transaction here names its account before its first query, is read-only and sees one
//! instant, so numbers of one answer agree with each other and with its `data_as_of`.

mod buckets;
pub(super) mod events;
mod few;
pub(super) mod freshness;
pub(super) mod metrics;
pub(super) mod minutes;
pub(super) mod sketches;
pub(super) mod summary;
pub(super) mod tops;
pub(super) mod trace;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Error, Postgres, Transaction};

use crate::domain::id::AccountId;
use crate::domain::time::SECOND;

/// Opens the transaction of one answer, in one round trip.
pub(super) async fn begin<'c>(
    connection: &'c mut PgConnection,
    account: &AccountId,
    limit: Duration,
) -> Result<Transaction<'c, Postgres>, Error> {
    connection.begin_with(AssertSqlSafe(opening(account, limit))).await
}

/// `SET LOCAL` and not `set_config`, because Citus passes on only the former, and because it shares the round trip of `BEGIN`.
/// It takes no bind parameters, hence [`literal`]. Without Citus its setting is a placeholder nobody reads.
fn opening(account: &AccountId, limit: Duration) -> String {
    let (ms, account) = (limit.as_millis(), literal(account.as_str()));
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
         SET LOCAL statement_timeout = {ms}; SET LOCAL idle_in_transaction_session_timeout = {ms}; \
         SET LOCAL citus.propagate_set_commands = 'local'; SET LOCAL app.account_id = {account}"
    )
}

/// The statements of readers by name, so that tests can ask Postgres what they cost.
pub(super) fn statements() -> [(&'static str, &'static str); 9] {
    [
        ("event", events::ONE),
        ("page", events::PAGE),
        ("latest", events::LATEST),
        ("few", few::FEW),
        ("buckets", summary::BUCKETS),
        ("edges", summary::EDGES),
        ("active", summary::ACTIVE),
        ("measure", metrics::measure_sql(Some(metrics::GroupBy::Hour))),
        ("trace", trace::DEAD),
    ]
}

/// Unix seconds as Postgres takes them.
pub(super) fn second(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(seconds * SECOND).unwrap_or_default()
}

/// A text as an SQL literal that reads the same under every setting of `standard_conforming_strings` and `backslash_quote`.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(literal("acme"), "E'acme'");
        assert_eq!(literal("';RESET--"), "E''';RESET--'");
        assert_eq!(literal(r"\';x"), r"E'\\'';x'");
    }
}
