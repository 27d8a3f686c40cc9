//! What parts of a request take of the whole: being documented, knowing who calls, and telling what was done. Invariant: a part is measured in the same
//! rounds as its whole.

use std::hint::black_box;
use std::path::Path;

use anyhow::{Context, ensure};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir::auth::Auth;
use weir::config::{Config, Secret};

use super::Lengths;
use super::alone::alone;
use super::table::{Entry, Goal};
use crate::bench::{Arm, Ingest, Measured, Observed, Sample, interleave};
use crate::ceilings::{Door, Kind};
use crate::generate::{Key, Signer};
use crate::stack::Stack;

/// Calls between two looks at the clock.
const STRIDE: u64 = 1_024;

/// Tokens, as many as the accounts of the other arm.
const TOKENS: usize = 64;

/// R2, R6 and R17.
#[derive(Debug)]
pub struct Shares {
    /// The same work on a plain route and on a documented one.
    routes: Vec<Measured>,
    /// Looking a token up, and a whole single.
    known: Vec<Measured>,
    /// Singles told and silent, batches told and silent.
    told: Vec<Measured>,
}

/// The verifier of the service in this process, asked about tokens it has seen.
struct Known {
    runtime: tokio::runtime::Runtime,
    auth: Auth,
    tokens: Vec<String>,
}

impl Known {
    fn new() -> anyhow::Result<Self> {
        let secret = "0123456789012345678901234567890123456789";
        let signer = Signer::new(&Key::Secret(secret.to_owned()), "weir-local", "weir")?;
        let tokens = (0..TOKENS).map(|number| signer.token(&format!("account-{number}")));
        let mut config = Config::from_env().context("the service's defaults")?.auth;
        config.jwt_hs256_secret = Some(Secret::new(secret.to_owned()));
        config.jwt_jwks = None;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let auth = runtime.block_on(Auth::start(&config, &TaskTracker::new(), &CancellationToken::new()))?;
        Ok(Self { runtime, auth, tokens: tokens.collect::<anyhow::Result<_>>()? })
    }
}

impl Arm for Known {
    fn name(&self) -> &str {
        "a token seen before"
    }

    fn round(&mut self) -> anyhow::Result<Sample> {
        alone(&self.runtime, async || {
            for token in self.tokens.iter().cycle().take(STRIDE as usize) {
                ensure!(black_box(self.auth.verify(token).await).is_ok(), "a good token was refused");
            }
            Ok(STRIDE)
        })
    }
}

impl Shares {
    /// Measures on stacks of its own.
    ///
    /// # Errors
    /// When an arm cannot be run.
    pub fn measure(weir: &Path, extra: &[(String, String)], lengths: Lengths) -> anyhow::Result<Self> {
        let Lengths { rounds, run_for, connections, .. } = lengths;
        let stack = Stack::start(weir, extra)?;
        stack.api.start()?;
        stack.api.wait_ready()?;
        let mut single = Ingest { stack: &stack, name: "single".to_owned(), batch: None, connections, run_for };
        let known = interleave(&mut [&mut Known::new()?, &mut single], rounds)?;
        let layout = stack.layout("routes")?;
        let route = |kind| Door::start(kind, &layout, connections, run_for);
        let routes = interleave(&mut [&mut route(Kind::Plain)?, &mut route(Kind::Documented)?], rounds)?;
        stack.stop()?;
        let (told, _) = Observed { rounds, run_for, connections }.run(weir, extra)?;
        Ok(Self { routes, known, told })
    }

    /// The ratios.
    pub fn entries(&self) -> Vec<(&'static str, Entry)> {
        let ([plain, documented], [token, single], [single_told, single_silent, batch_told, batch_silent]) =
            (&self.routes[..], &self.known[..], &self.told[..])
        else {
            return Vec::new();
        };
        let (api, entry) = (&["api"][..], Entry::of_cost);
        let telling = Goal::at_least(0.95, 0.98);
        vec![
            ("R2", entry("plain route ÷ documented one", Goal::at_least(0.90, 0.97), (plain, api), (documented, api))),
            (
                "R6",
                entry("a token seen before ÷ POST /v1/events", Goal::at_most(0.03, 0.015), (token, api), (single, api)),
            ),
            ("R17a", entry("singles: silent ÷ told", telling, (single_silent, api), (single_told, api))),
            ("R17b", entry("batches: silent ÷ told", telling, (batch_silent, api), (batch_told, api))),
        ]
    }
}
