//! A connection on loan, and the deadline of the whole call. Invariant: a connection goes back to the pool only when Postgres
//! has answered everything asked on it; after a timeout, a lost caller or a broken wire it is closed, and the server, finding
//! its client gone, rolls back.

use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection, Error, Postgres};

use super::metrics;
use super::sql_error::DeadlinePassed;
use crate::config::Secret;

/// Idle for longer than this, a connection is asked whether it still stands before it is lent: after a restart of Postgres the
/// first callers would otherwise all fail.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// A pool that connects on first use, so that a process starts while Postgres is away.
///
/// # Errors
/// When the URL cannot be parsed.
pub(super) fn pool(url: &Secret, name: &str, connections: u32, wait: Duration) -> Result<PgPool, Error> {
    metrics::announce(name);
    let options = PgConnectOptions::from_str(url.expose())?.application_name(name);
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(wait)
        .test_before_acquire(false)
        .before_acquire(|connection, met| {
            Box::pin(async move {
                if met.idle_for > TRUSTED_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        });
    Ok(pool.connect_lazy_with(options))
}

/// Runs the whole of a call, from the wait for a connection to the last answer, within `limit`.
///
/// # Errors
/// What the call says, or that its deadline passed.
pub(super) async fn within<T, E>(limit: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, E>
where
    E: From<Error> + From<DeadlinePassed>,
{
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(DeadlinePassed(limit).into()),
    }
}

/// A connection on loan. Closes it when dropped before [`Lease::settle`] found its work ended.
pub(super) struct Lease {
    connection: PoolConnection<Postgres>,
    ended: bool,
}

impl Lease {
    /// Waits for a connection.
    pub(super) async fn take(pool: &PgPool) -> Result<Self, Error> {
        let asked = Instant::now();
        let connection = pool.acquire().await;
        metrics::waited(pool.connect_options().get_application_name().unwrap_or_default(), asked);
        Ok(Self { connection: connection?, ended: false })
    }

    /// Gives the connection back when Postgres has answered, be it with a refusal.
    pub(super) fn settle<T>(mut self, result: Result<T, Error>) -> Result<T, Error> {
        self.ended = matches!(result, Ok(_) | Err(Error::Database(_)));
        result
    }
}

impl Deref for Lease {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}
