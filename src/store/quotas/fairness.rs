//! Who got how much of what they were entitled to, and when somebody asked for too much. Invariant: a minute's entitlement is the smaller of
//! what was offered and the limit of the account.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Row};

use crate::domain::id::AccountId;

/// Use of an account over some minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountUse {
    /// The account.
    pub account_id: String,
    /// Events offered.
    pub offered: i64,
    /// Those accepted.
    pub accepted: i64,
    /// Those refused.
    pub refused: i64,
    /// By minute, what was offered up to the limit.
    pub entitled: i64,
}

/// Hours (Unix seconds of their beginning) and accounts that were over a limit in them.
pub type Spikes = Vec<(i64, String)>;

const USED: &str = "
    WITH own AS (SELECT * FROM UNNEST($4::text[], $5::bigint[]) AS own (account_id, most))
    SELECT u.account_id, sum(offered)::bigint, sum(accepted)::bigint, sum(refused)::bigint,
           sum(least(offered, coalesce(own.most, $3)))::bigint
      FROM usage_minutes u LEFT JOIN own ON own.account_id = u.account_id COLLATE \"C\"
     WHERE minute >= to_timestamp($1) AND minute < to_timestamp($2)
     GROUP BY u.account_id ORDER BY 2 DESC, 1 LIMIT $6";

const SPIKES: &str = "
    SELECT DISTINCT extract(epoch FROM minute)::bigint / 3600 * 3600, account_id FROM usage_minutes
     WHERE minute >= to_timestamp($1) AND minute < to_timestamp($2) AND refused > 0 ORDER BY 1, 2 LIMIT $3";

/// `limits` are those that differ from `default`, in events a minute.
pub(super) async fn used(
    tx: &mut PgConnection,
    (from, to): (i64, i64),
    (default, limits): (i64, &[(AccountId, i64)]),
    most: i64,
) -> Result<Vec<AccountUse>, Error> {
    let rows = sqlx::query(USED)
        .bind(from as f64)
        .bind(to as f64)
        .bind(default)
        .bind(limits.iter().map(|(account, _)| account.as_str()).collect::<Vec<_>>())
        .bind(limits.iter().map(|(_, limit)| *limit).collect::<Vec<_>>())
        .bind(most)
        .fetch_all(tx)
        .await?;
    let read = |row: &PgRow| {
        let (account_id, offered, accepted) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(AccountUse { account_id, offered, accepted, refused: row.try_get(3)?, entitled: row.try_get(4)? })
    };
    rows.iter().map(read).collect()
}

pub(super) async fn spikes(tx: &mut PgConnection, (from, to): (i64, i64), most: i64) -> Result<Spikes, Error> {
    sqlx::query_as(SPIKES).bind(from as f64).bind(to as f64).bind(most).fetch_all(tx).await
}
