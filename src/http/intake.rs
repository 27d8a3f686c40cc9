//! What was read of a connection and may not go on yet, or has not found room. Invariant: hyper gets the verified bytes in order and
//! nothing else; in place of a refused head it gets [`STAND_IN`], a request the door answers with the problem, so that the
//! refusal waits for the answers before it, is counted, logged and has its request id.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::inspect::{HeadFault, Inspector, Next};

/// Stands for a refused head. No client can send it and be taken for it: the door knows it by its number in the connection.
const STAND_IN: &[u8] = b"REFUSED / HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n";

/// Read at once where hyper offers no better room.
const ROOM: usize = 8 * 1024;

/// Most bytes of one read. hyper doubles its buffer of 8 KiB each time a read fills it, up to 408 KiB, and an idle connection keeps it;
/// reads that never fill it leave it as it is.
pub(super) const PIECE: usize = 8 * 1024 - 1;

/// The inspected inflow of one connection.
pub(super) struct Intake {
    inspector: Inspector,
    held: BytesMut,
    /// How many of the held bytes are verified.
    clear: usize,
    end: Option<End>,
}

/// Why nothing more is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Refused,
    Broken,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    /// Verified bytes are in the buffer, or the peer has ended.
    Bytes,
    /// The peer said something, and nothing can go on yet.
    Nothing,
    /// The peer's head is refused; the request of this number in the connection is its stand-in.
    Refused(u32, HeadFault),
}

impl Intake {
    /// Of a new connection.
    pub(super) fn new() -> Self {
        Self { inspector: Inspector::new(), held: BytesMut::new(), clear: 0, end: None }
    }

    /// Whether a head has begun and is not whole.
    pub(super) fn in_head(&self) -> bool {
        self.end.is_none() && self.held.len() > self.clear
    }

    /// The connection is no longer HTTP/1.
    pub(super) fn stand_aside(&mut self) {
        self.inspector.stand_aside();
    }

    /// Gives up on the head that has begun; returns the number of its stand-in.
    pub(super) fn refuse(&mut self) -> u32 {
        self.inspector.end();
        self.held.truncate(self.clear);
        self.held.extend_from_slice(STAND_IN);
        self.clear = self.held.len();
        self.end = Some(End::Refused);
        self.inspector.heads().wrapping_add(1)
    }

    /// Moves verified bytes into hyper's buffer, reading when there are none.
    pub(super) fn poll_read<Io: AsyncRead + Unpin>(
        &mut self,
        io: &mut Io,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Brought>> {
        if self.clear > 0 {
            self.hand_on(buffer);
            return Poll::Ready(Ok(Brought::Bytes));
        }
        match self.end {
            // The stand-in is on its way to an answer; whatever the peer adds is swallowed when the connection closes.
            Some(End::Refused) => return Poll::Pending,
            Some(End::Broken) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            None => {}
        }
        // hyper first asks for the 24 bytes that tell HTTP/2 apart: too little room for a head.
        if self.held.is_empty() && buffer.remaining() >= ROOM / 2 {
            ready!(self.read_in_place(io, cx, buffer))
        } else {
            self.held.reserve(ROOM);
            let read = ready!(poll_read_buf(Pin::new(io), cx, &mut self.held))?;
            // A peer that ends inside a head has sent nothing worth an answer.
            if read == 0 { Ok(Brought::Bytes) } else { Ok(self.verify_held(buffer)) }
        }
        .into()
    }

    fn read_in_place<Io: AsyncRead + Unpin>(
        &mut self,
        io: &mut Io,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Brought>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut io.take(PIECE as u64)).poll_read(cx, buffer))?;
        let fresh = &buffer.filled()[before..];
        if fresh.is_empty() {
            return Poll::Ready(Ok(Brought::Bytes));
        }
        let (clear, next) = self.inspector.look(fresh);
        self.held.extend_from_slice(&fresh[clear..]);
        buffer.set_filled(before + clear);
        let brought = self.after(next);
        Poll::Ready(Ok(if clear > 0 && brought == Brought::Nothing { Brought::Bytes } else { brought }))
    }

    fn verify_held(&mut self, buffer: &mut ReadBuf<'_>) -> Brought {
        let (clear, next) = self.inspector.look(&self.held);
        self.clear = clear;
        let brought = self.after(next);
        if brought == Brought::Nothing && self.clear > 0 {
            self.hand_on(buffer);
            return Brought::Bytes;
        }
        brought
    }

    fn after(&mut self, next: Next) -> Brought {
        match next {
            Next::More => Brought::Nothing,
            Next::Broken => {
                self.held.truncate(self.clear);
                self.end = Some(End::Broken);
                Brought::Nothing
            }
            Next::Refuse(fault) => Brought::Refused(self.refuse(), fault),
        }
    }

    fn hand_on(&mut self, buffer: &mut ReadBuf<'_>) {
        let now = self.clear.min(buffer.remaining());
        buffer.put_slice(&self.held[..now]);
        self.held.advance(now);
        self.clear -= now;
        if self.held.is_empty() {
            // Idle connections are many and hold no memory of ours.
            self.held = BytesMut::new();
        }
    }
}
