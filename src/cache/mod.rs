//! Redis as a helper that may vanish. The only folder that knows Redis. Invariant: no caller ever waits longer than the
//! configured deadline nor sees an error: away is a miss, and for a short rest after a failure nobody even asks.

pub mod answers;
mod channel;
mod counters;
pub mod limiter;
mod link;
mod metrics;
mod sentinel;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::{Cmd, FromRedisValue, Pipeline, RedisError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::RedisConfig;
use crate::domain::id::AccountId;
use crate::domain::time::Timestamp;
pub use answers::Claim;
pub use channel::Channel;
use link::{Link, Patience};
use metrics::Ended;
pub use usage::MinuteOf;

pub use counters::{MAX_NAMES, Minutes, Names, REST};

/// After a failure Redis is left alone for this long: with Redis hung, each caller would otherwise pay the full deadline.
const REST_FOR: Duration = Duration::from_millis(500);

/// How long one attempt to connect may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(1);

/// Longest pause between attempts to connect.
const MAX_RECONNECT_PAUSE: Duration = Duration::from_secs(2);

/// Why Redis is not there; for the log and for the health report only.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The configuration names no Redis, or not in a way it can be reached.
    #[error("REDIS_URL is not usable")]
    Url(#[source] RedisError),
    /// There is no `REDIS_URL`.
    #[error("REDIS_URL must be set")]
    Absent,
    /// It refused, or the connection broke.
    #[error("Redis failed")]
    Failed(#[source] RedisError),
    /// No answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
}

/// A value and the time it was true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aged<T> {
    /// Microseconds since the epoch when the value was computed.
    pub computed_at: i64,
    /// The value.
    pub value: T,
}

impl<T> Aged<T> {
    /// How old the value is; zero when it comes from a clock ahead of this one.
    pub fn age(&self, now: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(now.micros().saturating_sub(self.computed_at)).unwrap_or(0))
    }
}

/// One multiplexed connection that mends itself in the background. Cheap to clone.
#[derive(Clone)]
pub struct Cache {
    connection: Link,
    prefix: Arc<str>,
    deadline: Duration,
    rest: Arc<Rest>,
}

impl Cache {
    /// Makes the client; the first command connects. Needs a running tokio runtime.
    ///
    /// # Errors
    /// When `REDIS_URL` is absent or cannot be parsed.
    pub fn open(config: &RedisConfig) -> Result<Self, CacheError> {
        metrics::announce();
        let url = config.redis_url.as_ref().ok_or(CacheError::Absent)?;
        let patience = Patience { connect: CONNECT_DEADLINE, answer: config.timeout(), pause: MAX_RECONNECT_PAUSE };
        let connection = Link::open(config, url.expose(), patience).map_err(CacheError::Url)?;
        let rest = Arc::new(Rest { origin: Instant::now(), until_ms: AtomicU64::new(0) });
        Ok(Self { connection, prefix: config.redis_prefix.as_str().into(), deadline: config.timeout(), rest })
    }

    /// The key of something that belongs to an account. The braces put all keys of an account into one slot of a cluster.
    pub fn key(&self, account: &AccountId, what: &str) -> String {
        format!("{}:{{{account}}}:{what}", self.prefix)
    }

    /// What is kept under the key. Anything that cannot be read as `T` is a miss, and the next [`Cache::put`] mends it.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Option<Aged<T>> {
        let bytes: Option<Vec<u8>> = self.spare(Cmd::get(key)).await.unwrap_or(None);
        let (ended, value) = match bytes {
            None => (Ended::Miss, None),
            Some(bytes) => match serde_json::from_slice(&bytes) {
                Ok(value) => (Ended::Hit, Some(value)),
                Err(_) => (Ended::Corrupt, None),
            },
        };
        metrics::looked_up(ended);
        value
    }

    /// Keeps a value for `ttl`; a failure only costs the next reader a miss.
    pub async fn put<T: Serialize>(&self, key: &str, value: &Aged<T>, ttl: Duration) {
        let Ok(bytes) = serde_json::to_vec(value) else { return };
        let mut command = Cmd::new();
        command.arg("SET").arg(key).arg(bytes).arg("PX").arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        // Nothing to give back either way: the failure is counted in `spare`.
        let _kept: Option<()> = self.spare(command).await;
    }

    /// Asks whether Redis answers, also while it is left alone; its answer ends the rest.
    ///
    /// # Errors
    /// [`CacheError`].
    pub async fn probe(&self) -> Result<(), CacheError> {
        self.ask::<String>(&redis::cmd("PING"), CONNECT_DEADLINE).await?;
        self.rest.end();
        Ok(())
    }

    /// A command nobody depends on: `None` when Redis is away or left alone.
    async fn spare<T: FromRedisValue>(&self, command: Cmd) -> Option<T> {
        self.unless_resting(self.ask(&command, self.deadline)).await
    }

    /// Commands nobody depends on, in one round trip.
    async fn spare_all<T: FromRedisValue>(&self, commands: Pipeline) -> Option<T> {
        let mut connection = self.connection.clone();
        self.unless_resting(within(self.deadline, commands.query_async(&mut connection))).await
    }

    async fn unless_resting<T>(&self, asking: impl Future<Output = Result<T, CacheError>>) -> Option<T> {
        if self.rest.is_on() {
            metrics::away();
            return None;
        }
        match asking.await {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.rest.begin();
                metrics::failed(&error);
                None
            }
        }
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd, deadline: Duration) -> Result<T, CacheError> {
        let mut connection = self.connection.clone();
        within(deadline, command.query_async(&mut connection)).await
    }
}

async fn within<T>(deadline: Duration, asking: impl Future<Output = redis::RedisResult<T>>) -> Result<T, CacheError> {
    match tokio::time::timeout(deadline, asking).await {
        Ok(answer) => answer.map_err(CacheError::Failed),
        Err(_) => Err(CacheError::Late(deadline)),
    }
}

/// Until when Redis is left alone.
struct Rest {
    origin: Instant,
    until_ms: AtomicU64,
}

impl Rest {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_on(&self) -> bool {
        self.now_ms() < self.until_ms.load(Ordering::Relaxed)
    }

    fn begin(&self) {
        let rest = u64::try_from(REST_FOR.as_millis()).unwrap_or(u64::MAX);
        self.until_ms.store(self.now_ms().saturating_add(rest), Ordering::Relaxed);
    }

    fn end(&self) {
        self.until_ms.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_counts_from_computation_and_forgives_clocks_ahead() {
        let aged = Aged { computed_at: 5_000_000, value: () };
        let at = |seconds| Timestamp::from_unix_seconds(seconds).expect("time");
        assert_eq!(aged.age(at(8)), Duration::from_secs(3));
        assert_eq!(aged.age(at(1)), Duration::ZERO);
    }

    #[test]
    fn rest_begins_with_a_failure_and_ends_with_an_answer() {
        let rest = Rest { origin: Instant::now(), until_ms: AtomicU64::new(0) };
        assert!(!rest.is_on());
        rest.begin();
        assert!(rest.is_on());
        rest.end();
        assert!(!rest.is_on());
    }
}
