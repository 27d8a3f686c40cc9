//! The public status page. Invariant: whatever the number of visitors, Postgres is asked once a minute, and only public incidents
//! are shown.

use std::sync::Arc;
use std::time::Duration;

use poem::http::{HeaderValue, StatusCode, header};
use poem::{Endpoint, Request, Response};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::document::PAGE_POLICY;
use super::problem::{Code, Problem};
use crate::domain::time::Timestamp;
use crate::slo::desk::Desk;
use crate::slo::period::{Cadence, Period};
use crate::slo::report::Audience;
use crate::slo::report::build::Ask;
use crate::slo::report::html::status_page;

/// How long a page serves further visitors.
const FRESH: Duration = Duration::from_secs(60);

/// How long a page that could not be made keeps further visitors from asking.
const AGAIN: Duration = Duration::from_secs(5);

/// The page as it was last made; nothing when that failed.
type Last = Option<(Instant, Option<Arc<str>>)>;

/// Serves the page.
pub(super) struct StatusPage {
    desk: Desk,
    last: Mutex<Last>,
}

impl StatusPage {
    /// Of what the desk knows.
    pub(super) fn new(desk: Desk) -> Self {
        Self { desk, last: Mutex::new(None) }
    }

    async fn page(&self) -> Result<Arc<str>, Problem> {
        let mut last = self.last.lock().await;
        let fresh = last.as_ref().filter(|(made, page)| made.elapsed() < if page.is_some() { FRESH } else { AGAIN });
        let page = match fresh {
            Some((_, page)) => page.clone(),
            None => {
                let page = self.make().await;
                *last = Some((Instant::now(), page.clone()));
                page
            }
        };
        page.ok_or_else(|| Problem::new(Code::Unavailable, "the status cannot be told at the moment"))
    }

    async fn make(&self) -> Option<Arc<str>> {
        let now = Timestamp::now();
        let period = Period::of(Cadence::Weekly, Some(now), now);
        let mut report = match self
            .desk
            .public_report(&Ask { audience: Audience::Executive, account: None, period, month: None, now })
            .await
        {
            Ok(report) => report,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the status page cannot be made");
                return None;
            }
        };
        report.incidents.reverse();
        status_page(&report)
            .inspect_err(|error| tracing::error!(%error, "the status page cannot be written"))
            .ok()
            .map(Into::into)
    }
}

impl Endpoint for StatusPage {
    type Output = Response;

    async fn call(&self, _request: Request) -> poem::Result<Response> {
        let page = self.page().await?;
        Ok(Response::builder()
            .status(StatusCode::OK)
            .content_type("text/html; charset=utf-8")
            .header(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY))
            .header(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"))
            .body(page.to_string()))
    }
}
