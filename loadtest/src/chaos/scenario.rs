//! The scenarios by name, in the order of the fault matrix. Invariant: each has the auditor as judge, and each fault is seen to
//! have bitten: a check fails when nothing was broken.

use super::kill_rounds::{FailPoint, KillRounds};
use super::outage::{Engine, Harm, Outage};
use super::trial::{Outcome, Settings};
use super::{api, brokers, clock, limits, network, poison, rotate, starve, store, torn, workers};
use crate::stack::Role;

/// A fault by name.
pub struct Scenario {
    /// Name on the command line.
    pub name: &'static str,
    /// Row of the fault matrix (targets §7).
    pub row: &'static str,
    /// What happens.
    pub about: &'static str,
    play: Play,
}

/// Plays a scenario under its title.
type Play = fn(&str, &Settings) -> anyhow::Result<Outcome>;

/// All scenarios.
pub const SCENARIOS: &[Scenario] = &[
    row("kill-api", "F1", "kill -9 of the API, ten times", |_, settings| kill(Role::Api, None, settings)),
    row("kill-worker", "F2", "kill -9 of the worker, ten times", |_, settings| kill(Role::Worker, None, settings)),
    row("kill-after-insert", "F2", "the worker dies before its commit, five times", |_, settings| {
        kill(Role::Worker, Some(FailPoint::AfterInsert), settings)
    }),
    row("kill-after-commit", "F2", "the worker dies between commit and offset, five times", |_, settings| {
        kill(Role::Worker, Some(FailPoint::AfterCommit), settings)
    }),
    row("api-term", "F3", "the API gets SIGTERM, the second time held by a client", api::terminated),
    row("worker-term", "F4", "one of two workers gets SIGTERM", workers::terminated),
    row("worker-zombie", "F5", "one of two workers freezes past its session and wakes", workers::zombie),
    row("kafka-stop", "F6", "the broker is killed and started again", |title, settings| {
        Outage { engine: Engine::Kafka, harm: Harm::Stop }.run(title, settings)
    }),
    row("kafka-pause", "F6", "the broker hangs", |title, settings| {
        Outage { engine: Engine::Kafka, harm: Harm::Pause }.run(title, settings)
    }),
    row("kafka-black-hole", "F6", "the way to the broker swallows everything", network::kafka_black_hole),
    row("kafka-disk-full", "F6", "the broker's disk is full", brokers::disk_full),
    row("kafka-one-of-three", "F7", "one broker of three is killed and started again", brokers::one_of_three),
    row("kafka-two-of-three", "F8", "two brokers of three are killed and started again", brokers::two_of_three),
    row("kafka-rolling", "F9", "three brokers are restarted one after the other: leaders move", brokers::rolling),
    row("too-large", "F9", "events and bodies over the limits", poison::too_large),
    row(
        "kafka-lost-answers",
        "F10",
        "the broker stores and its acknowledgements are lost",
        network::kafka_lost_answers,
    ),
    row("kafka-slow", "F11", "500 ms from the service to the broker and back", network::kafka_slow),
    row("postgres-stop", "F12", "Postgres is killed and started again", |title, settings| {
        Outage { engine: Engine::Postgres, harm: Harm::Stop }.run(title, settings)
    }),
    row("postgres-pause", "F13", "Postgres hangs", |title, settings| {
        Outage { engine: Engine::Postgres, harm: Harm::Pause }.run(title, settings)
    }),
    row("postgres-disk-full", "F14", "the disk of the tables is full", store::disk_full),
    row("postgres-locks", "F15", "somebody holds the rows, then takes them in the worst order", store::locked),
    row("partition-gone", "F16", "a partition of events is gone for a while", store::partition_gone),
    row("column-renamed", "F16", "a column has another name for a while", store::column_renamed),
    row("redis-stop", "F17", "Redis is killed and started again", |title, settings| {
        Outage { engine: Engine::Redis, harm: Harm::Stop }.run(title, settings)
    }),
    row("redis-pause", "F17", "Redis hangs", |title, settings| {
        Outage { engine: Engine::Redis, harm: Harm::Pause }.run(title, settings)
    }),
    row("redis-slow", "F17", "100 ms from the service to Redis and back", network::redis_slow),
    row("redis-flushed", "F18", "Redis forgets everything, twice", limits::redis_flushed),
    row("clock-of-api", "F19", "the API's clock jumps an hour ahead and an hour back", clock::of_api),
    row("clock-of-worker", "F19", "the worker's clock jumps an hour ahead and an hour back", clock::of_worker),
    row("poison", "F20", "records that are no events stand in the log", poison::records),
    row("whale", "F21", "one account at many times its quota", limits::whale),
    row("overload", "F22", "three times what the service can do", limits::overload),
    row("slow-clients", "F23", "5,000 clients that hardly move", api::slow_clients),
    row("no-descriptors", "F24", "the API has no descriptor left", starve::descriptors),
    row("little-memory", "F24", "a flood of batches, a log that hangs, little memory", starve::memory),
    row("little-processor", "F24", "a hundredth of a processor for the API", starve::processor),
    row("rebalance-storm", "F25", "a worker comes or goes every few seconds", workers::storm),
    row("keys-rotated", "F26", "a new signing key beside the old one, then alone", rotate::keys),
    row("password-rotated", "F26", "the worker's password changes under it", rotate::password),
    row("torn-deploy", "F27", "an older and this version side by side, forward and back", torn::deploy),
    row("output-blocked", "F28", "nobody reads the service's output", api::output_blocked),
];

fn kill(role: Role, fail_point: Option<FailPoint>, settings: &Settings) -> anyhow::Result<Outcome> {
    let rounds = if fail_point.is_some() { 5 } else { 10 };
    KillRounds { roles: vec![role], rounds, fail_point }.run(settings)
}

const fn row(name: &'static str, row: &'static str, about: &'static str, play: Play) -> Scenario {
    Scenario::new(name, row, about, play)
}

impl Scenario {
    pub(super) const fn new(name: &'static str, row: &'static str, about: &'static str, play: Play) -> Self {
        Self { name, row, about, play }
    }

    /// The scenario of that name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// Runs it to its verdict.
    ///
    /// # Errors
    /// When the stage cannot be set; a broken promise is an outcome, not an error.
    pub fn run(&self, settings: &Settings) -> anyhow::Result<Outcome> {
        (self.play)(&format!("{} ({}): {}", self.name, self.row, self.about), settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_own_scenario() {
        for scenario in SCENARIOS {
            let found = Scenario::by_name(scenario.name).expect("found");
            assert_eq!(found.about, scenario.about, "{} is there twice", scenario.name);
        }
    }
}
