//! The writing side. Invariant: when a call returns, the line is in the page cache and survives the death of this process.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::{Attempt, Header, Item, Line};
use crate::generate::Lost;

/// An open journal, shared by the senders of one run.
#[derive(Debug)]
pub struct Journal {
    /// `None` for runs that only measure cost.
    file: Option<File>,
    topics: Mutex<Vec<String>>,
    start: Instant,
}

impl Journal {
    /// Opens a journal for appending and notes the start of a run. A tail torn by an earlier death is closed by a line end.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path, header: &Header, start: Instant) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        if file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        let journal = Self { file: Some(file), topics: Mutex::default(), start };
        journal.append(&Line::Header(header.clone()))?;
        Ok(journal)
    }

    /// A journal that keeps nothing.
    pub fn none(start: Instant) -> Self {
        Self { file: None, topics: Mutex::default(), start }
    }

    /// Microseconds since the start of the run.
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Notes a request that is about to be sent.
    ///
    /// # Errors
    /// What the file system says; the request must then not be sent.
    pub fn attempt(&self, attempt: &Attempt) -> io::Result<()> {
        self.append(&Line::Attempt(*attempt))
    }

    /// Notes an answer.
    ///
    /// # Errors
    /// What the file system says.
    pub fn answer(&self, attempt: &Attempt, at: u64, status: u16, items: Vec<Item>) -> io::Result<()> {
        self.append(&Line::Answer { request: attempt.request, attempt: attempt.attempt, at, status, items })
    }

    /// Notes that no answer came.
    ///
    /// # Errors
    /// What the file system says.
    pub fn lost(&self, attempt: &Attempt, at: u64, lost: Lost) -> io::Result<()> {
        self.append(&Line::Lost { request: attempt.request, attempt: attempt.attempt, at, lost })
    }

    /// The number of a topic, noted in the file when it is new.
    ///
    /// # Errors
    /// What the file system says.
    pub fn topic(&self, name: &str) -> io::Result<u16> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let position = topics.iter().position(|known| known == name);
        let number = position.unwrap_or(topics.len());
        let number = u16::try_from(number).map_err(|_| io::Error::other("more topics than a journal can number"))?;
        if position.is_none() {
            topics.push(name.to_owned());
            self.append(&Line::Topic(number, name.to_owned()))?;
        }
        Ok(number)
    }

    fn append(&self, line: &Line) -> io::Result<()> {
        let Some(mut file) = self.file.as_ref() else { return Ok(()) };
        let mut text = String::with_capacity(96);
        line.write(&mut text);
        // One write to a file opened for appending: lines of several senders never mix.
        file.write_all(text.as_bytes())
    }
}
