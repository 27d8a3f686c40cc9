//! Questions and answers as the script's arguments and reply. Invariant: the order here is the order in `charge.lua`'s header.

use redis::Cmd;

use crate::domain::outcome::Policy;
use crate::domain::ring::{Answer, Ask, Denial, Rule, Span, Told, Unit, Used};

/// Milliseconds a silent account's windows are kept: two of the longest sliding window.
const KEPT_MS: i64 = 120_000;

/// The same where unused allowance is saved up.
const KEPT_WITH_BANK_MS: i64 = 86_400_000;

/// The same where a month is counted: one and a bit.
const KEPT_WITH_MONTH_MS: i64 = 40 * 86_400_000;

/// Appends the arguments of a question.
pub(super) fn arguments(command: &mut Cmd, ask: &Ask) {
    command
        .arg(&*ask.instance)
        .arg(ask.number)
        .arg(ask.unheard)
        .arg(ask.sharers)
        .arg(ask.hold_ttl)
        .arg(kept_ms(&ask.rules));
    command.arg(&ask.need[..]);
    for hold in &ask.holds {
        command.arg(hold.keep).arg(hold.wish);
    }
    command.arg(ask.rules.len());
    for rule in ask.rules.iter() {
        let (kind, values) = match rule.span {
            Span::Sliding { buckets, width, offset } => (0, [buckets, width, offset, 0]),
            Span::Calendar { index, start, end, next_end } => (1, [index, start, end, next_end]),
        };
        command.arg(letter(rule.policy)).arg(rule.unit.index()).arg(u8::from(rule.enforced));
        command.arg(rule.limit).arg(rule.bank).arg(kind).arg(&values[..]);
    }
    for unit in Unit::ALL {
        told(command, &ask.spent[unit.index()]);
    }
    told(command, &ask.refunds);
}

fn told(command: &mut Cmd, entries: &[Told]) {
    command.arg(entries.len());
    for Told { dated, first } in entries {
        command.arg(dated.age).arg(dated.amount).arg(*first);
    }
}

/// Reads the reply; `None` when it is not one.
pub(super) fn answer(ask: &Ask, reply: &[i64]) -> Option<Answer> {
    let [now, events, bytes, leased_events, leased_bytes, rest @ ..] = reply else { return None };
    let (used, last) = rest.split_at_checked(2 * ask.rules.len())?;
    let [denied_by, wait, earliest] = *last else { return None };
    let used = used.chunks_exact(2).map(|pair| Used { used: pair[0], capacity: pair[1] }).collect();
    let denial = usize::try_from(denied_by).ok().map(|rule| Denial { rule, wait, earliest });
    let (granted, lease) = ([*events, *bytes], [*leased_events, *leased_bytes]);
    Some(Answer { now: *now, granted, lease, used, denial })
}

fn letter(policy: Policy) -> &'static str {
    match policy {
        Policy::Sustained => "s",
        Policy::Burst => "b",
        Policy::Bytes => "y",
        Policy::Monthly => "m",
        Policy::Concurrent => "c",
    }
}

fn kept_ms(rules: &[Rule]) -> i64 {
    let kept = rules.iter().map(|rule| match rule.span {
        Span::Calendar { .. } => KEPT_WITH_MONTH_MS,
        Span::Sliding { .. } if rule.bank > 0 => KEPT_WITH_BANK_MS,
        Span::Sliding { .. } => KEPT_MS,
    });
    kept.max().unwrap_or(KEPT_MS)
}
