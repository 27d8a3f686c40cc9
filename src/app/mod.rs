//! The composition root: builds every handle once, hands them to the roles, and takes them down in order. Invariant: what
//! `start` began, `stop` ends within its deadlines, and nothing that was accepted is lost on the way.

mod alarm;
mod background;
mod handles;
mod listen;
mod quotas;
mod roles;
mod sli;
mod stop;

use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::http;

use alarm::Alarm;
use handles::Handles;
use listen::Listening;
pub use roles::Roles;

/// A running Weir in the given roles.
pub struct App {
    config: Config,
    handles: Handles,
    public: Option<Listening>,
    management: Listening,
    worker: Option<Running>,
    alarm: Alarm,
    tasks: TaskTracker,
    background: CancellationToken,
}

/// A part with a token of its own, which ends by itself once the token is cancelled.
struct Running {
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

impl App {
    /// Builds the handles, starts the worker where wanted, and listens. Log, store and cache need not be there yet: `/ready`
    /// stays red until they are.
    ///
    /// # Errors
    /// What made the start impossible: an address taken, a key that cannot be read, settings a client library refuses.
    pub async fn start(config: Config, roles: Roles) -> anyhow::Result<Self> {
        crate::telemetry::metrics::announce(roles.name());
        let (tasks, background) = (TaskTracker::new(), CancellationToken::new());
        let handles = Handles::open(&config, roles, &tasks, &background).await?;
        let alarm = Alarm::new();
        let worker = roles.worker.then(|| handles.start_worker(&config, &tasks, &alarm)).transpose()?;
        let management = {
            let (health, settings) = (handles.health.clone(), config.http.clone());
            Listening::start(config.http.management_address(), &tasks, &alarm, |listener, stop| async move {
                http::serve_management(listener, health, &settings, stop).await
            })
            .await?
        };
        let public = match handles.components(&config) {
            Some(components) => Some(
                Listening::start(config.http.listen, &tasks, &alarm, |listener, stop| {
                    http::serve_public(listener, components, stop)
                })
                .await?,
            ),
            None => None,
        };
        Ok(Self { config, handles, public, management, worker, alarm, tasks, background })
    }

    /// Where tenants reach it; `None` for a worker.
    pub fn public_address(&self) -> Option<SocketAddr> {
        self.public.as_ref().map(|listening| listening.address)
    }

    /// Waits until a part that must not end has ended by itself, and says why; the process should then stop and be started
    /// again from outside.
    pub async fn failed(&self) -> String {
        self.alarm.raised().await
    }

    /// Where Prometheus and the orchestrator reach it.
    pub fn management_address(&self) -> SocketAddr {
        self.management.address
    }
}
