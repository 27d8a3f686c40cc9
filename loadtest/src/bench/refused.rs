//! What refusing costs, beside accepting: each arm is one kind of answer to the same kind of request. Invariant: an arm whose answers
//! are not all of its status is no figure, and the arms take turns on one stack.

use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, ensure};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::arm::{Arm, Measured, Sample, interleave};
use crate::cpu;
use crate::generate::Client;
use crate::stack::Stack;

/// Longest wait for an answer: above the service's own deadline.
const WITHIN: Duration = Duration::from_secs(17);

/// Bytes of the large body, which the answers 401, 413 and 429 come before.
const LARGE: usize = 1 << 20;

/// A limit that refuses every event, for as long as the arms take.
const SPENT: (&str, &str) = ("WEIR_LIMIT_SUSTAINED", "0");

/// What refusals on kept connections are held against.
const ACCEPTED: &str = "202 accepted";

/// What refusals before the body are held against.
const ACCEPTED_FRESH: &str = "202, own connection";

/// What is sent, and what must come back.
struct Case {
    name: &'static str,
    status: u16,
    request: Vec<u8>,
    /// Whether each takes a connection of its own: one whose body never comes is of no further use.
    fresh: bool,
}

/// One kind of answer on a stack.
pub struct Refused<'a> {
    stack: &'a Stack,
    case: Case,
    connections: usize,
    run_for: Duration,
}

impl<'a> Refused<'a> {
    fn new(stack: &'a Stack, case: Case, connections: usize, run_for: Duration) -> Self {
        Self { stack, case, connections, run_for }
    }
}

/// How a round is run.
#[derive(Debug, Clone, Copy)]
pub struct Refusals {
    /// Rounds that count.
    pub rounds: u32,
    /// Length of a round.
    pub run_for: Duration,
    /// Connections that ask.
    pub connections: usize,
}

impl Refusals {
    /// Every refusal's processor time of the API, by that of accepting a request sent the same way.
    pub fn ratios(measured: &[Measured]) -> Vec<(&str, f64)> {
        let cost = |arm: &Measured| arm.micros("api").map_or(0.0, |spread| spread.median);
        let of = |name: &str| measured.iter().find(|arm| arm.arm == name).map_or(0.0, cost);
        let refused = measured.iter().filter(|arm| !arm.arm.starts_with("202"));
        refused
            .map(|arm| {
                let beside = if arm.arm.ends_with("before its body") { ACCEPTED_FRESH } else { ACCEPTED };
                (arm.arm.as_str(), cost(arm) / of(beside))
            })
            .collect()
    }

    /// Measures accepting first, then every kind of refusal that is wanted by the beginning of its name. Two stacks: on one the
    /// account's limit is spent.
    ///
    /// # Errors
    /// When a stack does not start, or an answer is not what the arm is about.
    pub fn run(self, weir: &Path, extra: &[(String, String)], wanted: &str) -> anyhow::Result<Vec<Measured>> {
        let spent: Vec<_> = extra.iter().cloned().chain([(SPENT.0.to_owned(), SPENT.1.to_owned())]).collect();
        let (open, shut) = (Stack::start(weir, extra)?, Stack::start(weir, &spent)?);
        for stack in [&open, &shut] {
            stack.api.start()?;
            stack.api.wait_ready()?;
        }
        let arm = |stack, case| Refused::new(stack, case, self.connections, self.run_for);
        let is_wanted = |case: &Case| case.name.starts_with("202") || case.name.starts_with(wanted);
        let mut arms: Vec<Refused<'_>> =
            on_open(&open)?.into_iter().filter(is_wanted).map(|case| arm(&open, case)).collect();
        arms.extend(on_shut(&shut)?.into_iter().filter(is_wanted).map(|case| arm(&shut, case)));
        let mut turns: Vec<&mut dyn Arm> = arms.iter_mut().map(|arm| arm as &mut dyn Arm).collect();
        let measured = interleave(&mut turns, self.rounds)?;
        open.stop()?;
        shut.stop()?;
        Ok(measured)
    }
}

const EVENT: &[u8] =
    br#"{"event_name":"checkout.completed","user_id":"user-1842","channel":"web","source":"shop","value":129.95}"#;

/// A request with the whole of its body.
fn whole(stack: &Stack, (name, status): (&'static str, u16), token: &str, body: &[u8]) -> Case {
    let request = [head(stack, token, body.len()).as_bytes(), body].concat();
    Case { name, status, request, fresh: false }
}

/// A request that announces a body and never sends it.
fn unread(stack: &Stack, (name, status): (&'static str, u16), token: &str, length: usize) -> Case {
    Case { name, status, request: head(stack, token, length).into_bytes(), fresh: true }
}

fn head(stack: &Stack, token: &str, length: usize) -> String {
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n",
        stack.address()
    )
}

fn on_open(stack: &Stack) -> anyhow::Result<Vec<Case>> {
    let token = stack.signer()?.token("refused")?;
    let forged = format!("{}x", &token[..token.len() - 1]);
    let broken = String::from_utf8_lossy(EVENT).replace("user-1842", "  ");
    Ok(vec![
        whole(stack, (ACCEPTED, 202), &token, EVENT),
        Case { fresh: true, ..whole(stack, (ACCEPTED_FRESH, 202), &token, EVENT) },
        whole(stack, ("400 a rule broken", 400), &token, broken.as_bytes()),
        whole(stack, ("400 not JSON", 400), &token, b"{\"event_name\":"),
        whole(stack, ("401 forged token", 401), &forged, EVENT),
        unread(stack, ("401 before its body", 401), &forged, LARGE),
        unread(stack, ("413 before its body", 413), &token, 1 << 30),
    ])
}

fn on_shut(stack: &Stack) -> anyhow::Result<Vec<Case>> {
    let token = stack.signer()?.token("spent")?;
    Ok(vec![
        whole(stack, ("429 limit spent", 429), &token, EVENT),
        unread(stack, ("429 before its body", 429), &token, LARGE),
    ])
}

impl Arm for Refused<'_> {
    fn name(&self) -> &str {
        self.case.name
    }

    fn round(&mut self) -> anyhow::Result<Sample> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let meter = self.stack.meter();
        let (before, begun) = (meter.read(), Instant::now());
        let until = begun + self.run_for;
        let asked = runtime.block_on(join_all((0..self.connections).map(|_| ask(self.stack, &self.case, until))));
        let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu::between(&before, &meter.read()));
        let events = asked.into_iter().sum::<anyhow::Result<u64>>()?;
        ensure!(events > 0, "{}: nothing was answered", self.case.name);
        Ok(Sample { events, seconds, cpu })
    }
}

async fn ask(stack: &Stack, case: &Case, until: Instant) -> anyhow::Result<u64> {
    let mut client = Client::new(stack.address());
    let mut answers = 0;
    while Instant::now() < until {
        let answer = client.call(&case.request, WITHIN).await.map_err(|lost| anyhow!("{}: {lost:?}", case.name))?;
        ensure!(answer.status == case.status, "{}: {} came back", case.name, answer.status);
        answers += 1;
        if case.fresh {
            client = Client::new(stack.address());
        }
    }
    Ok(answers)
}
