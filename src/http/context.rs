//! What one request carries through the door. Invariant: the request id is always there, always 1 to 128 visible ASCII, and is
//! the same in the answer, the log, the record and the dead letter.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use poem::Request;
use poem::http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::Instant;
use uuid::Builder;

use super::problem::{Code, Problem};
use crate::domain::id::AccountId;
use crate::domain::lane::Lane;
use crate::domain::time::Timestamp;
use crate::limit::{Fields, Pass};

/// Route label of requests that match no operation: a million random paths are one time series.
const UNMATCHED: &str = "unmatched";

const MAX_REQUEST_ID: usize = 128;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// One request on its way.
pub(super) struct RequestContext {
    /// Of the client, or made here.
    pub(super) request_id: Arc<str>,
    traceparent: Option<Arc<str>>,
    /// The same with a span of ours in its place.
    traced: OnceLock<Arc<str>>,
    /// When its answer is due.
    pub(super) deadline: Instant,
    operation: OnceLock<&'static str>,
    account: OnceLock<AccountId>,
    bytes_in: AtomicU64,
    fell_short: AtomicBool,
    origin: OnceLock<HeaderValue>,
    admission: OnceLock<Admission>,
    lane: OnceLock<Lane>,
}

/// What the limits said at the gate.
enum Admission {
    In(Arc<Pass>),
    Out(Fields),
}

impl RequestContext {
    /// Reads the correlation headers.
    pub(super) fn new(headers: &HeaderMap, started: Instant, within: Duration) -> Self {
        Self {
            request_id: request_id(headers),
            traceparent: traceparent(headers),
            traced: OnceLock::new(),
            deadline: started + within,
            operation: OnceLock::new(),
            account: OnceLock::new(),
            bytes_in: AtomicU64::new(0),
            fell_short: AtomicBool::new(false),
            origin: OnceLock::new(),
            admission: OnceLock::new(),
            lane: OnceLock::new(),
        }
    }

    /// The context the door put into the request.
    ///
    /// # Errors
    /// An internal problem when the request did not come through the door: a mistake of ours.
    pub(super) fn of(request: &Request) -> Result<&Arc<Self>, Problem> {
        request.data::<Arc<Self>>().ok_or_else(|| Problem::new(Code::Internal, ""))
    }

    /// Names the operation that was found for the request.
    pub(super) fn found(&self, operation: &'static str) {
        // Routes do not nest, so the first name is the only one.
        self.operation.get_or_init(|| operation);
    }

    /// Names the account of the verified caller.
    pub(super) fn identify(&self, account: &AccountId) {
        self.account.get_or_init(|| account.clone());
    }

    /// Who called, once that is verified.
    pub(super) fn account(&self) -> Option<&AccountId> {
        self.account.get()
    }

    /// Notes bytes of the body as they come over the wire.
    pub(super) fn received(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of the body that came.
    pub(super) fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }

    /// Notes that we failed a part of the request, although its status is a good one.
    pub(super) fn fall_short(&self) {
        self.fell_short.store(true, Ordering::Relaxed);
    }

    /// Whether we failed a part of it.
    pub(super) fn fell_short(&self) -> bool {
        self.fell_short.load(Ordering::Relaxed)
    }

    /// Puts a span of ours in the place of the caller's.
    pub(super) fn trace(&self, traceparent: Arc<str>) {
        self.traced.get_or_init(|| traceparent);
    }

    /// W3C trace context for what follows: ours where the request is traced, else the caller's when well-formed.
    pub(super) fn traceparent(&self) -> Option<&Arc<str>> {
        self.traced.get().or(self.traceparent.as_ref())
    }

    /// The trace the request belongs to, in hexadecimal digits.
    pub(super) fn trace_id(&self) -> Option<&str> {
        self.traceparent().and_then(|parent| parent.get(3..35))
    }

    /// Notes that scripts of this origin may read the answer.
    pub(super) fn allow_origin(&self, origin: HeaderValue) {
        self.origin.get_or_init(|| origin);
    }

    /// Whose scripts may read the answer.
    pub(super) fn origin(&self) -> Option<&HeaderValue> {
        self.origin.get()
    }

    /// Remembers that the account let the request in; its place is given back with the context.
    pub(super) fn entered(&self, pass: Arc<Pass>) {
        self.admission.get_or_init(|| Admission::In(pass));
    }

    /// Remembers what to say about limits to a request that was not let in.
    pub(super) fn limited(&self, fields: Fields) {
        self.admission.get_or_init(|| Admission::Out(fields));
    }

    /// The request's place, once it is in.
    ///
    /// # Errors
    /// An internal problem before that: a mistake of ours.
    pub(super) fn pass(&self) -> Result<&Arc<Pass>, Problem> {
        match self.admission.get() {
            Some(Admission::In(pass)) => Ok(pass),
            Some(Admission::Out(_)) | None => Err(Problem::new(Code::Internal, "")),
        }
    }

    /// What the answer says about limits, where an account was asked for.
    pub(super) fn limit_fields(&self) -> Option<Fields> {
        Some(match self.admission.get()? {
            Admission::In(pass) => pass.fields(),
            Admission::Out(fields) => fields.clone(),
        })
    }

    /// Notes which lane the request's events took.
    pub(super) fn went_by(&self, lane: Lane) {
        self.lane.get_or_init(|| lane);
    }

    /// Which lane the request's events took, where it brought some that were taken.
    pub(super) fn lane(&self) -> Option<Lane> {
        self.lane.get().copied()
    }

    /// The operation id, the same word in metrics, log and document.
    pub(super) fn operation(&self) -> &'static str {
        self.operation.get().copied().unwrap_or(UNMATCHED)
    }
}

/// `X-Request-Id` when it is 1 to 128 visible ASCII characters, else a new UUIDv7.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
    match given.filter(|id| (1..=MAX_REQUEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        Some(id) => id.into(),
        None => {
            let millis = u64::try_from(Timestamp::now().micros() / 1_000).unwrap_or_default();
            let id = Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid();
            id.hyphenated().to_string().into()
        }
    }
}

/// `traceparent` when it has the form of version 00 of the W3C recommendation, or of a later one that starts so.
fn traceparent(headers: &HeaderMap) -> Option<Arc<str>> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let fields = text.get(..55)?.split('-').collect::<Vec<_>>();
    let hex = |field: &str, len| field.len() == len && field.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |field: &str| field.bytes().all(|b| b == b'0');
    let [version, trace, parent, flags] = fields[..] else { return None };
    let formed = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    let ends = if version == "00" { text.len() == 55 } else { matches!(text.as_bytes().get(55), None | Some(b'-')) };
    let valid = formed && ends && version != "ff" && !zero(trace) && !zero(parent);
    // Only the part we understand goes on: what a later version appends may be of any length.
    valid.then(|| text[..55].into())
}

/// Whether the request announces a body.
pub(super) fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("value"));
        headers
    }

    #[test]
    fn a_sound_request_id_is_kept_and_any_other_replaced() {
        assert_eq!(&*request_id(&with("x-request-id", "abc{1}")), "abc{1}");
        for bad in ["", "with space", &"x".repeat(129)] {
            let id = request_id(&with("x-request-id", bad));
            assert_eq!(uuid::Uuid::parse_str(&id).expect("uuid").get_version_num(), 7, "{bad:?}");
        }
    }

    #[test]
    fn traceparent_is_kept_only_when_well_formed() {
        let sound = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent(&with("traceparent", sound)).as_deref(), Some(sound));
        let later = format!("{}-extra", sound.replacen("00", "01", 1));
        assert_eq!(traceparent(&with("traceparent", &later)).as_deref(), Some(&later[..55]));
        for bad in [
            &sound[..54],
            &sound.to_uppercase(),
            &sound.replacen("00", "ff", 1),
            &format!("{sound}-x"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        ] {
            assert_eq!(traceparent(&with("traceparent", bad)), None, "{bad}");
        }
    }
}
