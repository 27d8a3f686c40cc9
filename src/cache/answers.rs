//! Answers kept under a client's Idempotency-Key. Invariant: of several that come with one key at a time at most one is told it is
//! first; with Redis away every one is told nobody knows, and goes on.

use std::time::Duration;

use redis::Cmd;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Cache;

/// What stands under a key.
#[derive(Debug, Serialize, Deserialize)]
enum Kept<T> {
    /// The first request still runs.
    Running,
    /// How it was answered.
    Answered(T),
}

/// What is known of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim<T> {
    /// Nothing: the key is now the caller's, who ends it with [`Cache::keep_answer`] or [`Cache::give_up`].
    First,
    /// Another request with it is running.
    Running,
    /// One has ended.
    Answered(T),
    /// Redis is away.
    Unknown,
}

impl Cache {
    /// Claims a key for at most `ttl`, unless it is known.
    pub async fn claim<T: DeserializeOwned + Serialize>(&self, key: &str, ttl: Duration) -> Claim<T> {
        let Ok(running) = serde_json::to_vec(&Kept::<T>::Running) else { return Claim::Unknown };
        let mut command = Cmd::new();
        command.arg("SET").arg(key).arg(running).arg("NX").arg("GET").arg("PX").arg(millis(ttl));
        let Some(found) = self.spare::<Option<Vec<u8>>>(command).await else { return Claim::Unknown };
        match found.map(|bytes| serde_json::from_slice(&bytes)) {
            None => Claim::First,
            Some(Ok(Kept::Running)) => Claim::Running,
            Some(Ok(Kept::Answered(answer))) => Claim::Answered(answer),
            // Of another version of this program: nobody can tell what it said.
            Some(Err(_)) => Claim::Unknown,
        }
    }

    /// Keeps the answer to the request that claimed the key.
    pub async fn keep_answer<T: Serialize>(&self, key: &str, answer: &T, ttl: Duration) {
        let Ok(answered) = serde_json::to_vec(&Kept::Answered(answer)) else { return };
        let mut command = Cmd::new();
        command.arg("SET").arg(key).arg(answered).arg("PX").arg(millis(ttl));
        // Nothing to give back: the failure is counted in `spare`, and the claim ends by itself.
        let _kept: Option<()> = self.spare(command).await;
    }

    /// Frees a claimed key: the next request with it is the first again.
    pub async fn give_up(&self, key: &str) {
        let _freed: Option<()> = self.spare(Cmd::del(key)).await;
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
