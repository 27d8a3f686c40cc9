//! From outcomes to lines and to a status. Invariant: pure; a batch is a success only when the log has at least one of its
//! events, and every item has exactly one line in the order of the request.

use poem::http::StatusCode;

use super::answer::{BatchBody, BatchStatus, ItemBody, ItemStatus};
use super::problem::{Code, Problem};
use crate::domain::id::{AccountId, EventId};
use crate::domain::outcome::{Failure, Outcome, Policy, Rejection};
use crate::domain::receipt::{Receipt, ReceiptSealer};
use crate::ingest::Item;

/// How receipts of one account are written.
pub(super) struct Seal<'a> {
    /// The sealer.
    pub(super) sealer: &'a ReceiptSealer,
    /// Whose they are.
    pub(super) account: &'a AccountId,
}

impl Seal<'_> {
    /// The receipt as the tenant gets it.
    pub(super) fn of(&self, receipt: &Receipt, event_id: &EventId) -> String {
        self.sealer.seal(self.account, receipt, event_id)
    }
}

/// A batch as the client reads it.
///
/// # Errors
/// What stopped the reading of the body, else the problem that stands for the whole when nothing was taken: 503 when a retry may
/// help at once, 429 when it may later, else the one status all items share, else 400.
pub(super) fn batch(
    items: Vec<Item>,
    unread: Option<Problem>,
    seal: &Seal<'_>,
    request_id: &str,
) -> Result<BatchBody, Problem> {
    let accepted = items.iter().filter(|item| item.outcome == Outcome::Accepted).count();
    let refused = items.iter().filter(|item| is_refused(item.outcome)).count() + usize::from(unread.is_some());
    let whole = (accepted == 0).then(|| whole_code(&items));
    let mut results: Vec<_> = items.into_iter().enumerate().map(|(index, item)| line(index, item, seal)).collect();
    if let Some(code) = whole {
        let unread = unread.filter(|_| code.status() != StatusCode::SERVICE_UNAVAILABLE);
        let none = || Problem::new(code, "none of the events was taken; results says why");
        let problem = unread.unwrap_or_else(none);
        return Err(if results.is_empty() { problem } else { problem.with_results(results) });
    }
    if let Some(problem) = unread {
        results.push(rest(results.len(), &problem));
    }
    Ok(BatchBody {
        status: if refused == 0 { BatchStatus::Accepted } else { BatchStatus::Partial },
        accepted: count(accepted),
        duplicates: count(results.len() - accepted - refused),
        refused: count(refused),
        results,
        pace: None,
        request_id: request_id.to_owned(),
    })
}

/// The problem of a single event that was not taken.
pub(super) fn single(item: Item) -> Problem {
    Problem::new(code(item.outcome), item.detail)
        .with_faults(item.faults)
        .with_event_id(item.event_id.map(|id| id.as_str().to_owned()))
}

fn line(index: usize, item: Item, seal: &Seal<'_>) -> ItemBody {
    let refused = is_refused(item.outcome);
    let sealed = item.event_id.as_ref().zip(item.receipt.as_ref()).map(|(id, receipt)| seal.of(receipt, id));
    let receipt = item.receipt;
    ItemBody {
        index: count(index),
        status: status(item.outcome),
        event_id: item.event_id.map(|id| id.as_str().to_owned()),
        partition: receipt.as_ref().map(|receipt| receipt.partition),
        offset: receipt.as_ref().map(|receipt| receipt.offset),
        receipt: sealed,
        code: refused.then(|| item.outcome.reason().to_owned()),
        detail: refused.then(|| item.detail.to_owned()),
        errors: (!item.faults.is_empty()).then(|| item.faults.into_iter().map(Into::into).collect()),
    }
}

/// The line that stands for the part of a body that was not read.
fn rest(index: usize, problem: &Problem) -> ItemBody {
    ItemBody {
        index: count(index),
        status: match problem.code.status() {
            _ if matches!(problem.code, Code::BodyTimeout | Code::InvalidRequest) => ItemStatus::Retry,
            StatusCode::SERVICE_UNAVAILABLE => ItemStatus::Retry,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::PAYMENT_REQUIRED => ItemStatus::Limited,
            _ => ItemStatus::Rejected,
        },
        event_id: None,
        partition: None,
        offset: None,
        receipt: None,
        code: Some(problem.code.word().to_owned()),
        detail: Some(format!("this event and all behind it were not read: {}", problem.detail())),
        errors: None,
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

    fn batch_of(items: Vec<Item>, unread: Option<Problem>, request_id: &str) -> Result<BatchBody, Problem> {
        let (sealer, account) = (ReceiptSealer::new(b"secret"), AccountId::new("acme").expect("account"));
        batch(items, unread, &Seal { sealer: &sealer, account: &account }, request_id)
    }

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
        let body = batch_of(items(&[Outcome::Accepted, Outcome::Duplicate]), None, "r").expect("taken");
        assert_eq!((body.status, body.accepted, body.duplicates, body.refused), (BatchStatus::Accepted, 1, 1, 0));
        let body = batch_of(items(&[invalid, Outcome::Accepted, away]), None, "r").expect("taken");
        assert_eq!((body.status, body.results.len()), (BatchStatus::Partial, 3));
        assert_eq!(body.results[2].status, ItemStatus::Retry);

        let refusal = |outcomes: &[Outcome], unread| batch_of(items(outcomes), unread, "r").expect_err("refused").code;
        let status = |outcomes: &[Outcome]| refusal(outcomes, None).status().as_u16();
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
    fn what_was_not_read_is_one_more_line_or_the_problem() {
        let large = || Some(Problem::new(Code::BodyTooLarge, "too large"));
        let body = batch_of(items(&[Outcome::Accepted]), large(), "r").expect("taken");
        assert_eq!((body.status, body.accepted, body.refused), (BatchStatus::Partial, 1, 1));
        assert_eq!((body.results[1].index, body.results[1].code.as_deref()), (1, Some("body_too_large")));
        let invalid = Outcome::Rejected(Rejection::Invalid);
        assert_eq!(batch_of(items(&[invalid]), large(), "r").expect_err("refused").code, Code::BodyTooLarge);
        let away = batch_of(items(&[Outcome::Failed(Failure::LogAway)]), large(), "r").expect_err("refused");
        assert_eq!(away.code.status().as_u16(), 503, "sending it again in smaller pieces helps, but not now");
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
