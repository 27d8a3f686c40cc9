//! Private Postgres, Redis and Kafka as child processes, for development, tests and benches.
//!
//! The one invariant: an engine belongs to one directory. Its data, port, passwords, process file and log all live
//! there, so two directories never meet, and the same directory always finds its own engines again.

pub mod command;
mod engines;
mod error;
pub mod files;
pub mod kafka;
mod layout;
mod ports;
mod postgres;
pub mod proc_table;
pub mod process;
mod redis;
mod redis_group;
mod shared;
mod spawn;
mod unprivileged;
mod wait;

pub use engines::{EngineOptions, Engines, Ports};
pub use error::{Error, LogTail, Result};
pub use kafka::{Broker, Kafka};
pub use layout::Layout;
pub use ports::claim as claim_port;
pub use postgres::{Login, Postgres, server_binaries as postgres_binaries};
pub use process::Process;
pub use redis::Redis;
pub use redis_group::{RedisCluster, RedisSentinel};
pub use shared::{remove, shared_for_tests};
pub use spawn::{Launch, Lifetime};
pub use wait::poll;
