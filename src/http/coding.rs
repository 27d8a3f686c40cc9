//! Content codings undone while the body comes. Invariant: no more is inflated than one buffer past a cap, a window of a coding is
//! bounded, and a stream that ends early or goes on after its end is refused.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use poem::http::{HeaderMap, header};
use tokio::io::{AsyncBufReadExt, AsyncReadExt};
use tokio_util::io::StreamReader;

use super::body::{Bounds, Wire};
use super::problem::{Code, Problem};

/// What is inflated at a time.
const BUFFER: usize = 64 * 1024;

/// Bodies below this are never judged by their ratio: small ones of one repeated character inflate a lot and harm nobody.
const RATIO_FROM: usize = 1 << 20;

/// log2 of the largest zstd window: 8 MiB, what RFC 9659 obliges senders to stay within.
const ZSTD_WINDOW: u32 = 23;

/// A way to make bodies smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// The coding the headers name, `None` for none.
    ///
    /// # Errors
    /// The problem of a coding we do not know, or of several on top of each other.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut found = None;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            let text = value.to_str().map_err(|_| Problem::encoding())?;
            for name in text.split(',').map(str::trim).filter(|name| !name.eq_ignore_ascii_case("identity")) {
                let coding = match name.to_ascii_lowercase().as_str() {
                    "gzip" | "x-gzip" => Self::Gzip,
                    "deflate" => Self::Deflate,
                    "br" => Self::Brotli,
                    "zstd" => Self::Zstd,
                    _ => return Err(Problem::encoding()),
                };
                if found.replace(coding).is_some() {
                    return Err(Problem::encoding());
                }
            }
        }
        Ok(found)
    }
}

type Source = StreamReader<Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>, Bytes>;

enum Decoder {
    Gzip(GzipDecoder<Source>),
    Deflate(ZlibDecoder<Source>),
    Brotli(Box<BrotliDecoder<Source>>),
    Zstd(ZstdDecoder<Source>),
}

impl Decoder {
    fn new(coding: Coding, source: Source) -> Self {
        match coding {
            Coding::Gzip => {
                let mut decoder = GzipDecoder::new(source);
                decoder.multiple_members(true);
                Self::Gzip(decoder)
            }
            Coding::Deflate => Self::Deflate(ZlibDecoder::new(source)),
            Coding::Brotli => Self::Brotli(Box::new(BrotliDecoder::new(source))),
            Coding::Zstd => {
                let mut decoder = ZstdDecoder::with_params(source, &[DParameter::window_log_max(ZSTD_WINDOW)]);
                decoder.multiple_members(true);
                Self::Zstd(decoder)
            }
        }
    }

    async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read_buf(buffer).await,
            Self::Deflate(decoder) => decoder.read_buf(buffer).await,
            Self::Brotli(decoder) => decoder.read_buf(buffer).await,
            Self::Zstd(decoder) => decoder.read_buf(buffer).await,
        }
    }

    fn source(&mut self) -> &mut Source {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
            Self::Brotli(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }
}

/// A body that is being inflated.
pub(super) struct Inflating {
    decoder: Decoder,
    read: Arc<AtomicUsize>,
    inflated: usize,
    bounds: Bounds,
}

impl Inflating {
    pub(super) fn new(coding: Coding, wire: Wire, bounds: Bounds) -> Self {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let chunks = stream::try_unfold((wire, counted), |(mut wire, counted)| async move {
            let chunk = wire.next().await.map_err(io::Error::other)?;
            Ok(chunk.map(|chunk| {
                counted.fetch_add(chunk.len(), Ordering::Relaxed);
                (chunk, (wire, counted))
            }))
        });
        let source: Source = StreamReader::new(Box::pin(chunks));
        Self { decoder: Decoder::new(coding, source), read, inflated: 0, bounds }
    }

    /// The next piece, inflated; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        // Inflating what is at hand never waits, so it must offer its place itself.
        tokio::task::coop::consume_budget().await;
        let mut buffer = BytesMut::with_capacity(BUFFER);
        if self.decoder.read(&mut buffer).await.map_err(problem)? == 0 {
            let rest = self.decoder.source().fill_buf().await.map_err(problem)?;
            return if rest.is_empty() { Ok(None) } else { Err(broken()) };
        }
        self.inflated += buffer.len();
        let Bounds { max_inflated, max_ratio, .. } = self.bounds;
        if self.inflated > max_inflated {
            return Err(Problem::new(
                Code::BodyTooLarge,
                format!("a body may inflate to at most {max_inflated} bytes"),
            ));
        }
        let allowed = self.read.load(Ordering::Relaxed).saturating_mul(max_ratio);
        if self.inflated > RATIO_FROM && self.inflated > allowed {
            let detail = format!("a body over 1 MiB may inflate to at most {max_ratio} times its size");
            return Err(Problem::new(Code::BodyTooLarge, detail));
        }
        Ok(Some(buffer.freeze()))
    }
}

/// What the wire said comes back as it was; anything else is the decoder's.
fn problem(error: io::Error) -> Problem {
    let inner = error.into_inner().and_then(|inner| inner.downcast::<Problem>().ok());
    inner.map_or_else(broken, |problem| *problem)
}

fn broken() -> Problem {
    Problem::new(
        Code::InvalidRequest,
        "the body is not what its Content-Encoding says, ends early or goes on after its end",
    )
}

#[cfg(test)]
#[path = "coding_tests.rs"]
mod tests;
