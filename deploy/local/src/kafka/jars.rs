//! The programs of Kafka: jars from Maven Central, kept in a cache that checkouts share. Invariant: the cache directory
//! has its name only when it is complete, and it was made from the very pom.xml compiled in here.

use std::{
    env,
    fs::{self, File},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use crate::{Error, Result, command, files};

const POM: &str = include_str!("../../kafka/pom.xml");
const NAME: &str = "kafka-4.3.1";
/// 54 MB over a slow line.
const DOWNLOAD: Duration = Duration::from_secs(900);

/// The Java runtime: of JAVA_HOME if that is set, else of PATH.
pub fn java() -> Result<PathBuf> {
    let home = env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    home.filter(|java| java.is_file())
        .or_else(|| files::find_program("java"))
        .ok_or(Error::Missing { program: "java", hint: "apt-get install default-jre-headless" })
}

/// The directory that holds the jars once they are there.
#[must_use]
pub fn directory() -> PathBuf {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = named("WEIR_CACHE").unwrap_or_else(|| {
        let user = named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")));
        user.unwrap_or_else(env::temp_dir).join("weir")
    });
    cache.join(NAME)
}

/// Whether the jars are there.
#[must_use]
pub fn present() -> bool {
    fs::read_to_string(directory().join("pom.xml")).is_ok_and(|pom| pom == POM)
}

/// The directory of the jars; the first call on a machine downloads them by Maven.
pub fn ensure() -> Result<PathBuf> {
    let directory = directory();
    if present() {
        return Ok(directory);
    }
    let cache = directory.parent().map(PathBuf::from).unwrap_or_default();
    files::create_dir(&cache, 0o755)?;
    let lock_path = cache.join(format!("{NAME}.lock"));
    let lock = File::create(&lock_path).map_err(Error::io(format!("create {}", lock_path.display())))?;
    // Held to the end of this function: another process that wants the jars waits here and then finds them.
    lock.lock().map_err(Error::io(format!("lock {}", lock_path.display())))?;
    if present() {
        return Ok(directory);
    }
    let maven = files::find_program("mvn").ok_or(Error::Missing { program: "mvn", hint: "apt-get install maven" })?;
    let fresh = cache.join(format!("{NAME}.{}.new", std::process::id()));
    files::create_dir(&fresh, 0o755)?;
    files::write_public(&fresh.join("pom.xml"), POM)?;
    let mut copy = Command::new(maven);
    copy.current_dir(&fresh).args([
        "--batch-mode",
        "--quiet",
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
    ]);
    let copied = command::run(copy.arg("-DoutputDirectory=."), "", DOWNLOAD);
    let done = copied.and_then(|_| {
        if directory.exists() {
            fs::remove_dir_all(&directory).map_err(Error::io(format!("remove {}", directory.display())))?;
        }
        fs::rename(&fresh, &directory).map_err(Error::io(format!("rename {}", fresh.display())))
    });
    if done.is_err() {
        drop(fs::remove_dir_all(&fresh));
    }
    done.map(|()| directory)
}
