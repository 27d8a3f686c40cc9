//! The bodies of ingest: documented like typed ones, handed on as bytes. Invariant: nothing is parsed here; the rules in the
//! schema are those of `ingest::check` with the default limits, and live in one place.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchemaRef, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::Components;
use super::body::{Bounds, Room, read_json};
use super::context::RequestContext;
use super::problem::{Code, Problem};
use super::schema;

/// What a body is documented as.
pub(super) trait Shape: Send + Sync + 'static {
    /// Registers the named schema and gives its name.
    fn register(registry: &mut Registry);
    /// Name of the schema.
    const SCHEMA: &'static str;
}

/// One event.
pub(super) struct OneEvent;

/// `{"events": [...]}`.
pub(super) struct ManyEvents;

impl Shape for OneEvent {
    const SCHEMA: &'static str = schema::NEW_EVENT;
    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(Self::SCHEMA.to_owned(), |_| schema::new_event());
    }
}

impl Shape for ManyEvents {
    const SCHEMA: &'static str = schema::NEW_BATCH;
    fn register(registry: &mut Registry) {
        OneEvent::register(registry);
        registry.create_schema::<Self, _>(Self::SCHEMA.to_owned(), |_| schema::new_batch());
    }
}

/// A body of the shape `S`, read but not looked at.
pub(super) struct Raw<S> {
    /// The bytes as they came.
    pub(super) bytes: Bytes,
    shape: PhantomData<fn() -> S>,
    _room: Room,
}

impl<'a, S: Shape> ApiExtractor<'a> for Raw<S> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        S::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let schema = MetaSchemaRef::Reference(S::SCHEMA.to_owned());
        let content = vec![MetaMediaType { content_type: "application/json", schema }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let context = RequestContext::of(request)?;
        let components = request.data::<Arc<Components>>().ok_or_else(|| Problem::new(Code::Internal, ""))?;
        let bounds = Bounds {
            max_bytes: components.max_body_bytes,
            stall: Duration::from_secs(components.config.http_body_stall_seconds),
            deadline: context.deadline,
        };
        let mut room = Room::new(Arc::clone(context.pass()?));
        let bytes = read_json(request, body, bounds, |bytes| room.grow(bytes)).await?;
        Ok(Self { bytes, shape: PhantomData, _room: room })
    }
}
