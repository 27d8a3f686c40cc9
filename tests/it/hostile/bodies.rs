//! Bodies that are no usable JSON, or JSON that Postgres could not hold.

use super::kit::{Kit, SECRET};
use super::row::{Row, Section, Step, fault, row};

fn bad(sent: &'static str, at: (&'static str, &'static str), steps: fn(&Kit) -> Vec<Step>) -> Row {
    fault(sent, "malformed", at, steps)
}

pub fn section() -> Section {
    Section {
        title: "Bodies",
        about: "`errors[]` names the place and the rule; no answer repeats what was sent.",
        rows: [types(), shapes(), values()].into_iter().flatten().collect(),
    }
}

fn typed(kit: &Kit, lines: &str) -> Vec<Step> {
    let headers = format!("authorization: Bearer {}\r\n{lines}", kit.token);
    kit.request("/v1/events", &headers, br#"{"event_name":"view","user_id":"fine"}"#)
}

fn types() -> Vec<Row> {
    let code = "unsupported_media_type";
    vec![
        row("no Content-Type", 415, code, |kit| typed(kit, "")),
        row("Content-Type: text/plain", 415, code, |kit| typed(kit, "content-type: text/plain\r\n")),
        row("charset=utf-16", 415, code, |kit| typed(kit, "content-type: application/json; charset=utf-16\r\n")),
        row("two Content-Types", 415, code, |kit| typed(kit, &"content-type: application/json\r\n".repeat(2))),
    ]
}

fn shapes() -> Vec<Row> {
    vec![
        bad("an empty body", ("", "empty"), |kit| kit.body("")),
        bad("blanks only", ("", "empty"), |kit| kit.body(" \r\n\t ")),
        bad("a byte order mark", ("", "bom"), |kit| kit.body("\u{feff}{}")),
        bad("a top-level array", ("", "object"), |kit| kit.body("[{}]")),
        bad("a top-level number", ("", "object"), |kit| kit.body("7")),
        bad("null", ("", "object"), |kit| kit.body("null")),
        bad("half an object", ("", "syntax"), |kit| kit.body(r#"{"user_id":"#)),
        bad("bytes behind the object", ("", "syntax"), |kit| kit.body(format!(r#"{{"user_id":"{SECRET}"}} x"#))),
        bad("two objects", ("", "syntax"), |kit| kit.body("{}{}")),
        bad("NaN", ("", "syntax"), |kit| kit.event(r#""value":NaN"#)),
        bad("a control character in a string", ("", "syntax"), |kit| kit.event("\"source\":\"a\u{1}b\"")),
        bad("invalid UTF-8 in a value", ("", "utf8"), |kit| kit.body(b"{\"user_id\":\"\xff\"}")),
        bad("invalid UTF-8 in a key", ("", "utf8"), |kit| kit.body(b"{\"\xc3\x28\":1}")),
        bad("a surrogate in raw UTF-8", ("", "utf8"), |kit| kit.body(b"{\"user_id\":\"\xed\xa0\x80\"}")),
        bad("UTF-16", ("", "utf8"), |kit| kit.body(b"\xff\xfe{\0}\0")),
    ]
}

fn values() -> Vec<Row> {
    vec![
        bad(r"\u0000 in a field", ("/source", "nul"), |kit| kit.event(r#""source":"a\u0000b""#)),
        bad(r"\u0000 in metadata", ("/metadata/a/1", "nul"), |kit| kit.event(r#""metadata":{"a":["x","\u0000"]}"#)),
        row(r"\u0000 in a key of metadata", 400, "malformed", |kit| kit.event(r#""metadata":{"a\u0000":1}"#)),
        bad("a lone high surrogate", ("/source", "surrogate"), |kit| kit.event(r#""source":"\ud800""#)),
        bad("a lone low surrogate", ("/source", "surrogate"), |kit| kit.event(r#""source":"\udc00\ud800""#)),
        bad("a high surrogate and a letter", ("/metadata/a", "surrogate"), |kit| {
            kit.event(r#""metadata":{"a":"\ud83dx"}"#)
        }),
        bad("a number of 5,000 digits", ("/value", "max_digits"), |kit| {
            kit.event(&format!("\"value\":{}", "9".repeat(5_000)))
        }),
        bad("a fraction of 5,000 digits", ("/metadata/a", "max_digits"), |kit| {
            kit.event(&format!("\"metadata\":{{\"a\":0.{}}}", "9".repeat(5_000)))
        }),
        bad("1e131072", ("/value", "max_digits"), |kit| kit.event(r#""value":1e131072"#)),
        bad("1e-131072 in metadata", ("/metadata/a", "max_digits"), |kit| kit.event(r#""metadata":{"a":1e-131072}"#)),
        bad("an exponent of 400 digits", ("/value", "max_digits"), |kit| {
            kit.event(&format!("\"value\":1e{}", "9".repeat(400)))
        }),
        bad("a key twice", ("/source", "duplicate_key"), |kit| kit.event(r#""source":"a","source":"b""#)),
        bad("a key twice, once escaped", ("/source", "duplicate_key"), |kit| {
            kit.event(r#""source":"a","\u0073ource":"b""#)
        }),
        bad("a key twice in metadata", ("/metadata/a/b", "duplicate_key"), |kit| {
            kit.event(r#""metadata":{"a":{"b":1,"c":2,"b":3}}"#)
        }),
        row("65 levels of nesting", 400, "malformed", |kit| {
            kit.event(&format!("\"metadata\":{{\"a\":{}{}}}", "[".repeat(63), "]".repeat(63)))
        }),
        row("200 levels of nesting in a field nobody knows", 400, "malformed", |kit| {
            kit.event(&format!("\"x\":{}{}", "[".repeat(200), "]".repeat(200)))
        }),
        row("30,000 levels of nesting within 64 KiB", 400, "malformed", |kit| {
            kit.event(&format!("\"metadata\":{{\"a\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000)))
        }),
    ]
}
