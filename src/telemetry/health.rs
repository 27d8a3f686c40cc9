//! Whether this process should get traffic. Invariant: a probe never runs more than once at a time nor longer than its deadline,
//! whatever the number of callers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long one probe may take.
const PROBE_DEADLINE: Duration = Duration::from_secs(1);

/// How long an answer serves further callers.
const FRESH: Duration = Duration::from_millis(500);

type ProbeFn = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What a probe of one system said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// It answered.
    Ok,
    /// It did not; the sentence is fit for the public.
    Failed(String),
}

/// Result of all probes by name of the system.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whether traffic is wanted: every required system answered and the process is not stopping.
    pub ready: bool,
    /// Each system's state.
    pub checks: BTreeMap<&'static str, Check>,
}

struct Probe {
    name: &'static str,
    required: bool,
    run: ProbeFn,
}

/// The probes of this process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    probes: parking_lot::RwLock<Vec<Arc<Probe>>>,
    last: Mutex<Option<(Instant, Report)>>,
    draining: AtomicBool,
}

impl Health {
    /// Adds a probe. A system that is not `required` shows in the report but does not make it red.
    pub fn register<F>(&self, name: &'static str, required: bool, run: F)
    where
        F: Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    {
        self.shared.probes.write().push(Arc::new(Probe { name, required, run: Box::new(run) }));
    }

    /// From now on [`Health::report`] says not ready: the process is stopping.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::Release);
    }

    /// Whether the process is stopping.
    pub fn draining(&self) -> bool {
        self.shared.draining.load(Ordering::Acquire)
    }

    /// Asks every system, all at once, each within a second; an answer younger than half a second is used again.
    pub async fn report(&self) -> Report {
        let mut last = self.shared.last.lock().await;
        let fresh = last.as_ref().filter(|(asked, _)| asked.elapsed() < FRESH).map(|(_, report)| report.clone());
        let mut report = match fresh {
            Some(report) => report,
            None => {
                let report = self.ask().await;
                *last = Some((Instant::now(), report.clone()));
                report
            }
        };
        if self.draining() {
            report.ready = false;
            report.checks.insert("process", Check::Failed("stopping".into()));
        }
        report
    }

    async fn ask(&self) -> Report {
        let probes: Vec<_> = self.shared.probes.read().clone();
        let answers = join_all(probes.iter().map(|probe| async {
            match tokio::time::timeout(PROBE_DEADLINE, (probe.run)()).await {
                Ok(Ok(())) => Check::Ok,
                Ok(Err(reason)) => Check::Failed(reason),
                Err(_) => Check::Failed("no answer within 1 s".into()),
            }
        }))
        .await;
        let ready = probes.iter().zip(&answers).all(|(probe, check)| !probe.required || *check == Check::Ok);
        let checks = probes.iter().map(|probe| probe.name).zip(answers).collect();
        Report { ready, checks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answering(health: &Health, name: &'static str, required: bool, answer: Result<(), String>) {
        health.register(name, required, move || {
            let answer = answer.clone();
            Box::pin(async move { answer })
        });
    }

    #[tokio::test]
    async fn a_required_system_that_fails_makes_it_red_and_an_optional_one_does_not() {
        let health = Health::default();
        answering(&health, "log", true, Ok(()));
        answering(&health, "cache", false, Err("away".into()));
        let report = health.report().await;
        assert!(report.ready);
        assert_eq!(report.checks["cache"], Check::Failed("away".into()));

        let health = Health::default();
        answering(&health, "log", true, Err("away".into()));
        assert!(!health.report().await.ready);
    }

    #[tokio::test]
    async fn a_hanging_system_counts_as_failed_after_its_deadline() {
        let health = Health::default();
        health.register("store", true, || Box::pin(std::future::pending()));
        assert!(!health.report().await.ready);
    }

    #[tokio::test]
    async fn draining_is_seen_at_once_although_answers_are_cached() {
        let health = Health::default();
        answering(&health, "log", true, Ok(()));
        assert!(health.report().await.ready);
        health.drain();
        assert!(!health.report().await.ready);
    }
}
