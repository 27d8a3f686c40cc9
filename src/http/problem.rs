//! What the door says when it says no (RFC 9457). Invariant: a problem holds no cause, token, SQL, path or payload; causes go to
//! the log where they are handled, once.

use std::borrow::Cow;
use std::fmt::Write;

use poem::error::ResponseError;
use poem::http::{HeaderName, HeaderValue, StatusCode, header};
use poem::{Body, Response};
use poem_openapi::Object;
use serde::Serialize;

use super::answer::{FaultBody, ItemBody};
use crate::domain::outcome::Fault;
use crate::limit::Refusal;

/// Media type of every problem.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// Problem type of a violated policy (draft-ietf-httpapi-ratelimit-headers).
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// Every `code` the door itself can answer; those of event outcomes come from `domain::outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// A parameter or header breaks its rule.
    InvalidRequest,
    /// The cursor is not one of ours.
    InvalidCursor,
    /// No token, or one that does not convince.
    Unauthorized,
    /// The token does not allow this.
    Forbidden,
    /// Nothing here.
    NotFound,
    /// Known path, other methods.
    MethodNotAllowed,
    /// The head of the request is not one of HTTP.
    MalformedHead,
    /// The head took too long.
    HeadTimeout,
    /// Too many bytes or headers in it.
    HeadTooLarge,
    /// The target of the request is too long.
    UriTooLong,
    /// The client paused inside its body, or dripped it.
    BodyTimeout,
    /// Too many bytes.
    BodyTooLarge,
    /// Too many events.
    BatchTooLarge,
    /// None of our forms of an answer is wanted.
    NotAcceptable,
    /// Media type or encoding.
    UnsupportedMediaType,
    /// A mistake of ours.
    Internal,
    /// Something we need is away.
    Unavailable,
    /// The event of a receipt is not stored yet.
    NotCounted,
    /// The account has too many questions under way.
    Concurrent,
    /// Our deadline.
    Timeout,
    /// There is no room for it.
    Conflict,
    /// It is not what the caller saw.
    PreconditionFailed,
    /// The caller does not say what they saw.
    PreconditionRequired,
    /// The first request with this Idempotency-Key still runs.
    KeyInUse,
    /// The Idempotency-Key came with another body before.
    KeyReused,
    /// The word of an event's outcome.
    Outcome(StatusCode, &'static str),
    /// Whatever the framework said that has no word of ours.
    Framework(StatusCode),
}

impl Code {
    /// Its HTTP status.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest | Self::InvalidCursor | Self::MalformedHead => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout | Self::HeadTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::BodyTooLarge | Self::BatchTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::KeyInUse | Self::Conflict => StatusCode::CONFLICT,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
            Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable | Self::NotCounted => StatusCode::SERVICE_UNAVAILABLE,
            Self::Concurrent => StatusCode::TOO_MANY_REQUESTS,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Outcome(status, _) | Self::Framework(status) => status,
        }
    }

    /// Its stable word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidCursor => "invalid_cursor",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::MalformedHead => "malformed_head",
            Self::HeadTimeout => "head_timeout",
            Self::HeadTooLarge => "head_too_large",
            Self::UriTooLong => "uri_too_long",
            Self::BodyTimeout => "body_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::BatchTooLarge => "batch_too_large",
            Self::NotAcceptable => "not_acceptable",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Internal => "internal_error",
            Self::Unavailable => "unavailable",
            Self::NotCounted => "not_counted",
            Self::Concurrent => "concurrent",
            Self::Timeout => "timeout",
            Self::Conflict => "conflict",
            Self::PreconditionFailed => "precondition_failed",
            Self::PreconditionRequired => "precondition_required",
            Self::KeyInUse => "idempotency_key_in_use",
            Self::KeyReused => "idempotency_key_reused",
            Self::Outcome(_, word) => word,
            Self::Framework(_) => "http_error",
        }
    }
}

/// A refusal on its way to the client.
#[derive(Debug, thiserror::Error)]
#[error("{}", code.word())]
pub(super) struct Problem {
    /// What went wrong, in one word.
    pub(super) code: Code,
    detail: Cow<'static, str>,
    more: Box<More>,
}

#[derive(Debug, Default)]
struct More {
    errors: Vec<FaultBody>,
    results: Option<Vec<ItemBody>>,
    event_id: Option<String>,
    header: Option<(HeaderName, HeaderValue)>,
    limit: Option<Refusal>,
}

/// A problem as the client reads it.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Problem", skip_serializing_if_is_none)]
pub(super) struct ProblemBody {
    /// URI of the kind of problem
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem in a few words
    title: String,
    /// HTTP status
    #[oai(validator(minimum(value = "400"), maximum(value = "599")))]
    status: u16,
    /// What happened this time
    detail: String,
    /// URN of this very request
    instance: String,
    /// The kind of problem in one stable word
    code: String,
    /// Id of the request, also in `X-Request-Id`
    request_id: String,
    /// The detail once more, for clients that read a plain `error`
    error: String,
    /// What to mend, when it can be named
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<FaultBody>>,
    /// The policies that were violated
    #[oai(rename = "violated-policies")]
    #[serde(rename = "violated-policies", skip_serializing_if = "Option::is_none")]
    violated_policies: Option<Vec<String>>,
    /// Most units the violated policy allows in its window
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<i64>,
    /// Units there would have been in the window
    #[serde(skip_serializing_if = "Option::is_none")]
    observed: Option<i64>,
    /// Seconds after which what was refused fits, when nothing is sent meanwhile; also in `Retry-After`
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<i64>,
    /// Id of the event that was not taken, when it had or got one; send it again with this id
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    /// How each event of a batch ended, when none was taken
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Vec<ItemBody>>,
}

impl Problem {
    /// A problem with a sentence about this case; an empty one stands for the title.
    pub(super) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), more: Box::default() }
    }

    /// A request without a convincing token.
    pub(super) fn unauthorized(detail: &'static str, challenge: &'static str) -> Self {
        Self::new(Code::Unauthorized, detail).with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// A token without the scope.
    pub(super) fn scope_missing(scope: &'static str) -> Self {
        let challenge = HeaderValue::from_static("Bearer realm=\"weir\", error=\"insufficient_scope\"");
        Self::new(Code::Forbidden, format!("the token lacks the scope {scope}"))
            .with(header::WWW_AUTHENTICATE, challenge)
    }

    /// A method the path does not know.
    pub(super) fn method_not_allowed(allow: HeaderValue) -> Self {
        Self::new(Code::MethodNotAllowed, "").with(header::ALLOW, allow)
    }

    /// A content coding we do not undo.
    pub(super) fn encoding() -> Self {
        Self::new(
            Code::UnsupportedMediaType,
            "send the body in one Content-Encoding of gzip, deflate, br, zstd, or in none",
        )
        .with(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, br, zstd"))
    }

    /// A repeat that came before the first request was answered.
    pub(super) fn key_in_use() -> Self {
        Self::new(Code::KeyInUse, "a request with this Idempotency-Key is still running")
            .with(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// Whether some event of the batch may end otherwise when it is sent again.
    pub(super) fn is_of_the_moment(&self) -> bool {
        self.more.results.iter().flatten().any(ItemBody::is_of_the_moment)
    }

    /// What happened this time; empty when the title says it all.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The same problem with the policy in its way.
    pub(super) fn with_limit(mut self, refusal: Option<&Refusal>) -> Self {
        self.more.limit = refusal.copied();
        self
    }

    /// The same problem with a header.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.more.header = Some((name, value));
        self
    }

    /// The same problem with what to mend.
    pub(super) fn with_faults(mut self, faults: Vec<Fault>) -> Self {
        self.more.errors.extend(faults.into_iter().map(FaultBody::from));
        self
    }

    /// The same problem about the event with this id.
    pub(super) fn with_event_id(mut self, event_id: Option<String>) -> Self {
        self.more.event_id = event_id;
        self
    }

    /// The same problem with the end of each event.
    pub(super) fn with_results(mut self, results: Vec<ItemBody>) -> Self {
        self.more.results = Some(results);
        self
    }

    /// Renders the answer for the request with this id.
    pub(super) fn render(self, request_id: &str) -> Response {
        let (status, more) = (self.code.status(), *self.more);
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        let detail = if self.detail.is_empty() { title.clone() } else { self.detail.into_owned() };
        let limit = more.limit.filter(|_| [402, 429].contains(&status.as_u16()));
        let kind = match limit {
            Some(_) => QUOTA_EXCEEDED.to_owned(),
            None => format!("urn:weir:problem:{}", self.code.word()),
        };
        let body = ProblemBody {
            kind,
            title,
            status: status.as_u16(),
            error: detail.clone(),
            detail,
            instance: instance(request_id),
            code: self.code.word().to_owned(),
            request_id: request_id.to_owned(),
            errors: (!more.errors.is_empty()).then_some(more.errors),
            violated_policies: limit.map(|refusal| vec![refusal.policy.name().to_owned()]),
            limit: limit.map(|refusal| refusal.limit),
            observed: limit.map(|refusal| refusal.observed),
            retry_after_seconds: limit.map(|refusal| refusal.retry_after_seconds),
            event_id: more.event_id,
            results: more.results,
        };
        let mut response = Response::builder().status(status).content_type(PROBLEM_JSON).finish();
        match Body::from_json(&body) {
            Ok(body) => response.set_body(body),
            Err(error) => tracing::error!(%error, "a problem cannot be rendered"),
        }
        let headers = response.headers_mut();
        if let Some((name, value)) = more.header {
            headers.insert(name, value);
        }
        if let Some(refusal) = limit {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(refusal.retry_after_seconds));
        }
        let again = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        if again && !headers.contains_key(header::RETRY_AFTER) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_seconds()));
        }
        response
    }
}

/// 1 to 5 seconds, jittered so that clients refused together do not return together.
pub(super) fn retry_seconds() -> u16 {
    rand::random_range(1..=5)
}

/// A URN of the request; what a URN does not allow is percent-encoded (RFC 8141).
fn instance(request_id: &str) -> String {
    let mut urn = String::from("urn:weir:request:");
    for byte in request_id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            urn.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(urn, "%{byte:02X}").unwrap_or_default();
        }
    }
    urn
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.code.status()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn rendered(problem: Problem) -> (Response, serde_json::Value) {
        let mut response = problem.render("id{1}");
        let body = response.take_body().into_vec().await.expect("body");
        (response, serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn a_problem_has_every_member_and_names_the_request() {
        let faults = vec![Fault::new("/user_id", "required", "is required")];
        let code = Code::Outcome(StatusCode::BAD_REQUEST, "invalid_event");
        let (response, body) = rendered(Problem::new(code, "one rule is broken").with_faults(faults)).await;
        assert_eq!(response.content_type(), Some(PROBLEM_JSON));
        let expected = serde_json::json!({
            "type": "urn:weir:problem:invalid_event", "title": "Bad Request", "status": 400,
            "detail": "one rule is broken", "instance": "urn:weir:request:id%7B1%7D", "code": "invalid_event",
            "request_id": "id{1}", "error": "one rule is broken",
            "errors": [{"pointer": "/user_id", "rule": "required", "reason": "is required"}],
        });
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn headers_that_belong_to_a_status_are_there() {
        let (response, _) = rendered(Problem::new(Code::Unavailable, "")).await;
        let seconds: u16 = response.header("retry-after").expect("header").parse().expect("number");
        assert!((1..=5).contains(&seconds));
        let (response, _) = rendered(Problem::unauthorized("no token", "Bearer")).await;
        assert_eq!(response.header("www-authenticate"), Some("Bearer"));
        let (response, _) = rendered(Problem::method_not_allowed(HeaderValue::from_static("GET, HEAD"))).await;
        assert_eq!(response.header("allow"), Some("GET, HEAD"));
        let (response, _) = rendered(Problem::encoding()).await;
        assert_eq!(response.header("accept-encoding"), Some("gzip, deflate, br, zstd"));
    }
}
