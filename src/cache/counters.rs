//! Live counters: events by minute and name. Invariant: a minute's hash holds at most [`MAX_NAMES`] names and dies after
//! [`TTL`], so what an account can make Redis hold is bounded; names beyond are counted under [`REST`].
//!
//! A minute counts whole only while the account's mark stands: who reads without it seeds all minutes from Postgres and sets
//! it. The mark dies after [`SEEDED_FOR`], so whatever was counted twice or not at all around a seed, an outage or an eviction
//! is right again that much later.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use redis::Pipeline;

use super::Cache;
use crate::domain::id::AccountId;

/// Most names of one minute.
pub const MAX_NAMES: usize = 1_000;

/// The name of all names beyond [`MAX_NAMES`]; no event has it.
pub const REST: &str = "";

/// How long a minute is kept.
const TTL: Duration = Duration::from_secs(2 * 3_600);

/// How long a seed is trusted.
const SEEDED_FOR: Duration = Duration::from_secs(120);

/// Adds to one minute.
///
/// KEYS: the minute. ARGV: milliseconds to live, most names, then name and number in turns. Reply: names held.
const ADD: &str = "
local held = redis.call('HLEN', KEYS[1])
for at = 3, #ARGV, 2 do
  local name = ARGV[at]
  if redis.call('HEXISTS', KEYS[1], name) == 0 then
    if held >= tonumber(ARGV[2]) then name = '' else held = held + 1 end
  end
  redis.call('HINCRBY', KEYS[1], name, ARGV[at + 1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return held";

/// Events by name.
pub type Names = BTreeMap<String, u64>;

/// Events of an account by minutes since the epoch and by name.
pub type Minutes = BTreeMap<i64, Names>;

impl Cache {
    /// Adds new events to the counters; a failure costs nothing but the next seed.
    pub async fn count(&self, additions: &BTreeMap<AccountId, Minutes>) {
        let mut pipe = Pipeline::new();
        for (account, minutes) in additions {
            for (minute, names) in minutes {
                let command = pipe.cmd("EVAL").arg(ADD).arg(1).arg(self.minute(account, *minute));
                command.arg(TTL.as_millis() as u64).arg(MAX_NAMES);
                for (name, events) in names {
                    command.arg(name).arg(*events);
                }
                command.ignore();
            }
        }
        // Nothing to give back either way: the failure is counted in `spare_all`.
        let _counted: Option<()> = self.spare_all(pipe).await;
    }

    /// The counters of those minutes, and whether they are whole; `None` when Redis is away.
    pub async fn counted(&self, account: &AccountId, minutes: Range<i64>) -> Option<(Minutes, bool)> {
        let mut pipe = Pipeline::new();
        pipe.exists(self.mark(account));
        for minute in minutes.clone() {
            pipe.hgetall(self.minute(account, minute));
        }
        let (seeded, hashes) = self.spare_all::<Vec<redis::Value>>(pipe).await.and_then(split)?;
        let found = minutes.zip(hashes).filter(|(_, names)| !names.is_empty()).collect();
        Some((found, seeded))
    }

    /// Replaces the counters of those minutes by what Postgres counted, and marks them as whole.
    pub async fn seed(&self, account: &AccountId, minutes: Range<i64>, counted: &Minutes) {
        let mut pipe = Pipeline::new();
        pipe.atomic();
        for minute in minutes {
            let key = self.minute(account, minute);
            pipe.del(&key).ignore();
            let Some(names) = counted.get(&minute) else { continue };
            let (kept, beyond) = names.iter().enumerate().partition::<Vec<_>, _>(|(at, _)| *at < MAX_NAMES);
            let mut fields: Vec<(&str, u64)> = kept.into_iter().map(|(_, (name, events))| (&**name, *events)).collect();
            let rest: u64 = beyond.into_iter().map(|(_, (_, events))| *events).sum();
            if rest > 0 {
                fields.push((REST, rest));
            }
            pipe.hset_multiple(&key, &fields).ignore();
            pipe.pexpire(&key, TTL.as_millis() as i64).ignore();
        }
        pipe.pset_ex(self.mark(account), 1, SEEDED_FOR.as_millis() as u64).ignore();
        // A failure costs the next reader a seed.
        let _seeded: Option<()> = self.spare_all(pipe).await;
    }

    fn minute(&self, account: &AccountId, minute: i64) -> String {
        self.key(account, &format!("minute:{minute}"))
    }

    fn mark(&self, account: &AccountId) -> String {
        self.key(account, "minutes-seeded")
    }
}

/// The mark and the hashes of a reply.
fn split(replies: Vec<redis::Value>) -> Option<(bool, Vec<Names>)> {
    let mut replies = replies.into_iter();
    let seeded = redis::from_redis_value(replies.next()?).ok()?;
    let hashes = replies.map(redis::from_redis_value).collect::<Result<_, _>>().ok()?;
    Some((seeded, hashes))
}
