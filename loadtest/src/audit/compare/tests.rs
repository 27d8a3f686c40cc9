//! The auditor audited: a sound run passes, and every kind of planted fault is caught as what it is.

use super::*;
use crate::journal::{Attempt, Header, Item, Line, Placed};

const SECOND: u64 = 1_000_000;

fn header() -> Line {
    Line::Header(Header { run: "lt1".into(), start_micros: 0, account_prefix: "lt1-".into(), accounts: 2 })
}

fn sent(request: u64, attempt: u32) -> Line {
    let at = request * SECOND;
    Line::Attempt(Attempt { request, attempt, account: 0, first: request, count: 1, due: at, sent: at })
}

fn answer(request: u64, attempt: u32, status: u16, items: Vec<Item>) -> Line {
    Line::Answer { request, attempt, at: request * SECOND + 5_000, status, items }
}

fn accepted(request: u64) -> [Line; 2] {
    let placed = Placed { topic: 0, partition: 0, offset: request as i64 };
    [sent(request, 0), answer(request, 0, 202, vec![Item::Accepted(Some(placed))])]
}

fn audit(lines: impl IntoIterator<Item = Line>, rows: &[(&str, u64)], counts: &[(&str, i64)]) -> Findings {
    let mut ledger = Ledger::default();
    ledger.take(header());
    lines.into_iter().for_each(|line| ledger.take(line));
    ledger.close_run();
    let mut comparison = Comparison::new(ledger, 15 * SECOND as i64);
    for (account, number) in rows {
        comparison.row(account, &event_id("lt1", *number), (*number * SECOND + 80_000) as i64);
    }
    counts.iter().for_each(|(account, sum)| comparison.counts(account, *sum));
    comparison.finish()
}

/// The names of what was found.
fn found(findings: &Findings) -> Vec<&'static str> {
    findings.deviations().into_iter().filter(|(_, deviation)| deviation.count > 0).map(|(name, _)| name).collect()
}

const A0: &str = "lt1-00000";
const A1: &str = "lt1-00001";

#[test]
fn a_sound_run_is_clean_and_timed_from_the_due_time() {
    let findings = audit((0..3).flat_map(accepted), &[(A0, 0), (A0, 1), (A0, 2)], &[(A0, 3)]);
    assert!(findings.clean(), "{findings:?}");
    assert_eq!((findings.accepted, findings.stored), (3, 3));
    assert!(findings.end_to_end.is_some_and(|latency| (latency.p50_ms - 80.0).abs() < 1.0));
}

#[test]
fn a_planted_loss_is_caught() {
    let findings = audit((0..3).flat_map(accepted), &[(A0, 0), (A0, 2)], &[(A0, 2)]);
    assert_eq!(found(&findings), ["accepted but lost"]);
    assert_eq!(findings.lost.examples, [format!("{A0} {}", event_id("lt1", 1))]);
}

#[test]
fn a_planted_duplicate_is_caught_as_row_and_as_count() {
    let twice = audit(accepted(0), &[(A0, 0), (A0, 0)], &[(A0, 2)]);
    assert_eq!(found(&twice), ["stored twice"]);
    let counted_twice = audit(accepted(0), &[(A0, 0)], &[(A0, 2)]);
    assert_eq!(found(&counted_twice), ["counts unequal rows"]);
    let not_counted = audit(accepted(0), &[(A0, 0)], &[]);
    assert_eq!(found(&not_counted), ["counts unequal rows"]);
}

#[test]
fn a_planted_row_without_request_is_caught() {
    assert_eq!(found(&audit(accepted(0), &[(A0, 0), (A0, 7)], &[(A0, 2)])), ["rows without request"]);
    assert_eq!(found(&audit(accepted(0), &[(A0, 0), (A1, 0)], &[(A0, 1), (A1, 1)])), ["rows without request"]);
}

#[test]
fn a_planted_reorder_is_caught() {
    let placed = |offset| vec![Item::Accepted(Some(Placed { topic: 0, partition: 0, offset }))];
    let lines = [sent(0, 0), answer(0, 0, 202, placed(9)), sent(1, 0), answer(1, 0, 202, placed(8))];
    assert_eq!(found(&audit(lines, &[(A0, 0), (A0, 1)], &[(A0, 2)])), ["out of order"]);
}

#[test]
fn a_refused_event_must_not_be_stored() {
    for (status, items) in [(429, Vec::new()), (400, Vec::new()), (207, vec![Item::Limited])] {
        let lines = [sent(0, 0), answer(0, 0, status, items)];
        assert_eq!(found(&audit(lines.clone(), &[(A0, 0)], &[(A0, 1)])), ["refused but stored"]);
        assert!(audit(lines, &[], &[]).clean());
    }
}

#[test]
fn an_open_event_may_be_stored_or_not() {
    let reset = Line::Lost { request: 0, attempt: 0, at: 5, lost: Lost::Reset };
    for lines in [vec![sent(0, 0), reset], vec![sent(0, 0)], vec![sent(0, 0), answer(0, 0, 503, Vec::new())]] {
        let stored = audit(lines.clone(), &[(A0, 0)], &[(A0, 1)]);
        assert!(stored.clean() && stored.stored_unpromised == 1, "{stored:?}");
        let absent = audit(lines, &[], &[]);
        assert!(absent.clean() && absent.open_not_stored == 1, "{absent:?}");
    }
}

#[test]
fn what_never_left_must_not_be_stored() {
    let refused = Line::Lost { request: 0, attempt: 0, at: 5, lost: Lost::Refused };
    assert_eq!(found(&audit([sent(0, 0), refused], &[(A0, 0)], &[(A0, 1)])), ["rows without request"]);
}

#[test]
fn a_retry_that_was_accepted_binds() {
    let lines = [sent(0, 0), answer(0, 0, 503, Vec::new()), sent(0, 1), answer(0, 1, 202, vec![Item::Accepted(None)])];
    assert_eq!(found(&audit(lines, &[], &[])), ["accepted but lost"]);
}

#[test]
fn late_and_missing_answers_are_caught() {
    let late = Line::Answer { request: 0, attempt: 0, at: 16 * SECOND, status: 504, items: Vec::new() };
    let missing = Line::Lost { request: 0, attempt: 0, at: 16 * SECOND, lost: Lost::Timeout };
    for end in [late, missing] {
        assert_eq!(found(&audit([sent(0, 0), end], &[], &[])), ["late or unanswered"]);
    }
}
