//! What each hash partition costs: rows and bytes by partition, so that a whale and its neighbours can be seen before they hurt.
//! Invariant: read from Postgres's own statistics, which say nothing of accounts and cost no scan.

use sqlx::postgres::PgConnection;
use sqlx::{Error, Row};

use super::metrics;

const COSTS: &str = "
    SELECT relname, n_tup_ins, n_tup_upd, COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0),
           pg_total_relation_size(relid)
      FROM pg_stat_user_tables
     WHERE relname ~ '^(events|event_counts)_[0-9]{2}$'";

/// Reads the statistics and tells the gauges.
pub(super) async fn sample(connection: &mut PgConnection) -> Result<(), Error> {
    for row in sqlx::query(COSTS).fetch_all(connection).await? {
        let number = |at: usize| row.try_get::<i64, _>(at);
        metrics::partition(row.try_get(0)?, [number(1)?, number(2)?, number(3)?], number(4)?);
    }
    Ok(())
}
