//! F6, F10, F11, F17: a bad network before an engine. Invariant: an acknowledgement that is lost loses nothing and doubles nothing,
//! and slowness alone refuses nobody.

use std::time::Duration;

use anyhow::Context;

use super::outage::{unaffected, without_log};
use super::topic;
use super::trial::{Outcome, Settings, Trial};
use super::weather::Span;
use crate::proxy::{Network, Proxy};
use crate::say;
use crate::stack::{Ground, Proxies};

/// Fair weather before and after.
const BEFORE: Duration = Duration::from_secs(5);
const AFTER: Duration = Duration::from_secs(10);

/// Lets a network be bad for a while; tells the spans before and during, and when it was good again.
fn bad(trial: &Trial, which: fn(&Proxies) -> &Proxy, network: Network) -> anyhow::Result<(Span, Span, i64)> {
    let proxy = which(trial.stack.proxies.as_ref().context("no proxies")?);
    let start = trial.now();
    trial.wait(BEFORE);
    say(format_args!("   {network:?} for {} s", trial.outage().as_secs()));
    let broken = trial.now();
    proxy.set(network);
    trial.wait(trial.outage());
    proxy.set(Network::Good);
    let healed = trial.now();
    trial.wait(AFTER);
    // The first second pays for connections and topic metadata.
    Ok((Span { from: start + 1_000_000, to: broken }, Span { from: broken, to: healed }, healed))
}

fn proxied() -> Ground {
    Ground { proxied: true, ..Ground::default() }
}

/// F6: nothing comes through, and no connection breaks.
pub(super) fn kafka_black_hole(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let trial = Trial::on(title, settings, &proxied())?;
    let (_, during, healed) = bad(&trial, |proxies| &proxies.kafka, Network::BlackHole)?;
    trial.finish(|trial, weather| without_log(trial, weather, during, healed))
}

/// F10: short losses, which the producer repeats by itself, then one past every deadline, which clients repeat.
pub(super) fn kafka_lost_answers(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    const PULSES: u32 = 8;
    let trial = Trial::on(title, settings, &proxied())?;
    trial.wait(BEFORE);
    let kafka = &trial.stack.proxies.as_ref().context("no proxies")?.kafka;
    for _ in 0..PULSES {
        kafka.set(Network::NoAnswers);
        trial.wait(Duration::from_millis(400));
        kafka.set(Network::Good);
        trial.wait(Duration::from_millis(1_600));
    }
    let (_, during, healed) = bad(&trial, |proxies| &proxies.kafka, Network::NoAnswers)?;
    let logged = |trial: &Trial| topic::records(&trial.stack.engines.kafka.broker(0).address(), topic::EVENTS);
    trial.finish(|trial, weather| {
        let (unknown, asked) = weather.share(during, 503);
        trial.check(unknown > 0, "answers of the outage say 503", format!("{unknown} of {asked}"));
        let back = weather.first_after(healed, 202);
        let seen = back.map_or_else(|| "never".to_owned(), |ms| format!("{ms} ms"));
        trial.check(back.is_some_and(|ms| ms <= 5_000), "taken again within 5 s of the return", seen);
        let stored = trial.stack.stored();
        match (logged(trial), stored) {
            (Ok(records), Ok(stored)) => trial.check(
                records > stored,
                "the log holds events twice, the store once",
                format!("{records} records, {stored} events"),
            ),
            (records, stored) => trial.check(false, "log and store can be counted", format!("{records:?}, {stored:?}")),
        }
    })
}

/// F11: half a second there and back.
pub(super) fn kafka_slow(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let trial = Trial::on(title, settings, &proxied())?;
    let steady = trial.vitals(&trial.stack.api)?;
    let (before, during, _) = bad(&trial, |proxies| &proxies.kafka, Network::Slow(Duration::from_millis(250)))?;
    let held = trial.vitals(&trial.stack.api)?;
    trial.finish(|trial, weather| {
        let (taken, asked) = weather.share(during, 202);
        trial.check(asked > 0 && taken == asked, "every request is taken", format!("{taken} of {asked}"));
        let (calm, slow) = (weather.latency(before, 202), weather.latency(during, 202));
        trial.check(slow.p50_ms >= 250.0, "it was slow indeed", format!("{slow}, p50 {:.1} before", calm.p50_ms));
        trial.check(slow.p99_ms <= 2_000.0, "no answer past the acknowledgement's deadline", slow.to_string());
        let (steady, held) = (steady.rss_mib(), held.rss_mib());
        trial.check(held <= steady * 1.5 + 32.0, "memory stays bounded", format!("{held:.0} MiB, {steady:.0} before"));
    })
}

/// F17: Redis answers, but later than any charge waits.
pub(super) fn redis_slow(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let trial = Trial::on(title, settings, &proxied())?;
    let (before, during, _) = bad(&trial, |proxies| &proxies.redis, Network::Slow(Duration::from_millis(50)))?;
    trial.finish(|trial, weather| unaffected(trial, weather, before, during))
}
