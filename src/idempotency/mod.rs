//! Requests that carry an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07), in front of what they ask for. Invariant:
//! a key is answered twice with the same words or with a refusal, never with another answer; and nothing is refused because
//! Redis is away: the ids of events protect them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache::{Cache, Claim};
use crate::domain::id::AccountId;

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest answer that is kept: one of a large batch, not of the largest.
const MAX_ANSWER: usize = 1 << 20;

/// Most characters of a key.
const MAX_KEY: usize = 255;

/// Answers by key.
#[derive(Clone)]
pub struct Repeats {
    cache: Cache,
    /// Longer than a request may run, so that a claim never ends before its request.
    claim: Duration,
}

/// An answer as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Media type of the body.
    pub content_type: String,
    /// The body.
    pub body: String,
}

/// An answer and the request it was given to.
#[derive(Debug, Serialize, Deserialize)]
struct Past {
    fingerprint: String,
    reply: Reply,
}

/// What a key means for the request that carries it.
pub enum Turn {
    /// Go on; tell the answer to this.
    First(Claimed),
    /// Go on; nobody knows.
    Unknown,
    /// The first request with it still runs.
    Running,
    /// It has been answered.
    Answered(Answered),
}

/// A key that belongs to the running request.
pub struct Claimed {
    repeats: Repeats,
    key: String,
}

/// What was answered under a key.
pub struct Answered(Past);

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 255 visible characters of ASCII, quoted or bare")]
pub struct KeyError;

impl Repeats {
    /// `request` is the longest a request may run.
    pub fn new(cache: Cache, request: Duration) -> Self {
        Self { cache, claim: request + Duration::from_secs(5) }
    }

    /// Looks a key up, and claims it when it is new. Keys are those of the account and the operation.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn turn(&self, account: &AccountId, operation: &str, header: &str) -> Result<Turn, KeyError> {
        let key = self.cache.key(account, &format!("idem:{operation}:{}", bare(header)?));
        Ok(match self.cache.claim::<Past>(&key, self.claim).await {
            Claim::First => Turn::First(Claimed { repeats: self.clone(), key }),
            Claim::Running => Turn::Running,
            Claim::Answered(past) => Turn::Answered(Answered(past)),
            Claim::Unknown => Turn::Unknown,
        })
    }
}

impl Claimed {
    /// Keeps the answer, if it is one that a repeat should get too: finished, and neither a mistake of ours nor a matter of time.
    pub async fn answered(self, fingerprint: String, reply: Reply) {
        let lasting = matches!(reply.status, 200..=299 | 400..=499) && !matches!(reply.status, 408 | 429);
        if lasting && reply.body.len() <= MAX_ANSWER {
            let past = Past { fingerprint, reply };
            self.repeats.cache.keep_answer(&self.key, &past, KEPT).await;
        } else {
            self.given_up().await;
        }
    }

    /// Frees the key: what was answered is no answer for others.
    pub async fn given_up(self) {
        self.repeats.cache.give_up(&self.key).await;
    }
}

impl Answered {
    /// The answer, when the request is the same; `None` when its fingerprint differs.
    pub fn to(self, fingerprint: &str) -> Option<Reply> {
        (self.0.fingerprint == fingerprint).then_some(self.0.reply)
    }
}

/// The key without its quotes.
fn bare(header: &str) -> Result<&str, KeyError> {
    let text = header.trim();
    let key = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').filter(|key| !key.contains(['"', '\\'])).ok_or(KeyError)?,
        None => text,
    };
    let sound = (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if sound { Ok(key) } else { Err(KeyError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_quoted_or_bare() {
        assert_eq!(bare("\"8e03978e-40d5\""), Ok("8e03978e-40d5"));
        assert_eq!(bare(" 8e03978e-40d5 "), Ok("8e03978e-40d5"));
        for bad in ["", "\"\"", "\"a", "\"a\"b\"", "a b", "é", &"x".repeat(256)] {
            assert_eq!(bare(bad), Err(KeyError), "{bad}");
        }
    }
}
