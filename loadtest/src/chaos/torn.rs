//! F27: a deploy under load that stops in the middle and goes back. Invariant: an older and this version read what the other has
//! written, on the schema of the newer one.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::table::NotHere;
use super::trial::{Outcome, Settings, Trial};
use crate::say;
use crate::stack::{Ground, Role};

/// How long each state lasts.
const STATE: Duration = Duration::from_secs(6);

/// Schema, worker, API: forward; API and worker back; both forward.
pub(super) fn deploy(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let older = settings.older.as_deref().ok_or(NotHere("name an older binary by --older"))?;
    let newer = settings.weir.as_path();
    let differ = std::fs::read(older).context("the older binary")? != std::fs::read(newer).context("the binary")?;
    let mut trial = Trial::on(title, &Settings { weir: older.to_owned(), ..settings.clone() }, &Ground::default())?;
    trial.wait(STATE);
    say(format_args!("   the newer schema under the older service"));
    trial.stack.migrate(newer)?;
    trial.wait(STATE);
    let steps: [(&str, Role, &Path); 6] = [
        ("the newer worker", Role::Worker, newer),
        ("the newer API", Role::Api, newer),
        ("back to the older API", Role::Api, older),
        ("back to the older worker", Role::Worker, older),
        ("the newer API, the older worker", Role::Api, newer),
        ("all newer", Role::Worker, newer),
    ];
    for (state, role, program) in steps {
        let service = trial.stack.role(role);
        service.stop()?;
        service.set_program(program);
        service.start()?;
        service.wait_ready()?;
        say(format_args!("   {state}"));
        let (stored, accepted) = (trial.stack.stored()?, trial.accepted());
        trial.wait(STATE);
        let (stored, accepted) = (trial.stack.stored()? - stored, trial.accepted() - accepted);
        let seen = format!("{accepted} accepted, {stored} stored");
        trial.check(stored > 0 && accepted > 0, format!("{state}: events go through"), seen);
    }
    trial.finish(|trial, weather| {
        trial.check(differ, "it bit: the two are different builds", differ.to_string());
        let (taken, sent) = weather.taken_in_the_end();
        trial.check(taken == sent, "every request is taken in the end", format!("{taken} of {sent}"));
        let letters = trial.stack.sql("SELECT count(*) FROM dead_letters").map(|count| count.trim().to_owned());
        trial.check(letters.as_deref().ok() == Some("0"), "nothing is set aside", format!("{letters:?}"));
    })
}
