//! The span of a request. Invariant: what follows the request, its records among it, stands under this span; a request that is not
//! sampled costs one comparison.

use std::sync::Arc;

use poem::{Endpoint, Request, Response};

use super::context::RequestContext;
use crate::domain::id::AccountId;
use crate::domain::sli::{Verdict, is_promised};
use crate::domain::time::Timestamp;
use crate::telemetry::trace::context::Place;
use crate::telemetry::trace::{Kind, Span, Tracer, Value};

/// Traces what the routes answer.
pub(super) struct Traced<E> {
    routes: E,
    tracer: Option<Tracer>,
}

impl<E> Traced<E> {
    /// Hands spans to `tracer`, where there is one.
    pub(super) fn new(routes: E, tracer: Option<Tracer>) -> Self {
        Self { routes, tracer }
    }
}

/// One request until its span is handed over, also when its handler is dropped.
struct Open<'a> {
    tracer: &'a Tracer,
    context: Arc<RequestContext>,
    place: Place,
    started_at: Timestamp,
    status: Option<u16>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let operation = self.context.operation();
        if !is_promised(operation) {
            return;
        }
        let mut attributes = vec![("request.id", Value::Text(Arc::clone(&self.context.request_id)))];
        attributes.extend(self.status.map(|status| ("http.response.status_code", Value::Number(status.into()))));
        let account = self.context.account().map(AccountId::as_str);
        attributes.extend(account.map(|account| ("account.id", Value::Text(account.into()))));
        self.tracer.record(Span {
            place: self.place,
            name: operation,
            kind: Kind::Server,
            started_at: self.started_at,
            ended_at: Timestamp::now(),
            attributes,
            failed: self.status.is_none_or(|status| Verdict::of_status(status) == Verdict::Bad),
        });
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Traced<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let Some(tracer) = &self.tracer else { return self.routes.call(request).await };
        let context = Arc::clone(RequestContext::of(&request)?);
        let Some(place) = tracer.place(context.traceparent().map(|text| &**text)) else {
            return self.routes.call(request).await;
        };
        context.trace(place.header().into());
        let mut open = Open { tracer, context, place, started_at: Timestamp::now(), status: None };
        let answer = self.routes.call(request).await;
        open.status = Some(match &answer {
            Ok(response) => response.status().as_u16(),
            Err(error) => error.status().as_u16(),
        });
        answer
    }
}
