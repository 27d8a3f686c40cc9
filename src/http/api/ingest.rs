//! Sending events. Invariant: a 2xx is written only from outcomes that say the log has the event, and every event of a batch has
//! its line.

use std::sync::Arc;

use poem_openapi::param::{Header, Query};
use poem_openapi::{ApiResponse, OpenApi};

use super::super::answer::{AcceptedBody, BatchBody, BatchStatus, ItemBody, ItemStatus, PaceBody, Reply};
use super::super::beacon::BeaconCaller;
use super::super::caller::{Caller, EventsWrite};
use super::super::failure::{Failure, Write, WriteOnce};
use super::super::media::Media;
use super::super::outcome::{self, Seal};
use super::super::payload::{AnyEvents, BeaconEvents, ManyEvents, OneEvent, Raw};
use super::super::problem::Problem;
use super::super::repeatable::{Lasting, Repeatable, once};
use super::super::stored_wait::{Wait, all_stored};
use super::super::text::Time;
use super::Group;
use crate::domain::id::EventId;
use crate::domain::lane::Lane;
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;
use crate::ingest::{Call, Form, Item, Layout};

/// `POST /v1/events` and its kin.
pub(in super::super) struct IngestApi;

/// An event that was taken.
#[derive(ApiResponse)]
enum Accepted {
    /// The event is stored, as `wait=stored` asked
    #[oai(status = 200)]
    Stored(Reply<AcceptedBody>),
    /// The log has the event on all in-sync replicas
    #[oai(status = 202)]
    Accepted(Reply<AcceptedBody>),
}

/// A batch of which something was taken.
#[derive(ApiResponse)]
pub(super) enum Batch {
    /// Nothing was refused and every event is stored, as `wait=stored` asked
    #[oai(status = 200)]
    Stored(Reply<BatchBody>),
    /// Nothing was refused
    #[oai(status = 202)]
    Accepted(Reply<BatchBody>),
    /// Some events were refused; `results` says which and why
    #[oai(status = 207)]
    Partial(Reply<BatchBody>),
}

impl Lasting for Batch {
    fn lasts(&self) -> bool {
        let (Self::Stored(Reply(body)) | Self::Accepted(Reply(body)) | Self::Partial(Reply(body))) = self;
        !body.results.iter().any(ItemBody::is_of_the_moment)
    }
}

/// What would become of events.
#[derive(ApiResponse)]
enum Verdict {
    /// Nothing would be refused
    #[oai(status = 200)]
    Sound(Reply<BatchBody>),
    /// Some events would be refused; `results` says which and why
    #[oai(status = 207)]
    Partial(Reply<BatchBody>),
}

#[OpenApi(tag = "Group::Ingest")]
impl IngestApi {
    /// Send one event
    ///
    /// Needs the scope `events:write`. Answered once the log has the event on all in-sync replicas. Takes a CloudEvent too,
    /// structured or in binary mode.
    #[oai(path = "/v1/events", method = "post", operation_id = "postEvent")]
    async fn event(
        &self,
        caller: Caller<EventsWrite>,
        /// `stored`: wait up to 5 seconds until the event is in the store
        wait: Query<Option<Wait>>,
        /// What your clock said when you sent this: its difference to ours is added to the time of the event
        sent_at: Query<Option<Time>>,
        body: Raw<OneEvent>,
    ) -> Result<Accepted, Failure<Write>> {
        single(caller, wait.0, sent_at.0, body).await
    }

    /// Send one event (alias of `/v1/events`)
    ///
    /// Needs the scope `events:write`.
    #[oai(path = "/events", method = "post", operation_id = "postEventAlias")]
    async fn event_alias(
        &self,
        caller: Caller<EventsWrite>,
        /// `stored`: wait up to 5 seconds until the event is in the store
        wait: Query<Option<Wait>>,
        /// What your clock said when you sent this: its difference to ours is added to the time of the event
        sent_at: Query<Option<Time>>,
        body: Raw<OneEvent>,
    ) -> Result<Accepted, Failure<Write>> {
        single(caller, wait.0, sent_at.0, body).await
    }

    /// Send up to 1,000 events, or 10,000 as lines
    ///
    /// Needs the scope `events:write`. Events end one by one: `results` has a line for each, in order. When none was taken the
    /// answer is a problem that carries the same `results`. Lines (NDJSON) are taken while they come: when the body turns out too
    /// large, too slow or broken, what was taken before keeps its result and a last line stands for all that was not read.
    #[allow(clippy::too_many_arguments, reason = "the document wants flat parameters")]
    #[oai(path = "/v1/events/batch", method = "post", operation_id = "postEventBatch")]
    async fn batch(
        &self,
        caller: Caller<EventsWrite>,
        /// `stored`: wait up to 5 seconds until the events are in the store
        wait: Query<Option<Wait>>,
        /// What your clock said when you sent this: its difference to ours is added to the times of the events; `sent_at` in
        /// the body comes first
        sent_at: Query<Option<Time>>,
        /// Quoted or bare, up to 255 characters: within 24 hours a batch with the same key gets the same answer and is not taken
        /// again. While Redis is away keys are not known, and the ids of events protect them
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Header<Option<String>>,
        mut body: Raw<ManyEvents>,
    ) -> Result<Repeatable<Batch>, Failure<WriteOnce>> {
        let work = async |body: &mut Raw<ManyEvents>| many(&caller, wait.0, sent_at.0, body).await;
        Ok(match idempotency_key.0 {
            None => Repeatable::fresh(work(&mut body).await?),
            Some(key) => once(&caller, &key, body, work).await?,
        })
    }

    /// Try events without sending them
    ///
    /// Needs the scope `events:write`. Says what posting the same event or batch would answer; nothing is published or counted, no
    /// event is charged (the bytes of the body are), and there are no receipts.
    #[oai(path = "/v1/events/validate", method = "post", operation_id = "validateEvents")]
    async fn validate(
        &self,
        caller: Caller<EventsWrite>,
        /// What your clock said when you sent this
        sent_at: Query<Option<Time>>,
        mut body: Raw<AnyEvents>,
    ) -> Result<Verdict, Failure<Write>> {
        let layout = body.layout(Layout::Either);
        let bytes = body.whole().await?;
        if let Some(refusal) = caller.pass.charge(0, bytes.len()).await.refusal {
            return Err(Problem::limited(&refusal).into());
        }
        let call = call(&caller, sent_at.0);
        let items = caller.components.ingest.validate(&call, layout, &bytes).map_err(Problem::from)?;
        let body = outcome::batch(items, None, &seal(&caller), &caller.context.request_id)?;
        Ok(match body.status {
            BatchStatus::Accepted => Verdict::Sound(Reply(body)),
            BatchStatus::Partial => Verdict::Partial(Reply(body)),
        })
    }

    /// Send events from a page that is being left
    ///
    /// For `navigator.sendBeacon`: JSON as `text/plain`, one event or a batch object, and the token in the query. The token must
    /// have the scope `events:write` and no other.
    #[oai(path = "/v1/beacon", method = "post", operation_id = "postBeacon")]
    async fn beacon(&self, caller: BeaconCaller, mut body: Raw<BeaconEvents>) -> Result<Batch, Failure<Write>> {
        let BeaconCaller(caller) = caller;
        let layout = body.layout(Layout::Either);
        let bytes = body.whole().await?;
        let items = caller.components.ingest.batch(&call(&caller, None), layout, &bytes).await;
        Ok(answer(&caller, None, items.map_err(Problem::from)?, None).await?)
    }
}

async fn single(
    caller: Caller<EventsWrite>,
    wait: Option<Wait>,
    sent_at: Option<Time>,
    mut body: Raw<OneEvent>,
) -> Result<Accepted, Failure<Write>> {
    let (form, bytes) = body.event().await?;
    let call = call(&caller, sent_at);
    let item = caller.components.ingest.single(&call, form, &bytes).await.map_err(Problem::from)?;
    match item {
        Item { outcome: Outcome::Accepted, event_id: Some(event_id), receipt: Some(receipt), .. } => {
            caller.context.went_by(Lane::of_topic(&receipt.topic));
            let reply = Reply(AcceptedBody {
                status: ItemStatus::Accepted,
                receipt: seal(&caller).of(&receipt, &event_id),
                event_id: event_id.as_str().to_owned(),
                partition: receipt.partition,
                offset: receipt.offset,
                pace: pace(&caller),
                request_id: caller.context.request_id.to_string(),
            });
            let stored = wait.is_some() && all_stored(&caller, &[event_id]).await;
            Ok(if stored { Accepted::Stored(reply) } else { Accepted::Accepted(reply) })
        }
        refused => Err(outcome::single(refused).with_limit(caller.pass.refusal()).into()),
    }
}

async fn many(
    caller: &Caller<EventsWrite>,
    wait: Option<Wait>,
    sent_at: Option<Time>,
    body: &mut Raw<ManyEvents>,
) -> Result<Batch, Problem> {
    if body.media == Media::Ndjson {
        return Box::pin(lines(caller, wait, call(caller, sent_at), body)).await;
    }
    let layout = body.layout(Layout::Many(Form::Event));
    let bytes = body.whole().await?;
    // A request that waits for its body holds no room for what comes after it.
    let items = Box::pin(caller.components.ingest.batch(&call(caller, sent_at), layout, &bytes)).await;
    drop(bytes);
    Box::pin(answer(caller, wait, items.map_err(Problem::from)?, None)).await
}

async fn lines(
    caller: &Caller<EventsWrite>,
    wait: Option<Wait>,
    call: Call,
    body: &mut Raw<ManyEvents>,
) -> Result<Batch, Problem> {
    let mut lines = caller.components.ingest.lines(call);
    let stopped = loop {
        match body.next().await {
            Ok(Some(piece)) => {
                if let Err(refusal) = lines.feed(&piece).await {
                    break Some(Problem::from(refusal));
                }
            }
            Ok(None) => break None,
            Err(problem) => break Some(problem),
        }
    };
    let (items, refusal) = lines.finish(stopped.is_none()).await;
    answer(caller, wait, items, stopped.or_else(|| refusal.map(Problem::from))).await
}

pub(super) async fn answer(
    caller: &Caller<EventsWrite>,
    wait: Option<Wait>,
    items: Vec<Item>,
    unread: Option<Problem>,
) -> Result<Batch, Problem> {
    let accepted = |item: &Item| item.event_id.clone().filter(|_| item.outcome == Outcome::Accepted);
    let ids: Vec<EventId> = if wait.is_some() { items.iter().filter_map(accepted).collect() } else { Vec::new() };
    if let Some(last) = items.iter().rev().find_map(|item| item.receipt.as_ref()) {
        caller.context.went_by(Lane::of_topic(&last.topic));
    }
    if items.iter().any(|item| matches!(item.outcome, Outcome::Failed(_))) {
        caller.context.fall_short();
    }
    let body = outcome::batch(items, unread, &seal(caller), &caller.context.request_id);
    let mut body = body.map_err(|problem| problem.with_limit(caller.pass.refusal()))?;
    body.pace = pace(caller);
    Ok(match body.status {
        BatchStatus::Partial => Batch::Partial(Reply(body)),
        BatchStatus::Accepted if wait.is_some() && all_stored(caller, &ids).await => Batch::Stored(Reply(body)),
        BatchStatus::Accepted => Batch::Accepted(Reply(body)),
    })
}

fn seal(caller: &Caller<EventsWrite>) -> Seal<'_> {
    Seal { sealer: &caller.components.receipts, account: &caller.tenant.account_id }
}

fn pace(caller: &Caller<EventsWrite>) -> Option<PaceBody> {
    caller.pass.pace(caller.components.caps.max_batch_events).map(PaceBody::from)
}

pub(super) fn call(caller: &Caller<EventsWrite>, sent_at: Option<Time>) -> Call {
    let call = Call {
        tenant: Arc::clone(&caller.tenant),
        pass: Arc::clone(&caller.pass),
        request_id: Arc::clone(&caller.context.request_id),
        traceparent: caller.context.traceparent().cloned(),
        received_at: Timestamp::now(),
        skew_micros: 0,
    };
    match sent_at {
        Some(Time(sent_at)) => call.sent_at(sent_at),
        None => call,
    }
}
