//! What operators keep, read and changed by the API. Invariant: a change, the new version of its kind and its audit row are one
//! transaction; changes of a kind come one after the other, so a condition on a version holds until the commit.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Connection, Error};

use super::api_store::ApiStore;
use super::error::ReadError;
use super::lease::{self, Lease};
use super::metrics;
use crate::domain::id::AccountId;

/// Most documents of a kind: every instance holds them all.
pub const MAX_DOCUMENTS: i64 = 1_000;

/// What a document is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A provider that sends us events.
    Source,
    /// Event names with a topic of their own.
    Topic,
    /// The lane of an account.
    Lane,
}

impl Kind {
    /// Its word in tables and audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Topic => "topic",
            Self::Lane => "lane",
        }
    }
}

/// A document as it stands.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Document {
    /// Unique in its kind.
    pub name: String,
    /// Version of the kind that wrote it.
    pub version: i64,
    /// JSON text.
    #[sqlx(rename = "document")]
    pub text: String,
    /// Secrets nobody reads from the database alone.
    pub sealed: Vec<Vec<u8>>,
}

/// Who changes something, and why.
#[derive(Debug, Clone)]
pub struct Author {
    /// Account of the operator's token.
    pub actor: AccountId,
    /// The request.
    pub request_id: String,
    /// In the operator's words.
    pub reason: String,
}

/// One change of a document.
#[derive(Debug, Clone)]
pub struct Change {
    /// What it is about.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The version the author saw; `None` when there must be none.
    pub expected: Option<i64>,
    /// JSON text and secrets; `None` removes it. Secrets of `None` stay as they are.
    pub content: Option<(String, Option<Vec<Vec<u8>>>)>,
    /// The account it is about, where it is about one.
    pub account_id: Option<AccountId>,
    /// Who and why.
    pub author: Author,
}

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is committed under this version.
    Done(i64),
    /// Not done: the document stands at this version, or is not there.
    Otherwise(Option<i64>),
    /// Not done: there are [`MAX_DOCUMENTS`].
    Full,
}

/// The operators' tables as `weir_api`. Cheap to clone.
#[derive(Clone)]
pub struct OperatorStore {
    pool: PgPool,
    limit: Duration,
}

/// Runs `$work` on the transaction `$tx` of an operator, from the wait for a connection to the commit within the deadline.
/// A macro for the reason the API's reads have one.
macro_rules! operate {
    ($store:expr, |$tx:ident| $work:expr) => {{
        let ms = $store.limit.as_millis();
        let opening = format!(
            "BEGIN; SET LOCAL statement_timeout = {ms}; SET LOCAL idle_in_transaction_session_timeout = {ms}; \
             SET LOCAL app.operator = 'on'"
        );
        let result = lease::within($store.limit, async {
            let mut lease = Lease::take(&$store.pool).await?;
            let answer = async {
                let mut $tx = lease.begin_with(AssertSqlSafe(opening)).await?;
                let answer = $work.await?;
                $tx.commit().await?;
                Ok(answer)
            }
            .await;
            lease.settle(answer)
        })
        .await;
        result.inspect_err(metrics::read_failed)
    }};
}

pub(super) use operate;

impl OperatorStore {
    /// Shares the connections of the API.
    pub fn of(store: &ApiStore) -> Self {
        let (pool, limit) = store.primary();
        Self { pool, limit }
    }

    /// The version of a kind: it moves with every change.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn version(&self, kind: Kind) -> Result<i64, ReadError> {
        operate!(self, |tx| version(&mut tx, kind))
    }

    /// All documents of a kind, by name, with the version of the kind.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn all(&self, kind: Kind) -> Result<(i64, Vec<Document>), ReadError> {
        operate!(self, |tx| everything(&mut tx, kind))
    }

    /// Up to `limit` documents of a kind by name, from just after `after`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn page(&self, kind: Kind, after: &str, limit: u16) -> Result<Vec<Document>, ReadError> {
        operate!(self, |tx| page(&mut tx, kind, after, i64::from(limit)))
    }

    /// The document of that name.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn document(&self, kind: Kind, name: &str) -> Result<Option<Document>, ReadError> {
        operate!(self, |tx| document(&mut tx, kind, name))
    }

    /// Writes or removes a document, if it stands as the author saw it.
    ///
    /// # Errors
    /// [`ReadError`]; nothing is changed then, unless the answer to the commit was lost.
    pub async fn change(&self, change: &Change) -> Result<Changed, ReadError> {
        operate!(self, |tx| apply(&mut tx, change))
    }
}

const COLUMNS: &str = "SELECT name, version, document::text AS document, sealed FROM operator_documents";

async fn version(tx: &mut PgConnection, kind: Kind) -> Result<i64, Error> {
    let sql = "SELECT version FROM operator_versions WHERE kind = $1";
    sqlx::query_scalar(sql).bind(kind.as_str()).fetch_one(tx).await
}

/// The version first: what changes in between is found by the next look at it.
async fn everything(tx: &mut PgConnection, kind: Kind) -> Result<(i64, Vec<Document>), Error> {
    let version = version(tx, kind).await?;
    Ok((version, page(tx, kind, "", MAX_DOCUMENTS).await?))
}

async fn document(tx: &mut PgConnection, kind: Kind, name: &str) -> Result<Option<Document>, Error> {
    let sql = AssertSqlSafe(format!("{COLUMNS} WHERE kind = $1 AND name = $2"));
    sqlx::query_as(sql).bind(kind.as_str()).bind(name).fetch_optional(tx).await
}

async fn page(tx: &mut PgConnection, kind: Kind, after: &str, limit: i64) -> Result<Vec<Document>, Error> {
    let sql = AssertSqlSafe(format!("{COLUMNS} WHERE kind = $1 AND name > $2 ORDER BY name LIMIT $3"));
    sqlx::query_as(sql).bind(kind.as_str()).bind(after).bind(limit).fetch_all(tx).await
}

/// The kind's version is raised first: its row is the lock that lines up the changes of a kind. A change that is not done leaves
/// the version raised, which costs every instance one look.
async fn apply(tx: &mut PgConnection, change: &Change) -> Result<Changed, Error> {
    let kind = change.kind.as_str();
    let raise = "UPDATE operator_versions SET version = version + 1 WHERE kind = $1 RETURNING version";
    let version: i64 = sqlx::query_scalar(raise).bind(kind).fetch_one(&mut *tx).await?;
    let before = document(tx, change.kind, &change.name).await?;
    let found = before.as_ref().map(|before| before.version);
    if found != change.expected {
        return Ok(Changed::Otherwise(found));
    }
    if found.is_none() && is_full(tx, change.kind).await? {
        return Ok(Changed::Full);
    }
    match (&change.content, &before) {
        (None, None) => return Ok(Changed::Otherwise(None)),
        (None, Some(_)) => {
            let remove = "DELETE FROM operator_documents WHERE kind = $1 AND name = $2";
            sqlx::query(remove).bind(kind).bind(&change.name).execute(&mut *tx).await?;
        }
        (Some((text, sealed)), _) => {
            let kept = before.as_ref().map(|before| &before.sealed);
            let sealed = sealed.as_ref().or(kept).map_or(&[][..], Vec::as_slice);
            let write = "INSERT INTO operator_documents (kind, name, version, document, sealed) VALUES ($1, $2, $3, $4::json, $5) \
                         ON CONFLICT (kind, name) DO UPDATE SET version = excluded.version, document = excluded.document, \
                         sealed = excluded.sealed, changed_at = clock_timestamp()";
            let write = sqlx::query(write).bind(kind).bind(&change.name).bind(version).bind(text).bind(sealed);
            write.execute(&mut *tx).await?;
        }
    }
    note(tx, change, before.as_ref()).await?;
    Ok(Changed::Done(version))
}

async fn is_full(tx: &mut PgConnection, kind: Kind) -> Result<bool, Error> {
    let sql = "SELECT count(*) FROM operator_documents WHERE kind = $1";
    let count: i64 = sqlx::query_scalar(sql).bind(kind.as_str()).fetch_one(tx).await?;
    Ok(count >= MAX_DOCUMENTS)
}

async fn note(tx: &mut PgConnection, change: &Change, before: Option<&Document>) -> Result<(), Error> {
    let action = match (before, &change.content) {
        (None, _) => "create",
        (Some(_), Some(_)) => "replace",
        (Some(_), None) => "remove",
    };
    let sql = "INSERT INTO audit (actor, request_id, account_id, subject, action, reason, before, after) \
               VALUES ($1, $2, $3, $4, $5, $6, $7::json, $8::json)";
    sqlx::query(sql)
        .bind(change.author.actor.as_str())
        .bind(&change.author.request_id)
        .bind(change.account_id.as_ref().map(AccountId::as_str))
        .bind(format!("{}:{}", change.kind.as_str(), change.name))
        .bind(action)
        .bind(&change.author.reason)
        .bind(before.map(|before| before.text.as_str()))
        .bind(change.content.as_ref().map(|(text, _)| text.as_str()))
        .execute(tx)
        .await
        .map(drop)
}
