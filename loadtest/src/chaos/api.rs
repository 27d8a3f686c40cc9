//! F3, F23, F28: an API that is told to go, that is held by slow clients, whose output nobody reads. Invariant: what it answered
//! with 202 is stored, and no client and no reader of its output can hold it.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::crowd::Crowd;
use super::trial::{Outcome, Settings, Trial, steady};
use super::weather::Span;
use crate::generate::Plan;
use crate::say;
use crate::stack::{Ground, WELL};

/// Fair weather before and after.
const BEFORE: Duration = Duration::from_secs(5);
/// What running requests get.
const DRAIN: Duration = Duration::from_secs(5);
/// Flushing and closing come on top.
const BEYOND_DRAIN: Duration = Duration::from_secs(5);

/// SIGTERM to exit.
struct Exit {
    signalled: i64,
    took: Duration,
    ended: Option<String>,
    /// How long it still said that it was ready.
    ready_for: Duration,
}

impl Exit {
    /// Terminates the API and starts it again.
    fn of_api(trial: &Trial) -> anyhow::Result<Self> {
        let api = &trial.stack.api;
        let (signalled, start) = (trial.now(), Instant::now());
        api.terminate();
        let mut ready_for = Duration::ZERO;
        let limit = Duration::from_secs(60);
        let gone = weir_local::poll(limit, || {
            if !api.is_running() {
                return Some(start.elapsed());
            }
            if api.is_ready() {
                ready_for = start.elapsed();
            }
            None
        });
        let took = gone.with_context(|| format!("the API still runs {} s after SIGTERM", limit.as_secs()))?;
        let ended = api.ended();
        api.start()?;
        api.wait_ready()?;
        say(format_args!("   the API ended ({ended:?}) after {} ms", took.as_millis()));
        Ok(Self { signalled, took, ended, ready_for })
    }

    fn judge(&self, trial: &mut Trial, which: &str, within: Duration) {
        let ms = self.took.as_millis();
        trial.check(
            self.ended.as_deref() == Some(WELL) && self.took <= within,
            format!("{which}: exit 0 within {} s", within.as_secs()),
            format!("{:?} after {ms} ms", self.ended),
        );
        let ready = self.ready_for.as_millis();
        trial.check(ready <= 1_000, format!("{which}: /ready is red within a second"), format!("{ready} ms"));
    }
}

/// F3: once under load alone, once with a client that never ends its body.
pub(super) fn terminated(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let ground = Ground::default().with("WEIR_DRAIN_SECONDS", DRAIN.as_secs());
    let trial = Trial::on(title, settings, &ground)?;
    trial.wait(BEFORE);
    let plain = Exit::of_api(&trial)?;
    trial.wait(BEFORE);
    let endless = Endless::begin(&trial)?;
    trial.wait(Duration::from_secs(1));
    let held = Exit::of_api(&trial)?;
    drop(endless);
    trial.wait(BEFORE);
    trial.finish(|trial, weather| {
        plain.judge(trial, "under load", DRAIN);
        held.judge(trial, "held by a client", DRAIN + BEYOND_DRAIN);
        let waited = held.took >= DRAIN - Duration::from_secs(1);
        trial.check(waited, "it bit: that client was waited for", format!("{} ms", held.took.as_millis()));
        for (which, exit) in [("first", &plain), ("second", &held)] {
            let before = Span { from: exit.signalled - 500_000, to: exit.signalled };
            let (taken, asked) = weather.share(before, 202);
            let expected = format!("{which}: what was sent just before the signal is answered 202");
            trial.check(
                asked > 0 && taken == asked,
                expected,
                format!("{taken} of {asked}: {}", weather.endings(before)),
            );
        }
        let (taken, sent) = weather.taken_in_the_end();
        trial.check(taken == sent, "every request is taken in the end", format!("{taken} of {sent}"));
    })
}

/// A client that sends a byte of its body now and then, from a thread of its own, until it is dropped or broken off.
struct Endless {
    /// Its end ends the thread.
    _stop: std::sync::mpsc::Sender<()>,
}

impl Endless {
    fn begin(trial: &Trial) -> anyhow::Result<Self> {
        let token = trial.stack.signer()?.token("endless")?;
        let mut stream = TcpStream::connect(trial.stack.address()).context("the endless client")?;
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             content-length: 60000\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).context("the head of the endless client")?;
        let (_stop, stopped) = std::sync::mpsc::channel();
        std::thread::Builder::new().name("endless".into()).spawn(move || {
            let pause = Duration::from_millis(500);
            while stopped.recv_timeout(pause) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                if stream.write_all(b" ").is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { _stop })
    }
}

/// F23: thousands of clients that open a connection and do next to nothing.
pub(super) fn slow_clients(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    const CLIENTS: u16 = 5_000;
    const IDLE: Duration = Duration::from_secs(8);
    let ground =
        Ground::default().with("WEIR_HTTP_IDLE_SECONDS", IDLE.as_secs()).with("WEIR_HTTP_BODY_STALL_SECONDS", 5);
    let trial = Trial::on(title, settings, &ground)?;
    let start = trial.now();
    trial.wait(BEFORE);
    let (from, token) = (trial.now(), trial.stack.signer()?.token("slow")?);
    let crowd = Crowd::gather(trial.stack.address(), CLIENTS, &token)?;
    let gathered = Instant::now();
    say(format_args!("   {} slow clients, {} of them refused at once", crowd.size(), crowd.refused()));
    let (size, refused) = (crowd.size(), crowd.refused());
    let left = crowd.wait_until_gone(IDLE + Duration::from_secs(22));
    let gone = gathered.elapsed();
    let to = trial.now();
    trial.wait(BEFORE);
    trial.finish(|trial, weather| {
        trial.check(
            size >= usize::from(CLIENTS) * 9 / 10,
            format!("it bit: nine in ten of {CLIENTS} slow clients are let in"),
            format!("{size} in, {refused} refused"),
        );
        trial.check(left == 0, "each is sent away by a deadline", format!("{left} left after {} ms", gone.as_millis()));
        let (taken, asked) = weather.share(Span { from, to }, 202);
        trial.check(asked > 0 && taken == asked, "every good request is taken", format!("{taken} of {asked}"));
        let calm = weather.latency(Span { from: start + 1_000_000, to: from }, 202);
        let beside = weather.latency(Span { from, to }, 202);
        let limit = (calm.p95_ms * 3.0).max(60.0);
        let seen = format!("{beside}; p95 {:.1} before", calm.p95_ms);
        trial.check(beside.p95_ms <= limit, format!("p95 of good requests below {limit:.0} ms"), seen);
    })
}

/// F28: standard output is a pipe that is full.
pub(super) fn output_blocked(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let ground = Ground::default().with("WEIR_LOG", "debug");
    let mut trial = Trial::prepare(title, settings, &ground)?;
    let pipe = trial.stack.file("output");
    weir_local::command::run(Command::new("mkfifo").arg(&pipe), "", Duration::from_secs(10))
        .context("making a pipe")?;
    // Open at both ends, so that nobody waits for the other end and nobody is told that it is gone; never read.
    let _unread = File::options().read(true).write(true).open(&pipe).context("opening the pipe")?;
    let script = format!("exec \"$0\" \"$@\" >'{}' 2>&1", pipe.display());
    trial.stack.api.wrap(&["sh", "-c", &script]);
    trial.stack.worker.wrap(&["sh", "-c", &script]);
    trial.stack.serve()?;
    // More lines than the pipe and the service's own buffer hold.
    trial.load(Plan { pace: steady(settings.rate * 8.0), ..trial.plan() })?;
    trial.wait(trial.outage() + BEFORE);
    let dropped = |service: &crate::stack::Service| -> anyhow::Result<u64> {
        let metrics = service.metrics()?;
        let line = metrics.lines().find_map(|line| line.strip_prefix("weir_log_lines_dropped_total "));
        line.and_then(|count| count.parse().ok()).context("the number of lines that were dropped")
    };
    let lost_lines = dropped(&trial.stack.api)?;
    trial.finish(|trial, weather| {
        trial.check(lost_lines > 0, "it bit: lines were dropped and counted", lost_lines.to_string());
        let all = Span { from: 0, to: i64::MAX };
        let (taken, asked) = weather.share(all, 202);
        trial.check(asked > 0 && taken == asked, "every request is taken", format!("{taken} of {asked}"));
    })
}

/// Source addresses of slow clients: the service takes so many from one.
pub(super) fn source(number: u16) -> SocketAddr {
    let host = u8::try_from(2 + number / 1_500).unwrap_or(u8::MAX);
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0))
}
