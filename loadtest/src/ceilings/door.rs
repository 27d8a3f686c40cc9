//! The door's ceilings: a poem handler that does nothing, and the work of a single without the rest of the service. Invariant: each runs on the same framework with the same number of
//! threads as the service, and answers as many bytes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use poem::http::StatusCode;
use poem::listener::TcpListener;
use poem::{Response, Route, Server, handler, post};
use weir_local::{Launch, Layout, Lifetime, Process};

use super::route::serve_route;
use crate::bench::{Arm, Load, Sample};
use crate::cpu::Meter;
use crate::generate::{Key, Pace};

/// As long as the answer to a single.
const ANSWER: &str = "{\"event_id\":\"01234567890123456789012345678901\",\"status\":\"accepted\",\"receipt\":\"\
    weir.events.v1/3/1234567/01234567890123456789012345678901/0123456789012345678901234567890123456789012\"}";

/// Of the tokens, which the empty handler does not look at; they are as long as the service's.
const SECRET: &str = "0123456789012345678901234567890123456789";

#[handler]
fn nothing() -> Response {
    Response::builder().status(StatusCode::ACCEPTED).content_type("application/json").body(ANSWER)
}

fn serve_empty_door(address: SocketAddr) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let routes = Route::new().at("/v1/events", post(nothing));
    Ok(runtime.block_on(Server::new(TcpListener::bind(address)).run(routes))?)
}

/// What stands at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A handler that does nothing
    Empty,
    /// The work of a single on a plain route
    Plain,
    /// The same work on a documented route
    Documented,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty poem handler",
            Self::Plain => "plain route",
            Self::Documented => "documented route",
        }
    }

    fn word(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Serves one of them until the process is killed.
///
/// # Errors
/// When the address cannot be had.
pub fn serve(kind: Kind, address: SocketAddr) -> anyhow::Result<()> {
    match kind {
        Kind::Empty => serve_empty_door(address),
        Kind::Plain => serve_route(address, false, SECRET),
        Kind::Documented => serve_route(address, true, SECRET),
    }
}

/// The arm: singles over keep-alive connections, as [`crate::bench::Ingest`] sends them.
pub struct Door {
    /// It lives as long as the arm.
    _process: Process,
    load: Load,
}

impl Door {
    /// Starts the process.
    ///
    /// # Errors
    /// When it does not start or listen.
    pub fn start(kind: Kind, layout: &Layout, connections: usize, run_for: Duration) -> anyhow::Result<Self> {
        let word = kind.word();
        let port = weir_local::claim_port(layout, &format!("door-{word}"), None, false)?;
        let peer = SocketAddr::from(([127, 0, 0, 1], port));
        let program = std::env::current_exe().context("finding this binary")?;
        let args = ["ceiling", "door", "--kind", &word, "--listen", &peer.to_string()];
        let launch = Launch::new(program, layout.root().to_owned(), Lifetime::WithParent).args(args);
        let process = Process::new(layout, &format!("door-{word}"))?;
        process.start(&launch)?;
        process.wait_ready(Duration::from_secs(30), || std::net::TcpStream::connect(peer).is_ok())?;
        let load = Load {
            name: kind.as_str().to_owned(),
            peer,
            key: Key::Secret(SECRET.to_owned()),
            meter: Meter::default().with("api", process.pid()),
            accounts: None,
            batch: None,
            pace: Pace::Closed { run_for },
            connections,
            latencies: Vec::new(),
        };
        Ok(Self { _process: process, load })
    }
}

impl Arm for Door {
    fn name(&self) -> &str {
        self.load.name()
    }

    fn round(&mut self) -> anyhow::Result<Sample> {
        self.load.round()
    }
}
