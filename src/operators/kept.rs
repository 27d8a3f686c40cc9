//! An instance's copy of a kind. Invariant: readers never wait; a copy is replaced as a whole or not at all.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Document, Kind, Operators};

/// What became of the documents of a kind, kept up to date.
pub struct Kept<T> {
    current: Arc<ArcSwapOption<T>>,
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self { current: Arc::clone(&self.current) }
    }
}

impl<T: Send + Sync + 'static> Kept<T> {
    /// Looks at the version of the kind every so often until `stop`, and makes the copy anew when it moved.
    pub fn start(
        operators: &Operators,
        kind: Kind,
        every: Duration,
        make: impl Fn(Vec<Document>) -> T + Send + 'static,
        (tasks, stop): (&TaskTracker, &CancellationToken),
    ) -> Self {
        let current = Arc::new(ArcSwapOption::empty());
        let mut watch = Watch { operators: operators.clone(), kind, make, seen: None, away: false };
        let (kept, stop) = (Arc::clone(&current), stop.clone());
        tasks.spawn(async move {
            let forever = async {
                loop {
                    if let Some(copy) = watch.look().await {
                        kept.store(Some(Arc::new(copy)));
                    }
                    tokio::time::sleep(every).await;
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = forever => {}
            }
        });
        Self { current }
    }

    /// A copy that nobody watches.
    pub fn fixed(copy: T) -> Self {
        Self { current: Arc::new(ArcSwapOption::from_pointee(copy)) }
    }

    /// The copy; `None` until Postgres has answered once.
    pub fn get(&self) -> Option<Arc<T>> {
        self.current.load_full()
    }
}

struct Watch<F> {
    operators: Operators,
    kind: Kind,
    make: F,
    seen: Option<i64>,
    away: bool,
}

impl<T, F: Fn(Vec<Document>) -> T> Watch<F> {
    /// A new copy, when there is something new.
    async fn look(&mut self) -> Option<T> {
        let kind = self.kind.as_str();
        let looked = async {
            if self.seen == Some(self.operators.store.version(self.kind).await?) {
                return Ok(None);
            }
            self.operators.store.all(self.kind).await.map(Some)
        };
        match looked.await {
            Ok(found) => {
                if std::mem::take(&mut self.away) {
                    tracing::info!(kind, "what operators decided is watched again");
                }
                let (version, documents) = found?;
                self.seen = Some(version);
                tracing::debug!(kind, version, count = documents.len(), "what operators decided has changed");
                Some((self.make)(documents))
            }
            Err(error) => {
                if !std::mem::replace(&mut self.away, true) {
                    tracing::warn!(
                        kind,
                        error = &error as &dyn std::error::Error,
                        "what operators decided cannot be watched"
                    );
                }
                None
            }
        }
    }
}
