//! Insert if absent. Invariant: the answer names exactly the rows this transaction made.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use sqlx::{Error, Row};

use crate::domain::event::Event;

/// Numbers go as text and are cast by Postgres, so that no digit is lost on the way; tags go as an array literal, because
/// UNNEST flattens arrays of arrays.
const INSERT: &str = "
    INSERT INTO events (occurred_at, received_at, schema_version, account_id, event_id, event_name, user_id, channel,
                        source, campaign_id, value, tags, metadata)
    SELECT occurred_at, received_at, schema_version, account_id, event_id, event_name, user_id, channel,
           source, campaign_id, value::numeric, tags::text[], metadata::json
      FROM UNNEST($1::timestamptz[], $2::timestamptz[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[],
                  $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[])
           AS batch (occurred_at, received_at, schema_version, account_id, event_id, event_name, user_id, channel,
                     source, campaign_id, value, tags, metadata)
    ON CONFLICT (account_id, event_id) DO NOTHING
    RETURNING account_id, event_id";

/// Inserts the events at `order` that are not there; answers the indices of those inserted, in the same order.
pub(super) async fn absent(
    connection: &mut PgConnection,
    batch: &[Event<'_>],
    order: &[usize],
) -> Result<Vec<usize>, Error> {
    if order.is_empty() {
        return Ok(Vec::new());
    }
    let events = || order.iter().map(|&at| &batch[at]);
    let rows = sqlx::query(INSERT)
        .bind(events().map(|event| event.timestamp.to_chrono()).collect::<Vec<DateTime<Utc>>>())
        .bind(events().map(|event| event.received_at.to_chrono()).collect::<Vec<DateTime<Utc>>>())
        .bind(events().map(|event| event.schema_version).collect::<Vec<i32>>())
        .bind(events().map(|event| event.account_id.as_str()).collect::<Vec<&str>>())
        .bind(events().map(|event| event.event_id.as_str()).collect::<Vec<&str>>())
        .bind(events().map(|event| &*event.event_name).collect::<Vec<&str>>())
        .bind(events().map(|event| &*event.user_id).collect::<Vec<&str>>())
        .bind(events().map(|event| event.channel.as_str()).collect::<Vec<&str>>())
        .bind(events().map(|event| event.source.as_deref()).collect::<Vec<Option<&str>>>())
        .bind(events().map(|event| event.campaign_id.as_deref()).collect::<Vec<Option<&str>>>())
        .bind(events().map(|event| event.value.as_deref()).collect::<Vec<Option<&str>>>())
        .bind(events().map(|event| array_literal(&event.tags)).collect::<Vec<Option<String>>>())
        .bind(events().map(|event| event.metadata.as_deref()).collect::<Vec<Option<&str>>>())
        .fetch_all(connection)
        .await?;

    // Nearly every batch is all new; then nobody has to look at the ids.
    if rows.len() == order.len() {
        return Ok(order.to_vec());
    }
    let mut made = HashSet::with_capacity(rows.len());
    for row in &rows {
        made.insert((row.try_get::<&str, _>(0)?, row.try_get::<&str, _>(1)?));
    }
    let is_made = |at: &usize| made.contains(&(batch[*at].account_id.as_str(), batch[*at].event_id.as_str()));
    Ok(order.iter().copied().filter(is_made).collect())
}

/// Tags as Postgres reads an array: every element quoted, quotes and backslashes escaped; none at all is NULL.
fn array_literal(tags: &[impl AsRef<str>]) -> Option<String> {
    if tags.is_empty() {
        return None;
    }
    let mut literal = String::from("{");
    for tag in tags {
        literal.push_str(if literal.len() > 1 { ",\"" } else { "\"" });
        for character in tag.as_ref().chars() {
            if matches!(character, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(character);
        }
        literal.push('"');
    }
    literal.push('}');
    Some(literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_elements_are_quoted_and_escaped() {
        assert_eq!(array_literal(&[""; 0]), None);
        assert_eq!(array_literal(&["a", ""]).as_deref(), Some(r#"{"a",""}"#));
        assert_eq!(array_literal(&[r#"q"\{},NULL"#]).as_deref(), Some(r#"{"q\"\\{},NULL"}"#));
    }
}
