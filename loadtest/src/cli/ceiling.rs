//! `ceiling`: the small programs that arms are held against; commands start them, people need not.

use std::net::SocketAddr;

use crate::ceilings::{Wanted, produce, serve_empty_door};
use crate::say;

/// Which.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Ceiling {
    /// A poem handler that does nothing
    Door {
        /// Where it listens
        #[arg(long)]
        listen: SocketAddr,
    },
    /// librdkafka with nothing around it
    Log(Wanted),
}

impl Ceiling {
    pub(super) fn run(self) -> anyhow::Result<bool> {
        match self {
            Self::Door { listen } => serve_empty_door(listen)?,
            Self::Log(wanted) => say(format_args!("{}", serde_json::to_string(&produce(&wanted)?)?)),
        }
        Ok(true)
    }
}
