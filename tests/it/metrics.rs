//! What a scrape shows: every metric that is documented, no other, and no more series than it may have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use weir::app::Roles;

use crate::harness::{Client, TestApp, eventually, token};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
const STRANGERS: usize = 100_000;

/// Accounts whose events are refused.
const ACCOUNTS: usize = 5_000;

/// Accounts whose events are stored.
const STORED: usize = 100;

/// Strangers of one connection or batch.
const PART: usize = 1_000;

/// Connections at a time.
const LANES: usize = 8;

/// Above whatever is sent here.
const UNLIMITED: i64 = 1 << 40;

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

/// Requests of one connection, sent without waiting for their answers; the last one closes it.
async fn pipelined(peer: SocketAddr, requests: Vec<u8>) -> String {
    let (mut answers, mut asks) = TcpStream::connect(peer).await.expect("connection").into_split();
    let mut text = Vec::new();
    // Whoever does not read meanwhile is not read from either.
    let (sent, read) = tokio::join!(asks.write_all(&requests), answers.read_to_end(&mut text));
    sent.and(read.map(drop)).expect("answers");
    String::from_utf8(text).expect("UTF-8")
}

/// Sends the requests of that many strangers, a part of them on each connection, and checks their answers.
async fn strangers(peer: SocketAddr, count: usize, status: &'static str, request: fn(usize, &str) -> String) {
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        lanes.spawn(async move {
            for first in (0..count).step_by(PART).skip(lane).step_by(LANES) {
                let last = first + PART - 1;
                let connection = |i| if i == last { "close" } else { "keep-alive" };
                let requests: String = (first..=last).map(|i| request(i, connection(i))).collect();
                let answers = pipelined(peer, requests.into_bytes()).await;
                let found = answers.matches(&format!("HTTP/1.1 {status}")).count();
                assert_eq!(found, PART, "from {first} on: {:.1000}", answers);
            }
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane.expect("a lane");
    }
}

fn path(i: usize, connection: &str) -> String {
    let method = ["GET", "POST", "DELETE", "BREW"][i % 4];
    format!("{method} /v1/no/{i} HTTP/1.1\r\nhost: weir\r\ncontent-length: 0\r\nconnection: {connection}\r\n\r\n")
}

/// An event that is refused: it counts for its account and costs no broker anything.
fn refused(i: usize, connection: &str) -> String {
    let token = token(&format!("stranger-{i}"), "events:write");
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: 2\r\nconnection: {connection}\r\n\r\n{{}}"
    )
}

/// Whatever could become a label by mistake: 100,000 paths and event names, and accounts by the thousand (100,000 of them file
/// events in `ingest::metrics` and levels of service in `telemetry::sli`, without a token for each).
async fn load(app: &TestApp) {
    let peer = app.url().trim_start_matches("http://").parse().expect("address");
    strangers(peer, STRANGERS, "4", path).await;
    strangers(peer, ACCOUNTS, "400 ", refused).await;
    let acme = app.client("acme");
    for first in (0..STRANGERS).step_by(PART) {
        let event = |i| json!({"event_name": format!("name-{i}"), "user_id": format!("u{}", i % 100)});
        let events: Vec<_> = (first..first + PART).map(event).collect();
        acme.post("/v1/events/batch", &json!({ "events": events })).await.expect(202);
    }
    for i in 0..STORED {
        let account = app.client_with(Some(token(&format!("storing-{i}"), "events:write")));
        account.post("/v1/events", &json!({"event_name": "view", "user_id": "u", "event_id": "one"})).await.expect(202);
    }
    acme.get("/v1/accounts/acme/summary").await.expect(200);
    let stored = (STRANGERS + STORED).to_string();
    eventually("every event to be stored", || async {
        (app.sql("select count(*) from events").await == stored).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_shows_what_is_documented_and_stays_small() {
    let app = TestApp::start_with(Roles::ALL, |config| {
        (config.limit.limit_sustained, config.limit.limit_burst) = (UNLIMITED, UNLIMITED);
        (config.limit.limit_bytes, config.limit.limit_per_ip) = (UNLIMITED, u32::MAX);
    })
    .await;
    load(&app).await;
    let management = Client::new(app.management_url(), None);
    let documented = documented();
    // The lag is told every five seconds.
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
