//! The door of events, from bytes to counted answers, over a publisher that can be broken.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::codec::envelope;
use crate::config::LimitConfig;
use crate::domain::id::AccountId;
use crate::domain::outcome::Policy;
use crate::domain::tenant::Scopes;
use crate::kafka::{Placement, PublishError};
use crate::limit::{Limiter, Quotas};

const OBJECT: Layout = Layout::Many(Form::Event);

/// A log that fails as it is told, and answers `Ok` beyond that.
#[derive(Default)]
pub(super) struct Log {
    answers: Mutex<Vec<Option<PublishError>>>,
    pub(super) taken: Mutex<Vec<Record>>,
    hangs: bool,
}

impl Publish for Log {
    fn publish(&self, records: Vec<Record>, _: Instant) -> BoxFuture<'_, Vec<Result<Placement, PublishError>>> {
        let answer = |position: usize| match self.answers.lock().get(position).cloned().flatten() {
            Some(error) => Err(error),
            None => Ok(Placement { partition: 3, offset: i64::try_from(position).unwrap_or(0) }),
        };
        let results = (0..records.len()).map(answer).collect();
        self.taken.lock().extend(records);
        if self.hangs { std::future::pending().boxed() } else { std::future::ready(results).boxed() }
    }
}

/// A limiter on its own, without Redis.
fn limiter(adjust: impl FnOnce(&mut LimitConfig)) -> Limiter {
    let mut config = Config::from_env().expect("defaults").limit;
    adjust(&mut config);
    let quotas = Arc::new(Quotas::new(config.default_quota()));
    Limiter::start(&config, None, quotas, &TaskTracker::new(), CancellationToken::new())
}

pub(super) fn call() -> Call {
    call_of(&limiter(|config| (config.limit_sustained, config.limit_burst) = (1_000_000, 1_000_000)))
}

fn call_of(limiter: &Limiter) -> Call {
    let now = Timestamp::from_unix_seconds(1_700_000_000).expect("time");
    let tenant = Tenant {
        account_id: AccountId::new("acme").expect("id"),
        scopes: Scopes::default(),
        operator: false,
        expires_at: now,
    };
    Call {
        pass: Arc::new(limiter.gate(&tenant.account_id, 0).expect("open")),
        tenant: Arc::new(tenant),
        request_id: "r-1".into(),
        traceparent: Some("00-t".into()),
        received_at: now,
        skew_micros: 0,
    }
}

pub(super) fn ingest(log: &Arc<Log>) -> Ingest {
    Ingest::new(&Config::from_env().expect("defaults"), Arc::clone(log) as Arc<dyn Publish>)
}

pub(super) fn failing(answers: Vec<Option<PublishError>>) -> Arc<Log> {
    Arc::new(Log { answers: Mutex::new(answers), ..Log::default() })
}

fn events(count: usize) -> String {
    let events: Vec<_> =
        (0..count).map(|id| format!("{{\"event_id\":\"e{id}\",\"type\":\"n\",\"user_id\":\"u\"}}")).collect();
    format!("{{\"events\":[{}]}}", events.join(","))
}

#[tokio::test]
async fn an_accepted_event_has_a_receipt_and_a_sealed_record() {
    let log = Arc::new(Log::default());
    let body = br#"{"event_id":"e1","type":"n","user_id":"u","value":1.0}"#;
    let item = ingest(&log).single(&call(), Form::Event, body).await.expect("an item");
    assert_eq!(item.outcome, Outcome::Accepted);
    assert_eq!(item.receipt.expect("receipt").to_string(), "weir.events/3/0");
    let record = log.taken.lock().pop().expect("one");
    assert_eq!(record.key.as_deref(), Some(&b"acme"[..]));
    let names: Vec<_> = record.headers.iter().map(|(name, _)| name.as_ref()).collect();
    assert_eq!(names, ["account_id", "event_id", "received_at", "traceparent", "request_id", "v"]);
    let event = envelope::decode(record.value.as_deref(), Some(b"1")).expect("canonical");
    assert_eq!((event.event_id.as_str(), event.value.as_deref()), ("e1", Some("1.0")));
}

#[tokio::test]
async fn a_single_event_is_refused_malformed_rejected_or_too_large() {
    let log = Arc::new(Log::default());
    let ingest = ingest(&log);
    let refusal = ingest.single(&call(), Form::Event, b"{\"user_id\":\"\\u0000\"}").await.expect_err("malformed");
    assert!(matches!(refusal, Refusal::Malformed { faults, .. } if faults[0].pointer == "/user_id"));
    let item = ingest.single(&call(), Form::Event, b"{}").await.expect("an item");
    assert_eq!((item.outcome, item.faults.len()), (Outcome::Rejected(Rejection::Invalid), 2));
    let item = ingest.single(&call(), Form::Event, &vec![b' '; 65_537]).await.expect("an item");
    assert_eq!(item.outcome, Outcome::Rejected(Rejection::TooLarge));
    assert!(log.taken.lock().is_empty());
}

#[tokio::test]
async fn one_bad_event_never_harms_its_neighbours_and_order_is_kept() {
    let log = failing(vec![None, Some(PublishError::QueueFull), Some(PublishError::Unknown)]);
    let body = br#"{"events":[
        {"event_id":"a","type":"n","user_id":"u"}, 5, {"event_id":"b","type":"n"},
        {"event_id":"a","type":"other","user_id":"u"}, {"event_id":"b","type":"n","user_id":"u"},
        {"event_id":"c","type":"n","user_id":"u","metadata":{"x":1,"x":2}},
        {"event_id":"d","type":"n","user_id":"u","account_id":"evil"}, {"type":"n","user_id":"u"}]}"#;
    let items = ingest(&log).batch(&call(), OBJECT, body).await.expect("items");
    let outcomes: Vec<_> = items.iter().map(|item| item.outcome).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Accepted,
            Outcome::Rejected(Rejection::Malformed),
            Outcome::Rejected(Rejection::Invalid),
            Outcome::Duplicate,
            Outcome::Failed(Failure::QueueFull),
            Outcome::Rejected(Rejection::Malformed),
            Outcome::Rejected(Rejection::AccountMismatch),
            Outcome::Failed(Failure::Unknown),
        ]
    );
    assert!(items[7].event_id.is_some(), "the id we made, for the retry");
    assert_eq!(items[5].faults[0].pointer, "/metadata/x");
    assert_eq!(log.taken.lock().len(), 3, "a rejected event does not make a later one with its id a duplicate");
}

#[tokio::test]
async fn a_repeat_of_what_was_not_taken_shares_its_fate() {
    let body = br#"{"events":[{"event_id":"a","type":"n","user_id":"u"},{"event_id":"a","type":"n","user_id":"u"}]}"#;
    for (error, outcome) in [
        (PublishError::Away, Outcome::Failed(Failure::LogAway)),
        (PublishError::Unknown, Outcome::Failed(Failure::Unknown)),
        (PublishError::TooLarge, Outcome::Rejected(Rejection::TooLarge)),
    ] {
        let items = ingest(&failing(vec![Some(error)])).batch(&call(), OBJECT, body).await.expect("items");
        assert_eq!(items.iter().map(|item| item.outcome).collect::<Vec<_>>(), [outcome, outcome]);
        assert!(items.iter().all(|item| item.event_id.is_some()));
    }
}

#[tokio::test]
async fn a_batch_has_at_least_one_and_at_most_the_configured_events() {
    let log = Arc::new(Log::default());
    let ingest = ingest(&log);
    assert_eq!(ingest.batch(&call(), OBJECT, b"{\"events\":[]}").await, Err(Refusal::NoEvents));
    assert_eq!(ingest.batch(&call(), OBJECT, b"{}").await, Err(Refusal::NoEvents));
    assert_eq!(ingest.batch(&call(), OBJECT, events(1_000).as_bytes()).await.expect("items").len(), 1_000);
    let refusal = ingest.batch(&call(), OBJECT, events(1_001).as_bytes()).await;
    assert_eq!(refusal, Err(Refusal::TooManyEvents { max: 1_000 }));
    assert!(matches!(ingest.batch(&call(), OBJECT, b"{\"events\":[{]}").await, Err(Refusal::Malformed { .. })));
}

#[tokio::test]
async fn what_the_log_says_becomes_the_outcome() {
    for (error, outcome) in [
        (PublishError::Away, Outcome::Failed(Failure::LogAway)),
        (PublishError::Refused("no topic".into()), Outcome::Failed(Failure::LogAway)),
        (PublishError::TooLarge, Outcome::Rejected(Rejection::TooLarge)),
    ] {
        let items =
            ingest(&failing(vec![Some(error)])).batch(&call(), OBJECT, events(1).as_bytes()).await.expect("items");
        assert_eq!((items[0].outcome, items[0].receipt.as_ref()), (outcome, None));
    }
}

/// The one test that looks at absolute counts of failed(unknown) by dropping; others may add to them at the same time, so it
/// only asks for at least its own.
#[tokio::test]
async fn events_of_a_request_that_is_dropped_are_counted_as_unknown() {
    let unknown = Outcome::Failed(Failure::Unknown);
    let before = metrics::count(unknown);
    let log = Arc::new(Log { hangs: true, ..Log::default() });
    let (ingest, call, body) = (ingest(&log), call(), events(40));
    let dropped = tokio::time::timeout(Duration::from_millis(10), ingest.batch(&call, OBJECT, body.as_bytes())).await;
    assert!(dropped.is_err());
    assert!(metrics::count(unknown) >= before + 40);
}

#[tokio::test]
async fn a_batch_is_charged_in_order_and_what_failed_comes_back() {
    let log = failing(vec![None, Some(PublishError::Away), Some(PublishError::Unknown)]);
    let limiter = limiter(|config| config.limit_sustained = 4);
    let first = call_of(&limiter);
    let items = ingest(&log).batch(&first, OBJECT, events(6).as_bytes()).await.expect("items");
    let outcomes: Vec<_> = items.iter().map(|item| item.outcome).collect();
    let limited = Outcome::Limited(Policy::Sustained);
    let (away, unknown) = (Outcome::Failed(Failure::LogAway), Outcome::Failed(Failure::Unknown));
    assert_eq!(outcomes, [Outcome::Accepted, away, unknown, Outcome::Accepted, limited, limited]);
    let refusal = *first.pass.refusal().expect("told");
    assert_eq!((refusal.policy, refusal.limit), (Policy::Sustained, 4));
    assert!(limiter.gate(&first.tenant.account_id, 0).is_err(), "remembered");

    let until = Instant::now() + Duration::from_secs(10);
    while limiter.gate(&first.tenant.account_id, 0).is_err() {
        assert!(Instant::now() < until, "the refund frees the way");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let items = ingest(&Arc::new(Log::default())).batch(&call_of(&limiter), OBJECT, events(3).as_bytes()).await;
    let outcomes: Vec<_> = items.expect("items").iter().map(|item| item.outcome).collect();
    assert_eq!(outcomes, [Outcome::Accepted, limited, limited], "the one the log was away for");
}
