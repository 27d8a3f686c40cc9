//! The most active users of windows too big to count, from sketches that this process has merged before: a day's 96 sketches of a
//! large account cost 50 ms to read and merge, and only those of the last minutes change. Invariant: what is kept is used only while the
//! database, in the snapshot of the answer, holds the very builds it was merged from.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use moka::sync::Cache;
use sqlx::postgres::PgConnection;
use sqlx::{Error, Row};

use super::second;
use super::sketches::{Approximation, Cover, unreadable};
use super::summary::UserCount;
use crate::domain::id::AccountId;
use crate::domain::window::BUCKET_SECONDS;
use crate::store::sketch::Top;

/// Most memory of merged sketches: a large account's day is 2 to 3 MB.
const MAX_BYTES: u64 = 64 << 20;

/// Lengths that are merged as one, in UTC; the longest that fits the window is taken.
const LENGTHS: [i64; 3] = [86_400, 14_400, 3_600];

const TOPS: &str = "
    SELECT bucket, sketch FROM sketches
     WHERE account_id = $1 AND bucket = ANY($2) AND event_name = '' AND channel = ''
     ORDER BY bucket";

/// OFFSET 0 keeps the planner from joining the other way round, which reads the whole account: 24 ms against 1.3 s.
const LOOSE_ACTIVE: &str = "
    SELECT user_id, count(*)
      FROM UNNEST($2::timestamptz[], $3::timestamptz[]) AS part (start, until)
     CROSS JOIN LATERAL (SELECT user_id FROM events
                          WHERE account_id = $1 AND occurred_at >= start AND occurred_at < until OFFSET 0) AS loose
     GROUP BY user_id";

/// One build of the sketches of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Build {
    /// First second of the bucket.
    pub(super) bucket: i64,
    /// Events it has seen.
    pub(super) events: i64,
    /// When it was made.
    pub(super) built_at: DateTime<Utc>,
}

/// Buckets that are merged as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Span {
    start: i64,
    seconds: i64,
}

struct Merged {
    builds: Vec<Build>,
    top: Top,
}

/// Accounts whose number of events is remembered, and for how long.
const MANY: (u64, Duration) = (10_000, Duration::from_secs(600));

/// What this process remembers of large accounts. Cheap to clone; bounded by [`MAX_BYTES`] and [`MANY`].
#[derive(Clone)]
pub(in crate::store) struct Tops {
    /// Sketches merged before.
    merged: Cache<(AccountId, Span), Arc<Merged>>,
    /// Accounts that had many events in a window.
    many: Cache<AccountId, ()>,
}

impl Tops {
    pub(in crate::store) fn new() -> Self {
        let weigh = |_: &(AccountId, Span), merged: &Arc<Merged>| merged.weight();
        let merged = Cache::builder().max_capacity(MAX_BYTES).weigher(weigh).build();
        let (accounts, kept_for) = MANY;
        Self { merged, many: Cache::builder().max_capacity(accounts).time_to_live(kept_for).build() }
    }

    /// Whether a window of that account held many events lately: then a look at the events themselves says nothing.
    pub(super) fn has_many(&self, account: &AccountId) -> bool {
        self.many.contains_key(account)
    }

    pub(super) fn saw_many(&self, account: &AccountId) {
        self.many.insert(account.clone(), ());
    }

    /// The `most` most active users of the parts of a window.
    pub(super) async fn of(
        &self,
        connection: &mut PgConnection,
        account: &AccountId,
        cover: &Cover,
        most: u16,
    ) -> Result<(Vec<UserCount>, Approximation), Error> {
        let mut top = Top::new().map_err(unreadable)?;
        let mut missing = Vec::new();
        for (span, builds) in spans(&cover.builds, cover.whole()) {
            match self.merged.get(&(account.clone(), span)) {
                Some(held) if held.builds == builds => add(&mut top, &held.top).await,
                _ => missing.push((span, builds)),
            }
        }
        for (span, merged) in read(connection, account, missing).await? {
            let merged = Arc::new(merged);
            add(&mut top, &merged.top).await;
            self.merged.insert((account.clone(), span), merged);
        }
        let (starts, untils) = cover.loose();
        let mut rows = sqlx::query(LOOSE_ACTIVE).bind(account.as_str()).bind(starts).bind(untils).fetch(connection);
        while let Some(row) = rows.try_next().await? {
            top.add(row.try_get(0)?, row.try_get::<i64, _>(1)?.unsigned_abs());
        }
        drop(rows);
        let first = top.first(usize::from(most));
        let least = first.last().map_or(0, |(_, events)| *events);
        let relative_error = if least > 0 { top.error() as f64 / least as f64 } else { 0.0 };
        let users = first.into_iter().map(|(user_id, events)| UserCount { user_id, events }).collect();
        Ok((users, Approximation { relative_error, unseen_events: cover.unseen }))
    }
}

impl Merged {
    fn weight(&self) -> u32 {
        u32::try_from(self.top.bytes() + self.builds.len() * size_of::<Build>()).unwrap_or(u32::MAX)
    }
}

/// Merging takes a tenth of a millisecond, so that a day without a pause would hold up the requests of others.
async fn add(top: &mut Top, other: &Top) {
    top.merge(other);
    tokio::task::yield_now().await;
}

/// Reads and merges the sketches of spans, which are in order and do not overlap.
async fn read(
    connection: &mut PgConnection,
    account: &AccountId,
    spans: Vec<(Span, Vec<Build>)>,
) -> Result<Vec<(Span, Merged)>, Error> {
    if spans.is_empty() {
        return Ok(Vec::new());
    }
    let buckets: Vec<_> = spans.iter().flat_map(|(_, builds)| builds).map(|build| second(build.bucket)).collect();
    let mut rows = sqlx::query(TOPS).bind(account.as_str()).bind(buckets).fetch(connection);
    let mut merged = Vec::with_capacity(spans.len());
    for (span, builds) in spans {
        let mut whole = None;
        for _ in &builds {
            // The same snapshot has named each of them.
            let row = rows.try_next().await?.ok_or(Error::RowNotFound)?;
            let top = Top::read(row.try_get(1)?).map_err(unreadable)?;
            match &mut whole {
                None => whole = Some(top),
                Some(whole) => add(whole, &top).await,
            }
        }
        let top = whole.map_or_else(Top::new, Ok).map_err(unreadable)?;
        merged.push((span, Merged { builds, top }));
    }
    Ok(merged)
}

/// Parts builds, which are in order, into the longest spans that lie inside `[first, end)`.
fn spans(builds: &[Build], (first, end): (i64, i64)) -> Vec<(Span, Vec<Build>)> {
    let mut spans = Vec::<(Span, Vec<Build>)>::new();
    for build in builds {
        match spans.last_mut() {
            Some((span, own)) if build.bucket < span.start + span.seconds => own.push(*build),
            _ => spans.push((span_of(build.bucket, (first, end)), vec![*build])),
        }
    }
    spans
}

fn span_of(bucket: i64, (first, end): (i64, i64)) -> Span {
    let of = |seconds: i64| Span { start: bucket.div_euclid(seconds) * seconds, seconds };
    let inside = |span: &Span| span.start >= first && span.start + span.seconds <= end;
    LENGTHS.into_iter().map(of).find(inside).unwrap_or_else(|| of(BUCKET_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn parts(first: i64, end: i64, step: usize) -> Vec<(i64, i64, usize)> {
        let built_at = DateTime::UNIX_EPOCH;
        let builds: Vec<_> =
            (first..end).step_by(900).step_by(step).map(|bucket| Build { bucket, events: 1, built_at }).collect();
        let spans = spans(&builds, (first, end));
        assert_eq!(spans.iter().map(|(_, own)| own.len()).sum::<usize>(), builds.len(), "each bucket once");
        spans.into_iter().map(|(span, own)| (span.start, span.seconds, own.len())).collect()
    }

    #[test]
    fn a_window_is_parted_into_days_hours_and_buckets() {
        assert_eq!(parts(0, 2 * DAY, 1), [(0, DAY, 96), (DAY, DAY, 96)]);
        assert_eq!(parts(900, 7_200, 1), [(900, 900, 1), (1_800, 900, 1), (2_700, 900, 1), (3_600, 3_600, 4)]);
        assert_eq!(
            parts(DAY - 3_600, 2 * DAY + 900, 1).iter().map(|part| part.1).collect::<Vec<_>>(),
            [3_600, DAY, 900]
        );
    }

    #[test]
    fn buckets_without_a_sketch_leave_gaps_and_no_empty_span() {
        assert_eq!(parts(0, DAY, 8), [(0, DAY, 12)]);
        assert_eq!(parts(0, 13_500, 8), [(0, 3_600, 1), (7_200, 3_600, 1)]);
        assert_eq!(parts(0, 14_400, 8), [(0, 14_400, 2)]);
    }
}
