//! Health and readiness, the same on both listeners. Invariant: no token is needed and nothing secret is told.

use poem_openapi::{ApiResponse, OpenApi};

use super::super::answer::{HealthBody, ReadyBody, Reply};
use super::super::problem::retry_seconds;
use super::Group;
use crate::telemetry::health::{Check, Health};

/// `/health` and `/ready`.
pub(in super::super) struct OperationsApi {
    /// The probes of this process.
    pub(super) health: Health,
}

/// Whether this process should get traffic.
#[derive(ApiResponse)]
pub(in super::super) enum Readiness {
    /// Send traffic
    #[oai(status = 200)]
    Ready(Reply<ReadyBody>),
    /// Send no traffic: a system it needs is away, or it is stopping
    #[oai(status = 503)]
    NotReady(
        Reply<ReadyBody>,
        /// Seconds to wait before the next try
        #[oai(header = "Retry-After")]
        u16,
    ),
}

#[OpenApi(tag = "Group::Operations")]
impl OperationsApi {
    /// Is the process alive
    #[oai(path = "/health", method = "get", operation_id = "getHealth")]
    async fn health(&self) -> Reply<HealthBody> {
        health_answer()
    }

    /// Should the process get traffic
    #[oai(path = "/ready", method = "get", operation_id = "getReadiness")]
    async fn ready(&self) -> Readiness {
        ready_answer(&self.health).await
    }
}

/// The answer of `/health`.
pub(in super::super) fn health_answer() -> Reply<HealthBody> {
    Reply(HealthBody { status: "healthy".to_owned() })
}

/// The answer of `/ready`: asks every system, each with its deadline.
pub(in super::super) async fn ready_answer(health: &Health) -> Readiness {
    let report = health.report().await;
    let checks = report.checks.into_iter().map(|(name, check)| {
        let state = match check {
            Check::Ok => "ok".to_owned(),
            Check::Failed(reason) => reason,
        };
        (name.to_owned(), state)
    });
    let status = if report.ready { "ready" } else { "not_ready" };
    let body = Reply(ReadyBody { status: status.to_owned(), checks: checks.collect() });
    if report.ready { Readiness::Ready(body) } else { Readiness::NotReady(body, retry_seconds()) }
}
