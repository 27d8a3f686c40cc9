//! Third step of a request that sends something: its body. Invariant: never more bytes than the caps are held, never longer than
//! the deadlines waited, and what can be refused by a header is refused before a byte is read.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use poem::http::{HeaderMap, header};
use poem::{Request, RequestBody};
use tokio::time::{Instant, timeout_at};

use super::coding::{Coding, Inflating};
use super::context::RequestContext;
use super::problem::{Code, Problem};

/// Bounds of one body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Most bytes on the wire.
    pub(super) max_bytes: usize,
    /// Most bytes once inflated.
    pub(super) max_inflated: usize,
    /// Most times its size it may inflate to, when it is large.
    pub(super) max_ratio: usize,
    /// Longest pause inside it.
    pub(super) stall: Duration,
    /// When it must be complete.
    pub(super) deadline: Instant,
}

/// A body that has not been read.
pub(super) struct Inflow {
    pieces: Pieces,
    taken: usize,
}

/// Where the pieces of a body come from.
pub(super) enum Pieces {
    /// As they come.
    Plain(Wire),
    /// Inflated while they come.
    Coded(Box<Inflating>),
}

impl Inflow {
    /// Judges the headers of a body.
    ///
    /// # Errors
    /// The problem of a coding we do not undo, or of a declared length over the cap.
    pub(super) fn open(request: &Request, body: &mut RequestBody, bounds: Bounds) -> Result<Self, Problem> {
        let headers = request.headers();
        let coding = Coding::of(headers)?;
        let declared = declared_length(headers);
        if declared.is_some_and(|length| length > bounds.max_bytes as u64) {
            return Err(too_large(bounds));
        }
        let body = body.take().map_err(|_| Problem::new(Code::Internal, ""))?;
        // Below the cap, so it fits.
        let expected = declared.map_or(0, |length| usize::try_from(length).unwrap_or_default());
        let context = request.data::<Arc<RequestContext>>().cloned();
        let chunks = body.into_bytes_stream().inspect(move |chunk| {
            if let (Some(context), Ok(chunk)) = (&context, chunk) {
                context.received(chunk.len());
            }
        });
        let wire = Wire { chunks: chunks.boxed(), expected, read: 0, bounds };
        Ok(Self::of(match coding {
            None => Pieces::Plain(wire),
            Some(coding) => Pieces::Coded(Box::new(Inflating::new(coding, wire, bounds))),
        }))
    }

    pub(super) fn of(pieces: Pieces) -> Self {
        Self { pieces, taken: 0 }
    }

    /// Bytes given so far, inflated.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// How long the body says it is; 0 when it does not say, or is coded.
    pub(super) fn expected(&self) -> usize {
        if let Pieces::Plain(wire) = &self.pieces { wire.expected } else { 0 }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The problem of a body that is too large, too slow or broken.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let piece = match &mut self.pieces {
            Pieces::Plain(wire) => wire.next().await,
            Pieces::Coded(inflating) => inflating.next().await,
        }?;
        self.taken += piece.as_ref().map_or(0, Bytes::len);
        Ok(piece)
    }

    /// The body as one piece; `make_room` is asked before so many bytes are in memory.
    ///
    /// # Errors
    /// As [`Inflow::next`], or the problem of too little room.
    pub(super) async fn whole(&mut self, make_room: impl Fn(usize) -> Result<(), Problem>) -> Result<Bytes, Problem> {
        let expected = self.expected();
        make_room(expected)?;
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        make_room(self.taken)?;
        // Most bodies are one piece and are never copied.
        let Some(second) = self.next().await? else { return Ok(first) };
        make_room(self.taken)?;
        let mut whole = BytesMut::with_capacity(expected.max(self.taken));
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(piece) = self.next().await? {
            make_room(self.taken)?;
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}

/// The bytes as they come from the client.
pub(super) struct Wire {
    chunks: BoxStream<'static, io::Result<Bytes>>,
    expected: usize,
    read: usize,
    bounds: Bounds,
}

impl Wire {
    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let until = self.bounds.deadline.min(Instant::now() + self.bounds.stall);
        let chunk = match timeout_at(until, self.chunks.next()).await {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(_))) => return Err(Problem::new(Code::InvalidRequest, "the body broke off")),
            Ok(None) => return Ok(None),
            Err(_) => return Err(Problem::new(Code::BodyTimeout, "the body came too slowly")),
        };
        self.read += chunk.len();
        if self.read > self.bounds.max_bytes { Err(too_large(self.bounds)) } else { Ok(Some(chunk)) }
    }
}

fn too_large(bounds: Bounds) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("a body may have at most {} bytes", bounds.max_bytes))
}

/// What the headers say the body weighs on the wire.
pub(super) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use futures_util::{Stream, stream};

    use super::*;

    const STALL: Duration = Duration::from_millis(100);

    pub(in super::super) fn bounds() -> Bounds {
        let deadline = Instant::now() + STALL * 2;
        Bounds { max_bytes: 10, max_inflated: 10, max_ratio: 100, stall: STALL, deadline }
    }

    pub(in super::super) fn wire<S>(chunks: S, bounds: Bounds) -> Wire
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        Wire { chunks: chunks.boxed(), expected: 0, read: 0, bounds }
    }

    async fn whole<S>(chunks: S) -> Result<Bytes, Problem>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        Inflow::of(Pieces::Plain(wire(chunks, bounds()))).whole(|_| Ok(())).await
    }

    fn texts(texts: &'static [&'static str]) -> impl Stream<Item = io::Result<Bytes>> {
        stream::iter(texts.iter().map(|text| Ok(Bytes::from_static(text.as_bytes()))))
    }

    #[tokio::test]
    async fn chunks_are_joined_up_to_the_cap() {
        assert_eq!(whole(texts(&["12", "345", "67890"])).await.expect("body"), "1234567890");
        assert_eq!(whole(texts(&["12345", "678901"])).await.expect_err("too large").code, Code::BodyTooLarge);
        assert_eq!(whole(texts(&[])).await.expect("body"), "");
    }

    #[tokio::test]
    async fn room_is_made_before_bytes_are_joined() {
        let asked = std::cell::RefCell::new(Vec::new());
        let make_room = |bytes| {
            asked.borrow_mut().push(bytes);
            if bytes > 5 { Err(Problem::new(Code::Unavailable, "")) } else { Ok(()) }
        };
        let mut inflow = Inflow::of(Pieces::Plain(wire(texts(&["12", "345", "67890"]), bounds())));
        assert_eq!(inflow.whole(make_room).await.expect_err("no room").code, Code::Unavailable);
        assert_eq!((asked.into_inner(), inflow.taken()), (vec![0, 2, 5, 10], 10));
    }

    #[tokio::test]
    async fn a_pause_and_a_drip_are_both_cut() {
        let start = Instant::now();
        assert_eq!(whole(stream::pending()).await.expect_err("stalled").code, Code::BodyTimeout);
        assert!((STALL..STALL * 2).contains(&start.elapsed()), "{:?}", start.elapsed());

        let start = Instant::now();
        let drip = stream::unfold((), |()| async {
            tokio::time::sleep(STALL / 4).await;
            Some((Ok(Bytes::from_static(b"x")), ()))
        });
        assert_eq!(whole(drip).await.expect_err("dripped").code, Code::BodyTimeout);
        assert!(start.elapsed() >= STALL * 2);
    }
}
