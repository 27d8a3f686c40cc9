//! Live streams. Invariant: only the caller's account is ever watched.

use poem_openapi::param::{Header, Query};
use poem_openapi::{ApiResponse, OpenApi};

use super::super::failure::{Failure, ReadOne};
use super::super::live::{Frames, StreamCaller};
use super::Group;
use crate::stream::StreamFilter;

/// `GET /v1/stream`.
pub(in super::super) struct LiveApi;

/// A stream.
#[derive(ApiResponse)]
enum Live {
    /// Frames, until the stream ends: of an event, the event with `type`, `id` and `lane` in front; `heartbeat`, `gap` and `end` besides
    #[oai(status = 200)]
    Frames(Frames),
}

#[OpenApi(tag = "Group::Events")]
impl LiveApi {
    /// Watch events live
    ///
    /// Needs the scope `events:read`; `EventSource` may send the token as `access_token`, if that is its only scope. Server-Sent
    /// Events, from the end of the log on, or from just after the frame whose id is sent as `Last-Event-ID` or `after`. Order
    /// holds within a partition. A frame of type `gap` says how many events a slow reader has lost, and its `after` gets them.
    /// Ends after 30 minutes, with the token, or when the service stops; resume with the last id. `/v1/ws` is the same over
    /// WebSocket.
    #[oai(path = "/v1/stream", method = "get", operation_id = "streamEvents")]
    #[allow(clippy::too_many_arguments, reason = "the document wants flat parameters")]
    async fn stream(
        &self,
        caller: StreamCaller,
        /// Only events of this topic
        #[oai(validator(max_length = 249))]
        topic: Query<Option<String>>,
        /// Only events of this name
        #[oai(validator(max_length = 255))]
        event_name: Query<Option<String>>,
        /// Only events of this user
        #[oai(validator(max_length = 255))]
        user_id: Query<Option<String>>,
        /// Id of the last frame you have; the header comes first
        after: Query<Option<String>>,
        /// Id of the last frame you have
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header<Option<String>>,
    ) -> Result<Live, Failure<ReadOne>> {
        let filter = StreamFilter { topic: topic.0, event_name: event_name.0, user_id: user_id.0 };
        let after = last_event_id.0.or(after.0).filter(|after| !after.is_empty());
        Ok(Live::Frames(Frames(caller.open(filter, after).await?)))
    }
}
