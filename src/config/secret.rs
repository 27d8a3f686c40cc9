//! Texts that must not be printed. Invariant: neither `Debug` nor `Display` ever shows the content.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A password, key or connection string.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The content, for the library that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The secret given directly, else the content of the file (last newline cut), else nothing.
    ///
    /// # Errors
    /// A sentence that names the variable, when the file cannot be read or both are given.
    pub fn resolve(name: &str, direct: Option<&Self>, file: Option<&Path>) -> Result<Option<Self>, String> {
        match (direct, file) {
            (Some(_), Some(_)) => Err(format!("{name} and {name}_FILE are both set; keep one")),
            (Some(secret), None) => Ok(Some(secret.clone())),
            (None, None) => Ok(None),
            (None, Some(path)) => std::fs::read_to_string(path)
                .map(|text| Some(Self(text.trim_end_matches(['\r', '\n']).to_owned())))
                .map_err(|error| format!("{name}_FILE: {}: {error}", path.display())),
        }
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_prints_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[redacted]");
    }

    #[test]
    fn direct_and_file_together_are_a_mistake() {
        let error = Secret::resolve("X", Some(&Secret::new("a")), Some(Path::new("/dev/null"))).expect_err("both");
        assert_eq!(error, "X and X_FILE are both set; keep one");
    }
}
