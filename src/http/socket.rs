//! The socket under hyper, with the deadlines hyper lacks. Invariant: a peer that neither sends nor takes bytes when it is its
//! turn loses the connection; a running request is never cut by an idle clock.
//!
//! Whose turn it is follows from [`Activity`](super::connection::Activity): no request running and no byte read means idle;
//! bytes read but no request yet means a head is on its way; a running request is bounded by the door and by the body reader.
//! A later inspector of raw heads belongs into [`Socket::poll_read`], which sees every byte before hyper does.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::connection::Place;
use super::metrics;

/// How long and how far an unwanted body is swallowed after the answer, so that the answer arrives.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

const HEAD_TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json\r\ncontent-length: 148\r\n\
connection: close\r\n\r\n{\"type\":\"urn:weir:problem:head_timeout\",\"title\":\"Request head too slow\",\"status\":408,\
\"code\":\"head_timeout\",\"error\":\"the request head took too long\"}";

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
    http2: bool,
    read_any: bool,
    requests_seen: u32,
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
            http2: false,
            read_any: false,
            requests_seen: 0,
            head_since: None,
            wrote_at: None,
            blocked_since: None,
            closing_since: None,
            swallowed: 0,
            read_alarm: Alarm::default(),
            write_alarm: Alarm::default(),
        }
    }

    fn note_read(&mut self, bytes: &[u8]) {
        if !self.read_any && !bytes.is_empty() {
            self.read_any = true;
            self.http2 = bytes.starts_with(b"PRI");
        }
        self.forget_served_head();
        if self.head_since.is_none() && !self.place.activity().busy() {
            self.head_since = Some(Instant::now());
        }
    }

    fn forget_served_head(&mut self) {
        let started = self.place.activity().started();
        if started != self.requests_seen {
            self.requests_seen = started;
            self.head_since = None;
        }
    }

    /// Until when the peer must send something; `None` while it is our turn.
    fn read_deadline(&mut self) -> Option<Instant> {
        self.forget_served_head();
        let activity = self.place.activity();
        if activity.busy() {
            return None;
        }
        match self.head_since {
            // HTTP/2 frames between requests (pings, settings) are not the start of a head.
            Some(since) if !self.http2 => Some(since + self.limits.head),
            _ => {
                let quiet = activity.quiet_since();
                Some(self.wrote_at.map_or(quiet, |wrote| wrote.max(quiet)) + self.limits.idle)
            }
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Socket<Io> {
    fn give_up_reading(&mut self, cx: &mut Context<'_>) -> io::Error {
        let in_head = self.head_since.is_some() && !self.http2;
        if in_head && self.blocked_since.is_none() {
            // Best effort: whether the peer still wants an answer is its affair.
            let told = Pin::new(&mut self.io).poll_write(cx, HEAD_TOO_SLOW).is_ready();
            tracing::debug!(told, "a request head took too long");
        }
        metrics::connection_timed_out(if in_head { metrics::Stage::Head } else { metrics::Stage::Idle });
        io::ErrorKind::TimedOut.into()
    }

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
        let before = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.io).poll_read(cx, buffer) {
            this.note_read(&buffer.filled()[before..]);
            return Poll::Ready(result);
        }
        match this.read_deadline() {
            Some(deadline) if this.read_alarm.passed(cx, deadline) => Poll::Ready(Err(this.give_up_reading(cx))),
            _ => Poll::Pending,
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<Io> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Poll::Ready(result) = Pin::new(&mut this.io).poll_write(cx, bytes) {
            this.wrote_at = Some(Instant::now());
            this.blocked_since = None;
            return Poll::Ready(result);
        }
        let since = *this.blocked_since.get_or_insert_with(Instant::now);
        if this.write_alarm.passed(cx, since + this.limits.write) {
            metrics::connection_timed_out(metrics::Stage::Write);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
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
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::super::connection::Connections;
    use super::*;

    const HEAD: Duration = Duration::from_millis(150);
    const IDLE: Duration = Duration::from_millis(600);
    const WRITE: Duration = Duration::from_millis(200);
    const LIMITS: Limits = Limits { head: HEAD, idle: IDLE, write: WRITE };

    struct Rig {
        connections: Connections,
        ends: (SocketAddr, SocketAddr),
        peer: DuplexStream,
        socket: Socket<DuplexStream>,
    }

    fn rig(buffer: usize) -> Rig {
        let ends = ("127.0.0.1:1".parse().expect("addr"), "127.0.0.1:2".parse().expect("addr"));
        let connections = Connections::new("test", 1, 1);
        let place = connections.admit(ends).expect("place");
        let (peer, ours) = duplex(buffer);
        Rig { connections, ends, peer, socket: Socket::new(ours, place, LIMITS) }
    }

    /// How long a read waits before the socket gives up.
    async fn until_cut(socket: &mut Socket<DuplexStream>) -> Duration {
        let start = Instant::now();
        let error = socket.read_u8().await.expect_err("cut");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        start.elapsed()
    }

    #[tokio::test]
    async fn a_silent_connection_ends_after_the_idle_time() {
        let mut rig = rig(64);
        assert!(until_cut(&mut rig.socket).await >= IDLE);
    }

    #[tokio::test]
    async fn a_head_that_drips_is_measured_from_its_first_byte() {
        let mut rig = rig(1024);
        let start = Instant::now();
        let drip = async {
            for _ in 0..4 {
                rig.peer.write_all(b"G").await.expect("write");
                tokio::time::sleep(HEAD / 2).await;
            }
        };
        let swallow = async { while rig.socket.read_u8().await.is_ok() {} };
        tokio::join!(drip, async {
            swallow.await;
            assert!((HEAD..IDLE).contains(&start.elapsed()), "{:?}", start.elapsed());
        });
        let mut answer = vec![0; HEAD_TOO_SLOW.len()];
        rig.peer.read_exact(&mut answer).await.expect("408");
        assert!(answer.starts_with(b"HTTP/1.1 408"));
    }

    #[test]
    fn the_canned_answer_states_its_true_length() {
        let text = std::str::from_utf8(HEAD_TOO_SLOW).expect("ascii");
        let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }

    #[tokio::test]
    async fn a_running_request_is_not_cut_and_the_idle_time_starts_at_its_end() {
        let mut rig = rig(64);
        rig.peer.write_all(b"G").await.expect("write");
        rig.socket.read_u8().await.expect("byte");
        let running = rig.connections.request_starts(Some(rig.ends));
        let quiet = timeout(IDLE + HEAD, rig.socket.read_u8()).await;
        assert!(quiet.is_err(), "not cut");
        drop(running);
        assert!(until_cut(&mut rig.socket).await >= IDLE);
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_is_cut() {
        let mut rig = rig(4);
        let _running = rig.connections.request_starts(Some(rig.ends));
        let start = Instant::now();
        let error = rig.socket.write_all(b"too much").await.expect_err("stalled");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= WRITE);
    }

    #[tokio::test]
    async fn frames_between_http2_requests_are_not_a_head() {
        let mut rig = rig(64);
        rig.peer.write_all(b"PRI").await.expect("write");
        rig.socket.read_exact(&mut [0; 3]).await.expect("preface");
        assert!(until_cut(&mut rig.socket).await > HEAD * 2);
    }

    #[tokio::test]
    async fn closing_swallows_an_unwanted_body_for_a_second_only() {
        let mut rig = rig(64);
        rig.connections.request_starts(Some(rig.ends)).linger();
        rig.peer.write_all(b"rest of a body").await.expect("write");
        let start = Instant::now();
        rig.socket.shutdown().await.expect("shutdown");
        assert!(start.elapsed() >= LINGER);
    }
}
