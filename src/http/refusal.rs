//! The one file that turns errors into problems. Invariant: each error of a station below has exactly one status and code here,
//! and whatever is not for the client is logged here and nowhere else.

use std::error::Error;

use poem::error::{MethodNotAllowedError, NotFoundError};
use poem::http::StatusCode;
use poem_openapi::error::{ParseParamError, ParsePathError};

use super::inspect::HeadFault;
use super::problem::{Code, Problem};
use crate::auth::AuthError;
use crate::domain::outcome::{Fault, Rejection};
use crate::domain::window::WindowError;
use crate::ingest::Refusal;
use crate::operators::OperatorError;
use crate::query::QueryError;
use crate::slo::desk::DeskError;
use crate::sources::Undelivered;
use crate::stream::StreamError;
use crate::topics::AdminError;

/// Whatever came out of the routes as an error.
pub(super) fn from_framework(error: poem::Error) -> Problem {
    let error = match error.downcast::<Problem>() {
        Ok(problem) => return problem,
        Err(error) => error,
    };
    if error.is::<NotFoundError>() {
        return Problem::new(Code::NotFound, "nothing lives at this path");
    }
    if error.is::<MethodNotAllowedError>() {
        return Problem::new(Code::MethodNotAllowed, "");
    }
    if let Some(parameter) = error.downcast_ref::<ParseParamError>() {
        return invalid_parameter("query", parameter.name, parameter.reason.clone());
    }
    if let Some(parameter) = error.downcast_ref::<ParsePathError>() {
        return invalid_parameter("path", parameter.name, parameter.reason.clone());
    }
    let status = error.status();
    if status.is_server_error() {
        tracing::error!(%error, "a request failed for a reason nobody named");
        return Problem::new(Code::Internal, "");
    }
    Problem::new(Code::Framework(status), "")
}

/// A parameter that breaks its rule.
pub(super) fn invalid_parameter(place: &str, name: &str, reason: String) -> Problem {
    let pointer = format!("/{place}/{name}").into();
    let fault = Fault { pointer, rule: "parameter", reason: reason.into() };
    Problem::new(Code::InvalidRequest, format!("the {place} parameter {name} is not valid")).with_faults(vec![fault])
}

impl From<HeadFault> for Problem {
    fn from(fault: HeadFault) -> Self {
        let (code, detail) = match fault {
            HeadFault::TooSlow => (Code::HeadTimeout, "the request head took too long"),
            HeadFault::UriTooLong => (Code::UriTooLong, "a request target may have at most 8192 bytes"),
            HeadFault::TooLarge => (Code::HeadTooLarge, "a request head may have at most 65536 bytes"),
            HeadFault::TooManyHeaders => (Code::HeadTooLarge, "a request may have at most 100 headers"),
            HeadFault::LineEnd => (Code::MalformedHead, "every line of a request head ends in CR LF"),
            HeadFault::Syntax => (Code::MalformedHead, "this is not the head of an HTTP/1.1 request"),
            HeadFault::Host => (Code::MalformedHead, "send exactly one Host header with a name or an address"),
            HeadFault::Framing => (
                Code::MalformedHead,
                "send one Content-Length of digits, or Transfer-Encoding: chunked, never both and never twice",
            ),
        };
        Self::new(code, detail)
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Invalid(_) => {
                Self::unauthorized("the token is not valid", "Bearer realm=\"weir\", error=\"invalid_token\"")
            }
            AuthError::KeysUnavailable(_) => Self::new(Code::Unavailable, "tokens cannot be checked at the moment"),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let malformed = Code::Outcome(StatusCode::BAD_REQUEST, Rejection::Malformed.code());
        match refusal {
            Refusal::Malformed { faults, .. } => Self::new(malformed, detail).with_faults(faults),
            Refusal::TooManyEvents { .. } => Self::new(Code::BatchTooLarge, detail),
            Refusal::NoEvents => Self::new(malformed, detail),
            Refusal::Limited(refusal) => Self::limited(&refusal),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Cursor => Self::new(Code::InvalidCursor, "the cursor is not one this service gave"),
            QueryError::Filter(_) => Self::new(Code::InvalidRequest, error.to_string()),
            QueryError::Window(error) => error.into(),
            QueryError::Receipt => invalid_parameter("query", "receipt", error.to_string()),
            QueryError::NotCounted => Self::new(Code::NotCounted, "the event of min_receipt is not stored yet"),
            QueryError::Concurrent => Self::new(Code::Concurrent, error.to_string()),
            QueryError::Topic => Self::new(Code::NotFound, error.to_string()),
            QueryError::TimeZone => invalid_parameter("query", "time_zone", error.to_string()),
            QueryError::TooManyEvents(_) => invalid_parameter("query", "group_by", error.to_string()),
            QueryError::Unavailable(cause) => {
                tracing::warn!(cause = causes(&*cause), "a question was not answered");
                Self::new(Code::Unavailable, "the answer cannot be read at the moment")
            }
            QueryError::Broken(cause) => {
                tracing::error!(cause = causes(&*cause), "a question cannot be answered");
                Self::new(Code::Internal, "")
            }
        }
    }
}

impl From<OperatorError> for Problem {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::Cursor => Self::new(Code::InvalidCursor, "the cursor is not one this service gave"),
            OperatorError::Unavailable(cause) => {
                tracing::warn!(cause = causes(&*cause), "what operators decide was not reached");
                Self::new(Code::Unavailable, "the store cannot be reached; look whether a change was made")
            }
            OperatorError::Broken(cause) => {
                tracing::error!(cause = causes(&*cause), "what operators decide cannot be read or changed");
                Self::new(Code::Internal, "")
            }
        }
    }
}

impl From<StreamError> for Problem {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Position => invalid_parameter("query", "after", error.to_string()),
            StreamError::Topic => Self::new(Code::NotFound, error.to_string()),
            StreamError::Concurrent(_) => Self::new(Code::Concurrent, error.to_string()),
            StreamError::Full => Self::new(Code::Unavailable, error.to_string()),
            StreamError::Away(_) => {
                tracing::warn!(cause = causes(&error), "a stream was not opened");
                Self::new(Code::Unavailable, "the log cannot be followed at the moment")
            }
            StreamError::Follow(_) => {
                tracing::error!(cause = causes(&error), "a stream cannot be opened");
                Self::new(Code::Internal, "")
            }
        }
    }
}

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Self {
        tracing::warn!(cause = causes(&error), "a topic was not made");
        Self::new(Code::Unavailable, "the log does not make the topic at the moment")
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Unavailable(cause) => {
                tracing::warn!(cause = causes(&*cause), "a report cannot be made now");
                Self::new(Code::Unavailable, "reports cannot be made at the moment")
            }
            DeskError::Broken(cause) => {
                tracing::error!(cause = causes(&*cause), "a report cannot be made");
                Self::new(Code::Internal, "")
            }
        }
    }
}

impl From<Undelivered> for Problem {
    fn from(undelivered: Undelivered) -> Self {
        match undelivered {
            Undelivered::Unsigned => {
                Self::unauthorized("the source or the signature is not known", "Signature realm=\"weir\"")
            }
            Undelivered::NotLoaded => Self::new(Code::Unavailable, "sources cannot be looked up at the moment"),
            Undelivered::Malformed(fault) => {
                let malformed = Code::Outcome(StatusCode::BAD_REQUEST, Rejection::Malformed.code());
                Self::new(malformed, "the delivery cannot be read as its source is defined").with_faults(vec![fault])
            }
        }
    }
}

impl From<WindowError> for Problem {
    fn from(error: WindowError) -> Self {
        let name = if error == WindowError::Reversed { "from" } else { "to" };
        invalid_parameter("query", name, error.to_string())
    }
}

/// An error and all that caused it, in one line for the log.
fn causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        line = format!("{line}: {source}");
        next = source.source();
    }
    line
}
