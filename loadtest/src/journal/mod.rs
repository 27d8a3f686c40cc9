//! What was sent and what was answered, on disk. Invariant: an attempt stands in the file before its request leaves, its answer
//! after it came, each by one `write(2)`; so the file tells the truth after `kill -9` of anything, this process included.
//!
//! One line a fact, fields apart by a space, ` #` and the CRC-32 of what stands before it at the end:
//!
//! | line | fields |
//! |---|---|
//! | `H` | format, run, start (µs since 1970), account prefix, accounts |
//! | `T` | number, topic: how `R` lines abbreviate it |
//! | `A` | request, try, account number, first event, events, due, sent |
//! | `R` | request, try, answered, HTTP status, one item an event (see [`Item`]) |
//! | `X` | request, try, noticed, `refused`, `reset`, `timeout` or `garbled`: no answer came |
//!
//! Times but the start are µs after the start on the monotonic clock. Event `n` of run `r` has the id `r-n` ([`event_id`]) and
//! account `k` the name prefix + `k` ([`account_name`]), so ranges stand for ids.

mod item;
mod read;
mod write;

pub use item::{Item, Placed};
pub use read::{Damage, Reader};
pub use write::Journal;

use crate::generate::Lost;

/// Version of the format, first field of the `H` line.
const FORMAT: u32 = 1;

/// Name of account number `index` of a run.
pub fn account_name(prefix: &str, index: u32) -> String {
    format!("{prefix}{index:05}")
}

/// Id of event number `number` of a run.
pub fn event_id(run: &str, number: u64) -> String {
    format!("{run}-{number:010x}")
}

/// The number in an id made by [`event_id`] for this run.
pub fn event_number(run: &str, id: &str) -> Option<u64> {
    u64::from_str_radix(id.strip_prefix(run)?.strip_prefix('-')?, 16).ok()
}

/// Whose run it is and when it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Unique name of the run, first part of every event id.
    pub run: String,
    /// Wall clock at the start, µs since 1970.
    pub start_micros: i64,
    /// First part of every account's name.
    pub account_prefix: String,
    /// Number of accounts.
    pub accounts: u32,
}

/// One request on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Number of the request; the same for its retries.
    pub request: u64,
    /// 0, then 1 for each retry.
    pub attempt: u32,
    /// Number of the account.
    pub account: u32,
    /// Number of its first event; the others follow.
    pub first: u64,
    /// Events it carries.
    pub count: u32,
    /// When it was due.
    pub due: u64,
    /// When it was sent.
    pub sent: u64,
}

/// One fact of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The run begins.
    Header(Header),
    /// A topic gets its number.
    Topic(u16, String),
    /// A request is about to be sent.
    Attempt(Attempt),
    /// Its answer came.
    Answer {
        /// Number of the request.
        request: u64,
        /// Which try.
        attempt: u32,
        /// When.
        at: u64,
        /// HTTP status.
        status: u16,
        /// One an event in request order; empty when the answer spoke of the request as a whole.
        items: Vec<Item>,
    },
    /// No answer came.
    Lost {
        /// Number of the request.
        request: u64,
        /// Which try.
        attempt: u32,
        /// When it was noticed.
        at: u64,
        /// How.
        lost: Lost,
    },
}

impl Line {
    /// Appends the line, checksum and line end included.
    fn write(&self, out: &mut String) {
        use std::fmt::Write;
        let from = out.len();
        // Writing to a String cannot fail.
        let written = match self {
            Self::Header(header) => {
                let Header { run, start_micros, account_prefix, accounts } = header;
                write!(out, "H {FORMAT} {run} {start_micros} {account_prefix} {accounts}")
            }
            Self::Topic(number, name) => write!(out, "T {number} {name}"),
            Self::Attempt(Attempt { request, attempt, account, first, count, due, sent }) => {
                write!(out, "A {request} {attempt} {account} {first} {count} {due} {sent}")
            }
            Self::Answer { request, attempt, at, status, items } => {
                let head = write!(out, "R {request} {attempt} {at} {status}");
                for item in items {
                    out.push(' ');
                    item.write(out);
                }
                head
            }
            Self::Lost { request, attempt, at, lost } => write!(out, "X {request} {attempt} {at} {}", lost.as_str()),
        };
        debug_assert!(written.is_ok());
        let checksum = crc32fast::hash(&out.as_bytes()[from..]);
        let written = writeln!(out, " #{checksum:08x}");
        debug_assert!(written.is_ok());
    }

    /// Reads a line without its line end; `None` when it is torn or not of this format.
    fn parse(text: &str) -> Option<Self> {
        let (body, checksum) = text.rsplit_once(" #")?;
        if u32::from_str_radix(checksum, 16).ok()? != crc32fast::hash(body.as_bytes()) {
            return None;
        }
        let mut fields = body.split(' ');
        let kind = fields.next()?;
        let line = match kind {
            "H" => {
                if fields.next()?.parse::<u32>().ok()? != FORMAT {
                    return None;
                }
                Self::Header(Header {
                    run: fields.next()?.to_owned(),
                    start_micros: fields.next()?.parse().ok()?,
                    account_prefix: fields.next()?.to_owned(),
                    accounts: fields.next()?.parse().ok()?,
                })
            }
            "T" => Self::Topic(fields.next()?.parse().ok()?, fields.next()?.to_owned()),
            "A" => Self::Attempt(Attempt {
                request: fields.next()?.parse().ok()?,
                attempt: fields.next()?.parse().ok()?,
                account: fields.next()?.parse().ok()?,
                first: fields.next()?.parse().ok()?,
                count: fields.next()?.parse().ok()?,
                due: fields.next()?.parse().ok()?,
                sent: fields.next()?.parse().ok()?,
            }),
            "R" | "X" => {
                let (request, attempt) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
                let at = fields.next()?.parse().ok()?;
                if kind == "X" {
                    Self::Lost { request, attempt, at, lost: Lost::parse(fields.next()?)? }
                } else {
                    let status = fields.next()?.parse().ok()?;
                    let items = fields.by_ref().map(Item::parse).collect::<Option<_>>()?;
                    Self::Answer { request, attempt, at, status, items }
                }
            }
            _ => return None,
        };
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_round_trips() {
        let placed = Placed { topic: 1, partition: 3, offset: 99 };
        let items = vec![Item::Accepted(Some(placed)), Item::Accepted(None), Item::Duplicate, Item::Rejected];
        let header = Header { run: "r".into(), start_micros: 7, account_prefix: "lt-".into(), accounts: 2 };
        let lines = [
            Line::Header(header),
            Line::Topic(1, "weir.events".into()),
            Line::Attempt(Attempt { request: 1, attempt: 0, account: 2, first: 3, count: 4, due: 5, sent: 6 }),
            Line::Answer { request: 1, attempt: 0, at: 9, status: 207, items },
            Line::Answer { request: 1, attempt: 0, at: 9, status: 503, items: Vec::new() },
            Line::Lost { request: 1, attempt: 2, at: 9, lost: Lost::Reset },
        ];
        for line in lines {
            let mut text = String::new();
            line.write(&mut text);
            assert_eq!(Line::parse(text.trim_end()), Some(line), "{text}");
        }
    }

    #[test]
    fn a_changed_or_cut_line_is_not_believed() {
        let mut text = String::new();
        Line::Topic(1, "weir.events".into()).write(&mut text);
        let text = text.trim_end();
        assert_eq!(Line::parse(&text.replace("events", "eventz")), None);
        for cut in 1..text.len() {
            assert_eq!(Line::parse(&text[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn ids_carry_their_number() {
        let id = event_id("lt1", 4_711);
        assert_eq!(event_number("lt1", &id), Some(4_711));
        assert_eq!(event_number("lt2", &id), None);
    }
}
