//! From the body of an answer to one item an event. Invariant: what a 2xx says is never read as less than a promise: an answer
//! this file cannot read counts every event of the request as accepted, so that the auditor looks for them all.

use std::borrow::Cow;
use std::io;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::client::Answer;
use crate::journal::{Item, Journal, Placed};

/// A single's answer, an item of a batch's, or a problem.
#[derive(Debug, Deserialize)]
struct Spoken<'a> {
    #[serde(borrow, default)]
    status: Option<Word<'a>>,
    #[serde(borrow, default)]
    receipt: Option<Cow<'a, str>>,
}

/// `status` is a word in results and a number in problems.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Word<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Number(IgnoredAny),
}

#[derive(Debug, Deserialize)]
struct Results<'a> {
    #[serde(borrow)]
    results: Vec<Spoken<'a>>,
}

/// The items of an answer to a request of `count` events; empty when it speaks of the request as a whole.
///
/// # Errors
/// When the journal cannot note a new topic.
pub fn items(answer: &Answer<'_>, count: u32, journal: &Journal) -> io::Result<Vec<Item>> {
    let expected = count as usize;
    if let Ok(Results { results }) = serde_json::from_slice::<Results<'_>>(answer.body)
        && results.len() == expected
    {
        return results.iter().map(|spoken| item(spoken, journal)).collect();
    }
    if !(200..300).contains(&answer.status) {
        return Ok(Vec::new());
    }
    match serde_json::from_slice::<Spoken<'_>>(answer.body) {
        Ok(spoken) if expected == 1 => Ok(vec![item(&spoken, journal)?]),
        _ => Ok(vec![Item::Accepted(None); expected]),
    }
}

fn item(spoken: &Spoken<'_>, journal: &Journal) -> io::Result<Item> {
    let word = match &spoken.status {
        Some(Word::Text(word)) => word.as_ref(),
        Some(Word::Number(_)) | None => "accepted",
    };
    Ok(match word {
        "duplicate" => Item::Duplicate,
        "rejected" => Item::Rejected,
        "limited" => Item::Limited,
        "retry" => Item::Retry,
        _ => Item::Accepted(match spoken.receipt.as_deref().and_then(split_receipt) {
            Some((topic, partition, offset)) => Some(Placed { topic: journal.topic(topic)?, partition, offset }),
            None => None,
        }),
    })
}

/// Takes `topic/partition/offset` apart, whatever follows it.
fn split_receipt(receipt: &str) -> Option<(&str, i32, i64)> {
    let mut parts = receipt.split('/');
    Some((parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn read(status: u16, body: &str, count: u32) -> Vec<Item> {
        let answer = Answer { status, retry_after: None, body: body.as_bytes() };
        items(&answer, count, &Journal::none(Instant::now())).expect("no journal, no error")
    }

    fn placed(partition: i32, offset: i64) -> Item {
        Item::Accepted(Some(Placed { topic: 0, partition, offset }))
    }

    #[test]
    fn a_single_carries_its_receipt() {
        let body =
            r#"{"status":"accepted","event_id":"e","partition":3,"offset":9,"receipt":"weir.events/3/9/c2VhbA/e/1"}"#;
        assert_eq!(read(202, body, 1), [placed(3, 9)]);
        assert_eq!(read(202, "{\"status\":\"accepted\"}", 1), [Item::Accepted(None)]);
    }

    #[test]
    fn a_batch_is_read_item_by_item_whatever_the_status() {
        let body = r#"{"results":[{"status":"accepted","receipt":"t/0/1"},{"status":"duplicate"},{"status":"rejected"},
            {"status":"limited"},{"status":"retry"}]}"#;
        let expected = [placed(0, 1), Item::Duplicate, Item::Rejected, Item::Limited, Item::Retry];
        assert_eq!(read(207, body, 5), expected);
        assert_eq!(read(503, r#"{"results":[{"status":"retry"}]}"#, 1), [Item::Retry]);
    }

    #[test]
    fn a_problem_speaks_of_the_whole_request() {
        assert_eq!(read(503, r#"{"type":"about:blank","status":503,"code":"log_unavailable"}"#, 100), []);
    }

    #[test]
    fn an_unreadable_success_promises_everything() {
        assert_eq!(read(202, "ok", 2), [Item::Accepted(None), Item::Accepted(None)]);
        assert_eq!(
            read(202, r#"{"results":[{"status":"accepted"}]}"#, 2),
            [Item::Accepted(None), Item::Accepted(None)]
        );
    }
}
