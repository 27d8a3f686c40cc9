//! One piece of work behind a plain poem route and behind a documented one, as the service documents its own: a body handed on as
//! bytes, an answer written straight from its type. Invariant: both routes call [`Work::take`] and answer the same bytes; the log takes
//! everything at once, so what the document costs is as large a share as it can be.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use poem::http::StatusCode;
use poem::listener::TcpListener;
use poem::web::Data;
use poem::{Body, EndpointExt, IntoResponse, Request, RequestBody, Response, Route, Server, handler, post};
use poem_openapi::auth::Bearer;
use poem_openapi::param::Query;
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, Object, OpenApi, OpenApiService, SecurityScheme,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir::auth::Auth;
use weir::config::{Config, Secret};
use weir::domain::outcome::Outcome;
use weir::domain::time::Timestamp;
use weir::ingest::{Call, Form, Ingest};
use weir::kafka::{Placement, Publish, PublishError, Record};
use weir::limit::{Limiter, Quotas};

/// A log that has everything at once.
struct Immediate;

impl Publish for Immediate {
    fn publish(&self, records: Vec<Record>, _: Instant) -> BoxFuture<'_, Vec<Result<Placement, PublishError>>> {
        std::future::ready(records.iter().map(|_| Ok(Placement { partition: 0, offset: 0 })).collect()).boxed()
    }
}

/// What the service does between request and answer.
struct Work {
    auth: Auth,
    limiter: Limiter,
    ingest: Ingest,
}

/// The answer.
#[derive(serde::Serialize, Object)]
struct Taken {
    status: String,
    event_id: String,
    partition: i32,
    offset: i64,
    receipt: String,
}

impl Work {
    async fn start(secret: &str) -> anyhow::Result<Self> {
        let mut config = Config::from_env().context("the service's defaults")?;
        config.auth.jwt_hs256_secret = Some(Secret::new(secret));
        config.auth.jwt_jwks = None;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let quotas = Arc::new(Quotas::new(config.limit.default_quota()));
        Ok(Self {
            auth: Auth::start(&config.auth, &tasks, &stop).await?,
            limiter: Limiter::start(&config.limit, None, quotas, &tasks, stop),
            ingest: Ingest::new(&config, Arc::new(Immediate)),
        })
    }

    async fn take(&self, token: &str, body: Body) -> Result<Taken, StatusCode> {
        let tenant = self.auth.verify(token).await.map_err(|_| StatusCode::UNAUTHORIZED)?;
        let pass = self.limiter.gate(&tenant.account_id, 0).map_err(|_| StatusCode::TOO_MANY_REQUESTS)?;
        let bytes = body.into_bytes().await.map_err(|_| StatusCode::BAD_REQUEST)?;
        let call = Call {
            pass: Arc::new(pass),
            tenant,
            request_id: "r".into(),
            traceparent: None,
            received_at: Timestamp::now(),
            skew_micros: 0,
        };
        let item = self.ingest.single(&call, Form::Event, &bytes).await.map_err(|_| StatusCode::BAD_REQUEST)?;
        match (item.outcome, item.event_id, item.receipt) {
            (Outcome::Accepted, Some(event_id), Some(receipt)) => Ok(Taken {
                status: "accepted".to_owned(),
                receipt: format!("{}/{}/{}", receipt.topic, receipt.partition, receipt.offset),
                event_id: event_id.as_str().to_owned(),
                partition: receipt.partition,
                offset: receipt.offset,
            }),
            _ => Err(StatusCode::BAD_REQUEST),
        }
    }
}

#[handler]
async fn plain(request: &Request, body: Body, work: Data<&Arc<Work>>) -> Response {
    let header = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    match work.take(header.unwrap_or_default(), body).await {
        Ok(taken) => Reply(taken).into_response().with_status(StatusCode::ACCEPTED).into_response(),
        Err(status) => status.into_response(),
    }
}

/// A JSON body written straight from its type.
struct Reply(Taken);

impl Payload for Reply {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        Taken::schema_ref()
    }

    fn register(registry: &mut Registry) {
        Taken::register(registry);
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        match Body::from_json(&self.0) {
            Ok(body) => Response::builder().content_type("application/json").body(body),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// A body that has not been read.
struct Raw(Body);

impl<'a> ApiExtractor<'a> for Raw {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new("object")));
        let content = vec![MetaMediaType { content_type: "application/json", schema }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        match request.content_type() {
            Some("application/json") => Ok(Self(body.take()?)),
            _ => Err(StatusCode::UNSUPPORTED_MEDIA_TYPE.into()),
        }
    }
}

#[derive(SecurityScheme)]
#[oai(ty = "bearer")]
struct Caller(Bearer);

#[derive(ApiResponse)]
enum Accepted {
    /// The log has the event
    #[oai(status = 202)]
    Accepted(Reply),
}

struct Documented {
    work: Arc<Work>,
}

#[OpenApi]
impl Documented {
    /// Send one event
    #[oai(path = "/v1/events", method = "post", operation_id = "postEvent")]
    async fn event(
        &self,
        caller: Caller,
        /// Wait until it is stored
        wait: Query<Option<bool>>,
        /// What your clock said
        sent_at: Query<Option<String>>,
        body: Raw,
    ) -> poem::Result<Accepted> {
        if wait.0.is_some() || sent_at.0.is_some() {
            return Err(StatusCode::NOT_IMPLEMENTED.into());
        }
        Ok(Accepted::Accepted(Reply(self.work.take(&caller.0.token, body.0).await?)))
    }
}

/// Serves one of the two until it is killed; `secret` is that of the tokens.
///
/// # Errors
/// When the address cannot be had.
pub fn serve_route(address: SocketAddr, documented: bool, secret: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let work = Arc::new(Work::start(secret).await?);
        let listener = TcpListener::bind(address);
        if documented {
            let routes = OpenApiService::new(Documented { work }, "the same work", "1");
            Server::new(listener).run(routes).await?;
        } else {
            Server::new(listener).run(Route::new().at("/v1/events", post(plain)).data(work)).await?;
        }
        Ok(())
    })
}
