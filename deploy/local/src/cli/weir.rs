//! The binary `weir` as a tool: keys, migrations, tokens. Invariant: it is the one built beside this very binary.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use weir_local::{Layout, command, files};

use super::{environment, environment::Variables, out};

/// Options of `token`.
#[derive(Debug, Clone, Args)]
pub(super) struct TokenArgs {
    /// Whose events the holder may touch.
    #[arg(long, default_value = "demo")]
    pub(super) account: String,
    /// What the holder may do, parted by blanks.
    #[arg(long, default_value = "events:write events:read metrics:read")]
    pub(super) scope: String,
    /// `operator`, or nothing for a tenant.
    #[arg(long)]
    pub(super) role: Option<String>,
}

/// How long a token lasts: a day, renewed by every `make up`.
const TOKEN_SECONDS: &str = "86400";

/// Where the binary is.
pub(super) fn program() -> Result<PathBuf> {
    let me = std::env::current_exe().context("find my own path")?;
    let program = me.with_file_name("weir");
    if !program.is_file() {
        bail!("{} is not built; run `make up` or `cargo build -p weir`", program.display());
    }
    Ok(program)
}

/// Makes the signing key and the public keys unless they are there.
pub(super) fn ensure_keys(layout: &Layout) -> Result<()> {
    let dir = layout.root().join("keys");
    files::create_dir(&dir, 0o700)?;
    let there = ["signing.pem", "jwks.json"].iter().all(|name| dir.join(name).is_file());
    if !there {
        run(&["keys", "--dir", &dir.display().to_string()], &Vec::new())?;
    }
    Ok(())
}

/// Brings the database to the present schema and creates the topics.
pub(super) fn migrate(variables: &Variables) -> Result<()> {
    run(&["migrate"], variables).map(drop)
}

/// Makes a token.
pub(super) fn token(layout: &Layout, args: &TokenArgs) -> Result<String> {
    let mut words = vec!["token", "--account", &args.account, "--scope", &args.scope];
    words.extend(["--ttl-seconds", TOKEN_SECONDS]);
    if let Some(role) = args.role.as_deref().filter(|role| !role.is_empty()) {
        words.extend(["--role", role]);
    }
    Ok(run(&words, &environment::tokens(layout))?.trim().to_owned())
}

/// The subcommand `token`.
pub(super) fn print_token(dir: &Path, args: &TokenArgs) -> Result<()> {
    let layout = Layout::new(dir)?;
    ensure_keys(&layout)?;
    out::line(&token(&layout, args)?);
    Ok(())
}

fn run(args: &[&str], variables: &Variables) -> Result<String> {
    let mut weir = Command::new(program()?);
    weir.args(args).envs(variables.iter().cloned());
    let subcommand = args.first().copied().unwrap_or_default();
    command::run(&mut weir, "", Duration::from_secs(120)).with_context(|| format!("`weir {subcommand}`"))
}
