//! What it costs that the service tells what it does: the same load on two stacks, one that logs requests, sums up levels of service
//! and traces, one that does none of it. Invariant: the arms take turns; counters for Prometheus are kept by both.

use std::path::Path;
use std::time::Duration;

use super::arm::{Measured, interleave};
use super::ingest::Ingest;
use crate::stack::Stack;

/// A collector that is not there: spans are made, sent and given up, which is the dearer case.
const TOLD: [(&str, &str); 3] =
    [("WEIR_LOG", "info"), ("WEIR_SLO_RECORD", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")];

const SILENT: [(&str, &str); 2] = [("WEIR_LOG", "error"), ("WEIR_SLO_RECORD", "false")];

/// How a round is run.
#[derive(Debug, Clone, Copy)]
pub struct Observed {
    /// Rounds that count.
    pub rounds: u32,
    /// Length of a round.
    pub run_for: Duration,
    /// Connections that send.
    pub connections: usize,
}

/// A share of the processor time: of the silent stack by the telling one.
#[derive(Debug, Clone, PartialEq)]
pub struct Ratio {
    /// What was sent.
    pub load: &'static str,
    /// 1 when telling costs nothing.
    pub ratio: f64,
}

impl Observed {
    /// Measures singles and batches on both stacks.
    ///
    /// # Errors
    /// When a stack does not start or a round cannot be run.
    pub fn run(self, weir: &Path, extra: &[(String, String)]) -> anyhow::Result<(Vec<Measured>, Vec<Ratio>)> {
        let stack = |own: &[(&str, &str)]| {
            let own = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let stack = Stack::start(weir, &extra.iter().cloned().chain(own).collect::<Vec<_>>())?;
            stack.api.start()?;
            stack.api.wait_ready()?;
            anyhow::Ok(stack)
        };
        let (told, silent) = (stack(&TOLD)?, stack(&SILENT)?);
        let arm = |stack, name: &str, batch| Ingest {
            stack,
            name: name.to_owned(),
            batch,
            connections: self.connections,
            run_for: self.run_for,
        };
        let measured = interleave(
            &mut [
                &mut arm(&told, "single, told", None),
                &mut arm(&silent, "single, silent", None),
                &mut arm(&told, "batch, told", Some(100)),
                &mut arm(&silent, "batch, silent", Some(100)),
            ],
            self.rounds,
        )?;
        told.stop()?;
        silent.stop()?;
        let ratios = ["single", "batch of 100"].into_iter().zip(measured.chunks(2)).filter_map(|(load, pair)| {
            let [told, silent] = pair else { return None };
            let micros = |measured: &Measured| measured.micros("api").map(|spread| spread.median);
            Some(Ratio { load, ratio: micros(silent)? / micros(told)? })
        });
        let ratios = ratios.collect();
        Ok((measured, ratios))
    }
}
