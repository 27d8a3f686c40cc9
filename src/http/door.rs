//! The outermost step of every request: context, deadline, last catch, answer, measure. Invariant: whatever happens inside,
//! the client gets exactly one answer with its request id, errors always as problem+json, and exactly one observation is made.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Body, Endpoint, Request, Response};
use tokio::time::{Instant, timeout_at};

use super::body::declared_length;
use super::connection::{Connections, Running};
use super::context::{RequestContext, X_REQUEST_ID, has_body};
use super::cors;
use super::inspect::{HeadFault, MAX_HEADERS, MAX_URI};
use super::intake::PIECE;
use super::metrics;
use super::problem::{Code, Problem};
use super::refusal;
use super::request_log::{self, Answered};
use crate::limit::Fields;

/// Wraps the routes of one listener.
pub(super) struct Threshold<E> {
    routes: E,
    connections: Connections,
    times: Times,
}

/// How long requests may take, from the end of their head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// The body of those that have one, in all.
    pub(super) body: Duration,
    /// The answer's beginning; a stream may go on after it.
    pub(super) answer: Duration,
}

impl Times {
    /// Answers are due `within` so long, and after a body may take `after_body`: what the log was given of a body that came slowly is
    /// still to be told, so the body must be there before. It gets half the time at least, and where that leaves too little the
    /// answer comes later than `within`.
    pub(super) fn of(within: Duration, after_body: Duration) -> Self {
        let body = within.saturating_sub(after_body).max(within / 2);
        Self { body, answer: within.max(body + after_body) }
    }
}

/// What is remembered of a request once its handler owns it.
struct Visit {
    context: Arc<RequestContext>,
    running: Running,
    started: Instant,
    method: Method,
    version: Version,
    has_body: bool,
    /// What the head says the body weighs, where it does.
    declared: u64,
    /// When the answer is due.
    due: Instant,
}

impl<E: Endpoint<Output = Response>> Threshold<E> {
    /// Wraps them.
    pub(super) fn new(routes: E, connections: Connections, times: Times) -> Self {
        Self { routes, connections, times }
    }

    fn enter(&self, request: &mut Request) -> Visit {
        let started = Instant::now();
        let has_body = has_body(request.headers());
        let work = if has_body { self.times.body } else { self.times.answer };
        let context = Arc::new(RequestContext::new(request.headers(), started, work));
        request.extensions_mut().insert(Arc::clone(&context));
        let ends = match (request.local_addr(), request.remote_addr()) {
            (LocalAddr(Addr::SocketAddr(local)), RemoteAddr(Addr::SocketAddr(peer))) => Some((*local, *peer)),
            _ => None,
        };
        Visit {
            context,
            running: self.connections.request_starts(ends),
            started,
            method: request.method().clone(),
            version: request.version(),
            has_body,
            declared: declared_length(request.headers()).unwrap_or(0),
            due: started + self.times.answer,
        }
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Threshold<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let visit = self.enter(&mut request);
        if let Some(fault) = visit.refused(&request) {
            return Ok(visit.leave(Err(fault.into())));
        }
        let handling = AssertUnwindSafe(self.routes.call(request)).catch_unwind();
        let outcome = match timeout_at(visit.due, handling).await {
            Ok(Ok(Ok(response))) => Ok(response),
            Ok(Ok(Err(error))) => Err(refusal::from_framework(error)),
            Ok(Err(panic)) => {
                metrics::panicked(visit.context.operation(), &visit.context.request_id, panic_text(&*panic));
                Err(Problem::new(Code::Internal, ""))
            }
            Err(_) => Err(Problem::new(Code::Timeout, "the answer took longer than this service allows")),
        };
        Ok(visit.leave(outcome))
    }
}

impl Visit {
    /// Why the head cannot be served: what the inspector found, or, since HTTP/2 passes it unseen, its sizes.
    fn refused(&self, request: &Request) -> Option<HeadFault> {
        if self.version < Version::HTTP_2 {
            return self.running.refused();
        }
        let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
        match (target > MAX_URI, request.headers().len() > MAX_HEADERS) {
            (true, _) => Some(HeadFault::UriTooLong),
            (_, true) => Some(HeadFault::TooManyHeaders),
            _ => None,
        }
    }

    fn leave(self, outcome: Result<Response, Problem>) -> Response {
        let mut response = outcome.unwrap_or_else(|problem| problem.render(&self.context.request_id));
        let status = response.status();
        if let Ok(id) = HeaderValue::from_str(&self.context.request_id) {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        response.headers_mut().insert(NO_SNIFF.0, NO_SNIFF.1);
        if let Some(fields) = self.context.limit_fields() {
            add_limits(response.headers_mut(), fields);
        }
        if let Some(lane) = self.context.lane() {
            response.headers_mut().insert(LANE, HeaderValue::from_static(lane.as_str()));
        }
        // A partial answer may leave a body unread like a refusal.
        let refused = status.as_u16() >= 400 || status == StatusCode::MULTI_STATUS;
        if (self.has_body || self.running.refused().is_some()) && refused {
            self.running.linger();
            // hyper reads one piece of what is left; where more is, it closes, and the client should not learn it by a reset.
            let unread = self.declared.saturating_sub(self.context.bytes_in()) > PIECE as u64;
            let broken = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE);
            if (unread || broken) && self.version < Version::HTTP_2 {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
        }
        cors::expose(&mut response, self.context.origin());
        self.report(status);
        if status == StatusCode::SWITCHING_PROTOCOLS {
            self.running.upgraded();
        } else if response.content_type().is_some_and(|kind| kind.starts_with("text/event-stream")) {
            hold_while_streaming(&mut response, self.running);
        }
        response
    }

    fn report(&self, status: StatusCode) {
        let (method, took) = (method_label(&self.method), self.started.elapsed());
        metrics::request_done(method, self.context.operation(), status.as_str(), took);
        request_log::write(&self.context, &Answered { method, status: status.as_u16(), took });
    }
}

const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LANE: HeaderName = HeaderName::from_static("x-weir-lane");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const NO_SNIFF: (HeaderName, HeaderValue) = (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));

fn add_limits(headers: &mut HeaderMap, fields: Fields) {
    // Empty where no policy is enforced.
    let present = [(RATE_LIMIT_POLICY, fields.policy), (RATE_LIMIT, fields.limit)]
        .into_iter()
        .filter(|(_, text)| !text.is_empty());
    for (name, text) in present {
        if let Ok(value) = HeaderValue::from_maybe_shared(text) {
            headers.insert(name, value);
        }
    }
}

/// A stream keeps its connection busy to its end, or the idle clock would cut a quiet one.
fn hold_while_streaming(response: &mut Response, running: Running) {
    let stream = response.take_body().into_bytes_stream().map(move |chunk| {
        let _held = &running;
        chunk
    });
    response.set_body(Body::from_bytes_stream(stream));
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_due_in_time_whenever_its_body_came() {
        let times = |within, after_body| {
            let Times { body, answer } = Times::of(Duration::from_secs(within), Duration::from_secs(after_body));
            (body.as_secs(), answer.as_secs())
        };
        assert_eq!(times(15, 3), (12, 15));
        assert_eq!(times(15, 0), (15, 15));
        assert_eq!(times(4, 3), (2, 5), "a body gets half the time at least");
    }
}
