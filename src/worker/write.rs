//! One batch to its end. Invariant: [`Verdict::Done`] is said only when each of its records is in Postgres or acknowledged by
//! the dead-letter topic; nothing becomes a dead letter for any reason but its own content.
//!
//! | what Postgres says | what happens |
//! |---|---|
//! | away, busy, late | the same batch again after a wait with full jitter, for as long as it takes |
//! | schema is not ours | the same, and an alarm: no event is at fault |
//! | late twice in a row | split by partition, then halves: a batch too large for a slow Postgres would be late for ever |
//! | content refused, several partitions | the batch is split by partition, so that the healthy ones go on |
//! | content refused, one partition | halves, in order, until each bad record stands alone; those get their tries, then the dead-letter topic |
//!
//! A slot is held for one database attempt with its waits, never while a dead letter waits for its acknowledgement: a
//! dead-letter topic that is away holds the partitions with bad records and no other.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::alarm::Alarm;
use super::batch::Part;
use super::follow::Followers;
use super::load::Load;
use super::metrics::{self, Retry};
use super::pace::{LATE_BEFORE_HALVING, Pace};
use super::patience::Patience;
use crate::dlq::{DeadLetter, DeadLetters, Stage};
use crate::domain::event::Event;
use crate::domain::id::EventId;
use crate::domain::outcome::DeadReason;
use crate::domain::receipt::Receipt;
use crate::domain::time::Timestamp;
use crate::kafka::Placement;
use crate::store::{EventSink, Progress, SetAside, WriteError};

/// How a batch ended.
#[derive(Debug)]
pub enum Verdict {
    /// Every record of every part is stored or set aside; `noted` tells whether the batch's progress is in the database too.
    Done {
        /// The batch.
        parts: Vec<Part>,
        /// Whether one transaction held the whole batch and its progress.
        noted: bool,
    },
    /// Some record of several partitions is refused: each part must be tried by itself.
    Split(Vec<Part>),
    /// Told to stop before the end; what was written already will be found as duplicates.
    BrokenOff(Vec<Part>),
}

/// Leave to run one transaction.
pub type Slot = OwnedSemaphorePermit;

/// What one write takes on.
#[derive(Debug)]
pub struct Batch {
    /// Records by partition.
    pub parts: Vec<Part>,
    /// How far those partitions are settled once the batch is.
    pub progress: Vec<Progress>,
}

/// How the writer works.
#[derive(Debug, Clone, Copy)]
pub struct WriterSettings {
    /// Transactions at the same time.
    pub concurrency: usize,
    /// Most events of one transaction.
    pub events: usize,
    /// How long one attempt may take.
    pub deadline: Duration,
    /// Times a record that stands alone is tried.
    pub tries: u32,
    /// Waits between attempts.
    pub patience: Patience,
}

/// Writes batches; shared by all writes under way.
pub struct Writer {
    sink: Arc<dyn EventSink>,
    dead: DeadLetters,
    slots: Arc<Semaphore>,
    settings: WriterSettings,
    pace: Pace,
    alarm: Mutex<Alarm>,
    followers: Followers,
}

/// An event that Postgres refuses on its own.
struct Suspect {
    /// Its place among the events of the load.
    event: usize,
    tries: u32,
    first_failed_at: Timestamp,
    detail: String,
}

/// Why a write must be tried in smaller pieces.
enum Trouble {
    /// Postgres refuses the content; a sentence without it.
    Refused(String),
    /// It was not done in time, again and again; never said of a single event.
    Late,
}

impl Trouble {
    fn refused(error: &WriteError) -> Self {
        let state = error.sqlstate();
        Self::Refused(format!("Postgres refuses its content (SQLSTATE {})", state.as_deref().unwrap_or("unknown")))
    }
}

/// How the work on a batch ended.
enum End {
    /// In one transaction, or with nothing to write; so many records are set aside.
    Whole { dead: usize },
    /// In pieces, without its progress; likewise.
    Piecewise { dead: usize },
    /// It must be tried partition by partition.
    Parted,
}

impl Writer {
    /// A writer into `sink` that sets aside by `dead`.
    pub fn new(sink: Arc<dyn EventSink>, dead: DeadLetters, settings: WriterSettings) -> Self {
        let (slots, pace) = (Arc::new(Semaphore::new(settings.concurrency)), Pace::new(settings.events));
        Self { sink, dead, slots, settings, pace, alarm: Mutex::default(), followers: Followers::default() }
    }

    /// Most events that Postgres takes in time just now.
    pub fn events(&self) -> usize {
        self.pace.events()
    }

    /// Lets the alarm of dead letters end with its minute.
    pub fn watch(&self, now: Timestamp) {
        self.note(0, 0, now);
    }

    fn note(&self, records: usize, dead: usize, now: Timestamp) {
        if let Some(change) = self.alarm.lock().note(records, dead, now.unix_seconds()) {
            metrics::alarm(change);
        }
    }

    /// Who hears of what is stored.
    pub fn followers(&self) -> &Followers {
        &self.followers
    }

    /// A slot for the first attempt of a batch, if one is free: whoever forms batches waits for one, so that batches grow while
    /// the database is busy.
    pub fn slot(&self) -> Option<Slot> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// Takes a batch to its end, or to `stop`. Its progress goes into the transaction of the whole batch and must hold once the
    /// decodable records are stored.
    pub async fn write(&self, batch: Batch, slot: Option<Slot>, stop: &CancellationToken) -> Verdict {
        let (load, started_at) = (Load::of(batch.parts), Timestamp::now());
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            ended = self.finish(&load, &batch.progress, slot) => Some(ended),
        };
        if let Some(End::Whole { dead } | End::Piecewise { dead }) = ended {
            self.followers.done(&load, started_at);
            self.note(load.records(), dead, Timestamp::now());
            self.slow_down(dead, stop).await;
        }
        let parts = load.into_parts();
        match ended {
            Some(End::Whole { .. }) => Verdict::Done { parts, noted: true },
            Some(End::Piecewise { .. }) => Verdict::Done { parts, noted: false },
            Some(End::Parted) => Verdict::Split(parts),
            None => Verdict::BrokenOff(parts),
        }
    }

    /// While the alarm of dead letters is on, whatever brings more of them comes slowly: the records behind them stay in the
    /// log, where nothing is lost. Writes without dead letters go on as ever.
    async fn slow_down(&self, dead: usize, stop: &CancellationToken) {
        if dead > 0 && self.alarm.lock().is_on() {
            let pause = self.settings.patience.after_dead(dead);
            // Cut short by a revocation the work is done all the same.
            let _waited = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    async fn finish(&self, load: &Load, progress: &[Progress], slot: Option<Slot>) -> End {
        // A dead letter may have to wait; only its own partition should.
        if load.merged() && !load.without.is_empty() {
            return End::Parted;
        }
        let mut whole = true;
        let mut suspects = Vec::new();
        if !load.events.is_empty() {
            metrics::batch(load.events.len());
            match self.attempt(&load.events, progress, slot).await {
                Ok(()) => {}
                Err(_) if load.merged() => return End::Parted,
                Err(trouble) => {
                    whole = false;
                    suspects = self.isolate(&load.events, trouble).await;
                }
            }
        } else {
            drop(slot);
        }
        let without = load.without.iter().map(|(at, why)| DeadLetter {
            origin: load.origin(*at),
            reason: why.reason,
            stage: Stage::Decode,
            tries: 1,
            first_failed_at: Timestamp::now(),
            account: why.account.as_ref(),
            detail: &why.detail,
        });
        let unstorable = suspects.iter().map(|suspect| DeadLetter {
            origin: load.origin_of(suspect.event),
            reason: DeadReason::Unstorable,
            stage: Stage::Write,
            tries: suspect.tries,
            first_failed_at: suspect.first_failed_at,
            account: Some(&load.events[suspect.event].account_id),
            detail: &suspect.detail,
        });
        let dead = load.without.len() + suspects.len();
        self.set_aside(without.chain(unstorable).collect()).await;
        if whole { End::Whole { dead } } else { End::Piecewise { dead } }
    }

    /// Writes events, through all passing trouble; fails only when their content is refused or they are too many to be in time.
    async fn attempt(
        &self,
        events: &[Event<'static>],
        progress: &[Progress],
        slot: Option<Slot>,
    ) -> Result<(), Trouble> {
        let _slot = match slot {
            Some(slot) => Some(slot),
            // The semaphore is never closed, so there is always a permit in the end.
            None => Arc::clone(&self.slots).acquire_owned().await.ok(),
        };
        let (mut failures, mut late) = (0, 0);
        loop {
            let outcome = tokio::time::timeout(self.settings.deadline, self.sink.write(events, progress)).await;
            let in_time = outcome.as_ref().is_ok_and(|done| !done.as_ref().is_err_and(WriteError::is_late));
            match outcome {
                Ok(Ok(written)) => {
                    self.followers.stored(events, &written);
                    self.pace.done(events.len());
                    return Ok(());
                }
                Ok(Err(error @ WriteError::Data(_))) => return Err(Trouble::refused(&error)),
                Ok(Err(WriteError::Schema(cause))) => metrics::schema_trouble(&*cause, failures),
                Ok(Err(WriteError::Transient(cause))) => metrics::passing_trouble(&*cause, failures),
                Err(elapsed) => metrics::passing_trouble(&elapsed, failures),
            }
            late = if in_time { 0 } else { late + 1 };
            if late >= LATE_BEFORE_HALVING && events.len() > 1 {
                self.pace.late(events.len());
                metrics::retry(Retry::Late);
                return Err(Trouble::Late);
            }
            self.settings.patience.pause(failures).await;
            failures = failures.saturating_add(1);
        }
    }

    /// Finds the events that are refused on their own; all others are written. Left halves go first, so that order holds.
    async fn isolate(&self, events: &[Event<'static>], trouble: Trouble) -> Vec<Suspect> {
        let mut untested = Vec::new();
        let mut suspects = Vec::new();
        let mut part = |range: Range<usize>, trouble: Trouble, untested: &mut Vec<Range<usize>>| match trouble {
            Trouble::Refused(detail) if range.len() == 1 => {
                let first_failed_at = Timestamp::now();
                suspects.push(Suspect { event: range.start, tries: 1, first_failed_at, detail });
            }
            Trouble::Refused(_) | Trouble::Late => {
                let middle = range.start + range.len() / 2;
                untested.push(middle..range.end);
                untested.push(range.start..middle);
            }
        };
        part(0..events.len(), trouble, &mut untested);
        while let Some(range) = untested.pop() {
            metrics::retry(Retry::Data);
            if let Err(trouble) = self.attempt(&events[range.clone()], &[], None).await {
                part(range, trouble, &mut untested);
            }
        }
        for _ in 1..self.settings.tries {
            tokio::time::sleep(self.settings.patience.between_tries).await;
            let mut still = Vec::with_capacity(suspects.len());
            for mut suspect in suspects {
                metrics::retry(Retry::Data);
                let alone = self.attempt(&events[suspect.event..=suspect.event], &[], None).await;
                if let Err(Trouble::Refused(detail)) = alone {
                    suspect.tries += 1;
                    suspect.detail = detail;
                    still.push(suspect);
                }
            }
            suspects = still;
        }
        suspects
    }

    /// Publishes dead letters until each is acknowledged, and indexes them.
    async fn set_aside(&self, mut letters: Vec<DeadLetter<'_>>) {
        let mut failures = 0;
        if let Some(first) = letters.first() {
            tracing::warn!(
                letters = letters.len(),
                reason = first.reason.code(),
                detail = first.detail,
                "records are set aside"
            );
        }
        while !letters.is_empty() {
            let results = self.dead.send(&letters).await;
            let mut trouble = None;
            let mut results = results.into_iter();
            let mut placed = Vec::new();
            letters.retain(|letter| match results.next() {
                Some(Ok(placement)) => {
                    metrics::dead_lettered(letter.reason);
                    placed.push(entry(letter, placement));
                    false
                }
                Some(Err(error)) => {
                    trouble = Some(error);
                    true
                }
                None => true,
            });
            self.index(&placed).await;
            if let Some(error) = trouble {
                metrics::dead_letter_trouble(&error, letters.len(), failures);
            }
            if !letters.is_empty() {
                self.settings.patience.pause(failures).await;
                failures = failures.saturating_add(1);
            }
        }
    }

    /// Through all passing trouble: a settled record that is neither stored nor indexed could not be traced.
    async fn index(&self, letters: &[SetAside]) {
        let mut failures = 0;
        while !letters.is_empty() {
            match tokio::time::timeout(self.settings.deadline, self.sink.index(letters)).await {
                Ok(Ok(())) => return,
                // The letters themselves are safe; an index that refuses them must not hold the log up.
                Ok(Err(error @ WriteError::Data(_))) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "dead letters cannot be indexed");
                    return;
                }
                Ok(Err(WriteError::Schema(cause))) => metrics::schema_trouble(&*cause, failures),
                Ok(Err(WriteError::Transient(cause))) => metrics::passing_trouble(&*cause, failures),
                Err(late) => metrics::passing_trouble(&late, failures),
            }
            self.settings.patience.pause(failures).await;
            failures = failures.saturating_add(1);
        }
    }
}

fn entry(letter: &DeadLetter<'_>, placement: Placement) -> SetAside {
    let origin = letter.origin;
    let event_id = origin.header("event_id").and_then(|id| EventId::new(std::str::from_utf8(id).ok()?).ok());
    SetAside {
        account: letter.account.cloned(),
        origin: Receipt { topic: Arc::clone(&origin.topic), partition: origin.partition, offset: origin.offset },
        event_id,
        reason: letter.reason.code(),
        stage: letter.stage.name(),
        tries: letter.tries,
        detail: letter.detail.to_owned(),
        first_failed_at: letter.first_failed_at,
        letter_partition: placement.partition,
        letter_offset: Some(placement.offset),
    }
}
