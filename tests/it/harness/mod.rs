//! What every test stands on: engines shared by the process, an app of its own, a client, and waiting on conditions.

mod app;
mod client;
mod engines;
mod pack;

use std::time::{Duration, Instant};

pub use app::{TestApp, free_port, operator_token, short_token, signing_key, token};
pub use client::{Answer, Client, send};
pub use pack::{CODINGS, pack};

/// How long a condition may take to come true before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until the answer is `Some`; the only place of the suite that waits for time to pass.
///
/// # Panics
/// When [`PATIENCE`] is over; `what` says what was waited for.
pub async fn eventually<T, F, Fut>(what: &str, mut ask: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited {PATIENCE:?} in vain for {what}");
}

/// Sends SIGTERM; by the shell's own `kill`, since a bare machine has no other.
pub fn terminate(child: &std::process::Child) {
    let sent = std::process::Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status();
    assert!(sent.expect("sh").success(), "the process is gone already");
}
