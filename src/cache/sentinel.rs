//! The master that sentinels name. Invariant: after a failure, or several answers in a row that nobody waited to the end for, the
//! sentinels are asked anew; finding the master goes on while callers come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{
    AsyncConnectionConfig, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, RedisResult, ServerErrorKind,
};

use super::link::Patience;
use crate::config::RedisConfig;

/// Answers in a row that came too late for those who asked, after which the master may be one no longer.
const LATE: u32 = 10;

type Found = Result<MultiplexedConnection, Arc<str>>;

/// See the module.
pub(super) struct Master {
    sentinels: Arc<tokio::sync::Mutex<SentinelClient>>,
    settings: AsyncConnectionConfig,
    state: Mutex<State>,
    late: AtomicU32,
}

#[derive(Clone)]
enum State {
    Unknown,
    /// Whoever needs the master moves the search on; it stays when they give up.
    Sought(Shared<BoxFuture<'static, Found>>),
    Up(MultiplexedConnection),
}

impl Master {
    /// The credentials and the database of the first address are those of the servers.
    pub(super) fn new<'a>(
        config: &RedisConfig,
        addresses: impl Iterator<Item = &'a str>,
        patience: Patience,
    ) -> RedisResult<Self> {
        let given: Vec<ConnectionInfo> =
            addresses.map(IntoConnectionInfo::into_connection_info).collect::<Result<_, _>>()?;
        let absent = || RedisError::from((ErrorKind::InvalidClientConfig, "no sentinel is named"));
        let node = given.first().ok_or_else(absent)?.redis_settings().clone();
        let node = SentinelNodeConnectionInfo::default().set_redis_connection_info(node);
        let own = match &config.redis_sentinel_password {
            Some(password) => redis::RedisConnectionInfo::default().set_password(password.expose()),
            None => redis::RedisConnectionInfo::default(),
        };
        let sentinels = given.into_iter().map(|sentinel| sentinel.set_redis_settings(own.clone())).collect();
        let name = config.redis_sentinel_master.clone();
        let client = SentinelClient::build(sentinels, name, Some(node), SentinelServerType::Master)?;
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience.connect))
            .set_response_timeout(Some(patience.answer));
        let (sentinels, state) = (Arc::new(tokio::sync::Mutex::new(client)), Mutex::new(State::Unknown));
        Ok(Self { sentinels, settings, state, late: AtomicU32::new(0) })
    }

    /// A client of the server that is the master now.
    pub(super) async fn client(&self) -> RedisResult<redis::Client> {
        self.sentinels.lock().await.async_get_client().await
    }

    /// Runs a call on the master.
    pub(super) async fn run<T, F>(&self, call: impl FnOnce(MultiplexedConnection) -> F) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let connection = self.connection().await?;
        let waiting = Waiting(self);
        let answer = call(connection).await;
        waiting.answered();
        answer.inspect_err(|error| {
            let replaced = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
            if replaced || error.is_unrecoverable_error() || error.is_timeout() {
                self.forget();
            }
        })
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let sought = {
            let mut state = self.state.lock();
            match &*state {
                State::Up(connection) => return Ok(connection.clone()),
                State::Sought(sought) => sought.clone(),
                State::Unknown => {
                    let sought = self.seek().boxed().shared();
                    *state = State::Sought(sought.clone());
                    sought
                }
            }
        };
        let found = sought.clone().await;
        let mut state = self.state.lock();
        if matches!(&*state, State::Sought(current) if current.ptr_eq(&sought)) {
            *state = found.as_ref().map_or(State::Unknown, |connection| State::Up(connection.clone()));
        }
        found.map_err(|reason| RedisError::from((ErrorKind::Io, "no master", reason.to_string())))
    }

    fn seek(&self) -> impl Future<Output = Found> + use<> {
        let (sentinels, settings) = (Arc::clone(&self.sentinels), self.settings.clone());
        async move {
            let mut sentinels = sentinels.lock().await;
            sentinels.get_async_connection_with_config(&settings).await.map_err(|error| error.to_string().into())
        }
    }

    fn forget(&self) {
        self.late.store(0, Ordering::Relaxed);
        let mut state = self.state.lock();
        if matches!(*state, State::Up(_)) {
            *state = State::Unknown;
        }
    }
}

/// Someone waits for an answer. Dropped before it came, it was late.
struct Waiting<'a>(&'a Master);

impl Waiting<'_> {
    fn answered(self) {
        self.0.late.store(0, Ordering::Relaxed);
        std::mem::forget(self);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.late.fetch_add(1, Ordering::Relaxed) + 1 >= LATE {
            self.0.forget();
        }
    }
}
