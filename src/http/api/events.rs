//! Reading events back. Invariant: only the caller's account is ever asked about.

use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use super::super::answer::{ChannelBody, Reply};
use super::super::caller::{Caller, EventsRead};
use super::super::failure::{Failure, Read, ReadOne};
use super::super::fresh::wait_for;
use super::super::problem::{Code, Problem};
use super::super::stored::{EventBody, PageBody};
use super::super::text::Time;
use super::super::trace::TraceBody;
use super::Group;
use crate::domain::id::EventId;
use crate::domain::time::Timestamp;
use crate::query::{Database, EventQuery};

const PAGE: u16 = 50;

/// `GET /v1/events` and its kin.
pub(in super::super) struct EventsApi;

fn page_length() -> u16 {
    PAGE
}

fn missing() -> Problem {
    Problem::new(Code::NotFound, "this account has no event with this id")
}

#[OpenApi(tag = "Group::Events")]
impl EventsApi {
    /// List events, newest first
    ///
    /// Needs the scope `events:read`. Follow `next_cursor` until it is null.
    #[oai(path = "/v1/events", method = "get", operation_id = "listEvents")]
    #[allow(clippy::too_many_arguments, reason = "the document wants flat parameters")]
    async fn list(
        &self,
        caller: Caller<EventsRead>,
        /// Only events of this name
        event_name: Query<Option<String>>,
        /// Only events of this user
        user_id: Query<Option<String>>,
        /// Only events of this channel
        channel: Query<Option<ChannelBody>>,
        /// Only events of this source
        source: Query<Option<String>>,
        /// Not before this time
        from: Query<Option<Time>>,
        /// Not after this second
        to: Query<Option<Time>>,
        /// Most events of the page
        #[oai(default = "page_length", validator(minimum(value = "1"), maximum(value = "250")))]
        limit: Query<u16>,
        /// Where the page starts: `next_cursor` of the page before
        cursor: Query<Option<String>>,
        /// A receipt of yours: wait up to five seconds until its event is listed
        min_receipt: Query<Option<String>>,
    ) -> Result<Reply<PageBody>, Failure<Read>> {
        let asked = EventQuery {
            event_name: event_name.0,
            user_id: user_id.0,
            channel: channel.0.map(Into::into),
            source: source.0,
            from: from.0.map(|time| time.0),
            to: to.0.map(|time| time.0),
            cursor: cursor.0,
            database: wait_for(&caller, min_receipt.0.as_deref()).await?,
        };
        let (queries, account) = (&caller.components.queries, &caller.tenant.account_id);
        let page = queries.events(account, &asked, limit.0, Timestamp::now()).await.map_err(Problem::from)?;
        Ok(Reply(page.into()))
    }

    /// Read one event
    ///
    /// Needs the scope `events:read`. An event is found once it is stored, a moment after it was accepted.
    #[oai(path = "/v1/events/:event_id", method = "get", operation_id = "getEvent")]
    async fn one(
        &self,
        caller: Caller<EventsRead>,
        /// Its id
        event_id: Path<String>,
    ) -> Result<Reply<EventBody>, Failure<ReadOne>> {
        let id = EventId::new(&event_id.0).map_err(|_| missing())?;
        let (queries, account) = (&caller.components.queries, &caller.tenant.account_id);
        let found = queries.event(account, &id, Database::Usual).await.map_err(Problem::from)?;
        Ok(Reply(found.ok_or_else(missing)?.into()))
    }

    /// Trace one event
    ///
    /// Needs the scope `events:read`. Tells how far an event has come: received, logged, stored and counted, or set aside and
    /// why. With the receipt, an event in flight is told from one never sent; by its id alone it cannot be.
    #[oai(path = "/v1/events/:event_id/trace", method = "get", operation_id = "traceEvent")]
    async fn trace(
        &self,
        caller: Caller<EventsRead>,
        /// Its id
        event_id: Path<String>,
        /// Its receipt, as the answer to sending it had it
        receipt: Query<Option<String>>,
    ) -> Result<Reply<TraceBody>, Failure<ReadOne>> {
        let id = EventId::new(&event_id.0).map_err(|_| missing())?;
        let (queries, account) = (&caller.components.queries, &caller.tenant.account_id);
        let trace = queries.trace(account, id, receipt.0.as_deref(), Timestamp::now()).await.map_err(Problem::from)?;
        Ok(Reply(trace.into()))
    }

    /// List the newest events of a topic
    ///
    /// Needs the scope `events:read`. Only the account's own. The topic is the first part of a receipt; its events are those whose
    /// names take it by the topic classes as they are now. There is no next page: older events are listed by `/v1/events`.
    #[oai(path = "/v1/topics/:topic/latest", method = "get", operation_id = "listLatestOfTopic")]
    async fn latest(
        &self,
        caller: Caller<EventsRead>,
        /// The topic
        topic: Path<String>,
        /// Most events
        #[oai(default = "page_length", validator(minimum(value = "1"), maximum(value = "250")))]
        limit: Query<u16>,
    ) -> Result<Reply<PageBody>, Failure<ReadOne>> {
        let (queries, account) = (&caller.components.queries, &caller.tenant.account_id);
        let page = queries.latest(account, &topic.0, limit.0, Timestamp::now()).await.map_err(Problem::from)?;
        Ok(Reply(page.into()))
    }
}
