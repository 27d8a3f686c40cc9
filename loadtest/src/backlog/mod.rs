//! How long a small account's fresh event waits behind the backlog of a large one, with lanes and without. Steps: the worker stands
//! still → the large account piles up → small accounts send one event each → the worker starts → who was stored when. Invariant:
//! both arms are the same run but for the bound, and times are those of one clock, the database's.

mod send;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::say;
use crate::stack::Stack;

/// The account that piles up.
const WHALE: &str = "whale";

/// Small accounts; about one in six shares the large one's partition.
const SMALL: usize = 90;

/// Records of one account that may wait in the standard lane: the service's default, and as good as none.
const BOUNDS: [(&str, u64); 2] = [("with lanes", 5_000), ("without lanes", 1_000_000_000)];

/// Events of one request.
const BATCH: u64 = 1_000;

/// How long the worker may take for everything.
const DRAINED_WITHIN: Duration = Duration::from_secs(1_800);

/// The figures of a run.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Events the large account piles up.
    pub piled: u64,
    /// With lanes, then without.
    pub arms: Vec<Arm>,
}

/// One arm.
#[derive(Debug, Serialize)]
pub struct Arm {
    /// Which.
    pub name: &'static str,
    /// Records that one account may have waiting in the standard lane.
    pub bound: u64,
    /// Events of the large account that took the bulk lane.
    pub in_bulk: u64,
    /// Rows the worker wrote a second, over the whole run.
    pub rows_per_second: f64,
    /// Small accounts whose partition is the large one's.
    pub own_partition: Waits,
    /// The others.
    pub elsewhere: Waits,
}

/// How long fresh events waited, from the first row the worker wrote.
#[derive(Debug, Clone, Serialize)]
pub struct Waits {
    /// Accounts with one event each.
    pub accounts: usize,
    /// Half of them were stored after.
    pub p50_ms: f64,
    /// The last one was stored after.
    pub max_ms: f64,
    /// Rows of the large account that were stored before the last one.
    pub rows_before: u64,
}

/// Measures both arms.
///
/// # Errors
/// When an event is not taken or not stored.
pub fn measure(weir: &Path, piled: u64) -> anyhow::Result<Figures> {
    let arms = BOUNDS.into_iter().map(|(name, bound)| arm(weir, piled, (name, bound))).collect::<Result<_, _>>()?;
    Ok(Figures { piled, arms })
}

fn arm(weir: &Path, piled: u64, (name, bound): (&'static str, u64)) -> anyhow::Result<Arm> {
    let stack = Stack::start(weir, &[("WEIR_LANE_BACKLOG".to_owned(), bound.to_string())])?;
    stack.api.start()?;
    stack.api.wait_ready()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (home, in_bulk) = runtime.block_on(send::pile_up(&stack, WHALE, piled / BATCH, BATCH))?;
    let mut partitions = Vec::with_capacity(SMALL);
    for number in 0..SMALL {
        partitions.push(runtime.block_on(send::one(&stack, &account(number)))?);
    }
    let all = piled / BATCH * BATCH + SMALL as u64;
    stack.worker.start()?;
    let drained = weir_local::poll(DRAINED_WITHIN, || (stack.stored().ok()? >= all).then_some(()));
    drained.with_context(|| format!("not drained in time; end of the log:\n{}", stack.worker.log_tail()))?;
    let stored = stored(&stack)?;
    let rows_per_second = stack.sql(
        "SELECT round(count(*) / greatest(extract(epoch FROM max(stored_at) - min(stored_at)), 0.001)) FROM events",
    )?;
    stack.stop()?;
    let waits = |own: bool| {
        let chosen = stored.iter().filter(|one| (partitions[one.number] == home) == own);
        waits(chosen.cloned().collect())
    };
    let arm = Arm {
        name,
        bound,
        in_bulk,
        rows_per_second: rows_per_second.trim().parse().context("rows a second")?,
        own_partition: waits(true)?,
        elsewhere: waits(false)?,
    };
    say(format_args!(
        "{name:<14} {in_bulk:>9} of {piled} in bulk  own partition: p50 {:>8.0} ms, last {:>8.0} ms after {:>7} rows  elsewhere: \
         p50 {:>6.0} ms, last {:>6.0} ms  ({:.0} rows/s)",
        arm.own_partition.p50_ms,
        arm.own_partition.max_ms,
        arm.own_partition.rows_before,
        arm.elsewhere.p50_ms,
        arm.elsewhere.max_ms,
        arm.rows_per_second,
    ));
    Ok(arm)
}

fn account(number: usize) -> String {
    format!("small-{number}")
}

/// When a small account's event was stored.
#[derive(Debug, Clone)]
struct Stored {
    number: usize,
    after_ms: f64,
    rows_before: u64,
}

fn stored(stack: &Stack) -> anyhow::Result<Vec<Stored>> {
    let text = stack.sql(&format!(
        "SELECT string_agg(substr(account_id, 7) || ' ' || extract(epoch FROM stored_at - (SELECT min(stored_at) FROM events)) * 1000 \
         || ' ' || (SELECT count(*) FROM events AS large WHERE large.account_id = '{WHALE}' AND large.stored_at < small.stored_at), ';') \
         FROM events AS small WHERE account_id LIKE 'small-%'"
    ))?;
    let read = |entry: &str| {
        let mut words = entry.split(' ');
        let stored = Stored {
            number: words.next()?.parse().ok()?,
            after_ms: words.next()?.parse().ok()?,
            rows_before: words.next()?.parse().ok()?,
        };
        Some(stored)
    };
    let found: Option<Vec<Stored>> = text.trim().split(';').map(read).collect();
    let found = found.with_context(|| format!("when small accounts were stored: {text:?}"))?;
    ensure!(found.len() == SMALL, "{} of {SMALL} small accounts are stored", found.len());
    Ok(found)
}

fn waits(mut stored: Vec<Stored>) -> anyhow::Result<Waits> {
    stored.sort_by(|one, other| one.after_ms.total_cmp(&other.after_ms));
    let (middle, last) = (stored.get(stored.len() / 2), stored.last());
    let (middle, last) = middle.zip(last).context("no small account is where one is wanted")?;
    let rows_before = stored.iter().map(|one| one.rows_before).max().unwrap_or(0);
    Ok(Waits { accounts: stored.len(), p50_ms: middle.after_ms, max_ms: last.after_ms, rows_before })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_and_the_middle_are_told() {
        let stored = |after_ms, rows_before| Stored { number: 0, after_ms, rows_before };
        let found = waits(vec![stored(30.0, 7), stored(10.0, 1), stored(20.0, 9)]).expect("waits");
        assert_eq!((found.accounts, found.p50_ms, found.max_ms, found.rows_before), (3, 20.0, 30.0, 9));
        assert!(waits(Vec::new()).is_err());
    }
}
