//! A scene: three API instances, two workers, and small accounts that go on sending beside whatever a large one does. Invariant: the
//! large one goes on until all that the small ones sent is stored, so nobody was served only because it had stopped.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::future::join_all;
use serde_json::{Value, json};
use weir::app::{App, Roles};
use weir::config::Config;

use crate::harness::{Answer, Client, TestApp, eventually, operator_token, send, token};

/// API instances of a scene.
pub const DOORS: usize = 3;

/// Small accounts of a scene.
const SMALL: usize = 6;

/// Events each of them sends.
const EVENTS: usize = 9;

/// Every scope of a tenant that a scene needs.
const SCOPES: &str = "events:write events:read metrics:read";

/// Everything that serves a scene.
pub struct Scene {
    app: TestApp,
    others: Vec<App>,
    over: AtomicBool,
    accepted: AtomicUsize,
    limited: AtomicUsize,
    has_quotas: AtomicBool,
    started: Instant,
}

impl Scene {
    /// Three instances of the API, one of them with a worker beside it, and a second worker.
    pub async fn open(adjust: impl FnOnce(&mut Config)) -> Self {
        let app = TestApp::start_with(Roles::ALL, |config| {
            // A busy machine may answer late, and what Redis does not say in time an instance decides by its own share.
            config.limit.limit_charge_ms = 1_000;
            config.limit.limit_per_ip = 1_000_000;
            adjust(config);
        })
        .await;
        let mut others = Vec::new();
        for roles in [Roles::API, Roles::API, Roles::WORKER] {
            others.push(App::start(app.config().clone(), roles).await.expect("another process"));
        }
        let (accepted, limited) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let [over, has_quotas] = [false; 2].map(AtomicBool::new);
        Self { app, others, over, accepted, limited, has_quotas, started: Instant::now() }
    }

    /// Base address of an instance; any number names one.
    pub fn door(&self, number: usize) -> String {
        let others = || self.others.iter().filter_map(App::public_address);
        match number % DOORS {
            0 => self.app.url(),
            other => format!("http://{}", others().nth(other - 1).expect("an API")),
        }
    }

    /// A client of the account at that instance.
    pub fn client(&self, number: usize, account: &str) -> Client {
        Client::new(self.door(number), Some(token(account, SCOPES)))
    }

    /// A client at that instance with a token of one's own.
    pub fn client_with(&self, number: usize, token: String) -> Client {
        Client::new(self.door(number), Some(token))
    }

    /// Gives an account a quota, and waits until every instance keeps it.
    pub async fn set_quota(&self, account: &str, policy: &str, limit: i64) {
        self.has_quotas.store(true, Ordering::Relaxed);
        let operator = self.app.client_with(Some(operator_token("ops", "quotas:admin")));
        let body = json!({"reason": "a scene", "quota": {policy: {"limit": limit}}});
        let path = format!("/v1/admin/accounts/{account}/quota");
        let put = operator.request("PUT", &path).header("content-type", "application/json").header("if-match", "\"0\"");
        send(put.body(body.to_string())).await.expect("answer").expect(200);
        for number in 0..DOORS {
            eventually("the quota at every instance", || async {
                let limits = self.client(number, account).get("/v1/limits").await.expect(200);
                let policies = limits.body["policies"].as_array().expect("policies").clone();
                policies.iter().any(|found| found["name"] == policy && found["limit"] == limit).then_some(())
            })
            .await;
        }
    }

    /// Lets `large` take turns, several at a time, until the small accounts are done and it has met its quota, where it has one.
    pub async fn play(&self, at_a_time: usize, large: impl AsyncFn(usize, usize)) {
        let turns = (0..at_a_time).map(|one| {
            let large = &large;
            async move {
                let mut turn = 0;
                let unmet = || self.has_quotas.load(Ordering::Relaxed) && self.limited() == 0;
                while !self.over.load(Ordering::Relaxed) || unmet() {
                    large(one, turn).await;
                    turn += 1;
                }
            }
        });
        let small = async {
            join_all((0..SMALL).map(|number| self.small(number))).await;
            self.over.store(true, Ordering::Relaxed);
        };
        tokio::join!(join_all(turns), small);
    }

    /// What one small account does: every event taken at once, all stored, its reads right, whatever goes on beside it.
    async fn small(&self, number: usize) {
        let account = format!("small-{number}");
        for event in 0..EVENTS {
            let body = json!({"event_id": format!("e-{event}"), "event_name": "view", "user_id": "u"});
            let answer = self.client(number + event, &account).post("/v1/events", &body).await.expect(202);
            assert_eq!(answer.header("x-weir-lane"), Some("standard"), "{account}");
        }
        let count = format!("select count(*) from events where account_id = '{account}'");
        eventually("what a small account sent to be stored", || async {
            (self.app.sql(&count).await == EVENTS.to_string()).then_some(())
        })
        .await;
        let seen = self.client(number, &account).get("/v1/events?limit=250").await.expect(200);
        assert_eq!(seen.body["data"].as_array().map(Vec::len), Some(EVENTS), "{account}");
        let limits = self.client(number, &account).get("/v1/limits").await.expect(200);
        assert_eq!(limits.body["lane"], "standard", "{account}");
    }

    /// Files what an answer says of the large accounts' events; the answer itself.
    pub fn file(&self, answer: Answer) -> Answer {
        let statuses: Vec<&Value> = match answer.body["results"].as_array() {
            Some(results) => results.iter().map(|line| &line["status"]).collect(),
            None if answer.status == 202 => vec![&answer.body["status"]],
            None => Vec::new(),
        };
        let accepted = statuses.iter().filter(|status| **status == "accepted").count();
        self.accepted.fetch_add(accepted, Ordering::Relaxed);
        if answer.status == 429 || statuses.iter().any(|status| *status == "limited") {
            self.limited.fetch_add(1, Ordering::Relaxed);
        }
        assert!([202, 207, 429].contains(&answer.status), "{}", answer.text);
        answer
    }

    /// Answers by which the large accounts were refused something.
    fn limited(&self) -> usize {
        self.limited.load(Ordering::Relaxed)
    }

    /// Closes a scene whose large accounts may send `limit` events in a minute together: they got no more, all of it is stored once,
    /// and nobody else's is.
    pub async fn close(self, limit: Option<usize>) {
        let accepted = self.accepted.load(Ordering::Relaxed);
        if let Some(limit) = limit {
            let windows = usize::try_from(self.started.elapsed().as_secs() / 60).expect("minutes") + 1;
            assert!(accepted <= limit * windows, "{accepted} taken, {limit} a minute allowed");
            assert!(self.limited() > 0, "the large ones were never refused");
        }
        let rows = (accepted + SMALL * EVENTS).to_string();
        eventually("what the large ones sent to be stored", || async {
            (self.app.sql("select count(*) from events").await == rows).then_some(())
        })
        .await;
        let of_small = "select count(*) from events where account_id like 'small-%'";
        assert_eq!(self.app.sql(of_small).await, (SMALL * EVENTS).to_string());
        for other in self.others {
            other.stop().await.expect("stops");
        }
        self.app.finish().await;
    }
}
