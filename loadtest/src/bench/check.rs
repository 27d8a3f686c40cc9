//! What the door pays to judge an event, beside a borrowed parse of the same bytes, in this process. Invariant: the arms take turns
//! every few milliseconds, so what else the machine does hits all of them; no request, log or store is in the figures.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir::codec::json::{self, Draft};
use weir::config::Config;
use weir::domain::id::AccountId;
use weir::domain::tenant::{Scopes, Tenant};
use weir::domain::time::Timestamp;
use weir::ingest::{Call, Form, Ingest, Layout};
use weir::kafka::{Placement, Publish, PublishError, Record};
use weir::limit::{Limiter, Quotas};

use super::arm::Spread;

/// Length of one turn of one arm.
const TURN: Duration = Duration::from_millis(4);

/// Calls between two looks at the clock.
const STRIDE: u32 = 64;

/// Takes nothing: only judging is measured.
struct Nobody;

impl Publish for Nobody {
    fn publish(&self, _: Vec<Record>, _: Instant) -> BoxFuture<'_, Vec<Result<Placement, PublishError>>> {
        std::future::ready(Vec::new()).boxed()
    }
}

/// The figures for one event.
#[derive(Debug, Clone, Serialize)]
pub struct Judged {
    /// Which event.
    pub event: &'static str,
    /// Its length.
    pub bytes: usize,
    /// ns of a borrowed parse by serde alone.
    pub parse_ns: Spread,
    /// ns of the lint alone.
    pub lint_ns: Spread,
    /// ns of all that the door does to judge the event: lint, parse, validation, the item of the answer.
    pub judge_ns: Spread,
    /// ns of the same for an event that breaks a rule.
    pub refuse_ns: Spread,
    /// Lint and validation by the parse: (`judge_ns` − `parse_ns`) ÷ `parse_ns`. By the least of the turns: the one nothing else
    /// on the machine broke into.
    pub ratio: f64,
}

/// An event of some 200 bytes, and one of some 400 with metadata.
fn events() -> [(&'static str, String); 2] {
    let plain = r#"{"event_id":"01928f6e-7c3a-7b2e-9f10-3c5d7e9a1b2c","event_name":"checkout.completed","user_id":"user-1842",
        "channel":"web","source":"shop","timestamp":@,"value":129.95,"tags":["spring","vip"]}"#;
    let nested = r#"{"event_id":"01928f6e-7c3a-7b2e-9f10-3c5d7e9a1b2c","event_name":"checkout.completed","user_id":"user-1842",
        "channel":"web","source":"shop","campaign_id":"spring-sale","timestamp":@,"value":129.95,"tags":["spring","vip"],
        "metadata":{"cart":{"items":[{"sku":"A-17","count":2},{"sku":"B-99","count":1}],"currency":"EUR"},
        "page":"https://shop.example/checkout?step=3","ab":{"test":"button","arm":"B"},"latency_ms":184.25}}"#;
    let now = Timestamp::now().unix_seconds().to_string();
    [("plain", plain), ("nested", nested)].map(|(name, text)| (name, text.replace("\n        ", "").replace('@', &now)))
}

/// Measures; `turns` of each arm count.
///
/// # Errors
/// When the door judges one of the events otherwise than it should.
pub fn judged(turns: usize) -> anyhow::Result<Vec<Judged>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let config = Config::from_env()?;
    let (ingest, call) = (Ingest::new(&config, Arc::new(Nobody)), call(&config)?);
    let judge = |event: &str| ingest.validate(&call, Layout::One(Form::Event), black_box(event.as_bytes()));
    events().into_iter().map(|(name, event)| of(name, &event, turns, &judge)).collect()
}

fn of(
    name: &'static str,
    event: &str,
    turns: usize,
    judge: &dyn Fn(&str) -> Result<Vec<weir::ingest::Item>, weir::ingest::Refusal>,
) -> anyhow::Result<Judged> {
    let broken = event.replace("user-1842", " ");
    let faults = |event: &str| anyhow::Ok(judge(event)?.iter().map(|item| item.faults.len()).sum::<usize>());
    ensure!((faults(event)?, faults(&broken)?) == (0, 1), "{name}: the door judges otherwise than the bench expects");
    let arms: [&dyn Fn(); 4] = [
        &|| drop(black_box(serde_json::from_slice::<Draft<'_>>(black_box(event.as_bytes())))),
        &|| drop(black_box(json::lint(black_box(event)))),
        &|| drop(black_box(judge(event))),
        &|| drop(black_box(judge(&broken))),
    ];
    let mut nanos: [Vec<f64>; 4] = Default::default();
    for turn in 0..=turns {
        for (arm, kept) in arms.iter().zip(&mut nanos) {
            let took = one_turn(arm);
            // The first one warms up.
            if turn > 0 {
                kept.push(took);
            }
        }
    }
    let [parse_ns, lint_ns, judge_ns, refuse_ns] = nanos.map(Spread::of);
    let ratio = (judge_ns.min - parse_ns.min) / parse_ns.min;
    Ok(Judged { event: name, bytes: event.len(), parse_ns, lint_ns, judge_ns, refuse_ns, ratio })
}

/// ns of one call.
fn one_turn(arm: &dyn Fn()) -> f64 {
    let (begun, mut calls) = (Instant::now(), 0);
    while begun.elapsed() < TURN {
        (0..STRIDE).for_each(|_| arm());
        calls += STRIDE;
    }
    begun.elapsed().as_nanos() as f64 / f64::from(calls)
}

fn call(config: &Config) -> anyhow::Result<Call> {
    let now = Timestamp::now();
    let tenant =
        Tenant { account_id: AccountId::new("acme")?, scopes: Scopes::default(), operator: false, expires_at: now };
    let quotas = Arc::new(Quotas::new(config.limit.default_quota()));
    let limiter = Limiter::start(&config.limit, None, quotas, &TaskTracker::new(), CancellationToken::new());
    Ok(Call {
        pass: Arc::new(limiter.gate(&tenant.account_id, 0).ok().context("the gate is shut")?),
        tenant: Arc::new(tenant),
        request_id: "r".into(),
        traceparent: None,
        received_at: now,
        skew_micros: 0,
    })
}
