//! Compressed bodies that are bombs, broken or in codings nobody undoes, and the forms beside plain JSON.

use futures_util::FutureExt;

use super::kit::Kit;
use super::row::{Section, Step, fault, row};
use crate::harness::pack;

const GOOD: &[u8] = br#"{"event_name":"view","user_id":"fine"}"#;

fn coded(kit: &Kit, coding: &str, body: &[u8]) -> Vec<Step> {
    let token = &kit.token;
    let headers =
        format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-encoding: {coding}\r\n");
    kit.request("/v1/events", &headers, body)
}

/// Packed in memory, which never waits.
fn packed(coding: &str, plain: &[u8]) -> Vec<u8> {
    pack(coding, plain).now_or_never().expect("nothing to wait for")
}

/// Nine megabytes that weigh a few kilobytes.
fn bomb(kit: &Kit, coding: &str) -> Vec<Step> {
    coded(kit, coding, &packed(coding, &vec![b' '; 9 << 20]))
}

pub fn section() -> Section {
    let (large, broken, unknown) = ("body_too_large", "invalid_request", "unsupported_media_type");
    Section {
        title: "Compressed bodies",
        about: "gzip, deflate, br and zstd are undone: 2 MiB on the wire, 8 MiB inflated, at most 100 times the size.",
        rows: vec![
            row("a gzip bomb", 413, large, |kit| bomb(kit, "gzip")),
            row("a deflate bomb", 413, large, |kit| bomb(kit, "deflate")),
            row("a brotli bomb", 413, large, |kit| bomb(kit, "br")),
            row("a zstd bomb", 413, large, |kit| bomb(kit, "zstd")),
            row("gzip inside gzip", 415, unknown, |kit| {
                coded(kit, "gzip, gzip", &packed("gzip", &packed("gzip", GOOD)))
            }),
            row("an unknown Content-Encoding", 415, unknown, |kit| coded(kit, "snappy", GOOD)),
            row("gzip that is none", 400, broken, |kit| coded(kit, "gzip", GOOD)),
            row("gzip that breaks off", 400, broken, |kit| {
                let whole = packed("gzip", GOOD);
                coded(kit, "gzip", &whole[..whole.len() - 9])
            }),
            row("brotli that breaks off", 400, broken, |kit| {
                let whole = packed("br", GOOD);
                coded(kit, "br", &whole[..whole.len() - 3])
            }),
            row("zstd with garbage behind it", 400, broken, |kit| {
                coded(kit, "zstd", &[packed("zstd", GOOD), b"garbage".to_vec()].concat())
            }),
            row("sound gzip", 202, "accepted", |kit| coded(kit, "gzip", &packed("gzip", GOOD))),
        ],
    }
}

fn lines(kit: &Kit, body: &str) -> Vec<Step> {
    let headers = format!("authorization: Bearer {}\r\ncontent-type: application/x-ndjson\r\n", kit.token);
    kit.request("/v1/events/batch", &headers, body.as_bytes())
}

fn cloud(kit: &Kit, members: &str) -> Vec<Step> {
    let headers = format!("authorization: Bearer {}\r\ncontent-type: application/cloudevents+json\r\n", kit.token);
    let body = format!(r#"{{"id":"1","source":"s","type":"view","subject":"refused"{members}}}"#);
    kit.request("/v1/events", &headers, body.as_bytes())
}

pub fn forms() -> Section {
    let bad = "invalid_event";
    Section {
        title: "Lines and CloudEvents",
        about: "The rules are those of plain events, named as the form names its fields.",
        rows: vec![
            row("lines that are all blank", 400, "malformed", |kit| lines(kit, "\r\n\n \n")),
            row("one broken line among good ones", 207, "partial", |kit| {
                let good = std::str::from_utf8(GOOD).expect("text");
                lines(kit, &format!("{good}\n{{\n{good}\n"))
            }),
            row("a line over 64 KiB among good ones", 207, "partial", |kit| {
                let good = std::str::from_utf8(GOOD).expect("text");
                lines(kit, &format!("{good}\n{}\n{good}", "x".repeat(70_000)))
            }),
            fault("a CloudEvent without specversion", bad, ("/specversion", "required"), |kit| cloud(kit, "")),
            fault("a CloudEvent of version 0.3", bad, ("/specversion", "enum"), |kit| {
                cloud(kit, r#","specversion":"0.3""#)
            }),
            fault("a CloudEvent with data_base64", bad, ("/data_base64", "unsupported"), |kit| {
                cloud(kit, r#","specversion":"1.0","data_base64":"AA==""#)
            }),
            fault(r"\u0000 in a CloudEvent", "malformed", ("/data/a", "nul"), |kit| {
                cloud(kit, r#","specversion":"1.0","data":{"a":"\u0000"}"#)
            }),
        ],
    }
}
