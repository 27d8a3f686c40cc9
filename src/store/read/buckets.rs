//! How many events each bucket holds, of all names. Invariant: read in the snapshot of the answer, so what sketches have not seen yet
//! is the difference, exactly.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use sqlx::{Error, Row};

use super::second;
use super::summary::number;
use crate::domain::id::AccountId;
use crate::domain::window::{BUCKET_SECONDS, Window};

const BY_BUCKET: &str = "
    SELECT bucket, sum(events)::bigint
      FROM event_counts
     WHERE account_id = $1 AND bucket >= $2 AND bucket < $3
     GROUP BY bucket";

/// Events by bucket, of the buckets that touch a window.
#[derive(Debug, Default)]
pub(super) struct ByBucket(BTreeMap<i64, u64>);

impl ByBucket {
    pub(super) async fn read(
        connection: &mut PgConnection,
        account: &AccountId,
        window: Window,
    ) -> Result<Self, Error> {
        let (first, end) = window.touched_buckets();
        let query = sqlx::query(BY_BUCKET).bind(account.as_str()).bind(second(first)).bind(second(end));
        let mut buckets = Self::default();
        for row in &query.fetch_all(connection).await? {
            buckets.add(row.try_get(0)?, number(row, 1)?);
        }
        Ok(buckets)
    }

    pub(super) fn add(&mut self, bucket: DateTime<Utc>, events: u64) {
        self.0.insert(bucket.timestamp(), events);
    }

    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Of the bucket that starts then.
    pub(super) fn of(&self, bucket: i64) -> u64 {
        self.0.get(&bucket).copied().unwrap_or(0)
    }

    /// Of all buckets that touch `[start, until)`; never fewer than there are in that time.
    pub(super) fn touched(&self, start: i64, until: i64) -> u64 {
        let first = start.div_euclid(BUCKET_SECONDS) * BUCKET_SECONDS;
        self.0.range(first..until.max(first)).map(|(_, events)| events).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_bucket_may_hold_all_of_it() {
        let buckets = ByBucket([(0, 1), (900, 20), (1_800, 300)].into());
        assert_eq!((buckets.total(), buckets.of(900), buckets.of(901)), (321, 20, 0));
        assert_eq!(buckets.touched(899, 901), 21);
        assert_eq!(buckets.touched(900, 1_800), 20);
        assert_eq!(buckets.touched(900, 900), 0);
        assert_eq!(buckets.touched(1_700, 9_000), 320);
    }
}
