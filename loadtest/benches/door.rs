//! What the door pays for one event, beside a borrowed parse of the same bytes, in one run: `cargo bench -p loadtest --bench door`.
//! Lint and validation together are the distance between `take` and `parse`; it is to be at most 1.2 times `parse`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use weir::codec::json::{self, Draft};
use weir::config::Config;
use weir::domain::id::AccountId;
use weir::domain::tenant::{Scopes, Tenant};
use weir::domain::time::Timestamp;
use weir::ingest::{Call, Form, Ingest, Layout};
use weir::kafka::{Placement, Publish, PublishError, Record};

/// Takes nothing: only validation is measured.
struct Nobody;

impl Publish for Nobody {
    fn publish(&self, _: Vec<Record>, _: Instant) -> BoxFuture<'_, Vec<Result<Placement, PublishError>>> {
        std::future::ready(Vec::new()).boxed()
    }
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

fn call() -> Call {
    let now = Timestamp::now();
    let account_id = AccountId::new("acme").expect("an account id");
    let tenant = Tenant { account_id, scopes: Scopes::default(), operator: false, expires_at: now };
    Call { tenant: Arc::new(tenant), request_id: "r".into(), traceparent: None, received_at: now, skew_micros: 0 }
}

fn door(criterion: &mut Criterion) {
    let ingest = Ingest::new(&Config::from_env().expect("defaults"), Arc::new(Nobody));
    let call = call();
    for (name, event) in events() {
        let mut group = criterion.benchmark_group(format!("door/{name}"));
        group.throughput(Throughput::Bytes(event.len() as u64));
        group.bench_with_input(BenchmarkId::new("parse", event.len()), &event, |bencher, event| {
            bencher.iter(|| black_box(serde_json::from_slice::<Draft<'_>>(event.as_bytes()).expect("an event")));
        });
        group.bench_with_input(BenchmarkId::new("lint", event.len()), &event, |bencher, event| {
            bencher.iter(|| json::lint(black_box(event)).expect("sound"));
        });
        group.bench_with_input(BenchmarkId::new("take", event.len()), &event, |bencher, event| {
            bencher.iter(|| {
                let items = ingest.validate(&call, Layout::One(Form::Event), black_box(event.as_bytes()));
                black_box(items.expect("an event"))
            });
        });
        let broken = event.replace("user-1842", " ");
        group.bench_with_input(BenchmarkId::new("refuse", event.len()), &broken, |bencher, event| {
            bencher.iter(|| {
                let items = ingest.validate(&call, Layout::One(Form::Event), black_box(event.as_bytes()));
                black_box(items.expect("an event"))
            });
        });
        group.finish();
    }
}

criterion_group!(benches, door);
criterion_main!(benches);
