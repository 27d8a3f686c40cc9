//! Log lines of the real binary: one a request, with nothing in them that must not be there, and nobody who waits for them.

use std::io::Read;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use weir::app::Roles;

use crate::harness::{Client, TestApp, eventually, free_port, terminate, token};

const HS256_SECRET: &str = "a-shared-secret-of-more-than-32-bytes-0123456789";
const PASSWORD: &str = "pass-word-of-the-database";
const PAYLOAD: &str = "what-a-tenant-wrote";

async fn serving(port: u16) -> Client {
    let client = Client::new(format!("http://127.0.0.1:{port}"), None);
    eventually("the process to serve", || async {
        client.try_get("/health").await.filter(|answer| answer.status == 200)
    })
    .await;
    client
}

async fn ended(mut child: Child) {
    terminate(&child);
    eventually("the process to end", || {
        let status = child.try_wait().expect("wait");
        async move { status }
    })
    .await;
}

/// The URL with a password, and which: where logins need none, one that nobody asks for.
fn with_password(url: &str) -> (String, String) {
    let (user, server) = url.strip_prefix("postgres://").and_then(|rest| rest.split_once('@')).expect("a login");
    let (name, password) = user.split_once(':').unwrap_or((user, PASSWORD));
    (format!("postgres://{name}:{password}@{server}"), password.to_owned())
}

/// All sorts of requests, also those that carry a secret where it does not belong.
async fn traffic(port: u16, good: &str) {
    let client = Client::new(format!("http://127.0.0.1:{port}"), Some(good.to_owned()));
    let event = json!({"event_name": PAYLOAD, "user_id": PAYLOAD, "metadata": {"text": PAYLOAD}});
    client.post("/v1/events", &event).await;
    client.post("/v1/events", &json!({"event_name": PAYLOAD})).await.expect(400);
    client.post_raw("/v1/events", "application/json", format!("{{\"{PAYLOAD}")).await.expect(400);
    client.get(&format!("/v1/{PAYLOAD}?access_token={good}")).await.expect(404);
    client.post_raw(&format!("/v1/beacon?access_token={good}"), "text/plain", event.to_string()).await;
    client.get("/v1/accounts/acme/summary").await;
    let stranger = Client::new(format!("http://127.0.0.1:{port}"), Some(format!("{good}x")));
    stranger.get("/v1/events").await.expect(401);
    let basic = Client::new(format!("http://127.0.0.1:{port}"), None);
    basic.request("GET", "/v1/events").basic_auth("acme", Some(good)).send().await.expect("answer");
}

#[tokio::test]
async fn a_line_a_request_and_no_secret_in_any() {
    let app = TestApp::start_with(Roles::WORKER, |_| {}).await;
    let good = token("acme", "events:write events:read metrics:read");
    let database = app.config().database.database_url.as_ref().expect("url").expose();
    let (database, password) = with_password(database);
    let mut said = String::new();
    // Once with everything there, once with nothing behind the door.
    for away in [false, true] {
        let port = free_port();
        let mut command = app.command("api", port);
        command
            .env("WEIR_LOG", "debug")
            .env("WEIR_JWT_HS256_SECRET", HS256_SECRET)
            .env("DATABASE_URL", &database)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if away {
            let nowhere = free_port();
            command
                .env("DATABASE_URL", format!("postgres://weir_api:{PASSWORD}@127.0.0.1:{nowhere}/none"))
                .env("REDIS_URL", format!("redis://:{PASSWORD}@127.0.0.1:{nowhere}"))
                .env("KAFKA_SERVER", format!("127.0.0.1:{nowhere}"));
        }
        let mut child = command.spawn().expect("weir");
        let pipes: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("pipe")), Box::new(child.stderr.take().expect("pipe"))];
        let readers = pipes.map(|mut pipe| {
            std::thread::spawn(move || {
                let mut text = String::new();
                pipe.read_to_string(&mut text).expect("text");
                text
            })
        });
        serving(port).await;
        traffic(port, &good).await;
        ended(child).await;
        said.extend(readers.map(|reader| reader.join().expect("reader")));
    }
    for secret in [good.as_str(), HS256_SECRET, PASSWORD, &password, PAYLOAD] {
        let line = said.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret:.20} is in the log: {line:?}");
    }
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let told = |level: &str, route: &str, status: u16| {
        lines.iter().find(|line| line["level"] == level && line["http.route"] == route && line["http.status"] == status)
    };
    let refused = told("INFO", "postEvent", 400).expect("a refused request");
    assert_eq!((&refused["account.id"], &refused["message"]), (&json!("acme"), &json!("request refused")));
    assert!(
        refused["request.id"].is_string() && refused["elapsed_ms"].is_f64() && refused["bytes"].as_u64() > Some(20)
    );
    assert!(told("INFO", "postEvent", 202).is_some() && told("INFO", "listEvents", 401).is_some());
    assert!(told("WARN", "postEvent", 503).is_some() && told("INFO", "unmatched", 404).is_some());
    assert!(told("INFO", "getHealth", 200).is_none(), "probes are quiet");
    app.finish().await;
}

#[tokio::test]
async fn a_stdout_that_nobody_reads_holds_up_nobody() {
    let app = TestApp::start_with(Roles::WORKER, |_| {}).await;
    let (port, management) = (free_port(), free_port());
    let mut child = app
        .command("api", port)
        .env("WEIR_MANAGEMENT_LISTEN", format!("127.0.0.1:{management}"))
        .env("WEIR_LOG", "debug")
        .stdout(Stdio::piped())
        .spawn()
        .expect("weir");
    let client = serving(port).await;
    // More lines than the pipe and the buffer behind it hold.
    let mut senders = JoinSet::new();
    for _ in 0..16 {
        let client = client.clone();
        senders.spawn(async move {
            for _ in 0..900 {
                client.get("/v1/nothing").await.expect(404);
            }
        });
    }
    senders.join_all().await;
    let scraped = Client::new(format!("http://127.0.0.1:{management}"), None).get("/metrics").await.text;
    let dropped = scraped.lines().find_map(|line| line.strip_prefix("weir_log_lines_dropped_total "));
    assert!(dropped.is_some_and(|count| count != "0"), "{dropped:?}");
    // Its last lines have no reader either: whether it ends by itself is another promise.
    child.kill().expect("kill");
    child.wait().expect("wait");
    app.finish().await;
}
