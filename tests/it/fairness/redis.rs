//! Redis as a cluster of three masters, and as a master that a sentinel replaces: limits are shared, answers are kept, and with a
//! server gone nobody's events are refused for it.

use serde_json::{Value, json};
use tokio::sync::oneshot;
use weir::app::{App, Roles};
use weir::config::{Config, RedisMode, Secret};
use weir_local::{Lifetime, RedisCluster, RedisSentinel};

use crate::harness::{Client, TestApp, eventually, token};

const LIMIT: i64 = 60;

/// Starts something that blocks while it starts, and gives the directory it lives in.
async fn started<T: Send + 'static>(
    start: impl FnOnce(&std::path::Path) -> T + Send + 'static,
) -> (tempfile::TempDir, T) {
    let (told, ready) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let dir = tempfile::tempdir().expect("a directory");
        let made = start(dir.path());
        drop(told.send((dir, made)));
    });
    ready.await.expect("started")
}

fn small_quotas(config: &mut Config, mode: RedisMode, url: String) {
    config.redis.redis_mode = mode;
    config.redis.redis_url = Some(Secret::new(url));
    config.limit.limit_sustained = LIMIT;
    config.limit.limit_charge_ms = 1_000;
}

/// Two instances; clients of an account at each.
struct Pair {
    app: TestApp,
    other: App,
}

impl Pair {
    async fn start(mode: RedisMode, url: String) -> Self {
        let app = TestApp::start_with(Roles::ALL, |config| small_quotas(config, mode, url)).await;
        let other = App::start(app.config().clone(), Roles::API).await.expect("a second instance");
        Self { app, other }
    }

    fn clients(&self, account: &str) -> [Client; 2] {
        let other = format!("http://{}", self.other.public_address().expect("a listener"));
        [self.app.client(account), Client::new(other, Some(token(account, "events:write metrics:read")))]
    }

    /// Waits until each instance sees in Redis what the other has let in.
    async fn wait_until_shared(&self, probe: &str) {
        for (from, to) in [(0, 1), (1, 0)] {
            let clients = self.clients(&format!("{probe}-{from}"));
            eventually("limits to be shared", || async {
                clients[from].post("/v1/events", &json!({"event_name": "n", "user_id": "u"})).await;
                let limits = clients[to].get("/v1/limits").await.expect(200);
                (limits.body["policies"][0]["used"].as_i64() > Some(0)).then_some(())
            })
            .await;
        }
    }

    /// Sends through both until nothing more is taken; how many events were.
    async fn exhaust(&self, account: &str) -> i64 {
        let (clients, mut taken) = (self.clients(account), 0);
        for turn in 0..40 {
            let answer = clients[turn % 2].post("/v1/events/batch", &batch(7)).await;
            assert!([202, 207, 429].contains(&answer.status), "{}", answer.text);
            taken += answer.body["accepted"].as_i64().unwrap_or(0);
        }
        taken
    }

    async fn close(self) {
        self.other.stop().await.expect("stops");
        self.app.finish().await;
    }
}

fn batch(events: usize) -> Value {
    json!({"events": vec![json!({"event_name": "n", "user_id": "u"}); events]})
}

/// What Redis keeps beside limits: counters, summaries, answers by key.
async fn all_else_works(pair: &Pair) {
    let [client, other] = pair.clients("reader");
    client.post("/v1/events?wait=stored", &json!({"event_name": "n", "user_id": "u"})).await.expect(200);
    for client in [&client, &other] {
        let summary = client.get("/v1/accounts/reader/summary").await.expect(200);
        assert!(summary.body["total_events"].as_i64().is_some(), "{}", summary.text);
        client.get("/v1/counters").await.expect(200);
    }
    let keyed = |client: &Client| {
        let request = client.request("POST", "/v1/events/batch").header("content-type", "application/json");
        crate::harness::send(request.header("idempotency-key", "once").body(batch(2).to_string()))
    };
    let first = keyed(&client).await.expect("answer").expect(202);
    let again = keyed(&other).await.expect("answer").expect(202);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.body["results"], first.body["results"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_shares_limits_and_loses_a_node() {
    let (_dir, cluster) = started(|dir| RedisCluster::start_in(dir, Lifetime::WithParent).expect("a cluster")).await;
    let pair = Pair::start(RedisMode::Cluster, cluster.url()).await;
    pair.wait_until_shared("probe").await;
    // Accounts of all three nodes.
    for account in ["a", "b", "c", "d", "e", "f"] {
        let taken = pair.exhaust(account).await;
        assert!((LIMIT / 2..=LIMIT).contains(&taken), "{account}: {taken}");
    }
    all_else_works(&pair).await;
    cluster.nodes[2].kill().expect("killed");
    for account in ["g", "h", "i", "j", "k", "l"] {
        for client in pair.clients(account) {
            client.post("/v1/events/batch", &batch(5)).await.expect(202);
        }
    }
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_name_the_master_and_its_successor() {
    let (_dir, group) = started(|dir| RedisSentinel::start_in(dir, Lifetime::WithParent).expect("a sentinel")).await;
    let pair = Pair::start(RedisMode::Sentinel, group.url()).await;
    pair.wait_until_shared("probe").await;
    let taken = pair.exhaust("before").await;
    assert!((LIMIT / 2..=LIMIT).contains(&taken), "{taken}");
    all_else_works(&pair).await;

    group.master.kill().expect("killed");
    let [client, _] = pair.clients("meanwhile");
    client.post("/v1/events/batch", &batch(5)).await.expect(202);
    let successor = group.replica.port();
    eventually("the replica to be the master", || async { (group.master_port() == Some(successor)).then_some(()) })
        .await;
    pair.wait_until_shared("late-probe").await;
    let taken = pair.exhaust("after").await;
    assert!((LIMIT / 2..=LIMIT).contains(&taken), "{taken}");
    pair.close().await;
}
