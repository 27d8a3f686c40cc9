//! The trail of what operators changed. Invariant: a row is written in the transaction of its change and never changed.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Row};

use super::Author;
use crate::domain::id::AccountId;
use crate::domain::time::Timestamp;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number; later ones are larger.
    pub audit_id: i64,
    /// When.
    pub changed_at: Timestamp,
    /// Account of the operator's token.
    pub actor: String,
    /// The request.
    pub request_id: String,
    /// The account it was about, where it was about one.
    pub account_id: Option<String>,
    /// What was changed, e.g. `quota`, `override:7`, `topic:orders`.
    pub subject: String,
    /// What was done to it.
    pub action: String,
    /// Why, in the operator's words.
    pub reason: String,
    /// What it was, as JSON text.
    pub before: Option<String>,
    /// What it became, as JSON text.
    pub after: Option<String>,
}

/// Which changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this account only.
    pub account: Option<AccountId>,
    /// Of this subject only.
    pub subject: Option<String>,
}

const PAGE: &str = "
    SELECT audit_id, changed_at, actor, request_id, account_id, subject, action, reason, before::text, after::text FROM audit
     WHERE ($1::text IS NULL OR account_id = $1) AND ($2::text IS NULL OR subject = $2) AND audit_id < $3
     ORDER BY audit_id DESC LIMIT $4";

const NOTE: &str = "
    INSERT INTO audit (actor, request_id, account_id, subject, action, reason, before, after)
    VALUES ($1, $2, $3, $4, $5, $6, $7::json, $8::json)";

pub(super) async fn page(
    tx: &mut PgConnection,
    filter: &AuditFilter,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<AuditRow>, Error> {
    let query = sqlx::query(PAGE).bind(filter.account.as_ref().map(AccountId::as_str)).bind(filter.subject.as_deref());
    let rows = query.bind(before.unwrap_or(i64::MAX)).bind(limit).fetch_all(tx).await?;
    rows.iter().map(row).collect()
}

pub(super) async fn note(
    tx: &mut PgConnection,
    account: &AccountId,
    author: &Author,
    (subject, action): (&str, &str),
    (before, after): (Option<&str>, Option<&str>),
) -> Result<(), Error> {
    sqlx::query(NOTE)
        .bind(author.actor.as_str())
        .bind(&author.request_id)
        .bind(account.as_str())
        .bind(subject)
        .bind(action)
        .bind(&author.reason)
        .bind(before)
        .bind(after)
        .execute(tx)
        .await
        .map(drop)
}

fn row(row: &PgRow) -> Result<AuditRow, Error> {
    Ok(AuditRow {
        audit_id: row.try_get(0)?,
        changed_at: row.try_get::<DateTime<Utc>, _>(1)?.into(),
        actor: row.try_get(2)?,
        request_id: row.try_get(3)?,
        account_id: row.try_get(4)?,
        subject: row.try_get(5)?,
        action: row.try_get(6)?,
        reason: row.try_get(7)?,
        before: row.try_get(8)?,
        after: row.try_get(9)?,
    })
}
