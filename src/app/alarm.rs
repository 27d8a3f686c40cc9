//! Parts that must not end by themselves. Invariant: such a part that returns, fails or panics before it was asked to stop is
//! known to [`Alarm::raised`], so that the process is started again from outside instead of living on half.

use std::sync::Arc;

use tokio::sync::watch;

/// Who ended, once somebody has.
#[derive(Clone)]
pub(super) struct Alarm {
    reason: Arc<watch::Sender<Option<&'static str>>>,
}

impl Alarm {
    pub(super) fn new() -> Self {
        Self { reason: Arc::new(watch::Sender::new(None)) }
    }

    /// A guard to be held by the part as long as it lives.
    pub(super) fn guard(&self, part: &'static str) -> Guard {
        Guard { alarm: self.clone(), part, expected: false }
    }

    /// Waits until a part has ended by itself.
    pub(super) async fn raised(&self) -> String {
        let mut reason = self.reason.subscribe();
        match reason.wait_for(Option::is_some).await {
            Ok(part) => format!("{} ended by itself", part.unwrap_or("a part")),
            // Unreachable while `self` holds the sender.
            Err(_) => std::future::pending().await,
        }
    }
}

pub(super) struct Guard {
    alarm: Alarm,
    part: &'static str,
    expected: bool,
}

impl Guard {
    /// The part ended because it was asked to.
    pub(super) fn ended_as_asked(&mut self) {
        self.expected = true;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.expected {
            self.alarm.reason.send_replace(Some(self.part));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_raises_the_alarm() {
        let alarm = Alarm::new();
        let mut quiet = alarm.guard("quiet");
        quiet.ended_as_asked();
        drop(quiet);
        let guard = alarm.guard("the worker");
        let ended = tokio::task::JoinSet::from_iter([async move {
            let _held = guard;
            panic!("a bug");
        }])
        .join_next()
        .await;
        assert!(ended.is_some_and(|ended| ended.is_err()));
        assert_eq!(alarm.raised().await, "the worker ended by itself");
    }
}
