//! The operations, grouped as the document groups them. Invariant: a handler says who may call, hands on, and words the answer;
//! it decides nothing else.

mod admin;
mod events;
mod incidents;
mod ingest;
mod limits;
mod live;
mod metrics;
mod operations;
mod slo;
mod sources;
mod summary;

use poem_openapi::Tags;

/// Every operation of the public listener.
pub(super) type PublicApi = (
    ingest::IngestApi,
    sources::SourcesApi,
    events::EventsApi,
    live::LiveApi,
    summary::SummaryApi,
    metrics::MetricsApi,
    slo::SloApi,
    incidents::IncidentsApi,
    limits::LimitsApi,
    admin::AdminApi,
    operations::OperationsApi,
);

/// Every operation of the public listener, for routes and for the document.
pub(super) fn public_api(health: crate::telemetry::health::Health) -> PublicApi {
    (
        ingest::IngestApi,
        sources::SourcesApi,
        events::EventsApi,
        live::LiveApi,
        summary::SummaryApi,
        metrics::MetricsApi,
        slo::SloApi,
        incidents::IncidentsApi,
        limits::LimitsApi,
        admin::ADMIN,
        operations::OperationsApi { health },
    )
}

pub(super) use limits::ModeBody;
pub(super) use operations::{health_answer, ready_answer};

/// Groups of the document.
#[derive(Tags)]
enum Group {
    /// Send events
    Ingest,
    /// Read events back
    Events,
    /// Counts and top users
    Summaries,
    /// One event name over time, and live counters
    Metrics,
    /// What an account may take
    Limits,
    /// What operators decide
    Admin,
    /// What was promised and what became of it
    Promises,
    /// Is it there, is it ready
    Operations,
}
