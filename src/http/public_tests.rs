//! The public listener over raw sockets with every system behind it away, and a log that says what the test wants.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use poem::{Body, Endpoint, Request};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::connection::Connections;
use super::door::{Threshold, Times};
use super::{Components, longest_request, public_routes, serve_management, serve_public};
use crate::auth::Auth;
use crate::auth::signing::{Claims, Signer, create_keys};
use crate::cache::Cache;
use crate::config::{Config, Secret};
use crate::domain::id::AccountId;
use crate::domain::partitioner::Topics;
use crate::domain::receipt::ReceiptSealer;
use crate::domain::routes::Routes;
use crate::domain::time::{SECOND, Timestamp};
use crate::idempotency::Repeats;
use crate::ingest::Ingest;
use crate::kafka::{Placement, Producer, Publish, PublishError, Record};
use crate::lanes::{History, Lanes};
use crate::limit::{Limiter, Quotas};
use crate::operators::Operators;
use crate::query::Queries;
use crate::sources::Sources;
use crate::store::{ApiStore, LaneStore};
use crate::stream::Streams;
use crate::telemetry::health::Health;
use crate::topics::TopicClasses;

const EVERYTHING: &str = "events:write events:read metrics:read";

/// A log that takes every record but those of user `away`.
struct Log;

impl Publish for Log {
    fn publish(&self, records: Vec<Record>, _: Instant) -> BoxFuture<'_, Vec<Result<Placement, PublishError>>> {
        let refused = |record: &Record| {
            let value = record.value.as_deref().unwrap_or_default();
            String::from_utf8_lossy(value).contains("\"user_id\":\"away\"")
        };
        let place = |(offset, record): (usize, &Record)| match refused(record) {
            true => Err(PublishError::Away),
            false => Ok(Placement { partition: 3, offset: offset as i64 }),
        };
        let results = records.iter().enumerate().map(place).collect();
        std::future::ready(results).boxed()
    }
}

struct Rig {
    public: SocketAddr,
    management: SocketAddr,
    signer: Signer,
    health: Health,
    components: Arc<Components>,
    _stop: DropGuard,
}

async fn rig() -> Rig {
    let keys = tempfile::tempdir().expect("directory");
    create_keys(keys.path()).expect("keys");
    let mut config = Config::from_env().expect("defaults");
    config.auth.jwt_jwks = Some(keys.path().join("jwks.json").display().to_string());
    config.database.database_url = Some(Secret::new("postgres://nobody@127.0.0.1:1/none"));
    config.redis.redis_url = Some(Secret::new("redis://127.0.0.1:1"));
    let signer =
        Signer::from_pem_file(&keys.path().join("signing.pem"), &config.auth.jwt_issuer, &config.auth.jwt_audience);

    let (tasks, stop, health) = (TaskTracker::new(), CancellationToken::new(), Health::default());
    let store = ApiStore::open(&config.database).expect("store");
    let cache = Cache::open(&config.redis).expect("cache");
    let receipts = ReceiptSealer::new(b"a secret of the tests");
    let producer = Producer::start(&config.kafka).expect("producer");
    let topics = Topics::new(&config.kafka.kafka_topic);
    let streams = Streams::new(&config.stream, &config.kafka, producer, topics, receipts.clone());
    let quotas = Arc::new(Quotas::new(config.limit.default_quota()));
    let components = Arc::new(Components {
        streams: Arc::new(streams),
        limiter: Limiter::start(&config.limit, None, Arc::clone(&quotas), &tasks, stop.clone()),
        fairness: fairness(&config, Arc::clone(&quotas)),
        quotas: quota_desk(&config, quotas),
        desk: desk(&config),
        status_page: true,
        sli: None,
        tracer: None,
        auth: Auth::start(&config.auth, &tasks, &stop).await.expect("auth"),
        repeats: Repeats::new(Cache::open(&config.redis).expect("cache"), longest_request(&config)),
        lanes: Lanes::unpinned(&config.lanes),
        lane_history: History::new(LaneStore::open(&config.database).expect("store")),
        ingest: Arc::new(Ingest::new(&config, Arc::new(Log))),
        operators: Operators::new(&store),
        topics: TopicClasses::start(&Operators::new(&store), &config.kafka, &config.operators, (&tasks, &stop)),
        sources: Sources::start(&Operators::new(&store), &config.operators, (&tasks, &stop)).expect("sources"),
        queries: Arc::new(Queries::new((store, cache), receipts.clone(), Routes::new("events"), &config.query)),
        receipts,
        health: health.clone(),
        config: config.http.clone(),
        caps: config.ingest.clone(),
    });
    let (public, management) = (bind().await, bind().await);
    let addresses = [&public, &management].map(|listener| listener.local_addr().expect("address"));
    tasks.spawn(serve_public(public, Arc::clone(&components), stop.clone()));
    let (managed, token) = (health.clone(), stop.clone());
    tasks.spawn(async move { serve_management(management, managed, &config.http, token).await });
    Rig {
        public: addresses[0],
        management: addresses[1],
        signer: signer.expect("signer"),
        health,
        components,
        _stop: stop.drop_guard(),
    }
}

/// Reports about nothing: nobody answers behind it.
fn desk(config: &Config) -> crate::slo::desk::Desk {
    let url = config.database.database_url.clone().expect("url");
    let store = crate::store::SliStore::open(&url, &config.database).expect("store");
    crate::slo::desk::Desk::new(store, crate::slo::objectives::Objectives::load(None).expect("sound"), None)
}

fn fairness(config: &Config, quotas: Arc<Quotas>) -> crate::quotas::FairnessDesk {
    let url = config.database.database_url.clone().expect("url");
    let store = crate::store::QuotaStore::open(&url, &config.database).expect("store");
    let sli = crate::store::SliStore::open(&url, &config.database).expect("store");
    crate::quotas::FairnessDesk::new(store, sli, quotas)
}

fn quota_desk(config: &Config, quotas: Arc<Quotas>) -> crate::quotas::QuotaDesk {
    let url = config.database.database_url.clone().expect("url");
    let store = crate::store::QuotaStore::open(&url, &config.database).expect("store");
    crate::quotas::QuotaDesk::new(store, quotas, Cache::open(&config.redis).expect("cache"))
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("bind")
}

impl Rig {
    fn token(&self, scope: &str) -> String {
        let now = Timestamp::now();
        let claims = Claims {
            account_id: AccountId::new("acme").expect("id"),
            scope: scope.to_owned(),
            role: None,
            issued_at: now,
            expires_at: now.saturating_add_micros(600 * SECOND),
        };
        self.signer.sign(&claims)
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (body, token) = (body.to_string(), self.token(EVERYTHING));
        let head =
            format!("POST {path} HTTP/1.1\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n");
        let answer = ask(self.public, &format!("{head}content-length: {}\r\n", body.len()), &body).await;
        (answer.status, serde_json::from_str(&answer.body).expect("JSON"))
    }

    async fn get(&self, path: &str, scope: &str) -> Answer {
        ask(self.public, &format!("GET {path} HTTP/1.1\r\nauthorization: Bearer {}\r\n", self.token(scope)), "").await
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

async fn ask(address: SocketAddr, head: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("connect");
    let request = format!("{head}host: x\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).expect("status").parse().expect("number");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn event(user: &str) -> Value {
    json!({"event_id": user, "event_name": "view", "user_id": user})
}

#[tokio::test]
async fn a_single_event_is_accepted_rejected_or_to_be_sent_again() {
    let rig = rig().await;
    for path in ["/v1/events", "/events"] {
        let (status, body) = rig.post(path, &event("u")).await;
        assert_eq!((status, &body["status"]), (202, &json!("accepted")));
        assert!(body["receipt"].as_str().is_some_and(|receipt| receipt.starts_with("weir.events/3/0/")), "{body}");
    }
    let (status, body) = rig.post("/v1/events", &json!({"user_id": ""})).await;
    assert_eq!((status, &body["code"]), (400, &json!("invalid_event")));
    assert_eq!(body["errors"].as_array().expect("errors").len(), 2, "{body}");
    let (status, body) = rig.post("/v1/events", &json!({"event_name": "x", "user_id": "u", "account_id": "b"})).await;
    assert_eq!((status, &body["code"]), (403, &json!("account_mismatch")));
    let (status, body) = rig.post("/v1/events", &event("away")).await;
    assert_eq!((status, &body["code"], &body["event_id"]), (503, &json!("log_unavailable"), &json!("away")));
}

#[tokio::test]
async fn a_batch_has_a_line_for_every_event() {
    let rig = rig().await;
    let (status, body) = rig.post("/v1/events/batch", &json!({"events": [event("a"), event("b")]})).await;
    assert_eq!((status, &body["accepted"]), (202, &json!(2)), "{body}");
    let mixed = json!({"events": [event("a"), {"user_id": "u"}, event("a"), event("away")]});
    let (status, body) = rig.post("/v1/events/batch", &mixed).await;
    let words: Vec<_> = body["results"].as_array().expect("results").iter().map(|line| &line["status"]).collect();
    assert_eq!(status, 207, "{body}");
    assert_eq!(words, ["accepted", "rejected", "duplicate", "retry"]);
    let (status, body) = rig.post("/v1/events/batch", &json!({"events": [event("away")]})).await;
    assert_eq!((status, &body["results"][0]["status"]), (503, &json!("retry")), "{body}");
    let (status, body) = rig.post("/v1/events/batch", &json!({"events": []})).await;
    assert_eq!((status, &body["code"]), (400, &json!("malformed")));
}

#[tokio::test]
async fn callers_are_refused_before_their_body_is_read() {
    let rig = rig().await;
    let head = "POST /v1/events HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n";
    let answer = ask(rig.public, head, "").await;
    assert_eq!(answer.status, 401, "{}", answer.head);
    assert!(answer.head.contains("www-authenticate: Bearer"), "{}", answer.head);
    let reader = rig.token("events:read");
    let answer = ask(rig.public, &format!("{head}authorization: Bearer {reader}\r\n"), "").await;
    assert_eq!(answer.status, 403, "{}", answer.body);
    assert_eq!(rig.get("/v1/accounts/rival/summary", EVERYTHING).await.status, 403);
    assert_eq!(rig.get("/v1/events", "metrics:read").await.status, 403);
}

#[tokio::test]
async fn no_byte_of_a_body_is_read_that_the_head_refuses() {
    let rig = rig().await;
    let within = std::time::Duration::from_secs(5);
    let door = Threshold::new(
        public_routes(Arc::clone(&rig.components)),
        Connections::new("test", 1, 1),
        Times { body: within, answer: within * 2 },
    );
    let (writer, reader) = (rig.token(EVERYTHING), rig.token("events:read"));
    for (status, method, path, token, header, value) in [
        (401, "POST", "/v1/events", "", "content-type", "application/json"),
        (401, "POST", "/v1/events", "garbage", "content-type", "application/json"),
        (403, "POST", "/v1/events/batch", &reader, "content-type", "application/json"),
        (415, "POST", "/v1/events", &writer, "content-type", "text/plain"),
        (415, "POST", "/v1/events", &writer, "content-encoding", "snappy"),
        (413, "POST", "/v1/events", &writer, "content-length", "2097153"),
        (404, "POST", "/v1/nowhere", &writer, "content-type", "application/json"),
        (405, "DELETE", "/v1/events", &writer, "content-type", "application/json"),
    ] {
        let unread = futures_util::stream::poll_fn(|_| -> std::task::Poll<Option<std::io::Result<Vec<u8>>>> {
            panic!("the body was read")
        });
        let request = Request::builder()
            .method(method.parse().expect("method"))
            .uri(path.parse().expect("path"))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"));
        let mut request = request.body(Body::from_bytes_stream(unread));
        request.headers_mut().insert(header, value.parse().expect("value"));
        let answer = door.call(request).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{method} {path} {header}: {value}");
    }
}

#[tokio::test]
async fn questions_say_what_is_wrong_with_them_and_that_the_store_is_away() {
    let rig = rig().await;
    for path in [
        "/v1/events?limit=0",
        "/v1/events?limit=251",
        "/v1/events?limit=x",
        "/v1/events?channel=fax",
        "/v1/events?from=yesterday",
        "/v1/events?cursor=nonsense",
        "/v1/accounts/acme/summary?from=200&to=100",
        "/v1/accounts/acme/summary?top=0",
    ] {
        let answer = rig.get(path, EVERYTHING).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
        assert!(answer.head.contains("application/problem+json"), "{path}: {}", answer.head);
    }
    let away = rig.get("/v1/events/some", EVERYTHING).await;
    assert_eq!(away.status, 503, "{}", away.body);
    assert!(away.head.contains("retry-after: "), "{}", away.head);
    assert_eq!(rig.get("/v1/events/not%20an%20id", EVERYTHING).await.status, 404);
}

#[tokio::test]
async fn both_listeners_tell_health_and_only_one_tells_metrics() {
    let rig = rig().await;
    let get = |address, path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\n");
        async move { ask(address, &head, "").await }
    };
    for address in [rig.public, rig.management] {
        assert_eq!(get(address, "/health").await.body, r#"{"status":"healthy"}"#);
        assert_eq!(get(address, "/ready").await.body, r#"{"status":"ready","checks":{}}"#);
    }
    assert_eq!(get(rig.management, "/livez").await.status, 200);
    assert!(get(rig.management, "/metrics").await.body.contains("http_request_duration_seconds_bucket"));
    // There, it is a question of tenants and needs their token.
    assert_eq!(get(rig.public, "/metrics").await.status, 401);
    for path in ["/docs", "/docs/swagger-ui.js", "/openapi.json"] {
        let answer = get(rig.public, path).await;
        assert!(answer.status == 200 && answer.head.contains("default-src 'none'"), "{path}: {}", answer.head);
    }
    rig.health.drain();
    let answer = get(rig.public, "/ready").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("not_ready") && answer.head.contains("retry-after: "), "{}", answer.head);
}
