//! Whose turn it is, and what happens to a peer that does not take it.

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
    let mut answered = [0; 7];
    let (_, read) = tokio::join!(drip, rig.socket.read_exact(&mut answered));
    read.expect("the stand-in");
    assert!((HEAD..IDLE).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(&answered, b"REFUSED");
    let request = rig.connections.request_starts(Some(rig.ends));
    assert_eq!(request.refused(), Some(HeadFault::TooSlow));
}

#[tokio::test]
async fn a_head_begun_behind_a_request_has_the_time_of_a_head_from_that_ones_end() {
    let mut rig = rig(1024);
    let whole = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    rig.peer.write_all(&[&whole[..], b"GET /"].concat()).await.expect("write");
    rig.socket.read_exact(&mut [0; 27]).await.expect("the first head");
    let running = rig.connections.request_starts(Some(rig.ends));
    assert!(timeout(HEAD * 2, rig.socket.read_u8()).await.is_err(), "not cut while the first runs");
    drop(running);
    let start = Instant::now();
    assert_eq!(rig.socket.read_u8().await.expect("the stand-in"), b'R');
    assert!((HEAD..IDLE).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(rig.connections.request_starts(Some(rig.ends)).refused(), Some(HeadFault::TooSlow));
}

#[tokio::test]
async fn a_running_request_is_not_cut_and_the_idle_time_starts_at_its_end() {
    let mut rig = rig(64);
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
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    rig.peer.write_all(preface).await.expect("write");
    rig.socket.read_exact(&mut [0; 24]).await.expect("preface");
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

#[tokio::test]
async fn no_read_fills_the_buffer_hyper_begins_with() {
    let mut rig = rig(256 * 1024);
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n";
    let sent = [head.as_bytes(), &[b' '; 100_000]].concat();
    rig.peer.write_all(&sent).await.expect("write");
    let (mut room, mut read) = (vec![0; 64 * 1024], 0);
    while read < sent.len() {
        let piece = rig.socket.read(&mut room).await.expect("read");
        assert!((1..8_192).contains(&piece), "{piece}");
        read += piece;
    }
}

#[tokio::test]
async fn slices_are_written_as_they_are() {
    let mut rig = rig(64);
    assert!(rig.socket.is_write_vectored());
    let wrote = rig.socket.write_vectored(&[IoSlice::new(b"head"), IoSlice::new(b"body")]).await.expect("write");
    let mut read = vec![0; wrote];
    rig.peer.read_exact(&mut read).await.expect("read");
    assert_eq!(read, b"headbody"[..wrote]);
}
