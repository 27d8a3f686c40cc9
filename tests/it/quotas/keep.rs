//! Keeping quotas: conditions, ranges, roles, the trail.

use serde_json::{Value, json};

use super::{operator, path, put, set};
use crate::harness::{TestApp, operator_token, send, token};
use weir::app::Roles;

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_changed_by_whoever_has_seen_it() {
    let app = TestApp::start_with(Roles::API, |_| {}).await;
    let ops = operator(&app);
    let fresh = ops.get(&path("acme", "quota")).await.expect(200);
    assert_eq!(fresh.header("etag"), Some("\"0\""));
    assert_eq!((&fresh.body["stored"], &fresh.body["effective"]["burst"]["limit"]), (&json!({}), &json!(4_000)));

    let unseen = put(&ops, "acme", None, json!({})).await.expect(428);
    assert_eq!(unseen.header("etag"), Some("\"0\""));
    let quota = json!({
        "sustained": {"limit": 600, "mode": "shadow"}, "burst": {"limit": 10}, "bytes": {"limit": 5_000_000, "mode": "off"},
        "concurrent": {"limit": 7}, "monthly": {"limit": 1_000_000}, "bank_minutes": 5, "weight": 3,
    });
    let first = put(&ops, "acme", Some("\"0\""), quota.clone()).await.expect(200);
    let tag = first.header("etag").expect("ETag").to_owned();
    let mut stored = quota;
    for policy in ["burst", "concurrent", "monthly"] {
        stored[policy]["mode"] = json!("enforce");
    }
    assert_eq!((&first.body["stored"], &first.body["effective"]), (&stored, &stored));
    let stale = put(&ops, "acme", Some("\"0\""), json!({})).await.expect(412);
    assert_eq!(stale.header("etag"), Some(&*tag));
    assert_eq!(ops.get(&path("acme", "quota")).await.expect(200).body["stored"], stored);

    let reset = |tag: Option<&str>| {
        let request = ops.request("DELETE", &format!("{}?reason=over", path("acme", "quota")));
        send(if let Some(tag) = tag { request.header("if-match", tag) } else { request })
    };
    reset(None).await.expect("answer").expect(428);
    reset(Some("\"0\"")).await.expect("answer").expect(412);
    let gone = reset(Some(&tag)).await.expect("answer").expect(200);
    assert_eq!((&gone.body["stored"], &gone.body["effective"]["weight"]), (&json!({}), &json!(1)));
    // A version is never given twice, so a tag from before the reset does not match after it.
    put(&ops, "acme", Some("\"0\""), json!({})).await.expect(412);

    let odd = "50%25%27off:%7Bx%7D";
    assert_eq!(set(&ops, odd, json!({"weight": 2})).await.body["account_id"], "50%'off:{x}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_out_of_range_is_named_and_nothing_is_changed() {
    let app = TestApp::start_with(Roles::API, |_| {}).await;
    let ops = operator(&app);
    for (quota, pointer) in [
        (json!({"burst": {"limit": -1}}), "/quota/burst/limit"),
        (json!({"bank_minutes": 1_441}), "/quota/bank_minutes"),
        (json!({"weight": 0}), "/quota/weight"),
        (json!({"burst": {"limit": 1, "mode": "dream"}}), ""),
        (json!({"colour": "red"}), ""),
    ] {
        let refused = put(&ops, "acme", Some("\"0\""), quota).await.expect(400);
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.text);
    }
    let reasonless = ops.request("PUT", &path("acme", "quota")).header("if-match", "\"0\"");
    let reasonless = reasonless.header("content-type", "application/json").body(r#"{"reason":" ","quota":{}}"#);
    send(reasonless).await.expect("answer").expect(400);
    for body in [
        json!({"reason": "r", "quota": {}, "ends_at": "2999-01-01T00:00:00Z"}),
        json!({"reason": "r", "quota": {"weight": 2}, "ends_at": "2001-01-01T00:00:00Z"}),
        json!({"reason": "r", "quota": {"weight": 2}, "ends_at": "soon"}),
    ] {
        ops.post(&path("acme", "overrides"), &body).await.expect(400);
    }
    ops.get(&path(&"x".repeat(129), "quota")).await.expect(400);
    assert_eq!(ops.get(&path("acme", "quota")).await.expect(200).header("etag"), Some("\"0\""));
    assert_eq!(ops.get("/v1/admin/audit").await.expect(200).body["data"], json!([]));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_operators_with_the_scope_get_in() {
    let app = TestApp::start_with(Roles::API, |_| {}).await;
    let own = path("acme", "quota");
    let paths = [own.clone(), path("acme", "overrides"), "/v1/admin/audit".to_owned()];
    for token in [
        token("acme", "quotas:admin events:read"),
        operator_token("ops", "events:read topics:admin"),
        token("acme", "events:read"),
    ] {
        let client = app.client_with(Some(token));
        for path in &paths {
            client.get(path).await.expect(403);
        }
        put(&client, "acme", Some("\"0\""), json!({"weight": 9})).await.expect(403);
        client.post(&paths[1], &json!({"reason": "r", "quota": {"weight": 2}})).await.expect(403);
        for path in [own.clone(), format!("{}/1", paths[1])] {
            send(client.request("DELETE", &format!("{path}?reason=r"))).await.expect("answer").expect(403);
        }
    }
    app.client_with(None).get(&own).await.expect(401);
    assert_eq!(app.sql("select count(*) from audit").await, "0");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_says_who_changed_what_and_why() {
    let app = TestApp::start_with(Roles::API, |_| {}).await;
    let ops = operator(&app);
    set(&ops, "acme", json!({"weight": 2})).await;
    set(&ops, "acme", json!({"weight": 3})).await;
    set(&ops, "other", json!({"weight": 4})).await;
    let made = json!({"reason": "launch", "quota": {"burst": {"limit": 9}}, "ends_at": "2027-11-01T00:00:00Z"});
    let made = ops.post(&path("acme", "overrides"), &made).await.expect(201);
    let id = &made.body["override_id"];
    assert_eq!(
        (&made.body["state"], &made.body["actor"], &made.body["reason"]),
        (&json!("active"), &json!("ops"), &json!("launch"))
    );
    let end = format!("{}/{id}?reason=done", path("acme", "overrides"));
    send(ops.request("DELETE", &end)).await.expect("answer").expect(204);
    send(ops.request("DELETE", &end)).await.expect("answer").expect(409);
    send(ops.request("DELETE", &format!("{}/999?reason=done", path("acme", "overrides"))))
        .await
        .expect("answer")
        .expect(404);
    let listed = ops.get(&path("acme", "overrides")).await.expect(200);
    assert_eq!(
        (&listed.body["data"][0]["state"], &listed.body["data"][0]["ended_by"]),
        (&json!("ended"), &json!("ops"))
    );

    let first = ops.get("/v1/admin/audit?account_id=acme&limit=3").await.expect(200);
    let cursor = first.body["next_cursor"].as_str().expect("a next page").to_owned();
    let rest = ops.get(&format!("/v1/admin/audit?account_id=acme&limit=3&cursor={cursor}")).await.expect(200);
    assert_eq!(rest.body["next_cursor"], Value::Null);
    let pages = [&first, &rest].map(|page| page.body["data"].as_array().expect("rows").clone()).concat();
    let told: Vec<_> = pages
        .iter()
        .map(|row| {
            [&row["subject"], &row["action"], &row["reason"]].map(|v| v.as_str().expect("text").to_owned()).join(" ")
        })
        .collect();
    assert_eq!(
        told,
        [
            format!("override:{id} end done"),
            format!("override:{id} create launch"),
            "quota set a test".into(),
            "quota set a test".into()
        ]
    );
    assert_eq!((&pages[2]["before"], &pages[2]["after"]), (&json!({"weight": 2}), &json!({"weight": 3})));
    assert_eq!((&pages[3]["before"], &pages[3]["actor"]), (&Value::Null, &json!("ops")));
    assert!(pages[0]["before"]["ends_at"].as_str() > pages[0]["after"]["ends_at"].as_str());
    ops.get("/v1/admin/audit?cursor=x").await.expect(400);
    app.finish().await;
}
