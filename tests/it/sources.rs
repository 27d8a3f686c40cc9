//! A provider's deliveries under a source that an operator keeps: signed ones are stored once in the source's account, all others
//! are refused alike, and a change is seen by every instance within two seconds.

use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use weir::app::{App, Roles};
use weir::config::Config;
use weir::domain::time::Timestamp;

use crate::harness::{Answer, Client, TestApp, eventually, operator_token, send};

const SECRET: &str = "secret-of-the-provider-0123456789";
const NEXT_SECRET: &str = "the-next-secret-of-the-provider-1";
const RING: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/sources/ring.json"));
const TWO: &str = include_str!("fixtures/ring/motion-and-ding.json");
const NO_DEVICE: &str = include_str!("fixtures/ring/without-device.json");

/// Ring's mapping as shipped, with this secret.
fn ring(secrets: &[&str]) -> Value {
    let mut ring: Value = serde_json::from_str(RING).expect("deploy/sources/ring.json");
    ring["secrets"] = json!(secrets);
    ring
}

fn now() -> i64 {
    Timestamp::now().unix_seconds()
}

fn delivery(recorded: &str) -> String {
    recorded.replace("@NOW@", &Timestamp::now().to_string())
}

fn signature(secret: &str, time: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("key");
    mac.update(format!("{time}.{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

async fn deliver(client: &Client, secret: &str, time: i64, body: &str) -> Answer {
    let request = client.request("POST", "/v1/sources/ring/events").header("content-type", "application/json");
    let request = request.header("x-ring-timestamp", time).header("x-ring-signature", signature(secret, time, body));
    send(request.body(body.to_owned())).await.expect("answer")
}

async fn put(operator: &Client, name: &str, if_match: Option<&str>, body: &Value) -> Answer {
    let request =
        operator.request("PUT", &format!("/v1/admin/sources/{name}")).header("content-type", "application/json");
    let request = if let Some(tag) = if_match { request.header("if-match", tag) } else { request };
    send(request.body(body.to_string())).await.expect("answer")
}

async fn start() -> TestApp {
    start_with(|_| {}).await
}

async fn start_with(adjust: impl FnOnce(&mut Config)) -> TestApp {
    TestApp::start_with(Roles::ALL, |config| {
        adjust(config);
        config.operators.seal_key = Some(weir::config::Secret::new("a seal key of the test, 32 letters long"));
    })
    .await
}

fn operator(app: &TestApp) -> Client {
    app.client_with(Some(operator_token("ops", "sources:admin")))
}

#[tokio::test]
async fn a_signed_delivery_is_stored_once_in_the_account_of_its_source() {
    let app = start().await;
    let (operator, provider) = (operator(&app), app.client_with(None));
    put(&operator, "ring", None, &ring(&[SECRET])).await.expect(201);
    let body = delivery(TWO);
    let time = now();
    let taken = eventually("the source to be known", || async {
        let answer = deliver(&provider, SECRET, time, &body).await;
        (![401, 503].contains(&answer.status)).then_some(answer)
    })
    .await
    .expect(202);
    assert_eq!(taken.body["results"][0]["event_id"], "7301845569912348672");
    // The same delivery inside the replay window is the same events.
    deliver(&provider, SECRET, time, &body).await.expect(202);
    eventually("both events to be stored", || async {
        (app.sql("select count(*) from events").await == "2").then_some(())
    })
    .await;
    let row = "select account_id, event_name, user_id, channel, source, value, metadata->>'person_detected' from events \
               order by event_id limit 1";
    assert_eq!(app.sql(row).await, "acme|motion|412398765|api|ring|87|true");

    let refused = deliver(&provider, SECRET, now(), &delivery(NO_DEVICE)).await.expect(400);
    assert_eq!(refused.body["results"][0]["errors"][0]["pointer"], "/user_id");
    let refused = deliver(&provider, SECRET, now(), "{}").await.expect(400);
    assert_eq!((&refused.body["code"], &refused.body["errors"][0]["pointer"]), (&json!("malformed"), &json!("/data")));

    for (what, secret, time, body) in [
        ("another secret", NEXT_SECRET, now(), &body),
        ("a time before the window", SECRET, now() - 301, &body),
        ("a time after the window", SECRET, now() + 302, &body),
    ] {
        let refused = deliver(&provider, secret, time, body).await;
        assert_eq!((refused.status, &refused.body["code"]), (401, &json!("unauthorized")), "{what}");
        assert_eq!(refused.header("www-authenticate"), Some("Signature realm=\"weir\""));
    }
    let unsigned = provider.post("/v1/sources/ring/events", &json!({})).await.expect(401);
    let unknown = provider.post("/v1/sources/other/events", &json!({})).await.expect(401);
    assert_eq!(unsigned.body["detail"], unknown.body["detail"], "nobody learns which sources there are");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_charged_to_the_account_of_its_source() {
    let app = start_with(|config| {
        config.limit.limit_sustained = 5;
        config.limit.limit_charge_ms = 1_000;
    })
    .await;
    let (operator, provider, acme) = (operator(&app), app.client_with(None), app.client("acme"));
    put(&operator, "ring", None, &ring(&[SECRET])).await.expect(201);
    // Two events each; a delivery whose signature is not good costs nobody anything.
    let body = delivery(TWO);
    eventually("the source to be known", || async {
        (deliver(&provider, SECRET, now(), &body).await.status == 202).then_some(())
    })
    .await;
    for _ in 0..5 {
        deliver(&provider, NEXT_SECRET, now(), &body).await.expect(401);
    }
    deliver(&provider, SECRET, now(), &body).await.expect(202);
    let used = async || acme.get("/v1/limits").await.expect(200).body["policies"][0]["used"].clone();
    assert_eq!(used().await, 4);
    let partly = deliver(&provider, SECRET, now(), &body).await.expect(207);
    assert_eq!(partly.body["results"][1]["code"], "sustained");
    let refused = deliver(&provider, SECRET, now(), &body).await.expect(429);
    assert_eq!(refused.body["violated-policies"], json!(["sustained"]));
    let wait: u64 = refused.header("retry-after").expect("told").parse().expect("seconds");
    assert!((1..=61).contains(&wait), "{wait}");
    assert!(refused.header("ratelimit").is_some_and(|told| told.starts_with("\"sustained\";r=0")));
    // The account's own events are under the same limit; others are not.
    let event = json!({"event_name": "n", "user_id": "u"});
    acme.post("/v1/events", &event).await.expect(429);
    app.client("other").post("/v1/events", &event).await.expect(202);
    app.finish().await;
}

#[tokio::test]
async fn operators_keep_sources_and_tenants_do_not() {
    let app = start().await;
    let operator = operator(&app);
    for (token, detail) in [
        (crate::harness::token("acme", "sources:admin"), "role"),
        (operator_token("ops", "quotas:admin"), "sources:admin"),
    ] {
        let refused = app.client_with(Some(token)).get("/v1/admin/sources").await.expect(403);
        assert!(refused.body["detail"].as_str().expect("detail").contains(detail), "{}", refused.text);
    }
    let created = put(&operator, "ring", None, &ring(&[SECRET])).await.expect(201);
    let tag = created.header("etag").expect("ETag").to_owned();
    put(&operator, "ring", None, &ring(&[SECRET])).await.expect(428);
    let moved = put(&operator, "ring", Some("\"1000\""), &ring(&[SECRET])).await.expect(412);
    assert_eq!(moved.header("etag"), Some(&*tag), "the answer says what is there");
    put(&operator, "other", Some(&tag), &ring(&[SECRET])).await.expect(412);

    let read = operator.get("/v1/admin/sources/ring").await.expect(200);
    assert_eq!(read.header("etag"), Some(&*tag));
    let list = operator.get("/v1/admin/sources").await.expect(200);
    assert_eq!((&list.body["data"][0], &list.body["next_cursor"]), (&read.body, &Value::Null));
    assert_eq!(read.body["secret_count"], 1);
    for answer in [&created, &read, &list] {
        assert!(!answer.text.contains(SECRET), "{}", answer.text);
    }
    let kept = app.sql("select encode(sealed[1], 'escape') from operator_documents").await;
    assert!(!kept.is_empty() && !kept.contains(SECRET), "the secret lies open in the database");
    assert_eq!(app.sql("select count(*) from audit where coalesce(before::text, '') || coalesce(after::text, '') like '%secret-of%'").await, "0");

    let mut broken = ring(&["short"]);
    broken["fields"]["user_id"] = json!({});
    broken["fields"]["colour"] = json!({"constant": 1});
    let refused = put(&operator, "broken", None, &broken).await.expect(400);
    let pointers: Vec<&str> = refused.body["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .filter_map(|fault| fault["pointer"].as_str())
        .collect();
    assert_eq!(pointers, ["/fields", "/fields/user_id"]);
    put(&operator, "broken", None, &ring(&["short"])).await.expect(400);
    put(&operator, "Bad%20name", None, &ring(&[SECRET])).await.expect(400);
    let mut unknown = ring(&[SECRET]);
    unknown["is_admin"] = json!(true);
    put(&operator, "ring", Some(&tag), &unknown).await.expect(400);

    let remove = |tag: &str| operator.request("DELETE", "/v1/admin/sources/ring?reason=gone").header("if-match", tag);
    send(operator.request("DELETE", "/v1/admin/sources/ring?reason=gone")).await.expect("answer").expect(428);
    send(remove("\"1\"x")).await.expect("answer").expect(412);
    send(remove(&tag)).await.expect("answer").expect(204);
    operator.get("/v1/admin/sources/ring").await.expect(404);
    let audit = app.sql("select action, actor, subject, reason from audit order by audit_id").await;
    assert_eq!(audit, "create|ops|source:ring|doorbells and cameras of the account\nremove|ops|source:ring|gone");
    app.finish().await;
}

#[tokio::test]
async fn a_change_reaches_every_instance_within_two_seconds() {
    let app = start().await;
    let (operator, here) = (operator(&app), app.client_with(None));
    let other = App::start(app.config().clone(), Roles::API).await.expect("a second instance");
    let there = Client::new(format!("http://{}", other.public_address().expect("an API")), None);
    let tag = put(&operator, "ring", None, &ring(&[SECRET])).await.expect(201).header("etag").expect("ETag").to_owned();
    // What the deadline of the promise leaves for a slow machine is in the waiting of `eventually`; the promise itself is the poll.
    assert!(app.config().operators.poll() <= Duration::from_secs(1));
    let changed = Instant::now();
    for (secrets, refused, taken) in
        [(&[SECRET, NEXT_SECRET][..], None, &[SECRET, NEXT_SECRET][..]), (&[NEXT_SECRET], Some(SECRET), &[NEXT_SECRET])]
    {
        let current =
            operator.get("/v1/admin/sources/ring").await.expect(200).header("etag").unwrap_or(&tag).to_owned();
        put(&operator, "ring", Some(&current), &ring(secrets)).await.expect(200);
        for client in [&here, &there] {
            eventually("the change to be seen", || async {
                let body = delivery(TWO);
                for secret in taken {
                    if deliver(client, secret, now(), &body).await.status != 202 {
                        return None;
                    }
                }
                match refused {
                    Some(secret) if deliver(client, secret, now(), &body).await.status != 401 => None,
                    _ => Some(()),
                }
            })
            .await;
        }
    }
    println!("two changes were seen by two instances within {:?}", changed.elapsed());
    other.stop().await.expect("stops");
    app.finish().await;
}
