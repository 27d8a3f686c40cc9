//! Reading quotas. Invariant: an account's quota and its overrides are read in one statement, so they are of one instant.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Error, Row};

use super::document;
use crate::domain::id::AccountId;
use crate::domain::quota::{QuotaOverride, StoredQuota};
use crate::domain::time::Timestamp;

/// An account and what is stored for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The account.
    pub account: AccountId,
    /// What is stored.
    pub stored: StoredQuota,
}

/// An override and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverrideRow {
    /// The override.
    pub change: QuotaOverride,
    /// Who ended it before its time.
    pub ended_by: Option<String>,
}

/// One row an override; the quota's columns are repeated, an account without overrides has one row with nulls.
const ROWS: &str = "
    SELECT q.account_id, q.version, q.quota::text, o.override_id, o.quota::text, o.starts_at, o.ends_at, o.reason, o.actor
      FROM wanted q LEFT JOIN quota_overrides o ON o.account_id = q.account_id AND o.ends_at > $1
     ORDER BY q.version, q.account_id, o.override_id";

const OVERRIDES: &str = "
    SELECT override_id, quota::text, starts_at, ends_at, reason, actor, ended_by FROM quota_overrides
     WHERE account_id = $1 AND override_id < $2 ORDER BY override_id DESC LIMIT $3";

const OVERRIDE: &str = "
    SELECT override_id, quota::text, starts_at, ends_at, reason, actor, ended_by FROM quota_overrides
     WHERE account_id = $1 AND override_id = $2";

pub(super) async fn version(tx: &mut PgConnection) -> Result<i64, Error> {
    sqlx::query_scalar("SELECT version FROM operator_versions WHERE kind = 'quota'").fetch_one(tx).await
}

pub(super) async fn changed_since(
    tx: &mut PgConnection,
    version: i64,
    now: Timestamp,
    most: i64,
) -> Result<Vec<Followed>, Error> {
    let sql = format!(
        "WITH wanted AS (SELECT account_id, version, quota FROM quotas WHERE version > $2 ORDER BY version LIMIT $3) {ROWS}"
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(now.to_chrono()).bind(version).bind(most);
    gather(&query.fetch_all(tx).await?)
}

pub(super) async fn stored(tx: &mut PgConnection, account: &AccountId, now: Timestamp) -> Result<StoredQuota, Error> {
    let sql = format!("WITH wanted AS (SELECT account_id, version, quota FROM quotas WHERE account_id = $2) {ROWS}");
    let query = sqlx::query(AssertSqlSafe(sql)).bind(now.to_chrono()).bind(account.as_str());
    Ok(gather(&query.fetch_all(tx).await?)?.pop().map(|found| found.stored).unwrap_or_default())
}

pub(super) async fn overrides(
    tx: &mut PgConnection,
    account: &AccountId,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<OverrideRow>, Error> {
    let query = sqlx::query(OVERRIDES).bind(account.as_str()).bind(before.unwrap_or(i64::MAX)).bind(limit);
    query.fetch_all(tx).await?.iter().map(override_row).collect()
}

pub(super) async fn one_override(
    tx: &mut PgConnection,
    account: &AccountId,
    id: i64,
) -> Result<Option<OverrideRow>, Error> {
    let found = sqlx::query(OVERRIDE).bind(account.as_str()).bind(id).fetch_optional(tx).await?;
    found.as_ref().map(override_row).transpose()
}

fn gather(rows: &[PgRow]) -> Result<Vec<Followed>, Error> {
    let mut found: Vec<Followed> = Vec::new();
    for row in rows {
        let account: &str = row.try_get(0)?;
        if found.last().is_none_or(|last| last.account.as_str() != account) {
            let account = AccountId::new(account).map_err(|error| Error::Decode(error.into()))?;
            let patch = document::read(row.try_get(2)?);
            found.push(Followed {
                account,
                stored: StoredQuota { patch, overrides: Vec::new(), version: row.try_get(1)? },
            });
        }
        if let (Some(id), Some(last)) = (row.try_get(3)?, found.last_mut()) {
            let times = (row.try_get(5)?, row.try_get(6)?);
            last.stored.overrides.push(change(id, row.try_get(4)?, times, (row.try_get(7)?, row.try_get(8)?)));
        }
    }
    Ok(found)
}

fn override_row(row: &PgRow) -> Result<OverrideRow, Error> {
    let times = (row.try_get(2)?, row.try_get(3)?);
    Ok(OverrideRow {
        change: change(row.try_get(0)?, row.try_get(1)?, times, (row.try_get(4)?, row.try_get(5)?)),
        ended_by: row.try_get(6)?,
    })
}

fn change(
    id: i64,
    quota: &str,
    (starts_at, ends_at): (DateTime<Utc>, DateTime<Utc>),
    (reason, actor): (String, String),
) -> QuotaOverride {
    QuotaOverride {
        id,
        patch: document::read(quota),
        starts_at: starts_at.into(),
        ends_at: ends_at.into(),
        reason,
        actor,
    }
}
