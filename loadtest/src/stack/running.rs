//! The service that `make up` runs, by its file of variables. Invariant: nothing here starts or stops anything.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use anyhow::Context;

use crate::cpu::Meter;
use crate::generate::{Key, Signer};

/// A service somebody else runs.
pub struct Target {
    /// Where events go.
    pub address: SocketAddr,
    /// Signs tokens it takes.
    pub signer: Signer,
    /// A login that sees all accounts.
    pub admin_url: String,
    /// Its processes, as far as the process files tell.
    pub meter: Meter,
}

impl Target {
    /// Reads `env`, `keys/` and `run/` of the directory of `make up`.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn of(dir: &Path) -> anyhow::Result<Self> {
        let file = dir.join("env");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("reading {}: run `make up` first", file.display()))?;
        let value = |name: &str| variable(&text, name).with_context(|| format!("{} lacks {name}", file.display()));
        let url = value("WEIR_URL")?;
        let authority = url.trim_start_matches("http://").trim_end_matches('/');
        let address = authority.to_socket_addrs().with_context(|| format!("the address in WEIR_URL={url}"))?.next();
        Ok(Self {
            address: address.with_context(|| format!("WEIR_URL={url} names no address"))?,
            signer: Signer::new(&Key::in_dir(&dir.join("keys")), "weir-local", "weir")?,
            admin_url: value("DATABASE_ADMIN_URL")?,
            meter: meter(dir),
        })
    }
}

/// The components whose process files lie in `run/`: `<name>.pid`, its first word the number.
fn meter(dir: &Path) -> Meter {
    let mut meter = Meter::default();
    for entry in std::fs::read_dir(dir.join("run")).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "pid") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let pid = text.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
            meter = meter.with(&path.file_stem().unwrap_or_default().to_string_lossy(), pid);
        }
    }
    meter
}

/// The value of a variable in a file of `export NAME='value'` lines.
fn variable(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().map(|line| line.strip_prefix("export ").unwrap_or(line));
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('\'').replace("'\\''", "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_make_up_writes_them() {
        let text = "# made\nexport WEIR_URL='http://127.0.0.1:8080'\nexport A='it'\\''s'\nB=2\n";
        assert_eq!(variable(text, "WEIR_URL").as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(variable(text, "A").as_deref(), Some("it's"));
        assert_eq!(variable(text, "B").as_deref(), Some("2"));
        assert_eq!(variable(text, "WEIR"), None);
    }
}
