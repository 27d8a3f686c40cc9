//! `ceiling`: the small programs that arms are held against; commands start them, people need not.

use std::net::SocketAddr;

use crate::ceilings::{Kind, Wanted, produce, serve};
use crate::{producers, say};

/// Which.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Ceiling {
    /// A poem server
    Door {
        /// What it does
        #[arg(long, value_enum)]
        kind: Kind,
        /// Where it listens
        #[arg(long)]
        listen: SocketAddr,
    },
    /// librdkafka with nothing around it
    Log(Wanted),
    /// A client of the log under load
    Client(producers::Wanted),
}

impl Ceiling {
    pub(super) fn run(self) -> anyhow::Result<bool> {
        match self {
            Self::Door { kind, listen } => serve(kind, listen)?,
            Self::Client(wanted) => producers::drive(&wanted)?,
            Self::Log(wanted) => say(format_args!("{}", serde_json::to_string(&produce(&wanted)?)?)),
        }
        Ok(true)
    }
}
