//! One line a request. Invariant: nothing the client wrote stands in it but its request id, and that is visible ASCII; the path,
//! the query, headers and bodies never do.

use std::time::Duration;

use super::context::RequestContext;
use crate::domain::id::AccountId;
use crate::domain::sli::{Verdict, is_probe};

/// What `WEIR_LOG` names to turn these lines up or down, e.g. `info,weir::requests=warn`.
const TARGET: &str = "weir::requests";

/// What a line tells beside its context.
pub(super) struct Answered {
    pub(super) method: &'static str,
    pub(super) status: u16,
    pub(super) took: Duration,
}

/// Writes the line: a failure of ours at warn, a probe that went well at debug, all else at info.
pub(super) fn write(context: &RequestContext, answered: &Answered) {
    let Answered { method, status, took } = *answered;
    let elapsed_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
    macro_rules! line {
        ($level:expr, $message:literal) => {
            tracing::event!(
                target: TARGET,
                $level,
                request.id = &*context.request_id,
                account.id = context.account().map(AccountId::as_str),
                http.method = method,
                http.route = context.operation(),
                http.status = status,
                elapsed_ms,
                bytes = context.bytes_in(),
                trace.id = context.trace_id(),
                $message
            )
        };
    }
    match Verdict::of_status(status) {
        Verdict::Bad => line!(tracing::Level::WARN, "request failed"),
        Verdict::Client => line!(tracing::Level::INFO, "request refused"),
        Verdict::Good if is_probe(context.operation()) => line!(tracing::Level::DEBUG, "request answered"),
        Verdict::Good => line!(tracing::Level::INFO, "request answered"),
    }
}
