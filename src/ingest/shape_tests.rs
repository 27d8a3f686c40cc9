//! Bodies in other shapes than one JSON object, over a publisher that can be broken.

use super::tests::{Log, call, failing, ingest};
use super::*;
use crate::kafka::PublishError;

fn line(id: &str) -> String {
    format!("{{\"event_id\":\"{id}\",\"type\":\"n\",\"user_id\":\"u\"}}\n")
}

fn outcomes(items: &[Item]) -> Vec<Outcome> {
    items.iter().map(|item| item.outcome).collect()
}

#[tokio::test]
async fn lines_are_taken_in_chunks_and_judged_one_by_one() {
    let log = failing(vec![None, Some(PublishError::Away)]);
    let mut lines = ingest(&log).lines(call());
    let body = format!("{}{}not json\n{}{}{}", line("a"), line("b"), line("a"), line("b"), line("c").trim_end());
    for piece in body.as_bytes().chunks(7) {
        lines.feed(piece).await.expect("fits");
    }
    let (items, refusal) = lines.finish(true).await;
    assert_eq!(refusal, None);
    let away = Outcome::Failed(Failure::LogAway);
    let malformed = Outcome::Rejected(Rejection::Malformed);
    let expected = [Outcome::Accepted, away, malformed, Outcome::Duplicate, away, Outcome::Accepted];
    assert_eq!(outcomes(&items), expected);
}

#[tokio::test]
async fn a_repeat_is_known_across_chunks() {
    let log = Arc::new(Log::default());
    let mut lines = ingest(&log).lines(call());
    let ids: Vec<String> = (0..1_500).map(|id| line(&format!("e{}", id % 1_200))).collect();
    lines.feed(ids.concat().as_bytes()).await.expect("fits");
    let (items, _) = lines.finish(true).await;
    assert_eq!(items.len(), 1_500);
    assert_eq!(items.iter().filter(|item| item.outcome == Outcome::Duplicate).count(), 300);
    assert_eq!(log.taken.lock().len(), 1_200);
}

#[tokio::test]
async fn lines_over_the_cap_are_left_and_those_before_keep_their_results() {
    let log = Arc::new(Log::default());
    let body: String = (0..10_000).map(|id| line(&format!("e{id}"))).collect();
    let mut lines = ingest(&log).lines(call());
    lines.feed(body.as_bytes()).await.expect("fits");
    let full = lines.feed(line("more").as_bytes()).await;
    assert_eq!(full, Err(Refusal::TooManyEvents { max: 10_000 }));
    assert_eq!(lines.finish(false).await.0.len(), 10_000);
    assert_eq!(log.taken.lock().len(), 10_000);

    let mut lines = ingest(&log).lines(call());
    lines.feed(body.as_bytes()).await.expect("fits");
    lines.feed(line("more").trim_end().as_bytes()).await.expect("not yet a line");
    let (items, refusal) = lines.finish(true).await;
    assert_eq!((items.len(), refusal), (10_000, Some(Refusal::TooManyEvents { max: 10_000 })));
}

#[tokio::test]
async fn a_body_that_broke_off_has_no_last_line_and_an_empty_one_no_events() {
    let log = Arc::new(Log::default());
    let mut lines = ingest(&log).lines(call());
    lines.feed(format!("{}{}", line("a"), line("b").trim_end()).as_bytes()).await.expect("fits");
    let (items, refusal) = lines.finish(false).await;
    assert_eq!((outcomes(&items), refusal), (vec![Outcome::Accepted], None));
    let mut lines = ingest(&log).lines(call());
    lines.feed(b"\r\n \n").await.expect("fits");
    assert_eq!(lines.finish(true).await, (vec![], Some(Refusal::NoEvents)));
}

#[tokio::test]
async fn cloud_events_are_taken_and_their_faults_named_as_theirs() {
    let log = Arc::new(Log::default());
    let good = r#"{"specversion":"1.0","id":"a","source":"/s","type":"n","subject":"u","data":{"k":1}}"#;
    let bad = r#"{"specversion":"1.0","id":"b","source":"/s","time":"soon","data":5}"#;
    let body = format!("[{good},{bad},{good}]");
    let items = ingest(&log).batch(&call(), Layout::Many(Form::CloudEvent), body.as_bytes()).await.expect("items");
    let invalid = Outcome::Rejected(Rejection::Invalid);
    assert_eq!(outcomes(&items), [Outcome::Accepted, invalid, Outcome::Duplicate]);
    let pointers: Vec<_> = items[1].faults.iter().map(|fault| &*fault.pointer).collect();
    assert_eq!(pointers, ["/type", "/subject", "/time", "/data"]);
    let empty = ingest(&log).single(&call(), Form::CloudEvent, b"{}").await.expect("an item");
    let pointers: Vec<_> = empty.faults.iter().map(|fault| &*fault.pointer).collect();
    assert_eq!(pointers, ["/specversion", "/id", "/source", "/type", "/subject"]);
    assert_eq!(log.taken.lock().len(), 1);
}

#[tokio::test]
async fn validating_publishes_nothing() {
    let log = Arc::new(Log::default());
    let one = line("a");
    let items = ingest(&log).validate(&call(), Layout::Either, one.as_bytes()).expect("items");
    assert_eq!((outcomes(&items), items[0].receipt.as_ref()), (vec![Outcome::Accepted], None));
    let many = format!("{{\"events\":[{one},{{}},{one}]}}");
    let items = ingest(&log).validate(&call(), Layout::Either, many.as_bytes()).expect("items");
    let invalid = Outcome::Rejected(Rejection::Invalid);
    assert_eq!(outcomes(&items), [Outcome::Accepted, invalid, Outcome::Duplicate]);
    assert!(log.taken.lock().is_empty());
}

#[tokio::test]
async fn the_senders_clock_is_corrected() {
    let log = Arc::new(Log::default());
    // Ours says 1,700,000,000; the sender's is an hour ahead.
    let event = r#"{"type":"n","user_id":"u","timestamp":1700003590}"#;
    let body = format!("{{\"sent_at\":1700003600,\"events\":[{event}]}}");
    let layout = Layout::Many(Form::Event);
    let items = ingest(&log).batch(&call(), layout, body.as_bytes()).await.expect("items");
    assert_eq!(outcomes(&items), [Outcome::Accepted]);
    let record = log.taken.lock().pop().expect("one");
    let text = String::from_utf8(record.value.expect("value").to_vec()).expect("text");
    assert!(text.contains("2023-11-14T22:13:10"), "{text}");
    let bad = format!("{{\"sent_at\":\"soon\",\"events\":[{event}]}}");
    let refusal = ingest(&log).batch(&call(), layout, bad.as_bytes()).await.expect_err("refused");
    assert!(matches!(refusal, Refusal::Malformed { faults, .. } if faults[0].pointer == "/sent_at"));
}
