//! Which database answers a read. Invariant: a replica that does not answer costs a reader at most [`PATIENCE`], and then nobody
//! asks it for [`REST`]; the primary answers meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgPool;

use super::{lease, metrics};
use crate::config::Secret;
use crate::store::error::Cause;

/// How long a reader waits for a connection to the replica.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a replica that did not answer is left alone.
const REST: Duration = Duration::from_secs(5);

/// Who must answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Database {
    /// The replica where there is one, the primary while that is away.
    #[default]
    Usual,
    /// The primary, because the reader waited until it had something.
    Primary,
}

/// The pools of a reader.
#[derive(Clone)]
pub(super) struct Databases {
    primary: PgPool,
    replica: Option<Replica>,
}

#[derive(Clone)]
struct Replica {
    pool: PgPool,
    rest: Arc<Rest>,
}

struct Rest {
    origin: Instant,
    until_ms: AtomicU64,
}

/// The pool one attempt uses.
pub(super) struct Chosen<'a> {
    pub(super) pool: &'a PgPool,
    replica: Option<&'a Rest>,
}

impl Databases {
    pub(super) fn new(primary: PgPool) -> Self {
        Self { primary, replica: None }
    }

    pub(super) fn with_replica(self, url: &Secret, connections: u32) -> Result<Self, Cause> {
        let pool = lease::pool(url, "weir-api-read", connections, PATIENCE)?;
        let rest = Arc::new(Rest { origin: Instant::now(), until_ms: AtomicU64::new(0) });
        Ok(Self { replica: Some(Replica { pool, rest }), ..self })
    }

    pub(super) fn choose(&self, database: Database) -> Chosen<'_> {
        match &self.replica {
            Some(replica) if database == Database::Usual && !replica.rest.is_on() => {
                Chosen { pool: &replica.pool, replica: Some(&replica.rest) }
            }
            _ => Chosen { pool: &self.primary, replica: None },
        }
    }

    pub(super) fn primary(&self) -> &PgPool {
        &self.primary
    }

    pub(super) async fn close(&self) {
        if let Some(replica) = &self.replica {
            replica.pool.close().await;
        }
        self.primary.close().await;
    }
}

impl Chosen<'_> {
    pub(super) fn is_replica(&self) -> bool {
        self.replica.is_some()
    }

    /// Leaves the replica alone for a while.
    pub(super) fn failed(&self) {
        if let Some(rest) = self.replica {
            rest.begin();
            metrics::fell_back();
        }
    }
}

impl Rest {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_on(&self) -> bool {
        self.now_ms() < self.until_ms.load(Ordering::Relaxed)
    }

    fn begin(&self) {
        let rest = u64::try_from(REST.as_millis()).unwrap_or(u64::MAX);
        self.until_ms.store(self.now_ms().saturating_add(rest), Ordering::Relaxed);
    }
}
