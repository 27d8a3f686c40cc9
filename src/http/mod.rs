//! The door: the only folder that knows poem. Invariant: every connection is bounded before it is served, and every request gets
//! exactly one answer with its request id.
//!
//! The steps of a request: [`acceptor`] (caps) → [`socket`] (deadlines of the peer) → [`intake`] over [`inspect`] (what is no
//! sound head) → [`door`] (context, our deadline, panics, measuring, [`request_log`]) → [`promises`] (how it counts) → [`traced`] (its span) → [`cors`] (origin) → [`routes`] (operation, `Allow`) →
//! [`caller`] (address, token, scope, limits) → [`payload`] over [`media`], [`body`] and [`coding`] (type, size, pace) →
//! [`api`] (hand on) → [`outcome`] / [`answer`] or [`refusal`] / [`problem`] (word it). [`openapi`] documents the same types.

mod acceptor;
mod admin;
mod answer;
mod api;
mod beacon;
mod body;
mod caller;
mod coding;
mod connection;
mod context;
mod cors;
mod counted;
mod docs;
mod document;
mod door;
mod failure;
mod fresh;
mod incident;
mod inspect;
mod intake;
mod limited;
mod live;
mod measured;
mod media;
mod metrics;
mod objects;
mod openapi;
mod outcome;
mod payload;
mod problem;
mod promises;
#[cfg(test)]
mod public_tests;
mod refusal;
mod repeatable;
mod report_schema;
mod request_log;
mod routes;
mod schema;
mod serve;
mod socket;
mod status;
mod stored;
mod stored_wait;
#[cfg(test)]
mod tests;
mod text;
mod trace;
mod traced;
mod ws;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use poem::{Endpoint, EndpointExt, IntoResponse, Request, Response, Route};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::auth::Auth;
use crate::config::{Config, HttpConfig, IngestConfig};
use crate::domain::receipt::ReceiptSealer;
use crate::idempotency::Repeats;
use crate::ingest::Ingest;
use crate::lanes::{History, Lanes};
use crate::limit::Limiter;
use crate::operators::Operators;
use crate::query::Queries;
use crate::quotas::{FairnessDesk, QuotaDesk};
use crate::slo::desk::Desk;
use crate::sources::Sources;
use crate::stream::Streams;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::render;
use crate::telemetry::sli::Recorder;
use crate::telemetry::trace::Tracer;
use crate::topics::TopicClasses;

use door::Times;
pub use openapi::document;
use problem::{Code, Problem};
use routes::{Methods, api_routes, plain};
use serve::Side;

/// What the public listener stands on.
pub struct Components {
    /// Who calls.
    pub auth: Auth,
    /// What accounts and addresses may take.
    pub limiter: Limiter,
    /// Which lane the events of accounts take.
    pub lanes: Lanes,
    /// Which lanes they took.
    pub lane_history: History,
    /// What operators let accounts do.
    pub quotas: QuotaDesk,
    /// What became of everybody's share.
    pub fairness: FairnessDesk,
    /// Events in.
    pub ingest: Arc<Ingest>,
    /// Answers by Idempotency-Key.
    pub repeats: Repeats,
    /// What operators decide.
    pub operators: Operators,
    /// Who may deliver without a token.
    pub sources: Sources,
    /// Event names with topics of their own.
    pub topics: TopicClasses,
    /// Events and summaries out.
    pub queries: Arc<Queries>,
    /// Events as they come in.
    pub streams: Arc<Streams>,
    /// Whether traffic is wanted.
    pub health: Health,
    /// Seals receipts.
    pub receipts: ReceiptSealer,
    /// Caps and deadlines.
    pub config: HttpConfig,
    /// Caps of bodies.
    pub caps: IngestConfig,
    /// Reports and incidents.
    pub desk: Desk,
    /// Whether the public may see how the service does.
    pub status_page: bool,
    /// Where spans go, if anywhere.
    pub tracer: Option<Tracer>,
    /// Where levels of service are filed, unless nobody wants them.
    pub sli: Option<Recorder>,
}

impl Components {
    /// What the routes were given.
    ///
    /// # Errors
    /// An internal problem on a listener without them: a mistake of ours.
    fn of(request: &Request) -> Result<&Arc<Self>, Problem> {
        request.data::<Arc<Self>>().ok_or_else(|| Problem::new(Code::Internal, ""))
    }
}

/// Serves tenants on a bound listener until the token is cancelled, then drains; returns when the last connection is closed,
/// at most `drain_seconds` later.
///
/// # Errors
/// When the listener is unusable.
pub async fn serve_public(
    listener: TcpListener,
    components: Arc<Components>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let config = components.config.clone();
    components.streams.end_with(shutdown.clone());
    let after_body = after_body(components.ingest.ack_timeout());
    let side = Side { name: "public", after_body };
    serve::serve(listener, side, public_routes(components), &config, shutdown).await
}

/// What checking and answering may take after a body, beside the wait for the log.
const ANSWERING: Duration = Duration::from_secs(1);

/// What may follow a body.
fn after_body(ack_timeout: Duration) -> Duration {
    ack_timeout + ANSWERING
}

/// The longest a request may run: a body that came as slowly as it may, then the log.
pub fn longest_request(config: &Config) -> Duration {
    Times::of(config.http.request_deadline(), after_body(config.kafka.ack_timeout())).answer
}

/// Serves operators: Prometheus metrics, liveness, health and readiness. Ends like [`serve_public`].
///
/// # Errors
/// When the listener is unusable.
pub async fn serve_management(
    listener: TcpListener,
    health: Health,
    config: &HttpConfig,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let side = Side { name: "management", after_body: Duration::ZERO };
    serve::serve(listener, side, management_routes(health), config, shutdown).await
}

fn public_routes(components: Arc<Components>) -> impl Endpoint<Output = Response> {
    let api = api::public_api(components.health.clone());
    let origins = components.config.cors_origins.clone();
    let (recorder, tracer) = (components.sli.clone(), components.tracer.clone());
    let mut routes = docs::add_to(api_routes(api)).at("/v1/ws", Methods::get("watchEvents", ws::endpoint()));
    if components.status_page {
        let page = status::StatusPage::new(components.desk.clone());
        routes = routes.at("/status", Methods::get("getStatusPage", page));
    }
    let served = traced::Traced::new(cors::Cors::new(routes.data(components), origins), tracer);
    promises::Promised::new(served, recorder)
}

fn management_routes(health: Health) -> impl Endpoint<Output = Response> {
    let ready = poem::endpoint::make(move |_| {
        let health = health.clone();
        async move { api::ready_answer(&health).await.into_response() }
    });
    let alive = || plain(|| api::health_answer().into_response());
    let metrics = plain(|| Response::builder().content_type("text/plain; version=0.0.4; charset=utf-8").body(render()));
    Route::new()
        .at("/livez", Methods::get("getLiveness", alive()))
        .at("/health", Methods::get("getManagementHealth", alive()))
        .at("/ready", Methods::get("getManagementReadiness", ready))
        .at("/metrics", Methods::get("getPrometheusMetrics", metrics))
}
