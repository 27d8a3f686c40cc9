//! Proof for Weir: a generator that offers load, an auditor that judges what became of it, faults to offer it under, and
//! ratios of cost. Invariant: the service never depends on this crate, and a claim made here can be re-run by one command.
//!
//! | folder | place |
//! |---|---|
//! | [`generate`] | sends requests by a time table, measures from the due time |
//! | [`journal`] | what was sent and answered, in a file that survives `kill -9` |
//! | [`audit`] | holds the journal against the store |
//! | [`stack`] | private engines with the service on top, or what `make up` runs |
//! | [`chaos`] | breaks things under load and asks the auditor |
//! | [`bench`] | cost per event, arms side by side |
//! | [`ceilings`] | the least that could do the same |
//! | [`peers`] | what a reader would pick instead, on the same engines |
//! | [`producers`] | two clients of the log behind the service's trait |
//! | [`ratios`] | the table of `make bench` |
//! | [`reads`] | questions about a very large account, and beside writes |
//! | [`backlog`] | what one account's backlog costs others |
//! | [`proxy`] | a bad network |
//! | [`disk`] | a small disk to be filled |
//! | [`cgroup`] | little memory, little processor time |
//! | [`cpu`] | processor time by component |
//! | [`cli`] | the command line over all of it |

pub mod audit;
pub mod backlog;
pub mod bench;
pub mod ceilings;
pub mod cgroup;
pub mod chaos;
pub mod cli;
pub mod cpu;
pub mod disk;
pub mod generate;
pub mod journal;
pub mod peers;
pub mod producers;
pub mod proxy;
pub mod ratios;
pub mod reads;
pub mod scratch;
pub mod stack;

/// Prints a line for whoever runs a command.
#[allow(clippy::print_stdout, reason = "a command-line tool speaks on standard output; this is the one place")]
pub fn say(text: std::fmt::Arguments<'_>) {
    println!("{text}");
}
