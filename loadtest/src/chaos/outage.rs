//! F6, F12, F13, F17: an engine killed or frozen under load for a while. Invariant: without Kafka the door says 503 and says it
//! soon; without Postgres or Redis it goes on as if nothing had happened.

use std::time::Duration;

use super::trial::{Outcome, Settings, Trial};
use super::weather::{Span, Weather};
use crate::say;
use crate::stack::Stack;

/// Fair weather before and after.
const BEFORE: Duration = Duration::from_secs(5);
const AFTER: Duration = Duration::from_secs(10);
/// By then the door must have noticed (floor of R15: 2 s, plus what the acknowledgement of one request takes).
const NOTICED_MICROS: i64 = 2_500_000;

/// An engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The log.
    Kafka,
    /// The store.
    Postgres,
    /// The helper.
    Redis,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// SIGKILL, later started again.
    Stop,
    /// SIGSTOP, later SIGCONT: connections stay open and nothing answers.
    Pause,
}

/// One outage.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    /// Of what.
    pub engine: Engine,
    /// How.
    pub harm: Harm,
}

impl Outage {
    /// Runs it.
    ///
    /// # Errors
    /// When the engine cannot be harmed or does not come back.
    pub fn run(self, name: &str, settings: &Settings) -> anyhow::Result<Outcome> {
        let trial = Trial::start(name, settings)?;
        let start = trial.now();
        trial.wait(BEFORE);
        say(format_args!("   {:?} of {:?} for {} s", self.harm, self.engine, settings.outage));
        let broken = trial.now();
        self.begin(&trial.stack)?;
        trial.wait(Duration::from_secs(settings.outage));
        let healing = trial.now();
        self.end(&trial.stack)?;
        let healed = trial.now();
        say(format_args!("   back after {} ms", (healed - healing) / 1_000));
        trial.wait(AFTER);
        // The first second pays for connections and topic metadata, not for anything of the outage's.
        let before = Span { from: start + 1_000_000, to: broken };
        let during = Span { from: broken, to: healing };
        trial.finish(|trial, weather| match self.engine {
            Engine::Kafka => without_log(trial, weather, during, healed),
            Engine::Postgres | Engine::Redis => unaffected(trial, weather, before, during),
        })
    }

    fn begin(self, stack: &Stack) -> anyhow::Result<()> {
        let engines = &stack.engines;
        match (self.engine, self.harm) {
            (Engine::Kafka, Harm::Stop) => engines.kafka.kill()?,
            (Engine::Kafka, Harm::Pause) => engines.kafka.pause(),
            (Engine::Postgres, Harm::Stop) => engines.postgres.kill()?,
            (Engine::Postgres, Harm::Pause) => engines.postgres.pause(),
            (Engine::Redis, Harm::Stop) => engines.redis.kill()?,
            (Engine::Redis, Harm::Pause) => engines.redis.pause(),
        }
        Ok(())
    }

    fn end(self, stack: &Stack) -> anyhow::Result<()> {
        let engines = &stack.engines;
        match (self.engine, self.harm) {
            (Engine::Kafka, Harm::Stop) => engines.kafka.start()?,
            (Engine::Kafka, Harm::Pause) => engines.kafka.resume(),
            (Engine::Postgres, Harm::Stop) => engines.postgres.start()?,
            (Engine::Postgres, Harm::Pause) => engines.postgres.resume(),
            (Engine::Redis, Harm::Stop) => engines.redis.start()?,
            (Engine::Redis, Harm::Pause) => engines.redis.resume(),
        }
        Ok(())
    }
}

/// F6: refused within 2 s, then within milliseconds, and taken again within 5 s of the return.
pub(super) fn without_log(trial: &mut Trial, weather: &Weather, during: Span, healed: i64) {
    let first = weather.first_after(during.from, 503);
    let seen = first.map_or_else(|| "never".to_owned(), |ms| format!("{ms} ms"));
    trial.check(first.is_some_and(|ms| ms <= NOTICED_MICROS / 1_000), "first 503 within 2.5 s", seen);
    let slowest = weather.slowest(during);
    trial.check(slowest <= 3_000, "no answer of the outage took more than 3 s", format!("{slowest} ms"));
    let noticed = Span { from: during.from + NOTICED_MICROS, to: during.to };
    let later = weather.latency(noticed, 503);
    trial.check(
        later.count > 0 && later.p95_ms <= 50.0,
        "once noticed, a 503 takes p95 <= 50 ms (aim 10)",
        later.to_string(),
    );
    let (taken, asked) = weather.share(noticed, 202);
    trial.check(taken * 100 <= asked, "once noticed, nothing is taken", format!("{taken} of {asked}"));
    let back = weather.first_after(healed, 202);
    let seen = back.map_or_else(|| "never".to_owned(), |ms| format!("{ms} ms"));
    trial.check(back.is_some_and(|ms| ms <= 5_000), "taken again within 5 s of the return", seen);
}

/// F12, F13, F17: every request is taken, and as fast as before but for noise.
pub(super) fn unaffected(trial: &mut Trial, weather: &Weather, before: Span, during: Span) {
    let (taken, asked) = weather.share(during, 202);
    trial.check(asked > 0 && taken == asked, "every request of the outage is taken", format!("{taken} of {asked}"));
    let (calm, storm) = (weather.latency(before, 202), weather.latency(during, 202));
    let limit = (calm.p99_ms * 1.5).max(calm.p99_ms + 25.0);
    trial.check(
        storm.p99_ms <= limit,
        format!("p99 of an answer stays below {limit:.0} ms"),
        format!("{:.1} ms, {:.1} ms before", storm.p99_ms, calm.p99_ms),
    );
}
