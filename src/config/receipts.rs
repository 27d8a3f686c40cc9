//! Receipts: the secret that seals them. Invariant: whoever does not hold it cannot make a receipt nor change one.
//!
//! `WEIR_RECEIPT_KEY` (or `_FILE`): the same in every API process. Without it each process makes up its own at its start:
//! receipts then open in that process only, and the log says so. It is not derived from another secret, because receipts go to
//! tenants, who could try guesses of that secret against them.

use std::path::PathBuf;

use super::secret::Secret;

/// Shortest secret that is taken.
const MIN_BYTES: usize = 16;

/// The secret of receipts.
#[derive(Debug, Clone, clap::Args)]
pub struct ReceiptConfig {
    /// Secret that seals receipts, at least 16 bytes, the same in every API process
    #[arg(long, env = "WEIR_RECEIPT_KEY", value_name = "SECRET", hide_env_values = true)]
    pub receipt_key: Option<Secret>,
    /// File that holds WEIR_RECEIPT_KEY
    #[arg(long, env = "WEIR_RECEIPT_KEY_FILE", value_name = "PATH")]
    pub receipt_key_file: Option<PathBuf>,
}

impl ReceiptConfig {
    pub(super) fn resolve(&mut self, mistakes: &mut Vec<String>) {
        match Secret::resolve("WEIR_RECEIPT_KEY", self.receipt_key.as_ref(), self.receipt_key_file.take().as_deref()) {
            Ok(secret) => self.receipt_key = secret,
            Err(mistake) => mistakes.push(mistake),
        }
        if self.receipt_key.as_ref().is_some_and(|key| key.expose().len() < MIN_BYTES) {
            mistakes.push(format!("WEIR_RECEIPT_KEY must have at least {MIN_BYTES} bytes"));
        }
    }
}
