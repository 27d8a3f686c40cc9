//! F18, F21, F22: too much, from one or from all. Invariant: who is within his quota notices nothing of who is not, and the
//! service does as much work under a flood as without one.

use std::time::Duration;

use super::trial::{Outcome, Settings, Trial, steady};
use super::weather::Span;
use crate::generate::{Mix, Pace, Plan};
use crate::say;
use crate::stack::Ground;

/// F18: the counters of the limits vanish again and again.
pub(super) fn redis_flushed(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    const LIMIT: u64 = 300;
    const FLUSHES: u64 = 2;
    let ground = Ground::default().with("WEIR_LIMIT_SUSTAINED", LIMIT).with("WEIR_LIMIT_BURST", LIMIT);
    let mut trial = Trial::prepare(title, settings, &ground)?;
    trial.stack.serve()?;
    let plan = trial.plan();
    trial.load(Plan { retries: 0, ..plan })?;
    let from = trial.now();
    for flush in 0..FLUSHES {
        trial.wait(Duration::from_secs(15));
        trial.stack.engines.redis.flush()?;
        say(format_args!("   flush {} of {FLUSHES}", flush + 1));
    }
    trial.wait(Duration::from_secs(15));
    let to = trial.now();
    trial.finish(|trial, weather| {
        let span = Span { from, to };
        let (taken, refused, asked) =
            (weather.share(span, 202).0, weather.share(span, 429).0, weather.share(span, 202).1);
        trial.check(taken + refused == asked, "nothing but 202 and 429", weather.endings(span));
        trial.check(refused > 0, "it bit: the limit was reached", format!("{refused} of {asked}"));
        // All of it happens within one window, so each flush may give a window's worth again; leases may be out meanwhile.
        let bound = LIMIT * (FLUSHES + 1) * 11 / 10;
        let most =
            trial.stack.sql("SELECT max(sum) FROM (SELECT sum(events) FROM event_counts GROUP BY account_id) sums");
        let most: Option<u64> = most.ok().and_then(|most| most.trim().parse().ok());
        let held = most.is_some_and(|most| most <= bound && most > LIMIT);
        trial.check(held, format!("a flush gives one window's worth again: {bound} at most"), format!("{most:?}"));
    })
}

/// F21: one account at many times its quota.
pub(super) fn whale(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    const SUSTAINED: u64 = 600;
    let ground = Ground::default().with("WEIR_LIMIT_SUSTAINED", SUSTAINED).with("WEIR_LIMIT_BURST", SUSTAINED);
    let mut trial = Trial::prepare(title, settings, &ground)?;
    trial.stack.serve()?;
    let plan = Plan { mix: Mix::Whale, accounts: 51, retries: 0, ..trial.plan() };
    // Nine tenths are the whale's: a hundred times its quota at ten times the usual rate.
    let pace = steady(settings.rate * 10.0);
    trial.load(Plan { pace, ..plan })?;
    let from = trial.now();
    trial.wait(trial.outage().max(Duration::from_secs(20)));
    let span = Span { from: from + 2_000_000, to: trial.now() };
    trial.finish(|trial, weather| {
        let (whale, small) = (weather.only(|account| account == 0), weather.only(|account| account != 0));
        let (refused, asked) = whale.share(span, 429);
        trial.check(refused * 2 > asked, "it bit: most of the whale's requests get 429", whale.endings(span));
        let (taken, asked) = small.share(span, 202);
        trial.check(asked > 0 && taken == asked, "every request of the others is taken", small.endings(span));
        let latency = small.latency(span, 202);
        trial.check(latency.p95_ms <= 150.0, "their p95 is at most 150 ms", latency.to_string());
        let stored =
            trial.stack.sql("SELECT max(sum) FROM (SELECT sum(events) FROM event_counts GROUP BY account_id) sums");
        let stored: Option<u64> = stored.ok().and_then(|most| most.trim().parse().ok());
        let range = SUSTAINED * 9 / 10..=SUSTAINED * 11 / 10;
        trial.check(
            stored.is_some_and(|stored| range.contains(&stored)),
            format!("the whale gets its quota of {SUSTAINED}, within a tenth"),
            format!("{stored:?}"),
        );
    })
}

/// F22: three times what the service can do.
pub(super) fn overload(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    const SPAN: Duration = Duration::from_secs(10);
    const WARM: Duration = Duration::from_secs(3);
    const BATCH: u32 = 100;
    let mut trial = Trial::prepare(title, settings, &Ground::default())?;
    trial.stack.serve()?;
    let plan = Plan { batch: Some(BATCH), mix: Mix::Uniform, accounts: 64, retries: 0, ..trial.plan() };
    let run_for = WARM + SPAN;
    trial.load(Plan { pace: Pace::Closed { run_for }, connections: 32, ..plan.clone() })?;
    trial.wait(WARM);
    let (before, calm_from) = (trial.accepted(), trial.now());
    trial.wait(SPAN.saturating_sub(Duration::from_millis(500)));
    let most = (trial.accepted() - before) as f64 / (SPAN.as_secs_f64() - 0.5);
    let calm = Span { from: calm_from, to: trial.now() };
    let steady_rss = trial.vitals(&trial.stack.api)?.rss_mib();
    trial.end_load()?;
    let rate = 3.0 * most / f64::from(BATCH);
    say(format_args!("   {most:.0} events/s at saturation; now {rate:.0} batches/s are offered"));
    trial.load(Plan { pace: steady(rate), connections: 1_900, ..plan })?;
    trial.wait(WARM);
    let (before, from, mut rss) = (trial.accepted(), trial.now(), 0.0f64);
    for _ in 0..SPAN.as_secs() * 2 {
        trial.wait(Duration::from_millis(500));
        rss = rss.max(trial.vitals(&trial.stack.api)?.rss_mib());
    }
    let goodput = (trial.accepted() - before) as f64 / SPAN.as_secs_f64();
    let span = Span { from, to: trial.now() };
    trial.finish(|trial, weather| {
        let (calm, flooded) = (weather.latency(calm, 202), weather.latency(span, 202));
        let (refused, asked) = weather.share(span, 503);
        let waits = format!("p50 {:.0} ms, {:.0} at saturation", flooded.p50_ms, calm.p50_ms);
        trial.check(
            flooded.p50_ms >= calm.p50_ms * 3.0 || refused * 4 > asked,
            "it bit: requests wait for each other, or many are to come again",
            format!("{waits}; {refused} of {asked} refused"),
        );
        let ratio = goodput / most;
        let seen = format!("{goodput:.0} of {most:.0} events/s; {}", weather.endings(span));
        trial.check(ratio >= 0.8, format!("R10: goodput stays at 0.80 of saturation: {ratio:.2}"), seen);
        let ratio = rss / steady_rss;
        let seen = format!("{rss:.0} of {steady_rss:.0} MiB");
        trial.check(ratio <= 2.0, format!("R19: memory at most doubles: {ratio:.2}"), seen);
    })
}
