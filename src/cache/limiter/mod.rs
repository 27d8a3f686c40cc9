//! The limiter's windows in Redis: the truth all instances share. Invariant: one question is one atomic script on one key, and
//! every call ends within its deadline.

mod wire;

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, RedisError, Script, ServerErrorKind};

use crate::cache::link::{Link, Patience};
use crate::config::RedisConfig;
use crate::domain::id::AccountId;
use crate::domain::ring::{Answer, Ask};

/// How long one attempt to connect may take.
const CONNECT_DEADLINE: Duration = Duration::from_millis(500);

/// Longest pause between attempts to connect: part of how soon limits are shared again.
const MAX_RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Every question has a deadline of its own; the client's must not cut in before it.
const BACKSTOP: Duration = Duration::from_secs(15);

/// Questions in one pipeline: 16 keep Redis busy for about 3 ms, so a charge behind them is not late, nor are they.
pub const PIPELINE: usize = 16;

/// Why the windows did not answer. The caller decides locally, whatever it was.
#[derive(Debug, thiserror::Error)]
pub enum WindowsError {
    /// The configuration names no Redis, or not in a way it can be reached.
    #[error("REDIS_URL is not usable")]
    Url(#[source] RedisError),
    /// There is no `REDIS_URL`.
    #[error("REDIS_URL must be set")]
    Absent,
    /// Redis refused, or the connection broke.
    #[error("Redis failed")]
    Failed(#[source] RedisError),
    /// No answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// The script answered something else than its contract says.
    #[error("the script's reply is not understood")]
    Reply,
}

/// The windows of all accounts. Charges and renewals have a connection each, so that a long pipeline delays no charge.
#[derive(Clone)]
pub struct Windows {
    charges: Link,
    renewals: Link,
    prefix: Arc<str>,
    charge: Arc<Script>,
    register: Arc<Script>,
}

impl Windows {
    /// Makes the client; the first command connects. Needs a running tokio runtime.
    ///
    /// # Errors
    /// When `REDIS_URL` is absent or cannot be parsed.
    pub fn open(config: &RedisConfig) -> Result<Self, WindowsError> {
        let url = config.redis_url.as_ref().ok_or(WindowsError::Absent)?;
        let patience = Patience { connect: CONNECT_DEADLINE, answer: BACKSTOP, pause: MAX_RECONNECT_PAUSE };
        let connect = || Link::open(config, url.expose(), patience).map_err(WindowsError::Url);
        Ok(Self {
            charges: connect()?,
            renewals: connect()?,
            prefix: config.redis_prefix.as_str().into(),
            charge: Arc::new(Script::new(include_str!("charge.lua"))),
            register: Arc::new(Script::new(include_str!("register.lua"))),
        })
    }

    /// Asks one question.
    ///
    /// # Errors
    /// [`WindowsError`]; the charge may have been made all the same when the answer was late.
    pub async fn ask(&self, account: &AccountId, ask: &Ask, deadline: Duration) -> Result<Answer, WindowsError> {
        let mut replies = within(deadline, self.pipe(self.charges.clone(), &[(account, ask)])).await?;
        replies.pop().and_then(|reply| wire::answer(ask, &reply)).ok_or(WindowsError::Reply)
    }

    /// Asks at most [`PIPELINE`] questions in one round trip; answers in order.
    ///
    /// # Errors
    /// [`WindowsError`]; some may have been answered all the same.
    pub async fn ask_all(
        &self,
        questions: &[(&AccountId, &Ask)],
        deadline: Duration,
    ) -> Result<Vec<Answer>, WindowsError> {
        let replies = within(deadline, self.pipe(self.renewals.clone(), questions)).await?;
        let answers = questions.iter().zip(replies).map(|((_, ask), reply)| wire::answer(ask, &reply));
        answers.collect::<Option<_>>().ok_or(WindowsError::Reply)
    }

    /// Says that `instance` lives and learns how many do.
    ///
    /// # Errors
    /// [`WindowsError`].
    pub async fn register(&self, instance: &str, alive: Duration, deadline: Duration) -> Result<i64, WindowsError> {
        let key = format!("{}:limit:instances", self.prefix);
        let mut connection = self.charges.clone();
        let alive_ms = u64::try_from(alive.as_millis()).unwrap_or(u64::MAX);
        let mut call = self.register.key(key);
        call.arg(instance).arg(alive_ms);
        within(deadline, call.invoke_async(&mut connection)).await
    }

    /// All questions in one round trip; the script is loaded when Redis does not know it. One server ran none of them then; of a
    /// cluster some nodes may have: to those it is a question that comes again, which changes nothing.
    async fn pipe(&self, mut connection: Link, questions: &[(&AccountId, &Ask)]) -> Result<Vec<Vec<i64>>, RedisError> {
        let mut pipeline = Pipeline::with_capacity(questions.len());
        for (account, ask) in questions {
            let mut command = Cmd::new();
            // The braces put all that carries the account's name into one slot of a cluster.
            command
                .arg("EVALSHA")
                .arg(self.charge.get_hash())
                .arg(1)
                .arg(format!("{}:limit:{{{account}}}", self.prefix));
            wire::arguments(&mut command, ask);
            pipeline.add_command(command);
        }
        match pipeline.query_async(&mut connection).await {
            Err(error) if error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.charge.load_async(&mut connection).await?;
                pipeline.query_async(&mut connection).await
            }
            answered => answered,
        }
    }
}

async fn within<T>(deadline: Duration, call: impl Future<Output = Result<T, RedisError>>) -> Result<T, WindowsError> {
    match tokio::time::timeout(deadline, call).await {
        Ok(answered) => answered.map_err(WindowsError::Failed),
        Err(_) => Err(WindowsError::Late(deadline)),
    }
}

#[cfg(test)]
mod tests;
