//! Deliveries of providers. Invariant: the account is the source's, and nothing of a body is read before its headers claim a
//! signature within the replay window.

use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use super::super::caller::{Caller, EventsWrite};
use super::super::failure::{Delivery, Failure};
use super::super::payload::{Delivered, Raw};
use super::super::problem::Problem;
use super::Group;
use super::ingest::{Batch, answer, call};
use crate::domain::time::Timestamp;
use crate::ingest::{Form, Layout};

/// `POST /v1/sources/{source}/events`.
pub(in super::super) struct SourcesApi;

#[OpenApi(tag = "Group::Ingest")]
impl SourcesApi {
    /// Take a provider's delivery
    ///
    /// Needs no token: the delivery is signed as its source says, and the source names the account. Its events end one by one, as in
    /// a batch; the pointers of their faults name our fields.
    #[oai(path = "/v1/sources/:source/events", method = "post", operation_id = "postSourceEvents")]
    async fn deliver(
        &self,
        request: &Request,
        /// Name of the source
        source: Path<String>,
        mut body: Raw<Delivered>,
    ) -> Result<Batch, Failure<Delivery>> {
        let now = Timestamp::now();
        let components = super::super::Components::of(request)?;
        let header = |name: &str| {
            let mut values = request.headers().get_all(name).iter();
            let value = values.next()?.to_str().ok()?;
            values.next().is_none().then_some(value)
        };
        let (source, claimed) = components.sources.claimed(&source.0, header, now).map_err(Problem::from)?;
        let caller = Caller::<EventsWrite>::with_tenant(request, source.tenant(now).into())?;
        let bytes = body.whole().await?;
        let batch = source.batch(&claimed, &bytes).map_err(Problem::from)?;
        let items = components.ingest.batch(&call(&caller, None), Layout::Many(Form::Event), &batch).await;
        Ok(answer(&caller, None, items.map_err(Problem::from)?, None).await?)
    }
}
