//! Tokens as forgers and careless clients send them. A refused caller's body is not read.

use serde_json::json;
use weir::domain::time::Timestamp;

use super::kit::Kit;
use super::row::{Row, Section, Step, all, row};

fn no(sent: &'static str, steps: fn(&Kit) -> Vec<Step>) -> Row {
    row(sent, 401, "unauthorized", steps)
}

fn now() -> i64 {
    Timestamp::now().unix_seconds()
}

pub fn section() -> Section {
    Section {
        title: "Tokens",
        about: "401 with `WWW-Authenticate` and the same words for every reason; keys never come from a token.",
        rows: [headers(), keys(), claims(), rights()].into_iter().flatten().collect(),
    }
}

fn headers() -> Vec<Row> {
    vec![
        no("no Authorization", |kit| kit.authorized("")),
        no("a blank Authorization", |kit| kit.authorized("authorization: \r\n")),
        no("Bearer without a token", |kit| kit.authorized("authorization: Bearer\r\n")),
        no("Basic", |kit| kit.authorized("authorization: Basic YTpi\r\n")),
        no("a token without its scheme", |kit| kit.authorized(&format!("authorization: {}\r\n", kit.token))),
        no("garbage for a token", |kit| kit.bearing("garbage")),
        no("two Authorization headers, both good", |kit| {
            let line = format!("authorization: Bearer {}\r\n", kit.token);
            kit.authorized(&line.repeat(2))
        }),
        no("two tokens in one header", |kit| kit.bearing(&format!("{0}, Bearer {0}", kit.token))),
        no("a token in the query", |kit| {
            let path = format!("/v1/events?access_token={}", kit.token);
            kit.request(&path, "content-type: application/json\r\n", b"{}")
        }),
        no("a token of 9 KB", |kit| kit.bearing(&kit.signed(json!({}), json!({"pad": "x".repeat(6_800)})))),
        row("a token of 3 MB", 431, "head_too_large", |kit| kit.bearing(&"A".repeat(3_000_000))),
    ]
}

fn keys() -> Vec<Row> {
    vec![
        no("alg none, no signature", |kit| kit.bearing(&kit.unsigned("none"))),
        no("alg NoNe, some signature", |kit| kit.bearing(&format!("{}AAAA", kit.unsigned("NoNe")))),
        no("HS256 with the public key as the secret", |kit| kit.bearing(&kit.confused())),
        no("an alg that is not the key's", |kit| kit.bearing(&kit.signed(json!({"alg": "RS256"}), json!({})))),
        no("no kid", |kit| kit.bearing(&kit.signed(json!({"kid": null}), json!({})))),
        no("an unknown kid", |kit| kit.bearing(&kit.signed(json!({"kid": "other"}), json!({})))),
        no("a kid that is a path", |kit| kit.bearing(&kit.signed(json!({"kid": "../../dev/null"}), json!({})))),
        no("a jku and an unknown kid", |kit| {
            kit.bearing(&kit.signed(json!({"jku": "http://127.0.0.1:1/jwks.json", "kid": "x"}), json!({})))
        }),
        no("an x5u and an unknown kid", |kit| {
            kit.bearing(&kit.signed(json!({"x5u": "http://127.0.0.1:1/cert.pem", "kid": "x"}), json!({})))
        }),
        no("a key of the forger's own in the header", |kit| kit.bearing(&kit.forged())),
        no("a crit header", |kit| kit.bearing(&kit.signed(json!({"crit": ["b64"], "b64": false}), json!({})))),
        no("another typ", |kit| kit.bearing(&kit.signed(json!({"typ": "dpop+jwt"}), json!({})))),
        no("a changed signature", |kit| kit.bearing(&format!("{}A", kit.signed(json!({}), json!({}))))),
    ]
}

fn claims() -> Vec<Row> {
    vec![
        no("exp as a string", |kit| kit.bearing(&kit.signed(json!({}), json!({"exp": (now() + 600).to_string()})))),
        no("exp as a float", |kit| kit.bearing(&kit.signed(json!({}), json!({"exp": now() as f64 + 600.5})))),
        no("a negative exp", |kit| kit.bearing(&kit.signed(json!({}), json!({"exp": -1})))),
        no("exp 2^63", |kit| kit.bearing(&kit.signed(json!({}), json!({"exp": 1_u64 << 63})))),
        no("exp past the leeway", |kit| kit.bearing(&kit.signed(json!({}), json!({"exp": now() - 61})))),
        no("nbf as a string", |kit| kit.bearing(&kit.signed(json!({}), json!({"nbf": now().to_string()})))),
        no("nbf in the future", |kit| kit.bearing(&kit.signed(json!({}), json!({"nbf": now() + 600})))),
        no("nbf as a float", |kit| kit.bearing(&kit.signed(json!({}), json!({"nbf": 0.5})))),
        no("nbf 2^63", |kit| kit.bearing(&kit.signed(json!({}), json!({"nbf": 1_u64 << 63})))),
        no("claims nested 2,000 deep", |kit| {
            kit.bearing(&kit.nested(&format!("{}{}", "[".repeat(2_000), "]".repeat(2_000))))
        }),
        no("no exp", |kit| kit.bearing(&kit.signed(json!({}), json!({"exp": null})))),
        no("no aud", |kit| kit.bearing(&kit.signed(json!({}), json!({"aud": null})))),
        no("no iss", |kit| kit.bearing(&kit.signed(json!({}), json!({"iss": null})))),
        no("another aud", |kit| kit.bearing(&kit.signed(json!({}), json!({"aud": "else"})))),
        no("another iss", |kit| kit.bearing(&kit.signed(json!({}), json!({"iss": "else"})))),
        no("an account_id with a space", |kit| kit.bearing(&kit.signed(json!({}), json!({"account_id": "a b"})))),
        no("no account_id", |kit| kit.bearing(&kit.signed(json!({}), json!({"account_id": null})))),
    ]
}

fn rights() -> Vec<Row> {
    vec![
        row("a scope that lacks events:write", 403, "forbidden", |kit| {
            kit.bearing(&kit.signed(json!({}), json!({"scope": "events:read metrics:read"})))
        }),
        row("no scope at all", 403, "forbidden", |kit| kit.bearing(&kit.signed(json!({}), json!({"scope": null})))),
        row("another account's path", 403, "forbidden", |kit| {
            all(format!(
                "GET /v1/accounts/rival/summary HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
                kit.token
            ))
        }),
        row("another account in the body", 403, "account_mismatch", |kit| kit.event(r#""account_id":"rival""#)),
        row("the own account in other letters", 403, "account_mismatch", |kit| kit.event(r#""account_id":"Acme""#)),
    ]
}
