//! F1 and F2: `kill -9` of the API or the worker under load, round after round. Invariant: each round kills a process that was
//! doing its work: it had taken or stored events since its start.

use std::time::Duration;

use anyhow::bail;

use super::trial::{Outcome, Settings, Trial};
use crate::generate::scramble;
use crate::say;
use crate::scratch;
use crate::stack::Role;

/// How long a restarted process may take until events move again.
const BACK_WITHIN: Duration = Duration::from_secs(90);

/// What is killed, how and how often.
#[derive(Debug, Clone)]
pub struct KillRounds {
    /// Which roles, by turns.
    pub roles: Vec<Role>,
    /// How often.
    pub rounds: u32,
    /// Where the worker kills itself; at a random moment from outside when absent.
    pub fail_point: Option<FailPoint>,
}

/// A place in the worker's write transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum FailPoint {
    /// Rows inserted, nothing committed.
    AfterInsert,
    /// Committed, offsets not settled.
    AfterCommit,
}

impl FailPoint {
    fn as_str(self) -> &'static str {
        match self {
            Self::AfterInsert => "after_insert",
            Self::AfterCommit => "after_commit",
        }
    }
}

impl KillRounds {
    /// Runs all rounds on one stack, then audits everything.
    ///
    /// # Errors
    /// When a killed process does not come back.
    pub fn run(&self, settings: &Settings) -> anyhow::Result<Outcome> {
        let name = format!("kill-rounds: {} x kill -9 of {}", self.rounds, self.killed());
        let mut trial = Trial::start(&name, settings)?;
        let seed = u64::from_str_radix(&scratch::unique()[..8], 36).unwrap_or(0);
        for round in 0..self.rounds {
            let random = scramble(seed ^ u64::from(round));
            self.round(&mut trial, round, random)?;
        }
        // A worker that was started with a fail point still carries it.
        trial.stack.worker.unset("WEIR_FAIL_POINT");
        for role in &self.roles {
            let service = trial.stack.role(*role);
            service.kill()?;
            service.start()?;
            service.wait_ready()?;
            wait_for_work(&mut trial, *role)?;
        }
        trial.finish(|trial, _| {
            let rounds = self.rounds;
            trial.note(format!("{rounds} rounds, each killing a process at work"), "done");
        })
    }

    /// What is killed and where.
    pub(super) fn killed(&self) -> String {
        let place = self.fail_point.map_or_else(String::new, |point| format!(" at {}", point.as_str()));
        let roles: Vec<&str> = self.roles.iter().map(|role| role.as_str()).collect();
        format!("{}{place}", roles.join(" and "))
    }

    fn round(&self, trial: &mut Trial, round: u32, random: u64) -> anyhow::Result<()> {
        let role = self.roles[round as usize % self.roles.len()];
        match self.fail_point {
            None => {
                wait_for_work(trial, role)?;
                let moment = Duration::from_millis(random % 2_000);
                trial.wait(moment);
                trial.stack.role(role).kill()?;
                let (round, role, ms) = (round + 1, role.as_str(), moment.as_millis());
                say(format_args!("   round {round}: {role} killed {ms} ms after it was seen at work"));
            }
            Some(point) => {
                let writes = 1 + random % 20;
                let service = trial.stack.role(role);
                service.kill()?;
                service.set([("WEIR_FAIL_POINT", format!("{}:{writes}", point.as_str()))]);
                service.start()?;
                let died = weir_local::poll(BACK_WITHIN, || (!service.is_running()).then_some(()));
                if died.is_none() {
                    bail!("the worker did not reach write {writes} within {} s", BACK_WITHIN.as_secs());
                }
                say(format_args!("   round {}: died at write {writes}", round + 1));
                return Ok(());
            }
        }
        trial.stack.role(role).start()
    }
}

/// Waits until events move through the role again.
fn wait_for_work(trial: &mut Trial, role: Role) -> anyhow::Result<()> {
    let before = done(trial, role)?;
    let mut failed = None;
    let moved = weir_local::poll(BACK_WITHIN, || match done(trial, role) {
        Ok(done) => (done > before).then_some(()),
        Err(error) => {
            failed = Some(error);
            Some(())
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    if moved.is_none() {
        let tail = trial.stack.role(role).log_tail();
        bail!("no event moved within {} s of a restart; end of the log:\n{tail}", BACK_WITHIN.as_secs());
    }
    Ok(())
}

/// Events that went through the role so far.
fn done(trial: &Trial, role: Role) -> anyhow::Result<u64> {
    match role {
        Role::Api => Ok(trial.accepted()),
        Role::Worker => trial.stack.stored(),
    }
}
