//! The door: addresses, caps and deadlines. Invariant: every value bounds something a stranger controls.
//!
//! `WEIR_LISTEN`, `WEIR_MANAGEMENT_LISTEN` (or `METRICS_PORT` for its port alone), `WEIR_HTTP_*`, `WEIR_CORS_ORIGINS`.

use std::net::SocketAddr;
use std::time::Duration;

/// Addresses, caps and deadlines of the public and the management listener.
#[derive(Debug, Clone, clap::Args)]
pub struct HttpConfig {
    /// Public address: tenants and operators
    #[arg(long, env = "WEIR_LISTEN", default_value = "0.0.0.0:8080", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Management address: Prometheus metrics and liveness; not for the internet
    #[arg(long, env = "WEIR_MANAGEMENT_LISTEN", default_value = "0.0.0.0:8001", value_name = "ADDR")]
    pub management_listen: SocketAddr,
    /// Port of the management address, when only the port is to change
    #[arg(long, env = "METRICS_PORT", value_name = "PORT")]
    pub metrics_port: Option<u16>,
    /// Most open connections in total
    #[arg(long, env = "WEIR_HTTP_MAX_CONNECTIONS", default_value_t = 10_000, value_name = "N")]
    pub http_max_connections: usize,
    /// Most open connections from one peer address
    #[arg(long, env = "WEIR_HTTP_MAX_CONNECTIONS_PER_PEER", default_value_t = 2_000, value_name = "N")]
    pub http_max_connections_per_peer: usize,
    /// Seconds a client may take to send its request head
    #[arg(long, env = "WEIR_HTTP_HEADER_SECONDS", default_value_t = 5, value_name = "S")]
    pub http_header_seconds: u64,
    /// Seconds a client may pause inside its body
    #[arg(long, env = "WEIR_HTTP_BODY_STALL_SECONDS", default_value_t = 10, value_name = "S")]
    pub http_body_stall_seconds: u64,
    /// Seconds a connection may stay idle between requests
    #[arg(long, env = "WEIR_HTTP_IDLE_SECONDS", default_value_t = 60, value_name = "S")]
    pub http_idle_seconds: u64,
    /// Seconds any request may take (streams excepted), its body included; a body has one second and the wait for the log less
    #[arg(long, env = "WEIR_HTTP_REQUEST_SECONDS", default_value_t = 15, value_name = "S")]
    pub http_request_seconds: u64,
    /// Systems whose failure turns /ready red, of log, store, cache; `log` alone keeps an ingest-only fleet in its balancer
    /// while Postgres is away
    #[arg(
        long,
        env = "WEIR_READY_REQUIRES",
        value_delimiter = ',',
        default_value = "log,store",
        value_name = "NAME,…"
    )]
    pub ready_requires: Vec<String>,
    /// Origins whose scripts may call from browsers, e.g. `https://shop.example`; `*` for all
    #[arg(long, env = "WEIR_CORS_ORIGINS", value_delimiter = ',', value_name = "ORIGIN,…")]
    pub cors_origins: Vec<String>,
    /// Seconds running requests get to finish after SIGTERM
    #[arg(long, env = "WEIR_DRAIN_SECONDS", default_value_t = 20, value_name = "S")]
    pub drain_seconds: u64,
}

impl HttpConfig {
    /// Where the management listener binds.
    pub fn management_address(&self) -> SocketAddr {
        let mut address = self.management_listen;
        if let Some(port) = self.metrics_port {
            address.set_port(port);
        }
        address
    }

    /// Whether the failure of that system turns `/ready` red.
    pub fn ready_requires(&self, system: &str) -> bool {
        self.ready_requires.iter().any(|name| name == system)
    }

    /// Deadline of a request.
    pub fn request_deadline(&self) -> Duration {
        Duration::from_secs(self.http_request_seconds)
    }

    pub(super) fn check(&self, mistakes: &mut Vec<String>) {
        let bounded = [
            ("WEIR_HTTP_HEADER_SECONDS", self.http_header_seconds),
            ("WEIR_HTTP_BODY_STALL_SECONDS", self.http_body_stall_seconds),
            ("WEIR_HTTP_IDLE_SECONDS", self.http_idle_seconds),
            ("WEIR_HTTP_REQUEST_SECONDS", self.http_request_seconds),
            ("WEIR_DRAIN_SECONDS", self.drain_seconds),
        ];
        for (name, seconds) in bounded {
            if !(1..=3600).contains(&seconds) {
                mistakes.push(format!("{name} must be 1 to 3600 seconds"));
            }
        }
        if let Some(name) = self.ready_requires.iter().find(|name| !["log", "store", "cache"].contains(&name.as_str()))
        {
            mistakes.push(format!("WEIR_READY_REQUIRES: {name:?} is not one of log, store, cache"));
        }
        for origin in self.cors_origins.iter().filter(|origin| !is_origin(origin)) {
            mistakes.push(format!("WEIR_CORS_ORIGINS: {origin:?} is neither scheme://host[:port] in lower case nor *"));
        }
        if self.http_max_connections == 0 || self.http_max_connections_per_peer == 0 {
            mistakes.push("WEIR_HTTP_MAX_CONNECTIONS and WEIR_HTTP_MAX_CONNECTIONS_PER_PEER must be at least 1".into());
        }
    }
}

/// Whether browsers could send this as `Origin`.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:[]_".contains(&byte);
    text == "*" || host.is_some_and(|host| !host.is_empty() && host.bytes().all(sound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        assert!(["*", "https://shop.example", "http://localhost:3000", "http://[::1]:80"].into_iter().all(is_origin));
        assert!(!["", "shop.example", "https://", "https://a/", "https://A", "null"].into_iter().any(is_origin));
    }
}
