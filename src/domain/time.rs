//! Points in time on the path. Invariant: always UTC, always microseconds, always inside the years 1970 to 9998, so every
//! value fits RFC 3339 and a Postgres `timestamptz`.

use std::fmt;

use chrono::{DateTime, Datelike, Timelike, Utc};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// First microsecond that is not a [`Timestamp`]: 9999-01-01T00:00:00Z.
const END: i64 = 253_370_764_800_000_000;

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;

/// Why a text or number is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Neither Unix seconds nor RFC 3339.
    #[error("must be Unix seconds or an RFC 3339 time")]
    Malformed,
    /// Before 1970 or after 9998.
    #[error("must lie between the years 1970 and 9998")]
    OutOfRange,
}

impl Timestamp {
    /// The last representable microsecond.
    pub const MAX: Self = Self(END - 1);

    /// Takes microseconds since the epoch.
    ///
    /// # Errors
    /// [`TimeError::OutOfRange`] before 1970 or after 9998.
    pub fn from_micros(micros: i64) -> Result<Self, TimeError> {
        if (0..END).contains(&micros) { Ok(Self(micros)) } else { Err(TimeError::OutOfRange) }
    }

    /// The first one.
    pub const EPOCH: Self = Self(0);

    /// Takes Unix seconds.
    ///
    /// # Errors
    /// [`TimeError::OutOfRange`] before 1970 or after 9998.
    pub fn from_unix_seconds(seconds: i64) -> Result<Self, TimeError> {
        seconds.checked_mul(SECOND).ok_or(TimeError::OutOfRange).and_then(Self::from_micros)
    }

    /// Parses RFC 3339 with any offset; fractions below a microsecond are cut.
    ///
    /// # Errors
    /// [`TimeError`] tells a malformed text from a year out of range.
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimeError> {
        let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| TimeError::Malformed)?;
        Self::from_micros(parsed.timestamp_micros())
    }

    /// Parses what queries and headers carry: Unix seconds in digits, or RFC 3339.
    ///
    /// # Errors
    /// [`TimeError`] tells a malformed text from a year out of range.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        match text.parse::<i64>() {
            Ok(seconds) => Self::from_unix_seconds(seconds),
            Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => Err(TimeError::OutOfRange),
            Err(_) => Self::parse_rfc3339(text),
        }
    }

    /// Reads the wall clock; for the edges of the path only, inner code takes `now` as an argument.
    #[allow(clippy::disallowed_methods, reason = "the one place where the wall clock becomes a Timestamp")]
    pub fn now() -> Self {
        Self(Utc::now().timestamp_micros().clamp(0, END - 1))
    }

    /// Microseconds since the epoch.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Whole Unix seconds, rounded down.
    pub fn unix_seconds(self) -> i64 {
        self.0 / SECOND
    }

    /// This time moved by `micros`, kept inside the representable range.
    #[must_use]
    pub fn saturating_add_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros).clamp(0, END - 1))
    }

    /// `self - earlier` in microseconds; negative when `earlier` is later.
    pub fn micros_since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// The same instant as a chrono value, for SQL.
    pub fn to_chrono(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(value: DateTime<Utc>) -> Self {
        Self(value.timestamp_micros().clamp(0, END - 1))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with as many fractional digits (0, 3 or 6) as are needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (time, micros) = (self.to_chrono(), self.0 % SECOND);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        put(&mut text[..4], time.year().unsigned_abs());
        for (at, part) in
            [(5, time.month()), (8, time.day()), (11, time.hour()), (14, time.minute()), (17, time.second())]
        {
            put(&mut text[at..at + 2], part);
        }
        put(&mut text[20..26], micros.unsigned_abs() as u32);
        let end = match micros {
            0 => 19,
            _ if micros % 1_000 == 0 => 23,
            _ => 26,
        };
        text[end] = b'Z';
        f.write_str(std::str::from_utf8(&text[..=end]).map_err(|_| fmt::Error)?)
    }
}

/// The last digits of a number, as many as there is room for. Chrono's own formatting took 3 % of a batch's processor time.
fn put(room: &mut [u8], mut number: u32) {
    for digit in room.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;

    use super::*;

    #[test]
    fn reads_unix_seconds_and_rfc3339_as_the_same_instant() {
        let seconds = Timestamp::parse("1700000000").expect("seconds");
        let text = Timestamp::parse("2023-11-14T23:13:20+01:00").expect("rfc3339");
        assert_eq!(seconds, text);
        assert_eq!(text.to_string(), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn is_written_as_chrono_would() {
        let mut micros = 7_i64;
        while micros < END {
            for fraction in [0, 5_000, 120_000, 1, 999_999] {
                let time = Timestamp(micros / SECOND * SECOND + fraction);
                assert_eq!(time.to_string(), time.to_chrono().to_rfc3339_opts(SecondsFormat::AutoSi, true));
            }
            micros = micros.saturating_mul(3) / 2 + 86_399 * SECOND;
        }
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::MAX.to_string(), Timestamp::MAX.to_chrono().to_rfc3339_opts(SecondsFormat::AutoSi, true));
    }

    #[test]
    fn keeps_microseconds() {
        let time = Timestamp::parse_rfc3339("2023-11-14T22:13:20.123456789Z").expect("rfc3339");
        assert_eq!(time.micros(), 1_700_000_000_123_456);
        assert_eq!(time.to_string(), "2023-11-14T22:13:20.123456Z");
    }

    #[test]
    fn refuses_what_is_not_a_time() {
        assert_eq!(Timestamp::parse("yesterday"), Err(TimeError::Malformed));
        assert_eq!(Timestamp::parse(""), Err(TimeError::Malformed));
        assert_eq!(Timestamp::parse("-1"), Err(TimeError::OutOfRange));
        assert_eq!(Timestamp::parse("9999-01-01T00:00:00Z"), Err(TimeError::OutOfRange));
        assert_eq!(Timestamp::parse("99999999999999999999"), Err(TimeError::OutOfRange));
    }
}
