//! What the journals say was promised, event by event. Invariant: an event without an answer may or may not be stored; one that
//! was accepted by any try must be, one that every try refused must not.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::order::Orders;
use crate::generate::Lost;
use crate::journal::{Attempt, Damage, Header, Item, Line, Reader};

/// What is known of one event.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    pub(super) account: u32,
    /// µs after the start of its run.
    pub(super) due: u64,
    pub(super) accepted: bool,
    /// Some try may have been taken.
    pub(super) open: bool,
    pub(super) refused: bool,
    pub(super) stored: bool,
}

/// One try of one request, for questions of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// Which run, counted from 0, and which of its requests; tries of one share it.
    pub request: (usize, u64),
    /// Number of the account.
    pub account: u32,
    /// When it was sent, µs since 1970.
    pub sent: i64,
    /// When its answer came or its loss was noticed; `None` when the generator died first.
    pub ended: Option<i64>,
    /// How it ended.
    pub end: End,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this HTTP status.
    Status(u16),
    /// Without an answer.
    Lost(Lost),
    /// The journal does not say.
    Unknown,
}

/// One run of a generator.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) header: Header,
    /// By event number.
    pub(super) events: Vec<Known>,
    orders: Orders,
    pending: HashMap<(u64, u32), Attempt>,
}

/// All runs of the journals.
#[derive(Debug, Default)]
pub struct Ledger {
    pub(super) runs: Vec<Run>,
    pub(super) tries: Vec<Tried>,
    pub(super) damage: Damage,
    /// Answers out of the order that was promised.
    pub(super) reordered: Vec<String>,
}

impl Ledger {
    /// Reads journals, each of one or more runs.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read(paths: &[impl AsRef<Path>]) -> io::Result<Self> {
        let mut ledger = Self::default();
        for path in paths {
            let mut reader = Reader::open(path.as_ref())?;
            while let Some(line) = reader.next_line()? {
                ledger.take(line);
            }
            ledger.close_run();
            ledger.damage.torn_tails += reader.damage().torn_tails;
            ledger.damage.inside += reader.damage().inside;
        }
        Ok(ledger)
    }

    /// Takes one line; those before the first header belong to nothing.
    pub(super) fn take(&mut self, line: Line) {
        if let Line::Header(header) = line {
            self.close_run();
            let (events, orders, pending) = (Vec::new(), Orders::default(), HashMap::new());
            self.runs.push(Run { header, events, orders, pending });
            return;
        }
        let at_run = self.runs.len().saturating_sub(1);
        let Some(run) = self.runs.last_mut() else { return };
        let start = run.header.start_micros;
        match line {
            Line::Attempt(attempt) => run.begin(attempt),
            Line::Answer { request, attempt, at, status, items } => {
                if let Some(attempt) = run.pending.remove(&(request, attempt)) {
                    run.answered(&attempt, at, status, &items);
                    self.tries.push(tried((at_run, start), &attempt, Some(at), End::Status(status)));
                }
            }
            Line::Lost { request, attempt, at, lost } => {
                if let Some(attempt) = run.pending.remove(&(request, attempt)) {
                    // A refused connection carried nothing.
                    run.each(&attempt, |known| known.open |= lost != Lost::Refused);
                    self.tries.push(tried((at_run, start), &attempt, Some(at), End::Lost(lost)));
                }
            }
            Line::Header(_) | Line::Topic(..) => {}
        }
    }

    /// Ends the last run: what is still unanswered may have been taken.
    pub(super) fn close_run(&mut self) {
        let at_run = self.runs.len().saturating_sub(1);
        let Some(run) = self.runs.last_mut() else { return };
        for attempt in std::mem::take(&mut run.pending).into_values() {
            run.each(&attempt, |known| known.open = true);
            self.tries.push(tried((at_run, run.header.start_micros), &attempt, None, End::Unknown));
        }
        self.reordered.extend(std::mem::take(&mut run.orders).violations(&run.header.run));
    }

    /// Every try, for scenarios that ask when answers came.
    pub fn tries(&self) -> &[Tried] {
        &self.tries
    }

    /// Events that were accepted.
    pub fn accepted(&self) -> u64 {
        self.runs.iter().map(|run| run.events.iter().filter(|known| known.accepted).count() as u64).sum()
    }

    /// Names of all accounts.
    pub(super) fn accounts(&self) -> Vec<String> {
        let names = |run: &Run| {
            let Header { account_prefix, accounts, .. } = run.header.clone();
            (0..accounts).map(move |index| crate::journal::account_name(&account_prefix, index))
        };
        let mut all: Vec<String> = self.runs.iter().flat_map(names).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl Run {
    fn begin(&mut self, attempt: Attempt) {
        let end = (attempt.first + u64::from(attempt.count)) as usize;
        if self.events.len() < end {
            self.events.resize(end, Known::default());
        }
        self.each(&attempt, |known| (known.account, known.due) = (attempt.account, attempt.due));
        self.pending.insert((attempt.request, attempt.attempt), attempt);
    }

    fn each(&mut self, attempt: &Attempt, mut change: impl FnMut(&mut Known)) {
        let from = attempt.first as usize;
        self.events[from..from + attempt.count as usize].iter_mut().for_each(&mut change);
    }

    fn answered(&mut self, attempt: &Attempt, at: u64, status: u16, items: &[Item]) {
        if items.is_empty() {
            let refused = (400..500).contains(&status);
            self.each(attempt, |known| if refused { known.refused = true } else { known.open = true });
            return;
        }
        for (offset, item) in items.iter().enumerate() {
            let Some(known) = self.events.get_mut(attempt.first as usize + offset) else { continue };
            match item {
                Item::Accepted(_) | Item::Duplicate => known.accepted = true,
                Item::Rejected | Item::Limited => known.refused = true,
                Item::Retry => known.open = true,
            }
        }
        self.orders.answered(attempt, at, items);
    }
}

fn tried((run, start): (usize, i64), attempt: &Attempt, at: Option<u64>, end: End) -> Tried {
    let wall = |micros: u64| start + i64::try_from(micros).unwrap_or(i64::MAX >> 1);
    let request = (run, attempt.request);
    Tried { request, account: attempt.account, sent: wall(attempt.sent), ended: at.map(wall), end }
}
