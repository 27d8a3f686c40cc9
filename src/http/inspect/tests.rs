//! Each rule of a head, and that no split of the packets changes a verdict.

use proptest::prelude::*;

use super::*;

const FINE: &str = "GET /v1/events?limit=5 HTTP/1.1\r\nhost: weir.example:8080\r\naccept: */*\r\n\r\n";
const POST: &str = "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello";
const CHUNKED: &str =
    "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n";

/// What goes on of these bytes, shown in pieces of these lengths, and what comes then.
fn in_pieces(bytes: &[u8], lengths: &[usize]) -> (usize, Next, u32) {
    let mut inspector = Inspector::new();
    let (mut passed, mut shown, mut lengths) =
        (0, 0_usize, lengths.iter().copied().chain(std::iter::repeat(usize::MAX)));
    loop {
        shown = shown.saturating_add(lengths.next().unwrap_or(usize::MAX)).min(bytes.len());
        let (clear, next) = inspector.look(&bytes[passed..shown]);
        passed += clear;
        if next != Next::More || shown == bytes.len() {
            return (passed, next, inspector.heads());
        }
    }
}

fn whole(text: &str) -> (usize, Next, u32) {
    in_pieces(text.as_bytes(), &[])
}

/// The fault of a request with these lines between its first and its last.
fn fault(lines: &str) -> Option<HeadFault> {
    match whole(&format!("POST / HTTP/1.1\r\n{lines}\r\n")) {
        (0, Next::Refuse(fault), 0) => Some(fault),
        (_, Next::More, 1) => None,
        other => panic!("{lines:?}: {other:?}"),
    }
}

#[test]
fn sound_requests_pass_one_behind_the_other() {
    let both = format!("{FINE}{POST}{CHUNKED}{FINE}");
    assert_eq!(whole(&both), (both.len(), Next::More, 4));
    let blank = format!("{POST}\r\n{FINE}");
    assert_eq!(whole(&blank), (blank.len(), Next::More, 2), "an empty line before a head");
    assert_eq!(whole("GET / HTTP/1.0\r\n\r\n"), (18, Next::More, 1), "1.0 knows no Host");
    let begun = format!("{FINE}GET / HT");
    assert_eq!(whole(&begun), (FINE.len(), Next::More, 1), "the beginning of a head waits");
}

#[test]
fn what_frames_a_body_must_be_said_once_and_well() {
    let host = "host: x\r\n";
    for good in ["content-length: 0\r\n", "Transfer-Encoding: Chunked\r\n", "content-length: 1000000000000\r\n"] {
        assert_eq!(fault(&format!("{host}{good}")), None, "{good}");
    }
    for bad in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5\r\nContent-Length: 5\r\n",
        "content-length: 5, 5\r\n",
        "content-length: -1\r\n",
        "content-length: +1\r\n",
        "content-length: 0x10\r\n",
        "content-length:\r\n",
        "content-length: 9999999999999999999\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding:\r\n",
    ] {
        assert_eq!(fault(&format!("{host}{bad}")), Some(HeadFault::Framing), "{bad}");
    }
    let old = "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(whole(old).1, Next::Refuse(HeadFault::Framing));
}

#[test]
fn there_is_one_host() {
    for good in ["host: [::1]:8080\r\n", "Host: \r\n"] {
        assert_eq!(fault(good), None, "{good}");
    }
    for bad in ["", "host: a\r\nhost: a\r\n", "host: a/b\r\n", "host: a b\r\n", "host: u@a\r\n", "host: a,b\r\n"] {
        assert_eq!(fault(bad), Some(HeadFault::Host), "{bad}");
    }
}

#[test]
fn lines_end_in_cr_lf_and_nowhere_else() {
    for bad in ["host: x\n", "a: b\n\r\n", "host: x\r\na: b\n", "\n"] {
        assert_eq!(fault(bad), Some(HeadFault::LineEnd), "{bad:?}");
    }
    for bad in ["\nGET / HTTP/1.1\r\n", "GET / HTTP/1.1\nhost: x\n\n", "\r\n\n"] {
        assert_eq!(whole(bad).1, Next::Refuse(HeadFault::LineEnd), "{bad:?}");
    }
    for bad in ["host: x\r\na: b\rc\r\n", "host: x\r\na: b\r\n c\r\n", "host: x\r\na : b\r\n", "host: x\r\na: b\0\r\n"]
    {
        assert_eq!(fault(bad), Some(HeadFault::Syntax), "{bad:?}");
    }
    assert_eq!(fault("host: x\r\nnot a header\r\n"), Some(HeadFault::Syntax));
}

#[test]
fn what_is_no_request_line_is_refused() {
    for line in [
        "GET /",
        "GET / HTTP/1.2",
        "GET  / HTTP/1.1",
        "G=T / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\u{e9}\u{0} HTTP/1.1",
    ] {
        assert_eq!(whole(&format!("{line}\r\nhost: x\r\n\r\n")).1, Next::Refuse(HeadFault::Syntax), "{line:?}");
    }
    for line in ["GET http://[::1 HTTP/1.1", "GET ?a HTTP/1.1", &format!("{} / HTTP/1.1", "M".repeat(33))] {
        assert_eq!(whole(&format!("{line}\r\nhost: x\r\n\r\n")).1, Next::Refuse(HeadFault::Syntax), "{line:?}");
    }
    assert_eq!(whole("\r\n\r\n").1, Next::Refuse(HeadFault::Syntax), "two empty lines");
    assert_eq!(whole("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").1, Next::Refuse(HeadFault::Syntax), "nearly HTTP/2");
}

#[test]
fn sizes_are_bounded_before_the_head_is_whole() {
    let hundred = |count: usize| format!("host: x\r\n{}", "a: b\r\n".repeat(count - 1));
    assert_eq!(fault(&hundred(100)), None);
    assert_eq!(fault(&hundred(101)), Some(HeadFault::TooManyHeaders));
    let uri = |length: usize| format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(length - 1));
    assert_eq!(whole(&uri(8_192)).1, Next::More);
    for length in [8_193, 8_300, 70_000] {
        assert_eq!(whole(&uri(length)).1, Next::Refuse(HeadFault::UriTooLong), "{length}");
    }
    assert_eq!(whole(&uri(70_000)[..8_300]).1, Next::Refuse(HeadFault::UriTooLong), "unfinished");
    for length in [65_536, 500_000] {
        let line = format!("host: x\r\na: {}\r\n", "b".repeat(length));
        assert_eq!(fault(&line), Some(HeadFault::TooLarge), "{length}");
        assert_eq!(whole(&format!("GET / HTTP/1.1\r\n{line}")).1, Next::Refuse(HeadFault::TooLarge));
    }
}

#[test]
fn malformed_chunks_break_the_request_off_where_they_are() {
    let head = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    for (good, bad) in [
        ("", "x"),
        ("", "\r\n"),
        ("5", " \r\nhello"),
        ("5", "\nhello"),
        ("5\r", "hello"),
        ("5\r\nhello", "0\r\n"),
        ("5\r\nhello\r", "\r"),
        ("00000000", "0"),
        ("5;a=\"", "\n\""),
        ("0\r\nx: y", "\n"),
        ("0\r\n\r", "G"),
    ] {
        let (passed, next, _) = whole(&format!("{head}{good}{bad}"));
        assert_eq!((passed, next), (head.len() + good.len(), Next::Broken), "{good:?} {bad:?}");
    }
    let long = format!("{head}1;{}", "e".repeat(9_000));
    assert_eq!(whole(&long).1, Next::Broken, "endless extension");
}

#[test]
fn http2_and_what_became_a_websocket_pass_unseen() {
    let mut text = HTTP2.to_vec();
    text.extend([0, b'\n', 255, 3]);
    assert_eq!(in_pieces(&text, &[3, 10, 2]).0, text.len());
    let mut inspector = Inspector::new();
    assert_eq!(inspector.look(FINE.as_bytes()).0, FINE.len());
    inspector.stand_aside();
    assert_eq!(inspector.look(b"\x81\n"), (2, Next::More));
    inspector.end();
    assert_eq!(inspector.look(b"\x81\n"), (0, Next::More));
}

fn traffic() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(FINE.as_bytes().to_vec()),
        4 => Just(POST.as_bytes().to_vec()),
        4 => Just(CHUNKED.as_bytes().to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b"GET / HTTP/1.1\nhost: x\n\n".to_vec()),
        1 => Just(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()),
        1 => Just(format!("GET /{} HTTP/1.1\r\n", "u".repeat(9_000)).into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_split_changes_the_verdict(bytes in traffic(), lengths in prop::collection::vec(1_usize..200, 0..80)) {
        prop_assert_eq!(in_pieces(&bytes, &[]), in_pieces(&bytes, &lengths));
        prop_assert_eq!(in_pieces(&bytes, &[]), in_pieces(&bytes, &vec![1; bytes.len()]));
    }

    #[test]
    fn one_changed_byte_never_panics(bytes in traffic(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = bytes;
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let (passed, _, _) = in_pieces(&bytes, &[7, 1, 30]);
        prop_assert!(passed <= bytes.len());
    }
}
