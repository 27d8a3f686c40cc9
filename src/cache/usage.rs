//! Use of accounts by second, on its way to Postgres. Invariant: an instance tells a minute as a whole, so telling it again changes nothing;
//! a minute that was told is on the list of what has to be rolled up until whoever leads has done so.

use std::time::Duration;

use redis::{Cmd, Pipeline};

use super::Cache;
use crate::domain::id::AccountId;
use crate::domain::usage::{Seconds, read_into, write};

/// How long seconds are kept: the last hour is shown, and Postgres may be away for a while.
const TTL: Duration = Duration::from_secs(90 * 60);

/// Commands of one round trip.
const PIPELINE: usize = 256;

/// Takes the lead or keeps it. KEYS: the lead. ARGV: who, milliseconds. Reply: 1 when it is theirs.
const LEAD: &str = "
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1";

/// Puts what was told since the last time to what is being rolled up, and gives some of that. A leader that dies on the way leaves its
/// part to the next. KEYS: told, being rolled up. ARGV: most, milliseconds to live. Reply: members.
const TAKE: &str = "
redis.call('SUNIONSTORE', KEYS[2], KEYS[2], KEYS[1])
redis.call('DEL', KEYS[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return redis.call('SRANDMEMBER', KEYS[2], ARGV[1])";

/// A minute (Unix seconds of its beginning) of an account.
pub type MinuteOf = (i64, AccountId);

impl Cache {
    /// Tells minutes of this instance; whether all were.
    pub async fn tell_usage(&self, instance: &str, minutes: &[(MinuteOf, Seconds)]) -> bool {
        for chunk in minutes.chunks(PIPELINE) {
            let mut pipe = Pipeline::new();
            let mut told = Cmd::new();
            told.arg("SADD").arg(self.usage_key("told"));
            for ((minute, account), seconds) in chunk {
                let key = self.usage_minute(account, *minute);
                pipe.hset(&key, instance, write(seconds)).ignore();
                pipe.pexpire(&key, TTL.as_millis() as i64).ignore();
                told.arg(format!("{minute}:{account}"));
            }
            // Last: what is on the list can be read.
            pipe.add_command(told).ignore();
            pipe.pexpire(self.usage_key("told"), TTL.as_millis() as i64).ignore();
            if self.spare_all::<()>(pipe).await.is_none() {
                return false;
            }
        }
        true
    }

    /// The seconds of minutes, of all instances together; `None` when Redis is away.
    pub async fn usage_of(&self, minutes: &[MinuteOf]) -> Option<Vec<Seconds>> {
        let mut found = Vec::with_capacity(minutes.len());
        for chunk in minutes.chunks(PIPELINE) {
            let mut pipe = Pipeline::new();
            for (minute, account) in chunk {
                pipe.hvals(self.usage_minute(account, *minute));
            }
            let lines: Vec<Vec<String>> = self.spare_all(pipe).await?;
            found.extend(lines.iter().map(|lines| {
                let mut seconds = Seconds::new();
                lines.iter().for_each(|line| read_into(&mut seconds, line));
                seconds
            }));
        }
        Some(found)
    }

    /// Whether this instance leads, for `lease` from now on.
    pub async fn leads_usage(&self, instance: &str, lease: Duration) -> bool {
        let mut command = Cmd::new();
        command.arg("EVAL").arg(LEAD).arg(1).arg(self.usage_key("leader")).arg(instance).arg(lease.as_millis() as u64);
        self.spare::<i64>(command).await == Some(1)
    }

    /// Minutes that have to be rolled up, so many at most.
    pub async fn usage_to_roll_up(&self, most: usize) -> Vec<MinuteOf> {
        let mut command = Cmd::new();
        command.arg("EVAL").arg(TAKE).arg(2).arg(self.usage_key("told")).arg(self.usage_key("rolling"));
        command.arg(most).arg(TTL.as_millis() as u64);
        let members: Vec<String> = self.spare(command).await.unwrap_or_default();
        members.iter().filter_map(|member| member_of(member)).collect()
    }

    /// These minutes are rolled up.
    pub async fn usage_rolled_up(&self, minutes: &[MinuteOf]) {
        let mut command = Cmd::new();
        command.arg("SREM").arg(self.usage_key("rolling"));
        for (minute, account) in minutes {
            command.arg(format!("{minute}:{account}"));
        }
        // A failure costs another roll-up of the same.
        let _removed: Option<i64> = self.spare(command).await;
    }

    fn usage_minute(&self, account: &AccountId, minute: i64) -> String {
        self.key(account, &format!("used:{minute}"))
    }

    /// The braces put the lists into one slot of a cluster.
    fn usage_key(&self, what: &str) -> String {
        format!("{}:{{usage}}:{what}", self.prefix)
    }
}

fn member_of(member: &str) -> Option<MinuteOf> {
    let (minute, account) = member.split_once(':')?;
    Some((minute.parse().ok()?, AccountId::new(account).ok()?))
}
