//! Which statuses an operation can answer beside its good ones, as a type. Invariant: every operation documents the problems
//! it can give, because its result names the set.

use std::marker::PhantomData;

use poem_openapi::ApiResponse;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;

use super::problem::{PROBLEM_JSON, Problem, ProblemBody};

/// A set of statuses.
pub(super) trait Statuses: Send + Sync + 'static {
    /// The statuses, in ascending order.
    const STATUSES: &'static [u16];
}

/// Statuses of an operation that takes a body.
pub(super) struct Write;

/// Statuses of an operation that takes a body and an Idempotency-Key.
pub(super) struct WriteOnce;

/// Statuses of an operation that takes signed deliveries.
pub(super) struct Delivery;

/// Statuses of an operator's change.
pub(super) struct Change;

/// Statuses of an operation that reads a collection.
pub(super) struct Read;

/// Statuses of an operation that answers in several forms.
pub(super) struct ReadForm;

/// Statuses of an operation that reads one thing by name.
pub(super) struct ReadOne;

impl Statuses for Write {
    const STATUSES: &'static [u16] = &[400, 401, 402, 403, 408, 413, 415, 429, 500, 503, 504];
}

impl Statuses for WriteOnce {
    const STATUSES: &'static [u16] = &[400, 401, 402, 403, 408, 409, 413, 415, 422, 429, 500, 503, 504];
}

impl Statuses for Delivery {
    const STATUSES: &'static [u16] = &[400, 401, 402, 403, 408, 413, 415, 429, 500, 503, 504];
}

impl Statuses for Change {
    const STATUSES: &'static [u16] = &[400, 401, 403, 404, 408, 409, 412, 413, 415, 428, 429, 500, 503, 504];
}

impl Statuses for Read {
    const STATUSES: &'static [u16] = &[400, 401, 403, 429, 500, 503, 504];
}

impl Statuses for ReadForm {
    const STATUSES: &'static [u16] = &[400, 401, 403, 406, 500, 503, 504];
}

impl Statuses for ReadOne {
    const STATUSES: &'static [u16] = &[400, 401, 403, 404, 429, 500, 503, 504];
}

/// A problem of an operation with the statuses `S`.
pub(super) struct Failure<S>(Problem, PhantomData<fn() -> S>);

impl<S> From<Problem> for Failure<S> {
    fn from(problem: Problem) -> Self {
        Self(problem, PhantomData)
    }
}

impl<S> From<Failure<S>> for poem::Error {
    fn from(failure: Failure<S>) -> Self {
        failure.0.into()
    }
}

impl<S: Statuses> ApiResponse for Failure<S> {
    fn meta() -> MetaResponses {
        MetaResponses { responses: S::STATUSES.iter().copied().map(response).collect() }
    }

    fn register(registry: &mut Registry) {
        ProblemBody::register(registry);
    }
}

fn response(status: u16) -> MetaResponse {
    let headers = match status {
        401 => vec![header("WWW-Authenticate", "string", "How to authenticate")],
        412 | 428 => vec![header("ETag", "string", "Version of what is there, when something is")],
        415 => vec![header("Accept-Encoding", "string", "Content codings that are taken, when that was the reason")],
        402 | 429 => vec![header("Retry-After", "integer", "Seconds after which what was refused fits")],
        409 | 503 => vec![header("Retry-After", "integer", "Seconds to wait before the next try")],
        _ => vec![],
    };
    MetaResponse {
        description: description(status),
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType { content_type: PROBLEM_JSON, schema: ProblemBody::schema_ref() }],
        headers,
    }
}

fn header(name: &str, kind: &'static str, description: &str) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: false,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new(kind))),
    }
}

fn description(status: u16) -> &'static str {
    match status {
        400 => "Unparsable, or a rule is broken; `errors` says what to mend",
        401 => "No token, or one that does not convince",
        402 => "The account's month is spent",
        403 => "The token does not allow this, or names another account",
        404 => "No such thing in this account",
        406 => "None of the forms of the answer is accepted",
        408 => "The body came too slowly",
        409 => {
            "Something else stands in the way: a request with this Idempotency-Key is still running, or there is no room"
        }
        412 => "It is not, or no longer, what `If-Match` names",
        413 => "Too many bytes or events",
        415 => "Not a media type or coding that is taken",
        422 => "This Idempotency-Key came with another body before",
        428 => "It exists: send its ETag as `If-Match`",
        429 => "The account is over a policy, named in `violated-policies`, or the address asks too often",
        500 => "A mistake of ours",
        503 => "We cannot take or answer it now; nothing was taken unless `code` is `outcome_unknown`",
        504 => "The answer took longer than this service allows",
        _ => "Refused",
    }
}
