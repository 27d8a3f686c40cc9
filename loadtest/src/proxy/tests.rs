//! The proxy between a client and a server that answers each byte with the next one. Invariant: no test waits on the clock but for
//! silence, which is short.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream as Stream;
use std::thread;
use std::time::Instant;

use super::*;

/// Answers each byte with the next one, and counts what it has read.
fn server() -> SocketAddr {
    let listener = Listener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&[byte[0] + 1]).is_ok() {}
            });
        }
    });
    address
}

fn proxy() -> Proxy {
    let proxy = Proxy::start().expect("proxy");
    proxy.lead_to(server());
    proxy
}

fn connect(proxy: &Proxy) -> Stream {
    let stream = Stream::connect(proxy.address()).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("timeout");
    stream
}

/// The answer; `None` when the connection is broken.
fn ask(stream: &mut Stream, byte: u8) -> Option<u8> {
    stream.write_all(&[byte]).ok()?;
    let mut answer = [0];
    match stream.read_exact(&mut answer) {
        Ok(()) => Some(answer[0]),
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("neither an answer nor an end"),
        Err(_) => None,
    }
}

/// Whether nothing comes for a while.
fn silent(stream: &mut Stream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("timeout");
    let read = stream.read(&mut [0]);
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("timeout");
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn good_forwards_and_cut_breaks_open_and_new_connections() {
    let proxy = proxy();
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream, 1), Some(2));
    proxy.set(Network::Cut);
    assert_eq!(ask(&mut stream, 1), None);
    assert_eq!(ask(&mut connect(&proxy), 1), None);
    proxy.set(Network::Good);
    assert_eq!(ask(&mut connect(&proxy), 1), Some(2));
}

#[test]
fn slow_takes_its_time_both_ways() {
    let proxy = proxy();
    proxy.set(Network::Slow(Duration::from_millis(60)));
    let mut stream = connect(&proxy);
    let start = Instant::now();
    assert_eq!(ask(&mut stream, 1), Some(2));
    assert!(start.elapsed() >= Duration::from_millis(120), "{:?}", start.elapsed());
}

#[test]
fn a_black_hole_holds_bytes_and_gives_them_back() {
    let proxy = proxy();
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream, 1), Some(2));
    proxy.set(Network::BlackHole);
    stream.write_all(&[5]).expect("taken by the kernel");
    assert!(silent(&mut stream));
    proxy.set(Network::Good);
    let mut answer = [0];
    stream.read_exact(&mut answer).expect("the answer");
    assert_eq!(answer, [6]);
}

#[test]
fn a_dropped_answer_ends_its_connection_afterwards_and_no_other() {
    let proxy = proxy();
    let (mut asking, mut idle) = (connect(&proxy), connect(&proxy));
    assert_eq!((ask(&mut asking, 1), ask(&mut idle, 1)), (Some(2), Some(2)));
    proxy.set(Network::NoAnswers);
    asking.write_all(&[5]).expect("forwarded");
    assert!(silent(&mut asking));
    proxy.set(Network::Good);
    assert_eq!(ask(&mut asking, 7), None, "what came next would be taken for the answer to 5");
    assert_eq!(ask(&mut idle, 7), Some(8));
}
