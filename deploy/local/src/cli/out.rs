//! What a person reads. Invariant: a closed pipe ends the printing, never the work.

use std::io::{Write, stdout};

/// Prints one line.
pub(super) fn line(text: &str) {
    drop(writeln!(stdout(), "{text}"));
}

/// Prints one line of the table of parts.
pub(super) fn part(name: &str, text: &str) {
    line(&format!("{name:<10}{text}"));
}
