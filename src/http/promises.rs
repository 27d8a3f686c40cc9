//! What each request of a tenant did to our promises. Invariant: every one of an operation that tenants call is filed once, also
//! when its handler is dropped: past our deadline or in a panic that is ours, before it the caller has hung up.

use std::sync::Arc;

use poem::{Endpoint, Request, Response};
use tokio::time::Instant;

use super::context::RequestContext;
use crate::domain::sli::{Verdict, is_promised};
use crate::domain::time::Timestamp;
use crate::telemetry::sli::Recorder;

/// Files what the routes answer.
pub(super) struct Promised<E> {
    routes: E,
    recorder: Option<Recorder>,
}

impl<E> Promised<E> {
    /// Files into `recorder`, where there is one.
    pub(super) fn new(routes: E, recorder: Option<Recorder>) -> Self {
        Self { routes, recorder }
    }
}

/// One request until it is filed.
struct Open<'a> {
    recorder: &'a Recorder,
    context: Arc<RequestContext>,
    started: Instant,
    status: Option<u16>,
}

impl Open<'_> {
    fn verdict(&self, now: Instant) -> Verdict {
        match self.status.map(Verdict::of_status) {
            Some(Verdict::Good) if self.context.fell_short() => Verdict::Bad,
            Some(verdict) => verdict,
            None if std::thread::panicking() || now >= self.context.deadline => Verdict::Bad,
            None => Verdict::Client,
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let (operation, now) = (self.context.operation(), Instant::now());
        if is_promised(operation) {
            let took = now.duration_since(self.started);
            self.recorder.record(Timestamp::now(), operation, self.context.account(), (self.verdict(now), took));
        }
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Promised<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let Some(recorder) = &self.recorder else { return self.routes.call(request).await };
        let context = Arc::clone(RequestContext::of(&request)?);
        let mut open = Open { recorder, context, started: Instant::now(), status: None };
        let answer = self.routes.call(request).await;
        open.status = Some(match &answer {
            Ok(response) => response.status().as_u16(),
            Err(error) => error.status().as_u16(),
        });
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use poem::http::{HeaderMap, StatusCode};

    use super::*;

    async fn answer(request: Request) -> poem::Result<Response> {
        let context = RequestContext::of(&request)?;
        context.found(if request.uri().path() == "/probe" { "getHealth" } else { "postEvent" });
        match request.uri().path() {
            "/hang" => std::future::pending().await,
            "/panic" => panic!("a bug"),
            "/partly" => context.fall_short(),
            "/refused" => return Err(poem::Error::from_status(StatusCode::TOO_MANY_REQUESTS)),
            "/away" => return Ok(StatusCode::SERVICE_UNAVAILABLE.into()),
            _ => {}
        }
        Ok(Response::default())
    }

    /// Good, bad and client ones after one request that is given up after `patience`, due `within`.
    async fn filed(path: &str, within: Duration, patience: Duration) -> (u64, u64, u64) {
        let recorder = Recorder::default();
        let routes = Promised::new(poem::endpoint::make(answer), Some(recorder.clone()));
        let mut request = Request::builder().uri_str(path).finish();
        let context = RequestContext::new(&HeaderMap::new(), Instant::now(), within);
        request.extensions_mut().insert(Arc::new(context));
        let asked = tokio::time::timeout(patience, routes.call(request));
        let ended = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(asked)).await;
        assert_eq!(ended.is_err(), path == "/panic");
        let sample = recorder.take().minutes.into_values().next().unwrap_or_default();
        (sample.good, sample.bad, sample.client)
    }

    #[tokio::test]
    async fn every_request_is_filed_once() {
        let (long, short) = (Duration::from_millis(100), Duration::from_millis(1));
        let never = Duration::from_secs(900);
        for (path, expected) in [
            ("/", (1, 0, 0)),
            ("/probe", (0, 0, 0)),
            ("/partly", (0, 1, 0)),
            ("/refused", (0, 0, 1)),
            ("/away", (0, 1, 0)),
            ("/panic", (0, 1, 0)),
        ] {
            assert_eq!(filed(path, never, long).await, expected, "{path}");
        }
        assert_eq!(filed("/hang", never, short).await, (0, 0, 1), "the caller gave up");
        assert_eq!(filed("/hang", short, long).await, (0, 1, 0), "our deadline passed");
    }
}
