//! The system's package manager. Invariant: it says what it is about to do before it does it, and where it may not, it
//! says what a person has to do.

use std::{
    fs::{self, File},
    io::IsTerminal,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;
use weir_local::{LogTail, files};

use super::out;

/// Installs for each need the first package the system knows.
pub(super) fn install(what: &str, needs: &[&[&str]], log: &Path) -> Result<()> {
    let by_hand = || format!("missing: {what}; install by hand and try again");
    if files::find_program("apt-get").is_none() {
        bail!("{} (no apt-get on this system)", by_hand());
    }
    let Some(prefix) = privilege() else {
        bail!("{} (neither root nor able to use sudo)", by_hand());
    };
    out::part("install", &format!("{what}, by apt-get (log: {})", log.display()));
    drop(fs::remove_file(log));
    // Lists that are there are used as they are: fetching them takes longer than the packages.
    let packages = choose(needs);
    if packages.len() == needs.len() && apt(&prefix, &install_args(&packages), log)? {
        return Ok(());
    }
    if !apt(&prefix, &["update"], log)? {
        bail!("apt-get update failed{}", LogTail::of_file(log));
    }
    let packages = choose(needs);
    if packages.len() < needs.len() || !apt(&prefix, &install_args(&packages), log)? {
        bail!("apt-get could not install {what}{}", LogTail::of_file(log));
    }
    Ok(())
}

/// Words in front of a command that must be root's. A question for a password is for a person at a terminal only.
fn privilege() -> Option<Vec<&'static str>> {
    if geteuid().is_root() {
        return Some(Vec::new());
    }
    files::find_program("sudo")?;
    let silent = Command::new("sudo").args(["-n", "true"]).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    (silent || std::io::stdin().is_terminal()).then(|| vec!["sudo"])
}

fn choose<'a>(needs: &[&[&'a str]]) -> Vec<&'a str> {
    needs.iter().filter_map(|candidates| candidates.iter().copied().find(|package| is_known(package))).collect()
}

fn is_known(package: &str) -> bool {
    let mut show = Command::new("apt-cache");
    show.args(["show", "--no-all-versions", package]).stdout(Stdio::null()).stderr(Stdio::null());
    show.status().is_ok_and(|status| status.success())
}

fn install_args<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"];
    args.extend(packages);
    args
}

/// Whether apt-get succeeded; what it printed is in the log.
fn apt(prefix: &[&str], args: &[&str], log: &Path) -> Result<bool> {
    let log = File::options().create(true).append(true).open(log).context("open the log of apt-get")?;
    let words = prefix.iter().chain(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]).chain(args);
    let words: Vec<&str> = words.copied().collect();
    let (program, rest) = words.split_first().context("no command")?;
    let status = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("share the log")?)
        .stderr(log)
        .status()
        .context("run apt-get")?;
    Ok(status.success())
}
