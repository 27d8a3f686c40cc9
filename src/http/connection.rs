//! What is known of each open connection, shared by its socket and its requests. Invariant: whoever was admitted is counted
//! until its socket is dropped, and neither cap is ever exceeded.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::metrics;

/// Both ends of a connection: what a request knows of the socket it came by.
pub(super) type Ends = (SocketAddr, SocketAddr);

/// Every open connection of one listener. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connections {
    table: Arc<Mutex<Table>>,
    listener: &'static str,
    max_total: usize,
    max_per_peer: usize,
}

#[derive(Default)]
struct Table {
    open: HashMap<Ends, Arc<Activity>>,
    peers: HashMap<IpAddr, usize>,
}

/// Why a connection was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The listener is full.
    Total,
    /// This address has all it may have.
    Peer,
}

/// Requests of one connection.
pub(super) struct Activity {
    running: AtomicU32,
    started: AtomicU32,
    linger: AtomicBool,
    quiet_since: Mutex<Instant>,
}

/// The place of one admitted connection; dropping it frees the place.
pub(super) struct Place {
    connections: Connections,
    ends: Ends,
    activity: Arc<Activity>,
}

/// One running request; while it lives its connection is not idle.
pub(super) struct Running(Option<Arc<Activity>>);

impl Connections {
    /// An empty table with these caps; `listener` is its metric label.
    pub(super) fn new(listener: &'static str, max_total: usize, max_per_peer: usize) -> Self {
        Self { table: Arc::default(), listener, max_total, max_per_peer }
    }

    /// Gives the connection a place.
    ///
    /// # Errors
    /// [`Refused`] names the cap that is reached.
    pub(super) fn admit(&self, ends: Ends) -> Result<Place, Refused> {
        let mut table = self.table.lock();
        if table.open.len() >= self.max_total {
            return Err(Refused::Total);
        }
        let of_peer = table.peers.entry(ends.1.ip()).or_default();
        if *of_peer >= self.max_per_peer {
            return Err(Refused::Peer);
        }
        *of_peer += 1;
        let activity = Arc::new(Activity::new());
        table.open.insert(ends, Arc::clone(&activity));
        metrics::connections_open(self.listener, table.open.len());
        Ok(Place { connections: self.clone(), ends, activity })
    }

    /// Notes that a request starts on the connection with these ends.
    pub(super) fn request_starts(&self, ends: Option<Ends>) -> Running {
        let activity = ends.and_then(|ends| self.table.lock().open.get(&ends).cloned());
        if let Some(activity) = &activity {
            activity.started.fetch_add(1, Ordering::AcqRel);
            activity.running.fetch_add(1, Ordering::AcqRel);
        }
        Running(activity)
    }
}

impl Activity {
    fn new() -> Self {
        Self {
            running: AtomicU32::new(0),
            started: AtomicU32::new(0),
            linger: AtomicBool::new(false),
            quiet_since: Mutex::new(Instant::now()),
        }
    }

    /// Whether a request is running.
    pub(super) fn busy(&self) -> bool {
        self.running.load(Ordering::Acquire) > 0
    }

    /// Requests started so far (wraps): tells whether one came and went since the last look.
    pub(super) fn started(&self) -> u32 {
        self.started.load(Ordering::Acquire)
    }

    /// When the last request ended, or the connection was opened.
    pub(super) fn quiet_since(&self) -> Instant {
        *self.quiet_since.lock()
    }

    /// Whether the client may still be sending a body nobody wants.
    pub(super) fn lingers(&self) -> bool {
        self.linger.load(Ordering::Acquire)
    }
}

impl Place {
    /// The requests of this connection.
    pub(super) fn activity(&self) -> &Activity {
        &self.activity
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Place").field(&self.ends).finish()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.connections.table.lock();
        table.open.remove(&self.ends);
        metrics::connections_open(self.connections.listener, table.open.len());
        let peer = self.ends.1.ip();
        if let Some(of_peer) = table.peers.get_mut(&peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                table.peers.remove(&peer);
            }
        }
    }
}

impl Running {
    /// The answer left before the body was read: closing at once would reset the connection under the answer.
    pub(super) fn linger(&self) {
        if let Some(activity) = &self.0 {
            activity.linger.store(true, Ordering::Release);
        }
    }

    /// The connection became something else (WebSocket): it keeps counting as busy until it closes.
    pub(super) fn upgraded(mut self) {
        self.0 = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(activity) = &self.0 {
            *activity.quiet_since.lock() = Instant::now();
            activity.running.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(peer: &str) -> Ends {
        ("127.0.0.1:8080".parse().expect("addr"), peer.parse().expect("addr"))
    }

    #[test]
    fn caps_hold_and_places_are_freed() {
        let connections = Connections::new("test", 3, 2);
        let first = connections.admit(ends("10.0.0.1:1")).expect("first");
        let _second = connections.admit(ends("10.0.0.1:2")).expect("second");
        assert_eq!(connections.admit(ends("10.0.0.1:3")).err(), Some(Refused::Peer));
        let _third = connections.admit(ends("10.0.0.2:1")).expect("third");
        assert_eq!(connections.admit(ends("10.0.0.3:1")).err(), Some(Refused::Total));
        drop(first);
        assert!(connections.admit(ends("10.0.0.1:4")).is_ok());
    }

    #[test]
    fn a_connection_is_busy_while_a_request_runs() {
        let connections = Connections::new("test", 1, 1);
        let place = connections.admit(ends("10.0.0.1:1")).expect("place");
        let running = connections.request_starts(Some(ends("10.0.0.1:1")));
        assert!(place.activity().busy());
        drop(running);
        assert!(!place.activity().busy());
        assert_eq!(place.activity().started(), 1);
        connections.request_starts(Some(ends("10.0.0.1:1"))).upgraded();
        assert!(place.activity().busy());
        drop(place);
        assert!(connections.admit(ends("10.0.0.2:1")).is_ok());
    }
}
