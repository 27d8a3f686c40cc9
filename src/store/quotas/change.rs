//! Changing quotas. Invariant: the version's row is taken first, so changes come one after the other and a condition on a version holds
//! until the commit; a change that is not done leaves no audit row.

use sqlx::Error;
use sqlx::postgres::PgConnection;

use super::{Author, audit, document, read};
use crate::domain::id::AccountId;
use crate::domain::quota::QuotaPatch;
use crate::domain::time::Timestamp;

/// Most accounts with a quota of their own: every instance holds them all.
pub const MAX_QUOTAS: i64 = 100_000;

/// Most overrides of an account that have not ended.
pub const MAX_OVERRIDES: i64 = 100;

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaAct {
    /// Replaces what differs from the defaults.
    Set(QuotaPatch),
    /// Back to the defaults.
    Reset,
    /// Lays a change over it for a time.
    Add {
        /// What differs.
        patch: QuotaPatch,
        /// First instant it counts.
        starts_at: Timestamp,
        /// First instant it no longer counts.
        ends_at: Timestamp,
    },
    /// Ends an override before its time.
    End {
        /// Which.
        id: i64,
        /// When.
        now: Timestamp,
    },
}

/// One change of an account's quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaChange {
    /// The version its author saw; `None` when the author does not mind.
    pub expected: Option<i64>,
    /// What is done.
    pub act: QuotaAct,
}

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaChanged {
    /// Committed under this version; the override's id where one was made.
    Done {
        /// The account's version now.
        version: i64,
        /// The override that was made.
        override_id: Option<i64>,
    },
    /// Not done: the account stands at this version.
    Otherwise(i64),
    /// Not done: there is no such override.
    Missing,
    /// Not done: the override has ended.
    Ended,
    /// Not done: there are [`MAX_QUOTAS`] accounts with quotas, or [`MAX_OVERRIDES`] overrides.
    Full,
}

const RAISE: &str = "UPDATE operator_versions SET version = version + 1 WHERE kind = 'quota' RETURNING version";

const PUT: &str = "
    INSERT INTO quotas (account_id, version, quota) VALUES ($1, $2, $3::json)
    ON CONFLICT (account_id) DO UPDATE
       SET version = excluded.version, quota = excluded.quota, changed_at = clock_timestamp()";

const TOUCH: &str = "
    INSERT INTO quotas (account_id, version, quota) VALUES ($1, $2, '{}')
    ON CONFLICT (account_id) DO UPDATE SET version = excluded.version, changed_at = clock_timestamp()";

const ADD: &str = "
    INSERT INTO quota_overrides (account_id, quota, starts_at, ends_at, reason, actor)
    VALUES ($1, $2::json, $3, $4, $5, $6) RETURNING override_id";

/// One that has not begun never will.
const END: &str = "
    UPDATE quota_overrides SET ends_at = greatest(starts_at, $3), ended_by = $4 WHERE account_id = $1 AND override_id = $2";

const OPEN: &str = "SELECT count(*) FROM quota_overrides WHERE account_id = $1 AND ends_at > clock_timestamp()";

/// A refusal leaves the version raised, which costs every instance one look.
pub(super) async fn apply(
    tx: &mut PgConnection,
    account: &AccountId,
    change: &QuotaChange,
    author: &Author,
) -> Result<QuotaChanged, Error> {
    let version: i64 = sqlx::query_scalar(RAISE).fetch_one(&mut *tx).await?;
    let before: Option<(i64, String)> = sqlx::query_as("SELECT version, quota::text FROM quotas WHERE account_id = $1")
        .bind(account.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    let found = before.as_ref().map_or(0, |(version, _)| *version);
    if change.expected.is_some_and(|expected| expected != found) {
        return Ok(QuotaChanged::Otherwise(found));
    }
    if before.is_none() && count(tx, "SELECT count(*) FROM quotas", None).await? >= MAX_QUOTAS {
        return Ok(QuotaChanged::Full);
    }
    let before = before.map(|(_, quota)| quota);
    match &change.act {
        QuotaAct::Set(patch) => {
            let after = document::write(patch);
            put(tx, account, version, &after).await?;
            audit::note(tx, account, author, ("quota", "set"), (before.as_deref(), Some(&after))).await?;
        }
        QuotaAct::Reset => {
            put(tx, account, version, "{}").await?;
            audit::note(tx, account, author, ("quota", "reset"), (before.as_deref(), None)).await?;
        }
        QuotaAct::Add { patch, starts_at, ends_at } => {
            if count(tx, OPEN, Some(account)).await? >= MAX_OVERRIDES {
                return Ok(QuotaChanged::Full);
            }
            let id = add(tx, account, patch, (*starts_at, *ends_at), author).await?;
            sqlx::query(TOUCH).bind(account.as_str()).bind(version).execute(&mut *tx).await?;
            let after = text_of(tx, account, id).await?;
            let subject = format!("override:{id}");
            audit::note(tx, account, author, (&subject, "create"), (None, after.as_deref())).await?;
            return Ok(QuotaChanged::Done { version, override_id: Some(id) });
        }
        QuotaAct::End { id, now } => {
            let Some(row) = read::one_override(tx, account, *id).await? else { return Ok(QuotaChanged::Missing) };
            if row.ended_by.is_some() || row.change.ends_at <= *now {
                return Ok(QuotaChanged::Ended);
            }
            let before = text_of(tx, account, *id).await?;
            let end = sqlx::query(END).bind(account.as_str()).bind(id).bind(now.to_chrono());
            end.bind(author.actor.as_str()).execute(&mut *tx).await?;
            sqlx::query(TOUCH).bind(account.as_str()).bind(version).execute(&mut *tx).await?;
            let after = text_of(tx, account, *id).await?;
            let subject = format!("override:{id}");
            audit::note(tx, account, author, (&subject, "end"), (before.as_deref(), after.as_deref())).await?;
        }
    }
    Ok(QuotaChanged::Done { version, override_id: None })
}

async fn put(tx: &mut PgConnection, account: &AccountId, version: i64, quota: &str) -> Result<(), Error> {
    sqlx::query(PUT).bind(account.as_str()).bind(version).bind(quota).execute(tx).await.map(drop)
}

async fn add(
    tx: &mut PgConnection,
    account: &AccountId,
    patch: &QuotaPatch,
    (starts_at, ends_at): (Timestamp, Timestamp),
    author: &Author,
) -> Result<i64, Error> {
    sqlx::query_scalar(ADD)
        .bind(account.as_str())
        .bind(document::write(patch))
        .bind(starts_at.to_chrono())
        .bind(ends_at.to_chrono())
        .bind(&author.reason)
        .bind(author.actor.as_str())
        .fetch_one(tx)
        .await
}

async fn count(tx: &mut PgConnection, sql: &'static str, account: Option<&AccountId>) -> Result<i64, Error> {
    let query = sqlx::query_scalar(sql);
    let query = if let Some(account) = account { query.bind(account.as_str()) } else { query };
    query.fetch_one(tx).await
}

/// The override as the audit shows it.
async fn text_of(tx: &mut PgConnection, account: &AccountId, id: i64) -> Result<Option<String>, Error> {
    let sql = "SELECT json_build_object('quota', quota, 'starts_at', starts_at, 'ends_at', ends_at)::text
                 FROM quota_overrides WHERE account_id = $1 AND override_id = $2";
    sqlx::query_scalar(sql).bind(account.as_str()).bind(id).fetch_optional(tx).await
}
