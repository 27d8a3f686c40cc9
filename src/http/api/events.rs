//! Reading events back. Invariant: only the caller's account is ever asked about.

use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use super::super::answer::{ChannelBody, Reply};
use super::super::caller::{Caller, EventsRead};
use super::super::failure::{Failure, Read, ReadOne};
use super::super::problem::{Code, Problem};
use super::super::stored::{EventBody, PageBody};
use super::super::text::Time;
use super::Group;
use crate::domain::id::EventId;
use crate::query::EventQuery;

const PAGE: u16 = 50;

/// `GET /v1/events` and its kin.
pub(in super::super) struct EventsApi;

fn page_length() -> u16 {
    PAGE
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
    ) -> Result<Reply<PageBody>, Failure<Read>> {
        let asked = EventQuery {
            event_name: event_name.0,
            user_id: user_id.0,
            channel: channel.0.map(Into::into),
            source: source.0,
            from: from.0.map(|time| time.0),
            to: to.0.map(|time| time.0),
        };
        let queries = &caller.components.queries;
        let page = queries
            .events(&caller.tenant.account_id, &asked, cursor.0.as_deref(), limit.0)
            .await
            .map_err(Problem::from)?;
        let data = page.events.into_iter().map(EventBody::from).collect();
        Ok(Reply(PageBody { data, next_cursor: page.next_cursor }))
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
        let missing = || Problem::new(Code::NotFound, "this account has no event with this id");
        let id = EventId::new(&event_id.0).map_err(|_| missing())?;
        let found = caller.components.queries.event(&caller.tenant.account_id, &id).await.map_err(Problem::from)?;
        Ok(Reply(found.ok_or_else(missing)?.into()))
    }
}
