//! HTTP/2 with prior knowledge, frame by frame. What floods it closes the connection.

use super::row::{Expected, Row, Section, Step, all};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:method GET`, `:scheme http`, `:path /`, `:authority a`, as HPACK.
const GET: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn headers(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(1, flags, stream, block)
}

fn continuation(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(9, flags, stream, block)
}

/// A connection's beginning and these frames.
fn connection(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Step> {
    let begin = [PREFACE.to_vec(), frame(4, 0, 0, &[])];
    all(begin.into_iter().chain(frames).flatten().collect::<Vec<u8>>())
}

/// A header that is not compressed: name `x`, a value of so many bytes.
fn literal(length: usize) -> Vec<u8> {
    let mut field = vec![0, 1, b'x', 0x7f];
    let mut rest = length - 127;
    while rest >= 128 {
        field.push((rest % 128) as u8 | 0x80);
        rest /= 128;
    }
    field.push(rest as u8);
    field.extend(vec![b'y'; length]);
    field
}

fn closed(sent: &'static str, steps: fn(&super::kit::Kit) -> Vec<Step>) -> Row {
    Row { sent, steps, expected: Expected::Closed }
}

pub fn section() -> Section {
    Section {
        title: "HTTP/2 (prior knowledge)",
        about: "A peer that breaks or floods the framing loses its connection.",
        rows: vec![
            closed("10,000 requests, each reset at once (rapid reset)", |_| {
                connection((0..10_000).flat_map(|n| {
                    let stream = 2 * n + 1;
                    [headers(END_STREAM | END_HEADERS, stream, &GET), frame(3, 0, stream, &8_u32.to_be_bytes())]
                }))
            }),
            closed("a head continued without end (CONTINUATION flood)", |_| {
                let more = (0..20_000).map(|_| continuation(0, 1, &[0x40, 1, b'x', 1, b'y']));
                connection(std::iter::once(headers(0, 1, &GET)).chain(more))
            }),
            closed("empty CONTINUATION frames without end", |_| {
                connection(std::iter::once(headers(0, 1, &GET)).chain((0..20_000).map(|_| continuation(0, 1, &[]))))
            }),
            closed("a header list of 1 MB", |_| {
                let parts = (0..64).map(|_| continuation(0, 1, &literal(16_000)));
                let last = continuation(END_HEADERS, 1, &[]);
                connection(std::iter::once(headers(END_STREAM, 1, &GET)).chain(parts).chain([last]))
            }),
            closed("a frame longer than allowed", |_| connection([headers(END_STREAM | END_HEADERS, 1, &[0; 20_000])])),
            closed("a preface and then HTTP/1", |_| all([PREFACE, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"].concat())),
        ],
    }
}
