//! F6, F7, F8, F9: brokers that go, of three or the only one. Invariant: with two of three every request is taken in the end; with one nothing
//! is acknowledged.

use std::time::Duration;

use anyhow::Context;

use super::outage::without_log;
use super::table::needs;
use super::trial::{Outcome, Settings, Trial};
use super::weather::{Span, Weather};
use crate::disk::Disk;
use crate::say;
use crate::stack::Ground;

/// Fair weather before and after.
const BEFORE: Duration = Duration::from_secs(5);
const AFTER: Duration = Duration::from_secs(15);
/// By then leaders have moved: the brokers' session, an election, and the producer's look at the new leaders.
const MOVED_MICROS: i64 = 10_000_000;

fn three() -> Ground {
    Ground { brokers: 3, ..Ground::default() }
}

/// F7.
pub(super) fn one_of_three(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let trial = Trial::on(title, settings, &three())?;
    trial.wait(BEFORE);
    let broker = trial.stack.engines.kafka.broker(1);
    let broken = trial.now();
    broker.kill()?;
    say(format_args!("   one broker killed for {} s", trial.outage().as_secs()));
    trial.wait(trial.outage());
    let healing = trial.now();
    broker.start()?;
    trial.wait(AFTER);
    let end = trial.now();
    trial.finish(|trial, weather| {
        let moved = Span { from: broken + MOVED_MICROS, to: healing };
        all_taken(trial, weather, moved, "once leaders have moved every request is taken at once");
        let shock = Span { from: broken, to: broken + MOVED_MICROS };
        trial.note("what clients saw until leaders had moved", weather.endings(shock));
        all_taken(trial, weather, Span { from: healing, to: end }, "its return refuses nobody");
        none_given_up(trial, weather);
    })
}

/// F8: the one that is left may not acknowledge, since a second copy is promised.
pub(super) fn two_of_three(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let trial = Trial::on(title, settings, &three())?;
    trial.wait(BEFORE);
    let kafka = &trial.stack.engines.kafka;
    let broken = trial.now();
    kafka.broker(1).kill()?;
    kafka.broker(2).kill()?;
    say(format_args!("   two brokers killed for {} s", trial.outage().as_secs()));
    trial.wait(trial.outage());
    let healing = trial.now();
    kafka.start()?;
    let healed = trial.now();
    say(format_args!("   back after {} ms", (healed - healing) / 1_000));
    trial.wait(AFTER);
    trial.finish(|trial, weather| without_log(trial, weather, Span { from: broken, to: healing }, healed))
}

/// F9: what an upgrade of the brokers does.
pub(super) fn rolling(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let trial = Trial::on(title, settings, &three())?;
    trial.wait(BEFORE);
    let start = trial.now();
    for broker in trial.stack.engines.kafka.brokers() {
        broker.stop()?;
        trial.wait(Duration::from_secs(3));
        broker.start()?;
        trial.wait(Duration::from_secs(5));
        say(format_args!("   {} was restarted", broker.address()));
    }
    trial.wait(AFTER);
    let end = trial.now();
    trial.finish(|trial, weather| {
        let span = Span { from: start, to: end };
        let (taken, asked) = weather.share(span, 202);
        trial.check(
            taken * 5 >= asked * 4,
            "at least four tries in five are taken at once while leaders move",
            format!("{taken} of {asked}; {}", weather.endings(span)),
        );
        none_given_up(trial, weather);
    })
}

fn all_taken(trial: &mut Trial, weather: &Weather, span: Span, expected: &str) {
    let (taken, asked) = weather.share(span, 202);
    let seen = format!("{taken} of {asked}; {}", weather.endings(span));
    trial.check(asked > 0 && taken == asked, expected, seen);
}

/// A client that tries again as told gets its event in.
fn none_given_up(trial: &mut Trial, weather: &Weather) {
    let (taken, sent) = weather.taken_in_the_end();
    trial.check(taken == sent, "every request is taken in the end", format!("{taken} of {sent}"));
}

/// F6: the broker's disk is full. It gives up then, and an operator makes room and starts it again.
pub(super) fn disk_full(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    needs(Disk::is_possible(), "a small disk takes root")?;
    let ground = Ground { kafka_disk_mib: Some(256), ..Ground::default() };
    let trial = Trial::on(title, settings, &ground)?;
    trial.wait(BEFORE);
    let disk = trial.stack.kafka_disk.as_ref().context("no disk")?;
    let broken = trial.now();
    disk.fill()?;
    say(format_args!("   the broker's disk is full for {} s", trial.outage().as_secs()));
    trial.wait(trial.outage());
    let healing = trial.now();
    let gave_up = !trial.stack.engines.kafka.is_running();
    disk.clear()?;
    trial.stack.engines.kafka.start()?;
    let healed = trial.now();
    trial.wait(AFTER);
    trial.finish(|trial, weather| {
        trial.note("whether the broker gave up", gave_up.to_string());
        // Pages that were there take records until they are full.
        let first = weather.first_after(broken, 503);
        let seen = first.map_or_else(|| "never".to_owned(), |ms| format!("{ms} ms"));
        trial.check(first.is_some(), "it bit: the log was away at last", seen);
        let away = Span { from: broken + first.unwrap_or(0) * 1_000, to: healing };
        without_log(trial, weather, away, healed);
    })
}
