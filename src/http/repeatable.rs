//! Requests that may be sent again under one Idempotency-Key, worded. Invariant: the body of a repeat is read to its end before it is
//! answered, because only the same request gets the same answer.

use std::marker::PhantomData;

use poem::http::{HeaderName, HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaResponses, MetaSchema, MetaSchemaRef, Registry};

use super::caller::{Caller, EventsWrite};
use super::payload::{Raw, Shape};
use super::problem::{Code, Problem};
use super::refusal::invalid_parameter;
use crate::idempotency::{Reply, Turn};

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The answer of an operation that otherwise answers with a `T`, given now or earlier.
pub(super) struct Repeatable<T>(Response, PhantomData<fn() -> T>);

impl<T: IntoResponse> Repeatable<T> {
    /// An answer given now.
    pub(super) fn fresh(answer: T) -> Self {
        Self(answer.into_response(), PhantomData)
    }
}

impl<T> IntoResponse for Repeatable<T> {
    fn into_response(self) -> Response {
        self.0
    }
}

impl<T: ApiResponse> ApiResponse for Repeatable<T> {
    fn meta() -> MetaResponses {
        let mut meta = T::meta();
        for response in &mut meta.responses {
            response.headers.push(MetaHeader {
                name: "Idempotent-Replayed".to_owned(),
                description: Some("`true` when this is the answer to an earlier request with the same key".to_owned()),
                required: false,
                deprecated: false,
                schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("boolean"))),
            });
        }
        meta
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// An answer that knows whether a repeat should get it too.
pub(super) trait Lasting {
    /// Whether the same request, sent again later, would be told the same.
    fn lasts(&self) -> bool;
}

/// Answers a request once: by `work`, or with what an earlier request with the same key was told.
///
/// # Errors
/// The problem of a bad key, of one whose request still runs, or of one that came with another body. What `work` says no to is
/// an answer like any other.
pub(super) async fn once<T, S, W>(
    caller: &Caller<EventsWrite>,
    key: &str,
    mut body: Raw<S>,
    work: W,
) -> Result<Repeatable<T>, Problem>
where
    T: IntoResponse + Lasting,
    S: Shape,
    W: AsyncFnOnce(&mut Raw<S>) -> Result<T, Problem>,
{
    let (account, context) = (&caller.tenant.account_id, &caller.context);
    let turn = caller.components.repeats.turn(account, context.operation(), key).await;
    let turn = turn.map_err(|error| invalid_parameter("header", "Idempotency-Key", error.to_string()))?;
    let claimed = match turn {
        Turn::Unknown => return work(&mut body).await.map(Repeatable::fresh),
        Turn::Running => return Err(Problem::key_in_use()),
        Turn::Answered(answered) => {
            body.fingerprinted();
            while body.next().await?.is_some() {}
            body.charge_read();
            let reply = body.fingerprint().and_then(|fingerprint| answered.to(&fingerprint));
            return reply.map(replayed).ok_or_else(|| {
                Problem::new(Code::KeyReused, "this Idempotency-Key came with another body before: use a new one")
            });
        }
        Turn::First(claimed) => claimed,
    };
    body.fingerprinted();
    let (lasts, mut response) = match work(&mut body).await {
        Ok(answer) => (answer.lasts(), answer.into_response()),
        Err(problem) => (!problem.is_of_the_moment(), problem.render(&context.request_id)),
    };
    let text = response.take_body().into_string().await.map_err(|_| Problem::new(Code::Internal, ""))?;
    match body.fingerprint().filter(|_| lasts) {
        Some(fingerprint) => {
            let content_type = response.content_type().unwrap_or_default().to_owned();
            let reply = Reply { status: response.status().as_u16(), content_type, body: text.clone() };
            claimed.answered(fingerprint, reply).await;
        }
        // Not read to its end, so that nobody could tell another body from it; or some event is to be sent again, and a client
        // that sends all of it under the same key must not be told "again" for a day.
        None => claimed.given_up().await,
    }
    response.set_body(text);
    Ok(Repeatable(response, PhantomData))
}

fn replayed<T>(reply: Reply) -> Repeatable<T> {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::builder().status(status).body(reply.body);
    if let Ok(kind) = HeaderValue::from_str(&reply.content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Repeatable(response, PhantomData)
}
