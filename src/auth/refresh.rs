//! Keeping the key set fresh. Invariant: one load at a time, started by the clock, by a changed file or by an unknown key id,
//! the last at most every ten seconds whatever strangers send; a load that fails leaves the keys that are in use.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::AuthConfig;
use crate::domain::time::Timestamp;

use super::keys::Keyring;
use super::source::{Source, Stamp};
use super::{AuthStartError, LoadError, metrics};

/// How often what may happen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Between loads by the clock.
    pub every: Duration,
    /// Least time between loads that unknown key ids cause.
    pub ask_every: Duration,
    /// How long a caller waits for the load it caused.
    pub ask_patience: Duration,
    /// Between looks at a file's stamp.
    pub watch_every: Duration,
    /// Longest pause after a failed load.
    pub retry_at_most: Duration,
}

impl Pace {
    fn new(every: Duration) -> Self {
        let seconds = Duration::from_secs;
        Self {
            every,
            ask_every: seconds(10),
            ask_patience: seconds(2),
            watch_every: seconds(2),
            retry_at_most: seconds(10).min(every),
        }
    }
}

/// Asks for a newer key set. Cheap to clone.
#[derive(Clone)]
pub(super) struct Refresher {
    wanted: Arc<Notify>,
    attempts: watch::Receiver<Attempt>,
    pace: Pace,
}

/// The latest load, well or not.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    ended: Option<Instant>,
}

struct Loop {
    source: Source,
    keyring: Arc<Keyring>,
    pace: Pace,
    attempts: watch::Sender<Attempt>,
    stamp: Stamp,
    failures: u32,
}

impl Refresher {
    /// Loads a file now, a URL in the background, and goes on until `shutdown`.
    pub(super) async fn start(
        place: &str,
        config: &AuthConfig,
        keyring: &Arc<Keyring>,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<Self, AuthStartError> {
        let source = Source::parse(place).map_err(|source| AuthStartError::Client { url: place.to_owned(), source })?;
        let pace = Pace::new(Duration::from_secs(config.jwt_jwks_refresh_seconds.max(1)));
        Self::run(source, pace, keyring, (tasks, shutdown))
            .await
            .map_err(|source| AuthStartError::KeySet { path: place.to_owned(), source })
    }

    pub(super) async fn run(
        source: Source,
        pace: Pace,
        keyring: &Arc<Keyring>,
        (tasks, shutdown): (&TaskTracker, &CancellationToken),
    ) -> Result<Self, LoadError> {
        metrics::announce();
        let wanted = Arc::new(Notify::new());
        let (attempts, seen) = watch::channel(Attempt { ended: None });
        let stamp = source.stamp().await;
        let mut work = Loop { source, keyring: Arc::clone(keyring), pace, attempts, stamp, failures: 0 };
        if matches!(work.source, Source::File(_)) {
            work.load().await?;
        }
        let (notified, stop) = (Arc::clone(&wanted), shutdown.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work.forever(&notified) => {}
            }
        });
        Ok(Self { wanted, attempts: seen, pace })
    }

    /// Has the key set loaded, if that is due, and waits for it; true when a load ended.
    pub(super) async fn look_again(&self) -> bool {
        let mut attempts = self.attempts.clone();
        if attempts.borrow_and_update().is_recent(self.pace) {
            return false;
        }
        self.wanted.notify_one();
        matches!(timeout(self.pace.ask_patience, attempts.changed()).await, Ok(Ok(())))
    }
}

impl Attempt {
    fn is_recent(self, pace: Pace) -> bool {
        self.ended.is_some_and(|ended| ended.elapsed() < pace.ask_every)
    }
}

impl Loop {
    async fn forever(&mut self, wanted: &Notify) {
        let mut due = match self.source {
            Source::File(_) => Instant::now() + self.pace.every,
            Source::Url(..) => Instant::now(),
        };
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = wanted.notified() => if self.attempts.borrow().is_recent(self.pace) { continue },
                () = self.file_changed() => {}
            }
            let pause = match self.load().await {
                Ok(()) => self.pace.every,
                Err(_) => self.pace.retry_at_most.min(Duration::from_secs(1 << self.failures.min(4))),
            };
            due = Instant::now() + pause;
        }
    }

    /// Loads once and says so to whoever waits.
    async fn load(&mut self) -> Result<(), LoadError> {
        let loaded = self.source.load().await.map(|set| {
            let keys = set.len();
            let changed = self.keyring.install(set);
            metrics::keys_loaded(Timestamp::now(), keys, changed);
        });
        match &loaded {
            Ok(()) => self.failures = 0,
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                metrics::keys_not_loaded(error, self.keyring.loaded());
            }
        }
        self.attempts.send_replace(Attempt { ended: Some(Instant::now()) });
        loaded
    }

    /// Ends when the file is not as it was at the last look; never for a URL.
    async fn file_changed(&mut self) {
        if matches!(self.source, Source::Url(..)) {
            std::future::pending::<()>().await;
        }
        loop {
            tokio::time::sleep(self.pace.watch_every).await;
            let stamp = self.source.stamp().await;
            if stamp != self.stamp {
                self.stamp = stamp;
                return;
            }
        }
    }
}
