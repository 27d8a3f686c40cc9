//! A client's process as its parent sees it. Invariant: it is gone when its handle is, and nobody waits for it without an end.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Client;
use super::drive::Driven;

/// What a child says when its counted stretch begins.
pub(super) const READY: &str = "ready";

/// How long a child may take to end once it said what came of its load.
const ENDED_WITHIN: Duration = Duration::from_secs(30);

/// What a child is to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) client: Client,
    pub(super) bootstrap: &'a str,
    pub(super) topic: &'a str,
    pub(super) rate: u64,
    pub(super) batch: u64,
    /// At most.
    pub(super) length: Duration,
    /// The broker's process, to read its processor time along.
    pub(super) broker: Option<u32>,
    pub(super) journal: Option<&'a Path>,
}

/// A child that offers records.
pub(super) struct Running {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts it and waits until it offers records that count.
    pub(super) fn start(order: &Order<'_>) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("finding this binary")?);
        command.args(["ceiling", "client", "--client", order.client.as_str(), "--bootstrap", order.bootstrap]);
        command.args(["--topic", order.topic, "--rate", &order.rate.to_string()]);
        command.args(["--batch", &order.batch.to_string(), "--millis", &order.length.as_millis().to_string()]);
        if let Some(broker) = order.broker {
            command.args(["--broker", &broker.to_string()]);
        }
        if let Some(journal) = order.journal {
            command.arg("--journal").arg(journal);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting a client")?;
        let pipe = child.stdout.take();
        let mut running = Self { child, said: BufReader::new(pipe.context("its output")?).lines() };
        let said = running.line()?;
        ensure!(said == READY, "a client said {said:?}");
        Ok(running)
    }

    /// Its next line. It gives up on brokers that do not answer and ends by its time, so that there is one, or an end.
    fn line(&mut self) -> anyhow::Result<String> {
        self.said.next().context("a client ended before its time; what it said is above")?.context("a client's output")
    }

    /// Tells it to offer no more, now.
    pub(super) fn stop(mut self) -> anyhow::Result<Driven> {
        drop(self.child.stdin.take());
        self.finish()
    }

    /// Waits for its end.
    pub(super) fn finish(mut self) -> anyhow::Result<Driven> {
        let said = self.line()?;
        let ended = weir_local::poll(ENDED_WITHIN, || self.child.try_wait().transpose());
        let status = ended.context("a client does not end")??;
        ensure!(status.success(), "a client ended with {status}: {said}");
        serde_json::from_str(&said).with_context(|| format!("a client's answer {said:?}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Of one that has ended both do nothing.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
