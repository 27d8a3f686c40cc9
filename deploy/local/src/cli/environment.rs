//! The variables of a running service and the file `env` that carries them into a shell. Invariant: the file is private,
//! whole, and can be sourced by any POSIX shell.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use weir_local::{Engines, Layout, Login, files};

/// The database of the service.
pub(super) const DATABASE: &str = "weir";

/// Names with values, in the order they are written.
pub(super) type Variables = Vec<(String, String)>;

/// The file itself.
pub(super) fn path(layout: &Layout) -> PathBuf {
    layout.root().join("env")
}

/// Who signs and who checks tokens, and with what. The only part that needs no engines.
pub(super) fn tokens(layout: &Layout) -> Variables {
    let keys = layout.root().join("keys");
    variables([
        ("WEIR_JWT_ISSUER", "weir-local".to_owned()),
        ("WEIR_JWT_AUDIENCE", "weir".to_owned()),
        ("WEIR_JWT_JWKS", keys.join("jwks.json").display().to_string()),
        ("WEIR_JWT_SIGNING_KEY_FILE", keys.join("signing.pem").display().to_string()),
    ])
}

/// What the secrets of sources are sealed with.
pub(super) fn seal_key(layout: &Layout) -> Result<Variables> {
    let path = layout.root().join("keys").join("seal.key");
    files::secret(&path)?;
    Ok(variables([("WEIR_SEAL_KEY_FILE", path.display().to_string())]))
}

/// Where the engines are.
pub(super) fn engines(engines: &Engines) -> Variables {
    variables([
        ("DATABASE_URL", engines.postgres.login(Login::Api, DATABASE)),
        ("DATABASE_WORKER_URL", engines.postgres.login(Login::Worker, DATABASE)),
        ("DATABASE_MIGRATE_URL", engines.postgres.login(Login::Migrate, DATABASE)),
        ("DATABASE_ADMIN_URL", engines.postgres.superuser_url(DATABASE)),
        ("REDIS_URL", engines.redis.url()),
        ("KAFKA_SERVER", engines.kafka.bootstrap()),
    ])
}

/// Turns pairs into variables.
pub(super) fn variables<const N: usize>(pairs: [(&str, String); N]) -> Variables {
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Writes the file.
pub(super) fn write(layout: &Layout, all: &Variables) -> Result<()> {
    let mut text = String::from("# Written by `make up`, anew each time. Use: . .weir/env\n");
    for (name, value) in all {
        text.push_str(&format!("export {name}={}\n", quoted(value)));
    }
    files::write_private(&path(layout), &text)?;
    Ok(())
}

/// One value of the file as `make up` left it.
pub(super) fn read(dir: &Path, name: &str) -> Result<String> {
    let text = files::read(&dir.join("env"))?.unwrap_or_default();
    find(&text, name)
        .with_context(|| format!("{} does not name {name}: run `make up` first", dir.join("env").display()))
}

fn find(text: &str, name: &str) -> Option<String> {
    let prefix = format!("export {name}=");
    let value = text.lines().find_map(|line| line.strip_prefix(&prefix))?;
    Some(value.trim_matches('\'').replace("'\\''", "'"))
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_as_it_went_in() {
        let value = "a 'quoted' $value";
        let text = format!("export X=1\nexport NAME={}\n", quoted(value));
        assert_eq!(find(&text, "NAME").as_deref(), Some(value));
        assert_eq!(find(&text, "NAM"), None);
    }
}
