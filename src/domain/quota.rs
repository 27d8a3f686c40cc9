//! What an account may do. Invariant: the effective quota is a pure function of the defaults, what is stored for the account and
//! the time, so every instance that holds the same version decides alike.

use super::outcome::Policy;
use super::time::Timestamp;

/// What happens when a policy is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// What is over is refused.
    Enforce,
    /// What is over is counted and let through.
    Shadow,
    /// The policy is not looked at.
    Off,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Enforce, Self::Shadow, Self::Off];

    /// The name on the wire and in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }

    /// The mode of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

/// One limit: how much in the policy's window, and what happens above it. A limit of 0 blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Most units in a window.
    pub limit: i64,
    /// What happens above it.
    pub mode: Mode,
}

impl Limit {
    /// A limit that refuses.
    pub fn enforced(limit: i64) -> Self {
        Self { limit, mode: Mode::Enforce }
    }
}

/// Largest limit: far above any use and small enough for exact arithmetic in Redis' Lua (53 bits, sums included).
pub const MAX_LIMIT: i64 = 1_000_000_000_000;

/// Longest bank.
pub const MAX_BANK_MINUTES: i64 = 1_440;

/// Heaviest weight.
pub const MAX_WEIGHT: i64 = 1_000;

/// Everything an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Events in 60 seconds.
    pub sustained: Limit,
    /// Events in one second.
    pub burst: Limit,
    /// Body bytes in 60 seconds.
    pub bytes: Limit,
    /// Requests in flight on one instance.
    pub concurrent: Limit,
    /// Events in a calendar month (UTC).
    pub monthly: Option<Limit>,
    /// Minutes of unused `sustained` allowance that may be saved up.
    pub bank_minutes: i64,
    /// Share among accounts when something runs short.
    pub weight: i64,
}

/// The parts of a quota that differ from what lies below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuotaPatch {
    /// Replaces `sustained`.
    pub sustained: Option<Limit>,
    /// Replaces `burst`.
    pub burst: Option<Limit>,
    /// Replaces `bytes`.
    pub bytes: Option<Limit>,
    /// Replaces `concurrent`.
    pub concurrent: Option<Limit>,
    /// Replaces `monthly`.
    pub monthly: Option<Limit>,
    /// Replaces `bank_minutes`.
    pub bank_minutes: Option<i64>,
    /// Replaces `weight`.
    pub weight: Option<i64>,
}

/// A change with a start, an end and a reason; it expires by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaOverride {
    /// Names it in the API.
    pub id: i64,
    /// What differs while it is active.
    pub patch: QuotaPatch,
    /// First instant it counts.
    pub starts_at: Timestamp,
    /// First instant it no longer counts.
    pub ends_at: Timestamp,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
}

/// What is stored for one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredQuota {
    /// What differs from the defaults.
    pub patch: QuotaPatch,
    /// In the order they were made; a later one wins.
    pub overrides: Vec<QuotaOverride>,
    /// Grows with every write, overrides included.
    pub version: i64,
}

/// Why a patch cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// A limit outside 0 to [`MAX_LIMIT`].
    #[error("{}: a limit must be 0 to {MAX_LIMIT}", .0.name())]
    Limit(Policy),
    /// A bank outside 0 to [`MAX_BANK_MINUTES`].
    #[error("bank_minutes must be 0 to {MAX_BANK_MINUTES}")]
    Bank,
    /// A weight outside 1 to [`MAX_WEIGHT`].
    #[error("weight must be 1 to {MAX_WEIGHT}")]
    Weight,
}

impl QuotaPatch {
    /// The patch, when every value is in its range.
    ///
    /// # Errors
    /// [`QuotaError`] names the first value that is not.
    pub fn checked(self) -> Result<Self, QuotaError> {
        let limits = [
            (Policy::Sustained, self.sustained),
            (Policy::Burst, self.burst),
            (Policy::Bytes, self.bytes),
            (Policy::Concurrent, self.concurrent),
            (Policy::Monthly, self.monthly),
        ];
        for (policy, limit) in limits {
            if limit.is_some_and(|limit| !(0..=MAX_LIMIT).contains(&limit.limit)) {
                return Err(QuotaError::Limit(policy));
            }
        }
        if self.bank_minutes.is_some_and(|minutes| !(0..=MAX_BANK_MINUTES).contains(&minutes)) {
            return Err(QuotaError::Bank);
        }
        if self.weight.is_some_and(|weight| !(1..=MAX_WEIGHT).contains(&weight)) {
            return Err(QuotaError::Weight);
        }
        Ok(self)
    }

    /// `below` with this patch laid over it.
    pub fn over(&self, below: Quota) -> Quota {
        Quota {
            sustained: self.sustained.unwrap_or(below.sustained),
            burst: self.burst.unwrap_or(below.burst),
            bytes: self.bytes.unwrap_or(below.bytes),
            concurrent: self.concurrent.unwrap_or(below.concurrent),
            monthly: self.monthly.or(below.monthly),
            bank_minutes: self.bank_minutes.unwrap_or(below.bank_minutes),
            weight: self.weight.unwrap_or(below.weight),
        }
    }
}

impl QuotaOverride {
    /// Whether it counts at `now`.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.starts_at <= now && now < self.ends_at
    }
}

impl StoredQuota {
    /// The quota that holds at `now`: default ⊕ stored ⊕ active overrides.
    pub fn effective(&self, default: Quota, now: Timestamp) -> Quota {
        let active = self.overrides.iter().filter(|change| change.is_active(now));
        active.fold(self.patch.over(default), |below, change| change.patch.over(below))
    }

    /// Entity tag of the stored state (RFC 9110 §8.8.3), for If-Match.
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }
}

impl Quota {
    /// The limit of a policy, when the quota has one.
    pub fn limit_of(&self, policy: Policy) -> Option<Limit> {
        match policy {
            Policy::Sustained => Some(self.sustained),
            Policy::Burst => Some(self.burst),
            Policy::Bytes => Some(self.bytes),
            Policy::Concurrent => Some(self.concurrent),
            Policy::Monthly => self.monthly,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Quota = Quota {
        sustained: Limit { limit: 60_000, mode: Mode::Enforce },
        burst: Limit { limit: 4_000, mode: Mode::Enforce },
        bytes: Limit { limit: 50 << 20, mode: Mode::Enforce },
        concurrent: Limit { limit: 64, mode: Mode::Enforce },
        monthly: None,
        bank_minutes: 0,
        weight: 1,
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).expect("in range")
    }

    fn change(id: i64, burst: i64, from: i64, to: i64) -> QuotaOverride {
        let patch = QuotaPatch { burst: Some(Limit::enforced(burst)), ..QuotaPatch::default() };
        let (reason, actor) = ("launch".into(), "op".into());
        QuotaOverride { id, patch, starts_at: at(from), ends_at: at(to), reason, actor }
    }

    #[test]
    fn overrides_lie_over_the_stored_quota_while_they_are_active() {
        let patch =
            QuotaPatch { burst: Some(Limit::enforced(10)), monthly: Some(Limit::enforced(9)), ..QuotaPatch::default() };
        let stored =
            StoredQuota { patch, overrides: vec![change(1, 20, 100, 200), change(2, 30, 150, 160)], version: 7 };
        let burst = |now| stored.effective(DEFAULT, at(now)).burst.limit;
        assert_eq!([burst(99), burst(100), burst(150), burst(160), burst(200)], [10, 20, 30, 20, 10]);
        let effective = stored.effective(DEFAULT, at(0));
        assert_eq!((effective.sustained, effective.monthly), (DEFAULT.sustained, Some(Limit::enforced(9))));
        assert_eq!(stored.etag(), "\"7\"");
    }

    #[test]
    fn values_out_of_range_are_named() {
        let patch = QuotaPatch { bytes: Some(Limit::enforced(-1)), ..QuotaPatch::default() };
        assert_eq!(patch.checked(), Err(QuotaError::Limit(Policy::Bytes)));
        assert_eq!(QuotaPatch { weight: Some(0), ..QuotaPatch::default() }.checked(), Err(QuotaError::Weight));
        assert!(QuotaPatch { sustained: Some(Limit::enforced(0)), ..QuotaPatch::default() }.checked().is_ok());
    }
}
