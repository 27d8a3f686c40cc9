//! The limit of one address, and whose address a request has. Invariant: memory is bounded whatever strangers send, and a header
//! is believed only from a proxy on the list.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::{LimitConfig, Network};

use super::metrics;

/// Most addresses told apart; beyond, new ones share [`CROWD`] buckets.
const MAX_PEERS: usize = 100_000;

/// Buckets of the crowd.
const CROWD: u128 = 4_096;

/// Requests a second of each address.
#[derive(Debug)]
pub struct Peers {
    limiter: DefaultKeyedRateLimiter<u128>,
    hasher: RandomState,
    clock: DefaultClock,
    trusted: Vec<Network>,
}

impl Peers {
    /// The limit and the trusted proxies of the configuration.
    pub fn new(config: &LimitConfig) -> Self {
        let rate = NonZeroU32::new(config.limit_per_ip).unwrap_or(NonZeroU32::MIN);
        let limiter = RateLimiter::keyed(Quota::per_second(rate));
        let trusted = config.limit_trusted_proxies.clone();
        Self { limiter, hasher: RandomState::new(), clock: DefaultClock::default(), trusted }
    }

    /// Lets one request in, or says after how many whole seconds the next may come. `forwarded` are the values of
    /// `X-Forwarded-For` in the order they came.
    ///
    /// # Errors
    /// The seconds to wait.
    pub fn check<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> Result<(), u64> {
        let key = self.key(client_address(peer, forwarded, &self.trusted));
        self.limiter.check_key(&key).map_err(|refused| {
            metrics::peer_refused();
            refused.wait_time_from(self.clock.now()).as_secs() + 1
        })
    }

    /// Forgets addresses that have their whole allowance again.
    pub(super) fn forget_idle(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }

    /// An IPv6 subscriber has a /64, so that is one address. Past [`MAX_PEERS`] everybody is told apart by a hash only.
    fn key(&self, address: IpAddr) -> u128 {
        let address = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let key = if address.to_ipv4_mapped().is_some() { address } else { prefix_64(address) }.to_bits();
        if self.limiter.len() < MAX_PEERS { key } else { u128::from(self.hasher.hash_one(key)) % CROWD }
    }
}

fn prefix_64(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)
}

/// Whose request it is: the peer, unless it is a trusted proxy; then the rightmost address it forwards for that is not one. What
/// cannot be read ends the search, because whoever wrote it may have written what stands left of it, too.
pub fn client_address<'a>(
    peer: IpAddr,
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[Network],
) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut address = peer;
    for hop in forwarded.rev().flat_map(|value| value.rsplit(',')) {
        if !is_trusted(address) {
            break;
        }
        match parse_hop(hop.trim()) {
            Some(next) => address = next,
            None => break,
        }
    }
    address
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    bare.parse().ok().or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<Network> = ["10.0.0.0/8", "::1"].iter().map(|range| range.parse().expect("range")).collect();
        let client = |peer: &str, forwarded: &[&str]| {
            client_address(peer.parse().expect("peer"), forwarded.iter().copied(), &trusted).to_string()
        };
        assert_eq!(client("192.0.2.9", &["198.51.100.1"]), "192.0.2.9");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 198.51.100.1, 10.1.1.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "198.51.100.1:99", "10.1.1.1"]), "198.51.100.1");
        assert_eq!(client("::1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, nonsense"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["10.2.2.2,10.3.3.3"]), "10.2.2.2");
    }

    #[test]
    fn each_address_has_its_allowance_and_is_forgotten() {
        let mut config = crate::config::Config::from_env().expect("defaults").limit;
        config.limit_per_ip = 3;
        let peers = Peers::new(&config);
        let check = |peer: &str| peers.check(peer.parse().expect("peer"), std::iter::empty());
        for _ in 0..3 {
            assert_eq!(check("192.0.2.1"), Ok(()));
        }
        assert_eq!(check("192.0.2.1"), Err(1));
        assert_eq!(check("192.0.2.2"), Ok(()));
        for host in 0..3 {
            assert_eq!(check(&format!("2001:db8::{host}")), Ok(()));
        }
        assert_eq!(check("2001:db8::ffff"), Err(1), "a /64 is one address");
        assert_eq!(peers.limiter.len(), 3);
    }
}
