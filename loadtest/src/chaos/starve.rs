//! F24: descriptors, memory and processor time run out. Invariant: the process goes on, refuses what it cannot take, and is as it
//! was once there is enough again.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use super::table::needs;
use super::trial::{Outcome, Settings, Trial, steady};
use super::vitals::Vitals;
use super::weather::{Span, Weather};
use crate::cgroup::{Cgroup, Ration};
use crate::cpu;
use crate::generate::Plan;
use crate::say;
use crate::stack::Ground;

/// Fair weather before and after.
const BEFORE: Duration = Duration::from_secs(5);
const AFTER: Duration = Duration::from_secs(10);

/// What rationing takes.
const RATIONS: &str = "rations of memory and processor time take root and control groups";

/// As before: everything is taken, by the same process.
fn recovered(trial: &mut Trial, weather: &Weather, healed: i64, pid: Option<u32>) {
    // What was sent while it starved is still being worked off.
    let after = Span { from: healed + 5_000_000, to: i64::MAX };
    let (taken, asked) = weather.share(after, 202);
    trial.check(asked > 0 && taken == asked, "5 s later every request is taken", format!("{taken} of {asked}"));
    let same = pid.is_some() && trial.stack.api.pid() == pid;
    trial.check(same, "it is the same process", format!("{pid:?}, {:?}", trial.stack.api.pid()));
}

/// Sets the most descriptors of a running process; the number it may have anyway is a limit of its own.
fn limit_descriptors(pid: u32, most: u64) -> anyhow::Result<()> {
    let mut prlimit = Command::new("prlimit");
    prlimit.args([format!("--pid={pid}"), format!("--nofile={most}:")]);
    weir_local::command::run(&mut prlimit, "", Duration::from_secs(10)).context("prlimit").map(drop)
}

/// No descriptor is left for new connections.
pub(super) fn descriptors(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    const CLIENTS: usize = 300;
    let mut trial = Trial::prepare(title, settings, &Ground::default())?;
    trial.stack.serve()?;
    // Few enough to be all open before the count begins.
    trial.load(Plan { connections: 100, ..trial.plan() })?;
    trial.wait(BEFORE);
    let pid = trial.stack.api.pid().context("the API is gone")?;
    let before = trial.vitals(&trial.stack.api)?;
    limit_descriptors(pid, before.descriptors + 10)?;
    let from = trial.now();
    let (worked, address) = (cpu::of_tree(pid), trial.stack.address());
    // The kernel lets them in; the service cannot.
    let clients: Vec<TcpStream> =
        (0..CLIENTS).map(|_| TcpStream::connect(address)).collect::<Result<_, _>>().context("connecting")?;
    say(format_args!("   {CLIENTS} clients for 10 descriptors, for {} s", trial.outage().as_secs()));
    trial.wait(trial.outage());
    let share = (cpu::of_tree(pid) - worked) as f64 / trial.outage().as_micros() as f64;
    let starved = trial.vitals(&trial.stack.api)?;
    limit_descriptors(pid, 20_000)?;
    let healed = trial.now();
    trial.wait(Duration::from_secs(1));
    let let_in = trial.vitals(&trial.stack.api)?;
    drop(clients);
    trial.wait(AFTER);
    let after = trial.vitals(&trial.stack.api)?;
    trial.finish(|trial, weather| {
        let open = |vitals: Vitals| vitals.descriptors;
        let (had, most) = (open(before), open(starved));
        trial.check(most >= had + 5 && most <= had + 11, "it bit: all are used", format!("{most}, {had} before"));
        trial.check(
            open(let_in) >= had + CLIENTS as u64 * 9 / 10,
            "who waited is let in as soon as there are more",
            open(let_in).to_string(),
        );
        trial.check(open(after) <= had + 20, "none is lost", format!("{} in the end", open(after)));
        trial.check(share <= 0.6, "it does not spin meanwhile", format!("{:.0} % of a processor", share * 100.0));
        let during = Span { from, to: healed };
        let (taken, asked) = weather.share(during, 202);
        let seen = format!("{taken} of {asked}: {}", weather.endings(during));
        trial.check(taken * 10 >= asked * 9, "connections that were open are served", seen);
        recovered(trial, weather, healed, Some(pid));
    })
}

/// Little memory, a log that hangs, and batches that pile up in front of it.
pub(super) fn memory(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    const LIMIT: u64 = 320 << 20;
    const KIB: u64 = 32 << 10;
    let ground = Ground::default()
        .with("WEIR_LIMIT_GLOBAL_BODY_KIB", KIB)
        .with("WEIR_LIMIT_BODY_KIB", KIB)
        .with("WEIR_LIMIT_GLOBAL_QUEUE_KIB", KIB)
        .with("WEIR_LIMIT_QUEUE_KIB", KIB)
        .with("WEIR_KAFKA_QUEUE_KIB", KIB);
    needs(Cgroup::is_possible(), RATIONS)?;
    let mut trial = Trial::prepare(title, settings, &ground)?;
    trial.stack.serve()?;
    let group = Cgroup::new(Ration::Memory(LIMIT))?;
    let pid = trial.stack.api.pid();
    group.hold(pid)?;
    let mut plan = trial.plan();
    plan.batch = Some(500);
    plan.pace = steady(4.0);
    trial.load(plan.clone())?;
    trial.wait(BEFORE);
    trial.stack.engines.kafka.pause();
    let from = trial.now();
    plan.pace = steady(40.0);
    plan.retries = 0;
    trial.load(plan)?;
    let mut most = 0.0f64;
    for _ in 0..trial.outage().as_secs() * 4 {
        trial.wait(Duration::from_millis(250));
        most = most.max(trial.vitals(&trial.stack.api)?.rss_mib());
    }
    trial.stack.engines.kafka.resume();
    let healed = trial.now();
    trial.end_newest_load()?;
    trial.wait(AFTER);
    let outcome = trial.finish(|trial, weather| {
        let limit = LIMIT >> 20;
        trial.check(most <= limit as f64, format!("it lives on {limit} MiB"), format!("{most:.0} MiB at most"));
        let during = Span { from: from + 2_000_000, to: healed };
        let (refused, asked) = weather.share(during, 503);
        let seen = format!("{refused} of {asked}: {}", weather.endings(during));
        trial.check(refused * 2 > asked, "it bit: most of the flood is refused", seen);
        recovered(trial, weather, healed, pid);
    });
    drop(group);
    outcome
}

/// A hundredth of a processor.
pub(super) fn processor(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    needs(Cgroup::is_possible(), RATIONS)?;
    let mut trial = Trial::prepare(title, settings, &Ground::default())?;
    trial.stack.serve()?;
    let plan = trial.plan();
    trial.load(Plan { retries: 0, ..plan })?;
    trial.wait(BEFORE);
    let pid = trial.stack.api.pid();
    let group = Cgroup::new(Ration::Processor(1_000))?;
    group.hold(pid)?;
    let from = trial.now();
    trial.wait(trial.outage());
    drop(group);
    let healed = trial.now();
    // Answers that were late are due by their deadline.
    trial.wait(AFTER);
    trial.finish(|trial, weather| {
        let (calm, slow) =
            (weather.latency(Span { from: 0, to: from }, 202), weather.latency(Span { from, to: healed }, 202));
        trial.check(
            slow.count == 0 || slow.p50_ms > calm.p50_ms * 3.0,
            "it bit: answers are slow or none",
            format!("{slow}, p50 {:.1} before; {}", calm.p50_ms, weather.endings(Span { from, to: healed })),
        );
        recovered(trial, weather, healed, pid);
    })
}
