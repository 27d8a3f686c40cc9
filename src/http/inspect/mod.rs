//! Between socket and hyper: every byte of an HTTP/1 connection, before hyper sees it. Invariant: hyper gets only heads that are
//! whole and keep the rules of [`head`], and sees request boundaries exactly where this inspector saw them: what could be read
//! two ways ends the connection.
//!
//! A connection is a sequence head → body → head …; [`Inspector`] walks it once, whatever the packets. HTTP/2 has its own
//! framing, which hyper's `h2` guards, and passes unseen, as does a connection that became a WebSocket.

mod chunks;
mod head;

use memchr::memchr_iter;

use chunks::Chunks;
use head::{Framing, MAX_REQUEST_LINE};
pub(super) use head::{HeadFault, MAX_HEAD, MAX_HEADERS, MAX_URI};

/// What an HTTP/2 client with prior knowledge begins with (RFC 9113 §3.4).
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Where a connection stands.
pub(super) struct Inspector {
    stage: Stage,
    heads: u32,
    /// Bytes of the unfinished head that hold no unseen line end.
    scanned: usize,
    /// Where its last line begins.
    line: usize,
}

enum Stage {
    Head,
    Body(u64),
    Chunks(Chunks),
    /// Not HTTP/1 any more.
    Foreign,
    /// Refused or broken: nothing that follows means anything.
    Over,
}

/// What follows the bytes that may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, or the beginning of a head; show it again when there is more.
    More,
    /// A head to refuse.
    Refuse(HeadFault),
    /// A body whose chunks are malformed: the request ends here.
    Broken,
}

impl Inspector {
    /// At the beginning of a connection.
    pub(super) fn new() -> Self {
        Self { stage: Stage::Head, heads: 0, scanned: 0, line: 0 }
    }

    /// Heads that went on so far.
    pub(super) fn heads(&self) -> u32 {
        self.heads
    }

    /// The connection speaks something else from here on.
    pub(super) fn stand_aside(&mut self) {
        self.stage = Stage::Foreign;
    }

    /// Nothing more of this connection goes on.
    pub(super) fn end(&mut self) {
        self.stage = Stage::Over;
    }

    /// Walks over bytes; returns how many of them may go on, and what follows. Bytes that may not go on yet come first the next
    /// time, with more behind them.
    pub(super) fn look(&mut self, bytes: &[u8]) -> (usize, Next) {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match &mut self.stage {
                Stage::Foreign => return (bytes.len(), Next::More),
                Stage::Over => return (at, Next::More),
                Stage::Body(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= taken as u64;
                    at += taken;
                    if *left == 0 {
                        self.stage = Stage::Head;
                    }
                }
                Stage::Chunks(chunks) => {
                    let (taken, state) = chunks.walk(rest);
                    at += taken;
                    match state {
                        chunks::State::Inside => {}
                        chunks::State::Done => self.stage = Stage::Head,
                        chunks::State::Malformed => {
                            self.stage = Stage::Over;
                            return (at, Next::Broken);
                        }
                    }
                }
                Stage::Head if self.heads == 0 && begins_http2(rest) => {
                    if rest.len() < HTTP2.len() {
                        return (at, Next::More);
                    }
                    self.stage = Stage::Foreign;
                }
                Stage::Head => match self.head(rest) {
                    Ok(Some(length)) => at += length,
                    Ok(None) => return (at, Next::More),
                    Err(fault) => {
                        self.stage = Stage::Over;
                        return (at, Next::Refuse(fault));
                    }
                },
            }
        }
        (at, Next::More)
    }

    /// Length of the head these bytes begin with, once it is whole.
    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadFault> {
        for found in memchr_iter(b'\n', &bytes[self.scanned..]) {
            let end = self.scanned + found;
            if self.line <= 2 && end > MAX_REQUEST_LINE {
                return Err(HeadFault::UriTooLong);
            }
            if end >= MAX_HEAD {
                return Err(HeadFault::TooLarge);
            }
            if end == 0 || bytes[end - 1] != b'\r' {
                return Err(HeadFault::LineEnd);
            }
            let empty = end - 1 == self.line;
            // One empty line before the request line is an old client's habit (RFC 9112 §2.2).
            if empty && self.line > 0 {
                return self.whole(&bytes[..=end]).map(Some);
            }
            self.line = end + 1;
        }
        self.scanned = bytes.len();
        if self.line <= 2 && bytes.len() > MAX_REQUEST_LINE {
            return Err(HeadFault::UriTooLong);
        }
        if bytes.len() > MAX_HEAD { Err(HeadFault::TooLarge) } else { Ok(None) }
    }

    fn whole(&mut self, head: &[u8]) -> Result<usize, HeadFault> {
        self.stage = match head::check(head)? {
            Framing::Length(0) => Stage::Head,
            Framing::Length(length) => Stage::Body(length),
            Framing::Chunked => Stage::Chunks(Chunks::default()),
        };
        self.heads = self.heads.wrapping_add(1);
        (self.scanned, self.line) = (0, 0);
        Ok(head.len())
    }
}

fn begins_http2(bytes: &[u8]) -> bool {
    let known = bytes.len().min(HTTP2.len());
    bytes[..known] == HTTP2[..known]
}

#[cfg(test)]
mod tests;
