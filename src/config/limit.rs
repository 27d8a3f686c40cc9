//! What an account may do unless an operator says otherwise. Invariant: no limit is needed for another to hold.
//!
//! `WEIR_LIMIT_*`: quotas of an account, caps above all accounts, addresses, and the pace of leases. `WEIR_USAGE_*`: what is kept of use.

use std::net::IpAddr;
use std::time::Duration;

use crate::domain::quota::{Limit, MAX_LIMIT, Quota};

/// Quotas, caps and the pace of leases.
#[derive(Debug, Clone, clap::Args)]
pub struct LimitConfig {
    /// Events an account may send in 60 seconds
    #[arg(long, env = "WEIR_LIMIT_SUSTAINED", default_value_t = 60_000, value_name = "N")]
    pub limit_sustained: i64,
    /// Events an account may send in one second
    #[arg(long, env = "WEIR_LIMIT_BURST", default_value_t = 4_000, value_name = "N")]
    pub limit_burst: i64,
    /// Body bytes an account may send in 60 seconds
    #[arg(long, env = "WEIR_LIMIT_BYTES", default_value_t = 52_428_800, value_name = "BYTES")]
    pub limit_bytes: i64,
    /// Requests of an account in flight on one instance; single events at the whole burst need burst × seconds an answer takes
    #[arg(long, env = "WEIR_LIMIT_CONCURRENT", default_value_t = 640, value_name = "N")]
    pub limit_concurrent: i64,
    /// Requests of all accounts in flight on one instance
    #[arg(long, env = "WEIR_LIMIT_GLOBAL_CONCURRENT", default_value_t = 4_096, value_name = "N")]
    pub limit_global_concurrent: i64,
    /// Memory for request bodies of an account at a time on one instance, in KiB; a body takes four times its (inflated) length, at
    /// most all of this
    #[arg(long, env = "WEIR_LIMIT_BODY_KIB", default_value_t = 16_384, value_name = "KIB")]
    pub limit_body_kib: i64,
    /// Memory for request bodies of all accounts at a time on one instance, in KiB; a body that finds no room for five seconds gets 503 and
    /// Retry-After
    #[arg(long, env = "WEIR_LIMIT_GLOBAL_BODY_KIB", default_value_t = 32_768, value_name = "KIB")]
    pub limit_global_body_kib: i64,
    /// Bytes of an account waiting for the log at a time, in KiB
    #[arg(long, env = "WEIR_LIMIT_QUEUE_KIB", default_value_t = 16_384, value_name = "KIB")]
    pub limit_queue_kib: i64,
    /// Bytes of all accounts waiting for the log at a time, in KiB
    #[arg(long, env = "WEIR_LIMIT_GLOBAL_QUEUE_KIB", default_value_t = 131_072, value_name = "KIB")]
    pub limit_global_queue_kib: i64,
    /// Requests a second from one address, whatever the account
    #[arg(long, env = "WEIR_LIMIT_PER_IP", default_value_t = 20_000, value_name = "N")]
    pub limit_per_ip: u32,
    /// Proxies whose X-Forwarded-For is believed: addresses or CIDR ranges
    #[arg(long, env = "WEIR_LIMIT_TRUSTED_PROXIES", value_delimiter = ',', value_name = "CIDR,…")]
    pub limit_trusted_proxies: Vec<Network>,
    /// Milliseconds between renewals of leases
    #[arg(long, env = "WEIR_LIMIT_TICK_MS", default_value_t = 100, value_name = "MS")]
    pub limit_tick_ms: u64,
    /// Milliseconds between two times an instance tells what accounts used
    #[arg(long, env = "WEIR_USAGE_TELL_MS", default_value_t = 2_000, value_name = "MS")]
    pub usage_tell_ms: u64,
    /// Milliseconds between two times the minutes of use are written to Postgres, by one instance for all
    #[arg(long, env = "WEIR_USAGE_ROLL_UP_MS", default_value_t = 20_000, value_name = "MS")]
    pub usage_roll_up_ms: u64,
    /// Days the minutes of use are kept
    #[arg(long, env = "WEIR_USAGE_DAYS", default_value_t = 30, value_name = "DAYS")]
    pub usage_days: u32,
    /// Milliseconds a charge may wait for Redis
    #[arg(long, env = "WEIR_LIMIT_CHARGE_MS", default_value_t = 5, value_name = "MS")]
    pub limit_charge_ms: u64,
}

impl LimitConfig {
    /// The quota of an account for which nothing is stored.
    pub fn default_quota(&self) -> Quota {
        Quota {
            sustained: Limit::enforced(self.limit_sustained),
            burst: Limit::enforced(self.limit_burst),
            bytes: Limit::enforced(self.limit_bytes),
            concurrent: Limit::enforced(self.limit_concurrent),
            monthly: None,
            bank_minutes: 0,
            weight: 1,
        }
    }

    /// Time between renewals of leases.
    pub fn tick(&self) -> Duration {
        Duration::from_millis(self.limit_tick_ms)
    }

    /// How long a charge may wait for Redis.
    pub fn charge_deadline(&self) -> Duration {
        Duration::from_millis(self.limit_charge_ms)
    }

    pub(super) fn check(&self, mistakes: &mut Vec<String>) {
        let limits = [
            ("WEIR_LIMIT_SUSTAINED", self.limit_sustained, 0),
            ("WEIR_LIMIT_BURST", self.limit_burst, 0),
            ("WEIR_LIMIT_BYTES", self.limit_bytes, 0),
            ("WEIR_LIMIT_CONCURRENT", self.limit_concurrent, 0),
            ("WEIR_LIMIT_GLOBAL_CONCURRENT", self.limit_global_concurrent, 10),
            ("WEIR_LIMIT_BODY_KIB", self.limit_body_kib, 1),
            ("WEIR_LIMIT_GLOBAL_BODY_KIB", self.limit_global_body_kib, 10),
            ("WEIR_LIMIT_QUEUE_KIB", self.limit_queue_kib, 1),
            ("WEIR_LIMIT_GLOBAL_QUEUE_KIB", self.limit_global_queue_kib, 10),
        ];
        for (name, value, least) in limits {
            if !(least..=MAX_LIMIT).contains(&value) {
                mistakes.push(format!("{name} must be {least} to {MAX_LIMIT}"));
            }
        }
        if self.limit_per_ip == 0 {
            mistakes.push("WEIR_LIMIT_PER_IP must be at least 1".into());
        }
        // A lease is lost after 15 s without a word; the ring's finest bucket is 100 ms.
        if !(10..=1_000).contains(&self.limit_tick_ms) {
            mistakes.push("WEIR_LIMIT_TICK_MS must be 10 to 1000".into());
        }
        // Seconds are kept for 90 minutes in Redis.
        if !(100..=60_000).contains(&self.usage_tell_ms) {
            mistakes.push("WEIR_USAGE_TELL_MS must be 100 to 60000".into());
        }
        if !(100..=600_000).contains(&self.usage_roll_up_ms) {
            mistakes.push("WEIR_USAGE_ROLL_UP_MS must be 100 to 600000".into());
        }
        if !(1..=400).contains(&self.usage_days) {
            mistakes.push("WEIR_USAGE_DAYS must be 1 to 400".into());
        }
        if !(1..=1_000).contains(&self.limit_charge_ms) {
            mistakes.push("WEIR_LIMIT_CHARGE_MS must be 1 to 1000".into());
        }
    }
}

/// A range of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: u128,
    mask: u128,
}

/// Why a text is not a range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an address or a CIDR range")]
pub struct NetworkError;

/// IPv4 addresses are compared in their mapped form, so that a dual-stack listener and an IPv4 one see the same peer.
fn widened(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Network {
    /// Whether the address lies in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        widened(address) & self.mask == self.address
    }
}

impl std::str::FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u32>().map_err(|_| NetworkError)?)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| NetworkError)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let free_bits = width - prefix.unwrap_or(width).min(width);
        if prefix.is_some_and(|prefix| prefix > width) {
            return Err(NetworkError);
        }
        let mask = u128::MAX.checked_shl(free_bits).unwrap_or(0);
        Ok(Self { address: widened(address) & mask, mask })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let inside = |range: &str, address: &str| {
            range.parse::<Network>().expect("range").contains(address.parse().expect("address"))
        };
        assert!(inside("10.0.0.0/8", "10.255.1.2") && !inside("10.0.0.0/8", "11.0.0.1"));
        assert!(inside("10.0.0.0/8", "::ffff:10.1.1.1") && inside("127.0.0.1", "127.0.0.1"));
        assert!(inside("2001:db8::/32", "2001:db8:1::1") && !inside("2001:db8::/32", "2001:db9::1"));
        assert!(inside("0.0.0.0/0", "8.8.8.8") && inside("::/0", "8.8.8.8"));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "host"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
