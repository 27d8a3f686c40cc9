//! What an account used, and what a quota would have made of it. Invariant: at most one trial runs on an instance, off the threads that
//! answer.

use std::sync::Arc;

use super::trial::{Trial, replay};
use super::{OperatorError, QuotaDesk};
use crate::domain::id::AccountId;
use crate::domain::quota::{Quota, QuotaPatch};
use crate::domain::ring::{Span, month_span};
use crate::domain::time::{SECOND, Timestamp};
use crate::domain::usage::{Minute, Seconds, Use};

/// Most minutes of one answer: a day.
pub const MAX_MINUTES: u16 = 1_440;

/// How far back seconds are kept.
const HOUR: i64 = 3_600;

const DAY: i64 = 86_400;

/// A trial and what it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The quota that was tried: the proposal laid over the defaults.
    pub quota: Quota,
    /// First second that was looked at, in Unix seconds.
    pub from: i64,
    /// First second that was not.
    pub to: i64,
    /// What would have become of the events.
    pub trial: Trial,
}

impl QuotaDesk {
    /// Minutes of an account from `from` until before `to` (Unix seconds), the oldest first, and where the next page begins.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn minutes(
        &self,
        account: &AccountId,
        range: (i64, i64),
        limit: u16,
    ) -> Result<(Vec<Minute>, Option<i64>), OperatorError> {
        let limit = usize::from(limit.clamp(1, MAX_MINUTES));
        let most = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut minutes = self.store.usage(account, range, most).await?;
        let next = minutes.get(limit).map(|minute| minute.at);
        minutes.truncate(limit);
        Ok((minutes, next))
    }

    /// Seconds of an account's last hour in which it used something, by Unix second; `None` while Redis is away.
    pub async fn seconds(&self, account: &AccountId, (from, to): (i64, i64), now: i64) -> Option<Vec<(i64, Use)>> {
        let (from, to) = (from.max(now - HOUR), to.min(now + 1));
        let first = from.div_euclid(60) * 60;
        let minutes: Vec<_> = (first..to).step_by(60).map(|minute| (minute, account.clone())).collect();
        let found: Vec<Seconds> = self.cache.usage_of(&minutes).await?;
        let seconds = minutes.iter().zip(found).flat_map(|((minute, _), seconds)| {
            let at = *minute;
            seconds.into_iter().map(move |(second, used)| (at + i64::from(second), used))
        });
        Some(seconds.filter(|(at, _)| (from..to).contains(at)).collect())
    }

    /// Replays a proposed quota over the last `days`.
    ///
    /// # Errors
    /// [`OperatorError`]; `None` while another trial runs.
    pub async fn try_quota(
        &self,
        account: &AccountId,
        proposal: &QuotaPatch,
        days: u16,
        now: Timestamp,
    ) -> Result<Option<Tried>, OperatorError> {
        let Ok(turn) = Arc::clone(&self.trials).try_acquire_owned() else { return Ok(None) };
        let to = now.unix_seconds() + 1;
        let from = (to - i64::from(days) * DAY).max(0).div_euclid(60) * 60;
        let minutes = self.store.usage(account, (from, to), i64::from(days) * DAY / 60 + 2).await?;
        let quota = proposal.over(self.quotas.default_quota());
        let first = minutes.first().map_or(from, |minute| minute.at);
        let begin = Timestamp::from_unix_seconds(first).unwrap_or(now);
        let month = match month_span(begin) {
            Span::Calendar { start, .. } => self.store.accepted(account, (start / SECOND, first)).await?,
            Span::Sliding { .. } => 0,
        };
        let account = account.clone();
        let trial = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            replay(&account, quota, &minutes, month)
        });
        // A panic is a mistake of ours and has been logged.
        let trial = trial.await.unwrap_or_default();
        Ok(Some(Tried { quota, from, to, trial }))
    }
}
