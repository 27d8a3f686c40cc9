//! `status`. Invariant: it only looks.

use std::path::Path;

use anyhow::{Result, bail};
use weir_local::{Layout, Process};

use super::out;

pub(super) fn run(dir: &Path) -> Result<()> {
    if !Layout::exists(dir) {
        bail!("nothing was ever started here: run `make up`");
    }
    let layout = Layout::new(dir)?;
    let mut missing = Vec::new();
    for name in ["postgres", "redis", "kafka-1", "weir"] {
        let port = layout.port(name).map(|port| format!("127.0.0.1:{port}")).unwrap_or_default();
        match Process::new(&layout, name)?.pid() {
            Some(pid) => out::part(name, &format!("{port:<18}running, process {pid}")),
            None => {
                out::part(name, &format!("{port:<18}not running"));
                missing.push(name);
            }
        }
    }
    if !missing.is_empty() {
        bail!("not running: {}", missing.join(", "));
    }
    Ok(())
}
