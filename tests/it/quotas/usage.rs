//! What accounts use, from the door of two instances to the minutes of 30 days, and quotas tried on it.

use serde_json::{Value, json};
use weir::app::{App, Roles};
use weir::config::Config;

use super::{event, held_to, operator, path, set};
use crate::harness::{Client, TestApp, eventually, operator_token, token};

fn quick(config: &mut Config) {
    config.limit.limit_charge_ms = 1_000;
    config.limit.usage_tell_ms = 100;
    config.limit.usage_roll_up_ms = 200;
}

fn batch(events: usize) -> Value {
    json!({"events": vec![event(); events]})
}

fn sum(stretches: &Value, what: &str) -> i64 {
    stretches["data"].as_array().expect("data").iter().map(|stretch| stretch[what].as_i64().expect("number")).sum()
}

/// Waits until the minutes tell so many events, and answers them.
async fn told(ops: &Client, account: &str, offered: i64) -> Value {
    eventually("the minutes to be whole", || async {
        let usage = ops.get(&path(account, "usage")).await.expect(200).body;
        (sum(&usage, "offered") == offered).then_some(usage)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn use_of_all_instances_adds_up_by_second_and_by_minute() {
    let app = TestApp::start_with(Roles::API, quick).await;
    let other = App::start(app.config().clone(), Roles::API).await.expect("a second instance");
    let there = format!("http://{}", other.public_address().expect("a listener"));
    let there = Client::new(there, Some(token("acme", "events:write")));
    let (ops, acme) = (operator(&app), app.client("acme"));
    set(&ops, "acme", json!({"sustained": {"limit": 20}})).await;
    held_to(&acme, "sustained", 20).await;
    held_to(&there, "sustained", 20).await;
    // An event that breaks a rule costs its bytes only.
    acme.post("/v1/events", &json!({"event_name": ""})).await.expect(400);
    acme.post("/v1/events/batch", &batch(8)).await.expect(202);
    there.post("/v1/events/batch", &batch(7)).await.expect(202);
    let partial = acme.post("/v1/events/batch", &batch(10)).await.expect(207);
    let taken = partial.body["accepted"].as_i64().expect("number") + 15;
    // Of these the door only knows that each was a request.
    acme.post("/v1/events", &event()).await.expect(429);
    app.client("other").post("/v1/events/batch", &batch(3)).await.expect(202);

    let minutes = told(&ops, "acme", 26).await;
    assert_eq!((sum(&minutes, "accepted"), sum(&minutes, "refused")), (taken, 26 - taken));
    assert!(sum(&minutes, "bytes") > 26 * 10 && sum(&minutes, "peak_events") <= 26);
    let seconds = ops.get(&format!("{}?resolution=second", path("acme", "usage"))).await.expect(200).body;
    assert_eq!([sum(&seconds, "offered"), sum(&seconds, "accepted")], [26, taken]);
    told(&ops, "other", 3).await;
    // Rolling up the same again counts nothing twice.
    assert_eq!(app.sql("select sum(offered) from usage_minutes").await, "29");

    let day = format!("{}?from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z", path("acme", "usage"));
    assert_eq!(ops.get(&day).await.expect(200).body["data"], json!([]));
    for client in [&acme, &app.client_with(Some(operator_token("ops", "slo:read"))), &there] {
        client.get(&path("acme", "usage")).await.expect(403);
        client.post(&path("acme", "simulate"), &json!({"quota": {}})).await.expect(403);
    }
    other.stop().await.expect("stops");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn minutes_are_paged_and_go_after_their_days() {
    let app = TestApp::start_with(Roles::API, quick).await;
    let ops = operator(&app);
    app.sql(
        "insert into usage_minutes (account_id, minute, offered, accepted, refused, bytes, peak_events, peak_second)
         select 'acme', date_trunc('minute', now()) - n * interval '1 minute', n, n, 0, 0, n, 5 from generate_series(1, 10) n
         union all select 'acme', date_trunc('minute', now()) - interval '31 days', 1, 1, 0, 0, 1, 1",
    )
    .await;
    let first = ops.get(&format!("{}?limit=4", path("acme", "usage"))).await.expect(200).body;
    assert_eq!((first["data"].as_array().map(Vec::len), &first["data"][0]["offered"]), (Some(4), &json!(10)));
    let from = first["next_from"].as_str().expect("more");
    let rest = ops.get(&format!("{}?limit=10&from={from}", path("acme", "usage"))).await.expect(200).body;
    assert_eq!((rest["data"].as_array().map(Vec::len), &rest["next_from"]), (Some(6), &Value::Null));
    eventually("the old minute to go", || async {
        (app.sql("select count(*) from usage_minutes").await == "10").then_some(())
    })
    .await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_says_what_the_limiter_then_does() {
    let app = TestApp::start_with(Roles::API, quick).await;
    let ops = operator(&app);
    let (before, after) = (app.client("before"), app.client("after"));
    let trace = [9, 4, 12, 6];
    for events in trace {
        before.post("/v1/events/batch", &batch(events)).await.expect(202);
    }
    told(&ops, "before", 31).await;
    let trial =
        async |quota: Value| ops.post(&path("before", "simulate"), &json!({"quota": quota})).await.expect(200).body;
    let proposed = json!({"sustained": {"limit": 20}});
    let tried = trial(proposed.clone()).await;
    assert_eq!([&tried["offered"], &tried["refused_then"]], [&json!(31), &json!(0)]);
    assert_eq!(tried["policies"][0]["policy"], "sustained");
    assert!(tried["notes"].to_string().contains("burst is an estimate"));

    set(&ops, "after", proposed).await;
    held_to(&after, "sustained", 20).await;
    let mut refused = 0;
    for events in trace {
        let answer = after.post("/v1/events/batch", &batch(events)).await;
        refused += match answer.status {
            202 => 0,
            207 => answer.body["refused"].as_u64().expect("number"),
            _ => u64::try_from(events).expect("few"),
        };
    }
    assert_eq!(tried["refused"], refused, "{tried}");
    // Nothing was changed by trying.
    assert_eq!(ops.get(&path("before", "quota")).await.expect(200).body["stored"], json!({}));

    assert_eq!(trial(json!({})).await["refused"], 0);
    assert_eq!(trial(json!({"sustained": {"limit": 20, "mode": "shadow"}})).await["refused"], 0);
    assert_eq!(trial(json!({"monthly": {"limit": 30}})).await["policies"][0]["refused"], 1);
    let blocked = trial(json!({"burst": {"limit": 0}})).await;
    assert_eq!([&blocked["refused"], &blocked["policies"][0]["estimate"]], [&json!(31), &json!(true)]);
    for quota in [
        json!({"weight": 0}),
        json!({"weight": null}),
        json!([null, null]),
        json!([]),
        json!({"burst": [5, "enforce"]}),
    ] {
        ops.post(&path("before", "simulate"), &json!({"quota": quota})).await.expect(400);
    }
    for days in [0, 8] {
        ops.post(&path("before", "simulate"), &json!({"quota": {}, "days": days})).await.expect(400);
    }
    app.finish().await;
}
