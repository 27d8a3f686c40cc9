//! Third step of a request that sends something: its body. Invariant: never more bytes than the cap are held, never longer than
//! the deadlines waited, and what can be refused by a header is refused before a byte is read.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use poem::http::{HeaderMap, header};
use poem::{Request, RequestBody};
use tokio::time::{Instant, timeout_at};

use super::problem::{Code, Problem};
use crate::limit::{Held, Pass, Resource};

/// Room is made in steps of this many bytes.
const STEP: usize = 64 * 1024;

/// Bounds of one body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Most bytes on the wire.
    pub(super) max_bytes: usize,
    /// Longest pause inside it.
    pub(super) stall: Duration,
    /// When it must be complete.
    pub(super) deadline: Instant,
}

/// The part of the account's and everybody's memory that one body takes, until it is dropped.
pub(super) struct Room {
    pass: Arc<Pass>,
    held: Vec<Held>,
    bytes: usize,
}

impl Room {
    /// No room yet.
    pub(super) fn new(pass: Arc<Pass>) -> Self {
        Self { pass, held: Vec::new(), bytes: 0 }
    }

    /// Makes it at least so large; a body that did not say its length takes room in steps.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let more = if self.held.is_empty() { bytes } else { (bytes - self.bytes).max(STEP) };
        let held = self.pass.hold(Resource::Body, more).map_err(Problem::no_room)?;
        self.held.push(held);
        self.bytes += more;
        Ok(())
    }
}

/// Reads a JSON body whole; `grow` makes room for so many bytes, or says why not.
pub(super) async fn read_json(
    request: &Request,
    body: &mut RequestBody,
    bounds: Bounds,
    mut grow: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Bytes, Problem> {
    let headers = request.headers();
    if !is_json(headers) {
        return Err(Problem::new(Code::UnsupportedMediaType, "send Content-Type: application/json"));
    }
    if encoded(headers) {
        return Err(Problem::encoding());
    }
    let declared = declared_length(headers);
    if declared.is_some_and(|length| length > bounds.max_bytes as u64) {
        return Err(too_large(bounds));
    }
    let body = body.take().map_err(|_| Problem::new(Code::Internal, ""))?;
    // Below the cap, so it fits.
    let expected = declared.map_or(0, |length| usize::try_from(length).unwrap_or_default());
    grow(expected)?;
    collect(body.into_bytes_stream(), expected, bounds, grow).await
}

async fn collect<S, E>(
    chunks: S,
    expected: usize,
    bounds: Bounds,
    mut grow: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Bytes, Problem>
where
    S: futures_util::Stream<Item = Result<Bytes, E>>,
{
    let mut chunks = std::pin::pin!(chunks);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let until = bounds.deadline.min(Instant::now() + bounds.stall);
        let chunk = match timeout_at(until, chunks.next()).await {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(_))) => return Err(Problem::new(Code::InvalidRequest, "the body broke off")),
            Ok(None) => break,
            Err(_) => return Err(Problem::new(Code::BodyTimeout, "the body came too slowly")),
        };
        if first.len() + rest.len() + chunk.len() > bounds.max_bytes {
            return Err(too_large(bounds));
        }
        grow(first.len() + rest.len() + chunk.len())?;
        if rest.is_empty() && first.is_empty() {
            // Most bodies are one chunk and are never copied.
            first = chunk;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(expected.max(first.len() + chunk.len()));
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&chunk);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

fn too_large(bounds: Bounds) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("a body may have at most {} bytes", bounds.max_bytes))
}

/// The one `Content-Type` is `application/json`, in UTF-8 if it says so.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(Ok(value)), None) = (values.next().map(|value| value.to_str()), values.next()) else { return false };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case("application/json")
        && parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
            !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

fn encoded(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

pub(super) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    const STALL: Duration = Duration::from_millis(100);

    fn bounds() -> Bounds {
        let now = Instant::now();
        Bounds { max_bytes: 10, stall: STALL, deadline: now + STALL * 2 }
    }

    fn chunks(texts: &[&'static str]) -> Vec<Result<Bytes, Infallible>> {
        texts.iter().map(|text| Ok(Bytes::from_static(text.as_bytes()))).collect()
    }

    #[tokio::test]
    async fn chunks_are_joined_up_to_the_cap() {
        let whole =
            collect(stream::iter(chunks(&["12", "345", "67890"])), 0, bounds(), |_| Ok(())).await.expect("body");
        assert_eq!(whole, "1234567890");
        let over =
            collect(stream::iter(chunks(&["12345", "678901"])), 0, bounds(), |_| Ok(())).await.expect_err("too large");
        assert_eq!(over.code, Code::BodyTooLarge);
    }

    #[tokio::test]
    async fn a_pause_and_a_drip_are_both_cut() {
        let start = Instant::now();
        let silent = stream::pending::<Result<Bytes, Infallible>>();
        assert_eq!(collect(silent, 0, bounds(), |_| Ok(())).await.expect_err("stalled").code, Code::BodyTimeout);
        assert!((STALL..STALL * 2).contains(&start.elapsed()), "{:?}", start.elapsed());

        let start = Instant::now();
        let drip = Box::pin(stream::unfold((), |()| async {
            tokio::time::sleep(STALL / 4).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"x")), ()))
        }));
        assert_eq!(collect(drip, 0, bounds(), |_| Ok(())).await.expect_err("dripped").code, Code::BodyTimeout);
        assert!(start.elapsed() >= STALL * 2);
    }

    #[test]
    fn json_in_utf8_is_the_only_type() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().expect("value"));
            headers
        };
        for good in ["application/json", "Application/JSON; charset=UTF-8", "application/json; charset=\"utf-8\""] {
            assert!(is_json(&with(good)), "{good}");
        }
        for bad in ["text/plain", "application/json; charset=utf-16", "application/jsonx", ""] {
            assert!(!is_json(&with(bad)), "{bad}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
