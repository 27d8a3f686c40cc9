//! Heads no sound client sends; most of them hyper would take.

use super::kit::Kit;
use super::row::{Expected, Row, Section, Step, all, row};

const CODE: &str = "malformed_head";

fn get(lines: &str) -> Vec<Step> {
    all(format!("GET /health HTTP/1.1\r\n{lines}\r\n"))
}

fn post(kit: &Kit, lines: &str, body: &str) -> Vec<Step> {
    all(format!("{}{lines}\r\n{body}", kit.begun()))
}

pub fn section() -> Section {
    Section {
        title: "Request heads (HTTP/1)",
        about: "Refused before anything behind the door sees them; the connection is closed after the answer.",
        rows: [hosts_and_lines(), framing(), sizes(), paths()].into_iter().flatten().collect(),
    }
}

fn hosts_and_lines() -> Vec<Row> {
    vec![
        row("no Host", 400, CODE, |_| get("accept: */*\r\n")),
        row("two Host headers", 400, CODE, |_| get("host: a\r\nhost: b\r\n")),
        row("a Host that is a URI", 400, CODE, |_| get("host: http://a/\r\n")),
        row("bare LF after the request line", 400, CODE, |_| all("GET /health HTTP/1.1\nhost: a\r\n\r\n")),
        row("bare LF after a header", 400, CODE, |_| get("host: a\r\nx: y\n")),
        row("bare LF everywhere", 400, CODE, |_| all("GET /health HTTP/1.1\nhost: a\n\n")),
        row("CR inside a value", 400, CODE, |_| get("host: a\r\nx: y\rz\r\n")),
        row("NUL inside a value", 400, CODE, |_| get("host: a\r\nx: y\0z\r\n")),
        row("a header over two lines (obs-fold)", 400, CODE, |_| get("host: a\r\nx: y\r\n z\r\n")),
        row("a space before the colon", 400, CODE, |_| get("host: a\r\nx : y\r\n")),
        row("a header without a colon", 400, CODE, |_| get("host: a\r\nx\r\n")),
        row("no version", 400, CODE, |_| all("GET /health\r\n\r\n")),
        row("HTTP/1.2", 400, CODE, |_| all("GET /health HTTP/1.2\r\nhost: a\r\n\r\n")),
        row("a space in the target", 400, CODE, |_| all("GET /he alth HTTP/1.1\r\nhost: a\r\n\r\n")),
        row("a target that is no URI", 400, CODE, |_| all("GET http://[::1 HTTP/1.1\r\nhost: a\r\n\r\n")),
        row("a method that is no token", 400, CODE, |_| all("G@T /health HTTP/1.1\r\nhost: a\r\n\r\n")),
        row("the first bytes of TLS", 400, CODE, |_| all(b"\x16\x03\x01\x02\x00\x01\x00\n\r\n\r\n".to_vec())),
        row("a sound request, then one without Host, in one packet", 400, CODE, |_| {
            all("GET /health HTTP/1.1\r\nhost: a\r\n\r\nGET /health HTTP/1.1\r\n\r\n")
        }),
    ]
}

fn framing() -> Vec<Row> {
    vec![
        row("Transfer-Encoding and Content-Length", 400, CODE, |kit| {
            post(kit, "transfer-encoding: chunked\r\ncontent-length: 2\r\n", "0\r\n\r\n")
        }),
        row("Content-Length and Transfer-Encoding", 400, CODE, |kit| {
            post(kit, "content-length: 2\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n")
        }),
        row("two different Content-Lengths", 400, CODE, |kit| {
            post(kit, "content-length: 2\r\ncontent-length: 3\r\n", "{}")
        }),
        row("two equal Content-Lengths", 400, CODE, |kit| {
            post(kit, "content-length: 2\r\ncontent-length: 2\r\n", "{}")
        }),
        row("a list of Content-Lengths", 400, CODE, |kit| post(kit, "content-length: 2, 2\r\n", "{}")),
        row("a negative Content-Length", 400, CODE, |kit| post(kit, "content-length: -1\r\n", "{}")),
        row("a Content-Length of 40 digits", 400, CODE, |kit| {
            post(kit, &format!("content-length: {}\r\n", "9".repeat(40)), "{}")
        }),
        row("a Content-Length in hex", 400, CODE, |kit| post(kit, "content-length: 0x2\r\n", "{}")),
        row("Transfer-Encoding: gzip", 400, CODE, |kit| post(kit, "transfer-encoding: gzip\r\n", "{}")),
        row("Transfer-Encoding: gzip, chunked", 400, CODE, |kit| {
            post(kit, "transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n")
        }),
        row("Transfer-Encoding: xchunked", 400, CODE, |kit| post(kit, "transfer-encoding: xchunked\r\n", "0\r\n\r\n")),
        row("Transfer-Encoding twice", 400, CODE, |kit| {
            post(kit, "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n")
        }),
        row("Transfer-Encoding in HTTP/1.0", 400, CODE, |_| {
            all("POST /v1/events HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")
        }),
        row("a chunk size that is no number", 400, "invalid_request", |kit| {
            post(kit, "transfer-encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n")
        }),
        row("a chunk size line that ends in a bare LF", 400, "invalid_request", |kit| {
            post(kit, "transfer-encoding: chunked\r\n", "2\n{}\r\n0\r\n\r\n")
        }),
        row("a chunk longer than it says", 400, "invalid_request", |kit| {
            post(kit, "transfer-encoding: chunked\r\n", "1\r\n{}\r\n0\r\n\r\n")
        }),
        row("a chunk size of 17 hex digits", 400, "invalid_request", |kit| {
            post(kit, "transfer-encoding: chunked\r\n", "10000000000000002\r\n{}\r\n0\r\n\r\n")
        }),
    ]
}

fn sizes() -> Vec<Row> {
    vec![
        row("101 headers", 431, "head_too_large", |_| get(&format!("host: a\r\n{}", "x: y\r\n".repeat(100)))),
        row("a header of 64 KiB", 431, "head_too_large", |_| get(&format!("host: a\r\nx: {}\r\n", "y".repeat(65_536)))),
        row("a header of 500 KB, without end", 431, "head_too_large", |_| {
            all(format!("GET /health HTTP/1.1\r\nhost: a\r\nx: {}", "y".repeat(500_000)))
        }),
        row("a target of 8,193 bytes", 414, "uri_too_long", |_| {
            all(format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "u".repeat(8_192)))
        }),
        row("a target of 70 KB", 414, "uri_too_long", |_| {
            all(format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "u".repeat(70_000)))
        }),
        Row {
            sent: "a request line without end",
            steps: |_| all(format!("GET /{}", "u".repeat(9_000))),
            expected: Expected::AtOnce(414, "uri_too_long"),
        },
    ]
}

fn paths() -> Vec<Row> {
    vec![
        row("a path nothing lives at", 404, "not_found", |_| closing("GET /v1/nowhere")),
        row("a path that climbs", 404, "not_found", |_| closing("GET /v1/../../etc/passwd")),
        row("a path of escaped bytes", 404, "not_found", |_| closing("GET /v1/%00%0a%ff")),
        row("another method", 405, "method_not_allowed", |_| closing("DELETE /v1/events")),
        row("CONNECT", 404, "not_found", |_| closing("CONNECT a:80")),
    ]
}

fn closing(line: &str) -> Vec<Step> {
    all(format!("{line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"))
}
