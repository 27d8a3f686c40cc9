//! The bodies of ingest: documented like typed ones, handed on as bytes. Invariant: nothing is read or parsed here, so what can be
//! refused by headers and parameters is refused before the first byte.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchemaRef, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::Components;
use super::body::{Bounds, Inflow};
use super::context::RequestContext;
use super::media::{Media, binary_attributes};
use super::problem::{Code, Problem};
use super::schema;
use crate::ingest::{self, Form, Layout};
use crate::limit::Pass;

/// Most bytes of a body taken while it comes that are in memory: a chunk.
const CHUNK_ROOM: usize = 1 << 20;

/// The kinds of body an operation takes.
pub(super) trait Shape: Send + Sync + 'static {
    /// Each kind with the name of its schema.
    const MEDIA: &'static [(Media, &'static str)];
    /// Whether headers may make it a CloudEvent in binary mode.
    const BINARY: bool = false;
    /// Whether whoever sent it has proven to be the account before it is read.
    const OF_CALLER: bool = true;
}

/// One event.
pub(super) struct OneEvent;

/// A batch.
pub(super) struct ManyEvents;

/// One event or a batch.
pub(super) struct AnyEvents;

/// One event or a batch, from a browser that must not ask first.
pub(super) struct BeaconEvents;

impl Shape for OneEvent {
    const MEDIA: &'static [(Media, &'static str)] =
        &[(Media::Json, schema::NEW_EVENT), (Media::CloudEvent, schema::CLOUD_EVENT)];
    const BINARY: bool = true;
}

impl Shape for ManyEvents {
    const MEDIA: &'static [(Media, &'static str)] =
        &[(Media::Json, schema::NEW_BATCH), (Media::Ndjson, schema::LINES), (Media::CloudEvents, schema::CLOUD_EVENTS)];
}

impl Shape for AnyEvents {
    const MEDIA: &'static [(Media, &'static str)] = &[
        (Media::Json, schema::EVENT_OR_BATCH),
        (Media::CloudEvent, schema::CLOUD_EVENT),
        (Media::CloudEvents, schema::CLOUD_EVENTS),
    ];
}

impl Shape for BeaconEvents {
    const MEDIA: &'static [(Media, &'static str)] = &[(Media::Text, schema::BEACON)];
}

/// A provider's delivery.
pub(super) struct Delivered;

impl Shape for Delivered {
    const MEDIA: &'static [(Media, &'static str)] = &[(Media::Json, schema::DELIVERY)];
    const OF_CALLER: bool = false;
}

/// A body of the shape `S` that has not been read.
pub(super) struct Raw<S> {
    /// What it says it is.
    pub(super) media: Media,
    inflow: Inflow,
    context: Arc<RequestContext>,
    digest: Option<Sha256>,
    /// Whether it was read to its end.
    ended: bool,
    /// The attributes of a CloudEvent in binary mode.
    attributes: Option<Vec<(String, String)>>,
    shape: PhantomData<fn() -> S>,
}

impl<S: Shape> Raw<S> {
    fn open(request: &Request, body: &mut RequestBody) -> Result<Self, Problem> {
        let context = RequestContext::of(request)?;
        let components = Components::of(request)?;
        let attributes = if S::BINARY { binary_attributes(request.headers()) } else { None };
        let known: Vec<Media> = S::MEDIA.iter().map(|(media, _)| *media).collect();
        let media = match Media::of(request.headers(), &known) {
            // The structured form says all itself: headers beside it are of no account.
            Some(Media::CloudEvent) => Media::CloudEvent,
            Some(media) => media,
            None if attributes.is_some() && request.content_type().is_none() => Media::Json,
            None => return Err(unsupported(&known)),
        };
        let attributes = attributes.filter(|_| media == Media::Json);
        let attributes = attributes
            .map(|found| found.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        let inflow = Inflow::open(request, body, bounds(components, media, context.deadline))?;
        Ok(Self {
            media,
            inflow,
            context: Arc::clone(context),
            digest: None,
            ended: false,
            attributes,
            shape: PhantomData,
        })
    }
}

async fn await_room(pass: &Pass, bytes: usize) -> Result<(), Problem> {
    pass.await_room(bytes).await.map_err(|full| Problem::full(&full))
}

impl Raw<OneEvent> {
    /// The event, read.
    pub(super) async fn event(&mut self) -> Result<(Form, Bytes), Problem> {
        let form = if self.media == Media::CloudEvent { Form::CloudEvent } else { Form::Event };
        let bytes = self.whole().await?;
        let Some(attributes) = &self.attributes else { return Ok((form, bytes)) };
        let attributes: Vec<(&str, &str)> = attributes.iter().map(|(name, value)| (&**name, &**value)).collect();
        match ingest::cloud_event(&attributes, &bytes) {
            Ok(event) => Ok((Form::CloudEvent, event.into())),
            Err(refusal) => {
                self.charge_read();
                Err(refusal.into())
            }
        }
    }
}

impl<S: Shape> Raw<S> {
    /// The next piece of a body taken while it comes; `None` at the end. There is room for a chunk of it only.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let piece = self.inflow.next().await?;
        let pass = Arc::clone(self.context.pass()?);
        await_room(&pass, self.inflow.taken().max(self.inflow.expected()).min(CHUNK_ROOM)).await?;
        match (&piece, &mut self.digest) {
            (None, _) => self.ended = true,
            (Some(piece), Some(digest)) => digest.update(piece),
            (Some(_), None) => {}
        }
        Ok(piece)
    }

    /// The body as one piece. What was read of one that cannot be used is charged here, of any other by whoever takes it.
    pub(super) async fn whole(&mut self) -> Result<Bytes, Problem> {
        let pass = Arc::clone(self.context.pass()?);
        await_room(&pass, self.inflow.expected()).await?;
        let make_room = |bytes| pass.make_room(bytes).map_err(|full| Problem::full(&full));
        let whole = match self.inflow.whole(make_room).await {
            Ok(whole) => whole,
            Err(problem) => {
                self.charge_read();
                return Err(problem);
            }
        };
        self.ended = true;
        if let Some(digest) = &mut self.digest {
            digest.update(&whole);
        }
        Ok(whole)
    }

    /// Charges what was read of a body that nobody takes.
    pub(super) fn charge_read(&self) {
        // A delivery is its account's only once its signature was seen to be good.
        if S::OF_CALLER
            && let Ok(pass) = self.context.pass()
        {
            pass.debit(self.inflow.taken());
        }
    }

    /// From here on the bytes count for [`Raw::fingerprint`].
    pub(super) fn fingerprinted(&mut self) {
        self.digest = Some(Sha256::new_with_prefix(self.media.essence()));
    }

    /// What no other body of this kind has; `None` unless it was read to its end.
    pub(super) fn fingerprint(&mut self) -> Option<String> {
        let digest = self.digest.take().filter(|_| self.ended)?;
        Some(BASE64.encode(digest.finalize()))
    }

    /// How the body holds its events, read as a whole.
    pub(super) fn layout(&self, json: Layout) -> Layout {
        match self.media {
            Media::CloudEvent => Layout::One(Form::CloudEvent),
            Media::CloudEvents => Layout::Many(Form::CloudEvent),
            Media::Json | Media::Text | Media::Ndjson => json,
        }
    }
}

fn bounds(components: &Components, media: Media, deadline: Instant) -> Bounds {
    let caps = &components.caps;
    let stall = Duration::from_secs(components.config.http_body_stall_seconds);
    let max_ratio = caps.max_inflate_ratio;
    if media == Media::Ndjson {
        let max = caps.max_ndjson_bytes;
        return Bounds { max_bytes: max, max_inflated: max, max_ratio, stall, deadline };
    }
    Bounds { max_bytes: caps.max_body_bytes, max_inflated: caps.max_inflated_bytes, max_ratio, stall, deadline }
}

fn unsupported(known: &[Media]) -> Problem {
    let names: Vec<&str> = known.iter().map(|media| media.essence()).collect();
    Problem::new(Code::UnsupportedMediaType, format!("send Content-Type: {}", names.join(" or ")))
}

impl<'a, S: Shape> ApiExtractor<'a> for Raw<S> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        schema::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = S::MEDIA.iter().map(|(media, schema)| MetaMediaType {
            content_type: media.essence(),
            schema: MetaSchemaRef::Reference((*schema).to_owned()),
        });
        let description = "Content-Encoding gzip, deflate, br or zstd is undone.";
        Some(MetaRequest { description: Some(description), content: content.collect(), required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self::open(request, body)?)
    }
}
