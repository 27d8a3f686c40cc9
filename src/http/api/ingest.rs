//! Sending events. Invariant: a 2xx is written only from outcomes that say the log has the event, and every event of a batch has
//! its line.

use std::sync::Arc;

use poem_openapi::{ApiResponse, OpenApi};

use super::super::answer::{AcceptedBody, BatchBody, BatchStatus, ItemStatus, Reply};
use super::super::caller::{Caller, EventsWrite};
use super::super::failure::{Failure, Write};
use super::super::outcome;
use super::super::payload::{ManyEvents, OneEvent, Raw};
use super::super::problem::Problem;
use super::Group;
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;
use crate::ingest::{Call, Item};

/// `POST /v1/events` and its kin.
pub(in super::super) struct IngestApi;

/// An event that was taken.
#[derive(ApiResponse)]
enum Accepted {
    /// The log has the event on all in-sync replicas
    #[oai(status = 202)]
    Accepted(Reply<AcceptedBody>),
}

/// A batch of which something was taken.
#[derive(ApiResponse)]
enum Batch {
    /// Nothing was refused
    #[oai(status = 202)]
    Accepted(Reply<BatchBody>),
    /// Some events were refused; `results` says which and why
    #[oai(status = 207)]
    Partial(Reply<BatchBody>),
}

#[OpenApi(tag = "Group::Ingest")]
impl IngestApi {
    /// Send one event
    ///
    /// Needs the scope `events:write`. Answered once the log has the event on all in-sync replicas.
    #[oai(path = "/v1/events", method = "post", operation_id = "postEvent")]
    async fn event(&self, caller: Caller<EventsWrite>, body: Raw<OneEvent>) -> Result<Accepted, Failure<Write>> {
        single(caller, body).await
    }

    /// Send one event (alias of `/v1/events`)
    ///
    /// Needs the scope `events:write`.
    #[oai(path = "/events", method = "post", operation_id = "postEventAlias")]
    async fn event_alias(&self, caller: Caller<EventsWrite>, body: Raw<OneEvent>) -> Result<Accepted, Failure<Write>> {
        single(caller, body).await
    }

    /// Send up to 1,000 events
    ///
    /// Needs the scope `events:write`. Events end one by one: `results` has a line for each, in order. When none was taken the
    /// answer is a problem that carries the same `results`.
    #[oai(path = "/v1/events/batch", method = "post", operation_id = "postEventBatch")]
    async fn batch(&self, caller: Caller<EventsWrite>, body: Raw<ManyEvents>) -> Result<Batch, Failure<Write>> {
        let items =
            caller.components.ingest.batch(&call(&caller), &caller.pass, &body.bytes).await.map_err(Problem::from)?;
        let body = outcome::batch(items, &caller.context.request_id);
        let body = body.map_err(|problem| problem.with_limit(caller.pass.refusal()))?;
        Ok(match body.status {
            BatchStatus::Accepted => Batch::Accepted(Reply(body)),
            BatchStatus::Partial => Batch::Partial(Reply(body)),
        })
    }
}

async fn single(caller: Caller<EventsWrite>, body: Raw<OneEvent>) -> Result<Accepted, Failure<Write>> {
    let item =
        caller.components.ingest.single(&call(&caller), &caller.pass, &body.bytes).await.map_err(Problem::from)?;
    match item {
        Item { outcome: Outcome::Accepted, event_id: Some(event_id), receipt: Some(receipt), .. } => {
            Ok(Accepted::Accepted(Reply(AcceptedBody {
                status: ItemStatus::Accepted,
                event_id: event_id.as_str().to_owned(),
                partition: receipt.partition,
                offset: receipt.offset,
                receipt: receipt.to_string(),
                request_id: caller.context.request_id.to_string(),
            })))
        }
        refused => Err(outcome::single(refused).with_limit(caller.pass.refusal()).into()),
    }
}

fn call(caller: &Caller<EventsWrite>) -> Call {
    Call {
        tenant: Arc::clone(&caller.tenant),
        request_id: Arc::clone(&caller.context.request_id),
        traceparent: caller.context.traceparent.clone(),
        received_at: Timestamp::now(),
    }
}
