//! What an operator sends. Invariant: at most [`MAX_BYTES`], linted like an event, and nothing in it that the schema does not know.

use std::time::Duration;

use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::de::DeserializeOwned;

use super::super::Components;
use super::super::body::{Bounds, Inflow};
use super::super::context::RequestContext;
use super::super::media::Media;
use super::super::objects::{self, Null};
use super::super::problem::{Code, Problem};
use crate::domain::outcome::Fault;
use crate::ingest;

/// Most bytes of a form.
const MAX_BYTES: usize = 64 * 1024;

/// A JSON body of the type `T`, which refuses what it does not know.
pub(in crate::http) struct Form<T>(pub(in crate::http) T);

impl<T: DeserializeOwned> Form<T> {
    async fn read(request: &Request, body: &mut RequestBody) -> Result<Self, Problem> {
        let deadline = RequestContext::of(request)?.deadline;
        let components = Components::of(request)?;
        if Media::of(request.headers(), &[Media::Json]).is_none() {
            return Err(Problem::new(Code::UnsupportedMediaType, "send Content-Type: application/json"));
        }
        let stall = Duration::from_secs(components.config.http_body_stall_seconds);
        let bounds = Bounds { max_bytes: MAX_BYTES, max_inflated: MAX_BYTES, max_ratio: MAX_BYTES, stall, deadline };
        let pass = RequestContext::of(request)?.pass()?;
        let make_room = |bytes| pass.make_room(bytes).map_err(|full| Problem::full(&full));
        let bytes = Inflow::open(request, body, bounds)?.whole(make_room).await?;
        let text = ingest::json_object(&bytes)?;
        objects::read(text, Null::Refused).map(Self).map_err(|error| {
            // Never serde's own words: they repeat what was sent.
            let reason = format!("is not what the document says, at line {} column {}", error.line(), error.column());
            Problem::new(Code::InvalidRequest, "the body does not fit its schema")
                .with_faults(vec![Fault::new("", "schema", reason)])
        })
    }
}

impl<'a, T: Type + DeserializeOwned> ApiExtractor<'a> for Form<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: Media::Json.essence(), schema: T::schema_ref() }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self::read(request, body).await?)
    }
}
