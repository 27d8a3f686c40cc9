//! The index over the dead-letter topic. Invariant: a record is indexed once, however often it is set aside again.

use chrono::{DateTime, Utc};
use sqlx::Error;
use sqlx::postgres::PgConnection;

use crate::domain::id::{AccountId, EventId};
use crate::domain::receipt::Receipt;
use crate::domain::time::Timestamp;

const INSERT: &str = "
    INSERT INTO dead_letters (account_id, topic, kafka_partition, kafka_offset, event_id, reason, stage, tries, detail,
                              first_failed_at, letter_partition, letter_offset)
    SELECT * FROM UNNEST($1::text[], $2::text[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::int[],
                         $9::text[], $10::timestamptz[], $11::int[], $12::bigint[])
    ON CONFLICT DO NOTHING";

/// A record that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Whose it is, when known.
    pub account: Option<AccountId>,
    /// Where the log has it.
    pub origin: Receipt,
    /// Its event, when known.
    pub event_id: Option<EventId>,
    /// Why, in one word.
    pub reason: &'static str,
    /// Where it met its end, in one word.
    pub stage: &'static str,
    /// How often it was tried.
    pub tries: u32,
    /// A sentence without its content.
    pub detail: String,
    /// When it failed first.
    pub first_failed_at: Timestamp,
    /// Partition of the letter in the dead-letter topic.
    pub letter_partition: i32,
    /// Offset of the letter; `None` when the broker did not tell.
    pub letter_offset: Option<i64>,
}

pub(in crate::store) async fn index(connection: &mut PgConnection, letters: &[SetAside]) -> Result<(), Error> {
    let all = || letters.iter();
    sqlx::query(INSERT)
        .bind(all().map(|letter| letter.account.as_ref().map_or("", AccountId::as_str)).collect::<Vec<&str>>())
        .bind(all().map(|letter| &*letter.origin.topic).collect::<Vec<&str>>())
        .bind(all().map(|letter| letter.origin.partition).collect::<Vec<i32>>())
        .bind(all().map(|letter| letter.origin.offset).collect::<Vec<i64>>())
        .bind(all().map(|letter| letter.event_id.as_ref().map(EventId::as_str)).collect::<Vec<Option<&str>>>())
        .bind(all().map(|letter| letter.reason).collect::<Vec<&str>>())
        .bind(all().map(|letter| letter.stage).collect::<Vec<&str>>())
        .bind(all().map(|letter| i32::try_from(letter.tries).unwrap_or(i32::MAX)).collect::<Vec<i32>>())
        .bind(all().map(|letter| letter.detail.as_str()).collect::<Vec<&str>>())
        .bind(all().map(|letter| letter.first_failed_at.to_chrono()).collect::<Vec<DateTime<Utc>>>())
        .bind(all().map(|letter| letter.letter_partition).collect::<Vec<i32>>())
        .bind(all().map(|letter| letter.letter_offset).collect::<Vec<Option<i64>>>())
        .execute(connection)
        .await
        .map(drop)
}
