//! Waiting. Invariant: every wait of this crate ends, by success or at its deadline.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Asks again and again until there is an answer; `None` when the deadline passed first. Asks at least once.
pub fn poll<T>(deadline: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_until_answered() {
        let mut calls = 0;
        let answer = poll(Duration::from_secs(5), || {
            calls += 1;
            (calls == 3).then_some("yes")
        });
        assert_eq!(answer, Some("yes"));
    }

    #[test]
    fn gives_up_at_the_deadline() {
        assert_eq!(poll(Duration::from_millis(5), || None::<()>), None);
    }
}
