//! A line of the log as one JSON object. Invariant: whatever stands in a field, it is one line of sound JSON without a control
//! character in it.
//!
//! Written field by field into the line: a request's line is made on the request's own time.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::domain::time::Timestamp;

/// Bytes of a usual line.
const USUAL: usize = 448;

/// `{"timestamp", "level", "target", fields of the event…}`.
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        // The writer is a trait object: one call of it, not one for each piece.
        let mut line = String::with_capacity(USUAL);
        write!(line, "{{\"timestamp\":\"{}", Timestamp::now())?;
        line.push_str("\",\"level\":\"");
        line.push_str(event.metadata().level().as_str());
        line.push_str("\",\"target\":");
        text(&mut line, event.metadata().target())?;
        let mut members = Members { line: &mut line, result: Ok(()) };
        event.record(&mut members);
        members.result?;
        line.push_str("}\n");
        writer.write_str(&line)
    }
}

/// Writes each field as a member.
struct Members<'a> {
    line: &'a mut String,
    result: fmt::Result,
}

impl Members<'_> {
    fn member(&mut self, field: &Field, value: impl FnOnce(&mut String) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = member(self.line, field.name(), value);
        }
    }
}

fn member(line: &mut String, name: &str, value: impl FnOnce(&mut String) -> fmt::Result) -> fmt::Result {
    line.push(',');
    text(line, name)?;
    line.push(':');
    value(line)
}

impl Visit for Members<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, |line| text(line, value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |line| write!(line, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |line| write!(line, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |line| write!(line, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no other numbers; `Debug` keeps the point of a whole one.
        self.member(field, |line| if value.is_finite() { write!(line, "{value:?}") } else { line.write_str("null") });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.member(field, |line| {
            line.push('"');
            write!(Escaped(line), "{value:?}")?;
            line.push('"');
            Ok(())
        });
    }
}

fn text(line: &mut String, value: &str) -> fmt::Result {
    line.push('"');
    Escaped(line).write_str(value)?;
    line.push('"');
    Ok(())
}

/// Writes the inside of a JSON text.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Without an early end the look at a text is one of vectors.
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if text.bytes().fold(true, |all, byte| all & plain(byte)) {
            return self.0.write_str(text);
        }
        let mut rest = text;
        while let Some(at) = rest.find(|letter: char| letter.is_control() || matches!(letter, '"' | '\\')) {
            self.0.write_str(&rest[..at])?;
            let mut letters = rest[at..].chars();
            match letters.next() {
                Some(letter @ ('"' | '\\')) => write!(self.0, "\\{letter}")?,
                Some('\n') => self.0.write_str("\\n")?,
                Some(letter) => write!(self.0, "\\u{:04x}", u32::from(letter))?,
                None => {}
            }
            rest = letters.as_str();
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn told(log: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt().event_format(JsonLines).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, log);
        let text = kept.0.lock().clone();
        String::from_utf8(text).expect("UTF-8")
    }

    #[test]
    fn every_kind_of_field_is_a_member() {
        let late = io::Error::other("too \"late\"");
        let line = told(|| {
            tracing::info!(
                some = Some("x"),
                none = None::<&str>,
                error = &late as &dyn std::error::Error,
                whole = 2.0,
                part = 0.25,
                never = f64::NAN,
                count = 7_u64,
                below = -7_i64,
                yes = true,
                shown = %"a\nb",
                debug = ?Some('c'),
                kafka.partition = 3,
                "said {}", "so"
            );
        });
        let mut line: Value = serde_json::from_str(&line).expect("JSON");
        let at = line.as_object_mut().expect("object").remove("timestamp").expect("time");
        assert!(chrono::DateTime::parse_from_rfc3339(at.as_str().expect("text")).is_ok());
        let expected = json!({
            "level": "INFO", "target": module_path!(), "message": "said so", "some": "x", "error": "too \"late\"",
            "whole": 2.0, "part": 0.25, "never": null, "count": 7, "below": -7, "yes": true, "shown": "a\nb",
            "debug": "Some('c')", "kafka.partition": 3,
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn whatever_is_said_stays_inside_its_text() {
        let nasty: String = (0..0x300).filter_map(char::from_u32).chain("\u{2028}ü漢🦀".chars()).collect();
        let text = told(|| tracing::warn!(nasty, debug = ?nasty, shown = %nasty));
        let (line, rest) = text.split_once('\n').expect("a line");
        assert!(rest.is_empty() && !line.contains(char::is_control));
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!((&line["nasty"], &line["shown"]), (&json!(nasty), &json!(nasty)));
        assert_eq!(line["debug"], json!(format!("{nasty:?}")));
    }
}
