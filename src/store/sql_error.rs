//! From SQLSTATE to meaning. Invariant: an unknown state is transient, so that no event is ever set aside for a reason nobody
//! has thought about.

use std::time::Duration;

use sqlx::Error;

use super::error::{Cause, ReadError, WriteError};

/// SQLSTATE of a statement that ran into its timeout.
const QUERY_CANCELED: &str = "57014";

/// SQLSTATE of a row whose key is there already.
const UNIQUE_VIOLATION: &str = "23505";

/// SQLSTATE of the one that Postgres breaks off when two wait for each other.
const DEADLOCK: &str = "40P01";

/// The deadline of a call passed, the wait for a connection included.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} ms", .0.as_millis())]
pub(super) struct DeadlinePassed(pub(super) Duration);

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Moment,
    Data,
    Schema,
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        match fault(&error) {
            Fault::Moment => Self::Transient(error.into()),
            Fault::Data => Self::Data(error.into()),
            Fault::Schema => Self::Schema(error.into()),
        }
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        match fault(&error) {
            Fault::Moment => Self::Unavailable(error.into()),
            Fault::Data | Fault::Schema => Self::Broken(error.into()),
        }
    }
}

impl WriteError {
    /// Whether it took too long, by our clock or Postgres's: fewer events may then be in time.
    pub fn is_late(&self) -> bool {
        let Self::Transient(cause) = self else { return false };
        cause.is::<DeadlinePassed>() || self.sqlstate().as_deref() == Some(QUERY_CANCELED)
    }

    /// What Postgres calls its refusal, for dead letters: its words would show the event's content, its state does not.
    pub fn sqlstate(&self) -> Option<String> {
        let (Self::Transient(cause) | Self::Data(cause) | Self::Schema(cause)) = self;
        match cause.downcast_ref::<Error>()? {
            Error::Database(refusal) => refusal.code().map(|state| state.into_owned()),
            _ => None,
        }
    }
}

impl ReadError {
    /// Whether another database may know the answer: the one that was asked is away, not slow.
    pub(super) fn is_absence(&self) -> bool {
        let Self::Unavailable(cause) = self else { return false };
        match cause.downcast_ref::<Error>() {
            // 57014: the statement took too long; it would there, too.
            Some(Error::Database(refusal)) => refusal.code().is_none_or(|state| state != "57014"),
            Some(_) => true,
            None => false,
        }
    }
}

impl From<DeadlinePassed> for WriteError {
    fn from(passed: DeadlinePassed) -> Self {
        Self::Transient(Cause::from(passed))
    }
}

impl From<DeadlinePassed> for ReadError {
    fn from(passed: DeadlinePassed) -> Self {
        Self::Unavailable(Cause::from(passed))
    }
}

/// Whether a row was refused because its key is there already, or two writers waited for each other's keys.
pub(super) fn is_collision(error: &Error) -> bool {
    let Error::Database(refusal) = error else { return false };
    refusal.code().is_some_and(|state| state == UNIQUE_VIOLATION || state == DEADLOCK)
}

fn fault(error: &Error) -> Fault {
    match error {
        Error::Database(refusal) => match refusal.code() {
            Some(state) => of_state(&state, refusal.constraint().is_some()),
            None => Fault::Moment,
        },
        Error::Encode(_) => Fault::Data,
        Error::Decode(_)
        | Error::ColumnDecode { .. }
        | Error::ColumnNotFound(_)
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::TypeNotFound { .. } => Fault::Schema,
        _ => Fault::Moment,
    }
}

/// `named` tells whether Postgres named a constraint: a missing partition shares its state, 23514, with a broken CHECK, but
/// only the CHECK has a name.
fn of_state(state: &str, named: bool) -> Fault {
    match state {
        "23514" if !named => Fault::Schema,
        // Lost a race for a key that ON CONFLICT does not cover; the next try sees the row.
        UNIQUE_VIOLATION => Fault::Moment,
        _ => match state.get(..2) {
            // 54: one value is larger than Postgres can hold.
            Some("22" | "23" | "54") => Fault::Data,
            Some("42" | "3F" | "0A") => Fault::Schema,
            _ => Fault::Moment,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_told_from_schema_and_moment() {
        let cases = [
            ("22P02", false, Fault::Data),
            ("22021", false, Fault::Data),
            ("22003", false, Fault::Data),
            ("23502", false, Fault::Data),
            ("23514", true, Fault::Data),
            ("54000", false, Fault::Data),
            ("23514", false, Fault::Schema),
            ("42P01", false, Fault::Schema),
            ("42501", false, Fault::Schema),
            ("3F000", false, Fault::Schema),
            ("23505", true, Fault::Moment),
            ("40P01", false, Fault::Moment),
            ("40001", false, Fault::Moment),
            ("53100", false, Fault::Moment),
            ("57014", false, Fault::Moment),
            ("57P01", false, Fault::Moment),
            ("08006", false, Fault::Moment),
            ("25006", false, Fault::Moment),
            ("28P01", false, Fault::Moment),
            ("55P03", false, Fault::Moment),
            ("XX000", false, Fault::Moment),
            ("", false, Fault::Moment),
        ];
        for (state, named, expected) in cases {
            assert_eq!(of_state(state, named), expected, "{state}");
        }
    }

    #[test]
    fn only_time_that_ran_out_is_late() {
        assert!(WriteError::from(DeadlinePassed(Duration::ZERO)).is_late());
        assert!(!WriteError::from(Error::PoolTimedOut).is_late());
        assert!(!WriteError::Data("57014".into()).is_late());
    }

    #[test]
    fn a_broken_connection_is_the_moments_fault() {
        assert_eq!(fault(&Error::PoolTimedOut), Fault::Moment);
        assert_eq!(fault(&Error::Io(std::io::ErrorKind::ConnectionReset.into())), Fault::Moment);
        assert_eq!(fault(&Error::Encode("too long".into())), Fault::Data);
    }
}
