//! A scene: three processes of the API, two of the worker, and small accounts that go on sending beside whatever a large one does.
//! Invariant: the large one goes on until all that the small ones sent is stored, so nobody was served only because it had stopped.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::processes::Running;
use crate::harness::{Answer, Client, PATIENCE, TestApp, eventually, operator_token, send, token};

/// Processes of the API.
pub const DOORS: usize = 3;

/// Processes of the worker.
const WORKERS: usize = 2;

/// A busy machine may answer late, and what Redis does not say in time an instance decides by its own share.
const PATIENT: [(&str, &str); 2] = [("WEIR_LIMIT_CHARGE_MS", "1000"), ("WEIR_LIMIT_PER_IP", "1000000")];

/// Small accounts of a scene.
const SMALL: usize = 6;

/// Events each of them sends.
const EVENTS: usize = 9;

/// Every scope of a tenant that a scene needs.
const SCOPES: &str = "events:write events:read metrics:read";

/// Everything that serves a scene.
pub struct Scene {
    app: TestApp,
    doors: Vec<Running>,
    workers: Vec<Running>,
    over: AtomicBool,
    accepted: AtomicUsize,
    limited: AtomicUsize,
    has_limits: AtomicBool,
    /// How long the small accounts' events took to be answered.
    waits: Mutex<Vec<Duration>>,
    started: Instant,
}

impl Scene {
    /// Starts the processes with those variables.
    pub async fn open(settings: &[(&str, &str)]) -> Self {
        let app = TestApp::prepare(|_| {}).await;
        let settings = [&PATIENT, settings].concat();
        let start =
            async |role: &str, count: usize| join_all((0..count).map(|_| Running::start(&app, role, &settings))).await;
        let (doors, workers) = tokio::join!(start("api", DOORS), start("worker", WORKERS));
        let (accepted, limited) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let [over, has_limits] = [false; 2].map(AtomicBool::new);
        let (waits, started) = (Mutex::default(), Instant::now());
        Self { app, doors, workers, over, accepted, limited, has_limits, waits, started }
    }

    /// Base address of an instance; any number names one.
    pub fn door(&self, number: usize) -> String {
        self.doors[number % DOORS].url()
    }

    /// The large account is to be refused something before the scene ends.
    pub fn expect_refusals(&self) {
        self.has_limits.store(true, Ordering::Relaxed);
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
        self.expect_refusals();
        let operator = self.client_with(0, operator_token("ops", "quotas:admin"));
        let body = json!({"reason": "a scene", "quota": {policy: {"limit": limit}}});
        let path = format!("/v1/admin/accounts/{account}/quota");
        // Where a busy store answers late, the quota may be kept all the same.
        eventually("the quota to be kept", || async {
            let put = operator.request("PUT", &path).header("content-type", "application/json");
            let answer = send(put.header("if-match", "\"0\"").body(body.to_string())).await.expect("answer");
            [200, 412].contains(&answer.status).then_some(())
        })
        .await;
        for number in 0..DOORS {
            eventually("the quota at every instance", || async {
                let limits = self.client(number, account).get("/v1/limits").await.expect(200);
                let policies = limits.body["policies"].as_array().expect("policies").clone();
                policies.iter().any(|found| found["name"] == policy && found["limit"] == limit).then_some(())
            })
            .await;
        }
    }

    /// Lets `large` take turns, several at a time, until the small accounts are done and it has met its limit, where it has one.
    pub async fn play(&self, at_a_time: usize, large: impl AsyncFn(usize, usize)) {
        let turns = (0..at_a_time).map(|one| {
            let large = &large;
            async move {
                let mut turn = 0;
                let patience = || self.started.elapsed() < 3 * PATIENCE;
                let unmet = || self.has_limits.load(Ordering::Relaxed) && self.limited() == 0 && patience();
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
            let (client, sent) = (self.client(number + event, &account), Instant::now());
            let answer = client.post("/v1/events", &body).await.expect(202);
            self.waits.lock().expect("lock").push(sent.elapsed());
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
        assert!([200, 202, 207, 429].contains(&answer.status), "{}", answer.text);
        answer
    }

    /// A large account was refused before there was an answer to file.
    pub fn refused(&self) {
        self.limited.fetch_add(1, Ordering::Relaxed);
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
        }
        if self.has_limits.load(Ordering::Relaxed) {
            assert!(self.limited() > 0, "the large ones were never refused");
        }
        self.tell();
        let rows = (accepted + SMALL * EVENTS).to_string();
        eventually("what the large ones sent to be stored", || async {
            (self.app.sql("select count(*) from events").await == rows).then_some(())
        })
        .await;
        let of_small = "select count(*) from events where account_id like 'small-%'";
        assert_eq!(self.app.sql(of_small).await, (SMALL * EVENTS).to_string());
        join_all(self.doors.into_iter().chain(self.workers).map(Running::stop)).await;
        self.app.finish().await;
    }

    /// What the others saw, for whoever runs the suite with `--nocapture`.
    #[allow(clippy::print_stdout, reason = "numbers for the results that are kept")]
    fn tell(&self) {
        let mut waits = self.waits.lock().expect("lock").clone();
        waits.sort_unstable();
        let at = |percent: usize| waits[(waits.len() * percent / 100).min(waits.len() - 1)].as_millis();
        println!(
            "{}: small accounts: {} of {} events taken, p50 {} ms, p99 {} ms; large: {} taken, {} answers refused",
            std::thread::current().name().unwrap_or_default(),
            waits.len(),
            SMALL * EVENTS,
            at(50),
            at(99),
            self.accepted.load(Ordering::Relaxed),
            self.limited(),
        );
    }
}
