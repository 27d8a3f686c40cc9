//! What a scrape shows: every metric that is documented, no other, and no more series than it may have.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::harness::{Client, TestApp, eventually, token};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
const STRANGERS: usize = 2_000;

/// One documented metric.
struct Documented {
    kind: String,
    labels: BTreeSet<String>,
    /// `None`: one a partition.
    series: Option<usize>,
}

fn documented() -> BTreeMap<String, Documented> {
    let text = std::fs::read_to_string(DOCUMENT).expect("docs/metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{row}");
        let labels = cells[2].split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        let series = if cells[3] == "partitions" { None } else { Some(cells[3].parse().expect("a number")) };
        (cells[0].trim_matches('`').to_owned(), Documented { kind: cells[1].to_owned(), labels, series })
    })
    .collect()
}

/// What a scrape says of one metric: its type, its label names, and its label combinations.
#[derive(Default)]
struct Scraped {
    kind: String,
    labels: BTreeSet<String>,
    series: BTreeSet<String>,
}

fn scraped(text: &str) -> BTreeMap<String, Scraped> {
    let mut found: BTreeMap<String, Scraped> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            found.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if !line.starts_with('#') {
            let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a sample"));
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
                name.strip_suffix(end).filter(|family| found.get(*family).is_some_and(|one| one.kind == "histogram"))
            });
            let metric = found.get_mut(family.unwrap_or(name)).expect("a type before each sample");
            let labels = rest.strip_prefix('{').and_then(|rest| rest.rsplit_once('}')).map_or("", |(labels, _)| labels);
            let own: Vec<_> =
                labels.split("\",").filter(|label| !label.is_empty() && !label.starts_with("le=")).collect();
            metric.labels.extend(own.iter().filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned()));
            metric.series.insert(own.join(","));
        }
    }
    found
}

/// Random paths, event names and accounts: whatever could become a label by mistake.
async fn load(app: &TestApp) {
    let acme = app.client("acme");
    for i in 0..STRANGERS / 20 {
        let events: Vec<_> =
            (0..20).map(|j| json!({"event_name": format!("name-{i}-{j}"), "user_id": format!("u{j}")})).collect();
        acme.post("/v1/events/batch", &json!({ "events": events })).await.expect(202);
    }
    for i in 0..STRANGERS {
        let method = ["GET", "POST", "DELETE", "BREW"][i % 4];
        let answer = acme.request(method, &format!("/v1/no/{i}")).send().await.expect("answer");
        assert!(answer.status().is_client_error());
        let account = app.client_with(Some(token(&format!("stranger-{i}"), "events:write metrics:read")));
        account.post("/v1/events", &json!({"event_name": "view", "user_id": "u", "event_id": "one"})).await.expect(202);
    }
    acme.get("/v1/accounts/acme/summary").await.expect(200);
    let stored = (STRANGERS * 2).to_string();
    eventually("every event to be stored", || async {
        (app.sql("select count(*) from events").await == stored).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_scrape_shows_what_is_documented_and_stays_small() {
    let app = TestApp::start().await;
    load(&app).await;
    let management = Client::new(app.management_url(), None);
    let documented = documented();
    // The lag is told by librdkafka every five seconds.
    let scraped = eventually("the lag of a partition", || async {
        let scraped = scraped(&management.get("/metrics").await.expect(200).text);
        scraped.contains_key("weir_log_consumer_lag_records").then_some(scraped)
    })
    .await;

    let names = |of: Vec<&String>| of.into_iter().cloned().collect::<BTreeSet<_>>();
    let (known, shown) = (names(documented.keys().collect()), names(scraped.keys().collect()));
    let missing: Vec<_> = known.difference(&shown).collect();
    let unknown: Vec<_> = shown.difference(&known).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "not scraped: {missing:?}; not in docs/metrics.md: {unknown:?}");
    for (name, wanted) in &documented {
        let found = &scraped[name];
        assert_eq!(found.kind, wanted.kind, "{name}");
        assert_eq!(found.labels, wanted.labels, "{name}");
        let bound = wanted.series.unwrap_or(usize::MAX);
        assert!(found.series.len() <= bound, "{name} has {} series, {bound} allowed", found.series.len());
    }
    let accounts = &scraped["weir_account_events_total"].series;
    assert!(accounts.iter().any(|series| series.contains("\"other")), "{accounts:?}");
    app.finish().await;
}
