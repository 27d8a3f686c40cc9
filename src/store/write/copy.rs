//! Insert what is hoped to be absent, by binary COPY: half the price of [`super::insert`], but one row that is there already
//! refuses them all. Invariant: the rows it makes are those that [`super::insert`] would make, value by value.

use sqlx::Error;
use sqlx::postgres::PgConnection;

use super::numeric;
use crate::domain::event::Event;

/// `stored_at` is left to its default: were it volatile, Postgres would insert row by row.
const COPY: &str = "
    COPY events (occurred_at, received_at, schema_version, account_id, event_id, event_name, user_id, channel,
                 source, campaign_id, value, tags, metadata)
    FROM STDIN (FORMAT binary)";

/// Signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Columns of [`COPY`].
const COLUMNS: i16 = 13;

/// Instead of a number of columns: the end.
const TRAILER: i16 = -1;

const NULL: i32 = -1;

/// OID of `text`, which tags are arrays of.
const TEXT: i32 = 25;

/// 2000-01-01, from which Postgres counts, in µs since 1970.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// Bytes of a row beside its texts, roughly.
const ROW: usize = 160;

/// Bytes sent at a time, so that the connection's buffer stays small.
const PIECE: usize = 64 << 10;

/// A batch in the form COPY takes.
pub(super) struct Rows {
    bytes: Vec<u8>,
    rows: usize,
}

impl Rows {
    /// Writes down the events at `order`; `None` when one of them holds what only Postgres can judge.
    pub(super) fn of(batch: &[Event<'_>], order: &[usize]) -> Option<Self> {
        let texts = |event: &Event<'_>| event.metadata.as_ref().map_or(0, |text| text.len());
        let size = order.iter().map(|&at| ROW + texts(&batch[at])).sum::<usize>();
        let mut bytes = Vec::with_capacity(HEADER.len() + size);
        bytes.extend_from_slice(HEADER);
        for &at in order {
            row(&batch[at], &mut bytes)?;
        }
        bytes.extend_from_slice(&TRAILER.to_be_bytes());
        Some(Self { bytes, rows: order.len() })
    }

    /// Inserts them all; whether Postgres made as many rows as there are.
    pub(super) async fn send(&self, connection: &mut PgConnection) -> Result<bool, Error> {
        let mut copy = connection.copy_in_raw(COPY).await?;
        for piece in self.bytes.chunks(PIECE) {
            copy.send(piece).await?;
        }
        Ok(copy.finish().await? == self.rows as u64)
    }
}

fn row(event: &Event<'_>, out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(&COLUMNS.to_be_bytes());
    time(event.timestamp.micros(), out);
    time(event.received_at.micros(), out);
    out.extend_from_slice(&4i32.to_be_bytes());
    out.extend_from_slice(&event.schema_version.to_be_bytes());
    for required in [
        event.account_id.as_str(),
        event.event_id.as_str(),
        &*event.event_name,
        &*event.user_id,
        event.channel.as_str(),
    ] {
        text(required, out)?;
    }
    optional(event.source.as_deref(), out, text)?;
    optional(event.campaign_id.as_deref(), out, text)?;
    optional(event.value.as_deref(), out, numeric::append)?;
    tags(&event.tags, out)?;
    optional(event.metadata.as_deref(), out, text)
}

fn optional(value: Option<&str>, out: &mut Vec<u8>, write: fn(&str, &mut Vec<u8>) -> Option<()>) -> Option<()> {
    match value {
        Some(value) => write(value, out),
        None => {
            out.extend_from_slice(&NULL.to_be_bytes());
            Some(())
        }
    }
}

fn text(value: &str, out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(&i32::try_from(value.len()).ok()?.to_be_bytes());
    out.extend_from_slice(value.as_bytes());
    Some(())
}

fn time(micros: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&8i32.to_be_bytes());
    out.extend_from_slice(&(micros - POSTGRES_EPOCH).to_be_bytes());
}

/// One dimension from 1 on, no NULLs; none at all is NULL.
fn tags(tags: &[impl AsRef<str>], out: &mut Vec<u8>) -> Option<()> {
    if tags.is_empty() {
        return optional(None, out, text);
    }
    let size = 20 + tags.iter().map(|tag| 4 + tag.as_ref().len()).sum::<usize>();
    for word in [i32::try_from(size).ok()?, 1, 0, TEXT, i32::try_from(tags.len()).ok()?, 1] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    tags.iter().try_for_each(|tag| text(tag.as_ref(), out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::write::samples::{event, with_value};

    #[test]
    fn a_batch_is_framed_and_its_rows_are_in_order() {
        let batch = [event("a", "1"), event("b", "22")];
        let Rows { bytes, rows } = Rows::of(&batch, &[1, 0]).expect("rows");
        assert_eq!(rows, 2);
        assert!(bytes.starts_with(HEADER) && bytes.ends_with(&[0xff, 0xff]));
        let at = |needle: &[u8]| bytes.windows(needle.len()).position(|window| window == needle).expect("there");
        assert!(at(b"\0\0\0\x0222") < at(b"\0\0\0\x01a\0\0\0\x011"));
        assert_eq!(bytes[HEADER.len()..HEADER.len() + 6], [0, 13, 0, 0, 0, 8]);
    }

    #[test]
    fn a_number_that_is_none_is_not_for_copy() {
        assert!(Rows::of(&[event("a", "1"), with_value("a", "2", "12x")], &[0, 1]).is_none());
    }
}
