//! Identifiers that cross the door. Invariant: a value of these types satisfies its rule; nobody re-checks.

use std::fmt;
use std::sync::Arc;

/// Longest account or event id, in bytes (ids are ASCII).
pub const MAX_ID_LEN: usize = 128;

/// Why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// The text is longer than [`MAX_ID_LEN`].
    #[error("must be at most {MAX_ID_LEN} characters")]
    TooLong,
    /// A character outside visible ASCII (0x21 to 0x7E).
    #[error("must be visible ASCII without spaces")]
    Charset,
}

fn visible_ascii(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > MAX_ID_LEN {
        return Err(IdError::TooLong);
    }
    // Without leaving early: so short a text is looked at many bytes at a time.
    if !text.bytes().fold(true, |sound, byte| sound & byte.is_ascii_graphic()) {
        return Err(IdError::Charset);
    }
    Ok(())
}

/// A tenant: 1 to 128 visible ASCII characters, compared byte for byte, so that no Unicode or case variant is the same account.
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(Arc<str>);

/// An event's identity within its account: 1 to 128 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Box<str>);

impl EventId {
    /// A fresh time-ordered id (UUIDv7, RFC 9562), for events that came without one.
    pub fn generated(id: uuid::Uuid) -> Self {
        Self(id.hyphenated().to_string().into_boxed_str())
    }
}

macro_rules! id {
    ($name:ident) => {
        impl $name {
            /// Checks the text and takes it.
            ///
            /// # Errors
            /// [`IdError`] names the rule that is broken.
            pub fn new(text: &str) -> Result<Self, IdError> {
                visible_ascii(text)?;
                Ok(Self(text.into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
    };
}

id!(AccountId);
id!(EventId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_take_1_to_128_visible_ascii() {
        assert!(AccountId::new("a").is_ok());
        assert!(EventId::new(&"x".repeat(128)).is_ok());
        assert!(AccountId::new("50%'off:{x}").is_ok());
        assert_eq!(EventId::new(""), Err(IdError::Empty));
        assert_eq!(EventId::new(&"x".repeat(129)), Err(IdError::TooLong));
        for bad in ["a b", "a\n", "\u{7f}", "ключ", "a\u{0}"] {
            assert_eq!(AccountId::new(bad), Err(IdError::Charset), "{bad:?}");
        }
    }

    #[test]
    fn generated_ids_are_valid_and_ordered_by_time() {
        let early = EventId::generated(uuid::Uuid::new_v7(uuid::Timestamp::from_unix_time(1, 0, 0, 0)));
        let late = EventId::generated(uuid::Uuid::new_v7(uuid::Timestamp::from_unix_time(2, 0, 0, 0)));
        assert!(EventId::new(early.as_str()).is_ok());
        assert!(early < late);
    }
}
