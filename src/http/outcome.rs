//! From outcomes to lines and to a status. Invariant: pure; a batch is a success only when the log has at least one of its
//! events, and every item has exactly one line in the order of the request.

use poem::http::StatusCode;

use super::answer::{BatchBody, BatchStatus, ItemBody, ItemStatus};
use super::problem::{Code, Problem};
use crate::domain::outcome::{Failure, Outcome, Policy, Rejection};
use crate::ingest::Item;

/// A batch as the client reads it.
///
/// # Errors
/// The problem that stands for the whole when nothing was taken: 503 when a retry may help at once, 429 when it may later, else the one status all
/// items share, else 400.
pub(super) fn batch(items: Vec<Item>, request_id: &str) -> Result<BatchBody, Problem> {
    let accepted = items.iter().filter(|item| item.outcome == Outcome::Accepted).count();
    let refused = items.iter().filter(|item| is_refused(item.outcome)).count();
    let whole = (accepted == 0).then(|| whole_code(&items));
    let results: Vec<_> = items.into_iter().enumerate().map(|(index, item)| line(index, item)).collect();
    if let Some(code) = whole {
        return Err(Problem::new(code, "none of the events was taken; results says why").with_results(results));
    }
    Ok(BatchBody {
        status: if refused == 0 { BatchStatus::Accepted } else { BatchStatus::Partial },
        accepted: count(accepted),
        duplicates: count(results.len() - accepted - refused),
        refused: count(refused),
        results,
        request_id: request_id.to_owned(),
    })
}

/// The problem of a single event that was not taken.
pub(super) fn single(item: Item) -> Problem {
    Problem::new(code(item.outcome), item.detail)
        .with_faults(item.faults)
        .with_event_id(item.event_id.map(|id| id.as_str().to_owned()))
}

fn line(index: usize, item: Item) -> ItemBody {
    let (receipt, refused) = (item.receipt, is_refused(item.outcome));
    ItemBody {
        index: count(index),
        status: status(item.outcome),
        event_id: item.event_id.map(|id| id.as_str().to_owned()),
        partition: receipt.as_ref().map(|receipt| receipt.partition),
        offset: receipt.as_ref().map(|receipt| receipt.offset),
        receipt: receipt.map(|receipt| receipt.to_string()),
        code: refused.then(|| item.outcome.reason().to_owned()),
        detail: refused.then(|| item.detail.to_owned()),
        errors: (!item.faults.is_empty()).then(|| item.faults.into_iter().map(Into::into).collect()),
    }
}

fn is_refused(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::Accepted | Outcome::Duplicate)
}

fn status(outcome: Outcome) -> ItemStatus {
    match outcome {
        Outcome::Accepted => ItemStatus::Accepted,
        Outcome::Duplicate => ItemStatus::Duplicate,
        Outcome::Rejected(_) | Outcome::DeadLettered(_) => ItemStatus::Rejected,
        Outcome::Limited(_) => ItemStatus::Limited,
        Outcome::Failed(_) => ItemStatus::Retry,
    }
}

fn code(outcome: Outcome) -> Code {
    let status = match outcome {
        Outcome::Rejected(Rejection::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
        Outcome::Rejected(Rejection::AccountMismatch) => StatusCode::FORBIDDEN,
        Outcome::Rejected(_) | Outcome::DeadLettered(_) => StatusCode::BAD_REQUEST,
        Outcome::Limited(Policy::Monthly) => StatusCode::PAYMENT_REQUIRED,
        Outcome::Limited(_) => StatusCode::TOO_MANY_REQUESTS,
        Outcome::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
        // Asked only of what was not taken; saying so beats claiming a status.
        Outcome::Accepted | Outcome::Duplicate => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Code::Outcome(status, outcome.reason())
}

fn whole_code(items: &[Item]) -> Code {
    let codes = || items.iter().filter(|item| is_refused(item.outcome)).map(|item| code(item.outcome));
    // That an item may have been taken after all must not hide behind one that certainly was not.
    let unknown =
        items.iter().find(|item| item.outcome == Outcome::Failed(Failure::Unknown)).map(|item| code(item.outcome));
    let retry = unknown.or_else(|| codes().find(|code| code.status() == StatusCode::SERVICE_UNAVAILABLE));
    let limited =
        items.iter().map(|item| item.outcome).find(|outcome| matches!(outcome, Outcome::Limited(_))).map(code);
    let first = codes().next().filter(|first| codes().all(|code| code.status() == first.status()));
    retry.or(limited).or(first).unwrap_or(Code::Outcome(StatusCode::BAD_REQUEST, Rejection::Invalid.code()))
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(outcomes: &[Outcome]) -> Vec<Item> {
        outcomes.iter().map(|outcome| item(*outcome)).collect()
    }

    fn item(outcome: Outcome) -> Item {
        Item { event_id: None, outcome, receipt: None, faults: Vec::new(), detail: "" }
    }

    #[test]
    fn an_unknown_outcome_is_never_hidden() {
        let code = whole_code(&items(&[Outcome::Failed(Failure::QueueFull), Outcome::Failed(Failure::Unknown)]));
        assert_eq!(code.word(), Failure::Unknown.code());
    }

    #[test]
    fn a_batch_is_whole_partial_or_a_problem() {
        let invalid = Outcome::Rejected(Rejection::Invalid);
        let foreign = Outcome::Rejected(Rejection::AccountMismatch);
        let away = Outcome::Failed(Failure::LogAway);
        let body = batch(items(&[Outcome::Accepted, Outcome::Duplicate]), "r").expect("taken");
        assert_eq!((body.status, body.accepted, body.duplicates, body.refused), (BatchStatus::Accepted, 1, 1, 0));
        let body = batch(items(&[invalid, Outcome::Accepted, away]), "r").expect("taken");
        assert_eq!((body.status, body.results.len()), (BatchStatus::Partial, 3));
        assert_eq!(body.results[2].status, ItemStatus::Retry);

        let status = |outcomes: &[Outcome]| batch(items(outcomes), "r").expect_err("refused").code.status().as_u16();
        assert_eq!(status(&[foreign, foreign]), 403);
        assert_eq!(status(&[foreign, invalid]), 400);
        assert_eq!(status(&[invalid, away]), 503);
        let limited = Outcome::Limited(Policy::Burst);
        assert_eq!(status(&[invalid, limited]), 429);
        assert_eq!(status(&[limited, away]), 503);
        assert_eq!(status(&[Outcome::Limited(Policy::Monthly)]), 402);
        assert_eq!(status(&[away, Outcome::Duplicate]), 503, "a duplicate of what was not taken is no success");
    }

    #[test]
    fn every_refusal_of_a_single_event_has_its_status() {
        let of = |outcome| single(item(outcome)).code.status().as_u16();
        assert_eq!(of(Outcome::Rejected(Rejection::Malformed)), 400);
        assert_eq!(of(Outcome::Rejected(Rejection::TooLarge)), 413);
        assert_eq!(of(Outcome::Rejected(Rejection::AccountMismatch)), 403);
        assert_eq!(of(Outcome::Failed(Failure::Unknown)), 503);
    }
}
