//! The way down. Invariant: every step has a deadline, a step that misses it is logged and the next one follows, and the caller
//! learns of it, so that the process ends non-zero only when something may have been cut off.
//!
//! In order: not ready; no new connections and running requests finish; the worker finishes or drops its batches, commits and
//! leaves the group; the producer is flushed; background tasks end; pools close. The management listener answers until last.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{App, Running};

/// What a listener or worker gets beyond its own drain time before it counts as stuck.
const GRACE: Duration = Duration::from_secs(3);

impl Running {
    /// Asks the part to end and waits; whether it did.
    async fn stop(self, what: &str, within: Duration) -> bool {
        self.stop.cancel();
        let ended = timeout(within, self.ended).await.is_ok();
        if !ended {
            tracing::error!(part = what, "did not stop in time");
        }
        ended
    }
}

impl App {
    /// Stops everything in order.
    ///
    /// # Errors
    /// Names the parts that had to be left behind at their deadline.
    pub async fn stop(self) -> anyhow::Result<()> {
        let mut stuck = Vec::new();
        let mut note = |part: &'static str, ended: bool| {
            if !ended {
                stuck.push(part);
            }
        };
        self.handles.health.drain();
        let drain = Duration::from_secs(self.config.http.drain_seconds) + GRACE;
        let settle = Duration::from_secs(self.config.worker.worker_drain_seconds) + GRACE;
        let public = async {
            match self.public {
                Some(public) => public.running.stop("public listener", drain).await,
                None => true,
            }
        };
        let worker = async {
            match self.worker {
                Some(worker) => worker.stop("worker", settle).await,
                None => true,
            }
        };
        let (public, worker) = tokio::join!(public, worker);
        note("public listener", public);
        note("worker", worker);
        if let Err(error) = self.handles.producer.flush(Instant::now() + self.config.kafka.ack_timeout() + GRACE).await
        {
            tracing::error!(%error, "the producer was not flushed");
            note("producer", false);
        }
        note("management listener", self.management.running.stop("management listener", GRACE + GRACE).await);
        self.background.cancel();
        self.tasks.close();
        note("background tasks", timeout(GRACE, self.tasks.wait()).await.is_ok());
        note("pools", timeout(GRACE, self.handles.close()).await.is_ok());
        anyhow::ensure!(stuck.is_empty(), "left behind at its deadline: {}", stuck.join(", "));
        Ok(())
    }
}
