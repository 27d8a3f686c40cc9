//! A poem handler that does nothing: the ceiling of the door. Invariant: it runs on the same framework with the same number of
//! threads as the service, and answers as many bytes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use poem::http::StatusCode;
use poem::listener::TcpListener;
use poem::{Response, Route, Server, handler, post};
use weir_local::{Launch, Layout, Lifetime, Process};

use crate::bench::{Arm, Sample};
use crate::cpu::{self, Meter};
use crate::generate::{self, Key, Mix, Pace, Plan, Signer};

/// As long as the answer to a single.
const ANSWER: &str = "{\"event_id\":\"01234567890123456789012345678901\",\"status\":\"accepted\",\"receipt\":\"\
    weir.events.v1/3/1234567/01234567890123456789012345678901/0123456789012345678901234567890123456789012\"}";

#[handler]
fn nothing() -> Response {
    Response::builder().status(StatusCode::ACCEPTED).content_type("application/json").body(ANSWER)
}

/// Serves until it is killed.
///
/// # Errors
/// When the address cannot be had.
pub fn serve_empty_door(address: SocketAddr) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let routes = Route::new().at("/v1/events", post(nothing));
    Ok(runtime.block_on(Server::new(TcpListener::bind(address)).run(routes))?)
}

/// The arm: singles over keep-alive connections, as [`crate::bench::Ingest`] sends them.
pub struct EmptyDoor {
    process: Process,
    address: SocketAddr,
    connections: usize,
    run_for: Duration,
}

impl EmptyDoor {
    /// Starts the process.
    ///
    /// # Errors
    /// When it does not start or listen.
    pub fn start(layout: &Layout, connections: usize, run_for: Duration) -> anyhow::Result<Self> {
        let port = weir_local::claim_port(layout, "empty-door", None, false)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let program = std::env::current_exe().context("finding this binary")?;
        let launch = Launch::new(program, layout.root().to_owned(), Lifetime::WithParent).args([
            "ceiling",
            "door",
            "--listen",
            &address.to_string(),
        ]);
        let process = Process::new(layout, "empty-door")?;
        process.start(&launch)?;
        process.wait_ready(Duration::from_secs(30), || std::net::TcpStream::connect(address).is_ok())?;
        Ok(Self { process, address, connections, run_for })
    }
}

impl Arm for EmptyDoor {
    fn name(&self) -> &str {
        "empty poem handler"
    }

    fn round(&mut self) -> anyhow::Result<Sample> {
        let plan = Plan {
            peer: self.address,
            pace: Pace::Closed { run_for: self.run_for },
            mix: Mix::Uniform,
            accounts: 64,
            batch: None,
            connections: self.connections,
            retries: 0,
            timeout: Duration::from_secs(17),
            journal: None,
        };
        // Nobody checks the tokens; they are as long as the service's.
        let signer =
            Signer::new(&Key::Secret("0123456789012345678901234567890123456789".to_owned()), "weir-local", "weir")?;
        let meter = Meter::default().with("api", self.process.pid());
        let before = meter.read();
        let report = generate::start(plan, &signer)?.join()?;
        let cpu = cpu::between(&before, &meter.read());
        anyhow::ensure!(report.error_share == 0.0, "the empty handler failed\n{report}");
        Ok(Sample { events: report.outcomes.accepted, seconds: report.seconds, cpu })
    }
}
