//! Faults with the auditor as judge. Steps of a scenario are in [`trial`]; a scenario is a file here and a row in [`SCENARIOS`].
//! Invariant: a scenario harms only what it started itself.

mod kept;
mod kill_rounds;
mod kill_series;
mod outage;
mod soak;
mod trial;
mod vitals;
mod weather;

pub use kill_rounds::{FailPoint, KillRounds};
pub use kill_series::KillSeries;
pub use soak::Soak;
pub use trial::{Check, Outcome, Settings};

use outage::{Engine, Harm, Outage};

/// A fault by name.
pub struct Scenario {
    /// Name on the command line.
    pub name: &'static str,
    /// Row of the fault matrix (targets §7).
    pub row: &'static str,
    /// What happens.
    pub about: &'static str,
    outage: Outage,
}

const fn outage(name: &'static str, row: &'static str, about: &'static str, engine: Engine, harm: Harm) -> Scenario {
    Scenario { name, row, about, outage: Outage { engine, harm } }
}

/// All scenarios but the kill rounds, which take arguments of their own.
pub const SCENARIOS: [Scenario; 6] = [
    outage("kafka-stop", "F6", "the broker is killed and started again", Engine::Kafka, Harm::Stop),
    outage("kafka-pause", "F6", "the broker hangs", Engine::Kafka, Harm::Pause),
    outage("postgres-stop", "F12", "Postgres is killed and started again", Engine::Postgres, Harm::Stop),
    outage("postgres-pause", "F13", "Postgres hangs", Engine::Postgres, Harm::Pause),
    outage("redis-stop", "F17", "Redis is killed and started again", Engine::Redis, Harm::Stop),
    outage("redis-pause", "F17", "Redis hangs", Engine::Redis, Harm::Pause),
];

impl Scenario {
    /// The scenario of that name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// Runs it to its verdict.
    ///
    /// # Errors
    /// When the stage cannot be set; a broken promise is an outcome, not an error.
    pub fn run(&self, settings: &Settings) -> anyhow::Result<Outcome> {
        self.outage.run(&format!("{} ({}): {}", self.name, self.row, self.about), settings)
    }
}
