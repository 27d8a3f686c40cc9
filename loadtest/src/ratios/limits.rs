//! What limits cost: accounts that are held to theirs beside accounts whose policies are off, and refusing beside taking. Invariant:
//! both arms of R5 are the same process under the same load, so only what limits do differs.

use std::collections::BTreeMap;
use std::path::Path;

use super::Lengths;
use super::covered::Covered;
use super::table::{Entry, Goal};
use crate::bench::{Arm, Load, Measured, Refusals, Sample, interleave};
use crate::generate::{Pace, Profile, Schedule};
use crate::journal::account_name;
use crate::stack::Stack;

/// Accounts that send.
const ACCOUNTS: u16 = 8;

/// Singles a second of them all: more than 100 of each, and less than the default quota.
const RATE: f64 = 1_600.0;

/// The service's own defaults: a private stack has none otherwise.
pub(super) const DEFAULT_QUOTA: [(&str, &str); 4] = [
    ("WEIR_LIMIT_SUSTAINED", "60000"),
    ("WEIR_LIMIT_BURST", "4000"),
    ("WEIR_LIMIT_BYTES", "52428800"),
    ("WEIR_LIMIT_CONCURRENT", "64"),
];

/// No policy is looked at.
const OFF: &str = r#"{"sustained":{"limit":0,"mode":"off"},"burst":{"limit":0,"mode":"off"},
    "bytes":{"limit":0,"mode":"off"},"concurrent":{"limit":0,"mode":"off"}}"#;

/// The script by which all of the limiter's questions are asked.
const COMMAND: &str = "evalsha";

/// The variables of the default quota, those of the command line after them.
pub(super) fn with_default_quota(extra: &[(String, String)]) -> Vec<(String, String)> {
    let quota = DEFAULT_QUOTA.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    quota.chain(extra.iter().cloned()).collect()
}

/// R5 and R9.
#[derive(Debug)]
pub struct Limits {
    /// Limits enforced, off, and by themselves.
    charged: Vec<Measured>,
    /// Commands to Redis by round of the first arm, for 1,000 events.
    commands: Vec<f64>,
    /// Taken and refused.
    refused: Vec<Measured>,
}

impl Limits {
    /// Measures on stacks of its own.
    ///
    /// # Errors
    /// When an arm cannot be run.
    pub fn measure(weir: &Path, extra: &[(String, String)], lengths: Lengths) -> anyhow::Result<Self> {
        let stack = Stack::start(weir, &with_default_quota(extra))?;
        let free = (0..ACCOUNTS).map(|index| (account_name("free-", index.into()), OFF));
        stack.set_quotas(&free.collect::<Vec<_>>())?;
        stack.api.start()?;
        stack.api.wait_ready()?;
        let arm = |name, prefix| Charged::new(&stack, name, prefix, lengths);
        let (mut held, mut free) = (arm("limits enforced", "held-"), arm("limits off", "free-"));
        let mut covered = Covered::new(stack.engines.redis.port())?;
        let charged = interleave(&mut [&mut held, &mut free, &mut covered], lengths.rounds)?;
        // The first round warmed up.
        let commands = held.commands.split_off(1);
        stack.stop()?;
        let Lengths { rounds, run_for, connections, .. } = lengths;
        let refused = Refusals { rounds, run_for, connections }.run(weir, extra, "429")?;
        Ok(Self { charged, commands, refused })
    }

    /// The ratios.
    pub fn entries(&self) -> Vec<(&'static str, Entry)> {
        let ([held, free, covered], [taken, taken_fresh, refused, refused_unread]) =
            (&self.charged[..], &self.refused[..])
        else {
            return Vec::new();
        };
        let api = &["api"][..];
        let little = Goal::at_most(0.02, 0.003);
        let own = Entry::of_cost("limits by themselves ÷ POST /v1/events", little, (covered, api), (held, api));
        // Shown and not divided: what limits cost is less than the noise of two loads.
        let mut arms = own.arms.clone();
        arms.extend(free.micros("api").map(|spread| (format!("{} (api), us", free.arm), spread.median)));
        let rate = held.rate.median / f64::from(ACCOUNTS);
        let commands = BTreeMap::from([(format!("events a second of each of {ACCOUNTS} accounts"), rate)]);
        let entry = Entry::of_cost;
        vec![
            ("R5", Entry { arms, ..own }),
            (
                "R5c",
                Entry::of("Redis commands for 1,000 events", Goal::at_most(10.0, 1.0), self.commands.clone(), commands),
            ),
            ("R9", entry("429 ÷ 202", Goal::at_most(0.6, 0.4), (refused, api), (taken, api))),
            (
                "R9u",
                entry(
                    "429 unread ÷ 202, own connections",
                    Goal::at_most(0.6, 0.4),
                    (refused_unread, api),
                    (taken_fresh, api),
                ),
            ),
        ]
    }
}

/// Singles of accounts of one kind.
struct Charged<'a> {
    stack: &'a Stack,
    load: Load,
    /// To Redis, for 1,000 events, by round.
    commands: Vec<f64>,
}

impl<'a> Charged<'a> {
    fn new(stack: &'a Stack, name: &str, prefix: &'static str, lengths: Lengths) -> Self {
        let load = Load {
            name: name.to_owned(),
            peer: stack.address(),
            key: stack.key(),
            meter: stack.meter(),
            batch: None,
            accounts: Some((prefix, ACCOUNTS.into())),
            pace: Pace::Open(Schedule::new(Profile::Steady, RATE, lengths.run_for.as_secs(), u64::MAX)),
            connections: lengths.connections,
            latencies: Vec::new(),
        };
        Self { stack, load, commands: Vec::new() }
    }
}

impl Arm for Charged<'_> {
    fn name(&self) -> &str {
        self.load.name()
    }

    fn round(&mut self) -> anyhow::Result<Sample> {
        let before = self.stack.redis_calls(COMMAND)?;
        let sample = self.load.round()?;
        let commands = self.stack.redis_calls(COMMAND)? - before;
        self.commands.push(1_000.0 * commands as f64 / sample.events.max(1) as f64);
        Ok(sample)
    }
}
