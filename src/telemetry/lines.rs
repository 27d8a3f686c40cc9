//! Lines on their way to stdout. Invariant: handing a line over is a copy under a short lock and never waits for whoever reads;
//! what finds no room is dropped and counted.
//!
//! A thread of its own writes what has gathered for some milliseconds in one go, so that a line costs a request neither a system
//! call nor the waking of a thread.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use prometheus::IntCounter;
use tracing_subscriber::fmt::MakeWriter;

use super::metrics::int_counter;

/// Bytes that may wait for a slow reader; as many more may be on their way to it.
const ROOM: usize = 1 << 20;

/// How long lines gather unless much comes at once.
const GATHER: Duration = Duration::from_millis(10);

/// How long the last lines may hold up the end of the process.
const LAST: Duration = Duration::from_secs(1);

static DROPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    int_counter("weir_log_lines_dropped_total", "Log lines dropped because stdout was slow; look at what reads it.")
});

/// Shows the counter from the first scrape on.
pub(super) fn announce() {
    DROPPED.inc_by(0);
}

/// Takes lines. Cheap to clone.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

/// Writes what still waits when it is dropped, for a second at most.
pub struct FlushOnDrop(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    closing: bool,
    ended: bool,
}

impl Lines {
    /// Starts the thread that writes to `sink`.
    pub(super) fn to(sink: impl Write + Send + 'static) -> io::Result<(Self, FlushOnDrop)> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        thread::Builder::new().name("weir-lines".into()).spawn(move || own.pass_on(sink))?;
        Ok((Self(Arc::clone(&shared)), FlushOnDrop(shared)))
    }
}

impl Shared {
    fn pass_on(&self, mut sink: impl Write) {
        let mut text = Vec::new();
        loop {
            let mut waiting = self.waiting.lock();
            self.changed.wait_while(&mut waiting, |waiting| waiting.text.is_empty() && !waiting.closing);
            self.changed.wait_while_for(
                &mut waiting,
                |waiting| waiting.text.len() < ROOM / 2 && !waiting.closing,
                GATHER,
            );
            std::mem::swap(&mut waiting.text, &mut text);
            let last = waiting.closing;
            drop(waiting);
            if sink.write_all(&text).and_then(|()| sink.flush()).is_err() {
                DROPPED.inc_by(text.iter().filter(|byte| **byte == b'\n').count() as u64);
            }
            text.clear();
            if last {
                self.waiting.lock().ended = true;
                self.changed.notify_all();
                return;
            }
        }
    }

    fn take(&self, line: &[u8]) {
        let mut waiting = self.waiting.lock();
        let (before, after) = (waiting.text.len(), waiting.text.len() + line.len());
        if after > ROOM || waiting.ended {
            drop(waiting);
            DROPPED.inc();
            return;
        }
        waiting.text.extend_from_slice(line);
        drop(waiting);
        if before == 0 || (before < ROOM / 2 && after >= ROOM / 2) {
            self.changed.notify_all();
        }
    }
}

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        waiting.closing = true;
        self.0.changed.notify_all();
        self.0.changed.wait_while_for(&mut waiting, |waiting| !waiting.ended, LAST);
    }
}

impl Write for Lines {
    /// The subscriber hands over whole lines, each in one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Says what it was given, and takes nothing more until it is told to.
    struct Slow {
        given: mpsc::Sender<Vec<u8>>,
        go_on: mpsc::Receiver<()>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.given.send(bytes.to_vec()).map_err(io::Error::other)?;
            self.go_on.recv().map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_whole_and_in_order_and_the_last_ones_before_the_end() {
        let ((given, told), (go, go_on)) = (mpsc::channel(), mpsc::channel());
        let (mut lines, flush) = Lines::to(Slow { given, go_on }).expect("thread");
        for i in 0..1_000 {
            writeln!(lines, "line {i}").expect("never fails");
            go.send(()).expect("thread");
        }
        drop(flush);
        let text: Vec<u8> = told.into_iter().flatten().collect();
        let expected: String = (0..1_000).map(|i| format!("line {i}\n")).collect();
        assert_eq!(String::from_utf8(text).expect("UTF-8"), expected);
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let ((given, told), (go, go_on)) = (mpsc::channel(), mpsc::channel());
        let (mut lines, flush) = Lines::to(Slow { given, go_on }).expect("thread");
        let mut line = vec![b'x'; ROOM / 4];
        line[ROOM / 4 - 1] = b'\n';
        lines.write_all(&line).expect("never fails");
        let first = told.recv().expect("the thread holds it");
        let before = DROPPED.get();
        (0..10).for_each(|_| lines.write_all(&line).expect("never fails"));
        // Other tests may drop lines of their own, never fewer.
        assert!(DROPPED.get() - before >= 6, "four fit");
        (0..2).for_each(|_| go.send(()).expect("thread"));
        drop(flush);
        let rest: usize = told.into_iter().map(|text| text.len()).sum();
        assert_eq!((first.len(), rest), (ROOM / 4, ROOM));
    }
}
