//! Which Postgres is installed. Invariant: the newest of major version 15 or later wins, wherever Debian put it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{Error, Result, command, files};

const OLDEST: u32 = 15;

/// The directory with `postgres`, `initdb` and `psql`.
pub fn server_binaries() -> Result<PathBuf> {
    let packaged = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = packaged
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
        .filter(|(major, dir)| *major >= OLDEST && is_complete(dir))
        .max();
    if let Some((_, dir)) = newest {
        return Ok(dir);
    }
    let on_path = files::find_program("initdb").and_then(|program| fs::canonicalize(program).ok());
    on_path
        .and_then(|program| Some(program.parent()?.to_path_buf()))
        .filter(|dir| is_complete(dir) && major_of(dir).is_some_and(|major| major >= OLDEST))
        .ok_or(Error::Missing { program: "Postgres 15 or later", hint: "apt-get install postgresql" })
}

fn is_complete(dir: &Path) -> bool {
    ["postgres", "initdb", "psql"].iter().all(|program| dir.join(program).is_file())
}

fn major_of(dir: &Path) -> Option<u32> {
    let mut version = Command::new(dir.join("postgres"));
    parse_major(&command::run(version.arg("--version"), "", Duration::from_secs(10)).ok()?)
}

fn parse_major(text: &str) -> Option<u32> {
    let number = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_released_and_unreleased_versions() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_major("nonsense"), None);
    }
}
