//! `install`: what the engines need on this machine. Invariant: nothing is installed that is there already.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use weir_local::{Layout, command, files, kafka, postgres_binaries};

use super::{out, packages};

const OLDEST_JAVA: u32 = 17;

/// Something the engines need, with the packages that bring it, the best first.
struct Need {
    what: &'static str,
    is_there: fn() -> bool,
    packages: &'static [&'static str],
}

const NEEDS: [Need; 6] = [
    Need { what: "Postgres 15 or later", is_there: || postgres_binaries().is_ok(), packages: &["postgresql"] },
    Need { what: "Redis", is_there: || has("redis-server"), packages: &["redis-server"] },
    Need {
        what: "Java 17 or later",
        is_there: java_is_new_enough,
        packages: &["openjdk-21-jre-headless", "openjdk-17-jre-headless", "default-jre-headless"],
    },
    // Only to fetch the jars of Kafka; a machine that has them needs no Maven.
    Need { what: "Maven", is_there: || kafka::jars_present() || has("mvn"), packages: &["maven"] },
    Need { what: "curl", is_there: || has("curl"), packages: &["curl"] },
    Need { what: "setpriv", is_there: || has("setpriv") && has("setsid"), packages: &["util-linux"] },
];

pub(super) fn run(dir: &Path) -> Result<()> {
    ensure(&Layout::new(dir)?)
}

/// Installs what is missing, and fetches the jars of Kafka.
pub(super) fn ensure(layout: &Layout) -> Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.is_there)()).collect();
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|need| need.what).collect();
        let candidates: Vec<&[&str]> = missing.iter().map(|need| need.packages).collect();
        packages::install(&names.join(", "), &candidates, &layout.log_file("install"))?;
        let still: Vec<&str> = missing.iter().filter(|need| !(need.is_there)()).map(|need| need.what).collect();
        if !still.is_empty() {
            bail!("this system's packages do not bring {}: install by hand and try again", still.join(", "));
        }
    }
    if !kafka::jars_present() {
        out::part("kafka", "fetching Apache Kafka 4.3.1 from Maven Central (54 MB, once a machine)");
        kafka::ensure_jars().context("fetch Kafka")?;
    }
    Ok(())
}

fn has(program: &str) -> bool {
    files::find_program(program).is_some()
}

fn java_is_new_enough() -> bool {
    let Ok(java) = kafka::java() else { return false };
    let version = command::run(Command::new(java).arg("--version"), "", Duration::from_secs(20));
    version.ok().and_then(|text| major(&text)).is_some_and(|major| major >= OLDEST_JAVA)
}

/// `openjdk 17.0.15 2025-04-15`: Java before 9 does not know `--version` and fails.
fn major(text: &str) -> Option<u32> {
    let number = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    number.split(['.', '-', '+']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_java_says_of_itself() {
        assert_eq!(major("openjdk 17.0.15 2025-04-15\nOpenJDK Runtime"), Some(17));
        assert_eq!(major("openjdk 26-ea 2026-03-17"), Some(26));
        assert_eq!(major("java"), None);
    }
}
