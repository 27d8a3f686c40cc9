//! Reports of a history that was written by hand: June 2026, 100 posts a minute, two outages, one noisy account. Every expected
//! number is computed in a comment.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use weir::app::Roles;

use crate::harness::{Answer, Client, TestApp, operator_token, send, signing_key, token};
use crate::quotas;

/// Minutes of June with their heartbeats; from 12:00 on the 10th half an hour fails, from 03:00 on the 20th twelve minutes are
/// silent, from 10:00 on the 5th an hour brings 5,000 mistakes of one account a minute. Of 100 good answers 95 take up to
/// 50 ms, 4 up to 500 ms, 1 longer.
const MINUTES: &str = "
    insert into sli_heartbeats
    select minute from generate_series('2026-06-01Z'::timestamptz, '2026-06-30 23:59Z', '1 minute') as minute
     where not (minute >= '2026-06-20 03:00Z' and minute < '2026-06-20 03:12Z');
    insert into sli_minutes
    select minute, 'postEvent', good, 100 - good,
           case when minute >= '2026-06-05 10:00Z' and minute < '2026-06-05 11:00Z' then 5000 else 0 end,
           0, 0, good * 95 / 100, 0, 0, good * 4 / 100, good / 100, 0, 0, 0, 0
      from (select minute, case when minute >= '2026-06-10 12:00Z' and minute < '2026-06-10 12:30Z' then 0 else 100 end as good
              from sli_heartbeats) as served";

/// The noisy account: 10 of the posts of each minute, and all of the mistakes.
const HOURS: &str = "
    insert into sli_hours
    select 'noisy', date_trunc('hour', minute), 'postEvent', sum(good) / 10, sum(bad) / 10, sum(client),
           0, 0, sum(good) / 10, 0, 0, 0, 0, 0, 0, 0, 0
      from sli_minutes group by 2";

const REPORT: &str = "/v1/admin/slo/report?period=monthly&at=2026-06-15T00:00:00Z";

async fn seeded() -> TestApp {
    let app = TestApp::start_with(Roles::API, |config| {
        config.slo.slo_record = false;
        config.slo.slo_signing_key_file = Some(signing_key());
        config.slo.status_page = true;
    })
    .await;
    app.sql(MINUTES).await;
    app.sql(HOURS).await;
    app
}

fn operator(app: &TestApp) -> Client {
    app.client_with(Some(operator_token("operations", "slo:read")))
}

async fn in_form(client: &Client, path: &str, accept: &str) -> Answer {
    send(client.request("GET", path).header("accept", accept)).await.expect("answer")
}

fn objective<'a>(report: &'a Value, name: &str) -> &'a Value {
    let all = report["objectives"].as_array().expect("objectives");
    all.iter().find(|one| one["name"] == name).expect(name)
}

#[tokio::test]
async fn a_month_with_two_outages_is_what_was_computed_by_hand() {
    let app = seeded().await;
    let incident = json!({
        "title": "Brokers lost power", "started_at": "2026-06-10T12:00:00Z", "ended_at": "2026-06-10T12:30:00Z",
        "impact": "Events were refused.", "root_cause": "one power supply for all brokers", "public": true,
    });
    operator(&app).post("/v1/admin/incidents", &incident).await.expect(201);
    let report = operator(&app).get(REPORT).await.expect(200).body;

    // 43,200 minutes less 30 and 12 are 43,158 good ones of 100; 30 bad ones; 12 silent ones at the mean of 100.
    let ingest = objective(&report, "ingest-availability");
    let (good, total, bad) = (43_158 * 100, 43_200 * 100, 30 * 100 + 12 * 100);
    assert_eq!(good + bad, total);
    assert_eq!((&ingest["total"], &ingest["bad"], &ingest["lost"]), (&json!(total), &json!(bad), &json!(1_200)));
    // 4,315,800 / 4,320,000 = 99.902777… %; 4,200 of the 4,320 that may fail = 97.2222… %.
    assert_eq!(ingest["actual_percent"], 99.9028);
    let budget = &ingest["budget"];
    assert_eq!(
        (&budget["allowed"], &budget["used_percent"], &budget["left_percent"]),
        (&json!(4320.0), &json!(97.2222), &json!(2.7778))
    );
    assert_eq!(
        (&budget["burn_rate"], &budget["band"], &budget["ends_at"]),
        (&json!(0.9722), &json!("calm"), &Value::Null)
    );
    assert_eq!(
        (&ingest["status"], &ingest["client"]),
        (&json!("at_risk"), &json!(300_000)),
        "mistakes count neither way"
    );
    days(ingest);
    let trend: Vec<_> =
        ingest["trend"].as_array().expect("trend").iter().map(|one| one["actual_percent"].clone()).collect();
    assert_eq!(trend, [Value::Null, Value::Null, Value::Null, json!(99.9028)]);

    // One of a hundred good answers is late: the promise of 99 % is kept to the last one. Lines inside the bins: half of all lies
    // at 50 / 95 of the bin from 25 to 50 ms = 38.1578… ms, 95 of 100 at its end, 99 of 100 at the end of the bin to 500 ms.
    let latency = objective(&report, "ingest-latency");
    assert_eq!(
        (&latency["bad"], &latency["actual_percent"], &latency["status"]),
        (&json!(43_158), &json!(99.0), &json!("at_risk"))
    );
    assert_eq!(latency["latency_ms"], json!({"p50": 38.1579, "p95": 50.0, "p99": 500.0}));
    assert_eq!(objective(&report, "summary-availability")["status"], "no_data");
    assert_eq!(report["silent_minutes"], 12);
    let summary = "Every promise was kept. At risk: “Events are taken”, “Events are taken within half a second”, \
                   “Every request is answered”. The whole service was silent for 12 min.";
    assert_eq!(report["summary"], summary);
    // The account has a tenth of the posts and all of the mistakes.
    assert_eq!(
        report["accounts"],
        json!([
            {"account_id": "noisy", "total": 431_880, "bad": 300, "client": 300_000, "actual_percent": 99.9305},
        ])
    );

    app.finish().await;
}

/// Each day by itself, and the two that fell short.
fn days(ingest: &Value) {
    // Half an hour of a day: 3,000 of 144,000 are 97.9166… %; twelve minutes: 1,200 of 144,000 are 99.1666… %.
    assert_eq!(
        ingest["daily"][9],
        json!({"day": "2026-06-10", "actual_percent": 97.9167, "total": 144_000, "bad": 3_000})
    );
    assert_eq!(
        ingest["daily"][19],
        json!({"day": "2026-06-20", "actual_percent": 99.1667, "total": 144_000, "bad": 1_200})
    );
    assert_eq!(
        ingest["breaches"],
        json!([
            {"from": "2026-06-10", "to": "2026-06-10", "actual_percent": 97.9167, "bad": 3_000,
             "root_causes": ["Brokers lost power: one power supply for all brokers"]},
            {"from": "2026-06-20", "to": "2026-06-20", "actual_percent": 99.1667, "bad": 1_200, "root_causes": []},
        ])
    );
}

#[tokio::test]
async fn the_same_numbers_come_as_a_table_and_as_a_page() {
    let app = seeded().await;
    let csv = in_form(&operator(&app), REPORT, "text/csv").await.expect(200).text;
    let line = "monthly,2026-06-01T00:00:00Z,2026-07-01T00:00:00Z,,ingest-availability,Events are taken,99.9,99.9028,at_risk,\
                4320000,4200,1200,300000,97.2222,2.7778,0.9722,38.1579,50,500";
    assert_eq!(csv.lines().nth(1), Some(line));
    let page = in_form(&operator(&app), REPORT, "text/html").await.expect(200);
    assert!(page.text.contains("99.902 %"));
    assert!(!page.text.contains("<script") && page.header("content-security-policy").is_some());
    in_form(&operator(&app), REPORT, "image/png").await.expect(406);
    app.finish().await;
}

#[tokio::test]
async fn an_account_reads_its_own_and_nothing_else() {
    let app = seeded().await;
    let path = "/v1/slo?period=monthly&at=2026-06-15T00:00:00Z";
    let own = app.client("noisy").get(path).await.expect(200).body;
    // 718 whole hours of 600, one of 300 good and 300 bad, one of 480; twelve silent minutes at the mean of 10.
    let ingest = objective(&own, "ingest-availability");
    assert_eq!((&ingest["total"], &ingest["bad"], &ingest["lost"]), (&json!(432_000), &json!(420), &json!(120)));
    assert_eq!((&ingest["actual_percent"], &ingest["client"]), (&json!(99.9028), &json!(300_000)));
    assert_eq!((&own["account_id"], &own["audience"], own.get("accounts")), (&json!("noisy"), &json!("account"), None));

    let other = app.client("other").get(path).await.expect(200).body;
    assert_eq!(objective(&other, "ingest-availability")["status"], "no_data");
    for path in [REPORT, "/v1/admin/incidents", "/v1/admin/incidents/x"] {
        app.client("noisy").get(path).await.expect(403);
    }
    app.client_with(Some(token("noisy", "events:read"))).get("/v1/slo").await.expect(403);
    app.client_with(Some(operator_token("operations", "events:read"))).get(REPORT).await.expect(403);
    let seen = operator(&app).get(&format!("{REPORT}&audience=account&account_id=noisy")).await.expect(200).body;
    assert_eq!(seen["objectives"], own["objectives"], "the operator sees what the account sees");
    operator(&app).get(&format!("{REPORT}&audience=account")).await.expect(400);
    let executive = operator(&app).get(&format!("{REPORT}&audience=executive")).await.expect(200).body;
    assert!(executive.get("accounts").is_none() && executive.get("operations").is_none());
    app.finish().await;
}

#[tokio::test]
async fn an_account_is_told_when_its_month_is_used_up() {
    let app = TestApp::start_with(Roles::API, |config| config.slo.slo_record = false).await;
    let acme = app.client("acme");
    let monthly = async |client: &Client, path: &str| {
        client.get(path).await.expect(200).body.get("monthly_quota").cloned().unwrap_or_default()
    };
    assert_eq!(monthly(&acme, "/v1/slo").await, Value::Null, "no quota, no forecast");
    quotas::set(&quotas::operator(&app), "acme", json!({"monthly": {"limit": 1_000_000}})).await;
    quotas::held_to(&acme, "monthly", 1_000_000).await;
    let calm = monthly(&acme, "/v1/slo").await;
    assert_eq!((&calm["limit"], &calm["used"], &calm["per_day"]), (&json!(1_000_000), &json!(0), &json!(0)));
    assert_eq!(
        (&calm["reached_at"], &calm["forecast"]),
        (&Value::Null, &json!("At this pace the cap is not reached before the month ends."))
    );

    // So many in the last day that the cap is a second away.
    app.sql("insert into sli_hours select 'acme', date_trunc('hour', now()), 'visibility', 1000000000000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0").await;
    let pressed = monthly(&acme, "/v1/slo").await;
    let forecast = pressed["forecast"].as_str().expect("a sentence");
    assert!(forecast.starts_with("At this pace the cap is reached on ") && forecast.ends_with(" UTC."), "{forecast}");
    assert!(pressed["reached_at"].as_str() < pressed["resets_at"].as_str());
    let page = in_form(&acme, "/v1/slo", "text/html").await.expect(200).text;
    assert!(page.contains("Events of this month") && page.contains("At this pace the cap is reached on "));
    let seen = monthly(&operator(&app), "/v1/admin/slo/report?audience=account&account_id=acme").await;
    assert_eq!(seen["limit"], 1_000_000, "the operator sees what the account sees");
    assert_eq!(monthly(&operator(&app), "/v1/admin/slo/report").await, Value::Null);
    app.finish().await;
}

#[tokio::test]
async fn a_report_can_be_checked_by_whoever_was_handed_it() {
    let app = seeded().await;
    let report = operator(&app).get(REPORT).await.expect(200);
    let keys = app.client_with(None).get("/v1/slo/keys").await.expect(200).body;
    let key = URL_SAFE_NO_PAD.decode(keys["keys"][0]["x"].as_str().expect("key")).expect("base64");
    let (header, signature) =
        report.header("weir-signature").and_then(|text| text.split_once("..")).expect("signature");
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(&report.text));
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
    UnparsedPublicKey::new(&ED25519, key).verify(message.as_bytes(), &signature).expect("genuine");

    let page = in_form(&app.client_with(None), "/status", "*/*").await.expect(200);
    assert!(
        page.header("content-type").is_some_and(|kind| kind.starts_with("text/html"))
            && page.text.contains("Service status")
    );
    app.finish().await;
}

#[tokio::test]
async fn incidents_are_changed_by_whoever_has_seen_them() {
    let app = seeded().await;
    let operator = operator(&app);
    let draft = json!({"title": "Slow disks", "started_at": "2026-06-12T08:00:00Z", "impact": "Late answers."});
    let made = operator.post("/v1/admin/incidents", &draft).await.expect(201);
    let path = format!("/v1/admin/incidents/{}", made.body["incident_id"].as_str().expect("id"));
    let put = async |tag: Option<&str>, body: &Value| {
        let request = operator.request("PUT", &path).header("content-type", "application/json").body(body.to_string());
        let request = if let Some(tag) = tag { request.header("if-match", tag) } else { request };
        send(request).await.expect("answer")
    };
    let ended = json!({"title": "Slow disks", "started_at": "2026-06-12T08:00:00Z", "ended_at": "2026-06-12T09:00:00Z",
                       "impact": "Late answers.", "root_cause": "a scrub at noon"});
    put(None, &ended).await.expect(428);
    let changed = put(made.header("etag"), &ended).await.expect(200);
    assert_eq!(changed.header("etag"), Some("\"2\""));
    put(made.header("etag"), &ended).await.expect(412);
    let early =
        json!({"title": "x", "started_at": "2026-06-12T08:00:00Z", "ended_at": "2026-06-12T07:00:00Z", "impact": "y"});
    assert_eq!(put(Some("\"2\""), &early).await.expect(400).body["errors"][0]["pointer"], "/ended_at");
    assert_eq!(operator.get(&path).await.expect(200).body["root_cause"], "a scrub at noon");
    let listed =
        operator.get("/v1/admin/incidents?from=2026-06-01T00:00:00Z&to=2026-06-30T00:00:00Z").await.expect(200);
    assert_eq!(listed.body["data"].as_array().map(Vec::len), Some(1));
    operator.get("/v1/admin/incidents/none").await.expect(404);
    app.finish().await;
}
