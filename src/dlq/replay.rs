//! Sending dead letters again. Invariant: each record goes to the topic it came from, once a replay however many letters of it
//! there are, and never to a topic that is not ours.
//!
//! A record that dies again after its replay leaves a second letter behind. Letters of one record share a name, so a replay
//! first finds the newest letter of each name and then sends only those; otherwise every replay would double them. A letter
//! that was replayed `park_after` times stays where it is: its cause has to be mended, or the operator insists.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::browse::Filter;
use super::letter::Found;
use crate::config::KafkaConfig;
use crate::kafka::scan::{Scan, ScanError, Span};
use crate::kafka::{Polled, Publish, PublishError};

/// Most names a replay keeps in memory; beyond it the filter has to be narrower.
const NAMES: usize = 1_000_000;

/// Times an unacknowledged record is sent again before the replay gives up.
const TRIES: u32 = 5;

/// What to send again, and how.
#[derive(Debug, Clone)]
pub struct Replay {
    /// Which letters.
    pub filter: Filter,
    /// Count only.
    pub dry_run: bool,
    /// Most records a second.
    pub per_second: u32,
    /// Replays after which a letter is parked.
    pub park_after: u32,
    /// Send parked ones too.
    pub force: bool,
    /// How long the whole may take.
    pub deadline: Duration,
}

/// What a replay did, or in a dry run would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplayReport {
    /// Records that meet the filter.
    pub matching: usize,
    /// Records sent again and acknowledged.
    pub replayed: usize,
    /// Records left alone because they were replayed too often.
    pub parked: usize,
    /// Records left alone because they claim to come from a topic that is not ours.
    pub foreign: usize,
    /// Letters that a newer letter of the same record stands for.
    pub superseded: usize,
}

/// Why a replay ended early; what it sent before stays sent, and sending it again does no harm.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The dead-letter topic cannot be read.
    #[error("the dead-letter topic cannot be read")]
    Scan(#[from] ScanError),
    /// A record was not acknowledged.
    #[error("a record was not acknowledged, {} were", .done.replayed)]
    Publish {
        /// Why.
        #[source]
        source: PublishError,
        /// What was done until then.
        done: ReplayReport,
    },
    /// More records meet the filter than fit in memory.
    #[error("more than {NAMES} records meet the filter: narrow it by account or reason")]
    TooMany,
}

/// Sends dead letters again.
///
/// # Errors
/// [`ReplayError`] says where it ended.
pub async fn replay(
    config: &KafkaConfig,
    publisher: &dyn Publish,
    request: &Replay,
) -> Result<ReplayReport, ReplayError> {
    let until = Instant::now() + request.deadline;
    let topic = &config.kafka_dead_letter_topic;
    let mut newest = Newest::default();
    let mut scan = Scan::start(config, topic, Span::All, request.deadline)?;
    while let Some(letter) = scan.next().await? {
        newest.note(letter, &request.filter)?;
    }
    let mut report = ReplayReport { superseded: newest.superseded, ..ReplayReport::default() };
    let mut pace = Pace::new(request.per_second, Instant::now());
    let mut scan = Scan::start(config, topic, Span::All, until.saturating_duration_since(Instant::now()))?;
    while let Some(letter) = scan.next().await? {
        let Some(found) = newest.pick(letter) else { continue };
        report.matching += 1;
        match verdict(&found, config, request) {
            Verdict::Foreign => report.foreign += 1,
            Verdict::Parked => report.parked += 1,
            Verdict::Send if request.dry_run => {}
            Verdict::Send => {
                sleep_until(pace.next()).await;
                if let Err(source) = send(publisher, &found, config.ack_timeout()).await {
                    return Err(ReplayError::Publish { source, done: report });
                }
                report.replayed += 1;
            }
        }
    }
    tracing::info!(?report, dry_run = request.dry_run, "dead letters were replayed");
    Ok(report)
}

enum Verdict {
    Send,
    Parked,
    Foreign,
}

fn verdict(found: &Found, config: &KafkaConfig, request: &Replay) -> Verdict {
    if !config.holds_events(&found.topic) {
        Verdict::Foreign
    } else if found.replays >= request.park_after && !request.force {
        Verdict::Parked
    } else {
        Verdict::Send
    }
}

async fn send(publisher: &dyn Publish, found: &Found, ack_timeout: Duration) -> Result<(), PublishError> {
    let mut tries = 1;
    loop {
        let results = publisher.publish(vec![found.revive()], Instant::now() + ack_timeout).await;
        match results.into_iter().next() {
            Some(Ok(_)) => return Ok(()),
            Some(Err(error @ (PublishError::TooLarge | PublishError::Refused(_)))) => return Err(error),
            Some(Err(error)) if tries >= TRIES => return Err(error),
            None if tries >= TRIES => return Err(PublishError::Unknown),
            Some(Err(_)) | None => tries += 1,
        }
    }
}

/// The newest letter of each record that meets the filter.
#[derive(Default)]
struct Newest {
    places: HashMap<String, Place>,
    superseded: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    replays: u32,
    set_aside_ms: i64,
    partition: i32,
    offset: i64,
}

impl Place {
    fn of(found: &Found) -> Self {
        let letter = &found.letter;
        Self {
            replays: found.replays,
            set_aside_ms: letter.timestamp_ms,
            partition: letter.partition,
            offset: letter.offset,
        }
    }
}

impl Newest {
    fn note(&mut self, letter: Polled, filter: &Filter) -> Result<(), ReplayError> {
        let Some(found) = Found::read(letter).filter(|found| filter.meets(found)) else { return Ok(()) };
        let place = Place::of(&found);
        if let Some(known) = self.places.get_mut(&found.id) {
            *known = place.max(*known);
            self.superseded += 1;
            return Ok(());
        }
        if self.places.len() >= NAMES {
            return Err(ReplayError::TooMany);
        }
        self.places.insert(found.id, place);
        Ok(())
    }

    fn pick(&self, letter: Polled) -> Option<Found> {
        let found = Found::read(letter)?;
        (self.places.get(&found.id) == Some(&Place::of(&found))).then_some(found)
    }
}

/// Times at which records may go.
struct Pace {
    step: Duration,
    next: Instant,
}

impl Pace {
    fn new(per_second: u32, now: Instant) -> Self {
        Self { step: Duration::from_secs(1) / per_second.max(1), next: now }
    }

    fn next(&mut self) -> Instant {
        let now = self.next;
        self.next += self.step;
        now
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::{polled, sealed};
    use super::*;
    use crate::config::Config;

    fn request(force: bool) -> Replay {
        let filter = Filter::default();
        Replay { filter, dry_run: false, per_second: 1, park_after: 3, force, deadline: Duration::from_secs(1) }
    }

    #[test]
    fn of_several_letters_of_one_record_only_the_newest_goes() {
        let first = Polled { offset: 1, ..sealed(&polled()) };
        let mut again = Polled { offset: 2, ..first.clone() };
        for (name, value) in &mut again.headers {
            if name == "dead.replays" {
                *value = Some(b"1".to_vec());
            }
        }
        let mut newest = Newest::default();
        for letter in [&first, &again, &first] {
            newest.note(letter.clone(), &Filter::default()).expect("room");
        }
        assert_eq!(newest.superseded, 2);
        assert!(newest.pick(first).is_none());
        assert_eq!(newest.pick(again).expect("the newest").replays, 1);
    }

    #[test]
    fn parked_and_foreign_letters_stay() {
        let config = Config::from_env().expect("defaults").kafka;
        let mut found = Found::read(sealed(&polled())).expect("a letter");
        found.topic.clone_from(&config.kafka_topic);
        assert!(matches!(verdict(&found, &config, &request(false)), Verdict::Send));
        found.replays = 3;
        assert!(matches!(verdict(&found, &config, &request(false)), Verdict::Parked));
        assert!(matches!(verdict(&found, &config, &request(true)), Verdict::Send));
        found.topic = "payments".into();
        assert!(matches!(verdict(&found, &config, &request(true)), Verdict::Foreign));
    }

    #[test]
    fn the_pace_spreads_records_over_the_second() {
        let start = Instant::now();
        let mut pace = Pace::new(4, start);
        assert_eq!(
            [pace.next(), pace.next(), pace.next()].map(|at| at - start),
            [0, 250, 500].map(Duration::from_millis)
        );
    }
}
