//! What is known of each open connection, shared by its socket and its requests. Invariant: whoever was admitted is counted
//! until its socket is dropped, and neither cap is ever exceeded.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::inspect::HeadFault;
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
    upgraded: AtomicBool,
    /// The request of this number stands for a refused head.
    refused: OnceLock<(u32, HeadFault)>,
    quiet_since: Mutex<Instant>,
}

/// The place of one admitted connection; dropping it frees the place.
pub(super) struct Place {
    connections: Connections,
    ends: Ends,
    activity: Arc<Activity>,
}

/// One running request; while it lives its connection is not idle.
pub(super) struct Running {
    activity: Option<Arc<Activity>>,
    /// Its number on the connection, from 1.
    number: u32,
}

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
        let mut number = 0;
        if let Some(activity) = &activity {
            number = activity.started.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
            activity.running.fetch_add(1, Ordering::AcqRel);
        }
        Running { activity, number }
    }
}

impl Activity {
    fn new() -> Self {
        Self {
            running: AtomicU32::new(0),
            started: AtomicU32::new(0),
            linger: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            refused: OnceLock::new(),
            quiet_since: Mutex::new(Instant::now()),
        }
    }

    /// Whether a request is running.
    pub(super) fn busy(&self) -> bool {
        self.running.load(Ordering::Acquire) > 0
    }

    /// The request of this number is the stand-in of a refused head.
    pub(super) fn refuse(&self, number: u32, fault: HeadFault) {
        // A connection ends at its first refused head, so the first is the only one.
        self.refused.get_or_init(|| (number, fault));
    }

    /// Whether the connection speaks something else than HTTP by now.
    pub(super) fn upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Acquire)
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
    /// Why the head this request stands for was refused, when it stands for one.
    pub(super) fn refused(&self) -> Option<HeadFault> {
        let (number, fault) = *self.activity.as_ref()?.refused.get()?;
        (number == self.number).then_some(fault)
    }

    /// The answer left before the body was read: closing at once would reset the connection under the answer.
    pub(super) fn linger(&self) {
        if let Some(activity) = &self.activity {
            activity.linger.store(true, Ordering::Release);
        }
    }

    /// The connection became something else (WebSocket): it keeps counting as busy until it closes.
    pub(super) fn upgraded(mut self) {
        if let Some(activity) = self.activity.take() {
            activity.upgraded.store(true, Ordering::Release);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(activity) = &self.activity {
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
        place.activity().refuse(3, HeadFault::Host);
        assert_eq!(connections.request_starts(Some(ends("10.0.0.1:1"))).refused(), None, "the second request");
        assert_eq!(connections.request_starts(Some(ends("10.0.0.1:1"))).refused(), Some(HeadFault::Host));
        connections.request_starts(Some(ends("10.0.0.1:1"))).upgraded();
        assert!(place.activity().busy() && place.activity().upgraded());
        drop(place);
        assert!(connections.admit(ends("10.0.0.2:1")).is_ok());
    }
}
