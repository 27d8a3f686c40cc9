//! A body of one event a line, taken while it comes. Invariant: no more than a chunk of the body is ever held, whatever it is long,
//! and what was published keeps its result whatever comes after it.

use super::answer::{Item, Refusal};
use super::layout::Form;
use super::repeats::Repeats;
use super::{Call, Ingest};

/// A chunk is published at this size, or at the most events of a batch.
const CHUNK_BYTES: usize = 1 << 20;

/// One streamed body.
pub struct Lines {
    ingest: Ingest,
    call: Call,
    splitter: Splitter,
    repeats: Repeats,
    items: Vec<Item>,
    /// Bytes that came since the last chunk.
    fed: usize,
}

impl Lines {
    pub(super) fn new(ingest: Ingest, call: Call) -> Self {
        let splitter = Splitter::new(ingest.shared.rules.max_event_bytes);
        Self { ingest, call, splitter, repeats: Repeats::default(), items: Vec::new(), fed: 0 }
    }

    /// Takes more of the body, and publishes what makes a chunk.
    ///
    /// # Errors
    /// [`Refusal::TooManyEvents`] when the body holds more events than it may, [`Refusal::Limited`] when the account may take no
    /// more now; those before keep their results.
    pub async fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        let (max, chunk) = (self.ingest.shared.rules.max_lines, self.ingest.shared.rules.max_batch_events);
        self.fed += bytes.len();
        while !bytes.is_empty() {
            bytes = self.splitter.take(bytes);
            if self.items.len() + self.splitter.lines.len() > max {
                self.splitter.lines.truncate(max - self.items.len());
                self.splitter.forget_tail();
                return Err(Refusal::TooManyEvents { max });
            }
            if self.splitter.lines.len() >= chunk || self.splitter.buffer.len() >= CHUNK_BYTES {
                self.publish().await;
                if let Some(refusal) = self.call.pass.refusal() {
                    self.splitter.forget_tail();
                    return Err(Refusal::Limited(*refusal));
                }
            }
        }
        Ok(())
    }

    /// Publishes the rest and gives the end of every event, and what is wrong with the body as a whole. A body that broke off
    /// has no last line: what stands behind its last line feed is left out.
    pub async fn finish(mut self, whole: bool) -> (Vec<Item>, Option<Refusal>) {
        let max = self.ingest.shared.rules.max_lines;
        if whole {
            self.splitter.end();
        }
        let too_many = self.items.len() + self.splitter.lines.len() > max;
        self.splitter.lines.truncate(max - self.items.len());
        self.publish().await;
        let refusal = match too_many {
            true => Some(Refusal::TooManyEvents { max }),
            false => (whole && self.items.is_empty()).then_some(Refusal::NoEvents),
        };
        (self.items, refusal)
    }

    async fn publish(&mut self) {
        let (events, fed) = (self.splitter.events(), std::mem::take(&mut self.fed));
        if !events.is_empty() || fed > 0 {
            let items = self.ingest.take(&self.call, Form::Event, (&events, fed), &mut self.repeats).await;
            self.items.extend(items);
        }
        self.splitter.clear();
    }
}

/// Cuts bytes into lines. A line longer than an event may be keeps one byte more than that, enough to be refused for its length.
struct Splitter {
    buffer: Vec<u8>,
    /// Where complete lines that are not blank begin and end.
    lines: Vec<(usize, usize)>,
    /// Where the line that is still coming begins.
    tail: usize,
    max_line: usize,
}

impl Splitter {
    fn new(max_line: usize) -> Self {
        Self { buffer: Vec::new(), lines: Vec::new(), tail: 0, max_line }
    }

    /// Takes bytes up to the next line feed; gives those behind it.
    fn take<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        // One for a carriage return, one to be too long.
        let room = (self.max_line + 2).saturating_sub(self.buffer.len() - self.tail);
        self.buffer.extend_from_slice(&part[..part.len().min(room)]);
        match end {
            Some(end) => {
                self.end();
                &bytes[end + 1..]
            }
            None => &[],
        }
    }

    /// The line that was coming is complete.
    fn end(&mut self) {
        let line = &self.buffer[self.tail..];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() {
            self.buffer.truncate(self.tail);
        } else {
            self.lines.push((self.tail, self.tail + line.len()));
        }
        self.tail = self.buffer.len();
    }

    fn forget_tail(&mut self) {
        self.buffer.truncate(self.tail);
    }

    fn events(&self) -> Vec<&[u8]> {
        self.lines.iter().map(|(from, to)| &self.buffer[*from..*to]).collect()
    }

    /// Keeps only the line that is still coming.
    fn clear(&mut self) {
        self.buffer.drain(..self.tail);
        self.lines.clear();
        self.tail = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(max_line: usize, pieces: &[&str]) -> Vec<String> {
        let mut splitter = Splitter::new(max_line);
        for piece in pieces {
            let mut bytes = piece.as_bytes();
            while !bytes.is_empty() {
                bytes = splitter.take(bytes);
            }
        }
        splitter.end();
        splitter.events().iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    #[test]
    fn lines_come_out_however_the_bytes_come_in() {
        assert_eq!(split(9, &["a\nb\r\n\n  \nc"]), ["a", "b", "c"]);
        assert_eq!(split(9, &["a", "b\n", "\r", "\nc", "", "d\n"]), ["ab", "cd"]);
        assert_eq!(split(9, &["", "\n\n"]), [""; 0]);
    }

    #[test]
    fn a_line_too_long_is_cut_and_harms_no_other() {
        assert_eq!(split(3, &["abcdef", "ghi\nxyz\r\n123\n"]), ["abcde", "xyz", "123"]);
    }

    proptest::proptest! {
        #[test]
        fn cuts_do_not_matter(text in "[ab\r\n ]{0,60}", at in 0_usize..60) {
            let at = at.min(text.len());
            let parts = split(60, &[&text[..at], &text[at..]]);
            proptest::prop_assert_eq!(&parts, &split(60, &[&text]));
            let expected: Vec<&str> = text
                .split('\n')
                .map(|line| line.strip_suffix('\r').unwrap_or(line))
                .filter(|line| !line.trim_ascii().is_empty())
                .collect();
            proptest::prop_assert_eq!(parts, expected);
        }
    }
}
