//! F19: the clock of one process jumps by an hour, forward and back. Invariant: limits keep other time than the wall's, and what is
//! accepted is stored whatever the clock says.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::table::NotHere;
use super::trial::{Outcome, Settings, Trial};
use super::weather::Span;
use crate::generate::Plan;
use crate::say;
use crate::stack::{Ground, Role};

/// Under a minute in all: one window of the limit.
const BEFORE: Duration = Duration::from_secs(12);
const JUMP: Duration = Duration::from_secs(9);
const AFTER: Duration = Duration::from_secs(9);
/// Events an account may send meanwhile: the larger ones reach it before the first jump.
const LIMIT: u64 = 300;

/// The library that stands between a process and its clock, where Debian's package puts it.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let here = |folder: fs::DirEntry| folder.path().join("faketime/libfaketimeMT.so.1");
    folders.map(here).find(|library| library.is_file())
}

/// Sets the clock of the process, by the file it looks at once a second.
fn jump(trial: &Trial, hours: i32) -> anyhow::Result<i64> {
    fs::write(trial.stack.file("clock"), format!("{:+}\n", hours * 3_600)).context("setting a clock")?;
    trial.wait(Duration::from_secs(2));
    say(format_args!("   the clock is {hours:+} h off"));
    Ok(trial.now())
}

fn clock_of(role: Role, title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let library = library().ok_or(NotHere("libfaketime is missing: loadtest/chaos/install.sh"))?;
    let ground = Ground::default().with("WEIR_LIMIT_SUSTAINED", LIMIT).with("WEIR_LIMIT_BURST", LIMIT);
    let mut trial = Trial::prepare(title, settings, &ground)?;
    let file = trial.stack.file("clock");
    fs::write(&file, "+0\n").context("setting a clock")?;
    trial.stack.role(role).set([
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]);
    trial.stack.serve()?;
    trial.load(Plan { retries: 0, ..trial.plan() })?;
    let from = trial.now();
    trial.wait(BEFORE);
    let ahead = jump(&trial, 1)?;
    trial.wait(JUMP);
    let behind = jump(&trial, -1)?;
    trial.wait(JUMP);
    let right = jump(&trial, 0)?;
    let before_end = trial.stack.stored()?;
    trial.wait(AFTER);
    let moved = trial.stack.stored()? - before_end;
    let to = trial.now();
    trial.finish(|trial, weather| {
        trial.check(moved > 0, "events are stored after the jumps", moved.to_string());
        let spans = [("before", from, ahead), ("an hour ahead", ahead, behind), ("right again", right, to)];
        for (name, from, to) in spans {
            // The jump itself falls into the two seconds before the next span.
            let span = Span { from, to: to - 2_000_000 };
            let (taken, limited, asked) =
                (weather.share(span, 202).0, weather.share(span, 429).0, weather.share(span, 202).1);
            trial.check(
                taken > 0 && taken + limited == asked,
                format!("{name}: 202 and 429 only"),
                weather.endings(span),
            );
        }
        // An hour behind, the clients' times lie in the future: refused by rule when the door's clock is the wrong one.
        let span = Span { from: behind, to: right - 2_000_000 };
        let known: u64 = [202, 429, 400].into_iter().map(|status| weather.share(span, status).0).sum();
        let refused = weather.share(span, 400).0;
        let bit = (refused > 0) == (role == Role::Api);
        trial.check(
            known == weather.share(span, 202).1,
            "an hour behind: 202, 429 and 400 only",
            weather.endings(span),
        );
        trial.check(bit, "it bit: the door, and it alone, refuses times in the future", format!("{refused} refused"));
        let most =
            trial.stack.sql("SELECT max(sum) FROM (SELECT sum(events) FROM event_counts GROUP BY account_id) sums");
        let most: Option<u64> = most.ok().and_then(|most| most.trim().parse().ok());
        trial.check(
            most.is_some_and(|most| (LIMIT * 9 / 10..=LIMIT * 11 / 10).contains(&most)),
            format!("no account gets more than its {LIMIT} by a jump"),
            format!("{most:?}"),
        );
    })
}

/// The API's clock.
pub(super) fn of_api(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    clock_of(Role::Api, title, settings)
}

/// The worker's clock.
pub(super) fn of_worker(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    clock_of(Role::Worker, title, settings)
}
