//! Who may watch, and how a stream is worded as Server-Sent Events. Invariant: a token in the query may do nothing but watch.

use futures_util::StreamExt;
use futures_util::stream;
use poem::http::{HeaderValue, header};
use poem::web::sse::{Event, SSE};
use poem::{IntoResponse, Request, RequestBody, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::beacon::with_query_token;
use super::caller::{self, Caller, EventsRead};
use super::problem::Problem;
use crate::domain::time::Timestamp;
use crate::stream::{Frame, Kind, Session, StreamFilter, Wanted};

/// Name in the document of the token that browsers send.
const SCHEME: &str = "stream";

/// How long a browser waits before it connects again.
const RETRY_MS: u64 = 1_000;

/// A caller whose token came in the header or, because `EventSource` and `WebSocket` send no headers, in the query.
pub(super) struct StreamCaller(pub(super) Caller<EventsRead>);

impl StreamCaller {
    /// Verifies the caller.
    pub(super) async fn enter(request: &Request) -> Result<Self, Problem> {
        let caller = if request.headers().contains_key(header::AUTHORIZATION) {
            Caller::enter(request).await?
        } else {
            with_query_token(request).await?
        };
        Ok(Self(caller))
    }

    /// Opens the caller's stream.
    pub(super) async fn open(&self, filter: StreamFilter, after: Option<String>) -> Result<Session, Problem> {
        let Self(Caller { tenant, components, .. }) = self;
        let wanted = Wanted { filter, after, expires_at: tenant.expires_at };
        Ok(components.streams.open(&tenant.account_id, wanted, Timestamp::now()).await?)
    }
}

impl<'a> ApiExtractor<'a> for StreamCaller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        Caller::<EventsRead>::register(registry);
        registry.create_security_scheme(
            SCHEME,
            MetaSecurityScheme {
                ty: "apiKey",
                description: Some("A JWT whose only scope is `events:read`, in the query."),
                name: Some("access_token"),
                key_in: Some("query"),
                scheme: None,
                bearer_format: None,
                flows: None,
                openid_connect_url: None,
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![caller::SCHEME, SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self::enter(request).await?)
    }
}

/// A stream of Server-Sent Events.
pub(super) struct Frames(pub(super) Session);

impl Payload for Frames {
    const CONTENT_TYPE: &'static str = "text/event-stream";

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")))
    }
}

impl IntoResponse for Frames {
    fn into_response(self) -> Response {
        let frames = stream::unfold(self.0, |mut session| async move {
            let frame = session.next().await?;
            Some((worded(frame), session))
        });
        let retry = stream::once(std::future::ready(Event::retry(RETRY_MS)));
        let mut response = SSE::new(retry.chain(frames)).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Events are plain messages, so that `onmessage` gets them; the others have their kind as name.
fn worded(Frame { kind, id, text }: Frame) -> Event {
    let event = Event::message(text).id(id);
    if kind == Kind::Event { event } else { event.event_type(kind.word()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_messages_and_the_rest_has_a_name() {
        let frame = |kind| worded(Frame { kind, id: "i".into(), text: "{}".into() }).to_string();
        assert_eq!(frame(Kind::Event), "id: i\ndata: {}\n\n");
        assert_eq!(frame(Kind::Heartbeat), "id: i\nevent: heartbeat\ndata: {}\n\n");
    }
}
