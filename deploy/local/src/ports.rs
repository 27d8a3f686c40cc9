//! Ports. Invariant: a name keeps its port for as long as nobody else sits on it.

use std::{
    collections::HashSet,
    fs,
    net::{Ipv4Addr, TcpListener},
    sync::{Mutex, PoisonError},
};

use crate::{Error, Layout, Result, files};

/// Ports given out by this process: between giving out and the engine's own bind a port looks free.
static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// The port of `name`: the one it had, else the preferred one or one just above it, else any. `taken_by_itself` says that
/// the owner runs, so that its port being in use is right.
pub fn claim(layout: &Layout, name: &str, preferred: Option<u16>, taken_by_itself: bool) -> Result<u16> {
    let file = layout.port_file(name);
    let kept: Option<u16> = files::read(&file)?.and_then(|text| text.trim().parse().ok());
    if let Some(port) = kept
        && (taken_by_itself || is_free(port))
    {
        remember(port);
        return Ok(port);
    }
    let near = preferred.into_iter().flat_map(|port| port..=port.saturating_add(20));
    let port = near
        .chain(anywhere())
        .find(|port| remember(*port) && is_free(*port))
        .ok_or_else(|| Error::io(format!("find a port for {name}"))(std::io::ErrorKind::AddrInUse.into()))?;
    files::write_public(&file, &port.to_string())?;
    Ok(port)
}

fn remember(port: u16) -> bool {
    GIVEN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().insert(port)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Ports below the kernel's own range, from a place that differs between processes. A port of that range would be
/// lost while its engine is killed: any outgoing connection may get it, even one that tries to reach the engine.
fn anywhere() -> impl Iterator<Item = u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let low: u16 = range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32_768);
    let (first, last) = if low > 12_000 { (10_000, low - 1) } else { (20_000, 60_000) };
    let span = u32::from(last - first) + 1;
    let start = std::process::id().wrapping_mul(7919) % span;
    (0..span).filter_map(move |step| u16::try_from(u32::from(first) + (start + step) % span).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(name: &str) -> Layout {
        let dir = std::env::temp_dir().join(format!("weir-local-{name}-{}", std::process::id()));
        Layout::new(&dir).expect("layout")
    }

    #[test]
    fn a_name_keeps_its_port() {
        let layout = layout("keeps");
        let first = claim(&layout, "redis", None, false).expect("port");
        assert_eq!(claim(&layout, "redis", Some(1), false).expect("port"), first);
        fs::remove_dir_all(layout.root()).expect("removed");
    }

    #[test]
    fn a_taken_port_is_left_alone_unless_it_is_our_own() {
        let layout = layout("taken");
        let first = claim(&layout, "redis", None, false).expect("port");
        let guest = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).expect("bind");
        assert_eq!(claim(&layout, "redis", None, true).expect("port"), first);
        let other = claim(&layout, "redis", Some(first), false).expect("port");
        assert!(other != first && other <= first + 20);
        drop(guest);
        fs::remove_dir_all(layout.root()).expect("removed");
    }

    #[test]
    fn two_names_never_share_a_port() {
        let layout = layout("two");
        let ports: HashSet<u16> =
            (0..50).map(|n| claim(&layout, &format!("n{n}"), None, false).expect("port")).collect();
        assert_eq!(ports.len(), 50);
        fs::remove_dir_all(layout.root()).expect("removed");
    }
}
