//! Random and nearly sound input. What the door accepts, the store takes; what it does not understand never makes it panic.
//!
//! A short run is part of the suite; a long one is `PROPTEST_CASES=100000 cargo test -p weir --test it hostile::fuzz`.

use std::cell::Cell;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir::codec::{cloudevents, envelope, json};
use weir::config::Config;
use weir::domain::event::Event;
use weir::domain::outcome::Outcome;
use weir::domain::tenant::{Scopes, Tenant};
use weir::domain::time::Timestamp;
use weir::ingest::{Call, Form, Ingest};
use weir::kafka::{Placement, Publish, PublishError, Record};
use weir::limit::{Limiter, Quotas};
use weir::store::EventSink;

use crate::stores::{DISAGREEMENTS, Stores, account};

/// Texts, as they stand between quotes, that are odd and sound.
const ODD: [&str; 18] = [
    "a",
    " ",
    "\\ud83d\\ude00",
    "\\u00e9",
    "é",
    "日本",
    "😀",
    "\\\\",
    "\\\"",
    "\\/",
    "\\n",
    "'; drop table events; --",
    "%s%n",
    "{}",
    "NULL",
    "\u{200b}",
    "\u{7f}",
    "\\b\\f\\r\\t",
];

/// Texts that must not pass everywhere.
const BROKEN: [&str; 7] = ["", "\\u0000", "\\ud800", "\\udc00", "\u{feff}", "\\ud83dx", "\\u00"];

const NUMBERS: [&str; 16] = [
    "0",
    "-0",
    "1",
    "-1",
    "0.0",
    "1e3",
    "1E+3",
    "1e-3",
    "-0.0e-0",
    "1e998",
    "1e-998",
    "123456789012345678901234567890",
    "0.1234567890123456789",
    "1.0",
    "9223372036854775808",
    "1e00000000003",
];

/// Numbers at and beyond what Postgres takes.
const WILD: [&str; 8] = ["1e999", "1e1000", "1e1001", "1e-1001", "1e131072", "1e-131072", "-1e-16383", "01"];

const TIMES: [&str; 14] = [
    "0",
    "1700000000",
    "253402300799",
    "-1",
    "1.5",
    "\"2023-11-14T22:13:20Z\"",
    "\"2023-11-14T22:13:20.999999999+14:00\"",
    "\"2016-12-31T23:59:60Z\"",
    "\"9999-01-01T00:00:00Z\"",
    "\"2024-02-30T00:00:00Z\"",
    "\"0000-01-01T00:00:00Z\"",
    "null",
    "\"\"",
    "true",
];

fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![40 => select(&ODD[..]), 1 => select(&BROKEN[..])];
    let short = prop::collection::vec(part, 1..4).prop_map(|parts| format!("\"{}\"", parts.concat()));
    let long = (select(&ODD[..]), 200_usize..300).prop_map(|(part, times)| format!("\"{}\"", part.repeat(times)));
    let any = any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a string"));
    prop_oneof![20 => short, 1 => long, 4 => any]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => select(&NUMBERS[..]).prop_map(str::to_owned),
        1 => select(&WILD[..]).prop_map(str::to_owned),
        4 => any::<f64>().prop_filter("JSON has no such number", |number| number.is_finite()).prop_map(|number| format!("{number:e}")),
        1 => (990_usize..1_010).prop_map(|digits| "9".repeat(digits)),
        1 => (990_usize..1_010).prop_map(|digits| format!("0.{}", "3".repeat(digits))),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![4 => text(), 4 => number(), 1 => Just("null".to_owned()), 1 => Just("true".to_owned())];
    leaf.prop_recursive(20, 40, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(",")));
        let members = prop::collection::vec((text(), inner), 0..4);
        let object = (members, prop::bool::weighted(0.05)).prop_map(|(members, twice)| distinct(members, twice));
        prop_oneof![list, object]
    })
}

fn object(members: Vec<(String, String)>) -> String {
    let members: Vec<_> = members.into_iter().map(|(key, value)| format!("{key} : {value}")).collect();
    format!("{{{}}}", members.join(" ,\t"))
}

/// Keys that differ by their places, most of the time.
fn distinct(members: Vec<(String, String)>, twice: bool) -> String {
    let number = |(at, (key, value)): (usize, (String, String))| match key.strip_suffix('"') {
        Some(open) if !twice => (format!("{open}{at}\""), value),
        _ => (key, value),
    };
    object(members.into_iter().enumerate().map(number).collect())
}

fn metadata() -> impl Strategy<Value = String> {
    let members = prop::collection::vec((text(), value()), 0..5);
    (members, prop::bool::weighted(0.05)).prop_map(|(members, twice)| distinct(members, twice))
}

/// Some members of an event, each good or nearly so.
fn members() -> impl Strategy<Value = Vec<(String, String)>> {
    let named = |name: &'static str, value: BoxedStrategy<String>| {
        prop::option::weighted(0.4, value.prop_map(move |value| (format!("\"{name}\""), value)))
    };
    let tags = prop::collection::vec(text(), 0..5).prop_map(|tags| format!("[{}]", tags.join(","))).boxed();
    let channel = prop_oneof![9 => select(&["\"web\"", "\"api\"", "\"\\u0061pi\""][..]), 1 => Just("\"fax\"")]
        .prop_map(str::to_owned);
    (
        named(
            "event_id",
            prop_oneof![9 => "[!-!#-\\[\\]-~]{1,128}".prop_map(|id| format!("\"{id}\"")), 1 => text()].boxed(),
        ),
        named("source", text().boxed()),
        named("campaign_id", text().boxed()),
        named("channel", channel.boxed()),
        named(
            "timestamp",
            prop_oneof![8 => Just("null".to_owned()), 2 => select(&TIMES[..]).prop_map(str::to_owned), 1 => number()]
                .boxed(),
        ),
        named("tags", tags),
        named("value", number().boxed()),
        named("metadata", metadata().boxed()),
        named("unknown", value().boxed()),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i)| [a, b, c, d, e, f, g, h, i].into_iter().flatten().collect())
}

fn event() -> impl Strategy<Value = Vec<u8>> {
    let sound = prop_oneof![8 => Just("\"u\"".to_owned()), 2 => text()];
    (members(), sound.clone(), sound).prop_map(|(mut members, name, user)| {
        members.push(("\"event_name\"".into(), name));
        members.push(("\"user_id\"".into(), user));
        object(members).into_bytes()
    })
}

/// The same events as CloudEvents.
fn cloud_event() -> impl Strategy<Value = Vec<u8>> {
    let renamed = |(key, value): (String, String)| {
        let key = match key.trim_matches('"') {
            "event_id" => "id",
            "campaign_id" => "campaignid",
            "timestamp" => "time",
            "metadata" => "data",
            other => other,
        };
        (format!("\"{key}\""), value)
    };
    (members(), text()).prop_map(move |(members, user)| {
        let mut members: Vec<_> = members.into_iter().map(renamed).collect();
        for (key, value) in [("specversion", "\"1.0\""), ("id", "\"i\""), ("source", "\"s\""), ("type", "\"t\"")] {
            if !members.iter().any(|(known, _)| known.trim_matches('"') == key) {
                members.push((format!("\"{key}\""), value.to_owned()));
            }
        }
        members.push(("\"subject\"".into(), user));
        object(members).into_bytes()
    })
}

/// Sound bytes with a few places changed.
fn bent(sound: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), prop_oneof![any::<u8>(), select(&b"\"\\{}[],:0eE-.u\x00\xff"[..])], 0..3_u8);
    (sound, prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(change, 1..3)]).prop_map(
        |(mut bytes, changes)| {
            for (place, byte, how) in changes {
                let at = place.index(bytes.len() + 1);
                match how {
                    0 => bytes.insert(at, byte),
                    1 if at < bytes.len() => bytes[at] = byte,
                    _ if at < bytes.len() => drop(bytes.remove(at)),
                    _ => {}
                }
            }
            bytes
        },
    )
}

/// A log that keeps what it gets.
#[derive(Default)]
struct Log(Mutex<Vec<Record>>);

impl Publish for Log {
    fn publish(&self, records: Vec<Record>, _: Instant) -> BoxFuture<'_, Vec<Result<Placement, PublishError>>> {
        let placed = records.iter().map(|_| Ok(Placement { partition: 0, offset: 0 })).collect();
        self.0.lock().extend(records);
        std::future::ready(placed).boxed()
    }
}

fn decode(record: &Record) -> Result<Event<'static>, envelope::EnvelopeError> {
    let version = Some(envelope::ENVELOPE_VERSION.as_bytes());
    envelope::decode(record.value.as_deref(), version).map(Event::into_owned)
}

fn call() -> Call {
    let now = Timestamp::now();
    let tenant = Tenant { account_id: account("fuzz"), scopes: Scopes::default(), operator: false, expires_at: now };
    let mut config = Config::from_env().expect("defaults").limit;
    (config.limit_sustained, config.limit_burst, config.limit_bytes) = (1 << 30, 1 << 30, 1 << 40);
    let quotas = Arc::new(Quotas::new(config.default_quota()));
    let limiter = Limiter::start(&config, None, quotas, &TaskTracker::new(), CancellationToken::new());
    Call {
        pass: Arc::new(limiter.gate(&tenant.account_id, 0).expect("open")),
        tenant: Arc::new(tenant),
        request_id: "fuzz".into(),
        traceparent: None,
        received_at: now,
        skew_micros: 0,
    }
}

proptest! {
    #[test]
    fn the_parsers_never_panic(bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), bent(event())]) {
        drop(json::draft(&bytes));
        drop(json::items(&bytes, 3));
        drop(cloudevents::draft(&bytes));
        let wrapped = [b"{\"events\":[", &bytes[..], b",{}]}"].concat();
        drop(json::items(&wrapped, 3));
        drop(envelope::decode(Some(&bytes), Some(envelope::ENVELOPE_VERSION.as_bytes())));
        if let Ok(text) = std::str::from_utf8(&bytes) {
            json::nests_deeper(text, 3);
        }
    }
}

/// Events as they come in: alone in two forms, or as lines in pieces of some length.
#[derive(Debug, Clone)]
enum Sent {
    One(Form, Vec<u8>),
    Lines(Vec<Vec<u8>>, usize),
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        4 => bent(event()).prop_map(|body| Sent::One(Form::Event, body)),
        2 => bent(cloud_event()).prop_map(|body| Sent::One(Form::CloudEvent, body)),
        1 => (prop::collection::vec(bent(event()), 0..6), 1_usize..500).prop_map(|(lines, piece)| Sent::Lines(lines, piece)),
    ]
}

/// How many of the events were accepted.
async fn send(ingest: &Ingest, call: &Call, sent: &Sent) -> usize {
    let accepted = |outcome| usize::from(outcome == Outcome::Accepted);
    match sent {
        Sent::One(form, body) => ingest.single(call, *form, body).await.map_or(0, |item| accepted(item.outcome)),
        Sent::Lines(lines, piece) => {
            let mut taking = ingest.lines(call.clone());
            for bytes in lines.join(&b"\r\n"[..]).chunks(*piece) {
                taking.feed(bytes).await.expect("few lines");
            }
            let mut ids = std::collections::HashSet::new();
            let (items, _) = taking.finish(true).await;
            // A repeat shares the fate of the first; the log has one of them.
            items.iter().filter(|item| item.outcome == Outcome::Accepted && ids.insert(&item.event_id)).count()
        }
    }
}

/// What the log got, as the worker reads it.
fn arrived(log: &Log) -> Result<Vec<Event<'static>>, TestCaseError> {
    let records = std::mem::take(&mut *log.0.lock());
    let events = records.iter().map(decode).collect::<Result<Vec<_>, _>>();
    events.map_err(|error| TestCaseError::fail(format!("undecodable: {error}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_door_accepts_the_store_takes() {
    let stores = Arc::new(Stores::new().await);
    let (held, runtime) = (Arc::clone(&stores), tokio::runtime::Handle::current());
    let stored = tokio::task::spawn_blocking(move || {
        let (log, call, stored) = (Arc::new(Log::default()), call(), Cell::new(0));
        let ingest = Ingest::new(&held.config, Arc::clone(&log) as Arc<dyn Publish>);
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
        let outcome = TestRunner::new(config).run(&prop::collection::vec(sent(), 1..8), |bodies| {
            let mut accepted = 0;
            for body in &bodies {
                accepted += runtime.block_on(send(&ingest, &call, body));
            }
            let events = arrived(&log)?;
            prop_assert_eq!(events.len(), accepted);
            let written = runtime.block_on(held.worker.write(&events, &[]));
            written.map_err(|error| TestCaseError::fail(format!("refused: {error:?}")))?;
            stored.set(stored.get() + accepted);
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{error}"));
        stored.get()
    })
    .await
    .expect("join");
    println!("{stored} accepted events stored");
    assert!(stored > 100, "only {stored} events were accepted: the generator is too wild");
    assert_eq!(stores.number(DISAGREEMENTS).await, 0);
    Arc::into_inner(stores).expect("the only owner").finish().await;
}
