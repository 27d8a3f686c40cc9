//! F14, F15, F16: Postgres is there and cannot take what it is given. Invariant: none of it is an event's fault, so no event becomes
//! a dead letter, and the door does not notice.

use std::os::unix::fs::{MetadataExt, chown};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::table::needs;
use super::trial::{Outcome, Settings, Trial};
use super::weather::{Span, Weather};
use crate::disk::Disk;
use crate::say;

/// Fair weather before and after.
const BEFORE: Duration = Duration::from_secs(5);
/// The worker's longest wait between tries is 10 s.
const AFTER: Duration = Duration::from_secs(15);
/// Tables grow by a few MiB in a scenario.
const SMALL_MIB: u32 = 48;

/// What a fault did.
pub(super) struct Spell {
    during: Span,
    /// Events stored while it lasted, after the writes under way.
    stored: u64,
    accepted: u64,
}

/// Lets a fault last, and looks whether anything was stored meanwhile.
pub(super) fn spell(
    trial: &mut Trial,
    begin: impl FnOnce(&mut Trial) -> anyhow::Result<()>,
    end: impl FnOnce(&mut Trial) -> anyhow::Result<()>,
) -> anyhow::Result<Spell> {
    trial.wait(BEFORE);
    let from = trial.now();
    begin(trial)?;
    say(format_args!("   broken for {} s", trial.outage().as_secs()));
    trial.wait(Duration::from_secs(2));
    let (stored, accepted) = (trial.stack.stored()?, trial.accepted());
    trial.wait(trial.outage());
    let stored = trial.stack.stored()? - stored;
    let accepted = trial.accepted() - accepted;
    let during = Span { from, to: trial.now() };
    end(trial)?;
    trial.wait(AFTER);
    Ok(Spell { during, stored, accepted })
}

/// The door went on, the worker could not, and nothing was set aside.
pub(super) fn waited(trial: &mut Trial, weather: &Weather, spell: &Spell) {
    door_went_on(trial, weather, spell.during);
    trial.check(
        spell.stored * 10 <= spell.accepted && spell.accepted > 0,
        "it bit: hardly anything was stored meanwhile",
        format!("{} stored, {} accepted", spell.stored, spell.accepted),
    );
    nothing_set_aside(trial);
}

fn door_went_on(trial: &mut Trial, weather: &Weather, during: Span) {
    let (taken, asked) = weather.share(during, 202);
    trial.check(asked > 0 && taken == asked, "every request meanwhile is taken", format!("{taken} of {asked}"));
}

fn nothing_set_aside(trial: &mut Trial) {
    let letters = trial.stack.sql("SELECT count(*) FROM dead_letters").map(|count| count.trim().to_owned());
    trial.check(letters.as_deref().ok() == Some("0"), "nothing is set aside", format!("{letters:?}"));
}

/// F14: the tables stand on a disk that is full.
pub(super) fn disk_full(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    needs(Disk::is_possible(), "a small disk takes root")?;
    let mut trial = Trial::start(title, settings)?;
    let postgres = &trial.stack.engines.postgres;
    // Where the server's user may go, its data show.
    let data = std::fs::canonicalize(postgres.data()).context("finding the data of Postgres")?;
    let disk = Disk::mount(&data.with_file_name("small"), SMALL_MIB)?;
    let owner = data.metadata().context("the owner of the data")?;
    let place = disk.path().join("tables");
    std::fs::create_dir(&place).context("a place for tables")?;
    chown(&place, Some(owner.uid()), Some(owner.gid())).context("handing the small disk to Postgres")?;
    trial.stack.sql(&format!("CREATE TABLESPACE small LOCATION '{}'", place.display()))?;
    trial.stack.sql("GRANT CREATE ON TABLESPACE small TO weir_migrate")?;
    trial.stack.sql(
        "ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE small; \
         ALTER INDEX ALL IN TABLESPACE pg_default SET TABLESPACE small",
    )?;
    let spell = spell(&mut trial, |_| disk.fill(), |_| disk.clear())?;
    let outcome = trial.finish(|trial, weather| {
        // Pages that were there take rows until they are full, so a few writes may pass.
        waited(trial, weather, &spell);
    });
    drop(disk);
    outcome
}

/// F15: somebody holds rows the worker must change, then takes them in the worst order.
pub(super) fn locked(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let trial = Trial::start(title, settings)?;
    trial.wait(BEFORE);
    let before = deadlocks(&trial)?;
    let (from, stack) = (trial.now(), &trial.stack);
    let seconds = trial.outage().as_secs();
    say(format_args!("   all counts locked for {seconds} s, then locked one by one from the end"));
    stack.sql(&format!(
        "BEGIN; SELECT count(*) FROM (SELECT 1 FROM event_counts FOR UPDATE) held; SELECT pg_sleep({seconds})"
    ))?;
    let end = Instant::now() + trial.outage();
    while Instant::now() < end {
        // It may be the one that Postgres ends.
        drop(stack.sql(BACKWARDS));
    }
    let met = deadlocks(&trial)? - before;
    let during = Span { from, to: trial.now() };
    trial.wait(AFTER);
    trial.finish(|trial, weather| {
        trial.check(met > 0, "it bit: Postgres met deadlocks", met.to_string());
        door_went_on(trial, weather, during);
        nothing_set_aside(trial);
    })
}

/// Locks counts in the reverse of the worker's order, slowly.
const BACKWARDS: &str = "DO $$ DECLARE count record; BEGIN
    FOR count IN SELECT account_id, event_name, channel, bucket FROM event_counts ORDER BY 1 DESC, 2 DESC, 3 DESC, 4 DESC LIMIT 100 LOOP
        PERFORM 1 FROM event_counts c WHERE (c.account_id, c.event_name, c.channel, c.bucket)
            = (count.account_id, count.event_name, count.channel, count.bucket) FOR UPDATE;
        PERFORM pg_sleep(0.02);
    END LOOP; END $$";

fn deadlocks(trial: &Trial) -> anyhow::Result<i64> {
    let count = trial.stack.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")?;
    count.trim().parse().with_context(|| format!("the number of deadlocks: {count:?}"))
}

/// F16: a partition of `events` is gone for a while.
pub(super) fn partition_gone(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let mut trial = Trial::prepare(title, settings, &crate::stack::Ground::default())?;
    trial.stack.serve()?;
    let mut plan = trial.plan();
    // Every batch meets the partition that is gone.
    (plan.mix, plan.accounts) = (crate::generate::Mix::Uniform, 96);
    trial.load(plan)?;
    let bound = "SELECT inhrelid::regclass || ' ' || pg_get_expr(relpartbound, oid) FROM pg_inherits \
                 JOIN pg_class ON oid = inhrelid WHERE inhparent = 'events'::regclass ORDER BY 1 LIMIT 1";
    let bound = trial.stack.sql(bound)?;
    let (partition, bound) = bound.trim().split_once(' ').context("events has no partitions")?;
    let spell = spell(
        &mut trial,
        |trial| trial.stack.sql(&format!("ALTER TABLE events DETACH PARTITION {partition}")).map(drop),
        |trial| trial.stack.sql(&format!("ALTER TABLE events ATTACH PARTITION {partition} {bound}")).map(drop),
    )?;
    trial.finish(|trial, weather| waited(trial, weather, &spell))
}

/// F16: a column has another name for a while.
pub(super) fn column_renamed(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let mut trial = Trial::start(title, settings)?;
    let spell = spell(
        &mut trial,
        |trial| trial.stack.sql("ALTER TABLE events RENAME COLUMN user_id TO customer_id").map(drop),
        |trial| trial.stack.sql("ALTER TABLE events RENAME COLUMN customer_id TO user_id").map(drop),
    )?;
    trial.finish(|trial, weather| waited(trial, weather, &spell))
}
