//! `down`. Invariant: only processes that `up` started in this directory are touched, the service before its engines.

use std::{path::Path, thread, time::Duration};

use anyhow::Result;
use nix::sys::signal::Signal;
use weir_local::{Layout, Process};

use super::{out, server};

const ENGINE: Duration = Duration::from_secs(20);

pub(super) fn run(dir: &Path, data: bool) -> Result<()> {
    if !Layout::exists(dir) {
        out::line("nothing runs here");
        return Ok(());
    }
    let layout = Layout::new(dir)?;
    let mut stopped = stop(&layout, server::NAME, Signal::SIGTERM, server::STOP)?;
    let engines: Vec<String> = layout.processes().into_iter().filter(|name| name != server::NAME).collect();
    let results: Vec<Result<bool>> = thread::scope(|scope| {
        let layout = &layout;
        let stopping: Vec<_> =
            engines.iter().map(|name| scope.spawn(move || stop(layout, name, signal_of(name), ENGINE))).collect();
        stopping.into_iter().map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    for result in results {
        stopped |= result?;
    }
    if data {
        weir_local::remove(layout.root())?;
        out::line("stopped; data removed");
    } else {
        out::line(if stopped { "stopped; data stay" } else { "nothing runs here" });
    }
    Ok(())
}

/// Postgres waits for its clients to leave on the usual signal.
fn signal_of(name: &str) -> Signal {
    if name == "postgres" { Signal::SIGINT } else { Signal::SIGTERM }
}

fn stop(layout: &Layout, name: &str, signal: Signal, deadline: Duration) -> Result<bool> {
    let process = Process::new(layout, name)?;
    let was_running = process.is_running();
    process.stop(signal, deadline)?;
    Ok(was_running)
}
