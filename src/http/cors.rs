//! Which scripts in browsers may call (Fetch standard, CORS). Invariant: only origins the deployment names are answered so that
//! their scripts may read it; tokens travel in headers, so no credentials of the browser are ever allowed.

use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, Request, Response};

use super::context::RequestContext;

/// What scripts may read beside the body.
const EXPOSED: &str = "X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, Idempotent-Replayed, X-Weir-Lane";

/// What scripts may send.
const HEADERS: &str =
    "Authorization, Content-Type, Content-Encoding, Idempotency-Key, X-Request-Id, traceparent, If-Match";

const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";

/// Seconds a browser may remember the answer to its question.
const REMEMBERED: &str = "600";

/// Routes that browsers may call.
pub(super) struct Cors<E> {
    routes: E,
    origins: Vec<String>,
}

impl<E> Cors<E> {
    /// `origins` as configured, `*` for all.
    pub(super) fn new(routes: E, origins: Vec<String>) -> Self {
        Self { routes, origins }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Cors<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let origin = request.headers().get(header::ORIGIN).filter(|origin| self.allows(origin));
        let Some(origin) = origin.cloned() else { return self.routes.call(request).await };
        let context = RequestContext::of(&request)?;
        context.allow_origin(origin);
        let asks = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if request.method() != Method::OPTIONS || !asks {
            return self.routes.call(request).await;
        }
        context.found("preflight");
        Ok(Response::builder()
            .status(StatusCode::NO_CONTENT)
            .header(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS)
            .header(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS)
            .header(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED)
            .finish())
    }
}

/// Lets scripts of the allowed origin read an answer, whoever gave it.
pub(super) fn expose(response: &mut Response, origin: Option<&HeaderValue>) {
    let Some(origin) = origin else { return };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}
