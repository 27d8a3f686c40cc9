//! The reading side. Invariant: a line is either read as it was written or counted as damage; a torn last line of a run that
//! was killed is damage of no consequence, since its request had not been sent or its answer had not been used.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::Line;

/// Lines that could not be believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// Last lines of the file or of a run within it: what a kill leaves.
    pub torn_tails: u64,
    /// Lines elsewhere: the file was tampered with or the disk failed.
    pub inside: u64,
}

/// Reads a journal line by line.
#[derive(Debug)]
pub struct Reader {
    source: BufReader<File>,
    buffer: Vec<u8>,
    /// A damaged line whose place (tail or inside) the next line decides.
    pending: bool,
    damage: Damage,
}

impl Reader {
    /// Opens a journal.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let source = BufReader::with_capacity(1 << 20, File::open(path)?);
        Ok(Self { source, buffer: Vec::new(), pending: false, damage: Damage::default() })
    }

    /// The next sound line; `None` at the end.
    ///
    /// # Errors
    /// What the file system says.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            self.buffer.clear();
            if self.source.read_until(b'\n', &mut self.buffer)? == 0 {
                self.damage.torn_tails += u64::from(std::mem::take(&mut self.pending));
                return Ok(None);
            }
            let whole = self.buffer.strip_suffix(b"\n");
            let line = whole.and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(Line::parse);
            if std::mem::replace(&mut self.pending, line.is_none()) {
                match line {
                    Some(Line::Header(_)) => self.damage.torn_tails += 1,
                    _ => self.damage.inside += 1,
                }
            }
            if line.is_some() {
                return Ok(line);
            }
        }
    }

    /// What could not be read so far.
    pub fn damage(&self) -> Damage {
        self.damage
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::{Attempt, Header, Item, Journal};
    use super::*;

    fn header(run: &str) -> Header {
        Header { run: run.into(), start_micros: 1, account_prefix: "a".into(), accounts: 1 }
    }

    fn attempt(request: u64) -> Attempt {
        Attempt { request, attempt: 0, account: 0, first: request, count: 1, due: 0, sent: 0 }
    }

    fn read_all(path: &Path) -> (Vec<Line>, Damage) {
        let mut reader = Reader::open(path).expect("open");
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().expect("read") {
            lines.push(line);
        }
        (lines, reader.damage())
    }

    #[test]
    fn a_torn_tail_is_forgiven_and_the_next_run_appends() {
        let dir = crate::scratch::Dir::new("journal").expect("dir");
        let path = dir.path().join("j");
        let journal = Journal::open(&path, &header("one"), Instant::now()).expect("open");
        journal.attempt(&attempt(1)).expect("write");
        journal.answer(&attempt(1), 5, 202, vec![Item::Accepted(None)]).expect("write");
        let whole = std::fs::read(&path).expect("read");
        std::fs::write(&path, &whole[..whole.len() - 4]).expect("tear");
        let (lines, damage) = read_all(&path);
        assert_eq!((lines.len(), damage), (2, Damage { torn_tails: 1, inside: 0 }));
        let again = Journal::open(&path, &header("two"), Instant::now()).expect("open");
        again.attempt(&attempt(2)).expect("write");
        let (lines, damage) = read_all(&path);
        assert_eq!((lines.len(), damage), (4, Damage { torn_tails: 1, inside: 0 }));
    }

    #[test]
    fn damage_inside_is_counted_apart() {
        let dir = crate::scratch::Dir::new("journal").expect("dir");
        let path = dir.path().join("j");
        let journal = Journal::open(&path, &header("one"), Instant::now()).expect("open");
        for request in 0..3 {
            journal.attempt(&attempt(request)).expect("write");
        }
        let text = std::fs::read_to_string(&path).expect("read").replace("A 1 ", "A 9 ");
        std::fs::write(&path, text).expect("write");
        let (lines, damage) = read_all(&path);
        assert_eq!((lines.len(), damage), (3, Damage { torn_tails: 0, inside: 1 }));
    }
}
