//! What people know about a bad time. Invariant: it ends after it began, and its texts are short enough to be read.

use super::time::Timestamp;

/// Longest title.
pub const MAX_TITLE: usize = 120;

/// Longest of the other texts.
pub const MAX_TEXT: usize = 2_000;

/// Most accounts one incident names.
pub const MAX_ACCOUNTS: usize = 100;

/// One incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// A UUIDv7.
    pub incident_id: String,
    /// What happened, in a few words.
    pub title: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None` while it lasts.
    pub ended_at: Option<Timestamp>,
    /// What callers saw.
    pub impact: String,
    /// Why, once that is known.
    pub root_cause: Option<String>,
    /// What was done, and what keeps it from happening again.
    pub mended_by: Option<String>,
    /// Whom it concerned; nobody named means everybody.
    pub accounts: Vec<String>,
    /// Whether the status page shows it.
    pub public: bool,
    /// Grows with every change.
    pub version: i64,
}

impl Incident {
    /// Why it cannot be kept; `None` when it can.
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        let blank = |text: &str| text.trim().is_empty();
        let long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.chars().count() > MAX_TEXT);
        if blank(&self.title) || self.title.chars().count() > MAX_TITLE {
            return Some(("/title", "must have 1 to 120 characters"));
        }
        if blank(&self.impact) || self.impact.chars().count() > MAX_TEXT {
            return Some(("/impact", "must have 1 to 2000 characters"));
        }
        if long(&self.root_cause) {
            return Some(("/root_cause", "must have at most 2000 characters"));
        }
        if long(&self.mended_by) {
            return Some(("/mended_by", "must have at most 2000 characters"));
        }
        if self.accounts.len() > MAX_ACCOUNTS {
            return Some(("/accounts", "may name at most 100 accounts"));
        }
        self.ended_at.is_some_and(|end| end < self.started_at).then_some(("/ended_at", "must not be before started_at"))
    }

    /// Whether it touches the time from `from` until before `to`, in Unix seconds.
    pub fn touches(&self, from: i64, to: i64) -> bool {
        self.started_at.unix_seconds() < to && self.ended_at.is_none_or(|end| end.unix_seconds() >= from)
    }

    /// Whether it concerned the account.
    pub fn concerns(&self, account: &str) -> bool {
        self.accounts.is_empty() || self.accounts.iter().any(|named| named == account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident() -> Incident {
        let at = |seconds| Timestamp::from_unix_seconds(seconds).expect("time");
        Incident {
            incident_id: "i".into(),
            title: "Brokers lost power".into(),
            started_at: at(100),
            ended_at: Some(at(200)),
            impact: "Events were refused.".into(),
            root_cause: None,
            mended_by: None,
            accounts: vec!["a".into()],
            public: true,
            version: 1,
        }
    }

    #[test]
    fn what_cannot_be_kept_says_why() {
        assert_eq!(incident().fault(), None);
        let early = Incident { ended_at: Timestamp::from_unix_seconds(99).ok(), ..incident() };
        assert_eq!(early.fault().map(|(place, _)| place), Some("/ended_at"));
        assert_eq!(Incident { title: " ".into(), ..incident() }.fault().map(|(place, _)| place), Some("/title"));
    }

    #[test]
    fn touches_its_own_time_and_concerns_whom_it_names() {
        let one = incident();
        assert!(one.touches(200, 300) && one.touches(0, 101) && !one.touches(201, 300) && !one.touches(0, 100));
        assert!(Incident { ended_at: None, ..incident() }.touches(1_000, 1_001));
        assert!(one.concerns("a") && !one.concerns("b") && Incident { accounts: vec![], ..one }.concerns("b"));
    }
}
