//! Brings the schema to this version. Invariant: each migration runs once, in order, one process at a time (sqlx holds an
//! advisory lock), and a migration that has run is never edited.

use std::str::FromStr;
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::error::Cause;
use crate::config::Secret;

/// How long to wait for a connection. The migrations themselves take as long as the data is large.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// Why the schema is not at this version.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// No connection as the owner of the schema.
    #[error("cannot connect with DATABASE_MIGRATE_URL")]
    Connect(#[source] Cause),
    /// A migration failed; it was rolled back and those before it stand.
    #[error("cannot migrate")]
    Migrate(#[source] Cause),
}

/// Applies what is missing, as the owner of the schema. Does nothing when the schema is at this version.
///
/// # Errors
/// [`MigrateError`]; running it again after the cause is mended is safe.
pub async fn migrate(url: &Secret) -> Result<(), MigrateError> {
    let options = PgConnectOptions::from_str(url.expose())
        .map_err(|error| MigrateError::Connect(error.into()))?
        .application_name("weir-migrate");
    let mut connection = tokio::time::timeout(CONNECT_DEADLINE, PgConnection::connect_with(&options))
        .await
        .map_err(|late| MigrateError::Connect(late.into()))?
        .map_err(|error| MigrateError::Connect(error.into()))?;
    MIGRATIONS.run(&mut connection).await.map_err(|error| MigrateError::Migrate(error.into()))?;
    tracing::info!(version = MIGRATIONS.iter().map(|step| step.version).max(), "schema is at this version");
    // The answer to a goodbye changes nothing.
    connection.close().await.map_err(|error| MigrateError::Connect(error.into()))
}
