//! The socket under hyper, with the deadlines hyper lacks. Invariant: a peer that neither sends nor takes bytes when it is its
//! turn loses the connection; a running request is never cut by an idle clock.
//!
//! Whose turn it is follows from [`Activity`](super::connection::Activity) and [`Intake`]: a head that has begun must end, no
//! request and no head is idle, a running request is bounded by the door and by the body reader.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::connection::Place;
use super::inspect::HeadFault;
use super::intake::{Brought, Intake};
use super::metrics;

/// How long and how far an unwanted body is swallowed after the answer, so that the answer arrives.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// Deadlines of one connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From the first byte of a head to its end.
    pub(super) head: Duration,
    /// Between requests.
    pub(super) idle: Duration,
    /// Without the peer taking a byte of what we have for it.
    pub(super) write: Duration,
}

/// A peer's socket with deadlines.
pub(super) struct Socket<Io> {
    io: Io,
    place: Place,
    limits: Limits,
    intake: Intake,
    head_since: Option<Instant>,
    wrote_at: Option<Instant>,
    blocked_since: Option<Instant>,
    closing_since: Option<Instant>,
    swallowed: usize,
    read_alarm: Alarm,
    write_alarm: Alarm,
}

/// A timer that is set again only when it would fire too late, because every setting takes the runtime's timer lock.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Whether `deadline` has passed; when not, the task is woken at that time at the latest.
    fn passed(&mut self, cx: &mut Context<'_>, deadline: Instant) -> bool {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return true;
            }
            sleep.as_mut().reset(deadline);
        }
        false
    }
}

impl<Io> Socket<Io> {
    /// Guards an admitted connection.
    pub(super) fn new(io: Io, place: Place, limits: Limits) -> Self {
        Self {
            io,
            place,
            limits,
            intake: Intake::new(),
            head_since: None,
            wrote_at: None,
            blocked_since: None,
            closing_since: None,
            swallowed: 0,
            read_alarm: Alarm::default(),
            write_alarm: Alarm::default(),
        }
    }

    /// Until when the peer must send something, and what is missing; `None` while it is our turn.
    fn read_deadline(&self) -> Option<(Instant, metrics::Stage)> {
        let activity = self.place.activity();
        if activity.busy() {
            return None;
        }
        let quiet = activity.quiet_since();
        Some(match self.head_since {
            // A head sent while another request ran has its time from that one's end: before, nobody read it.
            Some(since) => (since.max(quiet) + self.limits.head, metrics::Stage::Head),
            None => (self.wrote_at.map_or(quiet, |wrote| wrote.max(quiet)) + self.limits.idle, metrics::Stage::Idle),
        })
    }

    /// Cuts a peer that takes nothing of what we have for it.
    fn watched(&mut self, cx: &mut Context<'_>, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if wrote.is_ready() {
            self.wrote_at = Some(Instant::now());
            self.blocked_since = None;
            return wrote;
        }
        let since = *self.blocked_since.get_or_insert_with(Instant::now);
        if self.write_alarm.passed(cx, since + self.limits.write) {
            metrics::connection_timed_out(metrics::Stage::Write);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    /// The peer's turn is over: a head is answered, an idle connection is closed.
    fn give_up_reading(&mut self, stage: metrics::Stage) -> io::Result<()> {
        metrics::connection_timed_out(stage);
        if stage != metrics::Stage::Head {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let number = self.intake.refuse();
        self.place.activity().refuse(number, HeadFault::TooSlow);
        Ok(())
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Socket<Io> {
    fn swallow(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let until = *self.closing_since.get_or_insert_with(Instant::now) + LINGER;
        let mut scratch = [0_u8; 8192];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => self.swallowed += buffer.filled().len(),
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending if self.read_alarm.passed(cx, until) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
            if self.swallowed > LINGER_BYTES || Instant::now() >= until {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<Io> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.place.activity().upgraded() {
            this.intake.stand_aside();
        }
        loop {
            let read = this.intake.poll_read(&mut this.io, cx, buffer);
            this.head_since = this.intake.in_head().then(|| this.head_since.unwrap_or_else(Instant::now));
            match read {
                Poll::Ready(Ok(Brought::Bytes)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(Brought::Nothing)) => {}
                Poll::Ready(Ok(Brought::Refused(number, fault))) => {
                    metrics::head_refused(fault);
                    this.place.activity().refuse(number, fault);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => match this.read_deadline() {
                    Some((deadline, stage)) if this.read_alarm.passed(cx, deadline) => this.give_up_reading(stage)?,
                    _ => return Poll::Pending,
                },
            }
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<Io> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.watched(cx, wrote)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.watched(cx, wrote)
    }

    /// Without it hyper joins head and body in a buffer of its own, and the connection keeps that at the size of its largest answer.
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closing_since.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        }
        if this.place.activity().lingers() { this.swallow(cx) } else { Poll::Ready(Ok(())) }
    }
}

#[cfg(test)]
mod tests;
