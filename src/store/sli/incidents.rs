//! Incidents. Invariant: a change replaces exactly the version its author has seen, and leaves a row in the audit of its own:
//! who and when stand with it.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Row};

use crate::domain::incident::Incident;

const BETWEEN: &str = "
    SELECT incident_id, title, started_at, ended_at, impact, root_cause, mended_by, accounts, public, version
      FROM incidents WHERE started_at < to_timestamp($2) AND (ended_at IS NULL OR ended_at >= to_timestamp($1))
     ORDER BY started_at DESC, incident_id LIMIT 200";

const ONE: &str = "
    SELECT incident_id, title, started_at, ended_at, impact, root_cause, mended_by, accounts, public, version
      FROM incidents WHERE incident_id = $1";

const PUT: &str = "
    INSERT INTO incidents AS held (incident_id, title, started_at, ended_at, impact, root_cause, mended_by, accounts, public,
                                   version, changed_by)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $11 WHERE $10 = 0
        OR EXISTS (SELECT FROM incidents WHERE incident_id = $1)
    ON CONFLICT (incident_id) DO UPDATE
       SET title = excluded.title, started_at = excluded.started_at, ended_at = excluded.ended_at, impact = excluded.impact,
           root_cause = excluded.root_cause, mended_by = excluded.mended_by, accounts = excluded.accounts,
           public = excluded.public, version = held.version + 1, changed_at = now(), changed_by = excluded.changed_by
     WHERE held.version = $10
    RETURNING incident_id, title, started_at, ended_at, impact, root_cause, mended_by, accounts, public, version";

pub(super) async fn between(connection: &mut PgConnection, from: i64, to: i64) -> Result<Vec<Incident>, Error> {
    let rows = sqlx::query(BETWEEN).bind(from as f64).bind(to as f64).fetch_all(connection).await?;
    rows.iter().rev().map(incident).collect()
}

pub(super) async fn one(connection: &mut PgConnection, id: &str) -> Result<Option<Incident>, Error> {
    sqlx::query(ONE).bind(id).fetch_optional(connection).await?.as_ref().map(incident).transpose()
}

pub(super) async fn put(
    connection: &mut PgConnection,
    new: &Incident,
    replaces: i64,
    actor: &str,
) -> Result<Option<Incident>, Error> {
    let row = sqlx::query(PUT)
        .bind(&new.incident_id)
        .bind(&new.title)
        .bind(new.started_at.to_chrono())
        .bind(new.ended_at.map(|end| end.to_chrono()))
        .bind(&new.impact)
        .bind(&new.root_cause)
        .bind(&new.mended_by)
        .bind(&new.accounts)
        .bind(new.public)
        .bind(replaces)
        .bind(actor)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(incident).transpose()
}

fn incident(row: &PgRow) -> Result<Incident, Error> {
    Ok(Incident {
        incident_id: row.try_get(0)?,
        title: row.try_get(1)?,
        started_at: row.try_get::<DateTime<Utc>, _>(2)?.into(),
        ended_at: row.try_get::<Option<DateTime<Utc>>, _>(3)?.map(Into::into),
        impact: row.try_get(4)?,
        root_cause: row.try_get(5)?,
        mended_by: row.try_get(6)?,
        accounts: row.try_get(7)?,
        public: row.try_get(8)?,
        version: row.try_get(9)?,
    })
}
